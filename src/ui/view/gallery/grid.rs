//! The grid: a small copy a tile, the chosen one framed, and below each what is said of it.

use ratatui::layout::Rect;

use super::{picture, say};
use crate::ui::pane::gallery::{Entry, Gallery, Grid};
use crate::ui::state::{Link, State};
use crate::ui::terminal::screen::Frame;
use crate::ui::theme::Role;
use crate::ui::update::gallery_small_of;
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
    let grid = Grid::of(area, found.entries().len());
    let chosen = found.chosen();
    let first = grid.first(chosen);
    let visible = found.entries().iter().skip(first).take(grid.count());
    for (place, entry) in visible.enumerate() {
        tile(state, open, (place, entry), grid.tile(place), first + place == chosen, drawn);
    }
}

fn tile(
    state: &State,
    open: &Gallery,
    (place, entry): (usize, &Entry),
    area: Rect,
    chosen: bool,
    drawn: &mut Frame,
) {
    let (Some(shown), Some(small)) = (open.found.first_of(entry), gallery_small_of(open, entry)) else {
        return;
    };
    let of_grid = open.found.grid_of(entry);
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
    match open.thumbs.shown(place, small) {
        Some(copy) => drop(picture(state, copy, room, drawn)),
        None if shown.missing && of_grid.is_none() => {
            say(state, state.language.gallery_missing(), Role::Error, room, &mut drawn.buffer);
        }
        None if open.thumbs.failure(small).is_some() => {
            say(state, state.language.gallery_no_copy(), Role::Error, room, &mut drawn.buffer);
        }
        None => say(state, state.look.glyphs.ellipsis, Role::Dim, room, &mut drawn.buffer),
    }
    let row = Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..room };
    let (marks, said) = match of_grid {
        Some(grid) => {
            let marks = history::marks_of(state, grid.of.rating, grid.of.favourite, false);
            (marks, state.language.gallery_of_grid(grid.count()))
        }
        None => {
            let marks = history::marks(state, shown);
            let room = row.width.saturating_sub(text::width(&marks));
            let values = open.values(shown).map(|it| text::clip(&it, room, state.look.glyphs.ellipsis));
            (marks, values.unwrap_or_else(|| shown.recipe.seed.to_string()))
        }
    };
    let style = state.style(Role::Accent);
    let left = text::put(&mut drawn.buffer, row, &[(&marks, style)]);
    let rest = Rect { x: left, width: row.right().saturating_sub(left), ..row };
    text::put_right(&mut drawn.buffer, rest, &said, state.style(Role::Dim));
}
