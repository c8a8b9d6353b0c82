//! From cells to bytes: only what changed, in one synchronized update, and nothing at all when
//! nothing did. On a slow line a frame is written in pieces, what a key changed first ([`Screen::begin`]).

mod part;
mod under_way;

use std::io::{self, Write};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect, Size};

use under_way::UnderWay;

use super::line::LEAST;
use super::transmission::Transmission;

/// The most bytes of pictures in one frame, a single picture aside: half a second of a line of 1 Mbit/s.
const FRAME_PICTURES: usize = 48 << 10;
/// A cell whose text has so many bytes holds a picture.
const PICTURE: usize = 512;
/// A cell whose text has so many bytes may be a whole row of placeholders.
const ROW: usize = 16;
// Sixels could go in strips of whole rows of cells. Each strip would choose its own 256 colours, and where a row of cells is
// no whole number of bands of six pixels its last band would reach into the next row, which some terminals clear for it.
/// A picture that cannot be divided waits for whoever types, if it has more bytes than so many pieces, which a key may wait
/// for, and than a preview may have at least.
const WHOLE: usize = 3;

/// What the next part of a frame leaves for those after it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Nothing.
    #[default]
    Nothing,
    /// On a slow line, pictures that cannot be divided.
    Whole,
    /// All pictures.
    Pictures,
}

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
    /// What the next part of a frame leaves for those after it.
    holds: Holds,
    /// Pictures were left that cannot be divided, until nobody types.
    waits_for_rest: bool,
    /// What is to be on the terminal when all is written.
    target: Option<Frame>,
    /// The picture of which a part was sent.
    under_way: UnderWay,
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
            holds: Holds::Nothing,
            waits_for_rest: false,
            target: None,
            under_way: UnderWay::default(),
        }
    }
}

impl Screen {
    /// Nothing is known of the terminal any more: the next frame clears it and is written whole.
    pub fn forget(&mut self) {
        self.stale = true;
        self.under_way.give_up();
    }

    /// The terminal has lost its pictures: they are written again, and nothing else. What lies in a picture's first cell
    /// begins with an escape.
    pub fn forget_pictures(&mut self) {
        self.under_way.give_up();
        let pictures = self.shown.content.iter_mut().filter(|cell| cell.symbol().starts_with('\x1b'));
        for cell in pictures {
            cell.set_symbol(" ");
        }
    }

    /// Leaves that of the next part of a frame for those after it: what was typed goes first.
    pub fn hold(&mut self, holds: Holds) {
        self.holds = holds;
    }

    /// Whether pictures that cannot be divided are left until nobody types.
    #[must_use]
    pub fn waits_for_rest(&self) -> bool {
        self.waits_for_rest
    }

