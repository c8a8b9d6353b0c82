//! From the state to the cells of one frame, one file a pane.
//!
//! **Invariant:** views do no I/O and change nothing. Widths are computed, never counted: a Chinese
//! character is two cells.

mod frame;
mod gallery;
mod grid;
mod help;
mod hints;
mod history;
mod listing;
mod log;
mod loras;
mod memory;
mod memory_alone;
mod model_page;
mod models;
mod notice;
mod over;
mod overlay;
mod palette;
mod parameters;
mod preview;
mod prompt;
mod prompts;
mod queue;
mod seeds;
mod sizes;
mod snippets;
mod status;
pub(super) mod text;
mod themes;

pub use help::help_rows;
pub use log::{log_page, log_rows};
pub use loras::{lora_at, lora_picture_room, loras_page};
pub use models::{model_at, models_lines, models_page};
pub use overlay::{overlay_at, overlay_page};
pub use palette::{palette_at, palette_page};
pub use parameters::field_at;
pub(in crate::ui) use text::decimal;
pub use text::first_row;
pub use themes::theme_at;

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
        Layout::Panes(areas) => {
            match state.gallery.open() {
                Some(open) => gallery::draw(state, open, &mut drawn),
                None => panes(state, &areas, &mut drawn),
            }
            lines(state, &areas, &mut drawn);
        }
    }
    if state.is_covered() {
        text::drop_halves(&mut drawn.buffer);
    }
    if state.loras.is_open() {
        loras::draw_picture(state, &mut drawn);
    }
    state.terminal.depth().fit(&mut drawn.buffer);
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
    let hidden = areas.hidden(state.view.focus);
    if !areas.prompt.is_empty() {
        drawn.cursor = prompt::draw(state, areas.prompt, buffer);
    }
    if !areas.parameters.is_empty() {
        let cursor = parameters::draw(state, areas.parameters, buffer);
        drawn.cursor = drawn.cursor.or(cursor);
    }
    if !areas.memory.is_empty() {
        memory::draw(state, areas.memory, buffer);
    }
    if hidden != Some(Pane::Queue) && !areas.queue.is_empty() {
        queue::draw(state, areas.queue, buffer);
    }
    if hidden != Some(Pane::History) && !areas.history.is_empty() {
        history::draw(state, areas.history, buffer);
    }
    if !state.is_covered() {
        frame::highlight(state, areas.of(state.view.focus), buffer);
    }
    if !areas.preview.is_empty() {
        drawn.pixels.extend(preview::draw(state, areas.preview, buffer));
    }
}

/// The first and the last lines, and what lies over all.
fn lines(state: &State, areas: &Areas, drawn: &mut Frame) {
    let buffer = &mut drawn.buffer;
    status::draw(state, areas.status, buffer);
    if state.models.is_open() {
        models::draw(state, buffer);
        drawn.cursor = None;
    }
    if state.loras.is_open() {
        loras::draw(state, buffer);
    }
    if state.overlay.is_open() {
        overlay::draw(state, buffer);
        drawn.cursor = None;
    }
    notice::draw(state, areas.notice, buffer);
    hints::draw(state, areas.hints, buffer);
    if state.log.scrolled().is_some() {
        log::draw(state, buffer);
        drawn.cursor = None;
    }
    if state.themes.is_open() {
        themes::draw(state, buffer);
        drawn.cursor = None;
    }
    if let Some(first) = state.view.help {
        help::draw(state, first, buffer);
        drawn.cursor = None;
    }
    if state.palette.is_open() {
        drawn.cursor = palette::draw(state, buffer);
    }
}

/// Says what size is needed.
fn too_small(state: &State, area: Rect, buffer: &mut Buffer) {
    let (lying, upright) = LEAST;
    let lines = [
        state.language.small_needs(lying.width, lying.height),
        state.language.small_upright(upright.width, upright.height),
        state.language.small_this(area.width, area.height),
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
