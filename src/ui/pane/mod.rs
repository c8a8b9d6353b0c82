//! What each pane knows, one file a pane. Plain data: no I/O, no drawing.

pub mod drafted;
pub mod editing;
pub mod filter;
pub mod gallery;
pub mod grid;
pub mod history;
pub mod log;
pub mod lora_pictures;
pub mod loras;
pub mod memory;
pub mod model_page;
pub mod models;
pub mod overlay;
pub mod palette;
mod parameter_seeds;
mod parameter_wrong;
pub mod parameters;
pub mod preview;
pub mod prompt;
pub mod prompts;
pub mod queue;
pub mod seeds;
pub mod sizes;
pub mod snippets;
pub mod themes;
pub mod words;

/// The panes that take keys, in the order that Tab goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Pane {
    /// What to draw.
    #[default]
    Prompt,
    /// How.
    Parameters,
    /// What is waiting.
    Queue,
    /// What was drawn.
    History,
}

impl Pane {
    /// Every pane.
    pub const ALL: [Self; 4] = [Self::Prompt, Self::Parameters, Self::Queue, Self::History];

    /// The pane after this one, or before it.
    #[must_use]
    pub fn next(self, forwards: bool) -> Self {
        let index = Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0);
        Self::ALL[(index + if forwards { 1 } else { Self::ALL.len() - 1 }) % Self::ALL.len()]
    }
}

/// Moves an index in a list of `length`; `page` is the rows in view.
pub(crate) fn moved(index: usize, length: usize, page: usize, by: super::action::ListMove) -> usize {
    use super::action::ListMove;
    let last = length.saturating_sub(1);
    match by {
        ListMove::Up => index.saturating_sub(1),
        ListMove::Down => (index + 1).min(last),
        ListMove::PageUp => index.saturating_sub(page.max(1)),
        ListMove::PageDown => (index + page.max(1)).min(last),
        ListMove::First => 0,
        ListMove::Last => last,
    }
}
