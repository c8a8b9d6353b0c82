//! The messages, one payload struct each. MessagePack with field names, so a field may be added
//! without breaking an older peer; anything else raises [`PROTOCOL`].
//!
//! A client sends [`ToWorker`] and gets exactly one [`ToClient::Reply`] with the same number for
//! each. After [`Request::Subscribe`] the worker also sends [`ToClient::Event`]s, in order, from
//! the moment of the snapshot on.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::device::{Device, Share};
use crate::gpu::Readings;
use crate::job::costs::{Cost, CostsRequest};
use crate::job::grid::GridId;
use crate::job::{Job, JobId, Picture, PictureId, Prompt, Rebuilt, TokenCount};
pub use crate::job::{JobState, JobStatus};
use crate::model::{ModelInfo, ModelName};
use crate::wire::grids::{GridRequest, GridResponse};
pub use crate::wire::held::{
    CheckProgress, CheckState, FileCheck, FileFacts, GoingFile, MemoryNeed, ModelCheck, ModelDetails,
    PartFacts, PartOrigin, PartPlace, PrecisionBytes, RemovalPlan, Soundness, StayingFile, TransformerSize,
};
pub use crate::wire::library::HistoryPage;
use crate::wire::library::{LibraryRequest, LibraryResponse};
use crate::wire::loras::{LoraRequest, LoraResponse};
pub use crate::wire::models::{
    FetchProgress, FetchState, Gate, Lacks, ModelFetch, ModelState, Standing, ToFetch,
};
pub use crate::wire::preview::{Preview, PreviewError};
use crate::wire::queue::QueueChange;
pub use crate::wire::refusal::Refusal;
pub use crate::wire::thumbnail::ThumbnailRequest;

/// The version of these messages. Peers of different versions say so and part.
pub const PROTOCOL: u32 = 13;

/// From a client: a request and the number its reply will carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToWorker {
    /// Chosen by the client.
    pub number: u64,
    /// What is asked.
    pub request: Request,
}

/// From the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToClient {
    /// The answer to one request.
    Reply {
        /// The request's number.
        number: u64,
        /// What came of it.
        result: Result<Response, Refusal>,
    },
    /// Something happened.
    Event(Event),
}

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The first message of every connection.
    Hello(Hello),
    /// Everything as it is now, and events from now on.
    Subscribe,
    /// Draw this. Answered once the job is on disk.
    Submit(Job),
    /// Stop drawing this job, or take it from the queue.
    Cancel(JobId),
    /// Change the queue.
    Queue(QueueChange),
    /// How a prompt fits a model's encoders.
    CountTokens(CountTokens),
    /// Older pictures.
    History(HistoryPage),
    /// A finished picture's PNG.
    Fetch(PictureId),
    /// A small copy of a finished picture.
    Thumbnail(ThumbnailRequest),
    /// Every model that is known, and what there is of it.
    Models,
    /// Fetch what is missing of a model. Answered once that is remembered on disk.
    FetchModel(ModelName),
    /// Fetch no more of it; what has come is kept.
    CancelFetch(ModelName),
    /// What the files of a model are and where, from their headers alone.
    ModelDetails(ModelName),
    /// Read all files of a model and compare their hashes with what was published. Answered once that is begun or
    /// waits; it ends with the worker.
    VerifyModel(ModelName),
    /// Check no more of it.
    CancelCheck(ModelName),
    /// What removing the files of a model would free, and what would stay.
    PlanRemoval(ModelName),
    /// Remove what was fetched of a model and nothing else needs.
    RemoveModel(ModelName),
    /// A question about pictures of the library, or a change of them.
    Library(LibraryRequest),
    /// A question about LoRAs.
    Loras(LoraRequest),
    /// What pictures of some sizes will take.
    Costs(CostsRequest),
    /// A question about grids, or a change of them.
    Grids(GridRequest),
    /// Who the worker is and what it is doing.
    Status,
    /// Let go of every model that nothing is drawn with just now: the next job loads its own again.
    Free,
    /// Finish the jobs that have been begun, begin no others, and end: another version is to take over. Asked without a
    /// greeting, because versions that differ cannot greet.
    Replace,
    /// End now; unfinished jobs stay queued for the next worker.
    Stop,
}

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The caller's [`PROTOCOL`].
    pub protocol: u32,
    /// The caller's package version.
    pub version: String,
}

