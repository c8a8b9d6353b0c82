//! What a list is filtered by, and which of its entries stay.

use crate::ui::fuzzy;

/// The longest filter, in characters.
const FILTER_MAX: usize = 100;

/// Letters that were typed, and the entries that they find.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    text: String,
    found: Vec<usize>,
}

impl Filter {
    /// What was typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The entries that are found, by their index, the best first.
    #[must_use]
    pub fn found(&self) -> &[usize] {
        &self.found
    }

    /// One letter more; whether there was room for it.
    pub fn push(&mut self, typed: char) -> bool {
        let fits = self.text.chars().count() < FILTER_MAX && !typed.is_control();
        if fits {
            self.text.push(typed);
        }
        fits
    }

    /// One letter less; whether there was one.
    pub fn pop(&mut self) -> bool {
        self.text.pop().is_some()
    }

    /// Looks through the entries again: they, or the letters, are others.
    pub fn apply<'t>(&mut self, texts: impl Iterator<Item = &'t str>) {
        self.found = fuzzy::find(&self.text, texts);
    }
}
