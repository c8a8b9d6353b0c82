//! The queue as the library keeps it: the order of jobs, whether it is paused, and jobs that are changed or tried again.

use rusqlite::{OptionalExtension, params};

use super::grids::outdate_sheet;
use super::jobs::columns_of;
use super::{Library, LibraryError};
use crate::job::{Job, JobId, JobStatus};

impl Library {
    /// Keeps the order in which jobs are drawn. The ranks of those that are named and not over are dealt out anew among
    /// them, so all others stay where they are.
    ///
    /// # Errors
    /// The order is as it was then.
    pub fn arrange(&mut self, order: &[JobId]) -> Result<(), LibraryError> {
        let fault = self.fault("ordering the queue");
        let change = self.db.transaction().map_err(&fault)?;
        {
            let mut rank = change
                .prepare("SELECT rank FROM jobs WHERE id = ?1 AND state IN ('queued', 'running')")
                .map_err(&fault)?;
            let mut held = Vec::new();
            for id in order {
                let found = rank.query_row([id.0], |row| row.get::<_, i64>(0)).optional().map_err(&fault)?;
                held.extend(found.map(|rank| (*id, rank)));
            }
            let mut ranks: Vec<i64> = held.iter().map(|(_, rank)| *rank).collect();
            ranks.sort_unstable();
            let mut set = change.prepare("UPDATE jobs SET rank = ?2 WHERE id = ?1").map_err(&fault)?;
            // Of a move by one these are two.
            for ((id, _), now) in held.iter().zip(&ranks).filter(|((_, before), now)| before != *now) {
                set.execute(params![id.0, now]).map_err(&fault)?;
            }
        }
        change.commit().map_err(&fault)
    }

    /// Lets a job that waits be another. `None`, and nothing is changed, when it is over or has a picture.
    ///
    /// # Errors
    /// The job is as it was then.
    pub fn edit(&mut self, id: JobId, job: &Job, first_seed: u64) -> Result<Option<JobStatus>, LibraryError> {
        let row = columns_of(job, first_seed);
        let edited = self
            .write(
                "UPDATE jobs SET prompt = ?1, model = ?2, width = ?3, height = ?4, steps = ?5, guidance = ?6, \
                 seed = ?7, first_seed = ?8, count = ?9, device = ?10, precision = ?11, vram_budget = ?12, t5 = ?13, \
                 loras = ?14, parent = ?15, prompt_key = ?16, wildcards = ?17, merge_loras = ?18 \
                 WHERE id = ?19 AND state = 'queued' \
                 AND id NOT IN (SELECT job FROM pictures)",
                row.into_iter().chain([id.0.into()]),
            )
            .map_err(self.fault("changing a job"))?;
        self.checkpoints.clear(|of, _| of == id);
        if edited == 1 { self.job(id) } else { Ok(None) }
    }

    /// Puts a job that failed back into the queue, after all others. `None` when it did not fail.
    ///
    /// # Errors
    /// The job is as it was then.
    pub fn retry(&mut self, id: JobId) -> Result<Option<JobStatus>, LibraryError> {
        let fault = self.fault("trying a job again");
        // A sheet that says of a cell that it failed while that waits, or the other way round, would stay so.
        let change = self.db.transaction().map_err(&fault)?;
        let put_back = change
            .execute(
                "UPDATE jobs SET state = 'queued', reason = NULL, ended_at = NULL, \
                 rank = (SELECT MAX(rank) + 1 FROM jobs) WHERE id = ?1 AND state = 'failed'",
                [id.0],
            )
            .map_err(&fault)?;
        if put_back == 0 {
            return Ok(None);
        }
        outdate_sheet(&change, id).map_err(&fault)?;
        change.commit().map_err(&fault)?;
        self.job(id)
    }

    /// Whether nothing more is to be begun.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn is_paused(&self) -> Result<bool, LibraryError> {
        self.db
            .query_row("SELECT paused FROM queue", [], |row| row.get(0))
            .map_err(self.fault("reading whether the queue is paused"))
    }

    /// Keeps whether nothing more is to be begun.
    ///
    /// # Errors
    /// It is as it was then.
    pub fn set_paused(&mut self, paused: bool) -> Result<(), LibraryError> {
        self.db
            .execute("UPDATE queue SET paused = ?1", [paused])
            .map(drop)
            .map_err(self.fault("keeping whether the queue is paused"))
    }
}
