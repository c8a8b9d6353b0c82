//! What the studio says, in English and in Simplified Chinese: `state.language.queue_title(3)` is `Queue 3` or `队列 3`.
//!
//! The messages are in `messages/en.toml` and `messages/zh.toml`, which the program holds. The [`table`] names each with its
//! places, and makes a method of it, so that the compiler says when code and table differ: of a message that is not in the
//! table there is no method, of one with other places the method has other arguments, and one that nothing says is dead
//! code. That both files have every message of the table, with its places and no more, is held by a test.
//!
//! # To add a message
//! 1. A line in [`table`]: `history_title(total);`, or `history_hint;` when it has no places.
//! 2. A line in each file: `history_title = "History {total}"`, `history_title = "历史 {total}"`. Where English needs a plural:
//!    `{count} {count:file|files}`, the first where what fills it is 1. Chinese has none and may have the places in another order.
//! 3. Say it: `state.language.history_title(total)`. A method without arguments gives a `&'static str`, one with arguments a
//!    `String`; numbers are formed by who says them: `left_seconds(format_args!("{seconds:.1}"))`.
//!
//! # Phrases
//! Where code has a table of its own with a text in each line, the English text stays there: the helps of the keymap and of the
//! palette's commands, the titles of contexts, and the hints of the last line. [`Language::phrase`] gives what is shown, and
//! `messages/phrases-zh.toml` has a line for each: `"draw again" = "再次生成"`. To add such a line is all there is to do; a
//! test says which are missing, and which are said no more.
//!
//! # What is not here
//! What comes from the worker and the engines (why a job failed, what a model is), why there is no connection, why a picture
//! could not be shown, what is wrong with a line of a person's file, and the command line: they are as they come, in English.
//! Notices and the log stay in the language that they were told in.
//!
//! **Invariant:** the language is a part of the state, never of the process: tests draw in both at once.

mod errors;
mod grid;
mod table;
mod text;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::OnceLock;

use crate::config::LanguageChoice;
use table::DECLARED;
use text::Text;

/// A language that the studio speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

/// Which language is chosen, and by what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Languages {
    /// What the person wants.
    pub wanted: LanguageChoice,
    /// The command line said it: what the configuration says does not count.
    pub fixed: bool,
    /// What the environment says.
    pub by_environment: LanguageChoice,
}

impl Languages {
    /// By the command line, if that says it, and by the environment until the configuration is read.
    #[must_use]
    pub fn begin(fixed: Option<LanguageChoice>, by_environment: LanguageChoice) -> Self {
        Self { wanted: fixed.unwrap_or_default(), fixed: fixed.is_some(), by_environment }
    }
}

/// What a file of messages holds.
type Messages = BTreeMap<String, String>;

const ENGLISH: &str = include_str!("../../../messages/en.toml");
const CHINESE: &str = include_str!("../../../messages/zh.toml");
const CHINESE_PHRASES: &str = include_str!("../../../messages/phrases-zh.toml");

/// Makes the table: of each line a method of [`Language`].
macro_rules! messages {
    ($($name:ident $(($($place:ident),+))?;)+) => {
        /// Every message, by its place in the table.
        #[allow(non_camel_case_types, reason = "they are called as the messages in the files")]
        enum Message { $($name),+ }

        /// Of every message its name and those of its places.
        pub(super) const DECLARED: &[(&str, &[&str])] =
            &[$((stringify!($name), &[$($(stringify!($place)),+)?])),+];

        impl super::Language {
            $(messages!(@method $name $(($($place),+))?);)+
        }
    };
    (@method $name:ident) => {
        pub(in crate::ui) fn $name(self) -> &'static str {
            self.text(Message::$name as usize).whole()
        }
    };
    (@method $name:ident($($place:ident),+)) => {
        pub(in crate::ui) fn $name(self, $($place: impl std::fmt::Display),+) -> String {
            self.filled(Message::$name as usize, &[$(&$place),+])
        }
    };
}
use messages;

impl Language {
    /// Every language, with the file of its messages.
    pub(super) const ALL: [(Self, &'static str); 2] = [(Self::English, ENGLISH), (Self::Chinese, CHINESE)];

    /// What is chosen, or by the environment where nothing is. Plain signs go with English unless Chinese was asked for: a
    /// terminal that has no others has none for Chinese.
    #[must_use]
    pub fn chosen(choice: LanguageChoice, by_environment: LanguageChoice, ascii: bool) -> Self {
        match (choice, by_environment) {
            (LanguageChoice::Chinese, _) => Self::Chinese,
            (LanguageChoice::Auto, LanguageChoice::Chinese) if !ascii => Self::Chinese,
            _ => Self::English,
        }
    }

    /// A text of one of the code's own tables, in this language. One that is not known is as it stands there.
    #[must_use]
    pub fn phrase(self, english: &'static str) -> &'static str {
        static PHRASES: OnceLock<Messages> = OnceLock::new();
        if self == Self::English {
            return english;
        }
        let phrases = PHRASES.get_or_init(|| parsed(CHINESE_PHRASES));
        phrases.get(english).map_or(english, String::as_str)
    }

    fn text(self, message: usize) -> &'static Text {
        static TEXTS: [OnceLock<Vec<Text>>; 2] = [OnceLock::new(), OnceLock::new()];
        let (_, file) = Self::ALL[self as usize];
        &TEXTS[self as usize].get_or_init(|| texts(file))[message]
    }

    fn filled(self, message: usize, values: &[&dyn Display]) -> String {
        self.text(message).filled(values)
    }
}

/// A file of messages. A test parses each: of one that cannot be, nothing is known.
fn parsed(file: &str) -> Messages {
    toml::from_str(file).unwrap_or_default()
}

/// The messages of a file, in the table's order; one that it has not is its name, which no test lets pass.
fn texts(file: &str) -> Vec<Text> {
    let mut messages = parsed(file);
    let text = |(name, places): &(&str, &[&str])| {
        let text = messages.remove(*name).unwrap_or_else(|| (*name).to_owned());
        Text::new(text, places)
    };
    DECLARED.iter().map(text).collect()
}

#[cfg(test)]
mod tests;
