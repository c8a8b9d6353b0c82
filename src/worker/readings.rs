//! The thread that reads memory, load and temperature while a client watches, and sleeps otherwise.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::device::{Device, Share};
use crate::gpu::{Readings, Sampler};

/// Starts the thread; `held` says who of this process holds what of a card. It reads when it is nudged and every so often while it is watched, and ends
/// when nobody can nudge it any more.
///
/// # Errors
/// When the system has no thread left.
pub fn start(
    every: Duration,
    watched: Arc<AtomicBool>,
    held: impl Fn(Device) -> Vec<Share> + Send + 'static,
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
            let mut sampled = sampler.sample();
            // The numbers of the devices are the driver's, as those of the cards are in every usual order.
            sampled.gpus.iter_mut().for_each(|gpu| gpu.owners = held(Device::Cuda(gpu.index)));
            if readings.send(sampled).is_err() {
                return;
            }
        }
    })?;
    Ok(nudge)
}
