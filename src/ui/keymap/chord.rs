//! A key with what is held down: how it is matched, shown, written in a file and read from one.

use crossterm::event::KeyCode::{
    self, Backspace, Delete, Down, End, Enter, Esc, Home, Insert, Left, PageDown, PageUp, Right, Tab, Up,
};
use crossterm::event::{KeyEvent, KeyModifiers};

/// A key with what is held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chord {
    /// The key.
    pub code: KeyCode,
    /// Control, Alt, Shift.
    pub modifiers: KeyModifiers,
}

/// Why a text is no key. The message says what is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChordError {
    /// Nothing is called so.
    #[error(
        "{0:?} is not a key; a key is one character, Enter, Esc, Tab, Space, Backspace, Delete, Insert, Up, \
         Down, Left, Right, Home, End, PgUp, PgDn or F1 to F24, after Ctrl-, Alt- or Shift- if need be"
    )]
    Unknown(String),
    /// Terminals send another key for it.
    #[error("terminals send {sent} for {chord:?}: bind {sent}, or another key")]
    Sent {
        /// What was written.
        chord: String,
        /// What comes.
        sent: &'static str,
    },
}

/// Keys that have a name; the first name of a key is the one that is shown.
const NAMED: [(&str, KeyCode); 17] = [
    ("Enter", Enter),
    ("Esc", Esc),
    ("Tab", Tab),
    ("Space", KeyCode::Char(' ')),
    ("Backspace", Backspace),
    ("Delete", Delete),
    ("Insert", Insert),
    ("Up", Up),
    ("Down", Down),
    ("Left", Left),
    ("Right", Right),
    ("Home", Home),
    ("End", End),
    ("PgUp", PageUp),
    ("PgDn", PageDown),
    ("PageUp", PageUp),
    ("PageDown", PageDown),
];

/// What terminals cannot tell from another key.
const SAME: [(char, &str); 4] = [('i', "Tab"), ('m', "Enter"), ('[', "Esc"), ('h', "Backspace")];

impl Chord {
    /// Whether this is the key.
    #[must_use]
    pub fn matches(self, key: &KeyEvent) -> bool {
        // Shift is part of a character: `?` comes with it on some keyboards and without on others.
        let ignored = match key.code {
            KeyCode::Char(_) | KeyCode::BackTab => KeyModifiers::SHIFT,
            _ => KeyModifiers::NONE,
        };
        self.code == key.code && self.modifiers - ignored == key.modifiers - ignored
    }

    /// Whether it is text where text is typed.
    #[must_use]
    pub fn is_text(self) -> bool {
        let held = KeyModifiers::CONTROL | KeyModifiers::ALT;
        matches!(self.code, KeyCode::Char(_)) && !self.modifiers.intersects(held)
    }

    /// Its name for a person: `^R`, `Alt-Enter`, `F1`.
    #[must_use]
    pub fn name(self) -> String {
        match self.code {
            KeyCode::Char(letter) if letter != ' ' && self.modifiers.contains(KeyModifiers::CONTROL) => {
                let alt = if self.modifiers.contains(KeyModifiers::ALT) { "Alt-" } else { "" };
                format!("{alt}^{}", letter.to_uppercase())
            }
            _ => self.written(),
        }
    }

    /// As it is written in a file: `Ctrl-r`, `Alt-Enter`, `F1`.
    #[must_use]
    pub fn written(self) -> String {
        let shift = self.modifiers.contains(KeyModifiers::SHIFT) || self.code == KeyCode::BackTab;
        let held = [
            (self.modifiers.contains(KeyModifiers::CONTROL), "Ctrl-"),
            (self.modifiers.contains(KeyModifiers::ALT), "Alt-"),
            (shift, "Shift-"),
        ];
        let mut text: String = held.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        match self.code {
            KeyCode::BackTab => text.push_str("Tab"),
            KeyCode::F(number) => text.push_str(&format!("F{number}")),
            code => match (NAMED.iter().find(|(_, named)| *named == code), code) {
                (Some((name, _)), _) => text.push_str(name),
                (None, KeyCode::Char(letter)) => text.push(letter),
                (None, other) => text.push_str(&format!("{other:?}")),
            },
        }
        text
    }

