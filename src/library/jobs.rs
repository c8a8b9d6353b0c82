//! The jobs of the library: accepting them, what state they are in, and which are not over.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params, params_from_iter};

use super::{Library, LibraryError, disorder};
use crate::device::{DeviceError, LoadOptions, VramBudget};
use crate::job::grid::{GridCell, GridId};
use crate::job::{Job, JobError, JobId, JobState, JobStatus, PictureId, Prompt, Seed, Size, prompt_key};
use crate::model::ModelName;

/// All that a [`JobStatus`] is made of.
const COLUMNS: &str = "id, prompt, model, width, height, steps, guidance, seed, first_seed, count, \
                       state, reason, accepted_at, \
                       (SELECT COUNT(*) FROM pictures WHERE job = jobs.id), device, precision, \
                       vram_budget, t5, loras, parent, wildcards, grid, cell, merge_loras";

/// Adds a job: what it asks for ([`columns_of`]), and when.
pub(super) const INSERT: &str = "INSERT INTO jobs (prompt, model, width, height, steps, guidance, seed, first_seed, \
    count, device, precision, vram_budget, t5, loras, parent, prompt_key, wildcards, merge_loras, state, accepted_at, \
    rank) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, 'queued', ?19, \
    (SELECT COALESCE(MAX(rank), 0) + 1 FROM jobs))";

/// A row that does not hold a job: written by hand, or damaged in a way that SQLite cannot see.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    /// SQLite could not give a column.
    #[error(transparent)]
    Column(#[from] rusqlite::Error),
    /// The values are not a job's.
    #[error(transparent)]
    Job(#[from] JobError),
    /// No such device or precision.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// No such state.
    #[error("a job cannot be {0:?}")]
    State(String),
    /// The encoders' cuts, LoRAs or wildcards are not what they should be.
    #[error("cuts, LoRAs or wildcards cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

impl Library {
    /// Keeps a job; when this returns it is on disk. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// Nothing was kept then.
    pub fn accept(&mut self, job: &Job, first_seed: u64, now: i64) -> Result<JobStatus, LibraryError> {
        let row = columns_of(job, first_seed);
        self.write(INSERT, row.into_iter().chain([now.into()])).map_err(self.fault("accepting a job"))?;
        let id = JobId(self.db.last_insert_rowid());
        let job = job.clone().of_cell(None);
        Ok(JobStatus { id, job, first_seed, state: JobState::Queued, done: 0, accepted_at: now })
    }

    /// Writes a job's row. A damaged index of prompts keeps none out: it is made anew from them.
    pub(super) fn write(
        &mut self,
        statement: &str,
        values: impl Iterator<Item = Value> + Clone,
    ) -> rusqlite::Result<usize> {
        match self.db.execute(statement, params_from_iter(values.clone())) {
            Err(error) if disorder::is_of_the_index(&error) => {
                tracing::warn!(%error, "the index of prompts is damaged; it is made anew");
                disorder::rebuild_index(&self.db)?;
                self.db.execute(statement, params_from_iter(values))
            }
            written => written,
        }
    }

    /// Moves a job that is not over to another state, and says which state it is in now: a job that
    /// was over already stays as it was. `None` when there is no such job.
    ///
    /// # Errors
    /// The job is as it was then.
    pub fn set_state(
        &mut self,
        id: JobId,
        state: &JobState,
        now: i64,
    ) -> Result<Option<JobState>, LibraryError> {
        let (name, reason) = to_columns(state);
        let ended_at = state.is_over().then_some(now);
        self.db
            .execute(
                "UPDATE jobs SET state = ?2, reason = ?3, ended_at = ?4 \
                 WHERE id = ?1 AND state IN ('queued', 'running')",
                params![id.0, name, reason, ended_at],
            )
            .map_err(self.fault("changing a job"))?;
        let state = self.state(id)?;
        if state.as_ref().is_none_or(JobState::is_over) {
            self.checkpoints.clear(|job, _| job == id);
        }
        Ok(state)
    }

    /// The state that a job is in.
    pub(super) fn state(&self, id: JobId) -> Result<Option<JobState>, LibraryError> {
        self.db
            .query_row("SELECT state, reason FROM jobs WHERE id = ?1", [id.0], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?))
            })
            .optional()
            .map_err(self.fault("reading a job"))
            .map(|row| row.and_then(|(name, reason)| from_columns(&name, reason).ok()))
    }

    /// Jobs that are not over, in the order in which they are drawn.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn unfinished(&self) -> Result<Vec<JobStatus>, LibraryError> {
        self.jobs("WHERE state IN ('queued', 'running') ORDER BY rank, id", u32::MAX)
    }

    /// Which pictures of a job there are, from 0.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn drawn(&self, id: JobId) -> Result<BTreeSet<u32>, LibraryError> {
        let fault = self.fault("reading a job's pictures");
        let mut query = self.db.prepare_cached("SELECT idx FROM pictures WHERE job = ?1").map_err(&fault)?;
        let indices = query.query_map([id.0], |row| row.get(0)).map_err(&fault)?;
        indices.collect::<rusqlite::Result<_>>().map_err(&fault)
    }

    /// Jobs that failed, the latest first.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn failed(&self, limit: u32) -> Result<Vec<JobStatus>, LibraryError> {
        self.jobs("WHERE state = 'failed' ORDER BY ended_at DESC, id DESC", limit)
    }

    /// One job, whatever has become of it.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn job(&self, id: JobId) -> Result<Option<JobStatus>, LibraryError> {
        Ok(self.jobs(&format!("WHERE id = {}", id.0), 1)?.pop())
    }

    fn jobs(&self, which: &str, limit: u32) -> Result<Vec<JobStatus>, LibraryError> {
        let fault = self.fault("reading jobs");
        let mut query =
            self.db.prepare(&format!("SELECT {COLUMNS} FROM jobs {which} LIMIT ?1")).map_err(&fault)?;
        let mut rows = query.query([limit]).map_err(&fault)?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next().map_err(&fault)? {
            match status(row) {
                Ok(status) => jobs.push(status),
                // One bad row must not keep the others from being drawn; it stays where it is.
                Err(reason) => tracing::error!(id = ?row.get::<_, i64>(0), %reason, "a job cannot be read"),
            }
        }
        Ok(jobs)
    }
}

