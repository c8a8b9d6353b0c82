//! The LoRAs of pictures on the CPU: read once, and set beside a model's layers when a picture asks for others than the
//! one before. Nothing of the model changes, so without them it is what it was, bit for bit. Where it is asked for they are
//! merged into weights that the model holds in fp32, which are read from their file again before others are set.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dit::layers::Layers;
use super::dit::linear::Linear;
use super::dit::model::Flux;
use super::dit::norms::Norms;
use super::lora::{Changed, Layer, Lora, Of, Shapes, Shelf, Side, merges, merging_note, text};
use super::text::encode::Clip;
use super::text::t5::T5;
use super::weights::{Weights, WeightsError};
use super::{EngineError, LoraFile, resume};
use crate::device::MergeChoice;
use crate::job::{LoraHash, Unapplied};
use crate::model::Source;

/// What is beside a model.
pub struct Loras {
    transformer: Weights,
    t5: Weights,
    clip: Weights,
    clip_config: Source,
    shelf: Shelf,
    choice: MergeChoice,
    /// What is set, and whether it is merged; `None` when that failed.
    set: Option<(Vec<(LoraHash, f32)>, bool)>,
    /// What is said of it.
    note: String,
    /// The model's own CLIP while a changed one is in its place.
    own_clip: Option<Clip>,
    /// What the encoders were changed by.
    text: String,
}

impl std::fmt::Debug for Loras {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loras").field("set", &self.set).finish_non_exhaustive()
    }
}

/// What LoRAs are set beside.
#[derive(Debug)]
pub struct Model<'m> {
    /// The transformer.
    pub flux: &'m mut Flux,
    /// T5's encoder.
    pub t5: &'m mut T5,
    /// CLIP's text model.
    pub clip: &'m mut Clip,
}

impl Loras {
    /// None yet, beside a model that was read from these files.
    #[must_use]
    pub fn new(transformer: Weights, t5: Weights, clip: Weights, clip_config: &Source) -> Self {
        let shelf = Shelf::new(Shapes::of(&transformer, &clip, &t5));
        let (set, text, clip_config) = (Some(Default::default()), String::new(), clip_config.clone());
        let (choice, note) = (MergeChoice::Never, String::new());
        Self { transformer, t5, clip, clip_config, shelf, choice, set, note, own_clip: None, text }
    }

    /// The same, which are merged by this choice.
    #[must_use]
    pub fn merging(self, choice: MergeChoice) -> Self {
        Self { choice, ..self }
    }

    /// What a person is told of how they are added.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    /// What the numbers of a picture depend on.
    #[must_use]
    pub fn numerics(&self, wanted: &[LoraFile]) -> String {
        resume::of_loras(wanted) + if merges(self.choice, wanted) { "; merged" } else { "" }
    }

    /// What tells texts apart that encoders read which LoRAs have changed; empty where none has.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Sets these and no others. What of each belongs to no layer of the model is told.
    ///
    /// # Errors
    /// [`EngineError::Lora`]; what was set before is set still.
    pub fn set(&mut self, wanted: &[LoraFile], model: &mut Model<'_>) -> Result<Vec<Unapplied>, EngineError> {
        let (loras, unapplied) = self.shelf.take(wanted)?;
        let merge = merges(self.choice, wanted);
        let key = (wanted.iter().map(|file| (file.hash.clone(), file.strength)).collect(), merge);
        if self.set.as_ref() != Some(&key) {
            self.set = None;
            let merged = self.set_all(&loras, merge, model)?;
            self.note = merging_note(self.choice, wanted, merged);
            self.text = text(wanted, &loras);
            self.set = Some(key);
        }
        Ok(unapplied)
    }

    /// Gives the number of layers that they were merged into.
    fn set_all(
        &mut self,
        loras: &[(Arc<Lora>, f32)],
        merge: bool,
        model: &mut Model<'_>,
    ) -> Result<usize, EngineError> {
        let changed_clip = self.changed_clip(loras)?;
        let shapes = self.shelf.shapes();
        let transformer = Changed::by(loras, Of::Transformer);
        let mut beside = Beside::new(&self.transformer, &shapes.transformer, &transformer);
        beside.merge = merge;
        model.flux.layers(&mut beside);
        let merged = beside.merged;
        beside.failed.map_or(Ok(()), |error| Err(compute(error)))?;
        model.t5.layers(&mut Beside::new(&self.t5, &shapes.t5, &Changed::by(loras, Of::T5)));
        match (changed_clip, self.own_clip.take()) {
            (Some(changed), own) => {
                let before = std::mem::replace(model.clip, changed);
                self.own_clip = Some(own.unwrap_or(before));
            }
            (None, Some(own)) => *model.clip = own,
            (None, None) => {}
        }
        Ok(merged)
    }

