//! The prompts of the library, to be taken up again: the newest first, found by typing. What is known is searched at
//! once; the worker is asked for what is not, a page at a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::filter::Filter;
use crate::job::{DrawnPrompt, LastDrawn, Picture, PromptQuery, SearchText, prompt_key};
use crate::ui::action::ListMove;

/// Prompts asked for at a time.
pub const PAGE: u32 = 100;
/// Rows before the last one at which more are asked for.
const AHEAD: usize = 20;
/// Typing pauses this long before the worker is asked.
const PAUSE: Duration = Duration::from_millis(150);
/// While letters filter, so many prompts are had from the worker for them to look through.
const LOOKED_THROUGH: usize = 2_000;
/// The most that is held, in prompts and in bytes of them.
const HELD_MAX: usize = 20_000;
const HELD_BYTES: usize = 64 << 20;

type Key = [u8; 32];

/// The prompts.
#[derive(Debug, Clone, Default)]
pub struct PromptList {
    entries: Vec<DrawnPrompt>,
    places: HashMap<Key, usize>,
    bytes: usize,
    filter: Filter,
    /// When a letter was typed last.
    typed_at: Option<Instant>,
    chosen: Option<Key>,
    /// All of them, page by page.
    all: Pages,
    /// Those that have the words of the filter.
    with_words: Pages,
    /// What the worker was asked, and has not answered.
    asked: Option<PromptQuery>,
}

/// How far the worker's pages of one query have come.
#[derive(Debug, Clone, Default)]
struct Pages {
    text: SearchText,
    before: Option<LastDrawn>,
    complete: bool,
}

impl Pages {
    fn query(&self) -> PromptQuery {
        PromptQuery { text: self.text.clone(), before: self.before }
    }

    fn answered(&mut self, page: &[DrawnPrompt]) {
        match page.last() {
            Some(last) => self.before = Some(last.last),
            None => self.complete = true,
        }
    }
}

impl PromptList {
    /// Begins with the pictures that are known, newest first.
    #[must_use]
    pub fn new(pictures: &[Picture]) -> Self {
        let mut list = Self::default();
        for picture in pictures.iter().rev() {
            list.note_picture(picture);
        }
        list.arrange();
        list
    }

    /// A picture that is known, the newest of its prompt so far.
    fn note_picture(&mut self, picture: &Picture) {
        let key = prompt_key(picture.recipe.written().as_str());
        let last = LastDrawn { at: picture.finished_at, picture: picture.id };
        let better = |known: &Picture| {
            let worth = |it: &Picture| (it.marks.favourite, it.marks.rating);
            worth(picture) >= worth(known)
        };
        match self.places.get(&key) {
            Some(at) => {
                let known = &mut self.entries[*at];
                (known.last, known.pictures) = (last, known.pictures + 1);
                if better(&known.best) {
                    known.best = picture.clone();
                }
            }
            None => self.insert(key, DrawnPrompt { best: picture.clone(), pictures: 1, last }),
        }
    }

    fn insert(&mut self, key: Key, prompt: DrawnPrompt) {
        self.bytes += prompt.best.text_len();
        self.places.insert(key, self.entries.len());
        self.entries.push(prompt);
    }

    /// In order, and filtered.
    fn arrange(&mut self) {
        self.entries.sort_by_key(|entry| std::cmp::Reverse(entry.last));
        let keys = self.entries.iter().map(|entry| prompt_key(entry.best.recipe.written().as_str()));
        self.places = keys.zip(0..).collect();
        self.look();
    }

    fn look(&mut self) {
        self.filter.apply(self.entries.iter().map(|entry| entry.best.recipe.written().as_str()));
    }

    /// What is filtered by.
    #[must_use]
    pub fn filter(&self) -> &str {
        self.filter.text()
    }

    /// The prompts that the filter finds.
    #[must_use]
    pub fn rows(&self) -> Vec<&DrawnPrompt> {
        self.filter.found().iter().map(|index| &self.entries[*index]).collect()
    }