    /// Whether the last frame left pictures for the next: it should follow as soon as the line is free.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.unwritten
    }

    /// By which of kitty's ways a part of a picture was sent and not the rest: whether wrapped for tmux.
    #[must_use]
    pub fn is_sending(&self) -> Option<bool> {
        self.under_way.is_wrapped()
    }

    /// The bytes that turn what is shown into `frame`; empty when that is the same. Of several pictures, those beyond
    /// [`FRAME_PICTURES`] are left for the next frame, so that keys are never behind all of them.
    ///
    /// # Errors
    /// None in practice: it writes to memory.
    pub fn bytes(&mut self, frame: Frame) -> io::Result<Vec<u8>> {
        self.begin(frame, None)
    }

    /// The same, or about so many bytes of it: the rest is for [`Self::more`].
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn begin(&mut self, frame: Frame, room: Option<usize>) -> io::Result<Vec<u8>> {
        self.target = Some(frame);
        self.write(room)
    }

    /// The next of what was left of the last frame.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn more(&mut self, room: Option<usize>) -> io::Result<Vec<u8>> {
        self.write(room)
    }

    fn write(&mut self, room: Option<usize>) -> io::Result<Vec<u8>> {
        let Some(wanted) = self.target.take() else { return Ok(Vec::new()) };
        let holds = std::mem::take(&mut self.holds);
        let stays = |old: &Pixels| wanted.pixels.iter().any(|new| new.area == old.area);
        let moved = !self.pixels.iter().all(stays);
        let anew = self.stale || moved || self.shown.area != wanted.buffer.area;
        if anew {
            self.shown = Buffer::empty(wanted.buffer.area);
            self.under_way.give_up();
        }
        // What is to be seen after this: the frame without what is left of it.
        let mut next = wanted.buffer.clone();
        let mut bytes = self.under_way.settle(&next, room).into_bytes();
        let mut left = self.under_way.hold(&mut next, &self.shown, room, holds == Holds::Pictures);
        left |= self.leave_pictures(&mut next, room, holds);
        let changes = self.shown.diff(&next);
        let all = changes.len();
        let end = self.under_way.end(&next);
        let chosen = match room {
            Some(room) => part::chosen(changes, room, wanted.cursor, end.as_ref(), holds == Holds::Pictures),
            None => changes,
        };
        let partly = chosen.len() < all;
        if !chosen.is_empty() || anew || self.cursor != wanted.cursor {
            let clears = if anew { "\x1b[0m\x1b[2J" } else { "" };
            paint(&mut bytes, clears, &chosen, end.as_ref(), (self.cursor, wanted.cursor))?;
        }
        let written: Vec<(u16, u16)> = chosen.iter().map(|(x, y, _)| (*x, *y)).collect();
        if end.is_some_and(|(at, _)| written.contains(&(at.x, at.y))) {
            self.under_way.ended();
        } else if holds != Holds::Pictures && !partly {
            let room = room.and_then(|room| room.checked_sub(bytes.len()));
            bytes.extend(room.map(|room| self.under_way.piece(room)).unwrap_or_default().into_bytes());
        }
        if partly {
            part::apply(&mut self.shown, &next, &written);
        } else {
            self.shown = next;
        }
        (self.cursor, self.stale, self.unwritten) = (wanted.cursor, false, left || partly);
        self.pixels.clone_from(&wanted.pixels);
        self.target = Some(wanted);
        Ok(bytes)
    }

    /// Puts what is shown in place of pictures for which this frame has no room, and of those that cannot be divided while
    /// somebody types on a slow line; whether there are any of the first kind.
    fn leave_pictures(&mut self, next: &mut Buffer, room: Option<usize>, holds: Holds) -> bool {
        let (mut bytes, mut left) = (0, false);
        self.waits_for_rest = false;
        for at in 0..next.content.len() {
            let (cell, shown) = (&next.content[at], &self.shown.content[at]);
            let length = cell.symbol().len();
            if length < PICTURE || cell == shown {
                continue;
            }
            let (x, y) = next.pos_of(at);
            let divides = Transmission::cells(cell.symbol()).is_some();
            if !divides
                && holds != Holds::Nothing
                && room.is_some_and(|room| length > LEAST.max(room * WHOLE))
            {
                self.waits_for_rest = true;
            } else if holds != Holds::Pictures && (bytes == 0 || bytes + length <= FRAME_PICTURES) {
                bytes += length;
                continue;
            } else {
                left = true;
            }
            under_way::keep(next, &self.shown, Position { x, y });
        }
        left
    }
}

/// Writes cells and the cursor in one synchronized update.
fn paint(
    bytes: &mut Vec<u8>,
    clears: &str,
    cells: &[(u16, u16, &Cell)],
    end: Option<&(Position, Cell)>,
    (before, cursor): (Option<Position>, Option<Position>),
) -> io::Result<()> {
    bytes.extend_from_slice(b"\x1b[?2026h");
    if before.is_some() {
        bytes.extend_from_slice(b"\x1b[?25l");
    }
    bytes.extend_from_slice(clears.as_bytes());
    if !cells.is_empty() {
        let ended = |(x, y, cell)| match end {
            Some((at, last)) if (x, y) == (at.x, at.y) => (x, y, last),
            _ => (x, y, cell),
        };
        CrosstermBackend::new(&mut *bytes).draw(cells.iter().copied().map(ended))?;
    }
    if let Some(Position { x, y }) = cursor {
        write!(bytes, "\x1b[{};{}H\x1b[?25h", y + 1, x + 1)?;
    }
    bytes.extend_from_slice(b"\x1b[?2026l");
    Ok(())
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
#[path = "screen_tests.rs"]
mod tests;
