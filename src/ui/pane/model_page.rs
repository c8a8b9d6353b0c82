//! What is told of one model in place of the list: what it is, and where.

use crate::model::ModelName;
use crate::ui::action::ListMove;
use crate::wire::message::ModelDetails;

/// What a page is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// What its files are.
    What,
    /// Where they are, and whether they are right.
    Where,
}

/// A page of the picker.
#[derive(Debug, Clone)]
pub struct Page {
    /// Of which model.
    pub model: ModelName,
    /// About what.
    pub subject: Subject,
    /// What the worker said, once it has.
    pub details: Option<Result<Box<ModelDetails>, String>>,
    /// It is scrolled by so many lines.
    pub first: usize,
}

impl Page {
    /// A page whose text is to come.
    #[must_use]
    pub fn new(model: ModelName, subject: Subject) -> Self {
        Self { model, subject, details: None, first: 0 }
    }

    /// Scrolls it, where it has so many lines and shows so many.
    pub fn scroll(&mut self, by: ListMove, lines: usize, height: usize) {
        let last = lines.saturating_sub(height);
        self.first = match by {
            ListMove::Up => self.first.saturating_sub(1),
            ListMove::Down => self.first + 1,
            ListMove::PageUp => self.first.saturating_sub(height),
            ListMove::PageDown => self.first + height,
            ListMove::First => 0,
            ListMove::Last => last,
        }
        .min(last);
    }
}
