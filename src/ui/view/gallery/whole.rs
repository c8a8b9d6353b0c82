//! A whole picture, as near as it is.

use ratatui::layout::Rect;

use super::{picture, say};
use crate::job::PictureId;
use crate::ui::pane::gallery::Gallery;
use crate::ui::state::State;
use crate::ui::terminal::screen::Frame;
use crate::ui::theme::Role;

/// Draws the picture that is in one of the places for whole ones.
pub(super) fn draw(
    state: &State,
    open: &Gallery,
    (place, id): (usize, PictureId),
    area: Rect,
    drawn: &mut Frame,
) {
    if let Some(why) = open.files.failure(id) {
        return say(state, &state.language.gallery_not_shown(why), Role::Error, area, &mut drawn.buffer);
    }
    let is_drawn = open.whole[place].shown(id).is_some_and(|shown| picture(state, shown, area, drawn));
    if !is_drawn {
        say(state, state.look.glyphs.ellipsis, Role::Dim, area, &mut drawn.buffer);
    }
}
