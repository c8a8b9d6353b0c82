//! T5's encoder on the CPU, in fp32: pre-norm blocks of attention over all tokens, padding too, and a gated MLP. Scores
//! are not scaled; a bias by distance, the same in every block, tells positions apart.
//!
//! T5-XXL is 4.76 G parameters, 19 GB in fp32: its weights stay as the file has them ([`Linear`] says which do) and are
//! widened a few rows at a time just before they are multiplied by, and of the embedding only a prompt's rows are.
//! 512 tokens are 4.84 TFLOP, beside which widening does not show.
//!
//! Reference: transformers `models/t5/modeling_t5.py`, whose names are used here.

mod config;

use candle_core::{D, Device, Result as Computed, Tensor, bail};

pub use config::Config;

use super::encode::read_config;
use super::tokenize::Tokens;
use crate::engine::dit::layers::Layers;
use crate::engine::dit::linear::Linear;
use crate::engine::weights::{Matrix, Weights, WeightsError};
use crate::model::Source;

/// The only biases by distance: every block has those of the first.
pub const RELATIVE_ATTENTION_BIAS: &str =
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";

/// What the embedding is called in the file: one of its two names, or both.
#[must_use]
pub fn shared(weights: &Weights) -> &'static str {
    let names = ["shared.weight", "encoder.embed_tokens.weight"];
    names.into_iter().find(|name| weights.contains(name)).unwrap_or(names[0])
}

/// x / √(mean x² + ε) · weight: no mean is taken away and nothing is added.
#[derive(Debug)]
struct Norm {
    weight: Tensor,
    epsilon: f64,
}

impl Norm {
    fn load(weights: &Weights, config: &Config, name: &str) -> Result<Self, WeightsError> {
        let weight = weights.get(&format!("{name}.weight"), &[config.d_model])?;
        Ok(Self { weight, epsilon: f64::from(config.layer_norm_epsilon) })
    }

    fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let mean = (x.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?;
        x.broadcast_div(&mean.sqrt()?)?.broadcast_mul(&self.weight)
    }
}

/// `T5Block`: attention, then the MLP.
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
    fn load(weights: &Weights, config: &Config, index: usize) -> Result<Self, WeightsError> {
        let layer = |layer| format!("encoder.block.{index}.layer.{layer}");
        let (width, heads, hidden) = (config.d_model, config.inner(), config.d_ff);
        let attention = |name: &str, inner, out| {
            Linear::without_bias(weights, &format!("{}.SelfAttention.{name}", layer(0)), inner, out)
        };
        let dense = |name: &str, inner, out| {
            Linear::without_bias(weights, &format!("{}.DenseReluDense.{name}", layer(1)), inner, out)
        };
        Ok(Self {
            attention_norm: Norm::load(weights, config, &format!("{}.layer_norm", layer(0)))?,
            q: attention("q", width, heads)?,
            k: attention("k", width, heads)?,
            v: attention("v", width, heads)?,
            o: attention("o", heads, width)?,
            dense_norm: Norm::load(weights, config, &format!("{}.layer_norm", layer(1)))?,
            wi_0: dense("wi_0", width, hidden)?,
            wi_1: dense("wi_1", width, hidden)?,
            wo: dense("wo", hidden, width)?,
        })
    }

    fn layers(&mut self, index: usize, visit: &mut dyn Layers) {
        let attention = [("q", &mut self.q), ("k", &mut self.k), ("v", &mut self.v), ("o", &mut self.o)];
        for (name, linear) in attention {
            visit.linear(&format!("encoder.block.{index}.layer.0.SelfAttention.{name}"), linear);
        }
        for (name, linear) in [("wi_0", &mut self.wi_0), ("wi_1", &mut self.wi_1), ("wo", &mut self.wo)] {
            visit.linear(&format!("encoder.block.{index}.layer.1.DenseReluDense.{name}"), linear);
        }
    }

    /// `x` is `[tokens, d_model]`, `biases` `[heads, tokens, tokens]`.
    fn forward(&self, x: &Tensor, biases: &Tensor) -> Computed<Tensor> {
        let heads = biases.dim(0)?;
        let normed = self.attention_norm.forward(x)?;
        let of = |linear: &Linear| {
            let all = linear.forward(&normed)?;
            let (tokens, width) = all.dims2()?;
            all.reshape((tokens, heads, width / heads))?.transpose(0, 1)?.contiguous()
        };
        let (q, k, v) = (of(&self.q)?, of(&self.k)?, of(&self.v)?);
        let scores = (q.matmul(&k.transpose(1, 2)?)? + biases)?;
        let attended = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&v)?;
        let attended = attended.transpose(0, 1)?.contiguous()?.flatten_from(1)?;
        let x = (x + self.o.forward(&attended)?)?;
        let normed = self.dense_norm.forward(&x)?;
        let gated = (self.wi_0.forward(&normed)?.gelu()? * self.wi_1.forward(&normed)?)?;
        x + self.wo.forward(&gated)?
    }
}

