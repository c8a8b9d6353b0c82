//! The loop: take every event there is, update, do what is to be done, draw once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::effect::Effect;
use super::event::{Event, Signal};
use super::files::Files;
use super::gatherer::Gatherer;
use super::habits::Habits;
use super::input::{EscapeWait, Input};
use super::keyboard::Keyboard;
use super::link::{self, Ask, Connect, Link};
use super::picture::{PictureThread, Slot};
use super::state::State;
use super::terminal::clipboard::{self, Between};
use super::terminal::device::{controlling_terminal, window};
use super::terminal::editor::{EditorError, PromptEditor};
use super::terminal::facts::QUESTIONS;
use super::terminal::guard::{
    TerminalGuard, drop_kitty_pictures, has_panicked, note_kitty_picture, note_transmission,
};
use super::terminal::line::{ASK, Sent};
use super::terminal::output::Output;
use super::terminal::screen::{Holds, Screen};
use super::terminal::tell::{self, Surroundings};
use super::tmuxes::Tmuxes;
use super::{StudioError, telling, update, view};
use crate::paths::Paths;

/// Between two frames: a key that comes right behind a frame is still on the screen within 16 ms.
const FRAME: Duration = Duration::from_millis(8);
/// Events taken before a frame is drawn, so that no flood of them keeps the screen from changing.
const EVENTS_A_FRAME: usize = 1024;
/// Frames in a row, less one, that leave pictures for the next because of keys.
const HELD_MAX: u8 = 16;
/// Who has pressed no key for so long does not type: on a slow line pictures that cannot be divided come then.
const REST: Duration = Duration::from_millis(800);
/// Events that may wait to be taken.
const QUEUE: usize = 1024;
/// How long a stop may take to come; see [`Running::suspend`].
const STOP_WAIT: Duration = Duration::from_millis(200);
/// How long after another program had the terminal its Ctrl-C may still reach us.
const LATE: Duration = Duration::from_secs(1);
/// How long an answer of the terminal is waited for before another program has it.
const LAST_ANSWER: Duration = Duration::from_millis(500);
/// How long leaving waits for a slow line to take the last frame.
const LAST_FRAME: Duration = Duration::from_secs(2);

/// Runs until the person leaves. The first frame is out before anything else is begun.
pub(super) async fn run<C: Connect>(
    source: C,
    mut state: State,
    files: (Paths, Habits),
) -> Result<(), StudioError> {
    let terminal = controlling_terminal().map_err(StudioError::Terminal)?;
    let terminal = terminal.ok_or(StudioError::NotATerminal)?;
    let (sender, events) = mpsc::channel(QUEUE);
    let guard = TerminalGuard::take().map_err(StudioError::Terminal)?;
    let output = Output::start(io::stdout()).map_err(StudioError::Terminal)?;
    update(&mut state, Event::Resized(window()), Instant::now());
    let mut screen = Screen::default();
    output.write(screen.bytes(view::draw(&state)).map_err(StudioError::Terminal)?);

    let wait = EscapeWait::over_ssh(state.terminal.environment.ssh);
    let signals = Signals::watch().map_err(StudioError::Terminal)?;
    let elsewhere = Arc::clone(&signals.elsewhere);
    let task = tokio::spawn(signals.pass_on(sender.clone()));
    let keyboard = Keyboard::start(terminal, wait, sender.clone()).map_err(StudioError::Terminal)?;
    let pictures = PictureThread::start(sender.clone()).map_err(StudioError::Terminal)?;
    let gatherer = Gatherer::new(files.0.config.clone(), sender.clone());
    let files = Files::start(files, sender.clone());
    let tmux = Tmuxes::new(sender.clone());
    let (link, connection) = link::start(source, sender);
    let unsent = Vec::new();
    let mut running = Running {
        state,
        screen,
        around: Surroundings::default(),
        output,
        guard,
        pictures,
        link,
        files,
        gatherer,
        tmux,
        keyboard,
        elsewhere,
        events,
        unsent,
        unsent_graphics: Vec::new(),
        asks_arrival: false,
        changed: true,
        typed: false,
        typed_at: None,
        held: 0,
    };
    running.probe();
    let result = running.until_left().await;
    running.answers_are_in().await;
    [&task, &connection].into_iter().for_each(JoinHandle::abort);
    // A line that takes nothing more must not keep the person from leaving.
    let _ = tokio::time::timeout(LAST_FRAME, running.output.idle()).await;
    // Nor must a disk that does not answer.
    let Running { files, events, guard, .. } = running;
    drop(events);
    drop(guard);
    let _ = tokio::time::timeout(LAST_FRAME, files.finish()).await;
    result
}

