//! The whole studio under random bytes, resizes and moments: decoder, `update`, `view` and the screen, without a terminal.
//!
//! Most bytes go to the decoder as a terminal would send them. Those that UTF-8 never has are orders, with arguments in
//! the bytes that follow: see [`Desk::order`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use flux_tui::config::{Graphics, JobDefaults};
use flux_tui::job::{Job, JobId, Picture, PictureId, Prompt, Recipe, Seed, Size, Times};
use flux_tui::model::ModelName;
use flux_tui::ui::effect::{Effect, Question};
use flux_tui::ui::event::{Answer, Event, News, Window};
use flux_tui::ui::glyphs::Glyphs;
use flux_tui::ui::input::Decoder;
use flux_tui::ui::picture::{Drawable, Encoded, HalfBlocks};
use flux_tui::ui::state::{Look, State};
use flux_tui::ui::terminal::facts::{Environment, Facts};
use flux_tui::ui::terminal::screen::Screen;
use flux_tui::ui::theme::Theme;
use flux_tui::ui::{update, view};
use flux_tui::wire::message::{self, JobState, JobStatus, Preview, Snapshot, WorkerInfo};

/// Resizes to something.
pub const RESIZE: u8 = 0xf8;
/// Time goes on.
pub const TICK: u8 = 0xf9;
/// Nothing comes for a while.
pub const QUIET: u8 = 0xfa;
/// The worker says something.
pub const WORKER: u8 = 0xfb;
/// The window is said to have the size that it has.
pub const SAME_SIZE: u8 = 0xfc;
/// The connection comes or goes.
pub const LINK: u8 = 0xfd;
/// More bytes than this are not played: what a frame costs counts here.
const BYTES: usize = 4096;
/// Frames are drawn after so many bytes, and after each order.
const PIECE: usize = 32;

/// Plays the bytes. Nothing panics, every frame can be drawn, and Ctrl-C leaves at the end.
pub fn studio(bytes: &[u8]) {
    let mut desk = Desk::new();
    let mut rest = &bytes[..bytes.len().min(BYTES)];
    while let Some((&first, after)) = rest.split_first() {
        if first >= RESIZE {
            rest = desk.order(first, after);
        } else {
            let next = rest.iter().take(PIECE).position(|byte| *byte >= RESIZE);
            let (piece, after) = rest.split_at(next.unwrap_or(rest.len().min(PIECE)));
            desk.sends(piece);
            rest = after;
        }
        desk.draw();
    }
    desk.quiet();
    desk.left = false;
    desk.sends(b"\x03");
    assert!(desk.left, "Ctrl-C does not leave");
}

struct Desk {
    state: State,
    decoder: Decoder,
    screen: Screen,
    now: Instant,
    /// A `Quit` has come.
    left: bool,
}

impl Desk {
    fn new() -> Self {
        let look = Look { theme: Theme::default(), glyphs: Glyphs::choose(false), automatic: true };
        let facts =
            Facts::new(Environment { term: "xterm".into(), ..Environment::default() }, Graphics::Auto);
        let now = Instant::now();
        let state = State::new(look, facts, JobDefaults::default(), now);
        let mut desk =
            Self { state, decoder: Decoder::default(), screen: Screen::default(), now, left: false };
        desk.event(Event::Resized(Window { columns: 80, rows: 24, pixels: None }));
        desk.event(Event::News(News::Connected(Box::new(snapshot()))));
        desk
    }

