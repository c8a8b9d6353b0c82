//! Whole journeys: the loop in a real PTY with a worker that pretends, keys in, screen out. What is
//! tested here is what only a terminal shows: modes, signals, late replies, leaving.

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long anything may take. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// ICANON and ECHO, as Linux numbers them.
const COOKED: u32 = 0o12;

/// The studio in a terminal.
struct Journey {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    terminal: Arc<(Mutex<vt100::Parser>, Condvar)>,
    master: Box<dyn MasterPty + Send>,
}

impl Journey {
    fn start(test: &str) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a PTY");
        let mut command = CommandBuilder::new(std::env::current_exe().expect("this test's program"));
        command.args([test, "--exact", "--ignored", "--nocapture"]);
        command.env("TERM", "xterm-256color");
        for name in ["TMUX", "STY", "ZELLIJ", "NO_COLOR", "SSH_CONNECTION", "INSTA_UPDATE"] {
            command.env_remove(name);
        }
        let child = pair.slave.spawn_command(command).expect("it starts");
        let mut output = pair.master.try_clone_reader().expect("a reader");
        let terminal = Arc::new((Mutex::new(vt100::Parser::new(24, 80, 0)), Condvar::new()));
        let of_thread = Arc::clone(&terminal);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                of_thread.0.lock().expect("no reader panics").process(&buffer[..count]);
                of_thread.1.notify_all();
            }
        });
        let keys = pair.master.take_writer().expect("a writer");
        Self { child, keys, terminal, master: pair.master }
    }

    fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until the screen is as wanted, and gives back what was found; shows it otherwise.
    fn until<T>(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> Option<T>) -> T {
        let (terminal, changed) = &*self.terminal;
        let deadline = Instant::now() + PATIENCE;
        let mut parser = terminal.lock().expect("no reader panics");
        loop {
            if let Some(found) = wanted(parser.screen()) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what}:\n{}", parser.screen().contents());
            parser = changed.wait_timeout(parser, left).expect("no reader panics").0;
        }
    }

    fn see(&self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text).then_some(()));
    }

    /// The colours in the middle of the preview.
    fn picture(screen: &vt100::Screen) -> Vec<vt100::Color> {
        (40..78).filter_map(|column| screen.cell(12, column)).map(vt100::Cell::bgcolor).collect()
    }

    /// Waits until the program has ended, and checks that the terminal is as it was.
    fn ended(mut self) -> u32 {
        let restored = |screen: &vt100::Screen| {
            let modes = screen.alternate_screen() || screen.bracketed_paste() || screen.hide_cursor();
            let mouse = screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None;
            (!modes && !mouse).then_some(())
        };
        self.until("restored terminal", restored);
        let status = self.child.wait().expect("it ends");
        // The line is cooked again: what is typed is echoed by the system.
        let modes = self.master.get_termios().expect("the terminal's modes");
        assert_eq!(modes.local_flags.bits() & COOKED, COOKED, "the terminal is still raw");
        status.exit_code()
    }
}

const BY_HAND: &str = "ui::fake::studio_by_hand";

#[test]
fn type_draw_watch_leave() {
    let mut journey = Journey::start(BY_HAND);
    journey.see("Nothing to set up");
    // A reply that comes while someone types is no keystroke, and takes none.
    journey.type_keys("a red\x1bP>|XTerm(379)\x1b\\ apple\x1b[?64;1;2c");
    journey.see("a red apple");
    journey.see("T5 5/32");
    journey.type_keys("\r");
    journey.see("drawing ");
    let first = journey.until("first preview", |screen| {
        let colours = Journey::picture(screen);
        colours.iter().any(|colour| matches!(colour, vt100::Color::Rgb(..))).then_some(colours)
    });
    journey.until("another preview", |screen| (Journey::picture(screen) != first).then_some(()));
    journey.see("History 1");
    journey.see("20 steps ·");
    journey.type_keys("\x03");
    assert_eq!(journey.ended(), 0);
}

#[test]
fn cancel_and_help_and_history() {
    let mut journey = Journey::start(BY_HAND);
    journey.see("Nothing to set up");
    journey.type_keys("\x1b[200~pasted\nin two lines\x1b[201~\r");
    journey.see("in two lines");
    journey.see("drawing ");
    journey.type_keys("\x1b");
    journey.see("ready");
    journey.see("History 0");
    journey.type_keys("\x1bOP");
    journey.see("In the prompt");
    journey.type_keys("q\t\tq");
    assert_eq!(journey.ended(), 0);
}

#[test]
fn a_signal_and_a_resize() {
    let journey = Journey::start(BY_HAND);
    journey.see("Nothing to set up");
    let small = PtySize { rows: 10, cols: 40, pixel_width: 0, pixel_height: 0 };
    journey.master.resize(small).expect("it is resized");
    journey.see("needs 60x15");
    let pid = journey.child.process_id().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is told to end");
    assert_eq!(journey.ended(), 0);
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_read_there() {
    let journey = Journey::start("ui::fake::studio_that_panics");
    journey.see("broken on purpose");
    assert_ne!(journey.ended(), 0);
}
