//! Pins what is streamed out of files while steps run.
//!
//! 7.3 GB are pinned in 0.26 s when nobody else wants the driver. Before the first step that is as long as the step, and
//! whatever else is brought waits as well; beside later steps nobody sees it.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::in_place::InPlace;

/// A thread that pins, from its begin until all is pinned or this is dropped.
#[derive(Debug, Default)]
pub struct Pinning {
    thread: OnceCell<Option<JoinHandle<()>>>,
    unwanted: Arc<AtomicBool>,
}

impl Pinning {
    /// Begins, at the first call. A system that starts no thread leaves the host to copy.
    pub fn begin(&self, files: &Arc<InPlace>) {
        self.thread.get_or_init(|| {
            let (files, unwanted) = (Arc::clone(files), Arc::clone(&self.unwanted));
            let act = move || {
                let begun = Instant::now();
                let pinned = files.pin(&|| !unwanted.load(Ordering::Relaxed));
                let seconds = begun.elapsed().as_secs_f64();
                match pinned {
                    Ok(whole) => tracing::info!(?files, whole, seconds, "pinned what is streamed"),
                    Err(error) => tracing::warn!(%error, "what is streamed is not pinned"),
                }
            };
            let started = thread::Builder::new().name("pinning".to_owned()).spawn(act);
            started.inspect_err(|error| tracing::warn!(%error, "no thread to pin with")).ok()
        });
    }
}

impl Drop for Pinning {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take().flatten()
            && thread.join().is_err()
        {
            tracing::error!("pinning what is streamed broke down");
        }
    }
}
