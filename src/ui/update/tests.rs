//! Journeys: keys and the worker's words in, effects and state out. Time is made up.

mod connection;
mod gallery;
mod gallery_grids;
mod grids;
mod history;
mod keymap;
mod language;
mod layouts;
mod looks;
mod lora_follow;
mod loras;
mod overlays;
mod palette;
mod picker;
mod prompts;
mod sizes;
mod terminals;
mod words;

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::*;
use crate::config::JobDefaults;
use crate::device::{Device, DeviceChoice, PrecisionChoice};
use crate::job::{Job, JobId, PictureId, Seed};
use crate::ui::event::{Answer, News, Window};
use crate::ui::fake;
use crate::ui::glyphs::Glyphs;
use crate::ui::input::Report;
use crate::ui::pane::parameters::FieldName;
use crate::ui::picture::{Protocol, Subject};
use crate::ui::state::Look;
use crate::ui::terminal::facts::{Environment, Facts};
use crate::ui::theme::Theme;
use crate::wire::message::{self, JobState, JobStatus, Preview, Progress, Snapshot, Stage, WorkerInfo};

/// A studio that is driven by hand.
struct Desk {
    state: State,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        let look = Look { theme: Theme::default(), glyphs: Glyphs::choose(false), automatic: true };
        let facts = Facts::new(Environment::default(), crate::config::Graphics::Auto);
        let now = Instant::now();
        let mut desk = Self { state: State::new(look, facts, JobDefaults::default(), now), now };
        desk.event(Event::Resized(Window { columns: 100, rows: 30, pixels: None }));
        desk
    }

    fn connected() -> Self {
        let mut desk = Self::new();
        desk.event(Event::News(News::Connected(Box::new(snapshot()))));
        desk
    }

    fn event(&mut self, event: Event) -> Vec<Effect> {
        update(&mut self.state, event, self.now)
    }

    fn press(&mut self, code: KeyCode, modifiers: KeyModifiers) -> Vec<Effect> {
        self.event(Event::Input(Input::Key(KeyEvent::new(code, modifiers))))
    }

    fn key(&mut self, code: KeyCode) -> Vec<Effect> {
        self.press(code, KeyModifiers::NONE)
    }

    fn control(&mut self, letter: char) -> Vec<Effect> {
        self.press(KeyCode::Char(letter), KeyModifiers::CONTROL)
    }

    fn type_text(&mut self, text: &str) {
        text.chars().for_each(|letter| drop(self.key(KeyCode::Char(letter))));
    }

    fn worker(&mut self, event: message::Event) -> Vec<Effect> {
        self.event(Event::News(News::Event(event)))
    }

    fn later(&mut self, milliseconds: u64) -> Vec<Effect> {
        self.now += Duration::from_millis(milliseconds);
        self.event(Event::Tick)
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        worker: WorkerInfo { protocol: 1, version: "0".into(), pid: 1, started_at: 0 },
        models: vec![fake::nano()],
        engines: vec![fake::engine()],
        jobs: Vec::new(),
        running: Vec::new(),
        history: Vec::new(),
        paused: false,
        history_total: 0,
        readings: None,
        fetches: Vec::new(),
        checks: Vec::new(),
        rebuilt: None,
    }
}

fn submitted(effects: &[Effect]) -> Job {
    let jobs: Vec<&Job> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Ask(Question::Submit(job)) => Some(job),
            _ => None,
        })
        .collect();
    let [job] = jobs[..] else { panic!("not one job in {effects:?}") };
    job.clone()
}

fn status(id: i64, job: &Job, state: JobState) -> JobStatus {
    JobStatus { id: JobId(id), job: job.clone(), first_seed: 7, state, done: 0, accepted_at: 0 }
}

fn preview(job: i64, step: u32) -> Preview {
    let rgb = fake::pixels(16, 16, step).into_raw().into();
    Preview::new(JobId(job), 0, step, (16, 16), rgb).expect("the length fits")
}

