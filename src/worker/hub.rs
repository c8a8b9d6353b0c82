//! What everybody in the worker shares: the queue, what clients show, and who the clients are.
//! Every method is one step that nothing else comes between, so a snapshot and the events after it
//! never disagree. Reading and writing (socket, library, engine) is done by others.

mod changes;
mod checks;
mod fetches;
mod grids;
mod pictures;
mod removal;
mod reports;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::Notify;

use super::Models;
use super::checker::Checker;
use super::engines::Engines;
use super::estimate::Estimate;
use super::fetcher::Fetcher;
use super::idle::{Due, Idle};
use super::outbox::{Kind, Outbox};
use super::painter::Order;
use super::queue::{Loaded, Place, Queue, Unfinished, Work};
use crate::device::Device;
use crate::gpu::Readings;
use crate::job::grid::GridId;
use crate::job::{JobId, JobState, JobStatus, Picture, Rebuilt};
use crate::library::Changed;
use crate::model::ModelName;
use crate::wire::frame::{self, REPLY_MAX};
use crate::wire::message::{
    Drawing, EngineStatus, Event, Refusal, Running, Snapshot, ToClient, WorkerInfo, WorkerStatus,
};
use crate::wire::replay::{self, shorten_failed, shorten_history};
use checks::Checks;
use fetches::Fetches;

/// What the library had when the worker began.
#[derive(Debug, Default)]
pub struct Restored {
    /// Jobs that are not over, and can be drawn here.
    pub jobs: Vec<Unfinished>,
    /// Whether nothing is to be begun.
    pub paused: bool,
    /// Jobs that failed, the latest first.
    pub failed: Vec<JobStatus>,
    /// The newest pictures.
    pub history: Vec<Picture>,
    /// How many there are.
    pub history_total: u64,
    /// Models that are still to be fetched, in order.
    pub wanted: Vec<ModelName>,
    /// Grids without a contact sheet.
    pub grids: Vec<GridId>,
    /// What a person has to be told, if it was damaged.
    pub rebuilt: Option<Rebuilt>,
}

/// What the hub reaches the rest by.
#[derive(Debug)]
pub struct Lines {
    /// To the engines' threads.
    pub engines: Engines,
    /// Whether anybody subscribes: previews and readings are taken only then.
    pub watched: Arc<AtomicBool>,
    /// Asks for readings now.
    pub nudge: mpsc::Sender<()>,
    /// To the thread that fetches a model.
    pub fetcher: Fetcher,
    /// To the thread that checks a model.
    pub checker: Checker,
}

/// The shared state of a worker.
pub struct Hub {
    info: WorkerInfo,
    models: Arc<dyn Models>,
    devices: Vec<Device>,
    rebuilt: Option<Rebuilt>,
    lines: Lines,
    state: RefCell<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    failed: Vec<JobStatus>,
    running: Vec<Running>,
    history: Vec<Picture>,
    history_total: u64,
    /// Changes of pictures that are in the library and were not told of as finished yet.
    early: Vec<Changed>,
    engines: Vec<EngineStatus>,
    loaded: Loaded,
    readings: Option<Readings>,
    members: HashMap<u64, Member>,
    last_member: u64,
    estimate: Estimate,
    idle: Idle,
    fetches: Fetches,
    checks: Checks,
    /// Grids whose cells may all be over.
    due_grids: BTreeSet<GridId>,
    /// A model whose files are being removed.
    removing: Option<ModelName>,
    /// Set to stop what a device draws.
    stops: BTreeMap<Device, Arc<AtomicBool>>,
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
    /// A worker on these devices, the best first, with what the library had and with nothing loaded.
    #[must_use]
    pub fn new(
        info: WorkerInfo,
        models: Arc<dyn Models>,
        devices: Vec<Device>,
        restored: Restored,
        idle: Idle,
        lines: Lines,
    ) -> Self {
        let Restored { jobs, paused, mut failed, mut history, history_total, wanted, grids, rebuilt } =
            restored;
        shorten_failed(&mut failed);
        shorten_history(&mut history);
        let engine = |device: &Device| EngineStatus::idle(*device, models.describe(*device));
        let mut queue = Queue::restore(devices.clone(), jobs);
        queue.pause(paused);
        let state = State {
            queue,
            failed,
            running: Vec::new(),
            history,
            history_total,
            early: Vec::new(),
            engines: devices.iter().map(engine).collect(),
            loaded: Loaded::new(),
            readings: None,
            members: HashMap::new(),
            last_member: 0,
            estimate: Estimate::default(),
            idle,
            fetches: Fetches::restore(wanted),
            checks: Checks::default(),
            due_grids: grids.into_iter().collect(),
            removing: None,
            stops: BTreeMap::new(),
            stopping: false,
            pending: 0,
        };
        Self { info, models, devices, rebuilt, lines, state: RefCell::new(state), changed: Notify::new() }
    }

