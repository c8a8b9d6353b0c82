//! The LoRAs of pictures on the CPU: read once, and set beside a model's layers when a picture asks for others than the
//! one before. Nothing of the model changes, so without them it is what it was, bit for bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dit::layers::Layers;
use super::dit::linear::Linear;
use super::dit::model::Flux;
use super::dit::norms::Norms;
use super::lora::{Layer, Lora, LoraError, Shapes, Side, read};
use super::text::encode::Clip;
use super::text::t5::T5;
use super::weights::{Weights, WeightsError};
use super::{EngineError, LoraFile};
use crate::job::{LoraHash, Unapplied};
use crate::model::Source;

/// Values of LoRAs that are kept although no picture uses them at present: a gigabyte.
const KEPT_VALUES: usize = 1 << 28;
/// Names of tensors that are told of those that were not used.
const EXAMPLES: usize = 3;

/// What is beside a model.
pub struct Loras {
    transformer: Weights,
    t5: Weights,
    clip: Weights,
    clip_config: Source,
    shapes: Shapes,
    /// Those that were read, the last used at the end.
    read: Vec<(LoraHash, Arc<Lora>)>,
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

type Layered<'l> = BTreeMap<&'l str, Vec<(&'l Layer, f32)>>;

impl Loras {
    /// None yet, beside a model that was read from these files.
    #[must_use]
    pub fn new(transformer: Weights, t5: Weights, clip: Weights, clip_config: &Source) -> Self {
        let shapes = Shapes::of(&transformer, &clip, &t5);
        let (read, set, text) = (Vec::new(), Vec::new(), String::new());
        let clip_config = clip_config.clone();
        Self { transformer, t5, clip, clip_config, shapes, read, set, own_clip: None, text }
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
        let loras = wanted.iter().map(|file| self.get(file)).collect::<Result<Vec<_>, _>>()?;
        let unapplied = loras.iter().map(|lora| unapplied(lora)).collect();
        let key: Vec<_> = wanted.iter().map(|file| (file.hash.clone(), file.strength)).collect();
        if key != self.set {
            let with: Vec<_> =
                loras.iter().map(|lora| &**lora).zip(wanted.iter().map(|it| it.strength)).collect();
            self.set_all(&with, model)?;
            self.text = text(wanted, &loras);
            self.set = key;
        }
        self.forget(wanted);
        Ok(unapplied)
    }

    fn get(&mut self, file: &LoraFile) -> Result<Arc<Lora>, EngineError> {
        let known = self.read.iter().position(|(hash, _)| *hash == file.hash);
        let entry = match known {
            Some(at) => self.read.remove(at),
            None => {
                let failed = |error: LoraError| EngineError::Lora {
                    name: file.name.clone(),
                    from: file.path.display().to_string(),
                    reason: error.to_string(),
                };
                (file.hash.clone(), Arc::new(read(&file.path, &self.shapes).map_err(failed)?))
            }
        };
        let lora = Arc::clone(&entry.1);
        self.read.push(entry);
        Ok(lora)
    }

    /// Lets go of what is not used when it is much.
    fn forget(&mut self, used: &[LoraFile]) {
        let mut values = 0;
        let mut kept: Vec<_> = self.read.drain(..).rev().collect();
        kept.retain(|(hash, lora)| {
            values += lora.values();
            used.iter().any(|file| file.hash == *hash) || values <= KEPT_VALUES
        });
        self.read.extend(kept.into_iter().rev());
    }

    fn set_all(&mut self, loras: &[(&Lora, f32)], model: &mut Model<'_>) -> Result<(), EngineError> {
        let changed_clip = self.changed_clip(loras)?;
        let mut beside =
            Beside::new(&self.transformer, &self.shapes.transformer, loras, |lora| &lora.transformer);
        beside.norms = added_norms(loras);
        model.flux.layers(&mut beside);
        beside.failed.map_or(Ok(()), |error| Err(compute(error)))?;
        model.t5.layers(&mut Beside::new(&self.t5, &self.shapes.t5, loras, |lora| &lora.t5));
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
    fn changed_clip(&self, loras: &[(&Lora, f32)]) -> Result<Option<Clip>, EngineError> {
        let layers = by_layer(loras, |lora| &lora.clip);
        if layers.is_empty() {
            return Ok(None);
        }
        let change = |name: &str, values: &mut [f32]| change(&self.clip, &layers, name, values);
        let changed = Clip::load_changed(&self.clip, &self.clip_config, &change);
        changed
            .map(Some)
            .map_err(|error| EngineError::Compute { stage: "adding a LoRA", source: Box::new(error) })
    }
}

fn compute(error: candle_core::Error) -> EngineError {
    EngineError::Compute { stage: "adding a LoRA", source: Box::new(error) }
}

fn unapplied(lora: &Lora) -> Unapplied {
    let examples = lora.unapplied.iter().take(EXAMPLES).cloned().collect();
    Unapplied { count: lora.unapplied.len(), of: lora.tensors, examples }
}

fn text(files: &[LoraFile], loras: &[Arc<Lora>]) -> String {
    let changing = files.iter().zip(loras).filter(|(file, lora)| lora.changes_text() && file.strength != 0.0);
    changing.map(|(file, _)| format!("{}:{:08x};", file.hash.as_str(), file.strength.to_bits())).collect()
}

fn by_layer<'l>(
    loras: &[(&'l Lora, f32)],
    of: impl Fn(&'l Lora) -> &'l BTreeMap<String, Layer>,
) -> Layered<'l> {
    let mut layers = Layered::new();
    for (lora, strength) in loras.iter().filter(|(_, strength)| *strength != 0.0) {
        for (name, layer) in of(lora) {
            layers.entry(name).or_default().push((layer, *strength));
        }
    }
    layers
}

fn added_norms(loras: &[(&Lora, f32)]) -> BTreeMap<String, Vec<f32>> {
    let mut all: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for (lora, strength) in loras.iter().filter(|(_, strength)| *strength != 0.0) {
        for (name, values) in &lora.norms {
            let sum = all.entry(name.clone()).or_insert_with(|| vec![0.0; values.len()]);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += strength * value);
        }
    }
    all
}

/// Adds what is changed to a weight or a bias of CLIP.
fn change(
    weights: &Weights,
    layers: &Layered<'_>,
    name: &str,
    values: &mut [f32],
) -> Result<(), WeightsError> {
    let Some((layer, which)) = name.rsplit_once('.') else { return Ok(()) };
    let Some(changes) = layers.get(layer) else { return Ok(()) };
    let shape = weights.shape(name)?.to_vec();
    let own = weights.widened(name, &shape)?;
    for (layer, strength) in changes {
        if which == "bias" {
            for bias in &layer.biases {
                let values = values[bias.first..].iter_mut();
                values.zip(&bias.values).for_each(|(value, added)| *value += strength * added);
            }
        } else {
            let columns = shape.get(1).copied().unwrap_or(1);
            let rows = |first: usize, out: &mut [f32]| {
                out.copy_from_slice(&own[first * columns..][..out.len()]);
            };
            layer.branches.iter().for_each(|branch| branch.merge(*strength, &rows, values));
        }
    }
    Ok(())
}

/// Sets what belongs beside each layer that it is shown, and takes away what does not.
struct Beside<'b> {
    weights: &'b Weights,
    shapes: &'b BTreeMap<String, [usize; 2]>,
    layers: Layered<'b>,
    norms: BTreeMap<String, Vec<f32>>,
    failed: Option<candle_core::Error>,
}

impl<'b> Beside<'b> {
    fn new(
        weights: &'b Weights,
        shapes: &'b BTreeMap<String, [usize; 2]>,
        loras: &[(&'b Lora, f32)],
        of: impl Fn(&'b Lora) -> &'b BTreeMap<String, Layer>,
    ) -> Self {
        let layers = by_layer(loras, of);
        Self { weights, shapes, layers, norms: BTreeMap::new(), failed: None }
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
