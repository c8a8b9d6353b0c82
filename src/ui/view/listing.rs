//! Where a list over the panes is: its border, its rows, and below them what is said of the chosen one.

use ratatui::layout::Rect;

use crate::ui::layout::padded;
use crate::ui::state::State;

/// The widest that it becomes.
const WIDTH: u16 = 112;
/// Rows below the list, for the chosen entry.
pub(super) const DETAIL: u16 = 5;

/// Where a list is.
pub(super) struct Places {
    pub area: Rect,
    pub list: Rect,
    pub detail: Rect,
}

/// For a list that wants so many rows, its border and the detail included; there may be fewer.
pub(super) fn places(state: &State, wanted: u16) -> Places {
    let window = state.view.window;
    let width = window.columns.saturating_sub(4).min(WIDTH);
    // The first line, the notice and the hints stay in sight.
    let free = state.layout().areas().map_or(window.rows, |areas| areas.notice.y).saturating_sub(2);
    let area = Rect { x: (window.columns - width) / 2, y: 1, width, height: free.min(wanted) };
    let inside = padded(area);
    let detail = DETAIL.min(inside.height / 2);
    let list = Rect { height: inside.height.saturating_sub(detail + 1), ..inside };
    Places { area, list, detail: Rect { y: list.bottom() + 1, height: detail, ..inside } }
}
