//! The lists that lie over the panes: opened, moved in, filtered, closed.

use ratatui::layout::Position;

use crate::job::DrawnPrompt;
use crate::job::PromptQuery;
use crate::ui::action::ListMove;
use crate::ui::effect::Question;
use crate::ui::pane::overlay::Overlay;
use crate::ui::pane::prompts::{PAGE, PromptList};
use crate::ui::state::State;
use crate::ui::view;

/// Opens the prompts of the library.
pub(super) fn open_prompts(state: &mut State) {
    state.parameters.commit();
    state.models.close();
    state.overlay = Overlay::Prompts(Box::new(PromptList::new(state.history.pictures())));
}

/// Moves in the open list.
pub(super) fn choose(state: &mut State, by: ListMove) {
    let page = view::overlay_page(state);
    state.overlay.choose(by, page);
}

/// A click: on a row it chooses, elsewhere it closes.
pub(super) fn click(state: &mut State, position: Position) {
    match view::overlay_at(state, position) {
        Some(row) => state.overlay.choose_row(row),
        None => drop(state.overlay.close()),
    }
}

/// What the open list has to be told by the worker.
pub(super) fn question(state: &mut State) -> Option<Question> {
    let now = state.now;
    let query = state.overlay.prompts_mut()?.wants(now)?;
    Some(Question::Prompts { query, limit: PAGE })
}

/// The worker has told a page of prompts.
pub(super) fn prompts_answered(
    state: &mut State,
    query: &PromptQuery,
    result: Result<Vec<DrawnPrompt>, String>,
) {
    let page =
        result.map_err(|reason| state.notices.warn(format!("older prompts could not be had: {reason}")));
    if let Some(list) = state.overlay.prompts_mut() {
        list.answered(query, page.ok());
    }
}
