//! Signs and borders, in Unicode and in ASCII (`--ascii`). Each is one cell wide in both.

use ratatui::symbols::border;

/// One set of signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glyphs {
    /// Borders of panes.
    pub border: border::Set<'static>,
    /// Whether borders that meet are joined.
    pub joins: bool,
    /// Something is happening.
    pub active: &'static str,
    /// Nothing is happening.
    pub idle: &'static str,
    /// What is being drawn; what is selected.
    pub pointer: &'static str,
    /// Between facts on one line.
    pub dot: &'static str,
    /// Between width and height.
    pub times: &'static str,
    /// Text was left out.
    pub ellipsis: &'static str,
    /// Beside a warning.
    pub warning: &'static str,
    /// Beside a rating.
    pub star: &'static str,
    /// A favourite.
    pub favourite: &'static str,
    /// A number above.
    pub arrow: &'static str,
    /// Memory: ours, others', free.
    pub bar: [&'static str; 3],
    /// Memory by who is to hold it, in the order of the owners.
    pub owners: [&'static str; 7],
    /// Where a budget ends on it.
    pub budget: &'static str,
    /// Levels of a history line, lowest first.
    pub levels: [&'static str; 8],
    /// The name of the Enter key.
    pub enter: &'static str,
    /// The names of the arrow keys: up, down, left, right.
    pub arrows: [&'static str; 4],
    /// Degrees Celsius.
    pub degrees: &'static str,
    /// The noise level.
    pub sigma: &'static str,
}

/// For terminals with Unicode.
pub const UNICODE: Glyphs = Glyphs {
    border: border::ROUNDED,
    joins: true,
    active: "●",
    idle: "○",
    pointer: "▸",
    dot: "·",
    times: "×",
    ellipsis: "…",
    warning: "!",
    star: "★",
    favourite: "♥",
    arrow: "→",
    bar: ["█", "▒", "·"],
    owners: ["█", "▓", "▒", "▚", "░", "▞", "▪"],
    budget: "┊",
    levels: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    enter: "⏎",
    arrows: ["↑", "↓", "←", "→"],
    degrees: "°C",
    sigma: "σ",
};

/// For all others.
pub const ASCII: Glyphs = Glyphs {
    border: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
    joins: false,
    active: "*",
    idle: "o",
    pointer: ">",
    dot: "-",
    times: "x",
    ellipsis: "~",
    warning: "!",
    star: "*",
    favourite: "+",
    arrow: ">",
    bar: ["#", "+", "."],
    owners: ["#", "=", "%", "v", "+", "*", "c"],
    budget: "!",
    levels: ["_", ".", ":", "-", "=", "+", "*", "#"],
    enter: "Enter",
    arrows: ["Up", "Down", "Left", "Right"],
    degrees: "C",
    sigma: "s",
};

impl Glyphs {
    /// The set that was asked for.
    #[must_use]
    pub fn choose(ascii: bool) -> Self {
        if ascii { ASCII } else { UNICODE }
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    #[test]
    fn ascii_is_ascii_and_every_sign_is_one_cell() {
        for (set, ascii) in [(UNICODE, false), (ASCII, true)] {
            let signs =
                [set.active, set.idle, set.pointer, set.dot, set.times, set.ellipsis, set.warning, set.arrow];
            let marks = [set.star, set.favourite, set.budget];
            for sign in signs.iter().chain(&set.bar).chain(&set.owners).chain(&set.levels).chain(&marks) {
                assert_eq!(sign.width(), 1, "{sign:?}");
                assert!(!ascii || sign.is_ascii(), "{sign:?}");
            }
        }
        let border = ASCII.border;
        assert!(
            [border.top_left, border.vertical_left, border.horizontal_top].iter().all(|sign| sign.is_ascii())
        );
        assert!(ASCII.enter.is_ascii() && ASCII.degrees.is_ascii() && ASCII.sigma.is_ascii());
    }
}