/// Everything that the loop holds.
struct Running<A> {
    state: State,
    screen: Screen,
    around: Surroundings,
    output: Output,
    guard: TerminalGuard,
    pictures: PictureThread,
    link: Link<A>,
    files: Files,
    gatherer: Gatherer,
    tmux: Tmuxes,
    keyboard: Keyboard,
    /// Whether another program has the terminal: then Ctrl-C is its key.
    elsewhere: Arc<Elsewhere>,
    events: mpsc::Receiver<Event>,
    /// Bytes that go out with the next frame.
    unsent: Vec<u8>,
    /// The same about pictures: nothing of that may stand in the middle of one.
    unsent_graphics: Vec<u8>,
    /// The next frame asks whether it has arrived, however small it is.
    asks_arrival: bool,
    /// Something happened since the last frame that may be seen.
    changed: bool,
    /// Keys came since the last frame.
    typed: bool,
    /// When the last frame with keys was drawn.
    typed_at: Option<Instant>,
    /// Frames in a row that left pictures for the next because of keys.
    held: u8,
}

impl<A: Ask> Running<A> {
    async fn until_left(&mut self) -> Result<(), StudioError> {
        let mut last_frame = Instant::now();
        while !self.output.has_failed() {
            if has_panicked() {
                return Err(StudioError::Panicked);
            }
            let now = Instant::now();
            if self.output.is_idle()
                && let Some((bytes, took)) = self.output.take_written()
            {
                self.tell(Event::Written(bytes, took));
                note_transmission(self.screen.is_sending());
            }
            let next_frame = self.next_frame(last_frame, now);
            if next_frame.is_some_and(|next| now >= next) && self.output.is_idle() {
                self.draw()?;
                last_frame = now;
                continue;
            }
            // Whatever was due has been done by the last update.
            let due = self.state.deadline();
            let waits = next_frame.is_some();
            let frame_waits = waits && self.output.is_idle();
            let event = tokio::select! {
                event = self.events.recv() => event,
                () = self.output.idle(), if waits && !frame_waits => continue,
                () = tokio::time::sleep_until(next_frame.unwrap_or(now).into()), if frame_waits => continue,
                () = tokio::time::sleep_until(due.unwrap_or(now).into()), if due.is_some() => Some(Event::Tick),
            };
            let Some(event) = event else { return Ok(()) };
            if self.take(event).await? == Flow::Leave {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes an event and all that wait behind it.
    async fn take(&mut self, event: Event) -> Result<Flow, StudioError> {
        let mut next = Some(event);
        let mut taken = 0;
        while let Some(event) = next {
            self.typed |= matches!(event, Event::Input(Input::Key(_) | Input::Paste { .. }));
            // That something has arrived is seen nowhere, and must not cost a frame for each piece.
            self.changed |= !matches!(event, Event::Arrived(_));
            for effect in update(&mut self.state, event, Instant::now()) {
                if self.perform(effect).await? == Flow::Leave {
                    return Ok(Flow::Leave);
                }
            }
            taken += 1;
            next = if taken < EVENTS_A_FRAME { self.events.try_recv().ok() } else { None };
        }
        Ok(Flow::Stay)
    }

    async fn perform(&mut self, effect: Effect) -> Result<Flow, StudioError> {
        match effect {
            Effect::Reenter => self.reenter()?,
            Effect::Suspend => self.suspend().await?,
            Effect::EditElsewhere(text) => return self.edit_elsewhere(&text).await,
            Effect::Quit => return Ok(Flow::Leave),
            quick => self.perform_quick(quick),
        }
        Ok(Flow::Stay)
    }

    /// Effects that neither wait nor fail.
    fn perform_quick(&mut self, effect: Effect) {
        match effect {
            Effect::Ask(question) => self.link.ask(question),
            Effect::Hurry => self.link.hurry(),
            Effect::Replace => self.link.replace(),
            Effect::Gather(gather) => self.gatherer.gather(gather),
            Effect::ReadSnippets => self.gatherer.read_snippets(),
            Effect::Encode(order) => {
                if order.means.protocol.is_kittys() {
                    note_kitty_picture(order.means.protocol, order.slot);
                }
                self.pictures.order(order);
            }
            Effect::Copy(text) => {
                let between = self.state.terminal.environment.between;
                self.unsent.extend_from_slice(clipboard::copy(&text, between).as_bytes());
            }
            Effect::DropPictures => {
                let drop = drop_kitty_pictures(Some(Slot::PREVIEW));
                self.unsent_graphics.extend_from_slice(drop.as_bytes());
            }
            Effect::Keep(what) => self.files.keep(what),
            Effect::Call(why) => {
                let bytes = tell::message(&why, &self.state.messages.wanted(), &self.state.terminal);
                self.unsent.extend_from_slice(bytes.as_bytes());
            }
            Effect::Repaint => self.screen.forget(),
            Effect::RepaintPictures => self.screen.forget_pictures(),
            Effect::Probe => self.probe(),
            Effect::AskArrived => self.asks_arrival = true,
            Effect::AskTmux => self.tmux.ask(),
            Effect::Reenter | Effect::Suspend | Effect::EditElsewhere(_) | Effect::Quit => {}
        }
    }

    /// When the next frame, or piece of one, is to be written, if there is anything to write. On a slow line what was typed
    /// goes at once, and all else when the line has had time for what went before.
    fn next_frame(&self, last: Instant, now: Instant) -> Option<Instant> {
        if !self.changed && !self.screen.is_behind() {
            let rests = self.typed_at.map_or(now, |at| at + REST);
            return self.screen.waits_for_rest().then(|| rests.max(last + FRAME));
        }
        let slow = self.state.line.piece().is_some();
        if slow && self.typed && self.changed {
            return Some(now);
        }
        Some(self.state.line.ready_at(now).filter(|_| slow).max(Some(last + FRAME)).unwrap_or(now))
    }

    /// Writes a frame if anything has changed, and otherwise more of the last one.
    fn draw(&mut self) -> Result<(), StudioError> {
        // No flood of keys keeps a picture from being shown.
        let typed = std::mem::take(&mut self.typed);
        self.held = if typed { (self.held + 1) % HELD_MAX } else { 0 };
        self.typed_at = if typed { Some(Instant::now()) } else { self.typed_at };
        let typing = self.typed_at.is_some_and(|at| Instant::now() < at + REST);
        self.screen.hold(match (self.held > 0, typing) {
            (true, _) => Holds::Pictures,
            (false, true) => Holds::Whole,
            (false, false) => Holds::Nothing,
        });
        let room = self.state.line.piece();
        let bytes = match std::mem::take(&mut self.changed) {
            true => self.screen.begin(view::draw(&self.state), room),
            false => self.screen.more(room),
        };
        let mut bytes = bytes.map_err(StudioError::Terminal)?;
        let around = telling::around(&self.state);
        let told = self.around.bytes(around, &self.state.messages.wanted(), &self.state.terminal);
        bytes.extend_from_slice(told.as_bytes());
        bytes.append(&mut self.unsent);
        if self.screen.is_sending().is_none() {
            bytes.append(&mut self.unsent_graphics);
        } else {
            note_transmission(self.screen.is_sending());
        }
        self.send(bytes);
        Ok(())
    }

    /// Writes bytes, with a question behind them where the answer will tell something.
    fn send(&mut self, mut bytes: Vec<u8>) {
        let now = Instant::now();
        let wanted = self.asks_arrival && !self.state.line.answer_is_due(now);
        let asks =
            self.state.terminal.has_answered() && (wanted || self.state.line.asks_about(bytes.len(), now));
        self.asks_arrival = false;
        if asks {
            bytes.extend_from_slice(ASK.as_bytes());
        }
        self.tell(Event::Sent(Sent { bytes: bytes.len(), asks, behind: self.screen.is_behind() }));
        self.output.write(bytes);
    }

    /// Waits a moment for an answer that is due: whoever has the terminal next would take it for keys.
    async fn answers_are_in(&mut self) {
        let until = tokio::time::Instant::now() + LAST_ANSWER;
        while self.state.line.answer_is_due(Instant::now()) {
            match tokio::time::timeout_at(until, self.events.recv()).await {
                Ok(Some(event)) => self.tell(event),
                _ => return,
            }
        }
    }

    /// Something that happened in the loop itself.
    fn tell(&mut self, event: Event) {
        for effect in update(&mut self.state, event, Instant::now()) {
            self.perform_quick(effect);
        }
    }

    fn probe(&mut self) {
        if self.state.terminal.environment.can_be_asked() {
            self.unsent.extend_from_slice(QUESTIONS.as_bytes());
        }
        if self.state.terminal.environment.between == Between::Tmux {
            self.tmux.ask();
        }
    }

    fn reenter(&mut self) -> Result<(), StudioError> {
        self.guard.retake().map_err(StudioError::Terminal)?;
        self.screen.forget();
        self.around.forget();
        // The window may be another by now.
        for effect in update(&mut self.state, Event::Resized(window()), Instant::now()) {
            self.perform_quick(effect);
        }
        self.probe();
        Ok(())
    }

    /// Gives the terminal back and stops the whole process group, as the shell expects of Ctrl-Z:
    /// under `cargo run`, cargo must stop too.
    async fn suspend(&mut self) -> Result<(), StudioError> {
        let mut continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))
            .map_err(StudioError::Terminal)?;
        let _ = tokio::time::timeout(LAST_FRAME, self.output.idle()).await;
        self.answers_are_in().await;
        self.guard.release();
        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)
            .map_err(|error| StudioError::Terminal(error.into()))?;
        // The stop may come a moment after the call. Where no shell watches over the group it never
        // comes, and then the screen returns.
        let _ = tokio::time::timeout(STOP_WAIT, continued.recv()).await;
        self.reenter()
    }
}

