//! Snippets to be put into the prompt, found by their names and their words.

use super::filter::Filter;
use crate::config::snippets::{Snippet, built_in};
use crate::ui::action::ListMove;

/// The snippets.
#[derive(Debug, Clone)]
pub struct SnippetList {
    snippets: Vec<Snippet>,
    texts: Vec<String>,
    filter: Filter,
    row: usize,
}

impl Default for SnippetList {
    /// Those that are built in; a person's own are read.
    fn default() -> Self {
        let mut list = Self { snippets: Vec::new(), texts: Vec::new(), filter: Filter::default(), row: 0 };
        list.read(built_in());
        list
    }
}

impl SnippetList {
    /// All of them are known.
    pub fn read(&mut self, snippets: Vec<Snippet>) {
        self.texts = snippets.iter().map(|snippet| format!("{} {}", snippet.name, snippet.text)).collect();
        self.snippets = snippets;
        self.look();
    }

    fn look(&mut self) {
        self.row = 0;
        self.filter.apply(self.texts.iter().map(String::as_str));
    }

    /// What is filtered by.
    #[must_use]
    pub fn filter(&self) -> &str {
        self.filter.text()
    }

    /// Those that the filter finds.
    #[must_use]
    pub fn rows(&self) -> Vec<&Snippet> {
        self.filter.found().iter().map(|index| &self.snippets[*index]).collect()
    }

    /// The chosen row.
    #[must_use]
    pub fn chosen_row(&self) -> usize {
        self.row
    }

    /// The chosen snippet.
    #[must_use]
    pub fn chosen(&self) -> Option<&Snippet> {
        self.rows().get(self.row).copied()
    }

    /// Chooses another row.
    pub fn choose(&mut self, by: ListMove, page: usize) {
        self.row = super::moved(self.row, self.filter.found().len(), page, by);
    }

    /// Chooses a row.
    pub fn choose_row(&mut self, row: usize) {
        if row < self.filter.found().len() {
            self.row = row;
        }
    }

    /// Filters by one letter more.
    pub fn type_character(&mut self, typed: char) {
        if self.filter.push(typed) {
            self.look();
        }
    }

    /// Filters by one letter less.
    pub fn backspace(&mut self) {
        if self.filter.pop() {
            self.look();
        }
    }
}
