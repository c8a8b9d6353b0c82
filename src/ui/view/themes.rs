//! The themes: a narrow list at the left edge, so that most of the screen shows the chosen one.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::widgets::{Clear, Widget};

use super::{frame, text};
use crate::ui::layout::padded;
use crate::ui::state::State;
use crate::ui::theme::Role;

/// Cells across.
const WIDTH: u16 = 30;

fn area(state: &State) -> Rect {
    let window = state.view.window;
    let rows = u16::try_from(state.themes.known().len()).unwrap_or(u16::MAX);
    let height = rows.saturating_add(4).min(window.rows.saturating_sub(3));
    Rect { x: 2, y: 1, width: WIDTH.min(window.columns.saturating_sub(4)), height }
}

/// The list, and below it what is wrong with the chosen theme.
fn places(state: &State) -> (Rect, Rect) {
    let inside = padded(area(state));
    let list = inside.height.saturating_sub(2);
    (Rect { height: list, ..inside }, Rect { y: inside.y + list, height: inside.height - list, ..inside })
}

/// The row of the list at a cell.
#[must_use]
pub fn theme_at(state: &State, position: Position) -> Option<usize> {
    let (list, _) = places(state);
    let count = state.themes.known().len();
    let first = text::first_row(state.themes.chosen_row(), count, list.height);
    let row = list.contains(position).then(|| first + usize::from(position.y - list.y))?;
    (row < count).then_some(row)
}

pub(super) fn draw(state: &State, buffer: &mut Buffer) {
    let area = area(state);
    Clear.render(area, buffer);
    buffer.set_style(area, state.style(Role::Screen));
    frame::draw(state, area, None, state.language.themes_title(), buffer);
    frame::highlight(state, area, buffer);
    let (list, foot) = places(state);
    let known = state.themes.known();
    let chosen = state.themes.chosen_row();
    let first = text::first_row(chosen, known.len(), list.height);
    let ellipsis = state.look.glyphs.ellipsis;
    for (index, named) in known.iter().enumerate().skip(first).take(usize::from(list.height)) {
        let row = text::row(list, (index - first) as u16);
        let role = if named.theme.is_ok() { Role::Text } else { Role::Error };
        let style = state.style(role);
        let style = if index == chosen { style.patch(state.style(Role::Selection)) } else { style };
        if index == chosen {
            buffer.set_style(row, state.style(Role::Selection));
        }
        text::put(buffer, row, &[(&text::clip(&named.name, row.width, ellipsis), style)]);
    }
    // A file of the person's own with a mistake in it.
    if let Some(why) = state.themes.chosen().and_then(|named| named.theme.as_ref().err()) {
        let lines = text::wrap(why, foot.width, usize::from(foot.height), ellipsis);
        for (at, line) in (0..).zip(lines) {
            text::put(buffer, text::row(foot, at), &[(&line, state.style(Role::Error))]);
        }
    }
}
