//! Layouts by snapshot, and every size with a busy state.

mod gallery;
mod gallery_grids;
mod grids;
mod lora_picture;
mod loras;
mod memory;
mod over;
mod overlays;
mod picker;
mod prompts;
mod sizes;
mod words;

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw;
use crate::config::{Graphics, JobDefaults};
use crate::device::Device;
use crate::gpu::{Gpu, Readings};
use crate::job::{Job, JobId, Prompt, Seed, Size};
use crate::model::ModelName;
use crate::ui::event::{Answer, Event, News, Window};
use crate::ui::fake;
use crate::ui::glyphs::Glyphs;
use crate::ui::input::Input;
use crate::ui::language::Language;
use crate::ui::pane::Pane;
use crate::ui::picture::{Drawable, Encoded, HalfBlocks};
use crate::ui::state::{Look, State};
use crate::ui::terminal::facts::{Environment, Facts};
use crate::ui::theme::Theme;
use crate::ui::{effect::Effect, update};
use crate::wire::message::{self, JobState, JobStatus, Preview, Progress, Snapshot, Stage, WorkerInfo};

fn fresh(ascii: bool) -> State {
    let look = Look { theme: Theme::default(), glyphs: Glyphs::choose(ascii), automatic: false };
    let facts = Facts::new(Environment::default(), Graphics::Auto);
    State::new(look, facts, JobDefaults::default(), Instant::now())
}

fn take(state: &mut State, event: Event) -> Vec<Effect> {
    let now = state.now;
    update(state, event, now)
}

fn snapshot(jobs: Vec<JobStatus>, pictures: i64) -> Snapshot {
    let status = job("neon alley, fog, a courier on a bicycle", 1, JobState::Done);
    let history =
        (1..=pictures).rev().map(|id| fake::picture(id, &status, 0, 1_839_202_000 + id as u64)).collect();
    Snapshot {
        worker: WorkerInfo { protocol: 1, version: "0".into(), pid: 1, started_at: 0 },
        models: vec![fake::nano()],
        engines: vec![fake::engine()],
        jobs,
        running: Vec::new(),
        history,
        paused: false,
        history_total: pictures as u64 * 10,
        readings: Some(fake::readings(0)),
        fetches: Vec::new(),
        checks: Vec::new(),
        rebuilt: None,
    }
}

fn job(prompt: &str, id: i64, state: JobState) -> JobStatus {
    let size = Size::new(128, 128).expect("a size");
    let prompt = Prompt::new(prompt).expect("a prompt");
    let job = Job::new(prompt, ModelName::new("nano"), size, 20, 3.5, Seed::Random, 4).expect("a job");
    JobStatus { id: JobId(id), job, first_seed: 7, state, done: 2, accepted_at: 0 }
}

fn paste(state: &mut State, text: &str) {
    take(state, Event::Input(Input::Paste { text: text.into(), dropped: 0 }));
    let version = state.prompt.editor.version();
    take(state, Event::Answer(Answer::Counted { version, result: Ok(fake::tokens(text)) }));
}

/// Drawing the third of four pictures, with a queue, a history and a preview.
fn busy(state: &mut State, window: Window) {
    take(state, Event::Resized(window));
    let jobs = vec![
        job("neon alley, rain, a courier on a bicycle, cinematic low light", 41, JobState::Running),
        job("red fox, snow", 42, JobState::Queued),
        job("too large", 40, JobState::Failed { reason: "no memory".into() }),
    ];
    take(state, Event::News(News::Connected(Box::new(snapshot(jobs, 12)))));
    paste(state, "neon alley, rain, a courier on a bicycle, cinematic low light");
    let stage = Stage::Drawing { step: 14, steps: 20, sigma: 0.412 };
    let progress = Progress {
        device: Device::Cpu,
        job: JobId(41),
        index: 2,
        seed: 1_839_202_211,
        stage,
        elapsed: 4.0,
        remaining: Some(6.14),
    };
    take(state, Event::News(News::Event(message::Event::Progress(progress))));
    for step in 0..9 {
        take(state, Event::News(News::Event(message::Event::Readings(fake::readings(step)))));
    }
    let rgb = fake::pixels(16, 16, 99).into_raw().into();
    let preview = Preview::new(JobId(41), 2, 14, (16, 16), rgb).expect("the length fits");
    let effects = take(state, Event::News(News::Event(message::Event::Preview(preview))));
    encode(state, &effects);
}

