//! Takes the terminal and gives it back: on leaving, on a panic, on a signal, before a suspension.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use super::tell::{NO_PROGRESS, TITLE_BACK, TITLE_KEPT};
use super::transmission;
use crate::ui::picture::{Protocol, Slot, kitty_delete};

/// Alternate screen, bracketed paste, mouse (buttons and wheel, SGR form), focus reports, a bar
/// as the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?2004h\x1b[?1000h\x1b[?1006h\x1b[?1004h\x1b[6 q\x1b[?25l";
/// The reverse; an open synchronized update is ended first, or nothing would be seen.
const LEAVE: &str =
    "\x1b[?2026l\x1b[0m\x1b[0 q\x1b[?1004l\x1b[?1006l\x1b[?1000l\x1b[?2004l\x1b[?1049l\x1b[?25h";

static TAKEN: AtomicBool = AtomicBool::new(false);
/// By which of its protocols kitty was sent pictures that it should drop, each up to which slot.
static HOLDS_PICTURES: Mutex<Vec<(Protocol, Slot)>> = Mutex::new(Vec::new());
/// Whether the title is ours, and the one before is kept by the terminal.
static HOLDS_TITLE: AtomicBool = AtomicBool::new(false);
/// Whether the terminal shows a progress.
static HOLDS_PROGRESS: AtomicBool = AtomicBool::new(false);
/// A thread or task of this process panicked, and its message is on the terminal.
static PANICKED: AtomicBool = AtomicBool::new(false);
/// Whether a picture may be half on its way to kitty: 0 no, 1 yes, 2 yes and wrapped for tmux.
static TRANSMISSION: AtomicU8 = AtomicU8::new(0);
static HOOK: Once = Once::new();

/// The terminal is ours while this lives.
#[derive(Debug)]
pub struct TerminalGuard(());

impl TerminalGuard {
    /// Takes the terminal.
    ///
    /// # Errors
    /// What the system says about raw mode, or about writing.
    pub fn take() -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                PANICKED.store(true, Ordering::SeqCst);
                give_back();
                before(panic);
            }));
        });
        let guard = Self(());
        guard.retake()?;
        Ok(guard)
    }

    /// Takes it again, after it was given back or someone else may have used it.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn retake(&self) -> io::Result<()> {
        // crossterm remembers what to restore; whoever stopped us may have changed the modes since.
        crossterm::terminal::disable_raw_mode()?;
        crossterm::terminal::enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let mut output = io::stdout().lock();
        output.write_all(ENTER.as_bytes())?;
        output.flush()
    }

    /// Gives it back for now.
    pub fn release(&self) {
        give_back();
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether anything has panicked: the terminal was given back, so the studio must end.
pub fn has_panicked() -> bool {
    PANICKED.load(Ordering::SeqCst)
}

/// Kitty was sent a picture for this slot: it is deleted on leaving.
pub fn note_kitty_picture(protocol: Protocol, slot: Slot) {
    let mut held = HOLDS_PICTURES.lock().unwrap_or_else(PoisonError::into_inner);
    match held.iter_mut().find(|(known, _)| *known == protocol) {
        Some((_, last)) => *last = (*last).max(slot),
        None => held.push((protocol, slot)),
    }
}

/// A picture is half on its way to kitty, and whether wrapped for tmux; `None` when none is. It is ended on leaving: the
/// terminal would take what comes next for the rest of it.
pub fn note_transmission(wrapped: Option<bool>) {
    TRANSMISSION.store(wrapped.map_or(0, |wrapped| 1 + u8::from(wrapped)), Ordering::SeqCst);
}

/// What ends a picture that is half on its way: first the sequence that may be half written, then the transmission.
fn ended_transmission() -> String {
    match TRANSMISSION.swap(0, Ordering::SeqCst) {
        0 => String::new(),
        kind => format!("\x1b\\{}", transmission::end(kind == 2)),
    }
}

/// What has kitty drop its pictures in the slots after `above`. A lock that is held by whoever panicked is not waited for.
#[must_use]
pub fn drop_kitty_pictures(above: Option<Slot>) -> String {
    let Ok(held) = HOLDS_PICTURES.try_lock() else { return String::new() };
    held.iter().map(|(protocol, last)| kitty_delete(*protocol, above, *last)).collect()
}

/// The title will be ours: what keeps the one before, the first time. It comes back on leaving.
#[must_use]
pub fn keep_title() -> &'static str {
    if HOLDS_TITLE.swap(true, Ordering::SeqCst) { "" } else { TITLE_KEPT }
}

/// The terminal shows a progress: none on leaving.
pub fn note_progress() {
    HOLDS_PROGRESS.store(true, Ordering::SeqCst);
}

/// Does nothing when the terminal is not taken, so it may be called from anywhere. A terminal that
/// is gone cannot be restored; that is no error here.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut leave = ended_transmission();
    leave.push_str(&drop_kitty_pictures(None));
    leave.push_str(LEAVE);
    if HOLDS_TITLE.swap(false, Ordering::SeqCst) {
        leave.push_str(TITLE_BACK);
    }
    if HOLDS_PROGRESS.swap(false, Ordering::SeqCst) {
        leave.push_str(NO_PROGRESS);
    }
    // Not through the lock of `stdout`: the thread that panicked may hold it.
    let mut rest = leave.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), rest) {
            Ok(0) => break,
            Ok(written) => rest = &rest[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    let _ = crossterm::terminal::disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_half_on_its_way_is_ended_once_and_first_of_all() {
        note_transmission(Some(false));
        assert_eq!(ended_transmission(), "\x1b\\\x1b_Gq=2,m=0;\x1b\\");
        assert_eq!(ended_transmission(), "");
        note_transmission(Some(true));
        assert_eq!(ended_transmission(), "\x1b\\\x1bPtmux;\x1b\x1b_Gq=2,m=0;\x1b\x1b\\\x1b\\");
        note_transmission(Some(true));
        note_transmission(None);
        assert_eq!(ended_transmission(), "");
    }
}
