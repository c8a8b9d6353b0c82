//! An engine's thread, one a device: it holds the model, draws one picture at a time, and brings each
//! into the library. It is commanded through one channel and reports through another; what is drawn
//! next is not its to say.

#[cfg(debug_assertions)]
mod faulty;
mod watcher;

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Zoned;
use tokio::sync::mpsc::UnboundedSender;

use super::converting::Background;
use super::loras::{self, Hashes};
use super::queue::Work;
use super::store::Store;
use super::usage::Ledger;
use super::{Models, WorkerError, memory};
use crate::catalog::embedded_files;
use crate::device::{Device, LoadOptions};
use crate::engine::{Brief, Draw, Drawn, EngineError, Placement, Planned};
use crate::job::{Content, Job, JobError, JobId, JobState, Picture, Prompt, Recipe, Times};
use crate::library::{Folder, Library, LibraryError, png};
use crate::model::ModelName;
use crate::wire::message::{EngineStatus, Preview, Stage};
use watcher::Watcher;

/// What the thread is told to do.
#[derive(Debug)]
pub enum Order {
    /// Draw this, until the flag is set.
    Draw(Work, Arc<AtomicBool>),
    /// Free the model.
    Free,
}

/// What the thread tells.
#[derive(Debug)]
pub enum Report {
    /// A picture has reached a stage.
    Reached {
        /// Which picture.
        work: Work,
        /// Which stage.
        stage: Stage,
        /// When.
        at: Instant,
    },
    /// How the picture of a device looks.
    Preview(Device, Preview),
    /// A model was loaded, this having been asked for, or freed.
    Engine(EngineStatus, LoadOptions),
    /// A picture is in the library, and its job is in this state there.
    Drew(Work, Box<Picture>, JobState),
    /// The picture was stopped because its flag was set.
    Stopped(Work),
    /// The job cannot go on; the library has been told, and has it in this state.
    Ended(Work, JobState),
    /// There is no such thread, or none any more: the worker cannot go on.
    Lost(WorkerError),
}

/// What every thread works with.
#[derive(Clone)]
pub struct Supplies {
    /// Which models there are, and how they are loaded.
    pub models: Arc<dyn Models>,
    /// Where pictures are recorded.
    pub store: Store,
    /// Where pictures are written.
    pub folder: Folder,
    /// Where reports go.
    pub reports: UnboundedSender<Report>,
    /// Whether anybody wants previews.
    pub watched: Arc<AtomicBool>,
    /// How often it is kept how far a picture is; `None` for never.
    pub checkpoint_every: Option<Duration>,
    /// Whether what wide models become in fp8 is kept on disk.
    pub keep_converted: bool,
}

/// One thread, and its device.
struct Painter {
    supplies: Supplies,
    device: Device,
    ledger: Ledger,
    hashes: Hashes,
    background: Background,
}

/// The loaded model.
struct Loaded {
    name: ModelName,
    /// As it was asked for.
    options: LoadOptions,
    /// What its memory was planned for.
    picture: Planned,
    /// Whether it was loaded anew because memory had run out.
    cautious: bool,
    draw: Box<dyn Draw>,
    /// What its LoRAs hold of the card's memory, and what computes, as these were last told.
    loras: u64,
    told: String,
    /// Bytes of the card's memory that were in use before it was loaded.
    used_before: Option<u64>,
    /// Seconds that loading took, until a picture has been charged with them.
    took: f64,
}

impl Loaded {
    /// What computes, for a person.
    fn precision(&self) -> String {
        let again = if self.cautious { "; planned again, because memory had run out" } else { "" };
        self.draw.precision() + again
    }
}

/// Why there is no picture.
enum Failure {
    Stopped,
    /// It is the job's, or its model's.
    Reason(String),
    /// It is the device's.
    Device(String),
}

/// A job that was drawn each time that a device failed so often in a row fails too.
const DEVICE_FAILURES: u32 = 3;

impl From<LibraryError> for Failure {
    fn from(error: LibraryError) -> Self {
        Self::Reason(error.to_string())
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        Self::Reason(error.to_string())
    }
}

