//! The jobs that wait, those that are drawn, and those that failed.

use crate::job::JobId;
use crate::ui::action::ListMove;
use crate::wire::message::{JobState, JobStatus, Progress};
use crate::wire::replay;

/// Failed jobs that are kept in sight.
const FAILED: usize = 20;
/// Ended jobs that are remembered.
const ENDED: usize = 100;

/// The queue pane.
#[derive(Debug, Clone, Default)]
pub struct QueuePane {
    jobs: Vec<JobStatus>,
    /// Nothing is begun until a person says so.
    pub paused: bool,
    /// The pictures that are being drawn, the oldest first.
    progress: Vec<Progress>,
    chosen: Option<JobId>,
    /// Jobs that ended lately: the answer to a submission may come after the job's last event.
    ended: std::collections::VecDeque<JobId>,
}

impl QueuePane {
    /// Everything anew.
    pub fn replace(&mut self, jobs: Vec<JobStatus>, progress: Vec<Progress>) {
        self.jobs = jobs;
        self.jobs.retain(|job| job.state != JobState::Done && job.state != JobState::Cancelled);
        self.progress = progress;
        self.settle();
    }

    /// Queued and running jobs in order, then the failed ones, newest first.
    #[must_use]
    pub fn jobs(&self) -> &[JobStatus] {
        &self.jobs
    }

    /// The pictures that are being drawn, the oldest first.
    #[must_use]
    pub fn progress(&self) -> &[Progress] {
        &self.progress
    }

    /// Where a job is: its oldest picture, if several are being drawn.
    #[must_use]
    pub fn progress_of(&self, job: JobId) -> Option<&Progress> {
        self.progress.iter().find(|progress| progress.job == job)
    }

    /// A job that is not over.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<&JobStatus> {
        self.jobs.iter().find(|job| job.id == id)
    }

    /// The first job that is being drawn.
    #[must_use]
    pub fn running(&self) -> Option<&JobStatus> {
        self.jobs.iter().find(|job| job.state == JobState::Running)
    }

    /// Jobs that are neither over nor running.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.jobs.iter().filter(|job| job.state == JobState::Queued).count()
    }

    /// The job that Esc cancels: the running one, or the first that waits.
    #[must_use]
    pub fn to_cancel(&self) -> Option<JobId> {
        self.running().or_else(|| self.jobs.iter().find(|job| !job.state.is_over())).map(|job| job.id)
    }

    /// The chosen row.
    #[must_use]
    pub fn chosen(&self) -> usize {
        self.jobs.iter().position(|job| Some(job.id) == self.chosen).unwrap_or(0)
    }

    /// The chosen job.
    #[must_use]
    pub fn chosen_job(&self) -> Option<&JobStatus> {
        self.jobs.get(self.chosen())
    }

    /// Chooses another job.
    pub fn choose(&mut self, by: ListMove, page: usize) {
        let index = super::moved(self.chosen(), self.jobs.len(), page, by);
        self.chosen = self.jobs.get(index).map(|job| job.id);
    }

    /// Chooses the job of a row.
    pub fn choose_row(&mut self, row: usize) {
        if let Some(job) = self.jobs.get(row) {
            self.chosen = Some(job.id);
        }
    }

    /// The job is new or has changed.
    pub fn update(&mut self, status: JobStatus) {
        if status.state.is_over() {
            self.progress.retain(|progress| progress.job != status.id);
            self.ended.push_back(status.id);
            if self.ended.len() > ENDED {
                self.ended.pop_front();
            }
        }
        let known = self.jobs.iter().position(|job| job.id == status.id);
        match (known, &status.state) {
            (Some(index), JobState::Done | JobState::Cancelled) => drop(self.jobs.remove(index)),
            (None, JobState::Done | JobState::Cancelled) => {}
            (known, JobState::Failed { .. }) => {
                known.map(|index| self.jobs.remove(index));
                let first = self.jobs.iter().position(|job| job.state.is_over()).unwrap_or(self.jobs.len());
                self.jobs.insert(first, status);
            }
            (Some(index), _) if !self.jobs[index].state.is_over() => self.jobs[index] = status,
            (known, _) => {
                // One that failed and is tried again comes after the others.
                known.map(|index| self.jobs.remove(index));
                let end = self.jobs.iter().position(|job| job.state.is_over()).unwrap_or(self.jobs.len());
                self.jobs.insert(end, status);
            }
        }
        self.settle();
    }

    /// A job is drawn before another now, or after all others.
    pub fn moved(&mut self, job: JobId, before: Option<JobId>) {
        replay::shift(&mut self.jobs, job, before);
    }

    /// The answer to a submission. Events about the same job may have come first and know more.
    pub fn accepted(&mut self, status: JobStatus) {
        let known = self.jobs.iter().any(|job| job.id == status.id);
        if !known && !self.ended.contains(&status.id) {
            self.update(status);
        }
    }

    /// A picture has got further. Whether it is new.
    pub fn progressed(&mut self, progress: Progress) -> bool {
        let is_it = |known: &&mut Progress| (known.job, known.index) == (progress.job, progress.index);
        if let Some(known) = self.progress.iter_mut().find(is_it) {
            *known = progress;
            return false;
        }
        // Each device draws one at a time.
        self.progress.retain(|known| known.device != progress.device);
        self.progress.push(progress);
        true
    }

    /// A picture is not drawn any more.
    pub fn stopped(&mut self, job: JobId, index: u32) {
        self.progress.retain(|known| (known.job, known.index) != (job, index));
    }

    /// Takes a failed job out of sight.
    pub fn forget(&mut self, job: JobId) {
        self.jobs.retain(|known| known.id != job || !known.state.is_over());
        self.settle();
    }

    fn settle(&mut self) {
        let open = self.jobs.iter().filter(|job| !job.state.is_over()).count();
        self.jobs.truncate(open + FAILED);
        if !self.jobs.iter().any(|job| Some(job.id) == self.chosen) {
            self.chosen = self.jobs.first().map(|job| job.id);
        }
    }
}
