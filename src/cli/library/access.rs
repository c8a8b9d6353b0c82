//! Who is asked: the worker where one runs, and otherwise the library itself, which is open for each question only, so
//! that a worker that is started meanwhile does not find it in use.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::failure::Failure;
use crate::cli::text;
use crate::client::{Client, ClientError};
use crate::library::{Library, LibraryError};
use crate::paths::Paths;
use crate::wire::library::{LibraryRequest, LibraryResponse};
use crate::wire::message::{Request, Response};
use crate::worker;

/// How long somebody else who has the library open, and is no worker that answers, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// A way to the library.
#[derive(Debug)]
pub(in crate::cli) struct Access {
    paths: Paths,
    worker: Option<Client>,
}

impl Access {
    /// To the library of this person. Nothing is asked or opened yet.
    pub fn new(paths: Paths) -> Self {
        Self { paths, worker: None }
    }

    /// Asks. Starts no worker.
    ///
    /// # Errors
    /// What the worker or the library says.
    pub async fn ask(&mut self, asked: LibraryRequest) -> Result<LibraryResponse, Failure> {
        let begun = Instant::now();
        loop {
            if let Some(worker) = self.worker().await? {
                return match worker.call(Request::Library(asked)).await? {
                    Response::Library(response) => Ok(response),
                    _ => Err(ClientError::Unexpected.into()),
                };
            }
            match Library::open_or_rebuild(&self.paths) {
                Ok((mut library, rebuilt)) => {
                    rebuilt.iter().for_each(|rebuilt| text::complain("warning", &rebuilt.to_string()));
                    return answer(&mut library, asked);
                }
                // A worker that begins or ends, or another command: it answers soon, or makes room.
                Err(LibraryError::InUse(_)) if begun.elapsed() < PATIENCE => sleep(TRY_EVERY).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn worker(&mut self) -> Result<Option<&Client>, Failure> {
        if self.worker.is_none() {
            match Client::connect(&self.paths).await {
                Ok((client, _)) => self.worker = Some(client),
                // The last two: it is just ending.
                Err(ClientError::NoWorker | ClientError::Lost | ClientError::Ended) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.worker.as_ref())
    }
}

/// What a worker that was killed left is brought to order first, as the next worker would.
fn answer(library: &mut Library, asked: LibraryRequest) -> Result<LibraryResponse, Failure> {
    library.recover()?;
    let now = jiff::Timestamp::now().as_millisecond();
    let answered = worker::library_answer(library, asked, now);
    answered.map(|(response, _)| response).map_err(|refusal| ClientError::Refused(refusal).into())
}
