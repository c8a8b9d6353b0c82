//! What the person has to be told, above the last line. Panes make room for it; in a small window
//! it lies over the list at the bottom, never over the prompt.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use super::text;
use crate::ui::notice::Level;
use crate::ui::state::State;
use crate::ui::theme::Role;

pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some((level, _)) = state.notices.front(state.language) else { return };
    let glyphs = &state.look.glyphs;
    let (role, sign) = match level {
        Level::Error => (Role::Error, glyphs.warning),
        Level::Warning => (Role::Warning, glyphs.warning),
        Level::News => (Role::Accent, glyphs.active),
    };
    Clear.render(area, buffer);
    buffer.set_style(area, state.style(Role::Screen));
    let place = Rect { x: area.x + 1, width: area.width.saturating_sub(1).min(2), ..area };
    text::put(buffer, place, &[(sign, state.style(role))]);
    let inner = Rect { x: area.x + 3, width: area.width.saturating_sub(4), ..area };
    for (index, line) in (0..).zip(state.notices.lines(area.width, glyphs.ellipsis, state.language)) {
        text::put(buffer, text::row(inner, index), &[(&line, state.style(role))]);
    }
}
