//! Reads the terminal without a thread: whoever drops the task has the keyboard to themselves,
//! which suspending and, later, `$EDITOR` depend on.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::{Decoder, Input, Report};
use crate::ui::event::Event;

/// How long a sequence whose rest is late is waited for before it is given up. It is no key.
const LATE_REST: Duration = Duration::from_secs(1);
/// How long a paste may pause.
const PASTE_PAUSE: Duration = Duration::from_secs(10);
/// While answers to queries are due, an escape more likely begins one of them.
const WHILE_ASKING: Duration = Duration::from_millis(150);

/// How long an escape is waited on before it is the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscapeWait(pub Duration);

impl EscapeWait {
    /// 30 ms here, 100 ms over SSH, where the rest of a sequence may come in another packet.
    #[must_use]
    pub fn over_ssh(ssh: bool) -> Self {
        Self(Duration::from_millis(if ssh { 100 } else { 30 }))
    }
}

/// Reads `terminal` until it is gone, and sends what it decodes.
///
/// # Errors
/// What the system says about reading; a terminal that went away is [`Event::TerminalGone`].
pub async fn read_terminal(
    terminal: OwnedFd,
    wait: EscapeWait,
    events: mpsc::Sender<Event>,
) -> io::Result<()> {
    let terminal = registered(terminal)?;
    let mut decoder = Decoder::default();
    let mut asking = true;
    let mut buffer = [0_u8; 16 * 1024];
    loop {
        let mut inputs = Vec::new();
        let patience = patience(&decoder, wait, asking);
        match tokio::time::timeout(patience, read_some(&terminal, &mut buffer)).await {
            Err(_) => decoder.quiet(&mut inputs),
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => decoder.feed(&buffer[..count], &mut inputs),
            // EIO: the other end of the terminal was closed.
            Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => break,
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
        }
        for input in inputs {
            if matches!(input, Input::Report(Report::Attributes(_))) {
                asking = false;
            }
            // The time is told: whoever takes it may be drawing.
            let event = match input {
                Input::Report(Report::Arrived) => Event::Arrived(Instant::now()),
                input => Event::Input(input),
            };
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
    // Nobody listens any more when this fails; that is the same news.
    let _ = events.send(Event::TerminalGone).await;
    Ok(())
}

/// tokio deprecates this constructor because it takes types that may swap their descriptor; an
/// `OwnedFd` keeps its own, and the replacement would need `unsafe` to say the same.
#[expect(deprecated, reason = "sound for an OwnedFd, see above")]
pub(in crate::ui) fn registered(terminal: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(terminal)
}

fn patience(decoder: &Decoder, wait: EscapeWait, asking: bool) -> Duration {
    if !decoder.is_waiting() {
        Duration::from_secs(3600)
    } else if decoder.is_ambiguous() {
        if asking { wait.0.max(WHILE_ASKING) } else { wait.0 }
    } else if decoder.is_pasting() {
        PASTE_PAUSE
    } else {
        LATE_REST
    }
}

/// Reads what is there, waiting until something is. The descriptor is shared with the shell, so it
/// stays blocking: it is only read when a poll says that it will not block.
async fn read_some(terminal: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = terminal.readable().await?;
        if has_bytes(terminal.get_ref())? {
            return Ok(rustix::io::read(terminal.get_ref(), &mut *buffer)?);
        }
        ready.clear_ready();
    }
}

fn has_bytes(terminal: &OwnedFd) -> io::Result<bool> {
    let mut poll = [PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(rustix::event::poll(&mut poll, Some(&now))? > 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use crossterm::event::KeyCode;

    use super::*;

    /// A terminal's two ends, and what is read from it.
    fn terminal() -> (UnixStream, mpsc::Receiver<Event>) {
        let (person, terminal) = UnixStream::pair().expect("a pair of sockets");
        let (sender, events) = mpsc::channel(16);
        tokio::spawn(read_terminal(terminal.into(), EscapeWait::over_ssh(false), sender));
        (person, events)
    }

    async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
        event.expect("it comes within ten seconds").expect("the terminal is read")
    }

    fn code(event: &Event) -> Option<KeyCode> {
        match event {
            Event::Input(Input::Key(key)) => Some(key.code),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_lone_escape_becomes_the_key_after_a_moment_and_the_end_is_told() {
        let (mut person, mut events) = terminal();
        person.write_all(b"a\x1b").expect("it is read");
        assert_eq!(code(&next(&mut events).await), Some(KeyCode::Char('a')));
        assert_eq!(code(&next(&mut events).await), Some(KeyCode::Esc));
        drop(person);
        assert!(matches!(next(&mut events).await, Event::TerminalGone));
    }

    #[tokio::test]
    async fn a_report_in_two_packets_is_a_report_and_no_keys() {
        let (mut person, mut events) = terminal();
        person.write_all(b"\x1b[?62;").expect("it is read");
        // The reader must be seen to wait: nothing comes while the rest is missing.
        let early = tokio::time::timeout(Duration::from_millis(300), events.recv()).await;
        assert!(early.is_err(), "{early:?}");
        person.write_all(b"4cx").expect("it is read");
        let report = next(&mut events).await;
        assert!(
            matches!(&report, Event::Input(Input::Report(Report::Attributes(found))) if *found == [62, 4]),
            "{report:?}"
        );
        assert_eq!(code(&next(&mut events).await), Some(KeyCode::Char('x')));
    }
}
