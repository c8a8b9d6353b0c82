//! The pictures of the library: noting that one is about to be written, recording it, paging
//! through them, and finding after a crash what became of the ones that were noted.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use jiff::Zoned;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::grids::sheet_name;
use super::jobs::RowError;
use super::{Library, LibraryError};
use crate::job::grid::{GridId, OfGrid};
use crate::job::{
    Content, JobId, JobState, Marks, Origin, Picture, PictureId, PictureQuery, Prompt, Rating, Recipe, Size,
    Times,
};
use crate::model::ModelName;

/// The most pictures of one page.
pub const PAGE_MAX: u32 = 500;
/// The most bytes of prompts of one page: there is always at least one picture.
pub(super) const PAGE_PROMPTS: usize = 8 << 20;

const COLUMNS: &str = "pictures.id, job, idx, pictures.seed, pictures.precision, cuts, load, encode, denoise, \
                       decode, path, finished_at, prompt, model, width, height, steps, guidance, \
                       pictures.loras, rating, favourite, trashed_at, origin, jobs.parent, \
                       (SELECT json_group_array(tag) FROM \
                       (SELECT tag FROM tags WHERE picture = pictures.id ORDER BY tag)), drawn, \
                       (SELECT json_array(grids.id, jobs.cell, \
                       (SELECT COUNT(*) FROM jobs AS cells WHERE cells.grid = grids.id), grids.rating, \
                       grids.favourite, grids.trashed_at IS NOT NULL, grids.sheet, grids.asked_at) \
                       FROM grids WHERE grids.id = jobs.grid)";
const MOVED: &str = "job, idx, seed, precision, cuts, load, encode, denoise, decode, path, finished_at, loras, \
                     bytes, sha256, drawn";

/// What [`Library::recover`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Pictures that were written and not yet recorded, and now are.
    pub adopted: usize,
    /// Pictures that were noted and never written: they are drawn again.
    pub unwritten: usize,
    /// Jobs that were running, and are queued again.
    pub requeued: usize,
}

impl Library {
    /// Notes that a picture is about to be written as a file with this content, and says where: relative to the folder.
    ///
    /// # Errors
    /// Nothing was noted then.
    pub fn intend(
        &mut self,
        job: JobId,
        index: u32,
        recipe: &Recipe,
        content: Content,
        at: &Zoned,
    ) -> Result<PathBuf, LibraryError> {
        let path = self.folder.name(at, job, index, recipe.seed);
        // Cuts are numbers and field names: JSON holds them.
        let cuts = serde_json::to_string(&recipe.cuts).unwrap_or_default();
        let loras = serde_json::to_string(&recipe.loras).unwrap_or_default();
        let Times { load, encode, denoise, decode } = recipe.times;
        let row = params![
            job.0,
            index,
            recipe.seed.cast_signed(),
            recipe.precision,
            cuts,
            load,
            encode,
            denoise,
            decode,
            path.to_string_lossy(),
            at.timestamp().as_millisecond(),
            loras,
            content.bytes.cast_signed(),
            content.sha256,
            recipe.drawn(),
        ];
        let insert = format!(
            "INSERT OR REPLACE INTO writing ({MOVED}) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
        );
        self.db.execute(&insert, row).map_err(self.fault("noting a picture"))?;
        Ok(path)
    }

    /// Records the picture that was noted and has been written, and says what state its job is in
    /// now: done after its last picture.
    ///
    /// # Errors
    /// The note stays then, and [`recover`](Self::recover) finds it.
    pub fn record(&mut self, job: JobId, index: u32) -> Result<(Picture, JobState), LibraryError> {
        let fault = self.fault("recording a picture");
        let change = self.db.transaction().map_err(&fault)?;
        let id = PictureId(record(&change, job, index).map_err(&fault)?);
        change.commit().map_err(&fault)?;
        self.checkpoints.clear(|of, picture| (of, picture) == (job, index));
        let missing = || fault(rusqlite::Error::QueryReturnedNoRows);
        let picture = self.picture(id)?.ok_or_else(missing)?;
        let state = self.state(job)?.ok_or_else(missing)?;
        Ok((picture, state))
    }

