//! What a person and their terminal send: bytes in, [`Input`]s out.
//!
//! The decoder is our own because a terminal's *reports* (what it is, what it can draw, how large
//! its cells are) arrive in the same stream as keys, whenever they like: here a late report is
//! still a report and never a keystroke, and keys typed ahead are never lost to a query.
//!
//! Not here: what a key does ([`super::keymap`]), what a report means ([`super::terminal`]).

mod csi;
mod decoder;
mod reader;
mod strings;

pub use decoder::Decoder;
pub(super) use reader::registered;
pub use reader::{EscapeWait, read_terminal};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent};

/// One thing that the terminal sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// A button or the wheel.
    Mouse(MouseEvent),
    /// Pasted text, as it came: its line ends and control characters are the editor's to judge.
    Paste {
        /// At most [`crate::job::PROMPT_BYTES`] of it.
        text: String,
        /// Bytes beyond that, which were dropped.
        dropped: usize,
    },
    /// The terminal's window came to the front (`true`) or left it.
    Focus(bool),
    /// An answer to one of our queries.
    Report(Report),
}

/// What a terminal says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// DA1, the last answer to a round of queries. 4 among them: it draws sixel.
    Attributes(Vec<u32>),
    /// XTVERSION: `kitty(0.35.2)`, `tmux 3.3a`, `XTerm(379)`.
    Version(String),
    /// Its answer to the query of kitty's graphics protocol; `true` for `OK`.
    KittyGraphics(bool),
    /// CSI 16 t: one cell, in pixels.
    CellPixels {
        /// Across.
        width: u16,
        /// Down.
        height: u16,
    },
    /// CSI 14 t: the text area, in pixels.
    AreaPixels {
        /// Across.
        width: u16,
        /// Down.
        height: u16,
    },
    /// DSR: all that was written before the question has arrived.
    Arrived,
    /// OSC 11: the background, red, green, blue.
    Background([u8; 3]),
    /// DECRPM: a mode and what is known of it (1 set, 2 reset, 0 unknown).
    Mode {
        /// Which mode.
        mode: u32,
        /// Its state.
        state: u32,
    },
}

/// A key press without more ado.
fn key(code: KeyCode, modifiers: KeyModifiers) -> Input {
    Input::Key(KeyEvent::new(code, modifiers))
}
