//! The worker: the process that owns the models, the queue and the library, and serves clients over
//! a Unix socket. It outlives them.
//!
//! ```text
//! session (one client) ──> hub (queue, what is shown) ──> painters (an engine's thread a device)
//!        │                        ▲        reports ───────────────┘ │
//!        └──> store (the library's thread) <──── note, record ──────┘
//!   fetcher, checker (a thread a model, one at a time) ──> reports ──> hub
//! ```
//!
//! Sessions and the hub live on one thread and share plain state; each device's engine, the library
//! and the readings have a thread each and are spoken to through channels. `queue`, `estimate` and `idle`
//! are pure.

mod answer;
mod change;
mod checker;
mod checkpoint;
mod converting;
mod copies;
mod costs;
mod daemon;
mod details;
mod engines;
mod estimate;
mod fetcher;
mod fetching;
mod files;
mod grids;
mod held;
mod hub;
mod idle;
mod log;
mod lora_list;
mod lora_watch;
mod loras;
mod memory;
mod models;
mod outbox;
mod painter;
mod peer;
mod pictures;
mod queue;
mod readings;
mod recognise;
mod serve;
mod session;
mod standing;
mod store;
mod thumbnail;
mod tokens;
mod usage;
mod wanted;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use converting::Unkept;
pub use details::{details, facts, facts_of, part_places};
pub use fetching::{Tell, Unfetched, fetch_files};
pub use files::{
    Known, TellCheck, check_files, file_here, files_here, needed_places, places_of, plan as plan_removal_of,
    told as removal_told, with_companions,
};
pub use lora_list::{KnownLoras, Looking};
pub use loras::UnusableLora;
pub use models::{Catalogued, NoModel, Ready, find, lora_files, search};
pub use pictures::{News, answer as library_answer};
pub use recognise::Recogniser;
pub use serve::serve;
pub use standing::weight_bytes;

use crate::config::{Lapse, WorkerConfig};
use crate::device::{Device, Share};
use crate::engine::converted::Kept;
use crate::engine::{Draw, EngineError, Observer, Placement};
use crate::fetch::Cancel;
use crate::job::TokenCount;
use crate::job::costs::Planned;
use crate::library::LibraryError;
use crate::model::{ModelInfo, ModelName};
use crate::paths::Paths;
use crate::wire::loras::LoraList;
use crate::wire::message::{FileCheck, ModelDetails, ModelState, Refusal, RemovalPlan, Standing};

