//! The part of a frame for which a slow line has room, and what is known of the terminal when only that was written.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Position;
use ratatui::style::Color;

use super::ROW;

/// The text of a cell that is two pixels of a picture.
pub(super) const HALVES: &str = "▀";
/// What it takes to go to another cell.
const MOVE: usize = 8;
/// What another colour takes.
const COLOUR: usize = 18;

/// A change: where, and what is there then.
type Change<'a> = (u16, u16, &'a Cell);

/// Of the changes, those for which there is room, the first of all in any case: what a key changed first, which is in the
/// row of the cursor, then text, then halves of cells, which are pictures and may be held.
pub(super) fn chosen<'a>(
    mut changes: Vec<Change<'a>>,
    room: usize,
    cursor: Option<Position>,
    end: Option<&(Position, Cell)>,
    holds: bool,
) -> Vec<Change<'a>> {
    changes.sort_by_key(|(x, y, cell)| (rank(cell, *y, cursor), *y, *x));
    let (mut taken, mut count) = (0, 0);
    let mut last: Option<Change<'_>> = None;
    for change @ &(x, y, cell) in &changes {
        let written = end.filter(|(at, _)| (at.x, at.y) == (x, y)).map_or(cell, |(_, last)| last);
        taken += written.symbol().len() + around(last, *change);
        if (holds && cell.symbol() == HALVES) || (count > 0 && taken > room) {
            break;
        }
        (last, count) = (Some(*change), count + 1);
    }
    changes.truncate(count);
    changes
}

fn rank(cell: &Cell, row: u16, cursor: Option<Position>) -> u8 {
    match cell.symbol() {
        HALVES => 2,
        text if text.len() < ROW && cursor.is_some_and(|at| at.y == row) => 0,
        _ => 1,
    }
}

/// The bytes that a cell takes beside its text, about.
fn around(last: Option<Change<'_>>, (x, y, cell): Change<'_>) -> usize {
    let adjacent = last.is_some_and(|(before, row, _)| (before + 1, row) == (x, y));
    let differs = |colour: fn(&Cell) -> Color| last.is_none_or(|(_, _, last)| colour(last) != colour(cell));
    let colours = usize::from(differs(|cell| cell.fg)) + usize::from(differs(|cell| cell.bg));
    if adjacent { colours * COLOUR } else { MOVE + colours * COLOUR }
}

/// Only these of the changes are on the terminal: each with the cells behind it up to the next change, which it covers or
/// which are the same.
pub(super) fn apply(shown: &mut Buffer, next: &Buffer, written: &[(u16, u16)]) {
    let mut changes: Vec<(u16, u16)> = shown.diff(next).iter().map(|(x, y, _)| (*x, *y)).collect();
    changes.sort_unstable_by_key(|(x, y)| (*y, *x));
    let right = next.area.right();
    for (at, (x, y)) in changes.iter().enumerate() {
        if written.contains(&(*x, *y)) {
            let until = changes.get(at + 1).filter(|(_, row)| row == y).map_or(right, |(x, _)| *x);
            for x in *x..until {
                shown[(x, *y)].clone_from(&next[(x, *y)]);
            }
        }
    }
}
