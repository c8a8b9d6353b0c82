//! The queue: which jobs wait, which is being drawn, what is next. A pure state machine: no I/O,
//! no clock. What it is told has happened already; what it returns is for others to do and to tell.
//!
//! One picture is handed out at a time, so that a job of many can be cancelled between two of them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::job::{Job, JobId, JobState, JobStatus};

/// The most jobs that wait.
pub const JOBS_MAX: usize = 10_000;
/// The most bytes of prompts that wait: all of them fit one snapshot.
pub const PROMPTS_MAX: usize = 24 << 20;

/// One picture to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// For this job.
    pub id: JobId,
    /// What was asked.
    pub job: Arc<Job>,
    /// Which of its pictures, from 0.
    pub index: u32,
    /// With this seed.
    pub seed: u64,
}

/// Where a job is that is to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It waits.
    Waiting,
    /// One of its pictures is being drawn.
    Drawing,
}

#[derive(Debug)]
struct Entry {
    status: JobStatus,
    /// Somebody has asked to cancel it and the library is being told: not to be begun.
    withheld: bool,
    /// The library has it as cancelled; what is being drawn for it is to be stopped.
    cancelled: bool,
}

/// Jobs that are not over, in the order they are drawn.
#[derive(Debug, Default)]
pub struct Queue {
    entries: VecDeque<Entry>,
    /// The job one of whose pictures is being drawn.
    drawing: Option<JobId>,
}

impl Queue {
    /// A queue of what the library has as unfinished, all of it waiting.
    #[must_use]
    pub fn restore(jobs: Vec<JobStatus>) -> Self {
        let mut queue = Self::default();
        for job in jobs {
            queue.accept(JobStatus { state: JobState::Queued, ..job });
        }
        queue
    }

    /// Whether a prompt of so many bytes still fits.
    #[must_use]
    pub fn has_room(&self, prompt: usize) -> bool {
        let waiting: usize = self.entries.iter().map(|entry| entry.status.job.prompt.as_str().len()).sum();
        self.entries.len() < JOBS_MAX && waiting + prompt <= PROMPTS_MAX
    }

    /// Adds a job that is on disk. Jobs are drawn in the order they were accepted.
    pub fn accept(&mut self, status: JobStatus) {
        let place = self.entries.partition_point(|entry| entry.status.id < status.id);
        self.entries.insert(place, Entry { status, withheld: false, cancelled: false });
    }

    /// The next picture to be drawn, if none is and one waits; and its job, if that has now begun.
    pub fn begin(&mut self) -> Option<(Work, Option<JobStatus>)> {
        if self.drawing.is_some() {
            return None;
        }
        let entry = self.entries.iter_mut().find(|entry| !entry.withheld && !entry.cancelled)?;
        let status = &mut entry.status;
        let begun = status.state != JobState::Running;
        status.state = JobState::Running;
        self.drawing = Some(status.id);
        let seed = status.first_seed.wrapping_add(u64::from(status.done));
        let work = Work { id: status.id, job: Arc::new(status.job.clone()), index: status.done, seed };
        Some((work, begun.then(|| status.clone())))
    }

    /// The picture being drawn is in the library, and its job is in this state there now.
    pub fn drew(&mut self, id: JobId, state: JobState) -> Option<JobStatus> {
        self.entry(id)?.status.done += 1;
        self.ended(id, state)
    }

    /// Nothing is drawn any more for this job, and the library had it in this state.
    pub fn ended(&mut self, id: JobId, state: JobState) -> Option<JobStatus> {
        if self.drawing == Some(id) {
            self.drawing = None;
        }
        let place = self.entries.iter().position(|entry| entry.status.id == id)?;
        let entry = &mut self.entries[place];
        // It may have been cancelled after the library was last asked about it.
        entry.status.state = if entry.cancelled && !state.is_over() { JobState::Cancelled } else { state };
        if entry.status.state.is_over() {
            return self.entries.remove(place).map(|entry| entry.status);
        }
        Some(entry.status.clone())
    }

    /// What was being drawn has been stopped, because it was cancelled or because the worker ends.
    pub fn stopped(&mut self, id: JobId) -> Option<JobStatus> {
        self.ended(id, JobState::Queued)
    }

    /// Keeps a job from being begun while the library is told that it is cancelled.
    pub fn withhold(&mut self, id: JobId) -> Option<Place> {
        let place = if self.drawing == Some(id) { Place::Drawing } else { Place::Waiting };
        self.entry(id)?.withheld = true;
        Some(place)
    }

    /// The library could not be told: the job goes on as if nobody had asked.
    pub fn release(&mut self, id: JobId) {
        if let Some(entry) = self.entry(id) {
            entry.withheld = false;
        }
    }

    /// The library has the job as cancelled. One that waits is over with that; one that is being
    /// drawn is over when that has stopped.
    pub fn cancelled(&mut self, id: JobId) -> Option<JobStatus> {
        self.entry(id)?.cancelled = true;
        if self.drawing == Some(id) { None } else { self.ended(id, JobState::Cancelled) }
    }

    /// The job one of whose pictures is being drawn.
    #[must_use]
    pub fn drawing(&self) -> Option<&JobStatus> {
        let id = self.drawing?;
        self.entries.iter().map(|entry| &entry.status).find(|status| status.id == id)
    }

    /// All jobs that are not over, in the order they are drawn.
    pub fn jobs(&self) -> impl Iterator<Item = &JobStatus> {
        self.entries.iter().map(|entry| &entry.status)
    }

    /// How many jobs are not over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&mut self, id: JobId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.status.id == id)
    }
}

#[cfg(test)]
mod tests;
