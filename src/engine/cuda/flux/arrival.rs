//! Weights that arrive while whoever needs the first of them goes on already: a thread brings part after part, and each is
//! waited for where it is first read.
//!
//! Cold, with the files in the page cache, a load of FLUX.1 is bound by the bus. Read to its end before anything is
//! computed, it costs its bytes and then a prompt and a step; so it costs its bytes and a block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engine::cuda::error::{CudaError, Result};

/// How often whoever waits is asked whether it still wants to.
const ASKED: Duration = Duration::from_millis(50);

/// Parts on their way. Each comes with a mark of type `M`, by which what reads it is ordered behind it.
pub struct Arrival<M> {
    shared: Arc<Shared<M>>,
    thread: Option<JoinHandle<()>>,
}

/// The other end: whoever brings them.
pub struct Bringing<M>(Arc<Shared<M>>);

struct Shared<M> {
    state: Mutex<State<M>>,
    changed: Condvar,
    unwanted: AtomicBool,
}

struct State<M> {
    here: Vec<Option<Arc<M>>>,
    bytes: u64,
    end: Option<std::result::Result<(), Arc<CudaError>>>,
}

impl<M> Shared<M> {
    fn state(&self) -> MutexGuard<'_, State<M>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> std::fmt::Debug for Arrival<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.state();
        let here = state.here.iter().flatten().count();
        write!(f, "Arrival({here} of {} parts, {} bytes)", state.here.len(), state.bytes)
    }
}

impl<M: Send + Sync + 'static> Arrival<M> {
    /// Has `bring` bring so many parts, on a thread of its own.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn start(
        parts: usize,
        bring: impl FnOnce(&Bringing<M>) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let state = State { here: (0..parts).map(|_| None).collect(), bytes: 0, end: None };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            unwanted: AtomicBool::new(false),
        });
        let bringing = Bringing(Arc::clone(&shared));
        let act = move || {
            // Whoever waits must hear of it.
            let end = catch_unwind(AssertUnwindSafe(|| bring(&bringing)))
                .unwrap_or_else(|_| Err(CudaError::Shape("bringing it broke down".to_owned())));
            bringing.0.state().end = Some(end.map_err(Arc::new));
            bringing.0.changed.notify_all();
        };
        let thread = thread::Builder::new().name("weights".to_owned()).spawn(act);
        let thread = thread.map_err(|error| CudaError::Shape(format!("no thread to load with: {error}")))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits for a part; `each` is told of the bytes that are here, now and then, and may end the waiting. At once where the
    /// part is here.
    ///
    /// # Errors
    /// [`CudaError::Arrival`] when it will not come; what `each` gives.
    pub fn wait_for(&self, part: usize, each: &mut dyn FnMut(u64) -> Result<()>) -> Result<Arc<M>> {
        let mut state = self.shared.state();
        loop {
            if let Some(mark) = &state.here[part] {
                return Ok(Arc::clone(mark));
            }
            match &state.end {
                Some(Err(error)) => return Err(CudaError::Arrival(Arc::clone(error))),
                Some(Ok(())) => {
                    return Err(CudaError::Shape(format!("part {part} of the weights was never brought")));
                }
                None => {}
            }
            let bytes = state.bytes;
            drop(state);
            each(bytes)?;
            state = self.shared.state();
            let still = |state: &mut State<M>| state.here[part].is_none() && state.end.is_none();
            let waited = self.shared.changed.wait_timeout_while(state, ASKED, still);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Bytes that are here.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.state().bytes
    }
}

impl<M> Bringing<M> {
    /// So many bytes more have been brought.
    ///
    /// # Errors
    /// [`CudaError::Stopped`] when nobody wants the rest.
    pub fn brought(&self, bytes: usize) -> Result<()> {
        self.0.state().bytes += bytes as u64;
        if self.0.unwanted.load(Ordering::Relaxed) { Err(CudaError::Stopped) } else { Ok(()) }
    }

    /// A part is here for whoever orders itself behind the mark.
    pub fn here(&self, part: usize, mark: Arc<M>) {
        self.0.state().here[part] = Some(mark);
        self.0.changed.notify_all();
    }
}

impl<M> Drop for Arrival<M> {
    fn drop(&mut self) {
        self.shared.unwanted.store(true, Ordering::Relaxed);
        // It has caught its panics.
        self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn patient(_: u64) -> Result<()> {
        Ok(())
    }

    #[test]
    fn the_first_part_is_there_while_the_last_is_not() {
        let (go_on, wait) = mpsc::channel();
        let arrival = Arrival::start(2, move |bringing: &Bringing<u32>| {
            bringing.brought(10)?;
            bringing.here(0, Arc::new(7));
            wait.recv().expect("the test lives");
            bringing.brought(20)?;
            bringing.here(1, Arc::new(8));
            Ok(())
        });
        let arrival = arrival.expect("it starts");
        assert_eq!(*arrival.wait_for(0, &mut patient).expect("it comes"), 7);
        assert_eq!(arrival.bytes(), 10);
        let mut told = Vec::new();
        let last = arrival.wait_for(1, &mut |bytes| {
            told.push(bytes);
            go_on.send(()).expect("it waits");
            Ok(())
        });
        assert_eq!((*last.expect("it comes"), told[0]), (8, 10));
        assert_eq!(*arrival.wait_for(0, &mut patient).expect("it is here still"), 7);
    }

    #[test]
    fn what_goes_wrong_is_told_at_each_part_that_did_not_come() {
        let arrival = Arrival::start(3, |bringing: &Bringing<()>| {
            bringing.here(0, Arc::new(()));
            Err(CudaError::Shape("a hole in the file".to_owned()))
        });
        let arrival = arrival.expect("it starts");
        for part in [2, 1, 2] {
            let error = arrival.wait_for(part, &mut patient).expect_err("it never comes");
            assert_eq!(error.to_string(), "a hole in the file");
        }
        arrival.wait_for(0, &mut patient).expect("it came before");
        let broken = Arrival::start(1, |_: &Bringing<()>| panic!("as a test does")).expect("it starts");
        let error = broken.wait_for(0, &mut patient).expect_err("it broke down");
        assert!(error.to_string().contains("broke down"), "{error}");
    }

    #[test]
    fn whoever_waits_may_leave_and_the_thread_ends_soon() {
        let arrival = Arrival::start(1, |bringing: &Bringing<()>| {
            loop {
                bringing.brought(1)?;
            }
        });
        let arrival = arrival.expect("it starts");
        let left = arrival.wait_for(0, &mut |_| Err(CudaError::Stopped));
        assert!(matches!(left, Err(CudaError::Stopped)));
        // Waits for the thread, which would go on for ever.
        drop(arrival);
    }
}
