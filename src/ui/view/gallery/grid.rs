//! The grid: a small copy a tile, the chosen one framed, and below each what is said of it.

use ratatui::layout::Rect;

use super::{picture, say};
use crate::job::Picture;
use crate::ui::pane::gallery::{Gallery, Grid};
use crate::ui::state::{Link, State};
use crate::ui::terminal::screen::Frame;
use crate::ui::theme::Role;
use crate::ui::view::{frame, history, text};

pub(super) fn draw(state: &State, open: &Gallery, area: Rect, drawn: &mut Frame) {
    let found = &open.found;
    if found.pictures().is_empty() {
        let language = state.language;
        let (words, role) = match (found.failed(), &state.worker.link) {
            (Some(why), _) => (language.gallery_failed(why), Role::Error),
            (None, Link::Down { .. }) => (language.gallery_no_worker().to_owned(), Role::Error),
            _ if !found.is_complete() => (language.gallery_looking().to_owned(), Role::Dim),
            _ if *found.query() == Default::default() => (language.gallery_empty().to_owned(), Role::Dim),
            _ => (language.gallery_nothing().to_owned(), Role::Dim),
        };
        return say(state, &words, role, area, &mut drawn.buffer);
    }
    let grid = Grid::of(area, found.pictures().len());
    let chosen = found.chosen();
    let first = grid.first(chosen);
    let visible = found.pictures().iter().skip(first).take(grid.count());
    for (place, picture) in visible.enumerate() {
        tile(state, open, (place, picture), grid.tile(place), first + place == chosen, drawn);
    }
}

fn tile(
    state: &State,
    open: &Gallery,
    (place, shown): (usize, &Picture),
    area: Rect,
    chosen: bool,
    drawn: &mut Frame,
) {
    if chosen {
        frame::draw(state, area, None, "", &mut drawn.buffer);
        frame::highlight(state, area, &mut drawn.buffer);
    }
    let room = Rect {
        x: area.x + 1,
        y: area.y + 1,
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(2),
    };
    match open.thumbs.shown(place, shown.id) {
        Some(copy) => drop(picture(state, copy, room, drawn)),
        None if shown.missing => {
            say(state, state.language.gallery_missing(), Role::Error, room, &mut drawn.buffer);
        }
        None if open.thumbs.failure(shown.id).is_some() => {
            say(state, state.language.gallery_no_copy(), Role::Error, room, &mut drawn.buffer);
        }
        None => say(state, state.look.glyphs.ellipsis, Role::Dim, room, &mut drawn.buffer),
    }
    let row = Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..room };
    let marks = history::marks(state, shown);
    let style = state.style(Role::Accent);
    let seed = shown.recipe.seed.to_string();
    let left = text::put(&mut drawn.buffer, row, &[(&marks, style)]);
    let rest = Rect { x: left, width: row.right().saturating_sub(left), ..row };
    text::put_right(&mut drawn.buffer, rest, &seed, state.style(Role::Dim));
}
