//! The messages, one payload struct each. MessagePack with field names, so a field may be added
//! without breaking an older peer; anything else raises [`PROTOCOL`].
//!
//! A client sends [`ToWorker`] and gets exactly one [`ToClient::Reply`] with the same number for
//! each. After [`Request::Subscribe`] the worker also sends [`ToClient::Event`]s, in order, from
//! the moment of the snapshot on.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::device::{Device, NoDevice};
use crate::gpu::Readings;
use crate::job::{Job, JobId, Picture, PictureId, Prompt, TokenCount};
pub use crate::job::{JobState, JobStatus};
use crate::model::{ModelInfo, ModelName};
pub use crate::wire::models::{
    FetchProgress, FetchState, Gate, Lacks, ModelFetch, ModelState, Standing, ToFetch,
};
use crate::wire::queue::QueueChange;

/// The version of these messages. Peers of different versions say so and part.
pub const PROTOCOL: u32 = 6;

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
    /// Every model that is known, and what there is of it.
    Models,
    /// Fetch what is missing of a model. Answered once that is remembered on disk.
    FetchModel(ModelName),
    /// Fetch no more of it; what has come is kept.
    CancelFetch(ModelName),
    /// Who the worker is and what it is doing.
    Status,
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

/// A page of history, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Only pictures older than this one.
    pub before: Option<PictureId>,
    /// At most this many; the worker gives at most 500, fewer where prompts are very long, and
    /// none only when there are no more.
    pub limit: u32,
}

/// What the worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// To `Hello`.
    Welcome(WorkerInfo),
    /// To `Subscribe`.
    Snapshot(Box<Snapshot>),
    /// To `Submit`, and to the changes of the queue that make or change a job: how it stands in the library.
    Accepted(Box<JobStatus>),
    /// To `Cancel` and `CancelFetch`.
    Cancelled,
    /// To the other changes of the queue.
    Changed,
    /// To `CountTokens`.
    Tokens(Vec<TokenCount>),
    /// To `History`.
    History(Vec<Picture>),
    /// To `Fetch`: the PNG file.
    Png(Bytes),
    /// To `Models`.
    Models(Vec<ModelState>),
    /// To `FetchModel`: how far it is; whoever asked before shares it.
    Fetching(ModelFetch),
    /// To `Status`.
    Status(Box<WorkerStatus>),
    /// To `Stop`: how many jobs stay queued.
    Stopping {
        /// Jobs that the next worker takes up.
        queued: usize,
    },
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The peers speak different versions.
    #[error(
        "this is flux-tui {client} (protocol {client_protocol}) and the running worker is \
         {worker} (protocol {worker_protocol}); end the worker with `flux-tui worker stop` of its version"
    )]
    Version {
        /// The caller's version.
        client: String,
        /// The caller's protocol.
        client_protocol: u32,
        /// The worker's version.
        worker: String,
        /// The worker's protocol.
        worker_protocol: u32,
    },
    /// A request before `Hello`.
    #[error("the first message of a connection must be a greeting")]
    NoHello,
    /// No such model.
    #[error("there is no model {name:?}; there is {known}")]
    UnknownModel {
        /// What was asked.
        name: String,
        /// The models that there are, for a person.
        known: String,
    },
    /// A model that is known, and of which something is not here: what, and what to do.
    #[error("{0}")]
    LackingModel(String),
    /// A LoRA of the job that cannot be used: which, and why.
    #[error("{0}")]
    Lora(String),
    /// To `FetchModel`: all of it is here.
    #[error("nothing is missing of {0}")]
    NothingToFetch(ModelName),
    /// To `CancelFetch`.
    #[error("{0} is not being fetched")]
    NotFetching(ModelName),
    /// The job asks for a device that this machine lacks.
    #[error(transparent)]
    NoDevice(NoDevice),
    /// No such job, or one that has ended.
    #[error("job {0} is neither queued nor running")]
    UnknownJob(JobId),
    /// To `Edit`: a picture of it is there or being drawn, and says what the job says.
    #[error("job {0} has been begun, so it stays what it is; duplicate it, or cancel it and add another")]
    Begun(JobId),
    /// To `Retry`.
    #[error("job {0} has not failed, so there is nothing to try again")]
    NotFailed(JobId),
    /// To `Duplicate`.
    #[error("there is no job {0} in the library")]
    NoJob(JobId),
    /// No such picture.
    #[error("there is no picture {0} in the library")]
    UnknownPicture(PictureId),
    /// The library could not be read or written: nothing was accepted.
    #[error("the library could not be used: {0}")]
    Library(String),
    /// A picture's file could not be read.
    #[error("{path} could not be read: {reason}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// So much waits already that a client could not be shown more.
    #[error("{jobs} jobs wait already; wait until some are drawn, or cancel some")]
    QueueFull {
        /// Jobs that wait.
        jobs: usize,
    },
    /// To `CountTokens`, when the same client has asked again before this was begun.
    #[error("a newer text was sent to be counted")]
    Superseded,
    /// The tokenizers of a model could not be read.
    #[error("the tokenizers could not be used: {0}")]
    Tokenizer(String),
    /// The message could not be understood.
    #[error("the message could not be understood: {0}")]
    Malformed(String),
    /// The worker is ending.
    #[error("the worker is ending")]
    Stopping,
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
}

