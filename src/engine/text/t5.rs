//! T5's encoder on the CPU, in fp32, over weights that may stay quantised: pre-norm blocks of attention over all tokens,
//! padding too, and a gated MLP. Scores are not scaled; a bias by distance, the same in every block, tells positions
//! apart.
//!
//! Reference: transformers `models/t5/modeling_t5.py`, whose names are used here.

use candle_core::{D, Device, Result as Computed, Tensor, bail};
use serde::Deserialize;

use crate::engine::dit::linear::Linear;
use crate::engine::weights::{Matrix, Weights, WeightsError};

/// The fields of `T5Config` that a forward pass needs.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    vocab_size: usize,
    d_model: usize,
    d_kv: usize,
    d_ff: usize,
    num_layers: usize,
    num_heads: usize,
    #[serde(default = "buckets")]
    relative_attention_num_buckets: usize,
    #[serde(default = "max_distance")]
    relative_attention_max_distance: usize,
    layer_norm_epsilon: f64,
    feed_forward_proj: String,
}

fn buckets() -> usize {
    32
}

fn max_distance() -> usize {
    128
}

impl Config {
    fn check(&self) -> Result<(), WeightsError> {
        if self.feed_forward_proj != "gated-gelu" {
            let activation = &self.feed_forward_proj;
            return Err(WeightsError::Config(format!("T5's MLP is {activation:?}, not gated-gelu")));
        }
        let (half, far) = (self.relative_attention_num_buckets / 2, self.relative_attention_max_distance);
        if half < 2 || far <= half / 2 {
            return Err(WeightsError::Config(format!("{} buckets for distances up to {far}", 2 * half)));
        }
        Ok(())
    }

    /// Which bias a key's has, `distance` positions after the query: exact up to a quarter of the buckets, then in
    /// steps of equal ratio, rounded as transformers does.
    fn bucket(&self, distance: isize) -> usize {
        let half = self.relative_attention_num_buckets / 2;
        let exact = half / 2;
        let (base, apart) = (if distance > 0 { half } else { 0 }, distance.unsigned_abs());
        if apart < exact {
            return base + apart;
        }
        let whole = (self.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
        let part = (apart as f32 / exact as f32).ln() / whole * (half - exact) as f32;
        base + (exact + part as usize).min(half - 1)
    }
}

/// A norm by the root of the mean square, and its scale.
#[derive(Debug)]
struct Norm {
    scale: Tensor,
    epsilon: f64,
}

impl Norm {
    fn load(weights: &Weights, config: &Config, name: &str) -> Result<Self, WeightsError> {
        let scale = weights.get(&format!("{name}.weight"), &[config.d_model])?;
        Ok(Self { scale, epsilon: config.layer_norm_epsilon })
    }

    fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let mean = (x.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?;
        x.broadcast_div(&mean.sqrt()?)?.broadcast_mul(&self.scale)
    }
}

/// `T5Block`: attention, then the MLP.
#[derive(Debug)]
struct Block {
    attention_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    mlp_norm: Norm,
    gate: Linear,
    inner: Linear,
    wo: Linear,
}

impl Block {
    fn load(weights: &Weights, config: &Config, index: usize) -> Result<Self, WeightsError> {
        let block = format!("encoder.block.{index}");
        let (attention, mlp) = (format!("{block}.layer.0"), format!("{block}.layer.1"));
        let (width, heads) = (config.d_model, config.num_heads * config.d_kv);
        let linear = |name: String, inner, out| Linear::without_bias(weights, &name, inner, out);
        Ok(Self {
            attention_norm: Norm::load(weights, config, &format!("{attention}.layer_norm"))?,
            query: linear(format!("{attention}.SelfAttention.q"), width, heads)?,
            key: linear(format!("{attention}.SelfAttention.k"), width, heads)?,
            value: linear(format!("{attention}.SelfAttention.v"), width, heads)?,
            out: linear(format!("{attention}.SelfAttention.o"), heads, width)?,
            mlp_norm: Norm::load(weights, config, &format!("{mlp}.layer_norm"))?,
            gate: linear(format!("{mlp}.DenseReluDense.wi_0"), width, config.d_ff)?,
            inner: linear(format!("{mlp}.DenseReluDense.wi_1"), width, config.d_ff)?,
            wo: linear(format!("{mlp}.DenseReluDense.wo"), config.d_ff, width)?,
        })
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
        let (query, key, value) = (of(&self.query)?, of(&self.key)?, of(&self.value)?);
        let scores = (query.matmul(&key.transpose(1, 2)?)? + biases)?;
        let attended = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&value)?;
        let attended = attended.transpose(0, 1)?.contiguous()?.flatten_from(1)?;
        let x = (x + self.out.forward(&attended)?)?;
        let normed = self.mlp_norm.forward(&x)?;
        let gated = (self.gate.forward(&normed)?.gelu()? * self.inner.forward(&normed)?)?;
        x + self.wo.forward(&gated)?
    }
}