/// Which models a worker has, and how they come into memory. The program's are [`Catalogued`];
/// tests have their own.
pub trait Models: Send + Sync {
    /// Which can be drawn with now; the first is the default.
    fn infos(&self) -> Vec<ModelInfo>;
    /// Whether a job for a model can be taken.
    ///
    /// # Errors
    /// Why not.
    fn check(&self, name: &ModelName) -> Result<(), Refusal> {
        let models = self.infos();
        if models.iter().any(|info| info.name == *name) {
            return Ok(());
        }
        let known = models.iter().map(|info| info.name.as_str()).collect::<Vec<_>>().join(", ");
        Err(Refusal::UnknownModel { name: name.to_string(), known })
    }
    /// Every model that is known, and what there is of it; it may look through folders.
    fn states(&self) -> Vec<ModelState> {
        let ready = |info| ModelState { info, bytes: 0, standing: Standing::Ready };
        self.infos().into_iter().map(ready).collect()
    }
    /// Fetches what is missing of a model, until it is there or failed. Called on a thread of its own.
    ///
    /// # Errors
    /// Why it did not come. What has come is kept, and gone on with the next time.
    fn fetch(&self, name: &ModelName, _tell: &Tell<'_>, _cancel: &Cancel) -> Result<(), Unfetched> {
        Err(Refusal::NothingToFetch(name.clone()).into())
    }
    /// What the files of a model are, by their headers; it may look through folders.
    ///
    /// # Errors
    /// Why that cannot be said.
    fn details(&self, name: &ModelName) -> Result<ModelDetails, Refusal> {
        Err(self.check(name).err().unwrap_or_else(|| Refusal::NothingToCheck(name.clone())))
    }
    /// Whether a model has files that can be checked.
    ///
    /// # Errors
    /// Why not.
    fn checkable(&self, name: &ModelName) -> Result<(), Refusal> {
        Err(self.check(name).err().unwrap_or_else(|| Refusal::NothingToCheck(name.clone())))
    }
    /// Reads the files of a model whole and compares their hashes. Called on a thread of its own.
    ///
    /// # Errors
    /// Why it could not be done.
    fn verify(
        &self,
        name: &ModelName,
        _tell: &TellCheck<'_>,
        _cancel: &Cancel,
    ) -> Result<Vec<FileCheck>, Unchecked> {
        Err(Refusal::NothingToCheck(name.clone()).into())
    }
    /// What removing a model means, of which these files are known to be damaged.
    ///
    /// # Errors
    /// Why nothing would go.
    fn removal(&self, name: &ModelName, _damaged: &[PathBuf]) -> Result<PlannedRemoval, Refusal> {
        let reason = "nothing of it was fetched".to_owned();
        Err(Refusal::NotRemoved { model: name.clone(), reason })
    }
    /// Removes it; the bytes that became free. It blocks.
    ///
    /// # Errors
    /// What could not be removed.
    fn remove(&self, name: &ModelName, damaged: &[PathBuf]) -> Result<u64, Refusal> {
        self.removal(name, damaged).map(|_| 0)
    }
    /// The devices there are, the best first, and never none. Asked once, when the worker begins.
    fn devices(&self) -> Vec<Device>;
    /// Reads one into a device's memory. Called on the thread of that device's engine.
    ///
    /// # Errors
    /// What could not be read or had; [`EngineError::Stopped`] when the observer wants it.
    fn load(
        &self,
        name: &ModelName,
        on: &Placement,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Draw>, EngineError>;
    /// Reads the tokenizers of one.
    ///
    /// # Errors
    /// What could not be read.
    fn counter(&self, name: &ModelName) -> Result<Box<dyn Count>, EngineError>;
    /// The files that a LoRA's name or whole path may mean, the likeliest first: never none.
    ///
    /// # Errors
    /// Why none.
    fn lora(&self, file: &str) -> Result<Vec<PathBuf>, String> {
        crate::catalog::loras::find(&[], file).map_err(|reason| reason.to_string())
    }
    /// The LoRAs in the folders; it looks through them.
    fn loras(&self, _looking: Looking<'_>) -> LoraList {
        LoraList::default()
    }
    /// The picture of a LoRA that was listed, as its file has it; `None` where it has none.
    ///
    /// # Errors
    /// When there is no such LoRA, and why its picture cannot be read.
    fn lora_picture(&self, _path: &Path) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
    /// A device, for a person.
    fn describe(&self, device: Device) -> String;
    /// Keeps on disk what the transformer of a model that was loaded becomes in fp8; `None` where nothing is kept. Called
    /// on a thread of its own.
    ///
    /// # Errors
    /// Why it is not kept; [`Unkept::Convert`] of a stop when the observer wants it.
    fn keep_converted(&self, _: &ModelName, _: &mut dyn Observer) -> Result<Option<Kept>, Unkept> {
        Ok(None)
    }
    /// What pictures of a model are expected to take on a card, each placed so, by plan: in their order, as far as that can
    /// be said. It reads headers, and may try how fast the card is.
    fn foresee(&self, _name: &ModelName, _on: &[Placement]) -> Vec<Option<Planned>> {
        Vec::new()
    }
    /// Who holds how much of a card now, of this process.
    fn held(&self, _device: Device) -> Vec<Share> {
        Vec::new()
    }
    /// What tells a card from all others; `None` of the CPU.
    fn identity(&self, _device: Device) -> Option<String> {
        None
    }
}

/// What removing a model means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRemoval {
    /// What a client is told.
    pub plan: RemovalPlan,
    /// Whether something goes that other models would need if it were whole.
    pub others_need: bool,
}

/// Why the files of a model were not checked.
#[derive(Debug, thiserror::Error)]
pub enum Unchecked {
    /// A person wanted no more, or the worker ends.
    #[error("it was stopped")]
    Stopped,
    /// There is nothing to be checked.
    #[error(transparent)]
    Model(#[from] Refusal),
}

/// The tokenizers of a model.
pub trait Count: Send + Sync {
    /// How a text fits T5 and CLIP, in this order.
    ///
    /// # Errors
    /// When a tokenizer fails.
    fn count(&self, text: &str) -> Result<Vec<TokenCount>, EngineError>;
}

/// How a worker behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model is freed after so long without work; `None` for never, as below.
    pub free_after: Option<Duration>,
    /// The worker ends after so long without work and without clients.
    pub end_after: Option<Duration>,
    /// How often it is kept how far a picture is: at most once in so long, after a step; `None` for never.
    pub checkpoint_every: Option<Duration>,
    /// Whether what wide models become in fp8 is kept on disk.
    pub keep_converted: bool,
    /// How often memory, load and temperature are read while a client watches.
    pub readings_every: Duration,
    /// A client that takes nothing of what it is sent for so long is given up.
    pub stall: Duration,
    /// A connection that has not greeted after so long is closed.
    pub greet_within: Duration,
    /// When it is told to end, it waits so long for the engine to stop.
    pub stop_within: Duration,
    /// How often it looks whether its socket is still where clients look for it; if not, it ends
    /// once it has neither work nor clients.
    pub look_every: Duration,
    /// The most clients at a time.
    pub clients_max: usize,
    /// The program that is run as `worker run` when a device has failed and only another process can go on; `None` where
    /// somebody else starts it again.
    pub successor: Option<PathBuf>,
    /// How a file for a picture is opened; tests give one on a device that is full.
    pub create: fn(&Path) -> io::Result<File>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            free_after: Some(Duration::from_secs(10 * 60)),
            end_after: Some(Duration::from_secs(8 * 60 * 60)),
            checkpoint_every: Some(Duration::from_secs(10)),
            keep_converted: false,
            readings_every: Duration::from_secs(1),
            stall: Duration::from_secs(30),
            greet_within: Duration::from_secs(10),
            stop_within: Duration::from_secs(10),
            look_every: Duration::from_secs(30),
            clients_max: 256,
            successor: successor(),
            create: |path| File::create(path),
        }
    }
}