fn progress(device: Device, job: i64, index: u32, stage: Stage) -> Progress {
    let seed = 4 + job as u64;
    Progress { device, job: JobId(job), index, seed, stage, elapsed: 1.0, remaining: Some(4.0) }
}

fn encodes(effects: &[Effect]) -> Vec<Subject> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Encode(order) => Some(order.subject),
            _ => None,
        })
        .collect()
}

#[test]
fn type_and_enter_draws_with_the_models_defaults() {
    let mut desk = Desk::connected();
    desk.type_text("a red apple");
    let job = submitted(&desk.key(KeyCode::Enter));
    assert_eq!(job.prompt.as_str(), "a red apple");
    assert_eq!((job.size.width(), job.steps(), job.guidance(), job.count()), (128, 20, 3.5, 1));
    assert_eq!((job.model.as_str(), job.seed), ("nano", Seed::Random));
}

#[test]
fn an_empty_prompt_says_what_to_do_and_asks_nothing() {
    let mut desk = Desk::connected();
    desk.type_text("  ");
    assert_eq!(desk.key(KeyCode::Enter), []);
    let (notice, _) = desk.state.notices.current().expect("a notice");
    assert!(notice.text.contains("type what to draw"), "{}", notice.text);
    desk.key(KeyCode::Esc);
    assert!(desk.state.notices.current().is_none(), "Esc dismisses it");
}

#[test]
fn a_wrong_parameter_gets_the_keys_and_an_arrow_mends_it() {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    desk.key(KeyCode::Tab);
    desk.state.parameters.choose(FieldName::Width);
    desk.type_text("100");
    desk.key(KeyCode::Tab);
    desk.state.view.focus = Pane::Prompt;
    assert_eq!(desk.key(KeyCode::Enter), []);
    assert_eq!((desk.state.view.focus, desk.state.parameters.chosen()), (Pane::Parameters, FieldName::Width));
    assert!(
        desk.state.notices.current().is_some_and(|(notice, _)| notice.text.contains("the nearest is 96"))
    );
    desk.key(KeyCode::Right);
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).size.width(), 96);
}

#[test]
fn seeds_random_last_and_fixed() {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    assert_eq!(desk.control('s'), [], "there is no last seed yet");
    desk.key(KeyCode::Esc);
    let job = submitted(&desk.key(KeyCode::Enter));
    desk.event(Event::Answer(Answer::Submitted(Ok(Box::new(status(1, &job, JobState::Queued))))));
    assert_eq!(submitted(&desk.control('s')).seed, Seed::Fixed(7));
    desk.key(KeyCode::Tab);
    desk.state.parameters.choose(FieldName::Seed);
    desk.type_text("42");
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Fixed(42));
    assert_eq!(submitted(&desk.control('g')).seed, Seed::Random, "again means a new seed");
    desk.type_text("-1");
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).seed, Seed::Random);
}

#[test]
fn what_is_asked_for_before_the_worker_answers_is_drawn_as_it_was() {
    let mut desk = Desk::new();
    desk.type_text("apple");
    assert_eq!(desk.key(KeyCode::Enter), []);
    desk.type_text(" and pear");
    let job = submitted(&desk.event(Event::News(News::Connected(Box::new(snapshot())))));
    assert_eq!((job.prompt.as_str(), job.steps()), ("apple", 20));
    assert_eq!(desk.state.prompt.editor.text(), "apple and pear");
}

#[test]
fn escape_cancels_the_running_job() {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    let job = submitted(&desk.key(KeyCode::Enter));
    assert!(desk.key(KeyCode::Esc).is_empty(), "nothing runs yet");
    desk.worker(message::Event::Job(status(1, &job, JobState::Running)));
    desk.worker(message::Event::Job(status(2, &job, JobState::Queued)));
    assert_eq!(desk.key(KeyCode::Esc), [Effect::Ask(Question::Cancel(JobId(1)))]);
    desk.worker(message::Event::Job(status(1, &job, JobState::Cancelled)));
    assert_eq!(desk.state.queue.jobs().len(), 1);
}

