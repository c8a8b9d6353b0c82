//! The thread that owns the library. What is asked of it is done in the order it was asked, so
//! that jobs get their numbers in the order they came.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use crate::library::{Library, LibraryError};

/// Gives the damage that it has met.
type Errand = Box<dyn FnOnce(&mut Library) -> Option<LibraryError> + Send>;

/// A way to ask the library; clones ask the same one. It is closed when all of them are gone.
#[derive(Debug, Clone)]
pub struct Store(mpsc::Sender<Errand>);

impl Store {
    /// Hands the library to a thread of its own. `damaged` is called when it turns out to be damaged: that is noted, and
    /// whoever opens it next makes it anew.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        mut library: Library,
        damaged: impl Fn(LibraryError) + Send + 'static,
    ) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let (sender, errands) = mpsc::channel::<Errand>();
        let thread = thread::Builder::new().name("library".into()).spawn(move || {
            for errand in errands {
                if let Some(error) = errand(&mut library) {
                    library.note_damage(&error.to_string());
                    damaged(error);
                }
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
            let result = errand(library);
            let damage = match &result {
                Err(LibraryError::Damaged { path, reason }) => {
                    Some(LibraryError::Damaged { path: path.clone(), reason: reason.clone() })
                }
                _ => None,
            };
            // Whoever asked may be gone: a client that left after it submitted.
            let _ = sender.send(result);
            damage
        });
        // A send that fails drops the sender, and the answer says so.
        let _ = self.0.send(errand);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;

    #[test]
    fn damage_that_is_met_is_told_and_the_next_to_open_the_library_makes_it_anew() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let library = Library::open(&paths).expect("it is new");
        let (tell, told) = mpsc::channel();
        let damaged = move |error: LibraryError| drop(tell.send(error.to_string()));
        let (store, thread) = Store::start(library, damaged).expect("there is a thread");
        let path = paths.library();
        let damage = move || LibraryError::Damaged { path, reason: "a bad page".to_owned() };
        let met = store.ask_and_wait::<()>(move |_| Err(damage()));
        assert!(matches!(met, Err(LibraryError::Damaged { .. })), "{met:?}");
        assert!(told.recv().expect("it is told").contains("a bad page"));
        drop(store);
        thread.join().expect("it ends");
        let (_, rebuilt) = Library::open_or_rebuild(&paths).expect("it opens");
        assert!(rebuilt.expect("it was noted").reason.contains("a bad page"));
    }
}
