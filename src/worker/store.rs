//! The thread that owns the library. What is asked of it is done in the order it was asked, so
//! that jobs get their numbers in the order they came.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use crate::library::{Library, LibraryError};

type Errand = Box<dyn FnOnce(&mut Library) + Send>;

/// A way to ask the library; clones ask the same one. It is closed when all of them are gone.
#[derive(Debug, Clone)]
pub struct Store(mpsc::Sender<Errand>);

impl Store {
    /// Hands the library to a thread of its own.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(mut library: Library) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let (sender, errands) = mpsc::channel::<Errand>();
        let thread = thread::Builder::new().name("library".into()).spawn(move || {
            for errand in errands {
                errand(&mut library);
            }
        })?;
        Ok((Self(sender), thread))
    }

    /// Asks now; the answer comes when the future is awaited, and what was asked is done even if it
    /// never is.
    pub fn ask<T, F>(&self, errand: F) -> impl Future<Output = Result<T, LibraryError>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut Library) -> Result<T, LibraryError> + Send + 'static,
    {
        let answer = self.send(errand);
        async move { answer.await.unwrap_or(Err(LibraryError::Closed)) }
    }

    /// Asks and waits. For threads outside the runtime.
    ///
    /// # Errors
    /// The library's own, or [`LibraryError::Closed`].
    pub fn ask_and_wait<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut Library) -> Result<T, LibraryError> + Send + 'static,
    ) -> Result<T, LibraryError> {
        self.send(errand).blocking_recv().unwrap_or(Err(LibraryError::Closed))
    }

    fn send<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut Library) -> Result<T, LibraryError> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, LibraryError>> {
        let (sender, answer) = oneshot::channel();
        let errand: Errand = Box::new(move |library| {
            // Whoever asked may be gone: a client that left after it submitted.
            let _ = sender.send(errand(library));
        });
        // A send that fails drops the sender, and the answer says so.
        let _ = self.0.send(errand);
        answer
    }
}
