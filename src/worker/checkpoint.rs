//! Keeping how far a picture is while it is drawn, and finding it again: between the engine's [`StepLatent`] and the
//! library's [`Checkpoint`].

use std::time::{Duration, Instant};

use super::queue::Work;
use super::store::Store;
use crate::engine::{Step, StepLatent};
use crate::library::{Checkpoint, CheckpointKey};

/// Keeps one picture.
#[derive(Debug)]
pub(super) struct Keeper<'a> {
    store: &'a Store,
    every: Duration,
    key: CheckpointKey,
    kept: Instant,
}

impl<'a> Keeper<'a> {
    /// Of a picture that an engine of these numerics draws; at most one is kept in `every`.
    pub fn new(store: &'a Store, every: Duration, work: &Work, numerics: String) -> Self {
        let key = CheckpointKey::new(work.id, work.index, work.seed, &work.job, numerics);
        Self { store, every, key, kept: Instant::now() }
    }

    /// What an earlier worker, or this one before memory ran out, has kept of the picture.
    pub fn find(&self) -> Option<StepLatent> {
        let key = self.key.clone();
        let found = self.store.ask_and_wait(move |library| Ok(library.checkpoint(&key)));
        // The library's end is told by whatever asks it next.
        let Checkpoint { step, tokens, channels, values, .. } = found.ok().flatten()?;
        tracing::info!(job = self.key.job.0, index = self.key.index, step, "going on from a checkpoint");
        Some(StepLatent { step, tokens, channels, values })
    }

    /// A step is done: it is kept if enough was drawn since the last. That it cannot be kept stops nothing.
    pub fn step(&mut self, at: &Step<'_>) {
        if self.kept.elapsed() < self.every {
            return;
        }
        let StepLatent { step, tokens, channels, values } = match at.latent.copy() {
            Ok(latent) => latent,
            Err(error) => {
                return tracing::warn!(job = self.key.job.0, %error, "a checkpoint could not be taken");
            }
        };
        let checkpoint = Checkpoint { key: self.key.clone(), step, tokens, channels, values };
        // Waiting bounds what is in memory, and the library does nothing that takes long.
        if let Err(error) = self.store.ask_and_wait(move |library| library.keep_checkpoint(&checkpoint)) {
            tracing::warn!(job = self.key.job.0, %error, "a checkpoint could not be kept");
        }
        self.kept = Instant::now();
    }
}