    /// Begins what waits, as far as devices are free.
    pub fn begin(&self) {
        self.settle(&mut self.state.borrow_mut());
    }

    /// Who this worker is.
    #[must_use]
    pub fn info(&self) -> &WorkerInfo {
        &self.info
    }

    /// Whether a job for a model can be taken now: a person may have added it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, model: &ModelName) -> Result<(), Refusal> {
        if self.is_removing(model) {
            return Err(Refusal::LackingModel(format!("{model} is being removed")));
        }
        self.models.check(model)
    }

    /// Which devices there are, the best first.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
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
            models: self.models.infos(),
            engines: state.engines.clone(),
            jobs: state.queue.jobs().chain(&state.failed).cloned().collect(),
            paused: state.queue.is_paused(),
            running: state.running.clone(),
            history: state.history.clone(),
            history_total: state.history_total,
            readings: state.readings.clone(),
            fetches: state.fetches.list().to_vec(),
            checks: state.checks.list().to_vec(),
            rebuilt: self.rebuilt.clone(),
        }
    }

    /// Who this worker is and what it does.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        let state = self.state.borrow();
        let drawing = |running: &Running| {
            let progress = running.progress.clone();
            let prompt = state.queue.job(progress.job)?.job.prompt.clone();
            Some(Drawing { progress, prompt })
        };
        WorkerStatus {
            worker: self.info.clone(),
            engines: state.engines.clone(),
            queued: state.queue.jobs().filter(|job| job.state == JobState::Queued).count(),
            paused: state.queue.is_paused(),
            running: state.running.iter().filter_map(drawing).collect(),
            pictures: state.history_total,
            clients: state.members.len(),
            readings: state.readings.clone(),
            fetches: state.fetches.list().to_vec(),
            checks: state.checks.list().to_vec(),
            rebuilt: self.rebuilt.clone(),
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
        if let Some(status) = state.queue.cancelled(id) {
            self.job(&mut state, status);
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

    /// New readings.
    pub fn readings(&self, readings: Readings) {
        let mut state = self.state.borrow_mut();
        state.readings = Some(readings.clone());
        self.tell_of(&state, Kind::Readings, Event::Readings(readings));
    }

    /// The LoRAs in the folders may be others.
    pub fn loras_changed(&self) {
        self.tell(&self.state.borrow(), Event::Loras);
    }

    /// What is to be done about having nothing to do, and when.
    #[must_use]
    pub fn idle(&self) -> Option<(Due, Instant)> {
        self.state.borrow().idle.next()
    }

    /// Frees every model.
    pub fn free(&self) {
        let mut state = self.state.borrow_mut();
        tracing::info!("no work for a while: freeing what is loaded");
        self.lines.engines.free();
        crate::engine::let_tokenizers_go();
        // The threads say so again when they have; until then they are not to be asked twice.
        state.loaded.clear();
        let holding = state.engines.iter_mut().filter(|engine| engine.loaded.is_some());
        let freed: Vec<EngineStatus> = holding
            .map(|engine| {
                *engine = EngineStatus::idle(engine.device, std::mem::take(&mut engine.about));
                engine.clone()
            })
            .collect();
        freed.into_iter().for_each(|engine| self.tell(&state, Event::Engine(engine)));
        self.settle(&mut state);
    }

    /// Begins to end: nothing new is begun and what is being drawn is stopped. How many jobs stay.
    pub fn stop(&self) -> usize {
        let mut state = self.state.borrow_mut();
        self.begin_to_end(&mut state);
        state.queue.len()
    }

    fn begin_to_end(&self, state: &mut State) {
        state.stopping = true;
        state.stops.values().for_each(|stop| stop.store(true, Ordering::Relaxed));
        state.fetches.stop();
        state.checks.stop();
        self.changed.notify_one();
    }

    /// Begins no other job, and ends when those that have been begun are done. How many those are.
    pub fn retire(&self) -> usize {
        let mut state = self.state.borrow_mut();
        let begun = state.queue.begin_no_more();
        self.settle(&mut state);
        begun
    }

    /// Whether the worker is ending.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.state.borrow().stopping
    }

    /// Whether nothing is being drawn, fetched or checked and no request is being carried out.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let state = self.state.borrow();
        state.queue.is_still() && state.fetches.is_still() && state.checks.is_still() && state.pending == 0
    }

    /// Has the engines' threads end, and gives what is to be waited for.
    #[must_use]
    pub fn end_engines(&self) -> Vec<JoinHandle<()>> {
        self.lines.engines.end()
    }

    /// Whether something is being drawn.
    #[must_use]
    pub fn is_drawing(&self) -> bool {
        !self.state.borrow().queue.is_still()
    }

    /// Whether there is neither work nor a client.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        let state = self.state.borrow();
        state.queue.is_empty() && state.fetches.open() + state.checks.open() == 0 && state.members.is_empty()
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

    /// Tells every subscriber of something that is not to be missed.
    fn tell(&self, state: &State, event: Event) {
        self.tell_of(state, Kind::Status, event);
    }

    fn tell_of(&self, state: &State, kind: Kind, event: Event) {
        let mut subscribers = state.members.values().filter(|member| member.subscribed).peekable();
        if subscribers.peek().is_none() {
            return;
        }
        match frame::encode(&ToClient::Event(event), REPLY_MAX) {
            Ok(frame) => subscribers.for_each(|member| member.outbox.tell(kind, frame.clone())),
            Err(error) => tracing::error!(%error, "an event could not be told"),
        }
    }

    /// Brings everything that follows from a change about: what is stopped, what is drawn next, who
    /// watches, how idle.
    fn settle(&self, state: &mut State) {
        for device in state.queue.in_vain() {
            state.stops.get(&device).into_iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
        }
        while !state.stopping
            && let Some((work, begun)) = state.queue.begin(&state.loaded)
        {
            let stop = Arc::new(AtomicBool::new(false));
            state.stops.insert(work.device, Arc::clone(&stop));
            self.lines.engines.order(work.device, Order::Draw(work, stop));
            if let Some(status) = begun {
                self.tell(state, Event::Job(status));
            }
        }
        if state.queue.is_done() && !state.stopping {
            tracing::info!("another version takes over: what was begun is done");
            self.begin_to_end(state);
        }
        let watched = state.members.values().any(|member| member.subscribed);
        self.lines.watched.store(watched, Ordering::Relaxed);
        self.begin_fetch(state);
        self.begin_check(state);
        // A model that is fetched or checked keeps the worker as a client does.
        let clients = state.members.len() + state.fetches.open() + state.checks.open();
        // A paused queue is no work: its jobs wait in the library.
        let busy = !state.queue.is_still() || !state.queue.is_empty() && !state.queue.is_paused();
        state.idle.observe(busy, clients, !state.loaded.is_empty(), Instant::now());
        self.changed.notify_one();
    }
}

impl State {
    /// A picture is not drawn any more.
    fn leave(&mut self, work: &Work) {
        replay::leave(&mut self.running, work.id, work.index);
        self.estimate.abandon(work.device);
        self.stops.remove(&work.device);
        // A slow client must not see it after the picture itself.
        self.members.values().for_each(|member| member.outbox.forget_preview(work.device));
    }
}
