//! Why a command did not succeed, the exit code that says so, and what is printed.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use super::generate::TargetError;
use super::text;
use crate::client::ClientError;
use crate::config::wildcards::WildcardError;
use crate::device::NoDevice;
use crate::engine::EngineError;
use crate::engine::converted::ConvertError;
use crate::engine::weights::WeightsError;
use crate::fetch::FetchError;
use crate::job::grid::GridError;
use crate::job::{JobError, JobId};
use crate::library::LibraryError;
use crate::library::png::PngError;
use crate::paths::NoHome;
use crate::ui::StudioError;
use crate::ui::terminal::ask::AskError;
use crate::wire::message::Refusal;
use crate::worker::{NoModel, WorkerError};

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A value that cannot be drawn.
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Grid(Box<GridError>),
    #[error("{drawn} of {count} pictures of grid {grid} were drawn before it was cancelled")]
    GridCancelled { grid: i64, drawn: usize, count: usize },
    #[error(
        "the worker has ended; {drawn} of {count} pictures of grid {grid} are drawn, the others by the next worker: \
         `flux-tui grids open {grid}` shows it"
    )]
    GridLeft { grid: i64, drawn: usize, count: usize },
    /// Cells that failed, the others being drawn.
    #[error(
        "{failed} of {count} pictures of grid {grid} failed, first job {job}: {reason}; `flux-tui queue retry {job}` draws \
         it again, and the contact sheet with it"
    )]
    GridFailed { grid: i64, failed: usize, count: usize, job: JobId, reason: String },
    #[error(transparent)]
    Wildcard(#[from] WildcardError),
    /// No such model, or a file that is none.
    #[error(transparent)]
    Model(#[from] NoModel),
    /// No such LoRA (only in `plan`; for a job the worker says so).
    #[error("{0}")]
    Lora(String),
    /// A model that another machine's worker does not draw with.
    #[error(
        "{host} draws with no model {name:?}; there is {known}. `flux-tui models list` there says what is missing of others"
    )]
    NotThere { host: String, name: String, known: String },
    /// No such device (only in `bench`; for a job the worker says so).
    #[error(transparent)]
    NoDevice(#[from] NoDevice),
    /// What came on standard input is not text.
    #[error("the prompt on standard input is not UTF-8 text: byte {at} cannot be read")]
    StdinNotText { at: usize },
    /// Standard input broke.
    #[error("the prompt could not be read from standard input: {0}")]
    Stdin(#[source] io::Error),
    /// `--output` names something that cannot be written.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The picture is drawn and kept, but its copy could not be written.
    #[error("{to} could not be written: {source}; the picture itself is kept at {kept}")]
    Copy { to: String, kept: String, source: io::Error },
    /// Nowhere to keep things.
    #[error(transparent)]
    Home(#[from] NoHome),
    /// The worker could not be reached or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The worker gave a job up.
    #[error("job {id} failed: {reason}")]
    Drawing { id: JobId, reason: String },
    /// The worker went away with the job on its list.
    #[error(
        "the worker ended while job {id} was not finished ({done} of {count} pictures are done); the job \
         stays queued and the next worker draws it: `flux-tui` shows it"
    )]
    WorkerEnded { id: JobId, done: usize, count: u32 },
    /// The line to another machine broke with the job on its worker's list.
    #[error(
        "{why}; job {id} is not lost ({done} of {count} pictures were told): the worker on {host} goes on, and \
         `flux-tui --host {host}` shows it"
    )]
    LineBroke { id: JobId, done: usize, count: u32, host: String, why: String },
    /// No such picture in another machine's library.
    #[error("the library on {host} has no picture {picture}; give its path or its file's name")]
    NoFarPicture { picture: String, host: String },
    /// A picture on another machine could not be had for showing or copying.
    #[error("{picture} could not be fetched: {source}; it is kept there")]
    Unreached { picture: String, source: ClientError },
    /// A person cancelled the job.
    #[error("job {id} was cancelled; {done} of {count} pictures are done and kept")]
    Cancelled { id: JobId, done: usize, count: u32 },
    /// A plan is for a card.
    #[error(
        "there is no card to plan for: on the CPU a model takes of the machine's memory what its files hold"
    )]
    NoCard,
    /// Ctrl-C before anything was asked of the worker.
    #[error("interrupted; nothing was asked of the worker")]
    Interrupted,
    /// A file could not be read.
    #[error("{path} could not be read: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file could not be removed.
    #[error("{path} could not be removed: {source}", path = path.display())]
    Remove { path: PathBuf, source: io::Error },
    /// A file is larger than any picture of ours.
    #[error("{path} has {bytes} bytes; pictures up to {max} bytes are read", path = path.display())]
    LargeFile { path: PathBuf, bytes: u64, max: u64 },
    /// A file is not a PNG that can be read.
    #[error("{path}: {source}", path = path.display())]
    Png { path: PathBuf, source: PngError },
    /// A picture of `--like` that does not say how it was drawn.
    #[error("--like {path}: {reason}", path = path.display())]
    NoRecipe { path: PathBuf, reason: String },
    /// A file that the library does not know.
    #[error("{path} is no picture of the library; `flux-tui library import` takes pictures in", path = .0.display())]
    NoPicture(PathBuf),
    /// `library check` found something; each was said.
    #[error(
        "{} of the library not in order, as said above; `flux-tui library repair` puts right what can be",
        text::count(*.0, "thing")
    )]
    LibraryDisorder(usize),
    /// A file is no model, or not a whole one.
    #[error("{path}: {source}", path = path.display())]
    Weights { path: PathBuf, source: WeightsError },
    /// A transformer could not be converted.
    #[error(transparent)]
    Convert(ConvertError),
    /// A file could not be fetched, or a setting of the hubs is wrong.
    #[error(transparent)]
    Fetch(FetchError),
    /// Several files could not be fetched; each was said.
    #[error("{failed} of {of} files could not be fetched; the same command goes on from what is there")]
    Unfetched { failed: usize, of: usize },
    /// Files are not what was published; each was said.
    #[error("{bad} of {of} files are not what was published, as said above")]
    Unverified { bad: usize, of: usize },
    /// A word that means no published file.
    #[error(
        "{word:?} is neither a model nor a published file that is known ({known}), nor an address: hf:ORG/NAME/PATH of \
         Hugging Face, ms:ORG/NAME/PATH of ModelScope"
    )]
    NoFiles { word: String, known: String },
    /// Something that was never fetched.
    #[error("nothing of {0} was fetched by `flux-tui models pull`, so there is nothing to do")]
    NotFetched(String),
    /// Nobody agreed to a removal.
    #[error("nothing was removed: nobody agreed. `--yes` removes without asking")]
    NotAgreed,
    /// The worker could not start or go on (only in `worker run`).
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// What is kept of earlier pictures could not be read.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The studio has no terminal, or lost it.
    #[error(transparent)]
    Studio(#[from] StudioError),
    /// The terminal could not be asked.
    #[error("{0}; run `flux-tui doctor terminal` in a terminal, without a pipe")]
    Terminal(#[source] AskError),
    /// The test card could not be made.
    #[error("the test card could not be made: {0}")]
    TestCard(String),
    /// The engine failed (only in `bench`).
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A card could not be used (only in `bench --synthetic`).
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Card(#[from] crate::engine::cuda::CudaError),
    /// Asked of a program that was built without it.
    #[cfg(not(feature = "cuda"))]
    #[error("{0} needs a card, and this program was built without CUDA: build it with `--features cuda`")]
    WithoutCuda(&'static str),
    /// A value on the command line of `bench --synthetic`.
    #[cfg(feature = "cuda")]
    #[error("{what} {value:?} cannot be measured: {works}")]
    Unmeasurable { what: &'static str, value: String, works: &'static str },
    /// `doctor` found something.
    #[error("{0} in the way, marked !! above")]
    InTheWay(String),
    /// Standard output broke, for instance because a disk is full.
    #[error("standard output could not be written: {0}")]
    Stdout(#[source] io::Error),
    /// Whoever read standard output has left. Nothing is wrong with our work.
    #[error("standard output was closed")]
    ClosedPipe,
    /// No event loop.
    #[error("the system gave no event loop: {0}")]
    Runtime(#[source] io::Error),
}

impl Failure {
    /// 2 when the command line cannot be carried out as written, 130 after Ctrl-C, 0 when only the
    /// reader of our output has left, 1 otherwise.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Job(_)
            | Self::Grid(_)
            | Self::Wildcard(_)
            | Self::Model(_)
            | Self::Lora(_)
            | Self::StdinNotText { .. }
            | Self::Target(_) => 2,
            #[cfg(not(feature = "cuda"))]
            Self::WithoutCuda(_) => 2,
            #[cfg(feature = "cuda")]
            Self::Unmeasurable { .. } => 2,
            Self::NoDevice(_)
            | Self::Client(ClientError::Refused(
                Refusal::NoDevice(_) | Refusal::LackingModel(_) | Refusal::Lora(_) | Refusal::Grid(_),
            )) => 2,
            Self::NoRecipe { .. } | Self::NotThere { .. } | Self::NoPicture(_) => 2,
            Self::Client(ClientError::Refused(Refusal::UnknownPicture(_) | Refusal::Picture(_))) => 2,
            Self::Fetch(FetchError::Address(_) | FetchError::Setting { .. }) | Self::NotFetched(_) => 2,
            Self::NoFiles { .. } | Self::Convert(ConvertError::Narrow(_) | ConvertError::Layer { .. }) => 2,
            Self::Cancelled { .. }
            | Self::GridCancelled { .. }
            | Self::Interrupted
            | Self::Fetch(FetchError::Cancelled) => 130,
            Self::Convert(ConvertError::Stopped) => 130,
            Self::ClosedPipe => 0,
            _ => 1,
        }
    }

    /// Says it on standard error and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        if !matches!(self, Self::ClosedPipe) {
            text::complain("error", &self.to_string());
        }
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_the_help_says() {
        assert_eq!(Failure::Job(JobError::EmptyPrompt).code(), 2);
        assert_eq!(Failure::Model(NoModel::Unknown { name: "x".into(), known: "nano".into() }).code(), 2);
        assert_eq!(Failure::Cancelled { id: JobId(1), done: 0, count: 1 }.code(), 130);
        assert_eq!(Failure::Client(ClientError::NoWorker).code(), 1);
        assert_eq!(Failure::ClosedPipe.code(), 0);
    }
}
