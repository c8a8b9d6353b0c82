//! What several LoRAs together change in one network of a model: by layer, in its biases and norms, and in tensors whose
//! weights are merged because they are small or rarely read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::names::Of;
use super::{Layer, Lora};
use crate::engine::weights::{Weights, WeightsError};

/// LoRAs, each at its strength, and which network of theirs is meant.
#[derive(Debug, Clone)]
pub struct Changed {
    loras: Vec<(Arc<Lora>, f32)>,
    of: Of,
}

impl Changed {
    /// By these LoRAs; those at strength 0 change nothing.
    #[must_use]
    pub fn by(loras: &[(Arc<Lora>, f32)], of: Of) -> Self {
        Self { loras: loras.iter().filter(|(_, strength)| *strength != 0.0).cloned().collect(), of }
    }

    /// Whether no layer is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loras.iter().all(|(lora, _)| self.layers_of(lora).is_empty())
    }

    /// The layers that are changed, by name, and by what.
    #[must_use]
    pub fn layers(&self) -> BTreeMap<&str, Vec<(&Layer, f32)>> {
        let mut layers: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (lora, strength) in &self.loras {
            for (name, layer) in self.layers_of(lora) {
                layers.entry(name).or_default().push((layer, *strength));
            }
        }
        layers
    }

    /// What is added to norms, by the tensor's name.
    #[must_use]
    pub fn norms(&self) -> BTreeMap<String, Vec<f32>> {
        let mut all: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (lora, strength) in self.loras.iter().filter(|_| self.of == Of::Transformer) {
            for (name, values) in &lora.norms {
                let sum = all.entry(name.clone()).or_insert_with(|| vec![0.0; values.len()]);
                sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += strength * value);
            }
        }
        all
    }

    /// Whether a tensor is changed: `{layer}.weight` or `{layer}.bias`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        let Some((layer, which)) = name.rsplit_once('.') else { return false };
        self.loras.iter().filter_map(|(lora, _)| self.layers_of(lora).get(layer)).any(|layer| match which {
            "weight" => !layer.branches.is_empty(),
            "bias" => !layer.biases.is_empty(),
            _ => false,
        })
    }

    /// Adds to the values of a tensor, those of its file, what is changed in it.
    ///
    /// # Errors
    /// When the tensor is missing.
    pub fn change(&self, weights: &Weights, name: &str, values: &mut [f32]) -> Result<(), WeightsError> {
        let Some((layer, which)) = name.rsplit_once('.').filter(|_| self.is(name)) else { return Ok(()) };
        let shape = weights.shape(name)?.to_vec();
        let own = weights.widened(name, &shape)?;
        let changes = self
            .loras
            .iter()
            .filter_map(|(lora, strength)| self.layers_of(lora).get(layer).map(|layer| (layer, *strength)));
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
                layer.branches.iter().for_each(|branch| branch.merge(strength, &rows, values));
            }
        }
        Ok(())
    }

    fn layers_of<'l>(&self, lora: &'l Lora) -> &'l BTreeMap<String, Layer> {
        match self.of {
            Of::Transformer => &lora.transformer,
            Of::Clip => &lora.clip,
            Of::T5 => &lora.t5,
        }
    }
}