/// Does what the picture thread does, with plain pixels of the room's size.
fn encode(state: &mut State, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Encode(order) = effect {
            let side = u32::from(order.room.width.min(order.room.height * 2));
            let drawable = Drawable::HalfBlocks(HalfBlocks::new(&fake::pixels(side, side, 99)));
            let (number, slot, subject, room, means) =
                (order.number, order.slot, order.subject, order.room, order.means);
            take(state, Event::Encoded(Encoded { number, slot, subject, room, means, result: Ok(drawable) }));
        }
    }
}

fn window(columns: u16, rows: u16) -> Window {
    Window { columns, rows, pixels: None }
}

/// The screen as text; a picture's cells are dots, its colours are not text.
fn screen(state: &State) -> String {
    let size = state.view.window;
    let mut terminal = Terminal::new(TestBackend::new(size.columns, size.rows)).expect("a test terminal");
    let frame = draw(state);
    terminal
        .draw(|to| {
            to.buffer_mut().clone_from(&frame.buffer);
            for cell in &mut to.buffer_mut().content {
                if matches!(cell.bg, ratatui::style::Color::Rgb(..)) && matches!(cell.symbol(), " " | "▀") {
                    cell.set_symbol(":");
                }
            }
            if let Some(cursor) = frame.cursor {
                to.buffer_mut()[cursor].set_symbol("▏");
            }
        })
        .expect("a test terminal draws");
    let text = terminal.backend().to_string();
    // What is behind the second cell of a Chinese character is said of each line, and of no interest.
    let plain = |line: &str| line.split(" Hidden by").next().unwrap_or_default().to_owned() + "\n";
    if state.language == Language::Chinese { text.lines().map(plain).collect() } else { text }
}

/// The windows in which every view has a snapshot in each language.
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

/// A studio for each snapshot of a view: its window, and what ends the snapshot's name, `_80x24` in English and
/// `_zh_80x24` in Chinese. `more` are windows of which there is one in English only.
fn studios(ascii: bool, more: &'static [(u16, u16)]) -> impl Iterator<Item = (State, Window, String)> {
    let english = SIZES.iter().chain(more).map(|size| (Language::English, "", size));
    let chinese = SIZES.iter().map(|size| (Language::Chinese, "_zh", size));
    english.chain(chinese).map(move |(language, mark, (columns, rows))| {
        let state = State { language, ..fresh(ascii) };
        (state, window(*columns, *rows), format!("{mark}_{columns}x{rows}"))
    })
}

const SMALL: &[(u16, u16)] = &[(60, 15)];

fn each_size(name: &str, ascii: bool, prepare: impl Fn(&mut State, Window)) {
    for (mut state, window, end) in studios(ascii, SMALL) {
        prepare(&mut state, window);
        insta::assert_snapshot!(format!("{name}{end}"), screen(&state));
    }
}

fn empty(state: &mut State, window: Window) {
    take(state, Event::Resized(window));
    take(state, Event::News(News::Connected(Box::new(snapshot(Vec::new(), 0)))));
    state.history = Default::default();
    take(state, Event::Answer(Answer::Counted { version: 0, result: Ok(fake::tokens("")) }));
}

#[test]
fn first_start() {
    each_size("empty", false, empty);
}

#[test]
fn drawing() {
    each_size("drawing", false, busy);
}

#[test]
fn drawing_in_ascii() {
    each_size("ascii", true, busy);
}

#[test]
fn an_error_makes_room_for_itself() {
    each_size("error", false, |state, window| {
        empty(state, window);
        paste(state, "a red apple");
        let reason = "job 7 failed: the VAE failed: not enough memory for 2048×2048; 1024×1024 would fit";
        state.notices.error("an older one");
        state.notices.error(reason);
        state.view.focus = Pane::Parameters;
        state.parameters.choose(crate::ui::pane::parameters::FieldName::Width);
        state.parameters.paste("100");
        state.parameters.commit();
        take(state, Event::Tick);
    });
}

#[test]
fn help() {
    each_size("help", false, |state, window| {
        empty(state, window);
        state.view.help = Some(0);
    });
}

