//! What the person has to be told, above the last line. It never covers a pane: they make room.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text;
use crate::ui::notice::Level;
use crate::ui::state::State;
use crate::ui::theme::Role;

pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some((notice, behind)) = state.notices.current() else { return };
    let role = match notice.level {
        Level::Error => Role::Error,
        Level::Warning => Role::Warning,
    };
    let glyphs = &state.look.glyphs;
    let inner = Rect { x: area.x + 3, width: area.width.saturating_sub(4), ..area };
    let more = if behind > 0 { format!(" (and {behind} more)") } else { String::new() };
    let lines =
        text::wrap(&format!("{}{more}", notice.text), inner.width, usize::from(area.height), glyphs.ellipsis);
    let sign = Rect { x: area.x + 1, width: area.width.saturating_sub(1).min(2), ..area };
    text::put(buffer, sign, &[(glyphs.warning, state.style(role))]);
    for (index, line) in (0..).zip(&lines) {
        text::put(buffer, text::row(inner, index), &[(line, state.style(role))]);
    }
}