    /// How many it finds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.filter.found().len()
    }

    /// How many prompts are known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.entries.len()
    }

    /// Whether the worker has said everything that there is to say.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.all.complete
    }

    /// The chosen row.
    #[must_use]
    pub fn chosen_row(&self) -> usize {
        let at = self.chosen.as_ref().and_then(|key| self.places.get(key));
        at.and_then(|at| self.filter.found().iter().position(|found| found == at)).unwrap_or(0)
    }

    /// The chosen prompt.
    #[must_use]
    pub fn chosen(&self) -> Option<&DrawnPrompt> {
        self.filter.found().get(self.chosen_row()).map(|index| &self.entries[*index])
    }

    /// Chooses another row.
    pub fn choose(&mut self, by: ListMove, page: usize) {
        self.choose_row(super::moved(self.chosen_row(), self.count(), page, by));
    }

    /// Chooses a row.
    pub fn choose_row(&mut self, row: usize) {
        if let Some(index) = self.filter.found().get(row) {
            self.chosen = Some(prompt_key(self.entries[*index].best.recipe.written().as_str()));
        }
    }

    /// Filters by one letter more; the best that is found is chosen.
    pub fn type_character(&mut self, typed: char, now: Instant) {
        if self.filter.push(typed) {
            self.filter_changed(now);
        }
    }

    /// Filters by one letter less.
    pub fn backspace(&mut self, now: Instant) {
        if self.filter.pop() {
            self.filter_changed(now);
        }
    }

    fn filter_changed(&mut self, now: Instant) {
        (self.typed_at, self.chosen) = (Some(now), None);
        self.look();
    }

    /// The words to ask the worker for, if it would take them.
    fn words(&self) -> Option<SearchText> {
        SearchText::new(self.filter.text().trim()).ok().filter(|text| text.words().next().is_some())
    }

    /// What to ask the worker now, if anything.
    pub fn wants(&mut self, now: Instant) -> Option<PromptQuery> {
        let full = self.entries.len() >= HELD_MAX || self.bytes >= HELD_BYTES;
        if self.asked.is_some() || full || self.due().is_some_and(|due| due > now) {
            return None;
        }
        let near_end = self.chosen_row() + AHEAD >= self.count();
        // With all of them here there is nothing left to find.
        if let Some(text) = self.words().filter(|_| !self.all.complete) {
            if self.with_words.text != text {
                self.with_words = Pages { text, ..Pages::default() };
            }
            if near_end && !self.with_words.complete {
                return self.ask(self.with_words.query());
            }
        }
        let wanted =
            if self.filter.text().trim().is_empty() { near_end } else { self.entries.len() < LOOKED_THROUGH };
        if wanted && !self.all.complete { self.ask(self.all.query()) } else { None }
    }

    fn ask(&mut self, query: PromptQuery) -> Option<PromptQuery> {
        self.asked = Some(query.clone());
        Some(query)
    }

    /// When the worker is to be asked.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.typed_at.map(|typed| typed + PAUSE)
    }

    /// Takes a page; `None` when it could not be had.
    pub fn answered(&mut self, query: &PromptQuery, page: Option<Vec<DrawnPrompt>>) {
        if self.asked.as_ref() != Some(query) {
            return;
        }
        self.asked = None;
        let Some(page) = page else {
            // It is not asked for again and again.
            (self.all.complete, self.with_words.complete) = (true, true);
            return;
        };
        let pages = [&mut self.all, &mut self.with_words];
        pages.into_iter().filter(|it| it.query() == *query).for_each(|it| it.answered(&page));
        for prompt in page {
            let key = prompt_key(prompt.best.recipe.written().as_str());
            match self.places.get(&key) {
                // One that was drawn since the worker looked is newer here.
                Some(at) if self.entries[*at].last > prompt.last => {}
                Some(at) => self.entries[*at] = prompt,
                None => self.insert(key, prompt),
            }
        }
        self.arrange();
    }

    /// What was asked will not be answered.
    pub fn unanswered(&mut self) {
        self.asked = None;
    }
}

#[cfg(test)]
#[path = "prompts_tests.rs"]
mod tests;
