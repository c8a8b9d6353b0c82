//! A program in a pretended kitty behind a line of 1 Mbit/s: what is read is read at that rate and answered.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Bytes a second.
const RATE: f64 = 125e3;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came over the line: sequences of kitty's graphics, and all else between them.
#[derive(Debug, Default, Clone)]
pub struct Sent {
    /// In their order; of a graphics command what stands within it.
    parts: Vec<Part>,
    /// What is no whole part yet.
    rest: Vec<u8>,
    ended: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Graphics(String),
}

impl Sent {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        loop {
            let find = |what: &[u8]| self.rest.windows(what.len()).position(|found| found == what);
            let whole = match find(b"\x1b_G") {
                Some(0) => {
                    let Some(end) = find(b"\x1b\\") else { return };
                    let command = String::from_utf8_lossy(&self.rest[3..end]).into_owned();
                    self.parts.push(Part::Graphics(command));
                    end + 2
                }
                Some(text) => self.text(text),
                // What may be the beginning of a command waits for the rest of it.
                None => {
                    let kept =
                        self.rest.iter().rev().take(2).position(|byte| *byte == 0x1b).map_or(0, |at| at + 1);
                    let whole = self.text(self.rest.len() - kept);
                    self.rest.drain(..whole);
                    return;
                }
            };
            self.rest.drain(..whole);
        }
    }

    fn text(&mut self, length: usize) -> usize {
        let text = String::from_utf8_lossy(&self.rest[..length]);
        match self.parts.last_mut() {
            Some(Part::Text(before)) => before.push_str(&text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part::Text(text.into_owned())),
        }
        length
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Graphics(_) => None,
        })
    }

    /// How often a letter was written that no sequence and no word of the studio has.
    pub fn echoes(&self, letter: char) -> usize {
        self.texts().map(|text| text.matches(letter).count()).sum()
    }

    /// Whether a letter stands between two pieces of one transmission.
    pub fn has_echo_within_a_transmission(&self, letter: char) -> bool {
        self.parts.windows(3).any(|parts| match parts {
            [Part::Graphics(before), Part::Text(text), Part::Graphics(after)] => {
                is_divided(before) && text.contains(letter) && is_continued(after) && !after.ends_with(';')
            }
            _ => false,
        })
    }

    /// Whether a picture was begun.
    pub fn has_pictures(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Graphics(command) if command.starts_with("a=T,")))
    }

    /// Whether a transmission is under way.
    pub fn is_open(&self) -> bool {
        let last = self.parts.iter().rev().find_map(|part| match part {
            Part::Graphics(command) => Some(command),
            Part::Text(_) => None,
        });
        last.is_some_and(|command| is_divided(command))
    }

    /// A command that stands within a transmission and is no part of it, by its keys.
    pub fn misplaced(&self) -> Option<String> {
        let mut open = false;
        for part in &self.parts {
            let Part::Graphics(command) = part else { continue };
            if open != is_continued(command) {
                return command.split(';').next().map(str::to_owned);
            }
            open = is_divided(command);
        }
        None
    }
}

fn keys(command: &str) -> &str {
    command.split(';').next().unwrap_or_default()
}

/// More of it is to come.
fn is_divided(command: &str) -> bool {
    keys(command).ends_with("m=1")
}

/// It is no first piece.
fn is_continued(command: &str) -> bool {
    keys(command).starts_with("q=2,m=")
}

/// A kitty of 120x40, and the program in it.
pub struct Kitty {
    child: Box<dyn Child + Send + Sync>,
    keys: Arc<Mutex<Box<dyn std::io::Write + Send>>>,
    sent: Arc<(Mutex<Sent>, Condvar)>,
    _master: Box<dyn MasterPty + Send>,
}

impl Kitty {
    /// Starts a program in a terminal that says `answers` to the last of the first questions.
    pub fn start(mut command: CommandBuilder, answers: &str) -> Self {
        let size = PtySize { rows: 40, cols: 120, pixel_width: 1200, pixel_height: 800 };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("LANG", "C.UTF-8");
        for name in ["TMUX", "STY", "ZELLIJ", "NO_COLOR", "LC_ALL", "LC_MESSAGES", "LANGUAGE"] {
            command.env_remove(name);
        }
        // What a slow line is known by at once: a terminal on this machine is given more time.
        command.env("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22");
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("the terminal can be read");
        let keys = Arc::new(Mutex::new(pair.master.take_writer().expect("the terminal can be written")));
        let sent = Arc::new((Mutex::new(Sent::default()), Condvar::new()));
        let (of_thread, answered, answers) = (Arc::clone(&sent), Arc::clone(&keys), answers.to_owned());
        std::thread::spawn(move || {
            let (mut piece, mut due, mut tail) = ([0; 512], Instant::now(), Vec::new());
            while let Ok(count @ 1..) = reader.read(&mut piece) {
                // What comes after a pause is not owed the time of the pause.
                due = due.max(Instant::now()) + Duration::from_secs_f64(count as f64 / RATE);
                carry_until(due);
                of_thread.0.lock().unwrap_or_else(PoisonError::into_inner).take(&piece[..count]);
                of_thread.1.notify_all();
                tail.extend_from_slice(&piece[..count]);
                for (asked, answer) in [("\x1b[c", answers.as_str()), ("\x1b[5n", "\x1b[0n")] {
                    let asks = tail.windows(asked.len()).filter(|found| *found == asked.as_bytes()).count();
                    let mut keys = answered.lock().unwrap_or_else(PoisonError::into_inner);
                    // A program that has ended reads no answers.
                    (0..asks).for_each(|_| drop(keys.write_all(answer.as_bytes())));
                }
                // No question is longer, and none that was seen is kept.
                let kept = tail.iter().rev().take(3).position(|byte| *byte == 0x1b).map_or(0, |at| at + 1);
                tail.drain(..tail.len() - kept);
            }
            of_thread.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            of_thread.1.notify_all();
        });
        Self { child, keys, sent, _master: pair.master }
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &str) {
        let mut writer = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// What holds of all that came until now.
    pub fn sent<T>(&self, of: impl FnOnce(&Sent) -> T) -> T {
        of(&self.sent.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until that holds of what came.
    pub fn until(&self, what: &str, holds: impl Fn(&Sent) -> bool) {
        let (sent, changed) = &*self.sent;
        let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(sent, PATIENCE, |sent| !holds(sent) && !sent.ended);
        let (sent, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let end = sent.parts.len().saturating_sub(6);
        assert!(holds(&sent), "no {what}; last {:?}", &sent.parts[end..]);
    }

    /// Waits until that was written.
    pub fn see(&self, text: &str) {
        self.until(text, |sent| sent.texts().any(|all| all.contains(text)));
    }

    /// Waits until the program has ended; all that it sent.
    pub fn ended(mut self) -> Sent {
        self.until("end", |sent| sent.ended);
        assert_eq!(self.child.wait().expect("it has ended").exit_code(), 0);
        self.sent(Clone::clone)
    }
}

/// The line is busy until then.
fn carry_until(due: Instant) {
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
