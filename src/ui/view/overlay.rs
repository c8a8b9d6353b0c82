//! A list over the panes that letters filter: what they are, a row an entry, and below what there is to say of the
//! chosen one.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::listing::{self, Places};
use super::{frame, grid, prompts, seeds, sizes, snippets, text};
use crate::ui::pane::overlay::Overlay;
use crate::ui::state::State;
use crate::ui::theme::Role;

fn places(state: &State) -> Places {
    listing::places(state, u16::MAX)
}

/// Rows of the list that are in view.
#[must_use]
pub fn overlay_page(state: &State) -> usize {
    usize::from(places(state).list.height)
}

/// The row of the list at a cell.
#[must_use]
pub fn overlay_at(state: &State, position: Position) -> Option<usize> {
    let list = places(state).list;
    let (chosen, rows) = state.overlay.rows();
    let first = text::first_row(chosen, rows, list.height);
    list.contains(position).then(|| first + usize::from(position.y - list.y))
}

/// Its rows, from the first that is in view, and what is said of the chosen one.
pub(super) struct Content {
    pub title: String,
    /// What is said in place of rows.
    pub hint: &'static str,
    pub rows: Vec<Row>,
    pub details: Vec<(String, Role)>,
}

/// One row: texts from the left, and one at the right edge.
pub(super) struct Row {
    pub left: Vec<(String, Role)>,
    pub right: String,
}

pub(super) fn draw(state: &State, buffer: &mut Buffer) {
    let Places { area, list, detail } = places(state);
    let (chosen, count) = state.overlay.rows();
    let first = text::first_row(chosen, count, list.height);
    let visible = first..count.min(first + usize::from(list.height));
    let content = match &state.overlay {
        Overlay::None => return,
        Overlay::Prompts(list) => prompts::content(state, list, visible),
        Overlay::Seeds(list) => seeds::content(state, list, visible),
        Overlay::Snippets(list) => snippets::content(state, list, visible),
        Overlay::Grid(form) => grid::content(state, form),
        Overlay::Sizes(list) => sizes::content(state, list),
    };
    Clear.render(area, buffer);
    buffer.set_style(area, state.style(Role::Screen));
    frame::draw(state, area, None, &content.title, buffer);
    frame::highlight(state, area, buffer);
    if content.rows.is_empty() {
        let hint = text::clip(content.hint, list.width, state.look.glyphs.ellipsis);
        text::put(buffer, list, &[(&hint, state.style(Role::Dim))]);
    }
    for (index, row) in (0..).zip(&content.rows) {
        draw_row(state, text::row(list, index), row, first + usize::from(index) == chosen, buffer);
    }
    draw_details(state, detail, &content.details, buffer);
}

fn draw_row(state: &State, area: Rect, row: &Row, chosen: bool, buffer: &mut Buffer) {
    let over = |role| {
        let style = state.style(role);
        if chosen { style.patch(state.style(Role::Selection)) } else { style }
    };
    if chosen {
        buffer.set_style(area, state.style(Role::Selection));
    }
    let taken = text::put_right(buffer, area, &row.right, over(Role::Dim));
    let sign = if chosen { state.look.glyphs.pointer } else { " " };
    let mut left = Rect { width: area.width.saturating_sub(taken + u16::from(taken > 0)), ..area };
    let x = text::put(buffer, left, &[(sign, over(Role::Accent)), (" ", Style::new())]);
    left = Rect { x, width: left.right().saturating_sub(x), ..left };
    for (words, role) in &row.left {
        let words = text::clip(words, left.width, state.look.glyphs.ellipsis);
        let x = text::put(buffer, left, &[(&words, over(*role))]);
        left = Rect { x, width: left.right().saturating_sub(x), ..left };
    }
}

fn draw_details(state: &State, area: Rect, details: &[(String, Role)], buffer: &mut Buffer) {
    let mut row = 0;
    for (index, (words, role)) in details.iter().enumerate() {
        // Each that follows has a row at least.
        let behind = u16::try_from(details.len() - index - 1).unwrap_or(u16::MAX);
        let left = usize::from(area.height.saturating_sub(row).saturating_sub(behind));
        for line in text::wrap(words, area.width, left, state.look.glyphs.ellipsis) {
            text::put(buffer, text::row(area, row), &[(&line, state.style(*role))]);
            row += 1;
        }
    }
}
