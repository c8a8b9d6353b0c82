//! What a person can change about the queue.

use serde::{Deserialize, Serialize};

use crate::job::{Job, JobId};

/// A change. Answered once it is on disk; every client hears of it as an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum QueueChange {
    /// Draw a job sooner or later than the others.
    Move {
        /// Which.
        job: JobId,
        /// Whereto.
        to: QueuePlace,
    },
    /// Let a job that nothing has been drawn for be another.
    Edit {
        /// Which.
        job: JobId,
        /// What it is to be.
        to: Box<Job>,
    },
    /// Begin nothing more; what is being drawn is finished.
    Pause,
    /// Go on.
    Resume,
    /// Draw what is missing of a job that failed, after all others.
    Retry(JobId),
    /// Add a job like this one, whatever has become of it.
    Duplicate(JobId),
}

/// A place among the jobs that are not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueuePlace {
    /// Before all others.
    First,
    /// After all others.
    Last,
    /// Before the one that is before it.
    Up,
    /// After the one that is after it.
    Down,
    /// Before this one.
    Before(JobId),
}