#[test]
fn a_late_acceptance_does_not_bring_an_ended_job_back() {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    let job = submitted(&desk.key(KeyCode::Enter));
    desk.worker(message::Event::Job(status(1, &job, JobState::Done)));
    desk.event(Event::Answer(Answer::Submitted(Ok(Box::new(status(1, &job, JobState::Queued))))));
    assert_eq!(desk.state.queue.jobs(), []);
}

#[test]
fn a_failed_job_is_told_and_stays_until_it_is_dropped() {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    let job = submitted(&desk.key(KeyCode::Enter));
    let failed = JobState::Failed { reason: "no memory; try 512x512".into() };
    desk.worker(message::Event::Job(status(1, &job, failed)));
    assert!(
        desk.state
            .notices
            .current()
            .is_some_and(|(notice, _)| notice.text.contains("no memory; try 512x512"))
    );
    desk.state.view.focus = Pane::Queue;
    desk.key(KeyCode::Char('d'));
    assert_eq!(desk.state.queue.jobs(), []);
}

#[test]
fn previews_are_encoded_at_most_four_times_a_second_and_the_latest_wins() {
    let mut desk = Desk::connected();
    let mut encoded = Vec::new();
    for step in 1..=19 {
        encoded.extend(encodes(&desk.worker(message::Event::Preview(preview(1, step)))));
        encoded.extend(encodes(&desk.later(50)));
    }
    let step = |subject: &Subject| match subject {
        Subject::Preview { step, .. } => *step,
        Subject::Picture(_) | Subject::Sheet { .. } | Subject::Lora(_) => panic!("no picture is finished"),
    };
    let steps: Vec<u32> = encoded.iter().map(step).collect();
    assert!((4..=5).contains(&steps.len()), "one second: {steps:?}");
    desk.now += Duration::from_millis(250);
    assert_eq!(
        encodes(&desk.later(0)).iter().map(step).collect::<Vec<_>>(),
        [19],
        "the newest is not forgotten"
    );
}

#[test]
fn a_finished_picture_is_fetched_shown_and_listed() {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    let job = submitted(&desk.key(KeyCode::Enter));
    desk.worker(message::Event::Job(status(1, &job, JobState::Running)));
    desk.worker(message::Event::Preview(preview(1, 3)));
    let picture = fake::picture(5, &status(1, &job, JobState::Running), 0, 99);
    let effects = desk.worker(message::Event::Finished(Box::new(picture)));
    assert!(effects.contains(&Effect::Ask(Question::Fetch(PictureId(5)))), "{effects:?}");
    let effects =
        desk.event(Event::Answer(Answer::Fetched { picture: PictureId(5), result: Ok(vec![1].into()) }));
    assert_eq!(encodes(&effects), [Subject::Picture(PictureId(5))]);
    assert_eq!((desk.state.history.pictures().len(), desk.state.parameters.last_seed), (1, Some(99)));
}

fn with_history() -> Desk {
    let mut desk = Desk::connected();
    desk.type_text("pear");
    let job = submitted(&desk.key(KeyCode::Enter));
    for (id, seed) in [(1, 11), (2, 22), (3, 33)] {
        let picture = fake::picture(id, &status(id, &job, JobState::Running), 0, seed);
        desk.worker(message::Event::Finished(Box::new(picture)));
    }
    desk.control('u');
    desk.type_text("another idea");
    desk.state.view.focus = Pane::History;
    desk
}

