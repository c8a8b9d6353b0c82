//! The engine's thread: it holds the model, draws one picture at a time, and brings each into the
//! library. It is commanded through one channel and reports through another; what is drawn next is
//! not its to say.

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

use super::Models;
use super::queue::Work;
use super::store::Store;
use crate::engine::{Brief, Draw, Drawn, EngineError, Observer, Report as Reached};
use crate::job::{JobId, JobState, Picture, Recipe, Times};
use crate::library::{Folder, LibraryError, png};
use crate::model::ModelName;
use crate::wire::message::{EngineStatus, Preview, Stage};

/// How often the progress of a load is told.
const LOADING_EVERY: Duration = Duration::from_millis(50);

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
    /// How the picture looks.
    Preview(Preview),
    /// A model was loaded or freed.
    Engine(EngineStatus),
    /// A picture is in the library, and its job is in this state there.
    Drew(Box<Picture>, JobState),
    /// The picture was stopped because its flag was set.
    Stopped(JobId),
    /// The job cannot go on; the library has been told, and has it in this state.
    Ended(JobId, JobState),
}

/// What the thread works with.
#[derive(Clone)]
pub struct Painter {
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
}

/// The loaded model.
struct Loaded {
    name: ModelName,
    draw: Box<dyn Draw>,
    /// Seconds that loading took, until a picture has been charged with them.
    took: f64,
}

/// Why there is no picture.
enum Failure {
    Stopped,
    Reason(String),
}

impl From<LibraryError> for Failure {
    fn from(error: LibraryError) -> Self {
        Self::Reason(error.to_string())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Stopped => Self::Stopped,
            error => Self::Reason(error.to_string()),
        }
    }
}

