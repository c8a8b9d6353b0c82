//! The one picture that is sent to kitty in pieces: which it is, and what is seen in its place meanwhile.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect};

use crate::ui::terminal::transmission::{Transmission, end};

/// A picture that was begun, and of which more is left than so many pieces, is given up when another is wanted.
const COMPLETED: usize = 100;

/// The picture of which a part was sent, and what is to be done about it.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    picture: Option<Picture>,
    /// A picture was given up: the terminal must be told, and whether wrapped for tmux.
    to_end: Option<bool>,
}

#[derive(Debug)]
struct Picture {
    at: Position,
    area: Rect,
    /// Its cells, row by row, as they are when it is shown.
    cells: Vec<Cell>,
    transmission: Transmission,
    /// What stands behind the transmission in the first cell.
    behind: String,
    /// Nothing but the last piece is left, for which there is room.
    ends: bool,
}

impl UnderWay {
    /// Whether a part of a picture was sent, and whether wrapped for tmux.
    pub(super) fn is_wrapped(&self) -> Option<bool> {
        let begun = self.picture.as_ref().filter(|picture| picture.transmission.has_begun());
        begun.map(|picture| picture.transmission.is_wrapped()).or(self.to_end)
    }

    /// What was begun will not be completed.
    pub(super) fn give_up(&mut self) {
        self.to_end = self.is_wrapped();
        self.picture = None;
    }

    /// Gives up what is not wanted any more: what the terminal is told then. A picture in whose place another is wanted is
    /// completed first, if that does not take long: the other may have the name of the one before it, which is seen.
    pub(super) fn settle(&mut self, next: &Buffer, room: Option<usize>) -> String {
        if let Some(picture) = &self.picture {
            let text = next.cell(picture.at).map_or("", Cell::symbol);
            let same = picture.cells.first().is_some_and(|first| first.symbol() == text);
            let replaced = Transmission::cells(text) == Some(picture.area.as_size());
            let short = picture.transmission.left() <= room.unwrap_or(usize::MAX).saturating_mul(COMPLETED);
            if !(same || (replaced && short && picture.transmission.has_begun())) {
                self.give_up();
            }
        }
        self.to_end.take().map(end).unwrap_or_default()
    }

    /// Puts what is seen meanwhile in place of all pictures that are sent in pieces, but the one that ends now; whether
    /// there are any. One is chosen if none is under way. On a fast line only what is under way is one of them.
    pub(super) fn hold(
        &mut self,
        next: &mut Buffer,
        shown: &Buffer,
        room: Option<usize>,
        holds: bool,
    ) -> bool {
        let mut left = self.replaced(next);
        if room.is_some() && self.picture.is_none() {
            self.picture = waiting(next, shown).into_iter().find_map(|at| Picture::at(at, next));
        }
        let Some(picture) = &mut self.picture else { return left };
        let fits = picture.transmission.left() <= room.unwrap_or(usize::MAX);
        picture.ends = fits && !holds;
        let own = picture.at;
        for at in waiting(next, shown) {
            if at != own || !picture.ends {
                keep(next, shown, at);
                left = true;
            }
        }
        left
    }

    /// Puts the picture that is under way in place of another that is wanted there; whether there is one.
    fn replaced(&self, next: &mut Buffer) -> bool {
        let Some(picture) = &self.picture else { return false };
        let same = picture.cells.first().is_some_and(|first| next.cell(picture.at) == Some(first));
        if !same {
            for (position, cell) in picture.area.positions().zip(&picture.cells) {
                next[position] = cell.clone();
            }
        }
        !same
    }

    /// The cell that ends the picture: where, and what is written for it.
    pub(super) fn end(&self, next: &Buffer) -> Option<(Position, Cell)> {
        let picture = self.picture.as_ref().filter(|picture| picture.ends)?;
        let mut cell = next.cell(picture.at)?.clone();
        cell.set_symbol(&(picture.transmission.clone().rest() + &picture.behind));
        Some((picture.at, cell))
    }

    /// The picture is complete.
    pub(super) fn ended(&mut self) {
        self.picture = None;
    }

    /// The next of it that is not the last.
    pub(super) fn piece(&mut self, room: usize) -> String {
        let picture = self.picture.as_mut().filter(|picture| !picture.ends);
        picture.map(|picture| picture.transmission.piece(room)).unwrap_or_default()
    }
}

impl Picture {
    fn at(at: Position, next: &Buffer) -> Option<Self> {
        let text = next.cell(at)?.symbol();
        let size = Transmission::cells(text)?;
        let area = Rect::from((at, size)).intersection(next.area);
        let (transmission, behind) = Transmission::of(text)?;
        let cells = area.positions().map(|position| next[position].clone()).collect();
        Some(Self { at, area, cells, transmission, behind: behind.to_owned(), ends: false })
    }
}

/// The first cells of kitty's pictures that are not on the terminal.
fn waiting(next: &Buffer, shown: &Buffer) -> Vec<Position> {
    let changed = next.content.iter().zip(&shown.content).enumerate().filter(|(_, (next, shown))| {
        next.symbol().len() > super::ROW && next != shown && Transmission::cells(next.symbol()).is_some()
    });
    changed.map(|(at, _)| next.pos_of(at).into()).collect()
}

/// Puts what is shown in place of the picture that begins at a cell, if that is a picture in the same place, or nothing.
pub(super) fn keep(next: &mut Buffer, shown: &Buffer, at: Position) {
    let size = Transmission::cells(next[at].symbol());
    let Some(size) = size else {
        next[at] = shown[at].clone();
        return;
    };
    let before = Transmission::cells(shown[at].symbol()) == Some(size);
    let beside = at.x.checked_sub(1).and_then(|x| next.cell((x, at.y))).map(|cell| cell.bg);
    for position in Rect::from((at, size)).intersection(next.area).positions() {
        let cell = &mut next[position];
        if before {
            cell.clone_from(&shown[position]);
        } else {
            cell.reset();
            cell.set_bg(beside.unwrap_or_default());
        }
    }
}