    /// Forgets the note of a picture that could not be written.
    ///
    /// # Errors
    /// The note stays then; it does no harm.
    pub fn forget(&mut self, job: JobId, index: u32) -> Result<(), LibraryError> {
        self.db
            .execute("DELETE FROM writing WHERE job = ?1 AND idx = ?2", params![job.0, index])
            .map_err(self.fault("forgetting a picture"))?;
        Ok(())
    }

    /// Brings the library to order after a worker that ended in the middle of something: to be
    /// called once, before anything else.
    ///
    /// # Errors
    /// When the library cannot be read or written.
    pub fn recover(&mut self) -> Result<Recovery, LibraryError> {
        let fault = self.fault("recovering");
        let mut recovery = Recovery::default();
        let change = self.db.transaction().map_err(&fault)?;
        for (job, index, path) in notes(&change).map_err(&fault)? {
            // The file came there by rename, so it is whole.
            if self.folder.path(&path).is_file() {
                record(&change, job, index).map_err(&fault)?;
                recovery.adopted += 1;
            } else {
                self.folder.clear(&path);
                recovery.unwritten += 1;
            }
        }
        change.execute("DELETE FROM writing", []).map_err(&fault)?;
        recovery.requeued =
            change.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'", []).map_err(&fault)?;
        change.commit().map_err(&fault)?;
        let open = self.missing().map_err(&fault)?;
        self.checkpoints.clear(|job, index| open.get(&job).is_none_or(|drawn| drawn.contains(&index)));
        Ok(recovery)
    }

    /// The jobs that are not over, and the pictures that they have.
    fn missing(&self) -> rusqlite::Result<HashMap<JobId, BTreeSet<u32>>> {
        let mut query = self.db.prepare(
            "SELECT jobs.id, idx FROM jobs LEFT JOIN pictures ON job = jobs.id WHERE state IN ('queued', 'running')",
        )?;
        let mut rows = query.query([])?;
        let mut open: HashMap<JobId, BTreeSet<u32>> = HashMap::new();
        while let Some(row) = rows.next()? {
            open.entry(JobId(row.get(0)?)).or_default().extend(row.get::<_, Option<u32>>(1)?);
        }
        Ok(open)
    }

