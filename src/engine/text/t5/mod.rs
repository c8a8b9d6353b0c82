//! T5's encoder on the CPU, in fp32: pre-norm blocks of attention over all tokens, padding too, and a gated MLP. Scores
//! are not scaled; a bias by distance, the same in every block, tells positions apart.
//!
//! T5-XXL is 4.76 G parameters, 19 GB in fp32. Those of a small model are widened once; those of a large one stay as
//! the file has them and are widened a few rows at a time just before they are multiplied, so that reading a prompt
//! takes no memory worth the name. 512 tokens are 4.84 TFLOP, beside which widening does not show.
//!
//! Reference: transformers `models/t5/modeling_t5.py`, whose names are used here.

mod config;
mod layers;

use candle_core::{Device, Tensor};

pub use config::Config;
use layers::{Linear, Norm, Rows, add, attend, gate};

use super::encode::read_config;
use super::tokenize::Tokens;
use crate::engine::weights::{Weights, WeightsError};
use crate::model::Source;

/// The only biases by distance: every block has those of the first.
pub const RELATIVE_ATTENTION_BIAS: &str =
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";

/// What the embedding is called in the file: either of its two names.
#[must_use]
pub fn shared(weights: &Weights) -> &'static str {
    let names = ["shared.weight", "encoder.embed_tokens.weight"];
    names.into_iter().find(|name| weights.contains(name)).unwrap_or(names[0])
}

/// Up to so many bytes in fp32, weights are widened once.
const WIDENED_ONCE: usize = 1 << 30;

/// T5's encoder.
#[derive(Debug)]
pub struct T5 {
    config: Config,
    weights: Weights,
    shared: Linear,
    block: Vec<Block>,
    final_layer_norm: Norm,
    /// `[buckets, heads]`
    relative_attention_bias: Vec<f32>,
}

#[derive(Debug)]
struct Block {
    attention_norm: Norm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    dense_norm: Norm,
    wi_0: Linear,
    wi_1: Linear,
    wo: Linear,
}

impl Block {
    fn load(weights: &Weights, config: &Config, index: usize, widen: bool) -> Result<Self, WeightsError> {
        let (d_model, inner, d_ff) = (config.d_model, config.inner(), config.d_ff);
        let name = |layer, name: &str| format!("encoder.block.{index}.layer.{layer}.{name}.weight");
        let linear = |name, (out, inner)| Linear::load(weights, name, (out, inner), widen);
        let attention = |part: &str, shape| linear(name(0, &format!("SelfAttention.{part}")), shape);
        let dense = |part: &str, shape| linear(name(1, &format!("DenseReluDense.{part}")), shape);
        let norm =
            |layer| Norm::load(weights, &name(layer, "layer_norm"), d_model, config.layer_norm_epsilon);
        Ok(Self {
            attention_norm: norm(0)?,
            q: attention("q", (inner, d_model))?,
            k: attention("k", (inner, d_model))?,
            v: attention("v", (inner, d_model))?,
            o: attention("o", (d_model, inner))?,
            dense_norm: norm(1)?,
            wi_0: dense("wi_0", (d_ff, d_model))?,
            wi_1: dense("wi_1", (d_ff, d_model))?,
            wo: dense("wo", (d_model, d_ff))?,
        })
    }

    /// `biases` are `[heads, 2 · tokens - 1]`.
    fn forward(
        &self,
        weights: &Weights,
        config: &Config,
        biases: &[f32],
        x: &mut Rows,
    ) -> Result<(), WeightsError> {
        let normed = self.attention_norm.forward(x);
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|projection| projection.forward(weights, &normed));
        let attended = attend([&q?, &k?, &v?], config.num_heads, biases);
        add(x, &self.o.forward(weights, &attended)?);
        let normed = self.dense_norm.forward(x);
        let mut hidden = self.wi_0.forward(weights, &normed)?;
        gate(&mut hidden, &self.wi_1.forward(weights, &normed)?);
        add(x, &self.wo.forward(weights, &hidden)?);
        Ok(())
    }
}

impl T5 {
    /// Reads weights in transformers' names; a large model's stay in the file.
    ///
    /// # Errors
    /// When the config is none of T5's, or a tensor is missing or has another shape.
    pub fn load(weights: Weights, config: &Source) -> Result<Self, WeightsError> {
        let config: Config = read_config(config)?;
        config.check()?;
        let values: u64 = weights.values().iter().map(|(_, count)| count).sum();
        let widen = values <= (WIDENED_ONCE / size_of::<f32>()) as u64;
        Self::of(weights, config, widen)
    }

    fn of(weights: Weights, config: Config, widen: bool) -> Result<Self, WeightsError> {
        let norm = "encoder.final_layer_norm.weight";
        let biases = [config.relative_attention_num_buckets, config.num_heads];
        Ok(Self {
            shared: Linear::load(
                &weights,
                shared(&weights).to_owned(),
                (config.vocab_size, config.d_model),
                false,
            )?,
            block: (0..config.num_layers)
                .map(|index| Block::load(&weights, &config, index, widen))
                .collect::<Result<_, _>>()?,
            final_layer_norm: Norm::load(&weights, norm, config.d_model, config.layer_norm_epsilon)?,
            relative_attention_bias: weights.widened(RELATIVE_ATTENTION_BIAS, &biases)?,
            config,
            weights,
        })
    }

    /// Columns of what it gives for each token.
    #[must_use]
    pub fn width(&self) -> usize {
        self.config.d_model
    }

    /// One vector a token: `[limit, d_model]`.
    ///
    /// # Errors
    /// When an id is beyond the vocabulary.
    pub fn encode(&self, tokens: &Tokens) -> Result<Tensor, WeightsError> {
        let values = self.forward(&tokens.ids)?;
        Ok(Tensor::from_vec(values, (tokens.ids.len(), self.config.d_model), &Device::Cpu)?)
    }

    /// The same as plain values.
    ///
    /// # Errors
    /// As [`T5::encode`].
    pub fn forward(&self, ids: &[u32]) -> Result<Vec<f32>, WeightsError> {
        let mut x = self.shared.rows(&self.weights, ids)?;
        let biases = self.config.biases(&self.relative_attention_bias, ids.len());
        for block in &self.block {
            block.forward(&self.weights, &self.config, &biases, &mut x)?;
        }
        Ok(self.final_layer_norm.forward(&x).values)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn nano(file: &str) -> Source {
        Source::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file))
    }

    #[test]
    fn weights_widened_as_they_are_used_give_the_same_as_those_widened_once() {
        let ids: Vec<u32> = (0..32).map(|index| index * 61 % 3072).collect();
        let [once, each_time] = [true, false].map(|widen| {
            let weights = Weights::open(&nano("t5.safetensors")).expect("nano is whole");
            let config = read_config(&nano("t5_config.json")).expect("its config");
            T5::of(weights, config, widen).expect("it loads").forward(&ids).expect("it reads")
        });
        assert!(once.iter().all(|value| value.is_finite()) && once.len() == 32 * 128);
        assert_eq!(once, each_time);
    }

    #[test]
    fn an_id_beyond_the_vocabulary_is_an_error() {
        let weights = Weights::open(&nano("t5.safetensors")).expect("nano is whole");
        let t5 = T5::load(weights, &nano("t5_config.json")).expect("it loads");
        let error = t5.forward(&[3, 3072]).expect_err("there are 3072 words").to_string();
        assert!(error.contains("3072"), "{error}");
    }
}
