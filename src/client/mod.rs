//! A connection to the worker: find one, start one if none runs, greet, ask, and hear events. The worker is on this
//! machine, or on another at the end of a line that `ssh` carries ([`Endpoint`]).
//!
//! Must be used inside a tokio runtime. The connection closes when the last [`Client`] of it is
//! dropped. Where it is found and started is `launch`'s, and `remote`'s on other machines; the two tasks that read and
//! write it are in `connection`.

mod connection;
mod endpoint;
mod launch;
mod line;
mod remote;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub use endpoint::Endpoint;
pub use launch::Launch;
pub use line::{HostName, NoHost};
pub use remote::{Asking, Remote};

use crate::paths::Paths;
use crate::wire::message::{Event, Hello, PROTOCOL, Refusal, Request, Response, WorkerInfo};
use crate::wire::socket::Address;
use connection::Link;
use line::Line;

/// How long a worker may take to answer the greeting.
const GREETING: Duration = Duration::from_secs(10);

/// A handle to a connection; clones share it. Requests may overlap.
#[derive(Debug, Clone)]
pub struct Client {
    link: Link,
    worker: Arc<WorkerInfo>,
}

/// Events in the order the worker sent them; it ends when the connection does. Events wait here for
/// as long as they are not taken; of each running picture's previews and of readings only the latest
/// does.
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
    /// No connection to another machine, or nothing there that answers.
    #[error("no worker on {host}: {reason}")]
    NoLine {
        /// Which machine.
        host: String,
        /// What ssh said, what came instead, what would help.
        reason: String,
    },
    /// The connection to another machine ended.
    #[error("the line to {host} broke: {reason}")]
    Broken {
        /// Which machine.
        host: String,
        /// What ssh said last.
        reason: String,
    },
    /// The worker said that it ends, and did.
    #[error("the worker has ended; what was queued stays queued for the next")]
    Ended,
    /// What the worker sent is not what a worker sends.
    #[error("the worker sent something that cannot be understood ({0}); the connection was closed")]
    Garbled(String),
    /// What was asked does not fit a message.
    #[error("what was asked cannot be sent: {0}")]
    Unsendable(String),
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
        source: io::Error,
    },
}

impl ClientError {
    /// Whether there was a connection and is none any more: what was asked last may have been carried out.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost | Self::Broken { .. })
    }
}

impl Client {
    /// Connects to the running worker.
    ///
    /// # Errors
    /// [`ClientError::NoWorker`] when none runs.
    pub async fn connect(paths: &Paths) -> Result<(Self, Events), ClientError> {
        let (reader, writer) = open(&paths.socket()).await?.into_split();
        Self::greet(reader, writer, None).await
    }

    /// Says who calls, over an open connection.
    async fn greet(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        line: Option<Line>,
    ) -> Result<(Self, Events), ClientError> {
        let host = line.as_ref().map(|line| line.host().clone());
        let (link, events) = Link::start(reader, writer, line);
        let hello = Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() };
        let answer =
            timeout(GREETING, link.call(Request::Hello(hello))).await.map_err(|_| ClientError::Io {
                what: "waiting for the worker's greeting".to_owned(),
                source: io::ErrorKind::TimedOut.into(),
            })?;
        match (answer, host) {
            (Ok(Response::Welcome(worker)), _) => Ok((Self { link, worker: Arc::new(worker) }, events)),
            (Ok(_), _) => Err(ClientError::Unexpected),
            (Err(ClientError::Refused(refusal)), Some(host)) => {
                Err(ClientError::NoLine { host: host.to_string(), reason: refusal.to_string() })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Asks the running worker, of whatever version, to finish the jobs that it has begun and to end then. How many those
    /// are.
    ///
    /// # Errors
    /// [`ClientError::NoWorker`] when none runs; [`ClientError::Refused`] when it is from before workers could be asked.
    pub async fn replace(paths: &Paths) -> Result<usize, ClientError> {
        let (reader, writer) = open(&paths.socket()).await?.into_split();
        let (link, _events) = Link::start(reader, writer, None);
        let answer = timeout(GREETING, link.call(Request::Replace)).await;
        let late = |_| ClientError::Io {
            what: "waiting for the worker's answer".to_owned(),
            source: io::ErrorKind::TimedOut.into(),
        };
        match answer.map_err(late)?? {
            Response::Replacing { begun } => Ok(begun),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Connects to the running worker, or starts one and waits until it answers.
    ///
    /// # Errors
    /// [`ClientError::NotStarted`] names the log.
    pub async fn connect_or_start(paths: &Paths) -> Result<(Self, Events), ClientError> {
        Self::connect_or_launch(paths, &Launch::this_program()?).await
    }

    /// The same, with the program to start given by the caller.
    ///
    /// # Errors
    /// [`ClientError::NotStarted`] names the log.
    pub async fn connect_or_launch(paths: &Paths, launch: &Launch) -> Result<(Self, Events), ClientError> {
        match Self::connect(paths).await {
            // The last two: it is just ending.
            Err(ClientError::NoWorker | ClientError::Lost | ClientError::Ended) => {
                launch::start(paths, launch).await
            }
            connected => connected,
        }
    }

    /// Who answers.
    #[must_use]
    pub fn worker(&self) -> &WorkerInfo {
        &self.worker
    }

    /// Why the connection is no more.
    #[must_use]
    pub fn end(&self) -> ClientError {
        self.link.end()
    }

    /// Asks and waits for the answer. What was asked is carried out even if nobody waits.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the worker's reason; [`ClientError::Lost`].
    pub async fn call(&self, request: Request) -> Result<Response, ClientError> {
        self.link.call(request).await
    }
}

/// The socket of the running worker itself, for a bridge that carries its bytes elsewhere; starts a worker first if
/// none runs. Of which version the worker is, is for those at the bridge's other end to say.
///
/// # Errors
/// As [`Client::connect_or_start`].
pub async fn open_or_start(paths: &Paths) -> Result<UnixStream, ClientError> {
    // Held until the socket is open, so that the worker does not end in between.
    let _greeted = match Client::connect_or_start(paths).await {
        Ok(greeted) => Some(greeted),
        Err(ClientError::Refused(_)) => None,
        Err(error) => return Err(error),
    };
    open(&paths.socket()).await
}

/// Opens the socket, if a worker of this person's is behind it.
///
/// # Errors
/// [`ClientError::NoWorker`].
pub async fn open(socket: &Path) -> Result<UnixStream, ClientError> {
    let address = Address::of(socket);
    let stream = match address {
        Ok(address) => UnixStream::connect(address.path()).await,
        Err(error) => Err(error),
    };
    let failed = |source| ClientError::Io { what: format!("connecting to {}", socket.display()), source };
    let stream = stream.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoWorker,
        _ => failed(source),
    })?;
    let peer = stream.peer_cred().map_err(failed)?;
    if peer.uid() == rustix::process::geteuid().as_raw() {
        return Ok(stream);
    }
    Err(ClientError::Io {
        what: format!("the worker at {} belongs to another user (number {})", socket.display(), peer.uid()),
        source: io::ErrorKind::PermissionDenied.into(),
    })
}
