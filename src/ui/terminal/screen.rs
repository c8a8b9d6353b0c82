//! From cells to bytes: only what changed, in one synchronized update, and nothing at all when
//! nothing did.

use std::io::{self, Write};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect, Size};

/// What is on the terminal, as far as we know.
#[derive(Debug)]
pub struct Screen {
    shown: Buffer,
    cursor: Option<Position>,
    /// Where pixels lie that would outlive the cells over them.
    pixels: Option<Pixels>,
    stale: bool,
}

/// A picture whose pixels stay when cells are written over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pixels {
    /// Where.
    pub area: Rect,
    /// Which picture.
    pub number: u64,
}

/// One whole picture of the screen.
#[derive(Debug)]
pub struct Frame {
    /// Every cell.
    pub buffer: Buffer,
    /// The cursor; `None` hides it.
    pub cursor: Option<Position>,
    /// A picture by sixel or iTerm2.
    pub pixels: Option<Pixels>,
}

impl Default for Screen {
    fn default() -> Self {
        Self { shown: Buffer::empty(Rect::ZERO), cursor: None, pixels: None, stale: true }
    }
}

impl Screen {
    /// Nothing is known of the terminal any more: the next frame clears it and is written whole.
    pub fn forget(&mut self) {
        self.stale = true;
    }

    /// The bytes that turn what is shown into `frame`; empty when that is the same.
    ///
    /// # Errors
    /// None in practice: it writes to memory.
    pub fn bytes(&mut self, frame: Frame) -> io::Result<Vec<u8>> {
        let moved = self.pixels.is_some_and(|pixels| frame.pixels.is_none_or(|new| new.area != pixels.area));
        let anew = self.stale || moved || self.shown.area != frame.buffer.area;
        if anew {
            self.shown = Buffer::empty(frame.buffer.area);
        }
        let changes = self.shown.diff(&frame.buffer);
        if changes.is_empty() && !anew && self.cursor == frame.cursor {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend_from_slice(b"\x1b[?2026h");
        if self.cursor.is_some() {
            bytes.extend_from_slice(b"\x1b[?25l");
        }
        if anew {
            bytes.extend_from_slice(b"\x1b[0m\x1b[2J");
        }
        if !changes.is_empty() {
            CrosstermBackend::new(&mut bytes).draw(changes.into_iter())?;
        }
        if let Some(Position { x, y }) = frame.cursor {
            write!(bytes, "\x1b[{};{}H\x1b[?25h", y + 1, x + 1)?;
        }
        bytes.extend_from_slice(b"\x1b[?2026l");
        *self = Self { shown: frame.buffer, cursor: frame.cursor, pixels: frame.pixels, stale: false };
        Ok(bytes)
    }
}

impl Frame {
    /// An empty one.
    #[must_use]
    pub fn empty(size: Size) -> Self {
        Self { buffer: Buffer::empty(Rect::new(0, 0, size.width, size.height)), cursor: None, pixels: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str, cursor: Option<Position>) -> Frame {
        let mut frame = Frame::empty(Size::new(20, 2));
        frame.buffer.set_string(0, 0, text, ratatui::style::Style::new());
        frame.cursor = cursor;
        frame
    }

    fn bytes(screen: &mut Screen, frame: Frame) -> String {
        String::from_utf8(screen.bytes(frame).expect("memory can be written")).expect("UTF-8")
    }

    #[test]
    fn the_first_frame_clears_the_second_writes_only_what_changed_the_third_nothing() {
        let mut screen = Screen::default();
        let cursor = Some(Position::new(3, 0));
        let first = bytes(&mut screen, frame("a red apple", cursor));
        assert!(first.contains("\x1b[2J") && first.contains("apple"), "{first:?}");
        let second = bytes(&mut screen, frame("a red maple", cursor));
        assert!(
            second.contains("ma") && !second.contains("red") && !second.contains("\x1b[2J"),
            "{second:?}"
        );
        assert!(second.starts_with("\x1b[?2026h") && second.ends_with("\x1b[?2026l"), "{second:?}");
        assert_eq!(bytes(&mut screen, frame("a red maple", cursor)), "");
        let moved = bytes(&mut screen, frame("a red maple", Some(Position::new(4, 0))));
        assert!(moved.contains("\x1b[1;5H"), "{moved:?}");
    }

    #[test]
    fn pixels_that_move_or_go_clear_the_screen_and_those_that_change_do_not() {
        let mut screen = Screen::default();
        let with = |x, number| {
            let pixels = Some(Pixels { area: Rect::new(x, 0, 4, 1), number });
            Frame { pixels, ..frame("text", None) }
        };
        bytes(&mut screen, with(2, 1));
        assert!(!bytes(&mut screen, with(2, 2)).contains("\x1b[2J"));
        assert!(bytes(&mut screen, with(3, 3)).contains("\x1b[2J"));
        assert!(bytes(&mut screen, frame("text", None)).contains("\x1b[2J"));
        assert_eq!(bytes(&mut screen, frame("text", None)), "");
    }

    #[test]
    fn a_screen_that_was_forgotten_is_written_whole() {
        let mut screen = Screen::default();
        bytes(&mut screen, frame("text", None));
        screen.forget();
        assert!(bytes(&mut screen, frame("text", None)).contains("text"));
    }
}
