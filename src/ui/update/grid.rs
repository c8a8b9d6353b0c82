//! Grids: the form is opened, asked for what it says, and the contact sheet is seen while it fills up.

use crate::job::JobStatus;
use crate::job::grid::GridId;
use crate::ui::action::GridAction;
use crate::ui::draft::{Draft, SeedWish};
use crate::ui::effect::{Effect, Question};
use crate::ui::pane::Pane;
use crate::ui::pane::grid::{GridForm, SeenSheet};
use crate::ui::pane::overlay::Overlay;
use crate::ui::state::{Link, State};
use crate::wire::grids::{GridRequest, GridResponse};

/// The longer side of a sheet that is asked for, in pixels: as much as a preview shows.
const SIDE: u32 = 1024;

pub(super) fn act(state: &mut State, action: GridAction) -> Vec<Effect> {
    match action {
        GridAction::Open => open(state),
        GridAction::Before | GridAction::Next => {
            if let Overlay::Grid(form) = &mut state.overlay {
                form.turn(action == GridAction::Next);
            }
            Vec::new()
        }
        GridAction::Draw => draw(state),
        GridAction::Older => {
            let before = state.preview.sheet().map(|sheet| sheet.grid.id);
            vec![ask(GridRequest::List { before, limit: 1 })]
        }
        GridAction::Cancel => match state.preview.sheet().map(|sheet| sheet.grid.id) {
            Some(grid) => vec![ask(GridRequest::Cancel(grid))],
            None => {
                state.notices.warn(state.language.grid_none_shown());
                Vec::new()
            }
        },
    }
}

fn ask(asked: GridRequest) -> Effect {
    Effect::Ask(Question::Grids(asked))
}

/// Opens the form over what is to be drawn, or closes it.
fn open(state: &mut State) -> Vec<Effect> {
    if matches!(state.overlay, Overlay::Grid(_)) {
        state.overlay.close();
        return Vec::new();
    }
    if state.worker.link != Link::Up {
        state.notices.warn(state.language.queue_elsewhere());
        return Vec::new();
    }
    state.parameters.commit();
    let draft =
        Draft::new(state.prompt.editor.text(), &state.parameters, SeedWish::AsSet, state.prompt.parent)
            .with_loras(state.loras.drafted().on())
            .with_wildcards(state.prompt.words.wildcards().clone());
    match draft.job(state.language) {
        Ok(job) => {
            state.models.close();
            state.loras.close();
            state.gallery.close();
            state.overlay = Overlay::Grid(Box::new(GridForm::new(job.alone())));
        }
        Err(wrong) => {
            if let Some(field) = wrong.field {
                super::focus(state, Pane::Parameters);
                state.parameters.choose(field);
            }
            state.notices.error(wrong.message);
        }
    }
    Vec::new()
}

fn draw(state: &mut State) -> Vec<Effect> {
    let Overlay::Grid(form) = &state.overlay else { return Vec::new() };
    // What is wrong stands in the form.
    form.order().map_or_else(|_| Vec::new(), |order| vec![ask(GridRequest::Draw(Box::new(order)))])
}

/// The worker has answered.
pub(super) fn answered(state: &mut State, asked: &GridRequest, result: Result<GridResponse, String>) {
    let language = state.language;
    let Some(result) = super::gallery::grids::answered(state, asked, result) else { return };
    match (asked, result) {
        (GridRequest::Sheet { grid, .. }, result) => {
            let png = match result {
                Ok(GridResponse::Sheet(png)) => Ok(png),
                Ok(_) => Err(String::new()),
                Err(reason) => Err(reason),
            };
            if let Some(reason) = state.preview.sheet_came(*grid, png) {
                state.notices.warn(language.grid_not_shown(grid, reason));
            }
        }
        (GridRequest::List { .. }, Ok(GridResponse::Grids(grids))) => match grids.into_iter().next() {
            Some(grid) => {
                state.overlay.close();
                state.preview.show_sheet(SeenSheet::of(grid));
            }
            None => state.notices.warn(language.grid_no_older()),
        },
        (GridRequest::Draw(_), Ok(GridResponse::Grid(grid))) => {
            state.overlay.close();
            state.preview.show_sheet(SeenSheet::of(*grid));
        }
        (GridRequest::Cancel(grid), Ok(GridResponse::Cancelled(count))) => {
            state.overlay.close();
            state.preview.sheet_changed(*grid);
            state.notices.warn(language.grid_cancelled(count));
        }
        (_, Err(reason)) => state.notices.error(language.grid_not_done(reason)),
        (_, Ok(_)) => {}
    }
}

/// A job has changed: the sheet that it is on looks otherwise once it is over.
pub(super) fn job_changed(state: &mut State, status: &JobStatus) {
    if let Some(cell) = status.job.cell.filter(|_| status.state.is_over()) {
        written(state, cell.grid);
    }
}

/// The sheet of a grid is written.
pub(super) fn written(state: &mut State, grid: GridId) {
    state.preview.sheet_changed(grid);
    super::gallery::grids::changed(state, grid);
}

/// The sheet to ask for now, if any.
pub(super) fn question(state: &mut State) -> Option<Question> {
    let grid = state.preview.sheet_question()?;
    Some(Question::Grids(GridRequest::Sheet { grid, side: Some(SIDE) }))
}
