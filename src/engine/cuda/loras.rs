//! The LoRAs of pictures on a card: read once, and set beside the transformer when a picture asks for others than the one
//! before. An encoder that they change is brought for each prompt with what is changed in it.

use std::sync::Arc;
use std::time::Instant;

use super::error::CudaError;
use super::flux::Flux;
use super::flux::origin::Origin;
use super::flux::sides::Sides;
use super::pipeline::during;
use super::prompts::{Prompts, T5Reader};
use crate::device::MergeChoice;
use crate::engine::lora::{Changed, Lora, Of, Shapes, Shelf, merges, merging_note, text};
use crate::engine::loras::Beside;
use crate::engine::weights::Weights;
use crate::engine::{EngineError, LoraFile, resume};
use crate::job::{LoraHash, Unapplied};

/// What is beside a model.
pub struct Loras {
    transformer: Weights,
    t5: Weights,
    clip: Weights,
    shelf: Shelf,
    choice: MergeChoice,
    /// What is set, and whether it is merged; `None` when that failed.
    set: Option<Set>,
    /// What is said of it.
    note: String,
}

type Set = (Vec<(LoraHash, f32)>, bool);

impl std::fmt::Debug for Loras {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loras").field("set", &self.set).finish_non_exhaustive()
    }
}

impl Loras {
    /// None yet, beside a model that was read from these files.
    #[must_use]
    pub fn new(transformer: Weights, t5: Weights, clip: Weights, choice: MergeChoice) -> Self {
        let shelf = Shelf::new(Shapes::of(&transformer, &clip, &t5));
        let (set, note) = (Some(Set::default()), String::new());
        Self { transformer, t5, clip, shelf, choice, set, note }
    }

    /// Whether these would be merged.
    #[must_use]
    pub fn merges(&self, wanted: &[LoraFile]) -> bool {
        merges(self.choice, wanted)
    }

    /// What the numbers of a picture depend on: merged into other layers they make others.
    #[must_use]
    pub fn numerics(&self, wanted: &[LoraFile], flux: &Flux) -> String {
        let merged = self.merges(wanted).then(|| format!("; merged into {} layers", flux.mergeable()));
        resume::of_loras(wanted) + &merged.unwrap_or_default()
    }

    /// What a person is told of how they are added.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    /// Sets these and no others. What of each belongs to no layer of the model is told.
    ///
    /// # Errors
    /// [`EngineError::Lora`]; what was set before is set still. [`EngineError::OutOfMemory`] and what else the card says;
    /// nothing is set then, neither beside the transformer nor in the encoders.
    pub fn set(
        &mut self,
        wanted: &[LoraFile],
        flux: &mut Flux,
        prompts: &mut Prompts,
    ) -> Result<Vec<Unapplied>, EngineError> {
        let begun = Instant::now();
        let (loras, unapplied) = self.shelf.take(wanted)?;
        let read = begun.elapsed().as_secs_f64();
        let merge = self.merges(wanted);
        let key = (wanted.iter().map(|file| (file.hash.clone(), file.strength)).collect(), merge);
        if self.set.as_ref() != Some(&key) {
            self.set = None;
            self.set_text(wanted, &loras, prompts);
            let transformer = Changed::by(&loras, Of::Transformer);
            let shapes = &self.shelf.shapes().transformer;
            let origin = Origin::File(&self.transformer);
            let set = if merge {
                flux.merge_loras(&origin, shapes, &transformer)
            } else {
                flux.set_loras(&origin, shapes, &transformer)
            };
            set.map_err(|error: CudaError| {
                self.set_text(&[], &[], prompts);
                during("adding LoRAs")(error)
            })?;
            self.set = Some(key);
            let (seconds, bytes) =
                (begun.elapsed().as_secs_f64() - read, flux.sides().map_or(0, Sides::bytes));
            let merged = flux.merged_layers();
            self.note = merging_note(self.choice, wanted, merged);
            tracing::info!(count = wanted.len(), read, seconds, bytes, merged, "LoRAs were set");
        }
        Ok(unapplied)
    }

    fn set_text(&self, wanted: &[LoraFile], loras: &[(Arc<Lora>, f32)], prompts: &mut Prompts) {
        let (t5, clip, line) = prompts.encoders();
        let changed = |weights: &Weights, of| {
            let changed = Changed::by(loras, of);
            (!changed.is_empty()).then(|| (weights.clone(), changed))
        };
        clip.set_changed(changed(&self.clip, Of::Clip));
        match t5 {
            T5Reader::Card(t5) => t5.set_changed(changed(&self.t5, Of::T5)),
            T5Reader::Host(t5) => {
                let changed = Changed::by(loras, Of::T5);
                t5.layers(&mut Beside::new(&self.t5, &self.shelf.shapes().t5, &changed));
            }
        }
        *line = text(wanted, loras);
    }
}
