//! Soft wrap by display width, kept up to date edit by edit.
//!
//! A row ends after the last white space or wide character that fits, or within a word that is
//! longer than a row. White space that does not fit hangs over the end unseen, as in any editor.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// One row on the screen: a range of bytes. A row that ends a line does not hold its `\n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// Whether the text goes on in the next row without a line end.
    pub wrapped: bool,
}

impl Row {
    /// Where the next row begins.
    fn next(self) -> usize {
        self.end + usize::from(!self.wrapped)
    }
}

/// All rows of a text at one width. There is always at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    width: usize,
    rows: Vec<Row>,
}

impl Default for Rows {
    fn default() -> Self {
        Self::wrap("", 1)
    }
}

impl Rows {
    pub fn wrap(text: &str, width: usize) -> Self {
        let mut rows = Self { width, rows: Vec::new() };
        rows.extend_from(text, 0, |_| false);
        rows
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn all(&self) -> &[Row] {
        &self.rows
    }

    /// The row that a position is in; the later one where two meet.
    pub fn row_of(&self, position: usize) -> usize {
        self.rows.partition_point(|row| row.start <= position).saturating_sub(1)
    }

    /// Where the cursor stands at the end of a row: before the last grapheme of a wrapped one, since
    /// behind it is the next row.
    pub fn end_of(&self, text: &str, row: usize) -> usize {
        let row = self.rows[row];
        if !row.wrapped {
            return row.end;
        }
        let last = text[row.start..row.end].grapheme_indices(true).next_back();
        last.map_or(row.end, |(at, _)| row.start + at)
    }

    /// The position in a row that is at a column, or the nearest before it.
    pub fn offset_at(&self, text: &str, row: usize, column: usize) -> usize {
        let index = row.min(self.rows.len() - 1);
        let row = self.rows[index];
        let mut used = 0;
        for (at, grapheme) in text[row.start..row.end].grapheme_indices(true) {
            used += grapheme.width();
            if used > column {
                return row.start + at;
            }
        }
        self.end_of(text, index)
    }

    /// Wraps again after `removed` bytes at `at` were replaced by `inserted` bytes.
    ///
    /// An edit can pull a word into the row above, so wrapping begins one row earlier; it ends as
    /// soon as a row begins where one began before.
    pub fn rewrap(&mut self, text: &str, at: usize, removed: usize, inserted: usize) {
        let first = self.row_of(at).saturating_sub(1);
        let start = self.rows[first].start;
        let moved = |row: &Row| Row {
            start: row.start + inserted - removed,
            end: row.end + inserted - removed,
            wrapped: row.wrapped,
        };
        // Rows that began behind the edit keep their shape; only their place moves.
        let behind = self.rows.partition_point(|row| row.start <= at + removed);
        let old: Vec<Row> = self.rows.split_off(behind).iter().map(moved).collect();
        self.rows.truncate(first);
        let mut next_old = 0;
        let met = self.extend_from(text, start, |begin| {
            while old.get(next_old).is_some_and(|row| row.start < begin) {
                next_old += 1;
            }
            old.get(next_old).is_some_and(|row| row.start == begin)
        });
        if met {
            self.rows.extend_from_slice(&old[next_old..]);
        }
    }

    /// Appends rows from `start` until the text ends or `meets` says that the rest is known.
    fn extend_from(&mut self, text: &str, start: usize, mut meets: impl FnMut(usize) -> bool) -> bool {
        let mut begin = start;
        loop {
            let row = next_row(text, begin, self.width);
            self.rows.push(row);
            if !row.wrapped && row.end == text.len() {
                return false;
            }
            begin = row.next();
            if meets(begin) {
                return true;
            }
        }
    }
}

/// The row that begins at `start`.
fn next_row(text: &str, start: usize, width: usize) -> Row {
    let width = width.max(1);
    let mut used = 0;
    // Behind the last place where the row may end.
    let mut break_at = None;
    let mut after_wide = false;
    for (offset, grapheme) in text[start..].grapheme_indices(true) {
        let at = start + offset;
        if grapheme == "\n" {
            return Row { start, end: at, wrapped: false };
        }
        let space = grapheme.chars().all(char::is_whitespace);
        let cells = grapheme.width();
        let wide = cells > 1;
        if (wide || after_wide) && at > start && !space {
            break_at = Some(at);
        }
        if used + cells > width && !space && at > start {
            return Row { start, end: break_at.unwrap_or(at), wrapped: true };
        }
        used += cells;
        after_wide = wide;
        if space {
            break_at = Some(at + grapheme.len());
        }
    }
    Row { start, end: text.len(), wrapped: false }
}
