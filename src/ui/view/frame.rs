//! Borders and titles of panes. Boxes share borders with their neighbours, so where two meet they
//! are joined, and the one with the keys is coloured last.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::symbols::merge::MergeStrategy;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::text;
use crate::ui::pane::Pane;
use crate::ui::state::State;
use crate::ui::theme::Role;

/// Draws a pane's border with its title; `pane` is the one that has keys there, if any.
pub(super) fn draw(state: &State, area: Rect, pane: Option<Pane>, title: &str, buffer: &mut Buffer) {
    let title = text::clip(title, area.width.saturating_sub(4), state.look.glyphs.ellipsis);
    block(state, area, buffer);
    if area.width > 4 && !title.is_empty() {
        let role =
            if pane.is_some_and(|pane| state.has_keys(pane)) { Role::TitleFocused } else { Role::Title };
        let line = Line::from(Span::styled(format!(" {title} "), state.style(role)));
        buffer.set_line(area.x + 1, area.y, &line, area.width - 2);
    }
}

fn block(state: &State, area: Rect, buffer: &mut Buffer) {
    let glyphs = &state.look.glyphs;
    let joins = if glyphs.joins { MergeStrategy::Fuzzy } else { MergeStrategy::Replace };
    Block::bordered()
        .border_set(glyphs.border)
        .border_style(state.style(Role::Border))
        .merge_borders(joins)
        .render(area, buffer);
}

/// A text in the bottom border.
pub(super) fn foot(state: &State, area: Rect, foot: &str, buffer: &mut Buffer) {
    let foot = text::clip(foot, area.width.saturating_sub(4), state.look.glyphs.ellipsis);
    if area.width > 4 && area.height > 1 && !foot.is_empty() {
        let line = Line::from(Span::styled(format!(" {foot} "), state.style(Role::Dim)));
        buffer.set_line(area.x + 1, area.bottom() - 1, &line, area.width - 2);
    }
}

/// Colours the border of the pane that has the keys, leaving titles as they are.
pub(super) fn highlight(state: &State, area: Rect, buffer: &mut Buffer) {
    let style = state.style(Role::BorderFocused);
    for position in area.positions() {
        let edge = position.x == area.x
            || position.x + 1 == area.right()
            || position.y == area.y
            || position.y + 1 == area.bottom();
        if !edge {
            continue;
        }
        let is_border = |symbol: &str| {
            let set = &state.look.glyphs.border;
            let sides = [set.horizontal_top, set.vertical_left, set.top_left, set.top_right, set.bottom_left];
            sides.contains(&symbol)
                || symbol == set.bottom_right
                || ["├", "┤", "┬", "┴", "┼"].contains(&symbol)
        };
        if let Some(cell) = buffer.cell_mut(position).filter(|cell| is_border(cell.symbol())) {
            cell.set_style(style);
        }
    }
}