/// A prompt to be counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountTokens {
    /// The model whose encoders are meant.
    pub model: ModelName,
    /// The text; it may be empty.
    pub text: String,
}

/// What the worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// To `Hello`.
    Welcome(WorkerInfo),
    /// To `Replace`: jobs that are finished first.
    Replacing {
        /// How many.
        begun: usize,
    },
    /// To `Subscribe`.
    Snapshot(Box<Snapshot>),
    /// To `Submit`, and to the changes of the queue that make or change a job: how it stands in the library.
    Accepted(Box<JobStatus>),
    /// To `Cancel`, `CancelFetch` and `CancelCheck`.
    Cancelled,
    /// To the other changes of the queue, and to `Free`.
    Changed,
    /// To `CountTokens`.
    Tokens(Vec<TokenCount>),
    /// To `History`.
    History(Vec<Picture>),
    /// To `Fetch`: the PNG file.
    Png(Bytes),
    /// To `Thumbnail`: a JPEG.
    Thumbnail(Bytes),
    /// To `Models`.
    Models(Vec<ModelState>),
    /// To `FetchModel`: how far it is; whoever asked before shares it.
    Fetching(ModelFetch),
    /// To `ModelDetails`.
    Details(Box<ModelDetails>),
    /// To `VerifyModel`: how far it is; whoever asked before shares it.
    Checking(ModelCheck),
    /// To `PlanRemoval`.
    Removal(Box<RemovalPlan>),
    /// To `RemoveModel`: the bytes that became free.
    Removed {
        /// Bytes.
        bytes: u64,
    },
    /// To `Library`.
    Library(LibraryResponse),
    /// To `Loras`.
    Loras(LoraResponse),
    /// To `Costs`.
    Costs(Vec<Cost>),
    /// To `Grids`.
    Grids(GridResponse),
    /// To `Status`.
    Status(Box<WorkerStatus>),
    /// To `Stop`: how many jobs stay queued.
    Stopping {
        /// Jobs that the next worker takes up.
        queued: usize,
    },
}

/// Who a worker is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Its [`PROTOCOL`].
    pub protocol: u32,
    /// Its package version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started, in milliseconds since 1970 (UTC).
    pub started_at: i64,
}

/// What one engine is and what it holds. Each device has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// The device.
    pub device: Device,
    /// The device, for a person: `CPU, 2 threads`.
    pub about: String,
    /// The model that is loaded.
    pub loaded: Option<ModelName>,
    /// What computes, for a person: `fp32 from fp8 e4m3 weights`.
    pub precision: Option<String>,
    /// How the model is kept on a card, in a few words; `None` where there is nothing to divide.
    #[serde(default)]
    pub memory: Option<String>,
    /// Who is to hold what of the card's memory, by the plan; empty where there is nothing to divide.
    #[serde(default)]
    pub shares: Vec<Share>,
    /// Bytes of a card's memory that LoRAs hold beside the model, as of the last picture.
    #[serde(default)]
    pub loras: u64,
}

impl EngineStatus {
    /// An engine that holds nothing.
    #[must_use]
    pub fn idle(device: Device, about: String) -> Self {
        Self { device, about, loaded: None, precision: None, memory: None, shares: Vec::new(), loras: 0 }
    }
}