    /// Takes an event, and does what a worker and the picture thread would.
    fn event(&mut self, event: Event) {
        let mut effects = update(&mut self.state, event, self.now);
        // An answer may ask again; a studio that asks without end is stuck.
        for _ in 0..64 {
            let mut more = Vec::new();
            for effect in effects {
                if let Some(event) = self.perform(effect) {
                    more.extend(update(&mut self.state, event, self.now));
                }
            }
            if more.is_empty() {
                return;
            }
            effects = more;
        }
        panic!("what is asked has no end");
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Quit => {
                self.left = true;
                None
            }
            Effect::RepaintPictures => {
                self.screen.forget_pictures();
                None
            }
            Effect::Repaint => {
                self.screen.forget();
                None
            }
            Effect::Encode(order) => {
                let (width, height) = (u32::from(order.room.width), u32::from(order.room.height) * 2);
                let pixels = image::RgbImage::new(width.clamp(1, 40), height.clamp(1, 40));
                let (number, slot, subject) = (order.number, order.slot, order.subject);
                let (room, means) = (order.room, order.means);
                let result = Ok(Drawable::HalfBlocks(HalfBlocks::new(&pixels)));
                Some(Event::Encoded(Encoded { number, slot, subject, room, means, result }))
            }
            Effect::Ask(Question::Fetch(picture)) => {
                let result = Ok(Bytes::from_static(b"\x89PNG"));
                Some(Event::Answer(Answer::Fetched { picture, result }))
            }
            Effect::Ask(Question::Submit(_)) => {
                Some(Event::Answer(Answer::Submitted(Err("the queue is full".into()))))
            }
            Effect::Ask(Question::Thumbnail(asked)) => {
                let result = Ok(Bytes::from_static(b"JPEG"));
                Some(Event::Answer(Answer::Thumbnail { asked, result }))
            }
            Effect::Ask(Question::Search(query)) => {
                Some(Event::Answer(Answer::Found { query, result: Ok((1..30).map(picture).collect()) }))
            }
            Effect::Ask(Question::Count { version, .. }) => {
                Some(Event::Answer(Answer::Counted { version, result: Ok(Vec::new()) }))
            }
            Effect::Ask(Question::Models) => Some(Event::Answer(Answer::Models(Err("not now".into())))),
            Effect::Ask(Question::Loras(_)) => Some(Event::Answer(Answer::Loras(Err("not now".into())))),
            _ => None,
        }
    }

    fn sends(&mut self, bytes: &[u8]) {
        let mut inputs = Vec::new();
        self.decoder.feed(bytes, &mut inputs);
        inputs.into_iter().for_each(|input| self.event(Event::Input(input)));
    }

    fn quiet(&mut self) {
        let mut inputs = Vec::new();
        self.decoder.quiet(&mut inputs);
        inputs.into_iter().for_each(|input| self.event(Event::Input(input)));
    }

    /// Carries an order out; gives what is left behind its arguments.
    fn order<'b>(&mut self, order: u8, after: &'b [u8]) -> &'b [u8] {
        let argument = |at: usize| after.get(at).copied().unwrap_or(0);
        let used = match order {
            RESIZE => {
                let (columns, rows) = (u16::from(argument(0)), u16::from(argument(1)));
                let pixels = (columns * 8, rows * 16);
                self.event(Event::Resized(Window {
                    columns,
                    rows,
                    pixels: (rows % 2 == 1).then_some(pixels),
                }));
                2
            }
            TICK => {
                self.now += Duration::from_millis(u64::from(argument(0)) * 20);
                self.event(Event::Tick);
                1
            }
            QUIET => {
                self.quiet();
                0
            }
            WORKER => {
                self.event(Event::News(News::Event(said(argument(0)))));
                1
            }
            LINK if argument(0) % 2 == 0 => {
                let retry_at = self.now + Duration::from_secs(3);
                self.event(Event::News(News::Down { reason: "the line broke".into(), retry_at }));
                1
            }
            LINK => {
                self.event(Event::News(News::Connected(Box::new(snapshot()))));
                1
            }
            _ => {
                let window = self.state.view.window;
                self.event(Event::Resized(window));
                0
            }
        };
        &after[used.min(after.len())..]
    }

    fn draw(&mut self) {
        let window = self.state.view.window;
        let frame = view::draw(&self.state);
        assert_eq!((frame.buffer.area.width, frame.buffer.area.height), (window.columns, window.rows));
        if let Some(cursor) = frame.cursor {
            assert!(
                cursor.x < window.columns && cursor.y < window.rows,
                "{cursor:?} is outside of {window:?}"
            );
        }
        self.screen.bytes(frame).expect("it writes to memory");
    }
}

/// One of the worker's events.
fn said(which: u8) -> message::Event {
    let id = i64::from(which % 16 / 4) + 1;
    match which % 4 {
        0 => message::Event::Finished(Box::new(picture(id))),
        1 => {
            let rgb = Bytes::from(vec![which; 3 * 16]);
            let preview = Preview::new(JobId(id), 0, u32::from(which), (4, 4), rgb);
            message::Event::Preview(preview.expect("the length fits"))
        }
        2 => message::Event::Job(job(id, JobState::Running)),
        _ => message::Event::Job(job(id, if which > 128 { JobState::Done } else { JobState::Queued })),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        worker: WorkerInfo { protocol: 1, version: "0".into(), pid: 1, started_at: 0 },
        models: Vec::new(),
        engines: Vec::new(),
        jobs: (1..=3).map(|id| job(id, JobState::Queued)).collect(),
        running: Vec::new(),
        history: (1..=9).rev().map(picture).collect(),
        paused: false,
        history_total: 9,
        readings: None,
        fetches: Vec::new(),
        checks: Vec::new(),
        rebuilt: None,
    }
}

fn job(id: i64, state: JobState) -> JobStatus {
    let prompt = Prompt::new("霓虹 alley, fog").expect("a prompt");
    let size = Size::new(128, 128).expect("a size");
    let job = Job::new(prompt, ModelName::new("nano"), size, 20, 3.5, Seed::Random, 1).expect("a job");
    JobStatus { id: JobId(id), job, first_seed: 7, state, done: 0, accepted_at: 0 }
}

fn picture(id: i64) -> Picture {
    let Job { prompt, model, size, .. } = job(id, JobState::Done).job;
    let recipe = Recipe {
        prompt,
        template: None,
        model,
        size,
        steps: 20,
        guidance: 3.5,
        seed: id.unsigned_abs(),
        precision: "fp32".into(),
        cuts: Vec::new(),
        times: Times::default(),
        loras: Vec::new(),
    };
    Picture::drawn((PictureId(id), JobId(id), 0), recipe, format!("/pictures/{id}.png").into(), id)
}