impl<A: Ask> Running<A> {
    /// Gives terminal and keys to the person's editor until it ends. What happens meanwhile is taken, and not drawn.
    async fn edit_elsewhere(&mut self, text: &str) -> Result<Flow, StudioError> {
        let _ = tokio::time::timeout(LAST_FRAME, self.output.idle()).await;
        self.answers_are_in().await;
        let keys = self.keyboard.release().await.map_err(StudioError::Terminal)?;
        self.guard.release();
        self.elsewhere.begins();
        let mut flow = Flow::Stay;
        let edited = match PromptEditor::start(text, keys) {
            Err(reason) => Err(reason),
            Ok(mut editor) => loop {
                tokio::select! {
                    ended = editor.ended() => break editor.finish(ended),
                    event = self.events.recv() => {
                        let effects = event.map_or_else(|| vec![Effect::Quit], |event| {
                            update(&mut self.state, event, Instant::now())
                        });
                        if effects.contains(&Effect::Quit) {
                            flow = Flow::Leave;
                            break Err(EditorError::Ending);
                        }
                        effects.into_iter().for_each(|effect| self.perform_quick(effect));
                    }
                }
            },
        };
        self.elsewhere.ends();
        self.keyboard.retake().map_err(StudioError::Terminal)?;
        self.reenter()?;
        for effect in update(&mut self.state, Event::Edited(edited), Instant::now()) {
            self.perform_quick(effect);
        }
        Ok(flow)
    }
}

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Stay,
    Leave,
}

