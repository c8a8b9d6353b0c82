//! The palette: what is typed, and below it what that may mean, each line with its key.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::widgets::{Clear, Widget};

use super::{frame, text};
use crate::ui::layout::padded;
use crate::ui::pane::palette::{Choice, Row, rows};
use crate::ui::state::State;
use crate::ui::theme::Role;
use crate::ui::update::contexts_below;

/// The widest that it becomes.
const WIDTH: u16 = 72;
/// Lines that are seen at once, at most.
const LINES: u16 = 14;
/// Cells for a key.
const KEY: u16 = 12;

struct Places {
    area: Rect,
    /// What is typed.
    typed: Rect,
    list: Rect,
    /// What is wrong with it.
    foot: Rect,
}

fn places(state: &State) -> Places {
    let window = state.view.window;
    let width = window.columns.saturating_sub(4).min(WIDTH);
    let height = window.rows.saturating_sub(3).min(LINES + 4);
    let area = Rect { x: (window.columns - width) / 2, y: 1, width, height };
    let inside = padded(area);
    let below = inside.height.saturating_sub(1);
    let foot = u16::from(below > 2);
    Places {
        area,
        typed: text::row(inside, 0),
        list: Rect { y: inside.y + inside.height.min(1), height: below - foot, ..inside },
        foot: if foot == 1 { text::row(inside, inside.height - 1) } else { Rect { height: 0, ..inside } },
    }
}

/// Lines of the list in view.
#[must_use]
pub fn palette_page(state: &State) -> usize {
    usize::from(places(state).list.height)
}

/// The line of the list at a cell.
#[must_use]
pub fn palette_at(state: &State, position: Position) -> Option<usize> {
    let list = places(state).list;
    let count = rows(state.palette.text(), &state.keys, &contexts_below(state), state.language).len();
    let first = text::first_row(state.palette.chosen(count), count, list.height);
    let row = list.contains(position).then(|| first + usize::from(position.y - list.y))?;
    (row < count).then_some(row)
}

/// Draws it; gives back where the cursor is.
pub(super) fn draw(state: &State, buffer: &mut Buffer) -> Option<Position> {
    let Places { area, typed, list, foot } = places(state);
    Clear.render(area, buffer);
    buffer.set_style(area, state.style(Role::Screen));
    frame::draw(state, area, None, state.language.palette_title(), buffer);
    frame::highlight(state, area, buffer);
    let texts = [(": ", state.style(Role::Accent)), (state.palette.text(), state.style(Role::Text))];
    let end = text::put(buffer, typed, &texts);
    let rows = rows(state.palette.text(), &state.keys, &contexts_below(state), state.language);
    let chosen = state.palette.chosen(rows.len());
    let first = text::first_row(chosen, rows.len(), list.height);
    for (index, row) in rows.iter().enumerate().skip(first).take(usize::from(list.height)) {
        draw_row(state, text::row(list, (index - first) as u16), row, index == chosen, buffer);
    }
    let wrong = state.palette.wrong();
    let (said, role) = match (wrong, rows.is_empty()) {
        (Some(wrong), _) => (wrong, Role::Error),
        (None, true) => (state.language.palette_nothing(), Role::Dim),
        (None, false) => ("", Role::Dim),
    };
    let said = text::clip(said, foot.width, state.look.glyphs.ellipsis);
    text::put(buffer, foot, &[(&said, state.style(role))]);
    let x = end.min(typed.right().saturating_sub(1));
    (!typed.is_empty()).then_some(Position { x, y: typed.y })
}

fn draw_row(state: &State, area: Rect, row: &Row, chosen: bool, buffer: &mut Buffer) {
    let over = |role| {
        let style = state.style(role);
        if chosen { style.patch(state.style(Role::Selection)) } else { style }
    };
    if chosen {
        buffer.set_style(area, state.style(Role::Selection));
    }
    let ellipsis = state.look.glyphs.ellipsis;
    let key = row.key.as_deref().unwrap_or_default();
    text::put_right(buffer, area, &text::clip(key, KEY, ellipsis), over(Role::Key));
    let left = Rect { width: area.width.saturating_sub(KEY + 1), ..area };
    let (label, role) = match &row.choice {
        Choice::Wrong(_) => (row.label.as_str(), Role::Error),
        _ => (row.label.as_str(), Role::Text),
    };
    let label = text::clip(label, left.width, ellipsis);
    let end = text::put(buffer, left, &[(&label, over(role))]);
    let rest = Rect { x: end + 2, width: left.right().saturating_sub(end + 2), ..left };
    // A name that does not fit whole helps nobody.
    if text::width(&row.name) <= rest.width {
        text::put_right(buffer, rest, &row.name, over(Role::Dim));
    }
}
