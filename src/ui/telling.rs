//! What the terminal is told beside what is drawn in it: the window's title, how far the picture is, and that a long job
//! has ended while the person looked elsewhere.
//!
//! Title and progress follow from the state, as a frame does ([`around`]); messages come of events ([`Messages`]).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::event::{Event, News};
use super::input::Input;
use super::language::Language;
use super::pane::queue::QueuePane;
use super::state::State;
use super::view::text::clip;
use crate::config::TerminalConfig;
use crate::job::{JobId, JobState, JobStatus};
use crate::wire::message::{self, Stage};

/// A job that takes less is waited for.
const LONG: Duration = Duration::from_secs(20);
/// Where the terminal does not say whether it is looked at: a person who pressed a key so lately does.
const THERE: Duration = Duration::from_secs(10);
/// Cells of a prompt in a title or a message.
const CELLS: u16 = 60;

/// What the terminal shows around the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// The window's title; `None` leaves it as it is.
    pub title: Option<String>,
    /// How far the running job is.
    pub progress: Progress,
}

/// How far the running job is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nothing runs.
    #[default]
    None,
    /// Something runs, and nobody knows how long.
    Busy,
    /// So many percent.
    Percent(u8),
}

/// What a person who looks elsewhere has to be told.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    wanted: TerminalConfig,
    /// When jobs were first seen running.
    running: HashMap<JobId, Instant>,
    untold: Vec<String>,
    /// Whether the terminal is looked at, where it says so.
    focused: Option<bool>,
    key: Option<Instant>,
}

impl Messages {
    /// As the person wants it.
    #[must_use]
    pub fn new(wanted: TerminalConfig) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// As the person wants it.
    #[must_use]
    pub fn wanted(&self) -> TerminalConfig {
        self.wanted
    }

    /// Takes those that were not told yet.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.untold)
    }

    /// Notes what an event means for it, before it is taken.
    pub fn note(&mut self, event: &Event, language: Language, now: Instant) {
        match event {
            Event::Input(Input::Focus(focused)) => self.focused = Some(*focused),
            Event::Input(Input::Key(_) | Input::Mouse(_) | Input::Paste { .. }) => self.key = Some(now),
            Event::News(News::Connected(snapshot)) => {
                let running = snapshot.jobs.iter().filter(|job| job.state == JobState::Running);
                // Since when is not known: at least since now.
                self.running = running.map(|job| (job.id, now)).collect();
            }
            Event::News(News::Event(message::Event::Job(status))) => self.job(status, language, now),
            _ => {}
        }
    }

    fn job(&mut self, status: &JobStatus, language: Language, now: Instant) {
        let prompt = || shortened(status.job.prompt.as_str());
        let message = match &status.state {
            JobState::Running => {
                self.running.entry(status.id).or_insert(now);
                return;
            }
            JobState::Done if self.took(status.id, now) >= self.long() => {
                Some(language.told_drawn(status.done, prompt()))
            }
            JobState::Failed { reason } => Some(language.told_failed(prompt(), shortened(reason))),
            _ => None,
        };
        self.running.remove(&status.id);
        self.untold.extend(message.filter(|_| !self.is_there(now)));
    }

    fn took(&self, job: JobId, now: Instant) -> Duration {
        self.running.get(&job).map_or(Duration::ZERO, |begun| now.saturating_duration_since(*begun))
    }

    fn long(&self) -> Duration {
        let never = Duration::MAX;
        self.wanted.notify_after.map_or(LONG, |after| after.duration().unwrap_or(never))
    }

    fn is_there(&self, now: Instant) -> bool {
        let lately = self.key.is_some_and(|key| now.saturating_duration_since(key) < THERE);
        self.focused.unwrap_or(lately)
    }
}

/// What the terminal should show around the screen.
#[must_use]
pub fn around(state: &State) -> Around {
    let (queue, host) = (&state.queue, state.worker.host.as_deref());
    let ascii = state.look.glyphs.ellipsis.is_ascii();
    let title = state.messages.wanted.title.then(|| title(queue, host, (state.language, ascii)));
    Around { title, progress: progress(queue) }
}

/// A text on one line, without what a terminal would take for orders, and short.
fn shortened(text: &str) -> String {
    clip(text.trim(), CELLS, "…")
}

fn title(queue: &QueuePane, host: Option<&str>, (language, ascii): (Language, bool)) -> String {
    const PROGRAM: &str = "flux-tui";
    let program =
        host.map_or_else(|| PROGRAM.to_owned(), |host| language.title_host(PROGRAM, shortened(host)));
    let Some(job) = queue.running() else {
        return if queue.paused { language.title_paused(program) } else { program };
    };
    let sign = if ascii { '*' } else { '\u{25b8}' };
    let waiting = match queue.waiting() {
        0 => String::new(),
        waiting => format!(" (+{waiting})"),
    };
    let dash = if ascii { '-' } else { '\u{2013}' };
    format!("{sign}{waiting} {} {dash} {program}", shortened(job.job.prompt.as_str()))
}