    /// What a person wrote: `Ctrl-r` or `^R`, `Alt-Enter`, `F5`, `K`.
    ///
    /// # Errors
    /// [`ChordError`] says what may be written instead.
    pub fn parse(text: &str) -> Result<Self, ChordError> {
        let (modifiers, key) = held(text);
        let unknown = || ChordError::Unknown(text.to_owned());
        let code = code(key).ok_or_else(unknown)?;
        let control = modifiers.contains(KeyModifiers::CONTROL);
        let shift = modifiers.contains(KeyModifiers::SHIFT);
        if let (KeyCode::Char(letter), true) = (code, control) {
            let same = SAME.iter().find(|(found, _)| letter.to_ascii_lowercase() == *found);
            if let Some((_, sent)) = same {
                return Err(ChordError::Sent { chord: text.to_owned(), sent });
            }
        }
        let rest = modifiers - KeyModifiers::SHIFT;
        Ok(match code {
            // With Ctrl terminals do not say whether Shift was held.
            KeyCode::Char(letter) if control => {
                Self { code: KeyCode::Char(letter.to_ascii_lowercase()), modifiers: rest }
            }
            KeyCode::Char(letter) if shift => {
                let mut upper = letter.to_uppercase();
                let one = upper.next().filter(|_| upper.next().is_none()).unwrap_or(letter);
                Self { code: KeyCode::Char(one), modifiers: rest }
            }
            Tab if shift => Self { code: KeyCode::BackTab, modifiers: rest },
            code => Self { code, modifiers },
        })
    }
}

/// What is held down, and the rest of the text.
fn held(text: &str) -> (KeyModifiers, &str) {
    let (mut modifiers, mut rest) = (KeyModifiers::NONE, text);
    let names = [
        ("ctrl-", KeyModifiers::CONTROL),
        ("alt-", KeyModifiers::ALT),
        ("shift-", KeyModifiers::SHIFT),
        ("^", KeyModifiers::CONTROL),
    ];
    loop {
        let found = names.iter().find(|(name, _)| {
            // The last character is the key, whatever it is: `^` is one too.
            let start = rest.get(..name.len()).filter(|_| rest.len() > name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        let Some((name, held)) = found else { return (modifiers, rest) };
        modifiers |= *held;
        rest = &rest[name.len()..];
    }
}

fn code(key: &str) -> Option<KeyCode> {
    let mut letters = key.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        return (!letter.is_control()).then_some(KeyCode::Char(letter));
    }
    if let Some((_, code)) = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
        return Some(*code);
    }
    let number = key.strip_prefix(['F', 'f'])?.parse().ok()?;
    (1..=24).contains(&number).then_some(KeyCode::F(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::keymap::KEYMAP;

    fn parsed(text: &str) -> String {
        Chord::parse(text).map_or_else(|error| error.to_string(), Chord::written)
    }

    #[test]
    fn every_key_of_the_table_is_read_as_it_is_written_and_as_it_is_shown() {
        for chord in KEYMAP.iter().flat_map(|line| line.keys) {
            let same = |text: String| {
                let read = Chord::parse(&text).unwrap_or_else(|error| panic!("{error}"));
                let key = KeyEvent::new(read.code, read.modifiers);
                // Shift-Tab comes in two forms; a file's is the one that most terminals send.
                assert!(chord.matches(&key) || chord.written() == "Shift-Tab", "{chord:?} became {read:?}");
            };
            same(chord.written());
            same(chord.name());
        }
    }

    #[test]
    fn what_a_person_may_write() {
        for (text, read) in [
            ("ctrl-R", "Ctrl-r"),
            ("^r", "Ctrl-r"),
            ("^", "^"),
            ("^^", "Ctrl-^"),
            ("-", "-"),
            ("Alt--", "Alt--"),
            ("alt-shift-enter", "Alt-Shift-Enter"),
            ("Shift-k", "K"),
            ("shift-tab", "Shift-Tab"),
            ("pageup", "PgUp"),
            ("f12", "F12"),
            (" ", "Space"),
            ("é", "é"),
        ] {
            assert_eq!(parsed(text), read, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_told_with_what_is_one() {
        for text in ["", "Hyper-x", "F25", "F0", "ab", "Ctrl-"] {
            assert!(parsed(text).contains("is not a key; a key is one character, Enter"), "{}", parsed(text));
        }
        assert_eq!(parsed("Ctrl-i"), "terminals send Tab for \"Ctrl-i\": bind Tab, or another key");
    }

    #[test]
    fn names_are_short() {
        let name = |text| Chord::parse(text).expect("a key").name();
        assert_eq!(name("Ctrl-r"), "^R");
        assert_eq!(name("Alt-Enter"), "Alt-Enter");
        assert_eq!(name("F1"), "F1");
        assert_eq!(name("Shift-Tab"), "Shift-Tab");
        assert_eq!(name("Ctrl-Space"), "Ctrl-Space");
    }
}
