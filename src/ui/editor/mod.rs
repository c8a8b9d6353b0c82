//! The prompt's text: cursor, soft wrap, scrolling, undo. Plain data; it knows no keys and draws
//! nothing.
//!
//! Positions are byte offsets at grapheme boundaries. The soft wrap is kept with the text and only
//! the rows around an edit are wrapped again, so that a prompt of a megabyte is typed into as fast
//! as one of a line.

mod motion;
mod undo;
mod wrap;

pub use motion::Motion;
pub use wrap::Row;

use unicode_width::UnicodeWidthStr;

use crate::job::PROMPT_BYTES;
use undo::{Edit, Undo};
use wrap::Rows;

/// A text with a cursor in it.
#[derive(Debug, Clone, Default)]
pub struct Editor {
    text: String,
    cursor: usize,
    /// The column that moving up and down keeps to.
    goal: Option<usize>,
    rows: Rows,
    undo: Undo,
    /// Counts changes of the text, so that answers about an older one are known as such.
    version: u64,
    height: usize,
    scroll: usize,
}

/// What an insertion had to leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Bytes for which there was no room.
    pub bytes: usize,
}

impl Editor {
    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How often the text has changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The cursor, in bytes.
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// The rows in view, as byte ranges of the text.
    pub fn visible_rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.rows.all().iter().skip(self.scroll).take(self.height).copied()
    }

    /// Rows in all, and the first in view.
    #[must_use]
    pub fn scroll(&self) -> (usize, usize) {
        (self.rows.all().len(), self.scroll)
    }

    /// The cursor's column and row in the view, in cells.
    #[must_use]
    pub fn cursor_cell(&self) -> (usize, usize) {
        let row = self.rows.row_of(self.cursor);
        (self.column().min(self.rows.width()), row.saturating_sub(self.scroll))
    }

    /// Tells the room there is, in cells, and brings the cursor into it.
    pub fn set_room(&mut self, width: usize, height: usize) {
        if width != self.rows.width() {
            self.rows = Rows::wrap(&self.text, width);
        }
        self.height = height.max(1);
        self.show_cursor();
    }

    /// Puts text at the cursor. Line ends become `\n`, tabs a space, control characters go.
    pub fn insert(&mut self, text: &str) -> LeftOut {
        let clean = clean(text);
        let room = PROMPT_BYTES - self.text.len();
        let mut kept = clean.len().min(room);
        while !clean.is_char_boundary(kept) {
            kept -= 1;
        }
        self.replace(self.cursor..self.cursor, &clean[..kept]);
        LeftOut { bytes: clean.len() - kept }
    }

    /// Takes the text's place; undo brings the old one back.
    pub fn set_text(&mut self, text: &str) {
        if text != self.text {
            self.undo.close();
            self.replace(0..self.text.len(), &clean(text));
            self.undo.close();
        }
        self.move_to(Motion::TextEnd);
    }

    /// Removes from the cursor to where the motion leads.
    pub fn delete(&mut self, motion: Motion) {
        let target = self.target(motion);
        let range = self.cursor.min(target)..self.cursor.max(target);
        if !range.is_empty() {
            self.replace(range, "");
        }
    }

    /// Moves the cursor.
    pub fn move_to(&mut self, motion: Motion) {
        self.undo.close();
        let goal = motion.is_vertical().then(|| self.goal.unwrap_or_else(|| self.column()));
        self.goal = goal;
        self.cursor = self.target(motion);
        self.show_cursor();
    }

    /// Puts the cursor where a cell of the view is.
    pub fn move_to_cell(&mut self, column: usize, row: usize) {
        self.undo.close();
        self.goal = None;
        self.cursor = self.rows.offset_at(&self.text, self.scroll + row, column);
        self.show_cursor();
    }

    /// Scrolls the view by rows, without the cursor leaving it.
    pub fn scroll_by(&mut self, rows: isize) {
        for _ in 0..rows.unsigned_abs() {
            self.move_to(if rows < 0 { Motion::Up } else { Motion::Down });
        }
    }

    /// Takes the last change back; `false` when there is none.
    pub fn undo(&mut self) -> bool {
        let Some(edit) = self.undo.undo() else { return false };
        self.apply(edit.at, edit.inserted.len(), &edit.removed);
        self.set_cursor(edit.cursor_before);
        true
    }

    /// Makes the last undone change again; `false` when there is none.
    pub fn redo(&mut self) -> bool {
        let Some(edit) = self.undo.redo() else { return false };
        self.apply(edit.at, edit.removed.len(), &edit.inserted);
        self.set_cursor(edit.at + edit.inserted.len());
        true
    }

    fn replace(&mut self, range: std::ops::Range<usize>, with: &str) {
        if range.is_empty() && with.is_empty() {
            return;
        }
        self.undo.record(Edit {
            at: range.start,
            removed: self.text[range.clone()].to_owned(),
            inserted: with.to_owned(),
            cursor_before: self.cursor,
        });
        self.apply(range.start, range.len(), with);
        self.set_cursor(range.start + with.len());
    }

    fn apply(&mut self, at: usize, removed: usize, inserted: &str) {
        self.text.replace_range(at..at + removed, inserted);
        self.rows.rewrap(&self.text, at, removed, inserted.len());
        self.version += 1;
    }

    fn set_cursor(&mut self, cursor: usize) {
        // An edit can merge graphemes; the cursor stays between them.
        self.cursor = motion::boundary_at_or_after(&self.text, cursor);
        self.goal = None;
        self.show_cursor();
    }

    /// The cursor's column in its row, in cells.
    fn column(&self) -> usize {
        let row = self.rows.all()[self.rows.row_of(self.cursor)];
        self.text[row.start..self.cursor].width()
    }

    fn show_cursor(&mut self) {
        let row = self.rows.row_of(self.cursor);
        let height = self.height.max(1);
        let last = self.rows.all().len().saturating_sub(height);
        self.scroll = self.scroll.min(last).clamp((row + 1).saturating_sub(height), row);
    }
}

/// Text as the prompt keeps it.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(found) = characters.next() {
        match found {
            '\r' => {
                characters.next_if_eq(&'\n');
                clean.push('\n');
            }
            '\u{2028}' | '\u{2029}' | '\u{85}' => clean.push('\n'),
            '\t' => clean.push(' '),
            '\n' => clean.push('\n'),
            found if found.is_control() => {}
            found => clean.push(found),
        }
    }
    clean
}

#[cfg(test)]
mod tests;
