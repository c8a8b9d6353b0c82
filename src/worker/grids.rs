//! The answers about grids: their cells accepted as jobs, all or none; cancelled as one; and the contact sheet, drawn
//! when it is asked for and written once all cells are over.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use image::RgbImage;
use tokio::sync::OwnedMutexGuard;

use super::Shared;
use super::answer::{Answer, drawable, now};
use super::change::first_seed;
use super::copies::Copies;
use super::peer::Peer;
use super::pictures::not_changed;
use super::thumbnail;
use crate::job::grid::{Grid, GridCell, GridId, GridOrder};
use crate::job::{Job, JobState, MarkChange};
use crate::library::png::PngError;
use crate::library::{Changed, LibraryError, sheet};
use crate::wire::grids::{GridRequest, GridResponse};
use crate::wire::message::{Refusal, Response};
use crate::wire::replay::HISTORY_MAX;
use crate::wire::thumbnail::bounded_side;

/// The longer side of a sheet that a small copy is made of, in pixels.
const SIDE_SMALL: u32 = 1024;
/// Bytes of text of pictures that are told of one by one when all of a grid are changed.
const TOLD_TEXT: usize = 1 << 20;

/// Answers a client.
pub(super) async fn carry_out(shared: Rc<Shared>, by: Rc<Peer>, asked: GridRequest) -> Answer {
    let response = match asked {
        GridRequest::Draw(order) => GridResponse::Grid(Box::new(accept(&shared, &by, *order).await?)),
        GridRequest::Get(id) => GridResponse::Grid(Box::new(get(&shared, id).await?)),
        GridRequest::List { before, limit } => {
            let asked = shared.store.ask(move |library| library.grids(before, limit));
            GridResponse::Grids(asked.await.map_err(failed)?)
        }
        GridRequest::Sheet { grid, side } => {
            let grid = get(&shared, grid).await?;
            let png = compose(&shared, grid, side.unwrap_or(sheet::SIDE_MAX)).await?;
            GridResponse::Sheet(png.into())
        }
        GridRequest::Thumbnail { grid, side } => {
            GridResponse::Thumbnail(thumbnail(&shared, grid, bounded_side(side)).await?.into())
        }
        GridRequest::Mark { grid, mark } => GridResponse::Marked(mark_all(&shared, &by, grid, mark).await?),
        GridRequest::Cancel(id) => GridResponse::Cancelled(cancel(&shared, &by, id).await?),
    };
    Ok(Response::Grids(response))
}

/// Accepts all cells of a grid, once each of them is known to be drawable.
async fn accept(shared: &Shared, by: &Peer, order: GridOrder) -> Result<Grid, Refusal> {
    if shared.hub.is_stopping() {
        return Err(Refusal::Stopping);
    }
    let seed = first_seed(order.job.seed)?;
    let mut jobs: Vec<(u32, Job)> = Vec::with_capacity(order.cells());
    for cell in order.drawing_order() {
        let job = order.cell(cell, seed).map_err(|error| Refusal::Grid(error.to_string()))?;
        // The files are looked at once, not for each cell.
        if !jobs.iter().any(|(_, known)| known.model == job.model && known.loras() == job.loras()) {
            drawable(shared, &job)?;
        }
        jobs.push((cell as u32, job));
    }
    let text = jobs.iter().map(|(_, job)| job.text_len()).sum();
    shared.hub.has_room_for(jobs.len(), text).map_err(|jobs| Refusal::QueueFull { jobs })?;
    let (count, at) = (jobs.len(), now());
    let asked = shared.store.ask(move |library| {
        let (id, statuses) = library.accept_grid(&order, seed, jobs, at)?;
        Ok((library.grid(id)?, statuses))
    });
    let (grid, statuses) = asked.await.map_err(failed)?;
    let grid = grid.ok_or_else(|| Refusal::Grid("the grid could not be read back".to_owned()))?;
    tracing::info!(grid = grid.id.0, %by, cells = count, axes = %grid.order, "accepted");
    statuses.into_iter().for_each(|status| shared.hub.accepted(status));
    Ok(grid)
}

async fn get(shared: &Shared, id: GridId) -> Result<Grid, Refusal> {
    let asked = shared.store.ask(move |library| library.grid(id));
    asked.await.map_err(failed)?.ok_or_else(|| unknown(id))
}

/// Cancels all cells that are not over: first so that none is begun, then on disk, then for all to see.
async fn cancel(shared: &Shared, by: &Peer, id: GridId) -> Result<usize, Refusal> {
    let cells = shared.hub.cells_of(id);
    tracing::info!(grid = id.0, cells = cells.len(), %by, "to be cancelled");
    for job in &cells {
        let _ = shared.hub.withhold(*job);
    }
    let (jobs, at) = (cells.clone(), now());
    let asked = shared.store.ask(move |library| {
        jobs.iter()
            .map(|job| library.set_state(*job, &JobState::Cancelled, at))
            .collect::<Result<Vec<_>, _>>()
    });
    match asked.await {
        Ok(states) => {
            let mut count = 0;
            for (job, state) in cells.into_iter().zip(states) {
                // Its picture may have come first.
                if state == Some(JobState::Cancelled) {
                    shared.hub.cancelled(job);
                    count += 1;
                } else {
                    shared.hub.release(job);
                }
            }
            Ok(count)
        }
        Err(error) => {
            cells.into_iter().for_each(|job| shared.hub.release(job));
            Err(failed(error))
        }
    }
}

