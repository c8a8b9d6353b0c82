//! What the engines' threads report, and what that changes.

use std::time::Instant;

use super::{Hub, State};
use crate::device::LoadOptions;
use crate::job::{JobId, JobState, JobStatus, Picture};
use crate::wire::message::{EngineStatus, Event, Progress, Running, Stage};
use crate::wire::replay::{self, shorten_failed};
use crate::worker::WorkerError;
use crate::worker::estimate::Sort;
use crate::worker::grids::grid_of;
use crate::worker::outbox::Kind;
use crate::worker::painter::Report;
use crate::worker::queue::Work;

impl Hub {
    /// An engine's thread has something to tell. Returns the job that went back into the queue.
    ///
    /// # Errors
    /// When the thread cannot go on.
    pub fn report(&self, report: Report) -> Result<Option<JobId>, WorkerError> {
        let mut state = self.state.borrow_mut();
        let mut back = None;
        match report {
            // A picture that goes on changes nothing for the others: there is nothing to settle.
            Report::Reached { work, stage, at } => {
                self.reached(&mut state, &work, stage, at);
                return Ok(None);
            }
            Report::Preview(device, preview) => {
                replay::show(&mut state.running, preview.clone());
                self.tell_of(&state, Kind::Preview(device), Event::Preview(preview));
                return Ok(None);
            }
            Report::Engine(engine, options) => self.engine(&mut state, engine, options),
            Report::Drew(work, picture, standing) => self.drew(&mut state, &work, *picture, standing),
            Report::Stopped(work) => {
                self.end_picture(&mut state, &work);
                if let Some(status) = state.queue.stopped(work.device) {
                    back = (!status.state.is_over()).then_some(status.id);
                    self.job(&mut state, status);
                }
            }
            Report::Ended(work, standing) => {
                self.end_picture(&mut state, &work);
                if let Some(status) = state.queue.ended(work.device, standing) {
                    self.job(&mut state, status);
                }
            }
            Report::Lost(error) => return Err(error),
        }
        self.settle(&mut state);
        Ok(back)
    }

    fn engine(&self, state: &mut State, engine: EngineStatus, options: LoadOptions) {
        match &engine.loaded {
            Some(model) => state.loaded.insert(engine.device, (model.clone(), options)),
            None => state.loaded.remove(&engine.device),
        };
        state.engines.iter_mut().filter(|it| it.device == engine.device).for_each(|it| *it = engine.clone());
        self.tell(state, Event::Engine(engine));
    }

    fn reached(&self, state: &mut State, work: &Work, stage: Stage, at: Instant) {
        let Work { device, id, job, index, seed } = work;
        let known = |running: &Running| (running.progress.job, running.progress.index) == (*id, *index);
        if !state.running.iter().any(known) {
            let (model, load, size) = (job.model.clone(), job.load, job.size);
            state.estimate.begin(Sort { device: *device, model, load, size }, job.steps(), at);
        }
        let (elapsed, remaining) = state.estimate.reach(*device, &stage, at);
        let progress =
            Progress { device: *device, job: *id, index: *index, seed: *seed, stage, elapsed, remaining };
        replay::advance(&mut state.running, progress.clone());
        self.tell(state, Event::Progress(progress));
    }

    fn drew(&self, state: &mut State, work: &Work, picture: Picture, standing: JobState) {
        state.estimate.finish(work.device, Instant::now());
        state.leave(work);
        replay::finished(&mut state.history, &mut state.history_total, picture.clone());
        self.tell(state, Event::Finished(Box::new(picture)));
        self.tell_early(state, work.id, work.index);
        if let Some(status) = state.queue.drew(work.device, standing) {
            self.job(state, status);
        }
    }

    /// A picture is not drawn any more, and there is none.
    fn end_picture(&self, state: &mut State, work: &Work) {
        state.leave(work);
        self.tell(state, Event::Stopped { job: work.id, index: work.index });
        self.tell_early(state, work.id, work.index);
    }

    /// A job has changed.
    pub(super) fn job(&self, state: &mut State, status: JobStatus) {
        if matches!(status.state, JobState::Failed { .. }) {
            state.failed.insert(0, status.clone());
            shorten_failed(&mut state.failed);
        }
        state.due_grids.extend(grid_of(&status.job, &status.state));
        self.tell(state, Event::Job(status));
    }
}