/// All that a client shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Who answers.
    pub worker: WorkerInfo,
    /// Which models there are; the first is the default.
    pub models: Vec<ModelInfo>,
    /// The engines, that of the best device first.
    pub engines: Vec<EngineStatus>,
    /// Queued and running jobs in the order they are drawn, then up to 20 that failed, the latest first.
    pub jobs: Vec<JobStatus>,
    /// Whether nothing more is begun until a person says so.
    #[serde(default)]
    pub paused: bool,
    /// The pictures that are being drawn, at most one a device, the oldest first.
    pub running: Vec<Running>,
    /// The newest pictures, newest first.
    pub history: Vec<Picture>,
    /// How many pictures there are in all.
    pub history_total: u64,
    /// The latest readings.
    pub readings: Option<Readings>,
    /// Models that are being fetched and that wait for it, in order, then those that failed, the latest first.
    #[serde(default)]
    pub fetches: Vec<ModelFetch>,
    /// Models whose files are being checked and that wait for it, in order, then the results, the latest first.
    #[serde(default)]
    pub checks: Vec<ModelCheck>,
    /// That the library was damaged, and what has become of it, if this worker found it so.
    #[serde(default)]
    pub rebuilt: Option<Rebuilt>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A job is new or has changed; the whole of it.
    Job(JobStatus),
    /// A job is drawn at another time than before.
    Moved {
        /// Which.
        job: JobId,
        /// Right before this one; `None`: after all others.
        before: Option<JobId>,
    },
    /// The queue is paused, or goes on.
    Paused(bool),
    /// A picture has got further.
    Progress(Progress),
    /// How a running picture looks. May be dropped.
    Preview(Preview),
    /// A picture is not drawn any more and is not finished: it was cancelled, it failed, or another
    /// of its job did.
    Stopped {
        /// Which job.
        job: JobId,
        /// Which of its pictures, from 0.
        index: u32,
    },
    /// A picture is in the library.
    Finished(Box<Picture>),
    /// A picture of the library is changed, or found to be missing.
    Picture {
        /// As it is now.
        picture: Box<Picture>,
        /// Whether it was in the trash before.
        was_trashed: bool,
    },
    /// Many pictures of the library are changed: the newest, and how many there are.
    History {
        /// As [`Snapshot::history`].
        pictures: Vec<Picture>,
        /// As [`Snapshot::history_total`].
        total: u64,
    },
    /// The contact sheet of a grid is written: all its cells are over.
    Grid(GridId),
    /// An engine loaded or freed something.
    Engine(EngineStatus),
    /// Memory, load and temperature. May be dropped.
    Readings(Readings),
    /// The fetching of a model. May be dropped while it runs, its beginning and its end never.
    Fetch(ModelFetch),
    /// The check of a model's files. May be dropped while it runs, its beginning and its end never.
    Check(ModelCheck),
    /// Which models can be drawn with may have changed: all of them.
    Models(Vec<ModelInfo>),
    /// The LoRAs in the folders may be others: whoever shows them asks again.
    Loras,
    /// The worker is ending; the connection closes next.
    Ending,
}

/// A picture that is being drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Where it is.
    pub progress: Progress,
    /// Its latest preview.
    pub preview: Option<Preview>,
}

/// Where a running picture is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// On which device.
    pub device: Device,
    /// Which job.
    pub job: JobId,
    /// Which of its pictures, from 0.
    pub index: u32,
    /// That picture's seed.
    pub seed: u64,
    /// What is being done.
    pub stage: Stage,
    /// Seconds since this picture was begun.
    pub elapsed: f64,
    /// Seconds until it is finished, once a step has been timed.
    pub remaining: Option<f64>,
}

/// What is being done for a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Reading the model.
    Loading {
        /// Bytes read.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Both text encoders.
    Encoding,
    /// The transformer.
    Drawing {
        /// Steps done.
        step: u32,
        /// Steps in all.
        steps: u32,
        /// The noise level after those steps, 1 to 0.
        sigma: f32,
    },
    /// The VAE.
    Decoding,
    /// Writing the file.
    Saving,
}

/// Who the worker is and what it is doing, for `flux-tui worker status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Who it is.
    pub worker: WorkerInfo,
    /// The engines, that of the best device first.
    pub engines: Vec<EngineStatus>,
    /// Jobs waiting.
    pub queued: usize,
    /// Whether they wait until a person says that it goes on.
    #[serde(default)]
    pub paused: bool,
    /// What is being drawn, the oldest first.
    pub running: Vec<Drawing>,
    /// Pictures in the library.
    pub pictures: u64,
    /// Connected clients.
    pub clients: usize,
    /// The latest readings.
    pub readings: Option<Readings>,
    /// As [`Snapshot::fetches`].
    #[serde(default)]
    pub fetches: Vec<ModelFetch>,
    /// As [`Snapshot::checks`].
    #[serde(default)]
    pub checks: Vec<ModelCheck>,
    /// As [`Snapshot::rebuilt`].
    #[serde(default)]
    pub rebuilt: Option<Rebuilt>,
}

/// A picture that is being drawn, and what it is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drawing {
    /// Where it is.
    pub progress: Progress,
    /// The prompt of its job.
    pub prompt: Prompt,
}
