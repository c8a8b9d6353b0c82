//! The worker that a studio belongs to: of this machine, or of another.

use std::sync::{Mutex, PoisonError};

use super::link::Connect;
use crate::client::{Asking, Client, ClientError, Endpoint, Events, HostName};

/// Where connections come from. To another machine the first is made before the studio takes the terminal, so that ssh
/// can ask for a password; later ones are made without asking.
#[derive(Debug)]
pub struct Source {
    endpoint: Endpoint,
    first: Mutex<Option<(Client, Events)>>,
}

impl Source {
    /// Makes the first connection where a person may be asked for something.
    ///
    /// # Errors
    /// Only of another machine; a worker of this one is looked for when the studio is open.
    pub async fn open(endpoint: Endpoint) -> Result<Self, ClientError> {
        let first = match &endpoint {
            Endpoint::Here(_) => None,
            Endpoint::There(_) => Some(endpoint.connect_or_start(Asking::Here).await?),
        };
        Ok(Self { endpoint, first: Mutex::new(first) })
    }

    /// The other machine.
    #[must_use]
    pub fn host(&self) -> Option<&HostName> {
        self.endpoint.host()
    }
}

impl Connect for Source {
    type Connection = Client;
    async fn connect(&self) -> Result<(Client, Events), ClientError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(connected) => Ok(connected),
            None => self.endpoint.connect_or_start(Asking::Never).await,
        }
    }

    async fn replace(&self) -> Result<usize, ClientError> {
        self.endpoint.replace().await
    }
}