#[test]
fn counting_waits_for_a_pause_and_asks_for_the_latest_text_only() {
    let counted = |effects: &[Effect]| -> Vec<String> {
        let text = |effect: &Effect| match effect {
            Effect::Ask(Question::Count { text, .. }) => Some(text.clone()),
            _ => None,
        };
        effects.iter().filter_map(text).collect()
    };
    let mut desk = Desk::new();
    let effects = desk.event(Event::News(News::Connected(Box::new(snapshot()))));
    assert_eq!(counted(&effects), [""], "the limits are shown from the start");
    desk.event(Event::Answer(Answer::Counted { version: 0, result: Ok(fake::tokens("")) }));
    desk.type_text("red");
    let due = desk.state.deadline().expect("a tick is wanted");
    assert!(due > desk.now);
    assert_eq!(counted(&desk.later(60)), ["red"]);
    desk.type_text(" ap");
    assert_eq!(counted(&desk.later(60)), [] as [&str; 0], "one question at a time");
    let answer = Answer::Counted { version: 3, result: Ok(fake::tokens("red")) };
    let mut effects = desk.event(Event::Answer(answer));
    effects.extend(desk.later(60));
    assert_eq!(counted(&effects), ["red ap"]);
}

#[test]
fn what_no_encoder_reads_is_named_with_the_limit() {
    let mut desk = Desk::connected();
    let text = (1..=40).map(|number| format!("word{number} ")).collect::<String>();
    desk.event(Event::Input(Input::Paste { text: text.clone(), dropped: 0 }));
    let version = desk.state.prompt.editor.version();
    desk.event(Event::Answer(Answer::Counted { version, result: Ok(fake::tokens(&text)) }));
    let remarks = desk.state.prompt.remarks();
    let [crate::ui::pane::prompt::Remark::Cut { limit: 32, tokens: 42, text: cut, .. }, _] = remarks[..]
    else {
        panic!("{remarks:?}")
    };
    assert!(cut.starts_with("word31 "), "{cut}");
}

#[test]
fn a_paste_beyond_the_limit_says_how_much_was_left_out() {
    let mut desk = Desk::connected();
    let text = "字".repeat(crate::job::PROMPT_BYTES / 3);
    desk.event(Event::Input(Input::Paste { text, dropped: 30 }));
    assert!(
        desk.state
            .notices
            .current()
            .is_some_and(|(notice, _)| notice.text.contains("30 bytes were left out"))
    );
}

#[test]
fn leaving_never_cancels_and_q_is_a_letter_in_the_prompt() {
    let mut desk = Desk::connected();
    assert!(!desk.key(KeyCode::Char('q')).contains(&Effect::Quit));
    assert_eq!(desk.state.prompt.editor.text(), "q");
    assert_eq!(desk.control('c'), [Effect::Quit]);
    assert_eq!(desk.control('q'), [Effect::Quit]);
    desk.key(KeyCode::Tab);
    assert_eq!(desk.key(KeyCode::Char('q')), [Effect::Quit]);
    assert_eq!(desk.event(Event::Signal(Signal::End)), [Effect::Quit]);
}

#[test]
fn help_opens_and_closes_and_takes_the_keys() {
    let mut desk = Desk::connected();
    desk.key(KeyCode::F(1));
    desk.type_text("xyz");
    desk.key(KeyCode::Down);
    assert_eq!((desk.state.prompt.editor.text(), desk.state.view.help), ("", Some(1)));
    desk.key(KeyCode::Char('q'));
    assert_eq!(desk.state.view.help, None);
    desk.key(KeyCode::Tab);
    desk.key(KeyCode::Char('?'));
    assert_eq!(desk.state.view.help, Some(0));
    desk.key(KeyCode::Esc);
    assert_eq!(desk.state.view.help, None);
}

