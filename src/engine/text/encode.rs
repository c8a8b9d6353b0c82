//! CLIP's text model from candle-transformers, in fp32, and the encoders' configurations.

use candle_core::{Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::clip::text_model::{Activation, ClipTextConfig, ClipTextTransformer};
use serde::Deserialize;

use super::tokenize::Tokens;
use crate::engine::weights::{Changing, Weights, WeightsError};
use crate::model::Source;

/// CLIP's text model.
#[derive(Debug)]
pub struct Clip {
    model: ClipTextTransformer,
    width: usize,
}

/// The fields of `CLIPTextConfig` that a forward pass needs.
#[derive(Deserialize)]
struct ClipConfig {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    hidden_act: String,
}

impl Clip {
    /// # Errors
    /// When the config is none of CLIP's, or a tensor is missing.
    pub fn load(weights: &Weights, config: &Source) -> Result<Self, WeightsError> {
        Self::of(weights.builder(), config)
    }

    /// The same with weights that are changed as they are read.
    ///
    /// # Errors
    /// As [`load`](Self::load), and what `changing` gives.
    pub fn load_changed(
        weights: &Weights,
        config: &Source,
        changing: &Changing<'_>,
    ) -> Result<Self, WeightsError> {
        Self::of(weights.changed_builder(changing), config)
    }

    fn of(builder: VarBuilder<'_>, config: &Source) -> Result<Self, WeightsError> {
        let config: ClipConfig = read_config(config)?;
        if config.hidden_act != "quick_gelu" {
            let act = config.hidden_act;
            return Err(WeightsError::Config(format!("the activation {act:?} is not CLIP-L's quick_gelu")));
        }
        let builder = if builder.contains_tensor("text_model.final_layer_norm.weight") {
            builder.pp("text_model")
        } else {
            builder
        };
        let config = ClipTextConfig {
            vocab_size: config.vocab_size,
            embed_dim: config.hidden_size,
            activation: Activation::QuickGelu,
            intermediate_size: config.intermediate_size,
            max_position_embeddings: config.max_position_embeddings,
            pad_with: None,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            projection_dim: config.hidden_size,
        };
        let width = config.embed_dim;
        Ok(Self { model: ClipTextTransformer::new(builder, &config)?, width })
    }

    /// Columns of what it gives.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The last layer at the first end token: `[1, channels]`.
    ///
    /// # Errors
    /// When candle fails.
    pub fn encode(&self, tokens: &Tokens) -> candle_core::Result<Tensor> {
        let hidden = self.model.forward_with_mask(&ids(tokens)?, usize::MAX)?;
        hidden.i((0, tokens.end))?.unsqueeze(0)
    }
}

fn ids(tokens: &Tokens) -> candle_core::Result<Tensor> {
    Tensor::new(tokens.ids.as_slice(), &Device::Cpu)?.unsqueeze(0)
}

/// A config, JSON.
pub(crate) fn read_config<C: for<'de> Deserialize<'de>>(source: &Source) -> Result<C, WeightsError> {
    let bytes = source.read()?;
    serde_json::from_slice(&bytes).map_err(|error| WeightsError::Config(format!("{source}: {error}")))
}
