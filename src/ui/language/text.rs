//! One message: its text, and the places in it that code fills.

use std::fmt::{Display, Write as _};

/// A message.
#[derive(Debug)]
pub(super) struct Text {
    whole: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// As it stands.
    Plain(String),
    /// What fills the place of this number.
    Place(usize),
    /// The first where what fills it is 1, and else the second.
    Plural(usize, String, String),
}

/// `{name}` or `{name:one|many}`, without the braces.
fn place(inside: &str) -> (&str, Option<(&str, &str)>) {
    match inside.split_once(':') {
        Some((name, words)) => (name, Some(words.split_once('|').unwrap_or((words, words)))),
        None => (inside, None),
    }
}

/// The text before each place and what the place's braces hold; at the end the rest.
fn split(text: &str) -> (Vec<(&str, &str)>, &str) {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((before, (inside, after))) =
        rest.split_once('{').and_then(|(before, behind)| Some((before, behind.split_once('}')?)))
    {
        found.push((before, inside));
        rest = after;
    }
    (found, rest)
}

impl Text {
    /// A text whose places have these names. A place of another name stays as it is written.
    pub fn new(whole: String, places: &[&str]) -> Self {
        let (found, rest) = split(&whole);
        let mut pieces = Vec::new();
        for (before, inside) in found {
            pieces.push(Piece::Plain(before.to_owned()));
            let (name, words) = place(inside);
            let at = places.iter().position(|known| *known == name);
            pieces.push(match (at, words) {
                (Some(at), None) => Piece::Place(at),
                (Some(at), Some((one, many))) => Piece::Plural(at, one.to_owned(), many.to_owned()),
                (None, _) => Piece::Plain(format!("{{{inside}}}")),
            });
        }
        pieces.push(Piece::Plain(rest.to_owned()));
        Self { whole, pieces }
    }

    /// The text, of a message that has no places.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// The text with its places filled.
    pub fn filled(&self, values: &[&dyn Display]) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            // Writing to a string does not fail.
            let _ = match piece {
                Piece::Plain(plain) => text.write_str(plain),
                Piece::Place(at) => write!(text, "{}", values[*at]),
                Piece::Plural(at, one, many) => {
                    text.write_str(if values[*at].to_string() == "1" { one } else { many })
                }
            };
        }
        text
    }
}

/// The names of the places of a text, each once, in order of the alphabet.
#[cfg(test)]
pub(super) fn places_of(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = split(text).0.into_iter().map(|(_, inside)| place(inside).0).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_any_order_and_words_follow_the_number() {
        let text = |whole: &str| Text::new(whole.to_owned(), &["count", "name"]);
        let fills = |whole: &str, count: u32| text(whole).filled(&[&count, &"nano"]);
        let english = "{count} {count:file|files} of {name}";
        assert_eq!(fills(english, 1), "1 file of nano");
        assert_eq!(fills(english, 3), "3 files of nano");
        assert_eq!(fills(english, 0), "0 files of nano");
        assert_eq!(fills("{name}：{count} 个文件", 1), "nano：1 个文件");
        assert_eq!(fills("no place, {other}, {open", 1), "no place, {other}, {open");
        assert_eq!(places_of(english), ["count", "name"]);
    }

    #[test]
    fn what_fills_a_place_is_not_read_for_places() {
        let text = Text::new("{count} {name}".to_owned(), &["count", "name"]);
        assert_eq!(text.filled(&[&"{name}", &"{count}"]), "{name} {count}");
    }
}
