//! The LoRAs of pictures on the CPU: read once, and set beside a model's layers when a picture asks for others than the
//! one before. Nothing of the model changes, so without them it is what it was, bit for bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dit::layers::Layers;
use super::dit::linear::Linear;
use super::dit::model::Flux;
use super::dit::norms::Norms;
use super::lora::{Changed, Layer, Lora, Of, Shapes, Shelf, Side, text};
use super::text::encode::Clip;
use super::text::t5::T5;
use super::weights::Weights;
use super::{EngineError, LoraFile};
use crate::job::{LoraHash, Unapplied};
use crate::model::Source;

/// What is beside a model.
pub struct Loras {
    transformer: Weights,
    t5: Weights,
    clip: Weights,
    clip_config: Source,
    shelf: Shelf,
    /// What is set.
    set: Vec<(LoraHash, f32)>,
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
        let (set, text, clip_config) = (Vec::new(), String::new(), clip_config.clone());
        Self { transformer, t5, clip, clip_config, shelf, set, own_clip: None, text }
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
        let key: Vec<_> = wanted.iter().map(|file| (file.hash.clone(), file.strength)).collect();
        if key != self.set {
            self.set_all(&loras, model)?;
            self.text = text(wanted, &loras);
            self.set = key;
        }
        Ok(unapplied)
    }

    fn set_all(&mut self, loras: &[(Arc<Lora>, f32)], model: &mut Model<'_>) -> Result<(), EngineError> {
        let changed_clip = self.changed_clip(loras)?;
        let shapes = self.shelf.shapes();
        let transformer = Changed::by(loras, Of::Transformer);
        let mut beside = Beside::new(&self.transformer, &shapes.transformer, &transformer);
        model.flux.layers(&mut beside);
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
        Ok(())
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
    weights: &'b Weights,
    shapes: &'b BTreeMap<String, [usize; 2]>,
    layers: BTreeMap<&'b str, Vec<(&'b Layer, f32)>>,
    norms: BTreeMap<String, Vec<f32>>,
    failed: Option<candle_core::Error>,
}

impl<'b> Beside<'b> {
    /// Of what is changed in these weights.
    pub fn new(weights: &'b Weights, shapes: &'b BTreeMap<String, [usize; 2]>, changed: &'b Changed) -> Self {
        Self { weights, shapes, layers: changed.layers(), norms: changed.norms(), failed: None }
    }
}

impl Layers for Beside<'_> {
    fn linear(&mut self, name: &str, layer: &mut Linear) {
        let side = self.layers.get(name).zip(self.shapes.get(name)).and_then(|(changes, shape)| {
            let matrix = self.weights.matrix(&format!("{name}.weight"), (shape[0], shape[1]));
            let rows = |first: usize, out: &mut [f32]| match &matrix {
                Ok(matrix) => matrix.widen(first, out),
                // The model was read from this very tensor.
                Err(_) => out.fill(0.0),
            };
            Side::new(*shape, changes, &rows)
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