/// T5's encoder.
#[derive(Debug)]
pub struct T5 {
    config: Config,
    /// `[vocab_size, d_model]`
    shared: Matrix,
    block: Vec<Block>,
    final_layer_norm: Norm,
    /// `[buckets, heads]`
    relative_attention_bias: Vec<f32>,
}

impl T5 {
    /// Reads weights in transformers' names.
    ///
    /// # Errors
    /// When the config is none of T5's, or a tensor is missing or has another shape.
    pub fn load(weights: &Weights, config: &Source) -> Result<Self, WeightsError> {
        let config: Config = read_config(config)?;
        config.check()?;
        let biases = [config.relative_attention_num_buckets, config.num_heads];
        let block = (0..config.num_layers).map(|index| Block::load(weights, &config, index));
        Ok(Self {
            shared: weights.matrix(shared(weights), (config.vocab_size, config.d_model))?,
            block: block.collect::<Result<_, _>>()?,
            final_layer_norm: Norm::load(weights, &config, "encoder.final_layer_norm")?,
            relative_attention_bias: weights.widened(RELATIVE_ATTENTION_BIAS, &biases)?,
            config,
        })
    }

    /// Shows all that can be changed.
    pub fn layers(&mut self, visit: &mut dyn Layers) {
        self.block.iter_mut().enumerate().for_each(|(index, block)| block.layers(index, visit));
    }

    /// Columns of what it gives for each token.
    #[must_use]
    pub fn width(&self) -> usize {
        self.config.d_model
    }

    /// One vector a token: `[limit, d_model]`.
    ///
    /// # Errors
    /// When an id is beyond the vocabulary, or candle fails.
    pub fn encode(&self, tokens: &Tokens) -> Computed<Tensor> {
        self.encode_watched(tokens, &mut || Ok(()))
    }

    /// The same; `before_block` is called before each block and may end it.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and what `before_block` gives.
    pub fn encode_watched(
        &self,
        tokens: &Tokens,
        before_block: &mut dyn FnMut() -> Computed<()>,
    ) -> Computed<Tensor> {
        let mut x = self.embedded(&tokens.ids)?;
        let biases = self.biases(tokens.ids.len())?;
        for block in &self.block {
            before_block()?;
            x = block.forward(&x, &biases)?;
        }
        self.final_layer_norm.forward(&x)
    }

    fn embedded(&self, ids: &[u32]) -> Computed<Tensor> {
        let width = self.config.d_model;
        let mut x = vec![0.0; ids.len() * width];
        for (id, row) in ids.iter().zip(x.chunks_exact_mut(width)) {
            match usize::try_from(*id) {
                Ok(id) if id < self.shared.rows() => self.shared.widen(id, row),
                _ => bail!(
                    "token {id} is beyond T5's vocabulary of {}: the tokenizer is another model's",
                    self.shared.rows()
                ),
            }
        }
        Tensor::from_vec(x, (ids.len(), width), &Device::Cpu)
    }

    /// `[heads, tokens, tokens]`: a row for each query.
    fn biases(&self, tokens: usize) -> Computed<Tensor> {
        let (heads, distances) = (self.config.num_heads, 2 * tokens - 1);
        let biases = self.config.biases(&self.relative_attention_bias, tokens);
        let rows = biases
            .chunks_exact(distances)
            .flat_map(|head| (0..tokens).flat_map(move |query| &head[tokens - 1 - query..][..tokens]));
        Tensor::from_vec(rows.copied().collect(), (heads, tokens, tokens), &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::job::{Encoder, TokenCount};

    fn nano(file: &str) -> Source {
        Source::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file))
    }

    #[test]
    fn an_id_beyond_the_vocabulary_is_an_error() {
        let weights = Weights::open(&nano("t5.safetensors")).expect("nano is whole");
        let t5 = T5::load(&weights, &nano("t5_config.json")).expect("it loads");
        let count = TokenCount { encoder: Encoder::T5, tokens: 2, limit: 2, cut_at: None, unknown: 0 };
        let error =
            t5.encode(&Tokens { ids: vec![3, 3072], end: 1, count }).expect_err("there are 3072 words");
        assert!(error.to_string().contains("3072"), "{error}");
    }
}