    /// CLIP with what is changed in it, if anything is: it is small, so its weights are read again.
    fn changed_clip(&self, loras: &[(Arc<Lora>, f32)]) -> Result<Option<Clip>, EngineError> {
        let changed = Changed::by(loras, Of::Clip);
        if changed.is_empty() {
            return Ok(None);
        }
        let change = |name: &str, values: &mut [f32]| changed.change(&self.clip, name, values);
        let changed = Clip::load_changed(&self.clip, &self.clip_config, &change);
        changed
            .map(Some)
            .map_err(|error| EngineError::Compute { stage: "adding a LoRA", source: Box::new(error) })
    }
}

fn compute(error: candle_core::Error) -> EngineError {
    EngineError::Compute { stage: "adding a LoRA", source: Box::new(error) }
}

/// Sets what belongs beside each layer that it is shown, and takes away what does not.
pub(in crate::engine) struct Beside<'b> {
    changed: &'b Changed,
    /// Whether to merge what can be, and how many layers that were.
    merge: bool,
    merged: usize,
    weights: &'b Weights,
    shapes: &'b BTreeMap<String, [usize; 2]>,
    layers: BTreeMap<&'b str, Vec<(&'b Layer, f32)>>,
    norms: BTreeMap<String, Vec<f32>>,
    failed: Option<candle_core::Error>,
}

impl<'b> Beside<'b> {
    /// Of what is changed in these weights.
    pub fn new(weights: &'b Weights, shapes: &'b BTreeMap<String, [usize; 2]>, changed: &'b Changed) -> Self {
        let (layers, norms) = (changed.layers(), changed.norms());
        Self { changed, merge: false, merged: 0, weights, shapes, layers, norms, failed: None }
    }

    /// Reads a layer's weight from its file again: with what is changed in it where that is to be merged, which is told, or
    /// as it was.
    fn read(&self, name: &str, layer: &mut Linear) -> Result<bool, WeightsError> {
        let weight = format!("{name}.weight");
        if !(self.merge && layer.can_merge() && self.changed.is(&weight)) {
            return layer.restore(self.weights, name).map(|()| false);
        }
        let change = |values: &mut [f32]| self.changed.change(self.weights, &weight, values);
        layer.read_with(self.weights, name, change).map(|()| true)
    }
}

impl Layers for Beside<'_> {
    fn linear(&mut self, name: &str, layer: &mut Linear) {
        let merged = self.read(name, layer).unwrap_or_else(|error| {
            self.failed.get_or_insert(candle_core::Error::wrap(error));
            false
        });
        self.merged += usize::from(merged);
        let side = self.layers.get(name).zip(self.shapes.get(name)).and_then(|(changes, shape)| {
            let matrix = self.weights.matrix(&format!("{name}.weight"), (shape[0], shape[1]));
            let rows = |first: usize, out: &mut [f32]| match &matrix {
                Ok(matrix) => matrix.widen(first, out),
                // The model was read from this very tensor.
                Err(_) => out.fill(0.0),
            };
            if merged { Side::of_biases(*shape, changes) } else { Side::new(*shape, changes, &rows) }
        });
        layer.set_side(side.map(Arc::new));
    }

    fn norms(&mut self, name: &str, norms: &mut Norms) {
        let added = ["query", "key"].map(|which| self.norms.get(&format!("{name}.{which}_norm.scale")));
        let added = match added {
            [None, None] => None,
            [query, key] => {
                let width = query.or(key).map_or(0, Vec::len);
                let all = [query, key].map(|values| values.cloned().unwrap_or_else(|| vec![0.0; width]));
                Some(all.concat())
            }
        };
        if let Err(error) = norms.add(added) {
            self.failed.get_or_insert(error);
        }
    }
}