impl Painter {
    /// Starts the thread. It ends when the channel of orders does.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(self) -> io::Result<(mpsc::Sender<Order>, thread::JoinHandle<()>)> {
        let (sender, orders) = mpsc::channel();
        let thread = thread::Builder::new().name("engine".into()).spawn(move || self.obey(&orders))?;
        Ok((sender, thread))
    }

    fn obey(&self, orders: &mpsc::Receiver<Order>) {
        let mut loaded = None;
        for order in orders {
            match order {
                Order::Draw(work, stop) => {
                    let report = self.draw(&mut loaded, &work, &stop);
                    self.tell(report);
                }
                Order::Free => self.free(&mut loaded),
            }
        }
        self.free(&mut loaded);
    }

    fn tell(&self, report: Report) {
        // Nobody listens any more when the worker is ending; the library has what matters.
        let _ = self.reports.send(report);
    }

    fn draw(&self, loaded: &mut Option<Loaded>, work: &Work, stop: &AtomicBool) -> Report {
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(loaded, work, stop)));
        let failure = match attempt {
            Ok(Ok((picture, state))) => return Report::Drew(Box::new(picture), state),
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
            Failure::Stopped if stop.load(Ordering::Relaxed) => return Report::Stopped(work.id),
            Failure::Stopped => "the engine stopped and nobody had asked it to".to_owned(),
            Failure::Reason(reason) => reason,
        };
        tracing::error!(job = work.id.0, index = work.index, %reason, "a job failed");
        Report::Ended(work.id, self.fail(work.id, reason))
    }

    /// Tells the library that a job failed, and says how it stands there.
    fn fail(&self, id: JobId, reason: String) -> JobState {
        let failed = JobState::Failed { reason };
        let state = failed.clone();
        let now = jiff::Timestamp::now().as_millisecond();
        match self.store.ask_and_wait(move |library| library.set_state(id, &state, now)) {
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
        drop(self.store.ask(move |library| library.set_state(id, &JobState::Running, now)));
        // Found out now rather than after minutes of drawing.
        self.folder.prepare(&Zoned::now(), work.job.size)?;
        let mut watcher = Watcher { painter: self, work, stop, told: None };
        self.load(loaded, &work.job.model, &mut watcher)?;
        let Some(engine) = loaded else { return Err(Failure::Stopped) };
        let brief = Brief {
            prompt: work.job.prompt.clone(),
            size: work.job.size,
            steps: work.job.steps(),
            guidance: work.job.guidance(),
            seed: work.seed,
        };
        let drawn = engine.draw.draw(&brief, &mut watcher)?;
        watcher.reached(Stage::Saving);
        let precision = format!("{}, {}", engine.draw.precision(), self.models.device());
        let saved = self.save(work, drawn, precision, engine.took)?;
        engine.took = 0.0;
        Ok(saved)
    }

    /// Makes sure that the model is the one that is loaded.
    fn load(
        &self,
        loaded: &mut Option<Loaded>,
        name: &ModelName,
        watcher: &mut Watcher<'_>,
    ) -> Result<(), Failure> {
        if loaded.as_ref().is_some_and(|loaded| loaded.name == *name) {
            return Ok(());
        }
        // One model at a time: two may not fit.
        self.free(loaded);
        let begun = Instant::now();
        let draw = self.models.load(name, watcher)?;
        let took = begun.elapsed().as_secs_f64();
        tracing::info!(model = %name, seconds = took, precision = draw.precision(), "loaded");
        let engine = loaded.insert(Loaded { name: name.clone(), draw, took });
        self.tell(Report::Engine(EngineStatus {
            device: self.models.device(),
            loaded: Some(engine.name.clone()),
            precision: Some(engine.draw.precision()),
        }));
        Ok(())
    }

    fn free(&self, loaded: &mut Option<Loaded>) {
        let Some(Loaded { name, draw, .. }) = loaded.take() else { return };
        if catch_unwind(AssertUnwindSafe(|| drop(draw))).is_err() {
            tracing::error!(model = %name, "freeing the model broke down");
        }
        tracing::info!(model = %name, "freed");
        self.tell(Report::Engine(EngineStatus { device: self.models.device(), ..EngineStatus::default() }));
    }

    /// Brings a picture into the library: noted, written, recorded.
    fn save(
        &self,
        work: &Work,
        drawn: Drawn,
        precision: String,
        load: f64,
    ) -> Result<(Picture, JobState), Failure> {
        let (job, index) = (work.id, work.index);
        let recipe = Recipe {
            prompt: work.job.prompt.clone(),
            model: work.job.model.clone(),
            size: work.job.size,
            steps: work.job.steps(),
            guidance: work.job.guidance(),
            seed: work.seed,
            precision,
            cuts: drawn.cuts,
            times: Times { load, ..drawn.times },
        };
        let png = png::encode(&drawn.rgb, &recipe).map_err(LibraryError::from)?;
        let at = Zoned::now();
        let path = self.store.ask_and_wait(move |library| library.intend(job, index, &recipe, &at))?;
        if let Err(error) = self.folder.write(&path, &png) {
            // The note does no harm: a later worker finds no file and forgets it.
            let _ = self.store.ask_and_wait(move |library| library.forget(job, index));
            return Err(error.into());
        }
        Ok(self.store.ask_and_wait(move |library| library.record(job, index))?)
    }
}

/// Follows one picture for the worker.
struct Watcher<'a> {
    painter: &'a Painter,
    work: &'a Work,
    stop: &'a AtomicBool,
    /// When the progress of a load was last told.
    told: Option<Instant>,
}

impl Watcher<'_> {
    fn reached(&self, stage: Stage) {
        self.painter.tell(Report::Reached { work: self.work.clone(), stage, at: Instant::now() });
    }

    fn loading(&mut self, done: u64, total: u64) {
        if done < total && self.told.is_some_and(|told| told.elapsed() < LOADING_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        self.reached(Stage::Loading { done, total });
    }
}

impl Observer for Watcher<'_> {
    fn report(&mut self, report: Reached<'_>) {
        match report {
            Reached::Loading { done, total } => self.loading(done, total),
            Reached::Encoding => self.reached(Stage::Encoding),
            Reached::Decoding => self.reached(Stage::Decoding),
            Reached::Step(at) => {
                self.reached(Stage::Drawing { step: at.step, steps: at.steps, sigma: at.sigma });
                if at.step == 0 || !self.painter.watched.load(Ordering::Relaxed) {
                    return;
                }
                let rgb = at.preview.rgb().into();
                match Preview::new(self.work.id, self.work.index, at.step, at.preview.size(), rgb) {
                    Ok(preview) => self.painter.tell(Report::Preview(preview)),
                    Err(error) => tracing::error!(%error, "a preview was dropped"),
                }
            }
        }
    }

    fn wants_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it did not say why")
}
