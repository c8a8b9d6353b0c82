//! The picker of models and what the worker says of them.

use crate::ui::effect::{Effect, Question};
use crate::ui::pane::models::Taken;
use crate::ui::state::{Link, State};
use crate::wire::message::{FetchState, ModelFetch, ModelState};

/// Opens the picker on the model that jobs are drawn with, or closes it.
pub(super) fn toggle(state: &mut State) {
    if !state.models.close() {
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
        Taken::Nothing => {}
    }
    Vec::new()
}

/// The chosen model is fetched no more.
pub(super) fn cancel(state: &State) -> Vec<Effect> {
    state.models.to_cancel().map(|name| Effect::Ask(Question::CancelFetch(name))).into_iter().collect()
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