impl From<loras::UnusableLora> for Failure {
    fn from(error: loras::UnusableLora) -> Self {
        Self::Reason(error.to_string())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Stopped => Self::Stopped,
            error @ EngineError::Device { .. } => Self::Device(error.to_string()),
            error => Self::Reason(error.to_string()),
        }
    }
}

impl std::fmt::Debug for Supplies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supplies").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Supplies {
    /// Starts the thread of a device. It ends when the channel of orders does.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(&self, device: Device) -> io::Result<(mpsc::Sender<Order>, thread::JoinHandle<()>)> {
        let (sender, orders) = mpsc::channel();
        let ledger = Ledger::new(self.store.clone(), self.models.identity(device));
        let (hashes, background) = (Hashes::default(), Background::default());
        let painter = Painter { supplies: self.clone(), device, ledger, hashes, background };
        let name = format!("engine {device}");
        let thread = thread::Builder::new().name(name).spawn(move || painter.obey(&orders))?;
        Ok((sender, thread))
    }

    fn tell(&self, report: Report) {
        // Nobody listens any more when the worker is ending; the library has what matters.
        let _ = self.reports.send(report);
    }
}

impl Drop for Painter {
    /// Whatever breaks down in a picture is caught where it is drawn; nothing else should.
    fn drop(&mut self) {
        if thread::panicking() {
            self.supplies.tell(Report::Lost(WorkerError::EngineGone(self.device)));
        }
    }
}

impl Painter {
    fn obey(&self, orders: &mpsc::Receiver<Order>) {
        let mut loaded = None;
        for order in orders {
            match order {
                Order::Draw(work, stop) => {
                    let report = self.draw(&mut loaded, &work, &stop);
                    self.supplies.tell(report);
                }
                Order::Free => self.free(&mut loaded),
            }
        }
        self.free(&mut loaded);
    }

