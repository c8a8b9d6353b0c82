//! What a person does to the queue: each key is a question, and the answer comes to all clients as an event.

use crate::ui::effect::{Effect, Question};
use crate::ui::state::{Link, State};
use crate::wire::message::JobState;
use crate::wire::queue::{QueueChange, QueuePlace};

fn ask(state: &mut State, change: QueueChange) -> Vec<Effect> {
    if state.worker.link == Link::Up {
        return vec![Effect::Ask(Question::Queue(change))];
    }
    state.notices.warn("the queue is the worker's, and there is none just now".to_owned());
    Vec::new()
}

/// Moves the chosen job, unless it is where it is to be or over.
pub(super) fn shift(state: &mut State, to: QueuePlace) -> Vec<Effect> {
    let Some(job) = state.queue.chosen_job().filter(|job| !job.state.is_over()) else { return Vec::new() };
    let (id, at) = (job.id, state.queue.chosen());
    let open = state.queue.jobs().iter().take_while(|job| !job.state.is_over()).count();
    let there = match to {
        QueuePlace::Up | QueuePlace::First => at == 0,
        QueuePlace::Down | QueuePlace::Last => at + 1 == open,
        QueuePlace::Before(other) => other == id,
    };
    if there { Vec::new() } else { ask(state, QueueChange::Move { job: id, to }) }
}

/// Tries the chosen job again if it has failed.
pub(super) fn retry(state: &mut State) -> Vec<Effect> {
    match state.queue.chosen_job().map(|job| (job.id, &job.state)) {
        Some((id, JobState::Failed { .. })) => ask(state, QueueChange::Retry(id)),
        _ => Vec::new(),
    }
}

/// Adds a job like the chosen one.
pub(super) fn duplicate(state: &mut State) -> Vec<Effect> {
    match state.queue.chosen_job().map(|job| job.id) {
        Some(id) => ask(state, QueueChange::Duplicate(id)),
        None => Vec::new(),
    }
}

/// Pauses the queue, or lets it go on.
pub(super) fn pause(state: &mut State) -> Vec<Effect> {
    let change = if state.queue.paused { QueueChange::Resume } else { QueueChange::Pause };
    ask(state, change)
}
