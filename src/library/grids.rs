//! Grids in the library: which jobs are their cells, and where their contact sheets are.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::jobs::{RowError, columns_of, from_columns};
use super::{Folder, Library, LibraryError};
use crate::job::grid::{Cell, Grid, GridCell, GridId, GridOrder};
use crate::job::{Job, JobId, JobState, JobStatus, PictureId};

/// The most grids of one page.
pub const GRIDS_MAX: u32 = 100;
/// The most bytes of text in a page of grids: there is always at least one.
const PAGE_TEXT: usize = 8 << 20;

const SHOWN: &str = "(grids.trashed_at IS NULL OR EXISTS (SELECT 1 FROM jobs JOIN pictures ON job = jobs.id \
                     WHERE grid = grids.id AND pictures.trashed_at IS NULL))";

impl Library {
    /// Keeps a grid and the jobs of its cells, in the order in which they are drawn: all of them or none. When this
    /// returns they are on disk. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// Nothing was kept then.
    pub fn accept_grid(
        &mut self,
        order: &GridOrder,
        seed: u64,
        jobs: Vec<(u32, Job)>,
        now: i64,
    ) -> Result<(GridId, Vec<JobStatus>), LibraryError> {
        let fault = self.fault("accepting a grid");
        let change = self.db.transaction().map_err(&fault)?;
        // An order was read from JSON or built of values that JSON holds.
        let asked = serde_json::to_string(order).unwrap_or_default();
        let row = params![asked, seed.cast_signed(), now];
        change
            .execute("INSERT INTO grids (asked, seed, asked_at) VALUES (?1, ?2, ?3)", row)
            .map_err(&fault)?;
        let grid = GridId(change.last_insert_rowid());
        let mut accepted = Vec::with_capacity(jobs.len());
        for (cell, job) in jobs {
            let job = job.of_cell(Some(GridCell { grid, cell }));
            let first_seed = match job.seed {
                crate::job::Seed::Fixed(seed) => seed,
                crate::job::Seed::Random => seed,
            };
            let row = columns_of(&job, first_seed).into_iter().chain([now.into()]);
            change.execute(super::jobs::INSERT, params_from_iter(row)).map_err(&fault)?;
            let id = JobId(change.last_insert_rowid());
            change
                .execute("UPDATE jobs SET grid = ?2, cell = ?3 WHERE id = ?1", params![id.0, grid.0, cell])
                .map_err(&fault)?;
            let state = JobState::Queued;
            accepted.push(JobStatus { id, job, first_seed, state, done: 0, accepted_at: now });
        }
        change.commit().map_err(&fault)?;
        Ok((grid, accepted))
    }

