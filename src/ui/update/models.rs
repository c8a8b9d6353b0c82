//! The picker of models and what the worker says of them.

use crate::model::ModelName;
use crate::ui::effect::{Effect, Question};
use crate::ui::language::Language;
use crate::ui::pane::model_page::Subject;
use crate::ui::pane::models::Taken;
use crate::ui::state::{Link, State};
use crate::ui::view::decimal;
use crate::wire::message::{
    CheckState, FetchState, FileCheck, ModelCheck, ModelFetch, ModelState, Soundness,
};

/// Opens the picker on the model that jobs are drawn with, or closes it.
pub(super) fn toggle(state: &mut State) {
    if !state.models.close() {
        state.loras.close();
        state.parameters.commit();
        state.models.open(state.parameters.model());
    }
}

/// Enter in the picker.
pub(super) fn take(state: &mut State) -> Vec<Effect> {
    match state.models.take() {
        Taken::Chosen(name) => state.parameters.choose_model(&name),
        Taken::Fetch(name) if state.worker.link == Link::Up => {
            return vec![Effect::Ask(Question::FetchModel(name))];
        }
        Taken::Fetch(name) => {
            state.notices.error(state.language.models_no_fetcher(name));
        }
        Taken::Remove(name) => return ask(state, Question::RemoveModel(name)),
        Taken::Nothing => {}
    }
    Vec::new()
}

/// The chosen model is fetched no more, or checked no more.
pub(super) fn cancel(state: &State) -> Vec<Effect> {
    let fetch = state.models.to_cancel().map(Question::CancelFetch);
    let question = fetch.or_else(|| state.models.check_to_cancel().map(Question::CancelCheck));
    question.map(Effect::Ask).into_iter().collect()
}

/// Something about the chosen model that only the worker can do.
pub(super) fn about_chosen(state: &mut State, question: fn(ModelName) -> Question) -> Vec<Effect> {
    match state.models.chosen().map(|model| model.info.name.clone()) {
        Some(name) => ask(state, question(name)),
        None => Vec::new(),
    }
}

/// Opens a page of the chosen model, or closes it.
pub(super) fn turn(state: &mut State, subject: Subject) -> Vec<Effect> {
    match state.models.turn(subject) {
        Some(name) => ask(state, Question::ModelDetails(name)),
        None => Vec::new(),
    }
}

/// Asks the worker, if there is one.
fn ask(state: &mut State, question: Question) -> Vec<Effect> {
    if state.worker.link == Link::Up {
        return vec![Effect::Ask(question)];
    }
    state.notices.error(state.language.models_no_worker());
    Vec::new()
}

/// A check has got further, or is over.
pub(super) fn checked(state: &mut State, check: ModelCheck) {
    let (model, language) = (&check.model, state.language);
    match &check.state {
        CheckState::Done(files) => match bad(files) {
            0 => state.notices.tell(language.models_said(model, sound(files, language))),
            1 => state.notices.error(language.models_bad_file(model)),
            more => state.notices.error(language.models_bad_files(model, more)),
        },
        CheckState::Failed { reason } => state.notices.error(language.models_was_not_checked(model, reason)),
        CheckState::Waiting | CheckState::Running(_) | CheckState::Cancelled => {}
    }
    state.models.note_check(check);
}

/// How many files are damaged.
#[must_use]
pub fn bad(files: &[FileCheck]) -> usize {
    files.iter().filter(|file| matches!(file.found, Soundness::Bad { .. })).count()
}

/// What is said of files of which none is damaged.
#[must_use]
pub fn sound(files: &[FileCheck], language: Language) -> String {
    let right = files.iter().filter(|file| file.found == Soundness::Right).count();
    let known = language.models_right(right);
    match files.len() - right {
        0 => known,
        unknown => language.models_right_unknown(known, unknown),
    }
}

/// A model was removed.
pub(super) fn removed(state: &mut State, model: &ModelName, bytes: u64) {
    state.notices.tell(state.language.models_removed(model, decimal(bytes)));
    state.models.changed();
}

/// The fetching of a model has got further, or is over.
pub(super) fn fetched(state: &mut State, fetch: ModelFetch) {
    let (model, language) = (&fetch.model, state.language);
    match &fetch.state {
        FetchState::Failed { reason } => state.notices.error(language.models_was_not_fetched(model, reason)),
        FetchState::Done => state.notices.tell(language.models_arrived(model)),
        FetchState::Waiting | FetchState::Running(_) | FetchState::Cancelled => {}
    }
    state.models.note(fetch);
}

/// The worker has said what there is.
pub(super) fn listed(state: &mut State, result: Result<Vec<ModelState>, String>) {
    let states = result.map_err(|reason| state.notices.warn(state.language.models_not_listed(reason)));
    if let Some(ready) = state.models.answered(states.ok()) {
        state.parameters.offer(ready);
    }
}