fn progress(queue: &QueuePane) -> Progress {
    let Some(job) = queue.running() else { return Progress::None };
    let Some(running) = queue.progress_of(job.id) else { return Progress::Busy };
    let count = f64::from(job.job.count().max(1));
    let of_this = match running.stage {
        Stage::Loading { .. } if job.done == 0 => return Progress::Busy,
        Stage::Drawing { step, steps, .. } => f64::from(step) / f64::from(steps.max(1)),
        Stage::Decoding | Stage::Saving => 1.0,
        Stage::Loading { .. } | Stage::Encoding => 0.0,
    };
    let percent = (f64::from(job.done) + of_this) / count * 100.0;
    Progress::Percent(percent.clamp(0.0, 100.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::Language::{Chinese, English};
    use super::*;
    use crate::config::Lapse;
    use crate::device::Device;
    use crate::job::{Job, Prompt, Seed, Size};
    use crate::model::ModelName;
    use crate::wire::message::Progress as Running;

    fn status(id: i64, prompt: &str, count: u32, state: JobState) -> JobStatus {
        let (prompt, size) = (Prompt::new(prompt).expect("a prompt"), Size::new(128, 128).expect("a size"));
        let job =
            Job::new(prompt, ModelName::new("nano"), size, 20, 3.5, Seed::Random, count).expect("a job");
        JobStatus { id: JobId(id), job, first_seed: 7, state, done: 0, accepted_at: 0 }
    }

    fn job(state: JobState) -> Event {
        let status = JobStatus { done: 1, ..status(1, "a fox\u{9d}2;no\n in snow", 1, state) };
        Event::News(News::Event(message::Event::Job(status)))
    }

    #[test]
    fn a_long_job_is_told_of_to_someone_who_looks_elsewhere() {
        let begin = Instant::now();
        let later = |seconds| begin + Duration::from_secs(seconds);
        let told = |focused: Option<bool>, key: Option<u64>, seconds, end: JobState, after: Option<&str>| {
            let notify_after = after.map(|after| after.parse::<Lapse>().expect("a time"));
            let mut messages = Messages::new(TerminalConfig { notify_after, ..TerminalConfig::default() });
            messages.note(&job(JobState::Running), English, begin);
            if let Some(focused) = focused {
                messages.note(&Event::Input(Input::Focus(focused)), English, later(1));
            }
            if let Some(key) = key {
                messages.note(
                    &Event::Input(Input::Paste { text: String::new(), dropped: 0 }),
                    English,
                    later(key),
                );
            }
            messages.note(&job(JobState::Running), English, later(seconds - 1));
            messages.note(&job(end), English, later(seconds));
            messages.take()
        };
        let failed = || JobState::Failed { reason: "no\nroom".to_owned() };
        let fox = "a fox 2;no  in snow";
        assert_eq!(told(Some(false), None, 30, JobState::Done, None), [format!("1 picture drawn: {fox}")]);
        assert_eq!(
            told(Some(false), Some(29), 30, JobState::Done, None),
            [format!("1 picture drawn: {fox}")]
        );
        assert_eq!(told(None, Some(2), 30, JobState::Done, None), [format!("1 picture drawn: {fox}")]);
        assert_eq!(
            told(Some(false), None, 6, JobState::Done, Some("5s")),
            [format!("1 picture drawn: {fox}")]
        );
        assert_eq!(told(Some(false), None, 3, failed(), None), [format!("failed: {fox}: no room")]);
        for (focused, key, seconds, end, after) in [
            (Some(true), None, 30, JobState::Done, None),
            (None, Some(25), 30, JobState::Done, None),
            (Some(false), None, 6, JobState::Done, None),
            (Some(false), None, 3000, JobState::Done, Some("never")),
            (Some(false), None, 30, JobState::Cancelled, None),
            (Some(true), None, 3, failed(), None),
        ] {
            assert_eq!(told(focused, key, seconds, end, after), [] as [String; 0]);
        }
    }

    #[test]
    fn title_and_progress_follow_the_queue() {
        let mut queue = QueuePane::default();
        assert_eq!(title(&queue, None, (English, false)), "flux-tui");
        assert_eq!(title(&queue, Some("gpu"), (English, false)), "flux-tui on gpu");
        assert_eq!(progress(&queue), Progress::None);
        assert_eq!(title(&queue, Some("gpu"), (Chinese, false)), "gpu 上的 flux-tui");
        let two = status(1, "a fox\tin snow", 2, JobState::Running);
        queue.update(two.clone());
        queue.update(status(2, "an owl", 1, JobState::Queued));
        assert_eq!(title(&queue, None, (English, false)), "\u{25b8} (+1) a fox in snow \u{2013} flux-tui");
        assert_eq!(title(&queue, None, (English, true)), "* (+1) a fox in snow - flux-tui");
        assert_eq!(progress(&queue), Progress::Busy);
        let at = |stage| Running {
            device: Device::Cpu,
            job: JobId(1),
            index: 0,
            seed: 7,
            stage,
            elapsed: 1.0,
            remaining: None,
        };
        queue.progressed(at(Stage::Loading { done: 1, total: 9 }));
        assert_eq!(progress(&queue), Progress::Busy);
        queue.progressed(at(Stage::Drawing { step: 10, steps: 20, sigma: 0.5 }));
        assert_eq!(progress(&queue), Progress::Percent(25));
        queue.update(JobStatus { done: 1, ..two });
        assert_eq!(progress(&queue), Progress::Percent(75));
    }
}