    /// A grid; `None` when there is none of that number.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn grid(&self, id: GridId) -> Result<Option<Grid>, LibraryError> {
        let fault = self.fault("reading a grid");
        let row = self
            .db
            .query_row(
                "SELECT asked, seed, asked_at, sheet, written FROM grids WHERE id = ?1",
                [id.0],
                |row| {
                    let sheet: Option<String> = row.get(3)?;
                    let written: bool = row.get(4)?;
                    let seed = row.get::<_, i64>(1)?.cast_unsigned();
                    Ok((row.get::<_, String>(0)?, seed, row.get(2)?, sheet.filter(|_| written)))
                },
            )
            .optional()
            .map_err(&fault)?;
        let Some((asked, seed, asked_at, sheet)) = row else { return Ok(None) };
        let order: GridOrder = match serde_json::from_str(&asked) {
            Ok(order) => order,
            Err(error) => {
                tracing::error!(id = id.0, %error, "a grid cannot be read");
                return Ok(None);
            }
        };
        let cells = self.cells(id, order.cells())?;
        let sheet = sheet.map(|path| self.folder.path(Path::new(&path)));
        Ok(Some(Grid { id, order, seed, asked_at, cells, sheet }))
    }

    /// The cells of a grid, by rows. One whose job is lost is as if it had been cancelled.
    fn cells(&self, id: GridId, count: usize) -> Result<Vec<Cell>, LibraryError> {
        let fault = self.fault("reading the cells of a grid");
        let lost = Cell { job: JobId(0), state: JobState::Cancelled, picture: None, path: None };
        let mut cells = vec![lost; count];
        let mut query = self
            .db
            .prepare_cached(
                "SELECT cell, jobs.id, state, reason, pictures.id, path FROM jobs \
                 LEFT JOIN pictures ON job = jobs.id AND idx = 0 WHERE grid = ?1",
            )
            .map_err(&fault)?;
        let mut rows = query.query([id.0]).map_err(&fault)?;
        while let Some(row) = rows.next().map_err(&fault)? {
            let read = || -> Result<(usize, Cell), RowError> {
                let path: Option<String> = row.get(5)?;
                let cell = Cell {
                    job: JobId(row.get(1)?),
                    state: from_columns(&row.get::<_, String>(2)?, row.get(3)?)?,
                    picture: row.get::<_, Option<i64>>(4)?.map(PictureId),
                    path: path.map(|path| self.folder.path(Path::new(&path))),
                };
                Ok((row.get::<_, u32>(0)? as usize, cell))
            };
            match read() {
                Ok((at, cell)) if at < count => cells[at] = cell,
                Ok(_) => {}
                Err(reason) => tracing::error!(id = id.0, %reason, "a cell cannot be read"),
            }
        }
        Ok(cells)
    }

    /// A page of grids older than `before`, newest first. Those in the trash are passed over, unless one of
    /// their pictures was taken out of it alone or drawn since.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn grids(&self, before: Option<GridId>, limit: u32) -> Result<Vec<Grid>, LibraryError> {
        let fault = self.fault("reading grids");
        let before = before.map_or(i64::MAX, |id| id.0);
        let ids: Vec<i64> = {
            let ask = format!("SELECT id FROM grids WHERE id < ?1 AND {SHOWN} ORDER BY id DESC LIMIT ?2");
            let mut query = self.db.prepare_cached(&ask).map_err(&fault)?;
            let rows =
                query.query_map([before, limit.min(GRIDS_MAX).into()], |row| row.get(0)).map_err(&fault)?;
            rows.collect::<rusqlite::Result<_>>().map_err(&fault)?
        };
        let (mut grids, mut text) = (Vec::new(), 0);
        for id in ids {
            let Some(grid) = self.grid(GridId(id))? else { continue };
            text += grid.order.text_len();
            if text > PAGE_TEXT && !grids.is_empty() {
                break;
            }
            grids.push(grid);
        }
        Ok(grids)
    }

    /// Grids whose sheets are not written: all that ended with the worker before they could be.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn unwritten_grids(&self) -> Result<Vec<GridId>, LibraryError> {
        let fault = self.fault("reading grids");
        let mut query =
            self.db.prepare("SELECT id FROM grids WHERE written = 0 ORDER BY id").map_err(&fault)?;
        let rows = query.query_map([], |row| row.get(0).map(GridId)).map_err(&fault)?;
        rows.collect::<rusqlite::Result<_>>().map_err(&fault)
    }

    /// Writes the sheet of a grid beside the pictures, by rename, and records it; unless the grid has become another
    /// since it was drawn: then it will be drawn again. Whether it was written.
    ///
    /// # Errors
    /// Nothing is recorded then.
    pub fn keep_sheet(&mut self, drawn: &Grid, png: &[u8]) -> Result<Option<PathBuf>, LibraryError> {
        if self.grid(drawn.id)?.as_ref() != Some(drawn) {
            return Ok(None);
        }
        let path = sheet_name(drawn.id, drawn.asked_at);
        self.folder.write(&path, png)?;
        self.db
            .execute(
                "UPDATE grids SET sheet = ?2, written = 1 WHERE id = ?1",
                params![drawn.id.0, path.to_string_lossy()],
            )
            .map_err(self.fault("recording a contact sheet"))?;
        Ok(Some(self.folder.path(&path)))
    }
}

/// The sheet of a grid says what is not so any more: one of its cells is tried again.
pub(super) fn outdate_sheet(change: &Connection, job: JobId) -> rusqlite::Result<()> {
    let outdate = "UPDATE grids SET written = 0 WHERE id = (SELECT grid FROM jobs WHERE id = ?1)";
    change.execute(outdate, [job.0]).map(drop)
}

/// Where the sheet of a grid is, relative to the folder of pictures: the same each time that it is written.
pub(super) fn sheet_name(grid: GridId, asked_at: i64) -> PathBuf {
    let at = jiff::Timestamp::from_millisecond(asked_at).unwrap_or_default().to_zoned(TimeZone::system());
    PathBuf::from(at.strftime("%Y-%m-%d").to_string()).join(format!(
        "{}-grid-{:06}.png",
        at.strftime("%H%M%S"),
        grid.0
    ))
}

impl Folder {
    /// Whether a file of the folder is a contact sheet by its name.
    #[must_use]
    pub fn is_sheet(path: &Path) -> bool {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        name.split_once("-grid-").is_some_and(|(time, id)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits(time) && digits(id)
        })
    }
}
