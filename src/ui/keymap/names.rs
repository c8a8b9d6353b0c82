//! What contexts and actions are called in a file: their names in the code, in kebab-case, so that a
//! new line of the table has a name at once.

use std::fmt::Debug;

use super::{Context, KEYMAP};
use crate::ui::action::Action;

/// `Edit(Move(WordLeft))` is `edit-move-word-left`.
fn kebab(of: &impl Debug) -> String {
    let mut name = String::new();
    for found in format!("{of:?}").chars() {
        let begins = !found.is_alphanumeric() || found.is_uppercase();
        if begins && !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if found.is_alphanumeric() {
            name.extend(found.to_lowercase());
        }
    }
    name.truncate(name.trim_end_matches('-').len());
    name
}

impl Action {
    /// What it is called in `keymap.toml` and in the palette.
    #[must_use]
    pub fn name(self) -> String {
        kebab(&self)
    }

    /// The action of this name, if a line of the table has it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        KEYMAP.iter().map(|line| line.action).find(|action| action.name() == name)
    }

    /// Where the table has it.
    pub fn contexts(self) -> impl Iterator<Item = Context> {
        KEYMAP.iter().filter(move |line| line.action == self).map(|line| line.context)
    }
}

impl Context {
    /// What it is called in `keymap.toml`.
    #[must_use]
    pub fn name(self) -> String {
        kebab(&self)
    }

    /// The context of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|context| context.name() == name)
    }

    /// Whether characters are text there: the table binds none.
    #[must_use]
    pub fn takes_text(self) -> bool {
        let mut keys = KEYMAP.iter().filter(|line| line.context == self).flat_map(|line| line.keys);
        !keys.any(|chord| chord.is_text())
    }
}

/// The names most like one that there is not, the likest first.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Vec<String> {
    let far = |known: &str| (!known.contains(name), distance(name, known));
    let mut known: Vec<_> = known.map(|known| (far(&known), known)).collect();
    known.sort();
    known.dedup();
    known.into_iter().take(3).map(|(_, known)| known).collect()
}

/// Letters to add, drop or change (Levenshtein). Names are short: `name` is cut at 64 characters.
fn distance(name: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in name.chars().take(64).enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (column, found) in other.iter().enumerate() {
            let changed = before + usize::from(*found != letter);
            before = row[column + 1];
            row[column + 1] = changed.min(before + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::action::{Edit, ListMove};
    use crate::ui::editor::Motion;

    #[test]
    fn names_are_unique_and_lead_back() {
        for line in KEYMAP {
            let (name, context) = (line.action.name(), line.context.name());
            assert_eq!(Action::named(&name), Some(line.action), "{name}");
            assert_eq!(Context::named(&context), Some(line.context), "{context}");
            assert!(name.chars().all(|found| found.is_ascii_alphanumeric() || found == '-'), "{name}");
        }
    }

    #[test]
    fn names_are_what_files_say() {
        assert_eq!(Action::DrawAgain.name(), "draw-again");
        assert_eq!(Action::Edit(Edit::Move(Motion::WordLeft)).name(), "edit-move-word-left");
        assert_eq!(Action::List(ListMove::PageUp).name(), "list-page-up");
        assert_eq!(Action::Rate(5).name(), "rate-5");
        assert_eq!(Context::OutsidePrompt.name(), "outside-prompt");
    }

    #[test]
    fn text_is_typed_where_the_table_binds_no_letter() {
        for context in [Context::Everywhere, Context::Prompt, Context::Models] {
            assert!(context.takes_text(), "{context:?}");
        }
        for context in [Context::Queue, Context::History, Context::OutsidePrompt, Context::Help] {
            assert!(!context.takes_text(), "{context:?}");
        }
    }

    #[test]
    fn the_likest_names_come_first() {
        let known = || KEYMAP.iter().map(|line| line.action.name());
        assert_eq!(nearest("draw-agian", known())[0], "draw-again");
        assert_eq!(nearest("retry", known())[0], "retry-job");
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