#[test]
fn a_chinese_prompt_that_is_too_long() {
    each_size("chinese", false, |state, window| {
        empty(state, window);
        paste(state, "一只红色的苹果放在木桌上，窗外下着雨，电影感的低光，胶片颗粒，三十五毫米镜头");
    });
}

#[test]
fn a_worker_that_is_lost() {
    each_size("lost", false, |state, window| {
        take(state, Event::Resized(window));
        let retry_at = state.now + Duration::from_millis(4200);
        let reason = "the worker did not start: it ended at once; its log is /state/worker.log".into();
        take(state, Event::News(News::Down { reason, retry_at }));
    });
}

#[test]
fn a_worker_on_another_machine_whose_line_broke() {
    each_size("far", false, |state, window| {
        state.worker.host = Some("ann@server".into());
        busy(state, window);
        let retry_at = state.now + Duration::from_millis(4200);
        let reason = "the line to ann@server broke: client_loop: send disconnect: Broken pipe".into();
        take(state, Event::News(News::Down { reason, retry_at }));
    });
}

#[test]
fn a_gpu_and_the_upright_window() {
    for language in [Language::English, Language::Chinese] {
        a_gpu_and_the_upright_window_in(language);
    }
}

fn a_gpu_and_the_upright_window_in(language: Language) {
    let mark = if language == Language::Chinese { "_zh" } else { "" };
    let mut state = State { language, ..fresh(false) };
    busy(&mut state, window(64, 40));
    let gpu = Gpu {
        index: 0,
        name: "NVIDIA GeForce RTX 4070".into(),
        total: 12 << 30,
        used: 9 << 30,
        ours: Some(8 << 30),
        utilisation: Some(98),
        temperature: Some(71),
        power: Some(168.2),
        owners: Vec::new(),
    };
    let readings = Readings { gpus: vec![gpu], ..fake::readings(0) };
    take(&mut state, Event::News(News::Event(message::Event::Readings(readings))));
    insta::assert_snapshot!(format!("upright{mark}_64x40"), screen(&state));
    let effects = take(&mut state, Event::Resized(window(100, 30)));
    encode(&mut state, &effects);
    insta::assert_snapshot!(format!("gpu{mark}_100x30"), screen(&state));
}

#[test]
fn a_budget_and_the_plan_that_came_of_it() {
    let mut state = fresh(false);
    busy(&mut state, window(180, 40));
    let gpu = Gpu {
        name: "RTX 3060".into(),
        total: 12 << 30,
        used: 9 << 30,
        ours: Some(8 << 30),
        ..Gpu::default()
    };
    let readings = Readings { gpus: vec![gpu], ..fake::readings(0) };
    take(&mut state, Event::News(News::Event(message::Event::Readings(readings))));
    let memory = Some("41 of 57 blocks, 7.9 GB".to_owned());
    state.worker.engines = vec![message::EngineStatus { device: Device::Cuda(0), memory, ..fake::engine() }];
    use crossterm::event::KeyCode::{Char, Tab};
    for code in [Tab, Char('v'), Char('v'), Char('v'), Char('v')] {
        take(&mut state, Event::Input(Input::Key(code.into())));
    }
    let screen = screen(&state);
    for text in ["VRAM 9.0 / 12.0 GB · budget 8 GiB · RTX 3060", "41 of 57 blocks, 7.9 GB"] {
        assert!(screen.contains(text), "{text} is not in\n{screen}");
    }
}

#[test]
fn two_cards_each_with_a_job() {
    for (mut state, window, end) in studios(false, &[]) {
        busy(&mut state, window);
        let engine = |number| message::EngineStatus {
            device: Device::Cuda(number),
            about: format!("NVIDIA H200, cuda:{number}"),
            ..fake::engine()
        };
        state.worker.engines = vec![engine(1), engine(0)];
        let fox = job("red fox, snow", 42, JobState::Running);
        take(&mut state, Event::News(News::Event(message::Event::Job(fox))));
        for (number, id, step) in [(1, 41, 14), (0, 42, 3)] {
            let stage = Stage::Drawing { step, steps: 20, sigma: 0.412 };
            let progress = Progress {
                device: Device::Cuda(number),
                job: JobId(id),
                index: 2,
                seed: 7,
                stage,
                elapsed: 4.0,
                remaining: Some(6.14),
            };
            take(&mut state, Event::News(News::Event(message::Event::Progress(progress))));
        }
        insta::assert_snapshot!(format!("two_cards{end}"), screen(&state));
    }
}