/// This program, unless systemd runs it: that starts it again by itself.
fn successor() -> Option<PathBuf> {
    std::env::var_os("INVOCATION_ID").is_none().then(std::env::current_exe).and_then(Result::ok)
}

impl Settings {
    /// The same with what a person has set.
    #[must_use]
    pub fn configured(self, config: WorkerConfig) -> Self {
        let set = |set: Option<Lapse>, usual| set.map_or(usual, Lapse::duration);
        Self {
            free_after: set(config.free_after, self.free_after),
            end_after: set(config.end_after, self.end_after),
            checkpoint_every: set(config.checkpoint_every, self.checkpoint_every),
            keep_converted: config.keep_converted,
            ..self
        }
    }
}

/// Why a worker could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// One is enough.
    #[error("a worker is already running{}; end it with `flux-tui worker stop`", process(*.pid))]
    AlreadyRuns {
        /// Its process, if that is known.
        pid: Option<u32>,
    },
    /// A file or directory could not be used.
    #[error("{} could not be {what}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// `made`, `opened` …
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The state directory is not ours alone.
    #[error(
        "{} {what}: others could take the worker's place there; give it to yourself alone (`chmod 700`) \
         or set XDG_STATE_HOME to another directory", path.display()
    )]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Something that is no socket is where the socket goes.
    #[error("{} is in the way and is not a socket: move it away", .0.display())]
    InTheWay(PathBuf),
    /// Paths travel in messages, as text.
    #[error("{} is not UTF-8: set XDG_DATA_HOME to a directory whose name is", .0.display())]
    NotUtf8(PathBuf),
    /// The library cannot be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The system refused something that every worker needs.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A device is beyond repair for this process.
    #[error("{device} failed and this process cannot use it any more: {reason}")]
    DeviceFailed {
        /// Which.
        device: Device,
        /// What it said.
        reason: String,
    },
    /// An engine's thread ended, which it never should.
    #[error("the thread of the engine on {0} ended: its last words are in the worker's log")]
    EngineGone(Device),
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// What every session can reach.
struct Shared {
    hub: hub::Hub,
    store: store::Store,
    models: Arc<dyn Models>,
    counters: tokens::Counters,
    /// Held while the queue is changed.
    changing: tokio::sync::Mutex<()>,
    /// Held while a small copy of a picture is made; those of grids' cells are kept.
    copying: Arc<tokio::sync::Mutex<copies::Copies>>,
    /// Watches the folders of LoRAs that were listed.
    lora_watch: lora_watch::LoraWatch,
    settings: Settings,
}

/// The body of `flux-tui worker run`: becomes a daemon, and serves until it is told to end or has
/// had nothing to do for long.
///
/// # Errors
/// [`WorkerError::AlreadyRuns`], and whatever keeps it from starting. Until it serves, stderr is
/// still the caller's.
pub fn run(paths: &Paths, models: Arc<dyn Models>, settings: Settings) -> Result<(), WorkerError> {
    daemon::leave_session();
    let successor = settings.successor.clone();
    let claim = daemon::Claim::take(paths)?;
    let log = log::open(&paths.log())?;
    log::install(log);
    let served = serve::serve_claimed(claim, paths, models, settings, daemon::detach, daemon::told_to_end());
    if let Err(error) = &served {
        tracing::error!(%error, "the worker ends");
    }
    // Another process can go on where this one cannot: with the device, or with a library that it makes anew.
    let another = matches!(
        &served,
        Err(WorkerError::DeviceFailed { .. } | WorkerError::Library(LibraryError::Damaged { .. }))
    );
    if let (true, Some(program)) = (another, &successor) {
        daemon::succeed(program);
    }
    served
}
