//! From cells to bytes: only what changed, in one synchronized update, and nothing at all when
//! nothing did.

use std::io::{self, Write};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect, Size};

/// The most bytes of pictures in one frame, a single picture aside: half a second of a line of 1 Mbit/s.
const FRAME_PICTURES: usize = 48 << 10;
/// A cell whose text has so many bytes holds a picture.
const PICTURE: usize = 512;

/// What is on the terminal, as far as we know.
#[derive(Debug)]
pub struct Screen {
    shown: Buffer,
    cursor: Option<Position>,
    /// Where pixels lie that would outlive the cells over them.
    pixels: Vec<Pixels>,
    stale: bool,
    /// Pictures were left for the next frame.
    unwritten: bool,
    /// The next frame leaves all pictures for the one after it.
    holds: bool,
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
    /// Pictures by sixel, iTerm2 or kitty without placeholders.
    pub pixels: Vec<Pixels>,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            shown: Buffer::empty(Rect::ZERO),
            cursor: None,
            pixels: Vec::new(),
            stale: true,
            unwritten: false,
            holds: false,
        }
    }
}

impl Screen {
    /// Nothing is known of the terminal any more: the next frame clears it and is written whole.
    pub fn forget(&mut self) {
        self.stale = true;
    }

    /// The terminal has lost its pictures: they are written again, and nothing else. What lies in a picture's first cell
    /// begins with an escape.
    pub fn forget_pictures(&mut self) {
        let pictures = self.shown.content.iter_mut().filter(|cell| cell.symbol().starts_with('\x1b'));
        for cell in pictures {
            cell.set_symbol(" ");
        }
    }

    /// Leaves the pictures of the next frame for the one after it: what was typed goes first.
    pub fn hold_pictures(&mut self) {
        self.holds = true;
    }

    /// Whether the last frame left pictures for the next: it should follow as soon as the line is free.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.unwritten
    }

    /// The bytes that turn what is shown into `frame`; empty when that is the same. Of several pictures, those beyond
    /// [`FRAME_PICTURES`] are left for the next frame, so that keys are never behind all of them.
    ///
    /// # Errors
    /// None in practice: it writes to memory.
    pub fn bytes(&mut self, mut frame: Frame) -> io::Result<Vec<u8>> {
        let stays = |old: &Pixels| frame.pixels.iter().any(|new| new.area == old.area);
        let moved = !self.pixels.iter().all(stays);
        let anew = self.stale || moved || self.shown.area != frame.buffer.area;
        if anew {
            self.shown = Buffer::empty(frame.buffer.area);
        }
        let left = self.leave_pictures(&mut frame.buffer);
        let changes = self.shown.diff(&frame.buffer);
        if changes.is_empty() && !anew && self.cursor == frame.cursor {
            (self.unwritten, self.holds) = (left, false);
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
        *self = Self {
            shown: frame.buffer,
            cursor: frame.cursor,
            pixels: frame.pixels,
            stale: false,
            unwritten: left,
            holds: false,
        };
        Ok(bytes)
    }

    /// Puts what is shown in place of pictures for which this frame has no room; whether there are any.
    fn leave_pictures(&self, next: &mut Buffer) -> bool {
        let (mut bytes, mut left) = (0, false);
        for (cell, shown) in next.content.iter_mut().zip(&self.shown.content) {
            let length = cell.symbol().len();
            if length < PICTURE || cell == shown {
                continue;
            }
            if !self.holds && (bytes == 0 || bytes + length <= FRAME_PICTURES) {
                bytes += length;
            } else {
                *cell = shown.clone();
                left = true;
            }
        }
        left
    }
}

impl Frame {
    /// An empty one.
    #[must_use]
    pub fn empty(size: Size) -> Self {
        Self {
            buffer: Buffer::empty(Rect::new(0, 0, size.width, size.height)),
            cursor: None,
            pixels: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use ratatui::buffer::CellDiffOption;

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
            let pixels = vec![Pixels { area: Rect::new(x, 0, 4, 1), number }];
            Frame { pixels, ..frame("text", None) }
        };
        bytes(&mut screen, with(2, 1));
        assert!(!bytes(&mut screen, with(2, 2)).contains("\x1b[2J"));
        assert!(bytes(&mut screen, with(3, 3)).contains("\x1b[2J"));
        assert!(bytes(&mut screen, frame("text", None)).contains("\x1b[2J"));
        assert_eq!(bytes(&mut screen, frame("text", None)), "");
    }