#[test]
fn a_click_gives_the_keys_and_the_wheel_moves_what_it_is_over() {
    let mut desk = with_history();
    desk.state.view.focus = Pane::Prompt;
    let areas = *desk.state.layout().areas().expect("there is room");
    let mouse = |kind, column, row| {
        Event::Input(Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
    };
    let (x, y) = (areas.history.x + 3, areas.history.y + 2);
    desk.event(mouse(MouseEventKind::Down(MouseButton::Left), x, y));
    assert_eq!((desk.state.view.focus, desk.state.history.chosen()), (Pane::History, 1));
    desk.event(mouse(MouseEventKind::ScrollDown, x, y));
    assert_eq!(desk.state.history.chosen(), 2);
    desk.event(mouse(MouseEventKind::Down(MouseButton::Left), areas.prompt.x + 4, areas.prompt.y + 1));
    assert_eq!((desk.state.view.focus, desk.state.prompt.editor.cursor()), (Pane::Prompt, 2));
}

#[test]
fn reports_change_the_means_and_the_theme_and_never_the_prompt() {
    let mut desk = Desk::connected();
    desk.worker(message::Event::Preview(preview(1, 1)));
    for report in [
        Report::Version("XTerm(379)".into()),
        Report::CellPixels { width: 10, height: 20 },
        Report::Background([255, 255, 240]),
    ] {
        desk.event(Event::Input(Input::Report(report)));
    }
    desk.now += Duration::from_secs(1);
    let effects = desk.event(Event::Input(Input::Report(Report::Attributes(vec![64, 4]))));
    let orders: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Encode(order) => Some(order.means.protocol),
            _ => None,
        })
        .collect();
    assert_eq!(orders, [Protocol::Sixel]);
    assert_eq!(desk.state.look.theme, Theme::built_in("light").expect("built in"));
    assert_eq!(desk.state.prompt.editor.text(), "");
}

#[test]
fn progress_ends_with_its_job() {
    let mut desk = Desk::connected();
    desk.type_text("apple");
    let job = submitted(&desk.key(KeyCode::Enter));
    desk.worker(message::Event::Job(status(1, &job, JobState::Running)));
    let stage = Stage::Drawing { step: 3, steps: 20, sigma: 0.8 };
    desk.worker(message::Event::Progress(progress(Device::Cpu, 1, 0, stage)));
    assert_eq!(desk.state.parameters.last_seed, Some(5));
    desk.worker(message::Event::Job(status(1, &job, JobState::Done)));
    assert_eq!(desk.state.queue.progress(), []);
}

#[test]
fn the_preview_follows_the_oldest_running_picture_and_then_the_next() {
    let mut desk = Desk::connected();
    let at = |step| Stage::Drawing { step, steps: 20, sigma: 0.8 };
    for (device, job) in [(Device::Cuda(1), 1), (Device::Cuda(0), 2)] {
        desk.worker(message::Event::Progress(progress(device, job, 0, at(1))));
        desk.worker(message::Event::Preview(preview(job, 1)));
    }
    assert_eq!(desk.state.parameters.last_seed, Some(6), "the one that was begun last");
    desk.worker(message::Event::Progress(progress(Device::Cuda(1), 1, 0, at(2))));
    desk.worker(message::Event::Preview(preview(1, 2)));
    assert_eq!(desk.state.parameters.last_seed, Some(6), "going on is not beginning");
    let shown = |desk: &Desk| match desk.state.preview.wanted() {
        Some(Subject::Preview { job, step, .. }) => (job.0, step),
        other => panic!("a preview, not {other:?}"),
    };
    assert_eq!(shown(&desk), (1, 2));
    assert_eq!(desk.state.queue.progress_of(JobId(2)).map(|now| now.device), Some(Device::Cuda(0)));
    desk.worker(message::Event::Stopped { job: JobId(1), index: 0 });
    assert_eq!((shown(&desk), desk.state.queue.progress().len()), ((2, 1), 1));
}

#[test]
fn what_the_command_line_says_of_device_and_precision_is_in_every_job() {
    let mut desk = Desk::new();
    let device = Some(DeviceChoice::CudaAt(1));
    let defaults = JobDefaults { device, precision: Some(PrecisionChoice::Bf16), ..JobDefaults::default() };
    desk.state.parameters = crate::ui::pane::parameters::ParametersPane::new(defaults);
    desk.event(Event::News(News::Connected(Box::new(snapshot()))));
    desk.type_text("apple");
    let job = submitted(&desk.key(KeyCode::Enter));
    assert_eq!((job.device, job.load.precision), (DeviceChoice::CudaAt(1), PrecisionChoice::Bf16));
}
