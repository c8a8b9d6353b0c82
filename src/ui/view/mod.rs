//! From the state to the cells of one frame, one file a pane.
//!
//! **Invariant:** views do no I/O and change nothing. Widths are computed, never counted: a Chinese
//! character is two cells.

mod frame;
mod help;
mod hints;
mod history;
mod memory;
mod model_page;
mod models;
mod notice;
mod overlay;
mod parameters;
mod preview;
mod prompt;
mod prompts;
mod queue;
mod seeds;
mod snippets;
mod status;
pub(super) mod text;

pub use help::help_rows;
pub use models::{model_at, models_lines, models_page};
pub use overlay::{overlay_at, overlay_page};
pub use parameters::field_at;
pub(in crate::ui) use text::decimal;
pub use text::first_row;

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::style::Style;

use super::layout::{Areas, LEAST, Layout};
use super::pane::Pane;
use super::state::State;
use super::terminal::screen::Frame;
use super::theme::Role;

/// Draws everything.
#[must_use]
pub fn draw(state: &State) -> Frame {
    let window = state.view.window;
    let mut drawn = Frame::empty(Size::new(window.columns, window.rows));
    let whole = drawn.buffer.area;
    drawn.buffer.set_style(whole, state.style(Role::Screen));
    match state.layout() {
        Layout::TooSmall => too_small(state, whole, &mut drawn.buffer),
        Layout::Panes(areas) => panes(state, &areas, &mut drawn),
    }
    drawn
}

impl State {
    /// The style of a role.
    fn style(&self, role: Role) -> Style {
        self.look.theme.style(role)
    }

    /// Whether a pane has the keys.
    fn has_keys(&self, pane: Pane) -> bool {
        self.view.focus == pane && !self.is_covered()
    }
}

fn panes(state: &State, areas: &Areas, drawn: &mut Frame) {
    let buffer = &mut drawn.buffer;
    status::draw(state, areas.status, buffer);
    let hidden = areas.hidden(state.view.focus);
    drawn.cursor = prompt::draw(state, areas.prompt, buffer);
    let cursor = parameters::draw(state, areas.parameters, buffer);
    drawn.cursor = drawn.cursor.or(cursor);
    memory::draw(state, areas.memory, buffer);
    if hidden != Some(Pane::Queue) {
        queue::draw(state, areas.queue, buffer);
    }
    if hidden != Some(Pane::History) {
        history::draw(state, areas.history, buffer);
    }
    if !state.is_covered() {
        frame::highlight(state, areas.of(state.view.focus), buffer);
    }
    drawn.pixels = preview::draw(state, areas.preview, buffer);
    if state.models.is_open() {
        models::draw(state, buffer);
        drawn.cursor = None;
    }
    if state.overlay.is_open() {
        overlay::draw(state, buffer);
        drawn.cursor = None;
    }
    notice::draw(state, areas.notice, buffer);
    hints::draw(state, areas.hints, buffer);
    if let Some(first) = state.view.help {
        help::draw(state, first, buffer);
        drawn.cursor = None;
    }
}

/// Says what size is needed.
fn too_small(state: &State, area: Rect, buffer: &mut Buffer) {
    let (lying, upright) = LEAST;
    let lines = [
        format!("flux-tui needs {}x{}", lying.width, lying.height),
        format!("or {}x{} upright;", upright.width, upright.height),
        format!("this is {}x{}", area.width, area.height),
    ];
    let top = area.y + area.height.saturating_sub(lines.len() as u16) / 2;
    for (line, y) in lines.iter().zip(top..area.bottom()) {
        let width = text::width(line).min(area.width);
        let x = area.x + (area.width - width) / 2;
        buffer.set_stringn(x, y, line, usize::from(area.width), state.style(Role::Text));
    }
}

#[cfg(test)]
mod tests;
