//! The thread that reads memory, load and temperature while a client watches, and sleeps otherwise.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::gpu::{Readings, Sampler};

/// Starts the thread. It reads when it is nudged and every so often while it is watched, and ends
/// when nobody can nudge it any more.
///
/// # Errors
/// When the system has no thread left.
pub fn start(
    every: Duration,
    watched: Arc<AtomicBool>,
    readings: UnboundedSender<Readings>,
) -> io::Result<mpsc::Sender<()>> {
    let (nudge, nudges) = mpsc::channel();
    thread::Builder::new().name("readings".into()).spawn(move || {
        // Opened at the first use: a worker that nobody watches needs no NVML.
        let mut sampler = None;
        loop {
            let next = if watched.load(Ordering::Relaxed) {
                nudges.recv_timeout(every)
            } else {
                nudges.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            if next == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            let sampler = sampler.get_or_insert_with(Sampler::new);
            if readings.send(sampler.sample()).is_err() {
                return;
            }
        }
    })?;
    Ok(nudge)
}
