//! What a person does to the queue: each key is a question, and the answer comes to all clients as an event.

use crate::ui::effect::{Effect, Question};
use crate::ui::state::{Link, State};
use crate::wire::message::JobState;
use crate::wire::queue::{QueueChange, QueuePlace};

fn ask(state: &mut State, change: QueueChange) -> Vec<Effect> {
    if state.worker.link == Link::Up {
        return vec![Effect::Ask(Question::Queue(change))];
    }
    state.notices.warn(state.language.queue_elsewhere());
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

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::config::{Graphics, JobDefaults};
    use crate::job::{Job, JobId, JobStatus, Prompt, Seed, Size};
    use crate::model::ModelName;
    use crate::ui::event::{Event, News, Window};
    use crate::ui::glyphs::Glyphs;
    use crate::ui::input::Input;
    use crate::ui::pane::Pane;
    use crate::ui::state::Look;
    use crate::ui::terminal::facts::{Environment, Facts};
    use crate::ui::theme::Theme;
    use crate::ui::update::update;
    use crate::wire::message;

    pub fn status(id: i64, state: JobState) -> JobStatus {
        let (prompt, size) = (Prompt::new(format!("fox {id}")), Size::new(128, 128).expect("a size"));
        let job = Job::new(prompt.expect("text"), ModelName::new("nano"), size, 4, 3.5, Seed::Random, 1);
        let job = job.expect("it is in range");
        JobStatus { id: JobId(id), job, first_seed: 7, state, done: 0, accepted_at: 0 }
    }

    /// A studio whose queue has the keys.
    pub fn studio(jobs: impl Iterator<Item = JobStatus>) -> State {
        let look = Look { theme: Theme::default(), glyphs: Glyphs::choose(false), automatic: true };
        let facts = Facts::new(Environment::default(), Graphics::Auto);
        let mut state = State::new(look, facts, JobDefaults::default(), Instant::now());
        take(&mut state, Event::Resized(Window { columns: 160, rows: 48, pixels: None }));
        state.worker.link = Link::Up;
        state.queue.replace(jobs.collect(), Vec::new());
        state.view.focus = Pane::Queue;
        state
    }

    pub fn take(state: &mut State, event: Event) -> Vec<Effect> {
        let now = state.now;
        update(state, event, now)
    }

    fn changes(state: &mut State, code: KeyCode) -> Vec<QueueChange> {
        let effects = take(state, Event::Input(Input::Key(KeyEvent::new(code, KeyModifiers::NONE))));
        let change = |effect| match effect {
            Effect::Ask(Question::Queue(change)) => Some(change),
            _ => None,
        };
        effects.into_iter().filter_map(change).collect()
    }

    fn tell(state: &mut State, event: message::Event) {
        take(state, Event::News(News::Event(event)));
    }

    fn order(state: &State) -> Vec<i64> {
        state.queue.jobs().iter().map(|job| job.id.0).collect()
    }

    #[test]
    fn keys_ask_for_changes_and_events_make_them() {
        let failed = JobState::Failed { reason: "no memory".into() };
        let mut state =
            studio([status(1, JobState::Queued), status(2, JobState::Queued), status(3, failed)].into_iter());
        assert_eq!(changes(&mut state, KeyCode::Char('K')), [], "the first is the first");
        let down = QueueChange::Move { job: JobId(1), to: QueuePlace::Down };
        assert_eq!(changes(&mut state, KeyCode::Char('J')), [down]);
        tell(&mut state, message::Event::Moved { job: JobId(1), before: None });
        assert_eq!((order(&state), state.queue.chosen()), (vec![2, 1, 3], 1), "the choice goes with the job");
        assert_eq!(changes(&mut state, KeyCode::Char('b')), [], "the last that waits is the last");
        let first = QueueChange::Move { job: JobId(1), to: QueuePlace::First };
        assert_eq!(changes(&mut state, KeyCode::Char('t')), [first]);
        assert_eq!(changes(&mut state, KeyCode::Char('c')), [QueueChange::Duplicate(JobId(1))]);
        assert_eq!(changes(&mut state, KeyCode::Char('r')), [], "it has not failed");
        assert_eq!(changes(&mut state, KeyCode::Down), []);
        assert_eq!(changes(&mut state, KeyCode::Char('J')), [], "a failed one has no place");
        assert_eq!(changes(&mut state, KeyCode::Char('r')), [QueueChange::Retry(JobId(3))]);
        tell(&mut state, message::Event::Job(status(3, JobState::Queued)));
        assert_eq!(order(&state), [2, 1, 3]);
        assert_eq!(changes(&mut state, KeyCode::Char('p')), [QueueChange::Pause]);
        tell(&mut state, message::Event::Paused(true));
        assert_eq!(changes(&mut state, KeyCode::Char('p')), [QueueChange::Resume]);
    }

    #[test]
    fn a_thousand_jobs_scroll_sixty_times_a_second() {
        let mut state = studio((1..=1000).map(|id| status(id, JobState::Queued)));
        let begun = Instant::now();
        for _ in 0..100 {
            changes(&mut state, KeyCode::Char('j'));
            let frame = crate::ui::view::draw(&state);
            assert!(!frame.buffer.content.is_empty());
        }
        assert_eq!(state.queue.chosen(), 100);
        let frame = begun.elapsed() / 100;
        assert!(frame < Duration::from_micros(16_667), "a frame takes {frame:?}");
    }
}
