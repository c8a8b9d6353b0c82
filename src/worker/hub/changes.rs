//! Changes of the queue that a person has asked for and that are on disk.

use std::collections::BTreeSet;

use super::Hub;
use crate::job::{JobId, JobStatus};
use crate::wire::message::Event;
use crate::wire::queue::QueuePlace;
use crate::wire::replay;

impl Hub {
    /// The order of the jobs once one has been moved; `None` when there is no such job.
    #[must_use]
    pub fn order_with(&self, id: JobId, to: QueuePlace) -> Option<Vec<JobId>> {
        self.state.borrow().queue.order_with(id, to)
    }

    /// The library has the jobs in this order because that one was moved.
    pub fn moved(&self, job: JobId, order: &[JobId]) {
        let mut state = self.state.borrow_mut();
        state.queue.arrange(order);
        let before = state.queue.after(job);
        if state.queue.job(job).is_some() {
            self.tell(&state, Event::Moved { job, before });
        }
        self.settle(&mut state);
    }

    /// The library has it that the queue is paused, or not.
    pub fn paused(&self, paused: bool) {
        let mut state = self.state.borrow_mut();
        state.queue.pause(paused);
        self.tell(&state, Event::Paused(paused));
        self.settle(&mut state);
    }

    /// Whether a job can be made another: nothing was begun of it. `None` when there is no such job.
    #[must_use]
    pub fn is_untouched(&self, id: JobId) -> Option<bool> {
        self.state.borrow().queue.is_untouched(id)
    }

    /// The library has the job as another.
    pub fn edited(&self, status: JobStatus) {
        let mut state = self.state.borrow_mut();
        if state.queue.edited(status.clone()) {
            self.tell(&state, Event::Job(status));
        }
        self.settle(&mut state);
    }

    /// The library has a job that failed as queued again, with these pictures.
    pub fn retried(&self, status: JobStatus, drawn: BTreeSet<u32>) {
        let mut state = self.state.borrow_mut();
        state.failed.retain(|failed| failed.id != status.id);
        replay::shorten_failed(&mut state.failed);
        state.queue.retry(status.clone(), drawn);
        self.tell(&state, Event::Job(status));
        self.settle(&mut state);
    }
}