    #[test]
    fn one_picture_of_several_that_goes_clears_the_screen() {
        let mut screen = Screen::default();
        let with = |places: &[u16]| {
            let pixels = |x: &u16| Pixels { area: Rect::new(*x, 0, 2, 1), number: 1 };
            Frame { pixels: places.iter().map(pixels).collect(), ..frame("text", None) }
        };
        bytes(&mut screen, with(&[2, 6]));
        assert!(!bytes(&mut screen, with(&[2, 6, 9])).contains("\x1b[2J"));
        assert!(bytes(&mut screen, with(&[2, 9])).contains("\x1b[2J"));
    }

    #[test]
    fn many_pictures_come_with_several_frames_and_text_with_the_first() {
        let mut screen = Screen::default();
        let many = || {
            let mut frame = frame("text", None);
            for x in 5..9 {
                let cell = &mut frame.buffer[(x, 1)];
                cell.set_symbol(&format!("{x}{}", "p".repeat(FRAME_PICTURES / 2 - 9)));
                cell.set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
            }
            frame
        };
        let first = bytes(&mut screen, many());
        assert!(first.contains("text") && screen.is_behind());
        assert!(first.len() < FRAME_PICTURES + 500, "{}", first.len());
        let second = bytes(&mut screen, many());
        assert!(!second.contains("text") && !screen.is_behind());
        assert!(first.contains("5p") && first.contains("6p") && !first.contains("7p"));
        assert!(second.contains("7p") && second.contains("8p") && !second.contains("6p"));
        assert_eq!(bytes(&mut screen, many()), "");
        assert!(!screen.is_behind());
    }

    #[test]
    fn a_picture_that_is_larger_than_a_frames_share_comes_whole() {
        let mut screen = Screen::default();
        let mut large = frame("text", None);
        large.buffer[(5, 1)].set_symbol(&"p".repeat(FRAME_PICTURES * 3));
        assert!(bytes(&mut screen, large).len() > FRAME_PICTURES * 3 && !screen.is_behind());
    }

    #[test]
    fn what_is_typed_goes_before_a_picture() {
        let mut screen = Screen::default();
        let with = || {
            let mut frame = frame("text", None);
            frame.buffer[(5, 1)].set_symbol(&"p".repeat(PICTURE * 2));
            frame.buffer[(5, 1)].set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
            frame
        };
        screen.hold_pictures();
        let first = bytes(&mut screen, with());
        assert!(first.contains("text") && !first.contains("pp") && screen.is_behind());
        assert!(bytes(&mut screen, with()).contains("pp") && !screen.is_behind());
    }

    #[test]
    fn lost_pictures_are_written_again_alone() {
        let mut screen = Screen::default();
        let with = || {
            let mut frame = frame("text", None);
            frame.buffer[(5, 1)].set_symbol("\x1bPqpicture\x1b\\");
            frame.buffer[(5, 1)].set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
            Frame { pixels: vec![Pixels { area: Rect::new(5, 1, 4, 1), number: 1 }], ..frame }
        };
        bytes(&mut screen, with());
        assert_eq!(bytes(&mut screen, with()), "");
        screen.forget_pictures();
        let again = bytes(&mut screen, with());
        assert!(
            again.contains("picture") && !again.contains("text") && !again.contains("\x1b[2J"),
            "{again:?}"
        );
        assert_eq!(bytes(&mut screen, with()), "");
    }

    #[test]
    fn a_screen_that_was_forgotten_is_written_whole() {
        let mut screen = Screen::default();
        bytes(&mut screen, frame("text", None));
        screen.forget();
        assert!(bytes(&mut screen, frame("text", None)).contains("text"));
    }
}
