//! From cells to bytes: only what changed, in one synchronized update, and nothing at all when
//! nothing did. On a slow line a frame is written in pieces, what a key changed first ([`Screen::begin`]).

mod under_way;

use std::io::{self, Write};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect, Size};

use under_way::UnderWay;

/// The most bytes of pictures in one frame, a single picture aside: half a second of a line of 1 Mbit/s.
const FRAME_PICTURES: usize = 48 << 10;
/// A cell whose text has so many bytes holds a picture.
const PICTURE: usize = 512;
/// A cell whose text has so many bytes may be a whole row of placeholders.
const ROW: usize = 16;
/// The text of a cell that is two pixels of a picture.
const HALVES: &str = "▀";
/// What it takes to go to another cell.
const MOVE: usize = 8;
/// What another colour takes.
const COLOUR: usize = 18;

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
            holds: false,
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

    /// Leaves the pictures of the next frame for the one after it: what was typed goes first.
    pub fn hold_pictures(&mut self) {
        self.holds = true;
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
        let mut bytes = Vec::with_capacity(4096);
        if anew {
            self.shown = Buffer::empty(wanted.buffer.area);
            self.under_way.give_up();
        }
        // What is to be seen after this: the frame without what is left of it.
        let mut next = wanted.buffer.clone();
        bytes.extend_from_slice(self.under_way.settle(&next, room).as_bytes());
        let mut left = self.under_way.hold(&mut next, &self.shown, room, holds);
        left |= self.leave_pictures(&mut next, holds);
        let changes = self.shown.diff(&next);
        let all = changes.len();
        let rank = |(x, y, cell): &(u16, u16, &Cell)| match wanted.cursor {
            Some(at) if at.y == *y && cell.symbol().len() < ROW => (0, *y, *x),
            _ if cell.symbol() == HALVES => (2, *y, *x),
            _ => (1, *y, *x),
        };
        let end = self.under_way.end(&next);
        let chosen = match room {
            Some(room) => chosen(changes, room, rank, end.as_ref(), holds),
            None => changes,
        };
        let partly = chosen.len() < all;
        if !chosen.is_empty() || anew || self.cursor != wanted.cursor {
            bytes.extend_from_slice(b"\x1b[?2026h");
            if self.cursor.is_some() {
                bytes.extend_from_slice(b"\x1b[?25l");
            }
            if anew {
                bytes.extend_from_slice(b"\x1b[0m\x1b[2J");
            }
            if !chosen.is_empty() {
                let ended = |(x, y, cell)| match &end {
                    Some((at, last)) if (x, y) == (at.x, at.y) => (x, y, last),
                    _ => (x, y, cell),
                };
                CrosstermBackend::new(&mut bytes).draw(chosen.iter().copied().map(ended))?;
            }
            if let Some(Position { x, y }) = wanted.cursor {
                write!(bytes, "\x1b[{};{}H\x1b[?25h", y + 1, x + 1)?;
            }
            bytes.extend_from_slice(b"\x1b[?2026l");
        }
        let ends = end.is_some_and(|(at, _)| chosen.iter().any(|(x, y, _)| (*x, *y) == (at.x, at.y)));
        let written: Vec<(u16, u16)> = chosen.iter().map(|(x, y, _)| (*x, *y)).collect();
        if ends {
            self.under_way.ended();
        } else if let Some(room) =
            room.filter(|_| !holds && !partly).and_then(|room| room.checked_sub(bytes.len()))
        {
            bytes.extend_from_slice(self.under_way.piece(room.max(1)).as_bytes());
        }
        if partly {
            self.apply(&next, &written);
        } else {
            self.shown = next;
        }
        (self.cursor, self.stale, self.unwritten) = (wanted.cursor, false, left || partly);
        self.pixels.clone_from(&wanted.pixels);
        self.target = Some(wanted);
        Ok(bytes)
    }

    /// Only these of the changes are on the terminal: each with the cells behind it up to the next change, which it covers
    /// or which are the same.
    fn apply(&mut self, next: &Buffer, written: &[(u16, u16)]) {
        let mut changes: Vec<(u16, u16)> = self.shown.diff(next).iter().map(|(x, y, _)| (*x, *y)).collect();
        changes.sort_unstable_by_key(|(x, y)| (*y, *x));
        let right = next.area.right();
        for (at, (x, y)) in changes.iter().enumerate() {
            if written.contains(&(*x, *y)) {
                let until = changes.get(at + 1).filter(|(_, row)| row == y).map_or(right, |(x, _)| *x);
                for x in *x..until {
                    self.shown[(x, *y)] = next[(x, *y)].clone();
                }
            }
        }
    }

    /// Puts what is shown in place of pictures for which this frame has no room; whether there are any.
    fn leave_pictures(&self, next: &mut Buffer, holds: bool) -> bool {
        let (mut bytes, mut left) = (0, false);
        for at in 0..next.content.len() {
            let (cell, shown) = (&next.content[at], &self.shown.content[at]);
            let length = cell.symbol().len();
            if length < PICTURE || cell == shown {
                continue;
            }
            if !holds && (bytes == 0 || bytes + length <= FRAME_PICTURES) {
                bytes += length;
            } else {
                let (x, y) = next.pos_of(at);
                under_way::keep(next, &self.shown, Position { x, y });
                left = true;
            }
        }
        left
    }
}

/// Of the changes, those for which there is room, the first of all in any case: what a key changed first, then text, then
/// halves of cells, which are pictures.
fn chosen<'a, K: Ord>(
    mut changes: Vec<(u16, u16, &'a Cell)>,
    room: usize,
    rank: impl Fn(&(u16, u16, &'a Cell)) -> K,
    end: Option<&(Position, Cell)>,
    holds: bool,
) -> Vec<(u16, u16, &'a Cell)> {
    changes.sort_by_key(|change| rank(change));
    let mut taken = 0;
    let mut last: Option<(u16, u16, &Cell)> = None;
    let fits = |&(x, y, cell): &(u16, u16, &'a Cell)| {
        let written = end.filter(|(at, _)| (at.x, at.y) == (x, y)).map_or(cell, |(_, last)| last);
        let adjacent = last.is_some_and(|(before, row, _)| (before + 1, row) == (x, y));
        let differs = |style: fn(&Cell) -> ratatui::style::Color| {
            last.is_none_or(|(_, _, before)| style(before) != style(cell))
        };
        let colours = usize::from(differs(|cell| cell.fg)) + usize::from(differs(|cell| cell.bg));
        let bytes = written.symbol().len() + if adjacent { 0 } else { MOVE } + colours * COLOUR;
        let is_first = last.is_none();
        let room_left = is_first || taken + bytes <= room;
        taken += bytes;
        last = Some((x, y, cell));
        room_left && !(holds && !is_first && cell.symbol() == HALVES)
    };
    let mut fits = fits;
    let count = changes.iter().take_while(|change| fits(change)).count();
    changes.truncate(count);
    changes
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