/// The signals that the studio answers to.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    resized: tokio::signal::unix::Signal,
    continued: tokio::signal::unix::Signal,
    elsewhere: Arc<Elsewhere>,
}

/// Whether another program has the terminal.
#[derive(Debug, Default)]
struct Elsewhere {
    has_terminal: AtomicBool,
    ended: Mutex<Option<Instant>>,
}

impl Elsewhere {
    fn begins(&self) {
        self.has_terminal.store(true, Ordering::SeqCst);
    }

    fn ends(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.has_terminal.store(false, Ordering::SeqCst);
    }

    fn has_terminal(&self) -> bool {
        self.has_terminal.load(Ordering::SeqCst)
    }

    /// Ctrl-C goes to the whole group of processes: what ended the other program may be heard of after its end.
    fn has_interrupts(&self) -> bool {
        let ended = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_terminal() || ended.is_some_and(|ended| ended.elapsed() < LATE)
    }
}

impl Signals {
    fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            resized: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
            elsewhere: Arc::default(),
        })
    }

    async fn pass_on(mut self, events: mpsc::Sender<Event>) {
        loop {
            let event = tokio::select! {
                _ = self.terminate.recv() => Event::Signal(Signal::End),
                _ = self.hang_up.recv() => Event::Signal(Signal::End),
                _ = self.interrupt.recv() => match self.elsewhere.has_interrupts() {
                    true => continue,
                    false => Event::Signal(Signal::End),
                },
                _ = self.resized.recv() => Event::Resized(window()),
                _ = self.continued.recv() => match self.elsewhere.has_terminal() {
                    true => continue,
                    false => Event::Signal(Signal::Continued),
                },
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}