    /// One picture, in the trash or not.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn picture(&self, id: PictureId) -> Result<Option<Picture>, LibraryError> {
        Ok(self.select("WHERE pictures.id = ?1", [id.0.into()], 1)?.pop())
    }

    /// A page of pictures older than `before`, newest first: at most [`PAGE_MAX`], fewer where prompts are very long,
    /// none only when there are no more. Those in the trash are passed over.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn history(&self, before: Option<PictureId>, limit: u32) -> Result<Vec<Picture>, LibraryError> {
        self.search(&PictureQuery { before, ..PictureQuery::default() }, limit)
    }

    /// Pictures, as far as a page has room.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub(super) fn select(
        &self,
        which: &str,
        values: impl IntoIterator<Item = Value>,
        limit: u32,
    ) -> Result<Vec<Picture>, LibraryError> {
        let fault = self.fault("reading pictures");
        let mut query = self
            .db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM pictures JOIN jobs ON jobs.id = job {which}"))
            .map_err(&fault)?;
        let limit = limit.min(PAGE_MAX) as usize;
        let mut rows = query.query(params_from_iter(values)).map_err(&fault)?;
        let (mut pictures, mut prompts) = (Vec::new(), 0);
        while pictures.len() < limit {
            let Some(row) = rows.next().map_err(&fault)? else { break };
            match self.read(row) {
                Ok(picture) => {
                    prompts += picture.text_len();
                    if prompts > PAGE_PROMPTS && !pictures.is_empty() {
                        break;
                    }
                    pictures.push(picture);
                }
                Err(reason) => {
                    tracing::error!(id = ?row.get::<_, i64>(0), %reason, "a picture cannot be read");
                }
            }
        }
        Ok(pictures)
    }

    /// How many pictures there are, those in the trash aside.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn pictures(&self) -> Result<u64, LibraryError> {
        self.db
            .query_row("SELECT COUNT(*) FROM pictures WHERE trashed_at IS NULL", [], |row| {
                row.get::<_, i64>(0)
            })
            .map(i64::cast_unsigned)
            .map_err(self.fault("counting pictures"))
    }

    fn read(&self, row: &Row<'_>) -> Result<Picture, RowError> {
        #[expect(clippy::cast_possible_truncation, reason = "it was an f32 when it was written")]
        let guidance = row.get::<_, f64>(17)? as f32;
        let written = Prompt::new(row.get::<_, String>(12)?)?;
        let (prompt, template) = match row.get::<_, Option<String>>(25)? {
            Some(drawn) => (Prompt::new(drawn)?, Some(written)),
            None => (written, None),
        };
        let recipe = Recipe {
            prompt,
            template,
            model: ModelName(row.get(13)?),
            size: Size::new(row.get(14)?, row.get(15)?)?,
            steps: row.get(16)?,
            guidance,
            seed: row.get::<_, i64>(3)?.cast_unsigned(),
            precision: row.get(4)?,
            cuts: serde_json::from_str(&row.get::<_, String>(5)?)?,
            times: Times {
                load: row.get(6)?,
                encode: row.get(7)?,
                denoise: row.get(8)?,
                decode: row.get(9)?,
            },
            loras: serde_json::from_str(&row.get::<_, String>(18)?)?,
        };
        let key = (PictureId(row.get(0)?), JobId(row.get(1)?), row.get(2)?);
        let path = self.folder.path(Path::new(&row.get::<_, String>(10)?));
        let marks = Marks {
            rating: Rating::try_from(row.get::<_, u8>(19)?)?,
            favourite: row.get(20)?,
            tags: serde_json::from_str(&row.get::<_, String>(24)?)?,
            trashed_at: row.get(21)?,
        };
        let missing = !path.is_file();
        let parent = row.get::<_, Option<i64>>(23)?.map(PictureId);
        let origin = Origin::of_name(&row.get::<_, String>(22)?);
        let grid = row.get::<_, Option<String>>(26)?.map(|grid| self.of_grid(&grid)).transpose()?;
        let drawn = Picture::drawn(key, recipe, path, row.get(11)?);
        Ok(Picture { marks, parent, origin, missing, grid, ..drawn })
    }

    fn of_grid(&self, row: &str) -> Result<OfGrid, RowError> {
        type Columns = (i64, u32, u32, u8, u8, u8, Option<String>, i64);
        let (grid, cell, cells, rating, favourite, trashed, sheet, asked_at): Columns =
            serde_json::from_str(row)?;
        let grid = GridId(grid);
        let sheet = sheet.map_or_else(|| sheet_name(grid, asked_at), PathBuf::from);
        Ok(OfGrid {
            grid,
            cell,
            cells,
            rating: Rating::try_from(rating)?,
            favourite: favourite != 0,
            trashed: trashed != 0,
            sheet: self.folder.path(&sheet),
        })
    }
}

/// Turns a note into a record, and ends its job after the last picture: the last to come, since
/// several devices may draw for it.
fn record(change: &Connection, job: JobId, index: u32) -> rusqlite::Result<i64> {
    let key = params![job.0, index];
    let made = change.execute(
        &format!("INSERT INTO pictures ({MOVED}) SELECT {MOVED} FROM writing WHERE job = ?1 AND idx = ?2"),
        key,
    )?;
    if made == 0 {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    }
    let id = change.last_insert_rowid();
    change.execute("DELETE FROM writing WHERE job = ?1 AND idx = ?2", key)?;
    change.execute("UPDATE jobs SET device_failures = 0 WHERE id = ?1 AND device_failures > 0", [job.0])?;
    end_if_drawn(change, job, PictureId(id))?;
    Ok(id)
}

/// Ends a job that has all its pictures, this one being the last.
pub(super) fn end_if_drawn(change: &Connection, job: JobId, last: PictureId) -> rusqlite::Result<()> {
    change.execute(
        "UPDATE jobs SET state = 'done', ended_at = (SELECT finished_at FROM pictures WHERE id = ?2) \
         WHERE id = ?1 AND count = (SELECT COUNT(*) FROM pictures WHERE job = ?1) \
         AND state IN ('queued', 'running')",
        params![job.0, last.0],
    )?;
    Ok(())
}

fn notes(change: &Connection) -> rusqlite::Result<Vec<(JobId, u32, PathBuf)>> {
    let mut query = change.prepare("SELECT job, idx, path FROM writing ORDER BY job, idx")?;
    let rows = query.query_map([], |row| {
        Ok((JobId(row.get(0)?), row.get(1)?, PathBuf::from(row.get::<_, String>(2)?)))
    })?;
    rows.collect::<rusqlite::Result<Vec<_>>>()
}
