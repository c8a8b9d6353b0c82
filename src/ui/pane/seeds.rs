//! The seeds that were tried for a prompt, the best first.

use super::filter::Filter;
use crate::job::{Prompt, TriedSeed};
use crate::ui::action::ListMove;

/// The seeds of a prompt.
#[derive(Debug, Clone)]
pub struct SeedList {
    /// The prompt.
    pub prompt: Prompt,
    /// `None` until the worker has told them.
    seeds: Option<Vec<TriedSeed>>,
    texts: Vec<String>,
    filter: Filter,
    row: usize,
}

impl SeedList {
    /// Of a prompt, before the worker has told them.
    #[must_use]
    pub fn new(prompt: Prompt) -> Self {
        Self { prompt, seeds: None, texts: Vec::new(), filter: Filter::default(), row: 0 }
    }

    /// The worker has told them.
    pub fn answered(&mut self, seeds: Vec<TriedSeed>) {
        let text = |seed: &TriedSeed| format!("{} {} {}", seed.seed, seed.model, seed.size);
        self.texts = seeds.iter().map(text).collect();
        self.seeds = Some(seeds);
        self.look();
    }

    fn look(&mut self) {
        self.row = 0;
        self.filter.apply(self.texts.iter().map(String::as_str));
    }

    /// Whether the worker has told them.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.seeds.is_some()
    }

    /// What is filtered by.
    #[must_use]
    pub fn filter(&self) -> &str {
        self.filter.text()
    }

    /// Those that the filter finds.
    #[must_use]
    pub fn rows(&self) -> Vec<&TriedSeed> {
        let seeds = self.seeds.as_deref().unwrap_or_default();
        self.filter.found().iter().filter_map(|index| seeds.get(*index)).collect()
    }

    /// The chosen row.
    #[must_use]
    pub fn chosen_row(&self) -> usize {
        self.row
    }

    /// The chosen seed.
    #[must_use]
    pub fn chosen(&self) -> Option<&TriedSeed> {
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
