//! The picker of models and what the worker says of them.

use crate::model::ModelName;
use crate::ui::effect::{Effect, Question};
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
            state
                .notices
                .error(format!("{name} is not fetched: there is no worker to do it; try again soon"));
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
    state.notices.error("there is no worker to ask; try again soon".to_owned());
    Vec::new()
}

/// A check has got further, or is over.
pub(super) fn checked(state: &mut State, check: ModelCheck) {
    let model = &check.model;
    match &check.state {
        CheckState::Done(files) => match bad(files) {
            0 => state.notices.tell(format!("{model}: {}", sound(files))),
            1 => state.notices.error(format!("{model}: one file is damaged; ^W in the models says which")),
            more => {
                state
                    .notices
                    .error(format!("{model}: {more} files are damaged; ^W in the models says which"));
            }
        },
        CheckState::Failed { reason } => state.notices.error(format!("{model} was not checked: {reason}")),
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
pub fn sound(files: &[FileCheck]) -> String {
    let right = files.iter().filter(|file| file.found == Soundness::Right).count();
    let known = match right {
        1 => "1 file is right".to_owned(),
        right => format!("{right} files are right"),
    };
    match files.len() - right {
        0 => known,
        unknown => format!("{known}, of {unknown} no hash is known"),
    }
}

/// A model was removed.
pub(super) fn removed(state: &mut State, model: &ModelName, bytes: u64) {
    state.notices.tell(format!("{model} was removed, {} freed", decimal(bytes)));
    state.models.changed();
}

/// The fetching of a model has got further, or is over.
pub(super) fn fetched(state: &mut State, fetch: ModelFetch) {
    let model = &fetch.model;
    match &fetch.state {
        FetchState::Failed { reason } => state.notices.error(format!("{model} was not fetched: {reason}")),
        FetchState::Done => state.notices.tell(format!("{model} is here and can be drawn with")),
        FetchState::Waiting | FetchState::Running(_) | FetchState::Cancelled => {}
    }
    state.models.note(fetch);
}

/// The worker has said what there is.
pub(super) fn listed(state: &mut State, result: Result<Vec<ModelState>, String>) {
    let states =
        result.map_err(|reason| state.notices.warn(format!("the models could not be listed: {reason}")));
    if let Some(ready) = state.models.answered(states.ok()) {
        state.parameters.offer(ready);
    }
}
