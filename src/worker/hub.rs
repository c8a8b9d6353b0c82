//! What everybody in the worker shares: the queue, what clients show, and who the clients are.
//! Every method is one step that nothing else comes between, so a snapshot and the events after it
//! never disagree. Reading and writing (socket, library, engine) is done by others.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use tokio::sync::Notify;

use super::estimate::Estimate;
use super::idle::{Due, Idle};
use super::outbox::{Kind, Outbox};
use super::painter::{Order, Report};
use super::queue::{Place, Queue, Work};
use crate::gpu::Readings;
use crate::job::{JobId, JobState, JobStatus, Picture, Prompt};
use crate::model::ModelInfo;
use crate::wire::frame::{self, REPLY_MAX};
use crate::wire::message::{
    EngineStatus, Event, Preview, Progress, Snapshot, Stage, ToClient, WorkerInfo, WorkerStatus,
};
use crate::wire::replay::{shorten_failed, shorten_history};

/// What the library had when the worker began.
#[derive(Debug, Default)]
pub struct Restored {
    /// Jobs that are not over.
    pub jobs: Vec<JobStatus>,
    /// Jobs that failed, the latest first.
    pub failed: Vec<JobStatus>,
    /// The newest pictures.
    pub history: Vec<Picture>,
    /// How many there are.
    pub history_total: u64,
}

/// What the hub reaches the rest by.
#[derive(Debug)]
pub struct Lines {
    /// To the engine's thread.
    pub orders: mpsc::Sender<Order>,
    /// Whether anybody subscribes: previews and readings are taken only then.
    pub watched: Arc<AtomicBool>,
    /// Asks for readings now.
    pub nudge: mpsc::Sender<()>,
}

/// The shared state of a worker.
#[derive(Debug)]
pub struct Hub {
    info: WorkerInfo,
    models: Vec<ModelInfo>,
    lines: Lines,
    state: RefCell<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    failed: Vec<JobStatus>,
    progress: Option<Progress>,
    preview: Option<Preview>,
    history: Vec<Picture>,
    history_total: u64,
    engine: EngineStatus,
    readings: Option<Readings>,
    members: HashMap<u64, Member>,
    last_member: u64,
    estimate: Estimate,
    idle: Idle,
    /// Set to stop what is being drawn.
    stop: Option<Arc<AtomicBool>>,
    stopping: bool,
    /// Requests that are being carried out.
    pending: usize,
}

#[derive(Debug)]
struct Member {
    outbox: Rc<Outbox>,
    subscribed: bool,
}

impl Hub {
    /// A worker with what the library had, and with nothing loaded.
    #[must_use]
    pub fn new(
        info: WorkerInfo,
        models: Vec<ModelInfo>,
        device: String,
        restored: Restored,
        idle: Idle,
        lines: Lines,
    ) -> Self {
        let Restored { jobs, mut failed, mut history, history_total } = restored;
        shorten_failed(&mut failed);
        shorten_history(&mut history);
        let state = State {
            queue: Queue::restore(jobs),
            failed,
            progress: None,
            preview: None,
            history,
            history_total,
            engine: EngineStatus { device, ..EngineStatus::default() },
            readings: None,
            members: HashMap::new(),
            last_member: 0,
            estimate: Estimate::default(),
            idle,
            stop: None,
            stopping: false,
            pending: 0,
        };
        Self { info, models, lines, state: RefCell::new(state), changed: Notify::new() }
    }

    /// Begins the first job that waits, if there is one.
    pub fn begin(&self) {
        self.settle(&mut self.state.borrow_mut());
    }

    /// Who this worker is.
    #[must_use]
    pub fn info(&self) -> &WorkerInfo {
        &self.info
    }

    /// Which models there are.
    #[must_use]
    pub fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    /// A client has come: its number, and what it is to be sent.
    pub fn join(&self) -> (u64, Rc<Outbox>) {
        let mut state = self.state.borrow_mut();
        state.last_member += 1;
        let (number, outbox) = (state.last_member, Rc::new(Outbox::default()));
        state.members.insert(number, Member { outbox: Rc::clone(&outbox), subscribed: false });
        self.settle(&mut state);
        (number, outbox)
    }

    /// A client has gone.
    pub fn leave(&self, number: u64) {
        let mut state = self.state.borrow_mut();
        state.members.remove(&number);
        self.settle(&mut state);
    }

