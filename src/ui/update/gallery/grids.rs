//! Grids in the gallery: opened, marked and thrown away as a whole, and what comes of it.

use super::{mark, say};
use crate::job::grid::GridId;
use crate::job::{MarkChange, Picture, PictureId, Rating};
use crate::ui::effect::{Effect, Question};
use crate::ui::pane::gallery::{Gallery, SeenGrid, Small, Trashed};
use crate::ui::pane::grid::SeenSheet;
use crate::ui::state::State;
use crate::ui::update::worker_is_there;
use crate::wire::grids::{GridRequest, GridResponse};

/// The grid that keys are about, if they are about one.
pub(super) fn target(state: &State) -> Option<SeenGrid<'_>> {
    state.gallery.open()?.target_grid()
}

/// Asks for a change of what is said of a grid.
pub(super) fn ask(grid: GridId, mark: MarkChange) -> Effect {
    Effect::Ask(Question::Grids(GridRequest::Mark { grid, mark }))
}

/// The question that rates the chosen grid; `None` where no grid is chosen.
pub(in crate::ui::update) fn rate(state: &mut State, rating: Rating) -> Option<Vec<Effect>> {
    let of = target(state)?.of.clone();
    if of.rating == rating || !worker_is_there(state) {
        return Some(Vec::new());
    }
    Some(vec![ask(of.grid, MarkChange::Rate(rating))])
}

/// The same of a favourite.
pub(in crate::ui::update) fn favourite(state: &mut State) -> Option<Vec<Effect>> {
    let of = target(state)?.of.clone();
    if !worker_is_there(state) {
        return Some(Vec::new());
    }
    Some(vec![ask(of.grid, MarkChange::Favourite(!of.favourite))])
}

/// Puts the chosen grid into the trash with all its pictures, or takes out what went there with it; what went there one by
/// one comes back one by one.
pub(super) fn trash(state: &mut State) -> Option<Vec<Effect>> {
    let grid = target(state)?;
    let (id, first, together) = (grid.of.grid, grid.first.id, grid.of.trashed);
    let cells: Vec<PictureId> = grid.cells().map(|picture: &Picture| picture.id).collect();
    let is_there = grid.is_trashed();
    if !worker_is_there(state) {
        return Some(Vec::new());
    }
    if !is_there {
        state.gallery.trashed.note(Trashed::Grid(id, first));
        say(state, state.language.gallery_grid_trashed(cells.len()));
        return Some(vec![ask(id, MarkChange::Trash(true))]);
    }
    state.gallery.trashed.forget_grid(id);
    say(state, state.language.gallery_untrashed());
    if together {
        return Some(vec![ask(id, MarkChange::Trash(false))]);
    }
    Some(cells.into_iter().map(|cell| mark(cell, MarkChange::Trash(false))).collect())
}

/// Asks for the grid whose sheet is to be seen in the preview.
pub(super) fn sheet(state: &mut State) -> Vec<Effect> {
    let Some(grid) = state.gallery.open().and_then(Gallery::grid) else {
        say(state, state.language.gallery_no_grid());
        return Vec::new();
    };
    if !worker_is_there(state) {
        return Vec::new();
    }
    if let Some(open) = state.gallery.open_mut() {
        open.sheet = Some(grid);
    }
    vec![Effect::Ask(Question::Grids(GridRequest::Get(grid)))]
}

/// Says that a key is about one picture, where a grid is chosen. Whether it is.
pub(super) fn is_about_one(state: &mut State) -> bool {
    let is_grid = target(state).is_some();
    if is_grid {
        say(state, state.language.gallery_open_first());
    }
    is_grid
}

/// The worker has answered. Whether the question was the gallery's.
pub(in crate::ui::update) fn answered(
    state: &mut State,
    asked: &GridRequest,
    result: Result<GridResponse, String>,
) -> Option<Result<GridResponse, String>> {
    match (asked, result) {
        (GridRequest::Thumbnail { grid, side }, result) => {
            let jpeg = match result {
                Ok(GridResponse::Thumbnail(jpeg)) => Ok(jpeg),
                Ok(_) => Err(String::new()),
                Err(reason) => Err(reason),
            };
            if let Some(open) = state.gallery.open_mut() {
                open.thumbs.fetched(Small::Sheet(*grid), *side, jpeg);
            }
            None
        }
        (GridRequest::Get(id), result) => {
            told(state, *id, result);
            None
        }
        (GridRequest::Mark { .. }, Ok(_)) => None,
        (GridRequest::Mark { grid, mark }, Err(reason)) => {
            if *mark == MarkChange::Trash(true) {
                state.gallery.trashed.forget_grid(*grid);
            }
            let said = state.language.grid_unchanged(reason);
            match state.gallery.is_open() {
                true => say(state, said),
                false => state.notices.error(said),
            }
            None
        }
        (_, result) => Some(result),
    }
}

/// A grid is told: the values of its cells, and its sheet if that is to be seen.
fn told(state: &mut State, id: GridId, result: Result<GridResponse, String>) {
    let Some(open) = state.gallery.open_mut() else { return };
    let is_to_be_seen = open.sheet == Some(id);
    match result {
        Ok(GridResponse::Grid(grid)) if is_to_be_seen => {
            state.gallery.close();
            state.preview.show_sheet(SeenSheet::of(*grid));
        }
        Ok(GridResponse::Grid(grid)) => open.grid_told(&grid),
        // Without their values the pictures are told apart by their seeds.
        Ok(_) => {}
        Err(reason) if is_to_be_seen => say(state, state.language.grid_not_shown(id, reason)),
        Err(_) => {}
    }
}

/// The sheet of a grid looks otherwise.
pub(in crate::ui::update) fn changed(state: &mut State, grid: GridId) {
    if let Some(open) = state.gallery.open_mut() {
        open.thumbs.changed(grid);
    }
}
