//! Where the cursor can go: by grapheme, word, row and line.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::Editor;

/// A way for the cursor to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// One grapheme back.
    Left,
    /// One grapheme on.
    Right,
    /// To the beginning of this word or the one before.
    WordLeft,
    /// To the end of this word or the next.
    WordRight,
    /// To the beginning of the row on the screen.
    RowStart,
    /// To the end of the row on the screen.
    RowEnd,
    /// To the beginning of the line.
    LineStart,
    /// To the end of the line.
    LineEnd,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// As many rows up as are in view.
    PageUp,
    /// As many rows down as are in view.
    PageDown,
    /// To the beginning.
    TextStart,
    /// To the end.
    TextEnd,
}

impl Motion {
    pub(super) fn is_vertical(self) -> bool {
        matches!(self, Self::Up | Self::Down | Self::PageUp | Self::PageDown)
    }
}

impl Editor {
    /// Where a motion leads from the cursor.
    pub(super) fn target(&self, motion: Motion) -> usize {
        let (text, cursor) = (&self.text, self.cursor);
        let row = self.rows.row_of(cursor);
        match motion {
            Motion::Left => previous_boundary(text, cursor),
            Motion::Right => next_boundary(text, cursor),
            Motion::WordLeft => word_left(text, cursor),
            Motion::WordRight => word_right(text, cursor),
            Motion::RowStart => self.rows.all()[row].start,
            Motion::RowEnd => self.rows.end_of(text, row),
            Motion::LineStart => text[..cursor].rfind('\n').map_or(0, |at| at + 1),
            Motion::LineEnd => text[cursor..].find('\n').map_or(text.len(), |at| cursor + at),
            Motion::TextStart => 0,
            Motion::TextEnd => text.len(),
            Motion::Up => self.vertical(row, -1),
            Motion::Down => self.vertical(row, 1),
            Motion::PageUp => self.vertical(row, -(self.height as isize)),
            Motion::PageDown => self.vertical(row, self.height as isize),
        }
    }

    fn vertical(&self, row: usize, by: isize) -> usize {
        let last = self.rows.all().len() - 1;
        let target = row.saturating_add_signed(by).min(last);
        if target == row {
            // At the first row Up goes to the beginning, at the last Down goes to the end.
            return if by < 0 { 0 } else { self.text.len() };
        }
        self.rows.offset_at(&self.text, target, self.goal.unwrap_or_else(|| self.column()))
    }
}

fn previous_boundary(text: &str, at: usize) -> usize {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    cursor.prev_boundary(text, 0).ok().flatten().unwrap_or(0)
}

pub(super) fn next_boundary(text: &str, at: usize) -> usize {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    cursor.next_boundary(text, 0).ok().flatten().unwrap_or(text.len())
}

pub(super) fn boundary_at_or_after(text: &str, at: usize) -> usize {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    if cursor.is_boundary(text, 0).unwrap_or(true) { at } else { next_boundary(text, at) }
}

fn is_word(piece: &str) -> bool {
    piece.chars().any(char::is_alphanumeric)
}

/// Words are looked for within one line at a time: Unicode's rules need a place to begin.
fn word_left(text: &str, cursor: usize) -> usize {
    let line = text[..cursor].rfind('\n').map_or(0, |at| at + 1);
    if line == cursor {
        return cursor.saturating_sub(1);
    }
    let pieces: Vec<_> = text[line..cursor].split_word_bound_indices().collect();
    pieces.into_iter().rev().find(|(_, piece)| is_word(piece)).map_or(line, |(at, _)| line + at)
}

fn word_right(text: &str, cursor: usize) -> usize {
    let end = text[cursor..].find('\n').map_or(text.len(), |at| cursor + at);
    if end == cursor {
        return (cursor + 1).min(text.len());
    }
    text[cursor..end]
        .split_word_bound_indices()
        .find(|(_, piece)| is_word(piece))
        .map_or(end, |(at, piece)| cursor + at + piece.len())
}
