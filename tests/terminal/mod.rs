//! A program in a real terminal of 80x24: keys in, screen out, and whether it left the terminal as it
//! was. Shared by the studio's own journeys and by those of the whole program.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long anything may take. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// ICANON and ECHO, as Linux numbers them.
const COOKED: u32 = 0o12;

/// A program in a terminal.
pub struct Terminal {
    pub child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    terminal: Arc<(Mutex<vt100::Parser>, Condvar)>,
    /// How many bytes have come.
    written: Arc<AtomicUsize>,
    /// All of them.
    raw: Arc<Mutex<Vec<u8>>>,
    pub master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Starts a program; what would tell it of another terminal is taken from its environment.
    pub fn start(command: CommandBuilder) -> Self {
        Self::start_in("C.UTF-8", command)
    }

    /// The same for a person of another locale.
    pub fn start_in(locale: &str, mut command: CommandBuilder) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a PTY");
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        for name in ["TMUX", "STY", "ZELLIJ", "NO_COLOR", "SSH_CONNECTION", "INSTA_UPDATE"] {
            command.env_remove(name);
        }
        for name in ["LC_ALL", "LC_MESSAGES", "LANGUAGE"] {
            command.env_remove(name);
        }
        command.env("LANG", locale);
        let child = pair.slave.spawn_command(command).expect("it starts");
        let mut output = pair.master.try_clone_reader().expect("a reader");
        let terminal = Arc::new((Mutex::new(vt100::Parser::new(24, 80, 0)), Condvar::new()));
        let of_thread = Arc::clone(&terminal);
        let written = Arc::new(AtomicUsize::new(0));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let (counted, kept) = (Arc::clone(&written), Arc::clone(&raw));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                counted.fetch_add(count, Ordering::Relaxed);
                kept.lock().expect("no reader panics").extend_from_slice(&buffer[..count]);
                of_thread.0.lock().expect("no reader panics").process(&buffer[..count]);
                of_thread.1.notify_all();
            }
        });
        let keys = pair.master.take_writer().expect("a writer");
        Self { child, keys, terminal, written, raw, master: pair.master }
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until the screen is as wanted, and gives back what was found; shows it otherwise.
    pub fn until<T>(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> Option<T>) -> T {
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

    /// Waits until `text` is on the screen.
    pub fn see(&self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text).then_some(()));
    }

    /// Waits until the program has written these bytes, wherever a screen would not show them.
    pub fn sent(&self, bytes: &str) {
        let wanted = bytes.as_bytes();
        self.until(&format!("{bytes:?}"), |_| {
            let raw = self.raw.lock().expect("no reader panics");
            raw.windows(wanted.len()).any(|found| found == wanted).then_some(())
        });
    }

    /// The bytes that come within a while from now on, at the most: it waits for the first.
    pub fn written_within(&self, while_: Duration) -> usize {
        let (terminal, changed) = &*self.terminal;
        let before = self.written.load(Ordering::Relaxed);
        let since = || self.written.load(Ordering::Relaxed) - before;
        let parser = terminal.lock().expect("no reader panics");
        let waited = changed.wait_timeout_while(parser, while_, |_| since() == 0);
        drop(waited.expect("no reader panics"));
        since()
    }

    /// The colours in the middle of the preview.
    pub fn picture(screen: &vt100::Screen) -> Vec<vt100::Color> {
        (40..78).filter_map(|column| screen.cell(12, column)).map(vt100::Cell::bgcolor).collect()
    }

    /// The process that has the terminal: under a shell, the job in the foreground.
    pub fn foreground(&self) -> rustix::process::Pid {
        let leader = self.master.process_group_leader();
        leader.and_then(rustix::process::Pid::from_raw).expect("something has the terminal")
    }

    /// Nothing is left of the studio: neither its screen nor its modes.
    pub fn is_restored(screen: &vt100::Screen) -> bool {
        let modes = screen.alternate_screen() || screen.bracketed_paste() || screen.hide_cursor();
        let mouse = screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None;
        !modes && !mouse
    }

    /// Waits until the program has ended, and checks that the terminal is as it was.
    pub fn ended(mut self) -> u32 {
        self.until("restored terminal", |screen| Self::is_restored(screen).then_some(()));
        let status = self.child.wait().expect("it ends");
        // The line is cooked again: what is typed is echoed by the system.
        let modes = self.master.get_termios().expect("the terminal's modes");
        assert_eq!(modes.local_flags.bits() & COOKED, COOKED, "the terminal is still raw");
        status.exit_code()
    }
}
