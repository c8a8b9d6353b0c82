//! Texts that must fit: clipped, aligned and wrapped by display width.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::ui::language::Language;

/// Cells that a text takes.
pub(super) fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// As much of a text as fits, on one line, with `ellipsis` (one cell) where something is missing.
/// Reads no more of the text than it needs.
pub(in crate::ui) fn clip(text: &str, width: u16, ellipsis: &str) -> String {
    let width = usize::from(width);
    let mut clipped = String::new();
    let mut used = 0;
    // Where the ellipsis would go.
    let mut cut = 0;
    for grapheme in text.graphemes(true) {
        let grapheme = if grapheme.chars().any(char::is_control) { " " } else { grapheme };
        let cells = grapheme.width();
        if used + cells > width {
            clipped.truncate(cut);
            if width > 0 {
                clipped.push_str(ellipsis);
            }
            return clipped;
        }
        used += cells;
        clipped.push_str(grapheme);
        if used < width {
            cut = clipped.len();
        }
    }
    clipped
}

/// A text with blanks behind it, so many cells wide in all; a wider one as it is.
pub(super) fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// Puts texts one after the other, clipped at the area's right edge. Gives back where they end.
pub(super) fn put(buffer: &mut Buffer, area: Rect, texts: &[(&str, Style)]) -> u16 {
    let mut x = area.x;
    if area.height == 0 {
        return x;
    }
    for (text, style) in texts {
        let room = usize::from(area.right().saturating_sub(x));
        if room == 0 {
            break;
        }
        (x, _) = buffer.set_stringn(x, area.y, text, room, *style);
    }
    x
}

/// Puts a text at the right edge, if it fits whole. Gives back the width it took.
pub(super) fn put_right(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> u16 {
    let cells = width(text);
    if cells > area.width || area.height == 0 {
        return 0;
    }
    buffer.set_string(area.right() - cells, area.y, text, style);
    cells
}

/// Takes away each wide character whose second cell something else lies over: a terminal cannot show half of one.
pub(super) fn drop_halves(buffer: &mut Buffer) {
    for at in 1..buffer.content.len() {
        let (before, after) = buffer.content.split_at_mut(at);
        let (first, second) = (&mut before[at - 1], &after[0]);
        if second.symbol() != " " && first.symbol().len() > 2 && first.symbol().width() > 1 {
            first.set_symbol(" ");
        }
    }
}

/// One row of an area, empty when there is no such row.
pub(super) fn row(area: Rect, index: u16) -> Rect {
    if index < area.height {
        Rect { y: area.y + index, height: 1, ..area }
    } else {
        Rect { height: 0, ..area }
    }
}

/// A text in lines of at most `width` cells, broken at spaces and between Chinese characters, at most `rows` of them; what does
/// not fit is cut with `ellipsis`.
pub(in crate::ui) fn wrap(text: &str, width: u16, rows: usize, ellipsis: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && lines.len() < rows {
        if lines.len() + 1 == rows {
            lines.push(clip(rest, width, ellipsis));
            break;
        }
        let end = line_end(rest, usize::from(width.max(1)));
        lines.push(rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start();
    }
    lines
}

/// Signs that do not begin a line, and those that do not end one.
const CLOSING: &str = "，。、；：！？）》」』】,.;:!?)";
const OPENING: &str = "（《「『【(";

/// Where the first line of a text ends.
fn line_end(text: &str, width: usize) -> usize {
    let (mut used, mut before) = (0, "");
    let mut space = None;
    for (at, grapheme) in text.grapheme_indices(true) {
        used += grapheme.width();
        let between = before.width() > 1 || grapheme.width() > 1;
        let may_break = between && !CLOSING.contains(grapheme) && !OPENING.contains(before);
        if grapheme == " " || (may_break && !before.is_empty() && before != " ") {
            space = Some(at);
        }
        if used > width {
            return space.filter(|space| *space > 0).unwrap_or(at.max(grapheme.len()));
        }
        before = grapheme;
    }
    text.len()
}

/// The first row of a list that is in view, so that the chosen one is.
#[must_use]
pub fn first_row(chosen: usize, length: usize, height: u16) -> usize {
    let height = usize::from(height);
    chosen.saturating_sub(height / 2).min(length.saturating_sub(height))
}

/// Gigabytes with one decimal, as memory is spoken of.
pub(super) fn gigabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1_u32 << 30))
}

/// A size on disk or on the way, in powers of ten as hubs and shops count: `21.5 MB`, `34.2 GB`.
pub(in crate::ui) fn decimal(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        ..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

/// How long something takes yet: `42 s left`, `3 min left`, `2 h 10 min left`.
pub(super) fn left(seconds: f64, language: Language) -> String {
    match seconds.max(0.0) as u64 {
        seconds @ 0..60 => language.left_seconds(seconds),
        seconds @ 60..3600 => language.left_minutes(seconds.div_ceil(60)),
        seconds => language.left_hours(seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_counts_cells_and_never_splits_a_character() {
        assert_eq!(clip("red apple", 9, "…"), "red apple");
        assert_eq!(clip("red apple", 8, "…"), "red app…");
        assert_eq!(clip("红色的苹果", 6, "…"), "红色…");
        assert_eq!(clip("红色的苹果", 5, "…"), "红色…");
        assert_eq!(clip("红色", 4, "…"), "红色");
        assert_eq!(clip("a\nb", 9, "…"), "a b");
        assert_eq!(clip("abc", 0, "…"), "");
        assert_eq!(clip("abc", 1, "…"), "…");
    }

    #[test]
    fn wrapping_breaks_at_spaces_and_cuts_at_the_last_row() {
        assert_eq!(wrap("a red apple on a table", 10, 3, "…"), ["a red", "apple on a", "table"]);
        assert_eq!(wrap("a red apple on a table", 10, 2, "…"), ["a red", "apple on …"]);
        assert_eq!(wrap("红色的苹果", 4, 9, "…"), ["红色", "的苹", "果"]);
        assert_eq!(wrap("按 Tab 切换到下一个面板", 12, 9, "…"), ["按 Tab 切换", "到下一个面板"]);
        assert_eq!(wrap("红色，苹果", 4, 9, "…"), ["红", "色，", "苹果"], "a comma begins no line");
        assert_eq!(wrap("红色（苹果）", 6, 9, "…"), ["红色", "（苹", "果）"]);
        assert_eq!(
            wrap("红色", 1, 9, "…"),
            ["红", "色"],
            "a character wider than the line has a line of its own"
        );
    }

    #[test]
    fn the_chosen_row_is_in_view() {
        for length in 0..30 {
            for chosen in 0..length {
                for height in 1..10 {
                    let first = first_row(chosen, length, height);
                    assert!(first <= chosen && chosen < first + usize::from(height));
                }
            }
        }
    }

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [0, 21_487_342, 34_172_000_000].map(decimal);
        assert_eq!(sizes, ["0.0 kB", "21.5 MB", "34.2 GB"]);
        let times = [0.4, 59.9, 60.0, 211.0, 7_812.0].map(|seconds| left(seconds, Language::English));
        assert_eq!(times, ["0 s left", "59 s left", "1 min left", "4 min left", "2 h 10 min left"]);
    }
}
