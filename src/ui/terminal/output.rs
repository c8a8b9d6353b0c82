//! The thread that writes frames. The loop never waits for a slow line: it draws a new frame only
//! when the last one is out, so what is drawn is always the newest.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::guard::has_panicked;

/// Writes one frame at a time.
#[derive(Debug)]
pub struct Output {
    frames: SyncSender<Vec<u8>>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    busy: AtomicBool,
    failed: AtomicBool,
    idle: Notify,
    /// The last frame's bytes, and how long it took to write them.
    written: Mutex<Option<(usize, Duration)>>,
}

impl Output {
    /// Starts the thread, which writes to `target`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(target: impl Write + Send + 'static) -> io::Result<Self> {
        let (frames, queue) = sync_channel(1);
        let state = Arc::new(State::default());
        let of_thread = Arc::clone(&state);
        std::thread::Builder::new()
            .name("output".into())
            .spawn(move || write_all(&queue, target, &of_thread))?;
        Ok(Self { frames, state })
    }

    /// Whether the last frame is out.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.state.busy.load(Ordering::SeqCst)
    }

    /// How many bytes the last frame had and how long writing it took, once.
    #[must_use]
    pub fn take_written(&self) -> Option<(usize, Duration)> {
        self.state.written.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether writing has failed: the terminal is gone.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state.failed.load(Ordering::SeqCst)
    }

    /// Writes a frame; only when [`Self::is_idle`].
    pub fn write(&self, frame: Vec<u8>) {
        if frame.is_empty() {
            return;
        }
        self.state.busy.store(true, Ordering::SeqCst);
        if self.frames.send(frame).is_err() {
            self.state.failed.store(true, Ordering::SeqCst);
            self.state.busy.store(false, Ordering::SeqCst);
        }
    }

    /// Waits until the last frame is out.
    pub async fn idle(&self) {
        loop {
            // Registered before looking, so that the end of a frame in between is not missed.
            let notified = self.state.idle.notified();
            if self.is_idle() {
                return;
            }
            notified.await;
        }
    }
}

/// Bytes written at a time, between two looks at whether something has panicked.
const PIECE: usize = 1024;

/// Writes one frame. After a panic the terminal has been given back and shows its message, which what is left of a frame
/// must not cover.
fn write_frame(frame: &[u8], target: &mut impl Write) -> io::Result<()> {
    for piece in frame.chunks(PIECE) {
        if has_panicked() {
            return Ok(());
        }
        target.write_all(piece)?;
        target.flush()?;
    }
    Ok(())
}

fn write_all(queue: &Receiver<Vec<u8>>, mut target: impl Write, state: &State) {
    for frame in queue {
        let begun = Instant::now();
        if write_frame(&frame, &mut target).is_err() {
            state.failed.store(true, Ordering::SeqCst);
        }
        *state.written.lock().unwrap_or_else(PoisonError::into_inner) = Some((frame.len(), begun.elapsed()));
        state.busy.store(false, Ordering::SeqCst);
        state.idle.notify_waiters();
    }
}