    /// All that there is to show; this client hears of every change from now on.
    pub fn subscribe(&self, number: u64) -> Snapshot {
        let mut state = self.state.borrow_mut();
        if let Some(member) = state.members.get_mut(&number) {
            member.subscribed = true;
        }
        self.settle(&mut state);
        let _ = self.lines.nudge.send(());
        Snapshot {
            worker: self.info.clone(),
            models: self.models.clone(),
            engine: state.engine.clone(),
            jobs: state.queue.jobs().chain(&state.failed).cloned().collect(),
            progress: state.progress.clone(),
            preview: state.preview.clone(),
            history: state.history.clone(),
            history_total: state.history_total,
            readings: state.readings.clone(),
        }
    }

    /// Who this worker is and what it does.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        let state = self.state.borrow();
        let drawing = state.queue.drawing();
        WorkerStatus {
            worker: self.info.clone(),
            engine: state.engine.clone(),
            queued: state.queue.jobs().filter(|job| job.state == JobState::Queued).count(),
            running: state.progress.clone(),
            prompt: drawing.map(|job| Prompt::clone(&job.job.prompt)),
            pictures: state.history_total,
            clients: state.members.len(),
            readings: state.readings.clone(),
        }
    }

    /// Whether a job with a prompt of so many bytes may be added; if not, how many jobs wait.
    ///
    /// # Errors
    /// How many jobs wait.
    pub fn has_room(&self, prompt: usize) -> Result<(), usize> {
        let state = self.state.borrow();
        if state.queue.has_room(prompt) { Ok(()) } else { Err(state.queue.len()) }
    }

    /// A job is in the library.
    pub fn accepted(&self, status: JobStatus) {
        let mut state = self.state.borrow_mut();
        state.queue.accept(status.clone());
        self.tell(&state, Event::Job(status));
        self.settle(&mut state);
    }

    /// Somebody asks to cancel a job: it is not begun until the library has answered. Where it is,
    /// if it is not over.
    pub fn withhold(&self, id: JobId) -> Option<Place> {
        self.state.borrow_mut().queue.withhold(id)
    }

    /// The library could not be told: the job goes on.
    pub fn release(&self, id: JobId) {
        let mut state = self.state.borrow_mut();
        state.queue.release(id);
        self.settle(&mut state);
    }

    /// The library has the job as cancelled.
    pub fn cancelled(&self, id: JobId) {
        let mut state = self.state.borrow_mut();
        match state.queue.cancelled(id) {
            Some(status) => self.job(&mut state, status),
            None if state.queue.drawing().is_some_and(|job| job.id == id) => state.stop_drawing(),
            None => {}
        }
        self.settle(&mut state);
    }

    /// A request is being carried out: the worker does not end until it has been answered.
    pub fn request_begun(&self) {
        self.state.borrow_mut().pending += 1;
    }

    /// … and has been.
    pub fn request_ended(&self) {
        self.state.borrow_mut().pending -= 1;
        self.changed.notify_one();
    }

    /// The engine's thread has something to tell. Returns the job that went back into the queue.
    pub fn report(&self, report: Report) -> Option<JobId> {
        let mut state = self.state.borrow_mut();
        let mut back = None;
        match report {
            Report::Reached { work, stage, at } => self.reached(&mut state, &work, stage, at),
            Report::Preview(preview) => {
                state.preview = Some(preview.clone());
                self.tell(&state, Event::Preview(preview));
            }
            Report::Engine(engine) => {
                state.engine = engine.clone();
                self.tell(&state, Event::Engine(engine));
            }
            Report::Drew(picture, standing) => self.drew(&mut state, *picture, standing),
            Report::Stopped(id) => {
                state.end_picture();
                if let Some(status) = state.queue.stopped(id) {
                    back = (!status.state.is_over()).then_some(id);
                    self.job(&mut state, status);
                }
            }
            Report::Ended(id, standing) => {
                state.end_picture();
                if let Some(status) = state.queue.ended(id, standing) {
                    self.job(&mut state, status);
                }
            }
        }
        self.settle(&mut state);
        back
    }

    fn reached(&self, state: &mut State, work: &Work, stage: Stage, at: Instant) {
        let Work { id, job, index, seed } = work;
        let is_new = state.progress.as_ref().is_none_or(|now| (now.job, now.index) != (*id, *index));
        if is_new {
            state.preview = None;
            state.estimate.begin(job.model.clone(), job.size, job.steps(), at);
        }
        let (elapsed, remaining) = state.estimate.reach(&stage, at);
        let progress = Progress { job: *id, index: *index, seed: *seed, stage, elapsed, remaining };
        state.progress = Some(progress.clone());
        self.tell(state, Event::Progress(progress));
    }

    fn drew(&self, state: &mut State, picture: Picture, standing: JobState) {
        state.estimate.finish(Instant::now());
        state.end_picture();
        let id = picture.job;
        state.history.insert(0, picture.clone());
        shorten_history(&mut state.history);
        state.history_total += 1;
        self.tell(state, Event::Finished(Box::new(picture)));
        if let Some(status) = state.queue.drew(id, standing) {
            self.job(state, status);
        }
    }

    /// A job has changed.
    fn job(&self, state: &mut State, status: JobStatus) {
        if matches!(status.state, JobState::Failed { .. }) {
            state.failed.insert(0, status.clone());
            shorten_failed(&mut state.failed);
        }
        self.tell(state, Event::Job(status));
    }

    /// New readings.
    pub fn readings(&self, readings: Readings) {
        let mut state = self.state.borrow_mut();
        state.readings = Some(readings.clone());
        self.tell(&state, Event::Readings(readings));
    }

    /// What is to be done about having nothing to do, and when.
    #[must_use]
    pub fn idle(&self) -> Option<(Due, Instant)> {
        self.state.borrow().idle.next()
    }

    /// Frees the model.
    pub fn free(&self) {
        let mut state = self.state.borrow_mut();
        tracing::info!("no work for a while: freeing the model");
        let _ = self.lines.orders.send(Order::Free);
        // The engine's thread says so again when it has; until then it is not to be asked twice.
        state.engine = EngineStatus { device: state.engine.device.clone(), ..EngineStatus::default() };
        self.tell(&state, Event::Engine(state.engine.clone()));
        self.settle(&mut state);
    }

    /// Begins to end: nothing new is begun and what is being drawn is stopped. How many jobs stay.
    pub fn stop(&self) -> usize {
        let mut state = self.state.borrow_mut();
        state.stopping = true;
        state.stop_drawing();
        self.changed.notify_one();
        state.queue.len()
    }

    /// Whether the worker is ending.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.state.borrow().stopping
    }

    /// Whether nothing is being drawn and no request is being carried out.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let state = self.state.borrow();
        state.queue.drawing().is_none() && state.pending == 0
    }

    /// Whether there is neither work nor a client.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        let state = self.state.borrow();
        state.queue.is_empty() && state.members.is_empty()
    }

    /// How many clients there are.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.state.borrow().members.len()
    }

    /// Tells all that the worker ends, and that nothing more will come.
    pub fn farewell(&self) {
        let state = self.state.borrow();
        self.tell(&state, Event::Ending);
        for member in state.members.values() {
            member.outbox.close();
        }
    }

    /// Waits until something has changed that the worker's main loop may have to act on.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Tells every subscriber.
    fn tell(&self, state: &State, event: Event) {
        let kind = match event {
            Event::Preview(_) => Kind::Preview,
            Event::Readings(_) => Kind::Readings,
            _ => Kind::Status,
        };
        let mut subscribers = state.members.values().filter(|member| member.subscribed).peekable();
        if subscribers.peek().is_none() {
            return;
        }
        match frame::encode(&ToClient::Event(event), REPLY_MAX) {
            Ok(frame) => subscribers.for_each(|member| member.outbox.tell(kind, frame.clone())),
            Err(error) => tracing::error!(%error, "an event could not be told"),
        }
    }

    /// Brings everything that follows from a change about: the next picture, who watches, how idle.
    fn settle(&self, state: &mut State) {
        if !state.stopping
            && let Some((work, begun)) = state.queue.begin()
        {
            let stop = Arc::new(AtomicBool::new(false));
            state.stop = Some(Arc::clone(&stop));
            // The thread is gone only when the worker is ending, and the main loop sees that.
            let _ = self.lines.orders.send(Order::Draw(work, stop));
            if let Some(status) = begun {
                self.tell(state, Event::Job(status));
            }
        }
        let watched = state.members.values().any(|member| member.subscribed);
        self.lines.watched.store(watched, Ordering::Relaxed);
        let (clients, loaded) = (state.members.len(), state.engine.loaded.is_some());
        state.idle.observe(!state.queue.is_empty(), clients, loaded, Instant::now());
        self.changed.notify_one();
    }
}

impl State {
    fn end_picture(&mut self) {
        self.progress = None;
        self.preview = None;
        self.estimate.abandon();
        self.stop = None;
        // A slow client must not see it after the picture itself.
        self.members.values().for_each(|member| member.outbox.forget_preview());
    }

    fn stop_drawing(&self) {
        if let Some(stop) = &self.stop {
            stop.store(true, Ordering::Relaxed);
        }
    }
}
