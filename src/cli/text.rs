//! Text for a person's terminal: without control characters, cut to a width, aligned.

use std::borrow::Cow;
use std::io::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text with every control character but the line feed replaced, so that a prompt or a file
/// name from elsewhere cannot steer the terminal.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n';
    if text.contains(steers) { Cow::Owned(text.replace(steers, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The text on one line of at most `columns`, with `…` where it was cut.
pub(super) fn one_line(text: &str, columns: usize) -> String {
    let line = plain(text.trim()).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.width() <= columns {
        return line;
    }
    let mut width = 1;
    let kept = line.chars().take_while(|c| {
        width += c.width().unwrap_or(0);
        width <= columns
    });
    kept.collect::<String>() + "…"
}

/// Lines of a name and a value, the values in one column; a value's own lines are indented to it.
pub(super) fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0) + 2;
    let mut lines = String::new();
    for (name, value) in rows {
        for (index, line) in plain(value).lines().enumerate() {
            let name = if index == 0 { name } else { "" };
            lines.push_str(format!("{name:width$}{line}").trim_end());
            lines.push('\n');
        }
    }
    lines
}

/// `1 job`, `2 jobs`.
pub(super) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Prints `kind: message` on standard error. Nothing more can be done when that fails.
pub(super) fn complain(kind: &str, message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{kind}: {}", plain(message));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}]0;x\u{7}b\u{9b}2J\nc"), "a\u{fffd}]0;x\u{fffd}b\u{fffd}2J\nc");
        assert!(matches!(plain("测试 🚲"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_is_cut_by_columns_and_not_by_characters() {
        assert_eq!(one_line(" a\n b ", 10), "a b");
        assert_eq!(one_line("测试目录", 8), "测试目录");
        assert_eq!(one_line("测试目录", 7), "测试目…");
        assert_eq!(one_line("测试目录", 6), "测试…");
        assert_eq!(one_line("abcdef", 1), "…");
    }

    #[test]
    fn values_stand_in_one_column() {
        let text = table(&[("seed", "7".to_owned()), ("prompt", "a\nb".to_owned())]);
        assert_eq!(text, "seed    7\nprompt  a\n        b\n");
    }
}