    fn draw(&self, loaded: &mut Option<Loaded>, work: &Work, stop: &AtomicBool) -> Report {
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(loaded, work, stop)));
        let failure = match attempt {
            Ok(Ok((picture, state))) => return Report::Drew(work.clone(), Box::new(picture), state),
            Ok(Err(failure)) => failure,
            Err(panic) => {
                // Whatever state it is in, nothing more is drawn with it.
                self.free(loaded);
                Failure::Reason(format!(
                    "the engine broke down: {}; the worker's log has more",
                    message(&*panic)
                ))
            }
        };
        let reason = match failure {
            Failure::Stopped if stop.load(Ordering::Relaxed) => return Report::Stopped(work.clone()),
            Failure::Stopped => "the engine stopped and nobody had asked it to".to_owned(),
            Failure::Reason(reason) => reason,
            Failure::Device(reason) => return self.device_failed(work, reason),
        };
        tracing::error!(job = work.id.0, index = work.index, device = %self.device, %reason, "a job failed");
        Report::Ended(work.clone(), self.fail(work.id, reason))
    }

    /// Whatever is on the device is lost, and this process can do nothing more with it: it ends on purpose, and the next
    /// goes on with the job, from its last checkpoint. A job that this happens to again and again fails.
    fn device_failed(&self, work: &Work, reason: String) -> Report {
        let id = work.id;
        let times = self.supplies.store.ask_and_wait(move |library| library.device_failed(id));
        tracing::error!(job = id.0, device = %self.device, %reason, ?times, "the device failed");
        if times.is_ok_and(|times| times >= DEVICE_FAILURES) {
            self.fail(
                id,
                format!("the device failed {DEVICE_FAILURES} times in a row while this was drawn; {reason}"),
            );
        }
        Report::Lost(WorkerError::DeviceFailed { device: self.device, reason })
    }

    /// Tells the library that a job failed, and says how it stands there.
    fn fail(&self, id: JobId, reason: String) -> JobState {
        let failed = JobState::Failed { reason };
        let state = failed.clone();
        let now = jiff::Timestamp::now().as_millisecond();
        match self.supplies.store.ask_and_wait(move |library| library.set_state(id, &state, now)) {
            Ok(state) => state.unwrap_or(failed),
            Err(error) => {
                tracing::error!(job = id.0, %error, "the failure could not be kept: the job is tried again by the next worker");
                failed
            }
        }
    }

    fn attempt(
        &self,
        loaded: &mut Option<Loaded>,
        work: &Work,
        stop: &AtomicBool,
    ) -> Result<(Picture, JobState), Failure> {
        let (id, now) = (work.id, jiff::Timestamp::now().as_millisecond());
        drop(self.supplies.store.ask(move |library| library.set_state(id, &JobState::Running, now)));
        // Found out now rather than after minutes of drawing.
        self.supplies.folder.prepare(&Zoned::now(), work.job.size)?;
        let mut watcher = Watcher { painter: self, work, stop, told: None, keeper: None, begun: 0 };
        // Found before anything is loaded.
        let job = work.job.at_seed(work.seed)?;
        let loras = loras::ready(self.supplies.models.as_ref(), &self.hashes, &job)?;
        let tagged = job.tagged();
        let brief = Brief {
            prompt: Prompt::new(tagged.text.as_str())?,
            size: work.job.size,
            steps: work.job.steps(),
            guidance: work.job.guidance(),
            seed: work.seed,
            loras,
        };
        self.load(loaded, &work.job, Planned::of(&brief), &mut watcher)?;
        let mut drawn = self.draw_or_plan_again(loaded, &work.job, &brief, &mut watcher)?;
        watcher.reached(Stage::Saving);
        // What was not read is told by its place in the prompt, tags and all.
        drawn.cuts.iter_mut().for_each(|cut| cut.cut_at = cut.cut_at.map(|at| tagged.in_prompt(at)));
        let Some(engine) = loaded else { return Err(Failure::Stopped) };
        self.tell_loras(engine);
        let precision = format!("{}, {}", engine.precision(), self.about());
        let usage = drawn.usage;
        let (picture, state) = self.save(work, &job, &brief, drawn, precision, engine.took)?;
        engine.took = 0.0;
        if let Some(usage) = usage {
            self.ledger.keep(picture.id, usage, engine.used_before);
        }
        if self.supplies.keep_converted && engine.draw.rounded() {
            self.background.keep(&self.supplies.models, &engine.name);
        }
        Ok((picture, state))
    }

    /// Draws. Where memory does not suffice the model is loaded again, once: planned for this size, if it was planned
    /// for a smaller one, and otherwise with more left to whoever else uses the card. The picture goes on from its
    /// last checkpoint then.
    fn draw_or_plan_again(
        &self,
        loaded: &mut Option<Loaded>,
        job: &Job,
        brief: &Brief,
        watcher: &mut Watcher<'_>,
    ) -> Result<Drawn, Failure> {
        let Some(engine) = loaded else { return Err(Failure::Stopped) };
        let error = match watcher.draw(engine, brief) {
            Err(error @ EngineError::OutOfMemory { .. }) => error,
            Err(error @ EngineError::Load { .. }) => {
                // It was still arriving, and will not.
                self.free(loaded);
                return Err(error.into());
            }
            drawn => return Ok(drawn?),
        };
        let picture = Planned::of(brief);
        let foreseen = engine.picture.covers(&picture);
        if foreseen && engine.cautious {
            return Err(error.into());
        }
        tracing::warn!(device = %self.device, %error, foreseen, "planning again");
        self.free(loaded);
        self.load_for(loaded, job, picture, foreseen, watcher)?;
        let Some(engine) = loaded else { return Err(Failure::Stopped) };
        Ok(watcher.draw(engine, brief)?)
    }

    /// Makes sure that the model is the one that is loaded, as it is asked for.
    fn load(
        &self,
        loaded: &mut Option<Loaded>,
        job: &Job,
        picture: Planned,
        watcher: &mut Watcher<'_>,
    ) -> Result<(), Failure> {
        let (name, options) = (&job.model, job.load);
        if loaded.as_ref().is_some_and(|loaded| (&loaded.name, loaded.options) == (name, options)) {
            return Ok(());
        }
        // One model at a time: two may not fit.
        self.free(loaded);
        self.load_for(loaded, job, picture, false, watcher)
    }

    fn load_for(
        &self,
        loaded: &mut Option<Loaded>,
        job: &Job,
        picture: Planned,
        cautious: bool,
        watcher: &mut Watcher<'_>,
    ) -> Result<(), Failure> {
        let (name, options, begun) = (&job.model, job.load, Instant::now());
        let (used_before, learned) = (self.ledger.used(), self.ledger.learned(job));
        let on = Placement { device: self.device, options, picture, cautious, learned };
        let draw = self.supplies.models.load(name, &on, watcher)?;
        #[cfg(debug_assertions)]
        let draw: Box<dyn Draw> = Box::new(faulty::Faulty(draw));
        let took = begun.elapsed().as_secs_f64();
        let (name_of, told) = (name.clone(), String::new());
        let mut engine =
            Loaded { name: name_of, options, picture, cautious, draw, loras: 0, told, used_before, took };
        let precision = engine.precision();
        engine.told.clone_from(&precision);
        tracing::info!(model = %name, device = %self.device, seconds = took, precision, "loaded");
        self.supplies.tell(Report::Engine(self.status(&engine), options));
        *loaded = Some(engine);
        Ok(())
    }

    fn status(&self, engine: &Loaded) -> EngineStatus {
        EngineStatus {
            loaded: Some(engine.name.clone()),
            precision: Some(engine.precision()),
            memory: engine.draw.memory(),
            shares: engine.draw.shares(),
            loras: engine.loras,
            ..EngineStatus::idle(self.device, self.about())
        }
    }

    /// Tells what LoRAs hold of the card's memory beside the model, and how they are added, if either is another than before.
    fn tell_loras(&self, engine: &mut Loaded) {
        let bytes = engine.draw.lora_bytes();
        let precision = engine.precision();
        let same = std::mem::replace(&mut engine.loras, bytes) == bytes && engine.told == precision;
        engine.told = precision;
        if !same {
            self.supplies.tell(Report::Engine(self.status(engine), engine.options));
        }
    }

    fn free(&self, loaded: &mut Option<Loaded>) {
        let Some(Loaded { name, options, draw, .. }) = loaded.take() else { return };
        if catch_unwind(AssertUnwindSafe(|| drop(draw))).is_err() {
            tracing::error!(model = %name, device = %self.device, "freeing the model broke down");
        }
        memory::give_back(embedded_files());
        tracing::info!(model = %name, device = %self.device, "freed");
        self.supplies.tell(Report::Engine(EngineStatus::idle(self.device, self.about()), options));
    }

    /// The device, for a person.
    fn about(&self) -> String {
        self.supplies.models.describe(self.device)
    }

    /// Brings a picture into the library: noted, written, recorded.
    fn save(
        &self,
        work: &Work,
        at_seed: &Job,
        brief: &Brief,
        drawn: Drawn,
        precision: String,
        load: f64,
    ) -> Result<(Picture, JobState), Failure> {
        let (job, index) = (work.id, work.index);
        let recipe = Recipe {
            prompt: at_seed.prompt.clone(),
            template: (at_seed.prompt != work.job.prompt).then(|| work.job.prompt.clone()),
            model: work.job.model.clone(),
            size: work.job.size,
            steps: work.job.steps(),
            guidance: work.job.guidance(),
            seed: work.seed,
            precision,
            cuts: drawn.cuts,
            times: Times { load: load + drawn.times.load, ..drawn.times },
            loras: loras::used(work, at_seed, &brief.loras, drawn.unapplied),
        };
        let png = png::encode(&drawn.rgb, &recipe).map_err(LibraryError::from)?;
        let (at, content) = (Zoned::now(), Content::of(&png));
        let intend = move |library: &mut Library| library.intend(job, index, &recipe, content, &at);
        let path = self.supplies.store.ask_and_wait(intend)?;
        if let Err(error) = self.supplies.folder.write(&path, &png) {
            // The note does no harm: a later worker finds no file and forgets it.
            let _ = self.supplies.store.ask_and_wait(move |library| library.forget(job, index));
            return Err(error.into());
        }
        Ok(self.supplies.store.ask_and_wait(move |library| library.record(job, index))?)
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it did not say why")
}