/// The machine that most people have: what matters there is the card.
#[test]
fn a_card_beside_the_cpu_is_one_engine() {
    let mut state = fresh(false);
    busy(&mut state, window(120, 40));
    let card = message::EngineStatus {
        device: Device::Cuda(0),
        about: "NVIDIA H200".into(),
        loaded: None,
        ..fake::engine()
    };
    let cpu = message::EngineStatus::idle(Device::Cpu, "CPU, 2 threads".into());
    state.queue.replace(Vec::new(), Vec::new());
    for loaded in [None, Some(ModelName::new("nano"))] {
        state.worker.engines = vec![message::EngineStatus { loaded, ..card.clone() }, cpu.clone()];
        let screen = screen(&state);
        let line = screen.lines().next().expect("there is a first line");
        assert!(line.contains("nano") && line.contains("NVIDIA H200"), "{line}");
        assert!(!line.contains("engines") && !line.contains("CPU"), "{line}");
    }
}

#[test]
fn too_small_says_what_it_needs() {
    let mut state = fresh(false);
    busy(&mut state, window(40, 10));
    insta::assert_snapshot!("small_40x10", screen(&state));
    state.language = Language::Chinese;
    insta::assert_snapshot!("small_zh_40x10", screen(&state));
}

/// A picture is encoded once for each size, which is what a resize does.
#[test]
fn no_size_panics_or_hides_the_cursor() {
    let mut state = fresh(false);
    busy(&mut state, window(80, 24));
    state
        .notices
        .error("something was not done, and this says at length what it was and what would work instead");
    for rows in 1..=60 {
        for columns in 1..=200 {
            let effects = take(&mut state, Event::Resized(window(columns, rows)));
            if columns % 7 == 0 {
                encode(&mut state, &effects);
            }
            state.view.focus = Pane::ALL[usize::from(columns) % 4];
            state.view.help = (columns % 5 == 0).then_some(usize::from(rows));
            picker::open(&mut state, columns % 3 == 0);
            let frame = draw(&state);
            assert_eq!((frame.buffer.area.width, frame.buffer.area.height), (columns, rows));
            if let Some(cursor) = frame.cursor {
                assert!(frame.buffer.area.contains(cursor), "{columns}x{rows}: {cursor:?}");
            }
            let over = state.is_covered();
            let wants_cursor = state.view.focus == Pane::Prompt && !over;
            assert_eq!(
                frame.cursor.is_some(),
                wants_cursor && state.layout().areas().is_some(),
                "{columns}x{rows}"
            );
        }
    }
}

#[test]
fn without_colour_nothing_but_the_picture_has_any() {
    let mut state = fresh(false);
    state.look.theme = state.look.theme.without_colour();
    busy(&mut state, window(100, 30));
    state.view.focus = Pane::History;
    let frame = draw(&state);
    let picture = state.layout().areas().expect("there is room").preview;
    for position in frame.buffer.area.positions().filter(|position| !picture.contains(*position)) {
        let cell = &frame.buffer[position];
        let reset = ratatui::style::Color::Reset;
        assert_eq!((cell.fg, cell.bg), (reset, reset), "{position:?} {:?}", cell.symbol());
    }
}

#[test]
fn a_prompt_of_a_megabyte_is_typed_into_and_drawn_in_a_frame() {
    let mut state = fresh(false);
    busy(&mut state, window(120, 40));
    let words = "一只 red apple ".repeat(crate::job::PROMPT_BYTES / 20);
    take(&mut state, Event::Input(Input::Paste { text: words, dropped: 0 }));
    let begun = Instant::now();
    for _ in 0..20 {
        let key = crossterm::event::KeyEvent::from(crossterm::event::KeyCode::Char('x'));
        take(&mut state, Event::Input(Input::Key(key)));
        drop(draw(&state));
    }
    // Generous: the machine may be busy. A whole re-wrap for each key would take far longer.
    assert!(begun.elapsed() < Duration::from_millis(20 * 50), "{:?} for 20 keys", begun.elapsed());
}
