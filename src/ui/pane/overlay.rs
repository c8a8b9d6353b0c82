//! A list that lies over the panes and is filtered by typing: one at a time, or none.

use std::time::Instant;

use super::grid::GridForm;
use super::prompts::PromptList;
use super::seeds::SeedList;
use super::sizes::SizeList;
use super::snippets::SnippetList;
use crate::ui::action::ListMove;
use crate::ui::keymap::Context;

/// What lies over the panes.
#[derive(Debug, Clone, Default)]
pub enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The prompts of the library.
    Prompts(Box<PromptList>),
    /// The seeds that were tried for the prompt.
    Seeds(Box<SeedList>),
    /// What can be put into the prompt.
    Snippets(Box<SnippetList>),
    /// The form of a grid.
    Grid(Box<GridForm>),
    /// Sizes by shape and megapixels.
    Sizes(Box<SizeList>),
}

impl Overlay {
    /// Whether there is one.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Closes it. Whether it was open.
    pub fn close(&mut self) -> bool {
        !matches!(std::mem::take(self), Self::None)
    }

    /// Which keys it has.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        match self {
            Self::None => None,
            Self::Prompts(_) => Some(Context::Prompts),
            Self::Seeds(_) => Some(Context::Seeds),
            Self::Snippets(_) => Some(Context::Snippets),
            Self::Grid(_) => Some(Context::Grid),
            Self::Sizes(_) => Some(Context::Sizes),
        }
    }

    /// The prompts, if it is they.
    #[must_use]
    pub fn prompts(&self) -> Option<&PromptList> {
        match self {
            Self::Prompts(list) => Some(list),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn prompts_mut(&mut self) -> Option<&mut PromptList> {
        match self {
            Self::Prompts(list) => Some(list),
            _ => None,
        }
    }

    /// Filters by one letter more.
    pub fn type_character(&mut self, typed: char, now: Instant) {
        match self {
            Self::None | Self::Sizes(_) => {}
            Self::Prompts(list) => list.type_character(typed, now),
            Self::Seeds(list) => list.type_character(typed),
            Self::Snippets(list) => list.type_character(typed),
            Self::Grid(form) => form.type_character(typed),
        }
    }

    /// Filters by one letter less.
    pub fn backspace(&mut self, now: Instant) {
        match self {
            Self::None | Self::Sizes(_) => {}
            Self::Prompts(list) => list.backspace(now),
            Self::Seeds(list) => list.backspace(),
            Self::Snippets(list) => list.backspace(),
            Self::Grid(form) => form.backspace(),
        }
    }

    /// Chooses another row; `page` is the rows in view.
    pub fn choose(&mut self, by: ListMove, page: usize) {
        match self {
            Self::None => {}
            Self::Prompts(list) => list.choose(by, page),
            Self::Seeds(list) => list.choose(by, page),
            Self::Snippets(list) => list.choose(by, page),
            Self::Grid(form) => form.choose(by, page),
            Self::Sizes(list) => list.choose(by, page),
        }
    }

    /// Chooses a row.
    pub fn choose_row(&mut self, row: usize) {
        match self {
            Self::None => {}
            Self::Prompts(list) => list.choose_row(row),
            Self::Seeds(list) => list.choose_row(row),
            Self::Snippets(list) => list.choose_row(row),
            Self::Grid(form) => form.choose_row(row),
            Self::Sizes(list) => list.choose_row(row),
        }
    }

    /// The chosen row and how many there are.
    #[must_use]
    pub fn rows(&self) -> (usize, usize) {
        match self {
            Self::None => (0, 0),
            Self::Prompts(list) => (list.chosen_row(), list.count()),
            Self::Seeds(list) => (list.chosen_row(), list.rows().len()),
            Self::Snippets(list) => (list.chosen_row(), list.rows().len()),
            Self::Grid(form) => (form.row(), GridForm::ROWS.len()),
            Self::Sizes(list) => (list.row(), list.rows().len()),
        }
    }

    /// What was asked of the worker will not be answered.
    pub fn unanswered(&mut self) {
        match self {
            Self::Prompts(list) => list.unanswered(),
            // Nobody would say that there are none.
            Self::Seeds(_) => drop(self.close()),
            Self::Snippets(_) | Self::Grid(_) | Self::Sizes(_) | Self::None => {}
        }
    }
}
