//! Where a worker is: on this machine, or on another.

use super::line::HostName;
use super::remote::{Asking, Remote};
use super::{Client, ClientError, Events};
use crate::paths::Paths;

/// Where a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// On this machine, with its things in these directories.
    Here(Paths),
    /// On another, with its things where that machine keeps them.
    There(Remote),
}

impl Endpoint {
    /// Connects to the running worker.
    ///
    /// # Errors
    /// [`ClientError::NoWorker`] when none runs.
    pub async fn connect(&self, asking: Asking) -> Result<(Client, Events), ClientError> {
        match self {
            Self::Here(paths) => Client::connect(paths).await,
            Self::There(remote) => remote.connect(asking, false).await,
        }
    }

    /// Connects to the running worker, or starts one and waits until it answers.
    ///
    /// # Errors
    /// [`ClientError::NotStarted`], [`ClientError::NoLine`].
    pub async fn connect_or_start(&self, asking: Asking) -> Result<(Client, Events), ClientError> {
        match self {
            Self::Here(paths) => Client::connect_or_start(paths).await,
            Self::There(remote) => remote.connect(asking, true).await,
        }
    }

    /// As [`Client::replace`].
    ///
    /// # Errors
    /// As there; on another machine it has to be asked there.
    pub async fn replace(&self) -> Result<usize, ClientError> {
        match self {
            Self::Here(paths) => Client::replace(paths).await,
            Self::There(remote) => Err(ClientError::NoLine {
                host: remote.host.to_string(),
                reason: "a worker is replaced from its own machine: run `flux-tui worker replace` there"
                    .to_owned(),
            }),
        }
    }

    /// The other machine.
    #[must_use]
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Self::Here(_) => None,
            Self::There(remote) => Some(&remote.host),
        }
    }
}
