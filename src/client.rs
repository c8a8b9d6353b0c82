//! A connection to the worker: find one, start one if none runs, greet, ask, and hear events.

use tokio::sync::mpsc;

use crate::paths::Paths;
use crate::wire::message::{Event, Refusal, Request, Response, WorkerInfo};

/// A handle to a connection; clones share it. Requests may overlap.
#[derive(Debug, Clone)]
pub struct Client {}

/// Events in the order the worker sent them; it ends when the connection does.
pub type Events = mpsc::Receiver<Event>;

/// Why the worker could not be reached or did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No worker runs (only from [`Client::connect`]).
    #[error("no worker is running")]
    NoWorker,
    /// A worker was started but did not answer.
    #[error("the worker did not start: {reason}; its log is {log}")]
    NotStarted {
        /// What is known.
        reason: String,
        /// The log's path.
        log: String,
    },
    /// The connection ended.
    #[error("the connection to the worker ended")]
    Lost,
    /// The worker refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The worker answered something else than what the request calls for.
    #[error("the worker gave an answer that does not fit the request")]
    Unexpected,
    /// The socket or its directory cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Client {
    /// Connects to the running worker.
    ///
    /// # Errors
    /// [`ClientError::NoWorker`] when none runs.
    pub async fn connect(paths: &Paths) -> Result<(Self, Events), ClientError> {
        let _ = paths;
        Err(ClientError::NoWorker)
    }

    /// Connects to the running worker, or starts one and waits until it answers.
    ///
    /// # Errors
    /// [`ClientError::NotStarted`] names the log.
    pub async fn connect_or_start(paths: &Paths) -> Result<(Self, Events), ClientError> {
        Self::connect(paths).await
    }

    /// Who answers.
    #[must_use]
    pub fn worker(&self) -> &WorkerInfo {
        unreachable!("no client can be made yet")
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the worker's reason; [`ClientError::Lost`].
    pub async fn call(&self, request: Request) -> Result<Response, ClientError> {
        let _ = request;
        Err(ClientError::Lost)
    }
}