/// `T5EncoderModel`.
#[derive(Debug)]
pub(super) struct Encoder {
    config: Config,
    /// `[vocabulary, d_model]`, of which only the rows of a prompt are widened.
    embedding: Matrix,
    /// `[buckets, heads]`.
    biases: Vec<f32>,
    blocks: Vec<Block>,
    norm: Norm,
}

impl Encoder {
    pub fn load(weights: &Weights, config: Config) -> Result<Self, WeightsError> {
        config.check()?;
        // Files have the embedding under one of its two names, or under both.
        let named = ["shared.weight", "encoder.embed_tokens.weight"];
        let embedding = named.into_iter().find(|name| weights.contains(name)).unwrap_or(named[0]);
        let biases = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
        let blocks = (0..config.num_layers).map(|index| Block::load(weights, &config, index));
        Ok(Self {
            embedding: weights.matrix(embedding, (config.vocab_size, config.d_model))?,
            biases: weights.widened(biases, &[config.relative_attention_num_buckets, config.num_heads])?,
            blocks: blocks.collect::<Result<_, _>>()?,
            norm: Norm::load(weights, &config, "encoder.final_layer_norm")?,
            config,
        })
    }

    /// `[tokens, d_model]`.
    pub fn forward(&self, ids: &[u32]) -> Computed<Tensor> {
        let width = self.config.d_model;
        let mut x = vec![0.0; ids.len() * width];
        for (id, row) in ids.iter().zip(x.chunks_exact_mut(width)) {
            match usize::try_from(*id) {
                Ok(id) if id < self.embedding.rows() => self.embedding.widen(id, row),
                _ => bail!("token {id} of a vocabulary of {}", self.embedding.rows()),
            }
        }
        let mut x = Tensor::from_vec(x, (ids.len(), width), &Device::Cpu)?;
        let biases = self.biases(ids.len())?;
        for block in &self.blocks {
            x = block.forward(&x, &biases)?;
        }
        self.norm.forward(&x)
    }

    /// `[heads, tokens, tokens]`: a row for each query.
    fn biases(&self, tokens: usize) -> Computed<Tensor> {
        let heads = self.config.num_heads;
        let signed = tokens as isize;
        let buckets: Vec<_> = (1 - signed..signed).map(|distance| self.config.bucket(distance)).collect();
        let mut all = Vec::with_capacity(heads * tokens * tokens);
        for head in 0..heads {
            for query in 0..tokens {
                let distances = &buckets[tokens - 1 - query..][..tokens];
                all.extend(distances.iter().map(|bucket| self.biases[bucket * heads + head]));
            }
        }
        Tensor::from_vec(all, (heads, tokens, tokens), &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_apart_near_by_and_in_ratios_far_off() {
        let text = r#"{"vocab_size":8,"d_model":4,"d_kv":2,"d_ff":4,"num_layers":1,"num_heads":2,
                       "layer_norm_epsilon":1e-6,"feed_forward_proj":"gated-gelu"}"#;
        let config: Config = serde_json::from_str(text).expect("a config");
        assert!(config.check().is_ok());
        // transformers' `_relative_position_bucket` of the same distances.
        let distances = [0, -1, -7, -8, -11, -12, -16, -64, -127, -500, 1, 7, 8, 90, 128];
        let buckets = [0, 1, 7, 8, 8, 9, 10, 14, 15, 15, 17, 23, 24, 30, 31];
        assert_eq!(distances.map(|distance| config.bucket(distance)), buckets);
        let other = Config { feed_forward_proj: "relu".to_owned(), ..config };
        assert!(other.check().is_err_and(|error| error.to_string().contains("\"relu\"")));
    }
}