impl EngineStatus {
    /// An engine that holds nothing.
    #[must_use]
    pub fn idle(device: Device, about: String) -> Self {
        Self { device, about, loaded: None, precision: None, memory: None }
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
    /// An engine loaded or freed something.
    Engine(EngineStatus),
    /// Memory, load and temperature. May be dropped.
    Readings(Readings),
    /// The fetching of a model. May be dropped while it runs, its beginning and its end never.
    Fetch(ModelFetch),
    /// Which models can be drawn with has changed: all of them.
    Models(Vec<ModelInfo>),
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

/// A small picture of the latent: 8-bit RGB, rows from the top, no padding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPreview")]
pub struct Preview {
    /// Which job.
    pub job: JobId,
    /// Which of its pictures, from 0.
    pub index: u32,
    /// After this many steps.
    pub step: u32,
    width: u32,
    height: u32,
    rgb: Bytes,
}

/// A preview as it is decoded, before its length is checked.
#[derive(Deserialize)]
struct RawPreview {
    job: JobId,
    index: u32,
    step: u32,
    width: u32,
    height: u32,
    rgb: Bytes,
}

/// A preview whose bytes are not `3 · width · height`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a preview of {width}×{height} came with {bytes} bytes")]
pub struct PreviewError {
    width: u32,
    height: u32,
    bytes: usize,
}

impl Preview {
    /// # Errors
    /// When `rgb` does not hold `3 · width · height` bytes.
    pub fn new(
        job: JobId,
        index: u32,
        step: u32,
        (width, height): (u32, u32),
        rgb: Bytes,
    ) -> Result<Self, PreviewError> {
        if u64::from(width) * u64::from(height) != rgb.len() as u64 / 3 || !rgb.len().is_multiple_of(3) {
            return Err(PreviewError { width, height, bytes: rgb.len() });
        }
        Ok(Self { job, index, step, width, height, rgb })
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `3 · width · height` bytes.
    #[must_use]
    pub fn rgb(&self) -> &Bytes {
        &self.rgb
    }
}

impl TryFrom<RawPreview> for Preview {
    type Error = PreviewError;
    fn try_from(raw: RawPreview) -> Result<Self, PreviewError> {
        Self::new(raw.job, raw.index, raw.step, (raw.width, raw.height), raw.rgb)
    }
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
}

/// A picture that is being drawn, and what it is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drawing {
    /// Where it is.
    pub progress: Progress,
    /// The prompt of its job.
    pub prompt: Prompt,
}