/// What a job asks for, in the order of the columns from `prompt` to `count`, then from `device` to `merge_loras`.
pub(super) fn columns_of(job: &Job, first_seed: u64) -> [Value; 18] {
    let seed = match job.seed {
        Seed::Random => None,
        Seed::Fixed(seed) => Some(seed.cast_signed()),
    };
    [
        job.prompt.as_str().to_owned().into(),
        job.model.as_str().to_owned().into(),
        job.size.width().into(),
        job.size.height().into(),
        job.steps().into(),
        f64::from(job.guidance()).into(),
        seed.into(),
        first_seed.cast_signed().into(),
        job.count().into(),
        job.device.to_string().into(),
        job.load.precision.to_string().into(),
        job.load.vram_budget.map(|VramBudget(bytes)| bytes.cast_signed()).into(),
        job.load.t5.to_string().into(),
        // Names, numbers and hashes: JSON holds them.
        serde_json::to_string(job.loras()).unwrap_or_default().into(),
        job.parent.map(|parent| parent.0).into(),
        prompt_key(job.prompt.as_str()).to_vec().into(),
        serde_json::to_string(job.wildcards()).unwrap_or_default().into(),
        job.load.merge_loras.to_string().into(),
    ]
}

fn status(row: &Row<'_>) -> Result<JobStatus, RowError> {
    Ok(JobStatus {
        id: JobId(row.get(0)?),
        job: job(row)?,
        first_seed: row.get::<_, i64>(8)?.cast_unsigned(),
        state: from_columns(&row.get::<_, String>(10)?, row.get(11)?)?,
        done: row.get(13)?,
        accepted_at: row.get(12)?,
    })
}

fn job(row: &Row<'_>) -> Result<Job, RowError> {
    let seed = row.get::<_, Option<i64>>(7)?.map_or(Seed::Random, |seed| Seed::Fixed(seed.cast_unsigned()));
    #[expect(clippy::cast_possible_truncation, reason = "it was an f32 when it was written")]
    let guidance = row.get::<_, f64>(6)? as f32;
    let job = Job::new(
        Prompt::new(row.get::<_, String>(1)?)?,
        ModelName(row.get(2)?),
        Size::new(row.get(3)?, row.get(4)?)?,
        row.get(5)?,
        guidance,
        seed,
        row.get(9)?,
    )?;
    let load = LoadOptions {
        precision: row.get::<_, String>(15)?.parse()?,
        vram_budget: row.get::<_, Option<i64>>(16)?.map(|bytes| VramBudget(bytes.cast_unsigned())),
        t5: row.get::<_, String>(17)?.parse()?,
        merge_loras: row.get::<_, String>(23)?.parse()?,
    };
    let parent = row.get::<_, Option<i64>>(19)?.map(PictureId);
    let wildcards = serde_json::from_str(&row.get::<_, String>(20)?)?;
    let job =
        job.placed(row.get::<_, String>(14)?.parse()?, load).iterated_from(parent).with_wildcards(wildcards);
    let cell = match (row.get::<_, Option<i64>>(21)?, row.get::<_, Option<u32>>(22)?) {
        (Some(grid), Some(cell)) => Some(GridCell { grid: GridId(grid), cell }),
        _ => None,
    };
    Ok(job.of_cell(cell).with_loras(serde_json::from_str(&row.get::<_, String>(18)?)?)?)
}

fn to_columns(state: &JobState) -> (&'static str, Option<&str>) {
    match state {
        JobState::Queued => ("queued", None),
        JobState::Running => ("running", None),
        JobState::Done => ("done", None),
        JobState::Failed { reason } => ("failed", Some(reason)),
        JobState::Cancelled => ("cancelled", None),
    }
}

pub(super) fn from_columns(name: &str, reason: Option<String>) -> Result<JobState, RowError> {
    Ok(match name {
        "queued" => JobState::Queued,
        "running" => JobState::Running,
        "done" => JobState::Done,
        "failed" => JobState::Failed { reason: reason.unwrap_or_default() },
        "cancelled" => JobState::Cancelled,
        other => return Err(RowError::State(other.to_owned())),
    })
}
