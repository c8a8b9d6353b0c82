//! The log: what was told in this session, the latest at the bottom.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use super::{frame, text};
use crate::ui::layout::padded;
use crate::ui::notice::Level;
use crate::ui::pane::log::Entry;
use crate::ui::state::State;
use crate::ui::theme::Role;

/// Rows that one entry may take.
const ROWS: usize = 8;
/// Cells for the time and for the sign behind it.
const TIME: u16 = 11;

fn area(state: &State) -> Rect {
    let window = state.view.window;
    Rect { x: 0, y: 1, width: window.columns, height: window.rows.saturating_sub(2) }
}

/// Rows in view.
#[must_use]
pub fn log_page(state: &State) -> usize {
    usize::from(padded(area(state)).height)
}

/// Rows in all.
#[must_use]
pub fn log_rows(state: &State) -> usize {
    let width = padded(area(state)).width;
    state.log.entries().iter().map(|entry| wrapped(state, entry, width).len()).sum()
}

fn wrapped(state: &State, entry: &Entry, width: u16) -> Vec<String> {
    let room = width.saturating_sub(TIME).max(1);
    let lines = text::wrap(&entry.text, room, ROWS, state.look.glyphs.ellipsis);
    if lines.is_empty() { vec![String::new()] } else { lines }
}

pub(super) fn draw(state: &State, buffer: &mut Buffer) {
    let area = area(state);
    Clear.render(area, buffer);
    buffer.set_style(area, state.style(Role::Screen));
    frame::draw(state, area, None, state.language.log_title(), buffer);
    frame::highlight(state, area, buffer);
    let inside = padded(area);
    if state.log.entries().is_empty() {
        let hint = text::clip(state.language.log_nothing(), inside.width, state.look.glyphs.ellipsis);
        text::put(buffer, inside, &[(&hint, state.style(Role::Dim))]);
        return;
    }
    let rows = log_rows(state);
    let last = rows.saturating_sub(usize::from(inside.height));
    let first = last.saturating_sub(state.log.scrolled().unwrap_or(0));
    let lines = state.log.entries().iter().flat_map(|entry| {
        let lines = wrapped(state, entry, inside.width);
        lines.into_iter().enumerate().map(move |(at, line)| (entry, at == 0, line))
    });
    for (at, (entry, begins, line)) in (0..inside.height).zip(lines.skip(first)) {
        draw_line(state, text::row(inside, at), entry, begins, &line, buffer);
    }
}

fn draw_line(state: &State, row: Rect, entry: &Entry, begins: bool, line: &str, buffer: &mut Buffer) {
    let glyphs = &state.look.glyphs;
    let (role, sign) = match entry.level {
        Some(Level::Error) => (Role::Error, glyphs.warning),
        Some(Level::Warning) => (Role::Warning, glyphs.warning),
        Some(Level::News) => (Role::Accent, glyphs.active),
        None => (Role::Text, " "),
    };
    if begins {
        let time = format!("{:8} ", state.log.time(entry.at));
        text::put(buffer, row, &[(&time, state.style(Role::Dim)), (sign, state.style(role))]);
    }
    let rest = Rect { x: row.x + TIME, width: row.width.saturating_sub(TIME), ..row };
    text::put(buffer, rest, &[(line, state.style(role))]);
}