/// Draws the sheet of a grid as it is: its PNG. One at a time, on a thread that may block.
async fn compose(shared: &Shared, grid: Grid, side: u32) -> Result<Vec<u8>, Refusal> {
    let copies = Arc::clone(&shared.copying).lock_owned().await;
    let made = tokio::task::spawn_blocking(move || draw(copies, &grid, side));
    let png = made.await.map_err(|error| Refusal::Grid(error.to_string()))?;
    png.map_err(|error| Refusal::Grid(error.to_string()))
}

fn draw(mut copies: OwnedMutexGuard<Copies>, grid: &Grid, side: u32) -> Result<Vec<u8>, PngError> {
    sheet::encode(&copies.sheet(grid, side, picture), grid)
}

/// A small copy of the sheet of a grid as it is: a JPEG. Of one that is written its file is read.
async fn thumbnail(shared: &Shared, id: GridId, side: u32) -> Result<Vec<u8>, Refusal> {
    let grid = get(shared, id).await?;
    let mut copies = Arc::clone(&shared.copying).lock_owned().await;
    let made = tokio::task::spawn_blocking(move || {
        let written = grid.sheet.as_deref().and_then(picture);
        let sheet = written.unwrap_or_else(|| copies.sheet(&grid, SIDE_SMALL, picture));
        thumbnail::small(&sheet, side)
    });
    let made = made.await.map_err(|error| error.to_string()).and_then(|made| made);
    made.map_err(Refusal::Grid)
}

/// Changes what is said of a grid, and tells all clients what its pictures are now. Changes are told in the order in
/// which they are on disk.
async fn mark_all(shared: &Shared, by: &Peer, id: GridId, mark: MarkChange) -> Result<usize, Refusal> {
    let _one = shared.changing.lock().await;
    let said = format!("grid {id}: {mark:?}");
    let asked = shared.store.ask(move |library| {
        let changed = library.mark_grid(id, &mark, now());
        // So many events with long prompts would look like a client that does not read.
        let is_long = |changed: &Vec<Changed>| {
            changed.iter().map(|it| it.picture.text_len()).sum::<usize>() > TOLD_TEXT
        };
        let newest = match changed.as_ref().is_ok_and(is_long) {
            true => Some((library.history(None, HISTORY_MAX as u32)?, library.pictures()?)),
            false => None,
        };
        Ok((changed, newest))
    });
    let (changed, newest) = asked.await.map_err(failed)?;
    let changed = changed.map_err(not_changed);
    tracing::info!(%by, refusal = ?changed.as_ref().err(), "{said}");
    let changed = changed?;
    let count = changed.len();
    match newest {
        Some((pictures, total)) => shared.hub.pictures_changed(pictures, total),
        None => changed.into_iter().for_each(|changed| shared.hub.picture_changed(changed)),
    }
    Ok(count)
}

fn picture(path: &Path) -> Option<RgbImage> {
    let read = std::fs::read(path).map_err(|error| error.to_string());
    read.and_then(|png| thumbnail::decode(&png))
        .inspect_err(|reason| tracing::warn!(path = %path.display(), reason, "a cell cannot be shown"))
        .ok()
}

/// Writes the sheets of grids whose cells have come to an end, if all of them have.
pub(super) fn finish_due(shared: &Rc<Shared>) {
    for id in shared.hub.take_due_grids() {
        let shared = Rc::clone(shared);
        shared.hub.request_begun();
        tokio::task::spawn_local(async move {
            if let Err(error) = finish(&shared, id).await {
                tracing::error!(grid = id.0, %error, "a contact sheet was not written; the next worker tries again");
            }
            shared.hub.request_ended();
        });
    }
}

async fn finish(shared: &Shared, id: GridId) -> Result<(), Refusal> {
    let grid = get(shared, id).await?;
    if !grid.is_over() || grid.sheet.is_some() {
        return Ok(());
    }
    let png = compose(shared, grid.clone(), sheet::SIDE_MAX).await?;
    let kept = shared.store.ask(move |library| library.keep_sheet(&grid, &png));
    if let Some(path) = kept.await.map_err(failed)? {
        tracing::info!(grid = id.0, path = %path.display(), "the contact sheet is written");
        shared.hub.grid_written(id);
    }
    Ok(())
}

/// The grid of a job that is over.
pub(super) fn grid_of(job: &Job, state: &JobState) -> Option<GridId> {
    job.cell.filter(|_| state.is_over()).map(|GridCell { grid, .. }| grid)
}

fn unknown(id: GridId) -> Refusal {
    Refusal::Grid(format!("there is no grid {id} in the library"))
}

fn failed(error: LibraryError) -> Refusal {
    Refusal::Library(error.to_string())
}
