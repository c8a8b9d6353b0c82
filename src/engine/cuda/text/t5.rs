//! T5's encoder: pre-norm blocks of attention over all tokens, padding too, and a gated MLP. Scores are not scaled; a
//! bias by distance, the same in every block, tells positions apart.
//!
//! Reference: transformers `models/t5/modeling_t5.py`, whose names are used here.

use std::sync::Arc;

use half::bf16;
use serde::Deserialize;

use super::ops::{Norm, Sight, check_heads};
use super::place::{Kept, Origin, Place, Plan};
use super::{Places, Room, Widths};
use crate::engine::budget;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Layout, Matrix};
use crate::engine::text::encode::read_config;
use crate::engine::weights::{Weights, WeightsError};
use crate::model::Source;

const PURPOSE: &str = "the T5 encoder";
const RELATIVE_ATTENTION_BIAS: &str = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";

/// The fields of `T5Config` that a forward pass needs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// The residual stream.
    pub d_model: usize,
    /// A head.
    pub d_kv: usize,
    /// The MLP.
    pub d_ff: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Heads.
    pub num_heads: usize,
    /// Distances are told apart by so many numbers.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// From here on they are all one.
    #[serde(default = "max_distance")]
    pub relative_attention_max_distance: usize,
    /// The norms'.
    pub layer_norm_epsilon: f32,
    /// `gated-gelu`.
    pub feed_forward_proj: String,
}

fn buckets() -> usize {
    32
}

fn max_distance() -> usize {
    128
}

impl Config {
    /// T5-XXL's (v1.1), FLUX's.
    #[must_use]
    pub fn xxl() -> Self {
        Self {
            vocab_size: 32128,
            d_model: 4096,
            d_kv: 64,
            d_ff: 10240,
            num_layers: 24,
            num_heads: 64,
            relative_attention_num_buckets: buckets(),
            relative_attention_max_distance: max_distance(),
            layer_norm_epsilon: 1e-6,
            feed_forward_proj: "gated-gelu".to_owned(),
        }
    }

    fn check(&self) -> Result<()> {
        if self.feed_forward_proj != "gated-gelu" {
            let activation = &self.feed_forward_proj;
            return Err(WeightsError::Config(format!("T5's MLP is {activation:?}, not gated-gelu")).into());
        }
        let (half, far) = (self.relative_attention_num_buckets / 2, self.relative_attention_max_distance);
        if half < 2 || far <= half / 2 {
            return Err(
                WeightsError::Config(format!("{} buckets for distances up to {far}", 2 * half)).into()
            );
        }
        check_heads(self.num_heads, self.d_kv, false)
    }

    fn inner(&self) -> usize {
        self.num_heads * self.d_kv
    }

    /// Which bias a key's has, `distance` positions after the query: exact up to a quarter of the buckets, then in
    /// steps of equal ratio. Rounds as transformers does.
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

    /// `[heads, 2 · tokens - 1]` biases, by distance from `1 - tokens` on; `weight` is `[buckets, heads]`.
    fn biases(&self, weight: &[f32], tokens: usize) -> Vec<f32> {
        let tokens = tokens as isize;
        let buckets: Vec<_> = (1 - tokens..tokens).map(|distance| self.bucket(distance)).collect();
        let heads = 0..self.num_heads;
        heads
            .flat_map(|head| buckets.iter().map(move |bucket| weight[bucket * self.num_heads + head]))
            .collect()
    }
}

/// T5's encoder.
#[derive(Debug)]
pub struct T5 {
    config: Config,
    weights: Kept,
    model: Model,
    /// `[buckets, heads]`
    relative_attention_bias: Vec<f32>,
}

/// Where the weights lie.
#[derive(Debug)]
struct Model {
    shared: Place<bf16>,
    block: Vec<Block>,
    final_layer_norm: Place<bf16>,
}

#[derive(Debug)]
struct Block {
    self_attention: SelfAttention,
    dense: DenseReluDense,
}

#[derive(Debug)]
struct SelfAttention {
    layer_norm: Place<bf16>,
    /// `[3 · inner, d_model]`
    qkv: Place<bf16>,
    /// `[d_model, inner]`
    o: Place<bf16>,
}

#[derive(Debug)]
struct DenseReluDense {
    layer_norm: Place<bf16>,
    /// `[2 · d_ff, d_model]`: the half that goes through GELU first.
    wi: Place<bf16>,
    /// `[d_model, d_ff]`
    wo: Place<bf16>,
}

impl Model {
    /// `shared`: what the embedding is called in the file. The embedding, each block and the last norm are parts.
    fn plan(config: &Config, shared: &str) -> (Self, Plan) {
        let mut plan = Plan::default();
        let (d_model, inner, d_ff) = (config.d_model, config.inner(), config.d_ff);
        let shared = plan.matrix(shared.to_owned(), config.vocab_size, d_model);
        let block = (0..config.num_layers)
            .map(|index| {
                let layer = |layer, name: &str| format!("encoder.block.{index}.layer.{layer}.{name}.weight");
                let attention = |name| layer(0, &format!("SelfAttention.{name}"));
                let dense = |name| layer(1, &format!("DenseReluDense.{name}"));
                plan.cut();
                Block {
                    self_attention: SelfAttention {
                        layer_norm: plan.vector(layer(0, "layer_norm"), d_model),
                        qkv: plan.matrices(["q", "k", "v"].map(attention), inner, d_model),
                        o: plan.matrix(attention("o"), d_model, inner),
                    },
                    dense: DenseReluDense {
                        layer_norm: plan.vector(layer(1, "layer_norm"), d_model),
                        wi: plan.matrices(["wi_0", "wi_1"].map(dense), d_ff, d_model),
                        wo: plan.matrix(dense("wo"), d_model, d_ff),
                    },
                }
            })
            .collect();
        plan.cut();
        let final_layer_norm = plan.vector("encoder.final_layer_norm.weight".to_owned(), d_model);
        (Self { shared, block, final_layer_norm }, plan)
    }
}

impl T5 {
    /// Reads weights in transformers' names onto the card.
    ///
    /// # Errors
    /// When the config is none of T5's, a tensor is missing or has another shape, or there is no memory.
    pub fn load(gpu: &Arc<Gpu>, weights: &Weights, config: &Source) -> Result<Self> {
        let config: Config = read_config(config)?;
        let (model, plan, relative_attention_bias) = Self::read(&config, weights)?;
        let weights = Kept::resident(gpu, plan, weights, PURPOSE)?;
        Ok(Self { config, weights, model, relative_attention_bias })
    }

    /// The same, of which nothing stays on the card: each prompt brings block after block.
    ///
    /// # Errors
    /// As [`T5::load`].
    pub fn brought(weights: Weights, config: &Source) -> Result<Self> {
        let config: Config = read_config(config)?;
        let (model, plan, relative_attention_bias) = Self::read(&config, &weights)?;
        let weights = Kept::brought(plan, Origin::File(weights), PURPOSE)?;
        Ok(Self { config, weights, model, relative_attention_bias })
    }

    fn read(config: &Config, weights: &Weights) -> Result<(Model, Plan, Vec<f32>)> {
        config.check()?;
        let names = ["shared.weight", "encoder.embed_tokens.weight"];
        let shared = names.into_iter().find(|name| weights.contains(name)).unwrap_or(names[0]);
        let (model, plan) = Model::plan(config, shared);
        let shape = [config.relative_attention_num_buckets, config.num_heads];
        Ok((model, plan, weights.widened(RELATIVE_ATTENTION_BIAS, &shape)?))
    }

    /// Random weights, to measure with; they stay on the card, or are made anew for each prompt.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn random(gpu: &Arc<Gpu>, config: Config, seed: u64, stays: bool) -> Result<Self> {
        config.check()?;
        let (model, plan) = Model::plan(&config, "shared.weight");
        let count = config.relative_attention_num_buckets * config.num_heads;
        let relative_attention_bias =
            (0..count).map(|index| (index * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let weights = if stays {
            Kept::random(gpu, plan, seed, PURPOSE)?
        } else {
            Kept::brought(plan, Origin::Random(seed), PURPOSE)?
        };
        Ok(Self { weights, config, model, relative_attention_bias })
    }

    /// Bytes of it before it is loaded, for texts of `tokens` tokens.
    #[must_use]
    pub fn sizes(config: &Config, tokens: usize) -> budget::Encoder {
        let (_, plan) = Model::plan(config, "shared.weight");
        let result = tokens * config.d_model * size_of::<bf16>();
        budget::Encoder {
            weights: plan.bytes() as u64,
            brought: plan.largest() as u64,
            room: (Self::room_bytes(config, tokens) + result) as u64,
        }
    }

    /// The same of a model whose config is in a file.
    ///
    /// # Errors
    /// When it is none of T5's.
    pub fn sizes_of(config: &Source, tokens: usize) -> Result<budget::Encoder> {
        let config: Config = read_config(config)?;
        config.check()?;
        Ok(Self::sizes(&config, tokens))
    }

    /// Columns of what it gives for each token.
    #[must_use]
    pub fn width(&self) -> usize {
        self.config.d_model
    }

    /// Device memory that the weights hold between prompts, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// What [`T5::room`] would take, in bytes.
    #[must_use]
    pub fn room_bytes(config: &Config, tokens: usize) -> usize {
        Self::places(config, tokens).1.bytes()
    }

    fn places(config: &Config, tokens: usize) -> (Places, Layout) {
        let widths = Widths {
            model: config.d_model,
            inner: config.inner(),
            hidden: 2 * config.d_ff,
            activated: config.d_ff,
        };
        Places::new(tokens, widths, config.num_heads)
    }

    /// Room for texts of `tokens` tokens.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn room(&self, gpu: &Arc<Gpu>, tokens: usize) -> Result<Room> {
        if tokens == 0 {
            return Err(CudaError::Shape("a text of no tokens".to_owned()));
        }
        let room = Room::new(gpu, Self::places(&self.config, tokens))?;
        let biases = self.config.biases(&self.relative_attention_bias, tokens);
        gpu.upload(room.places.bias.of(&room.buffer), &biases)?;
        Ok(room)
    }

    /// One vector a token: out `[tokens, d_model]`.
    ///
    /// # Errors
    /// When the room is for another number of tokens, an id is beyond the vocabulary, or the card fails.
    pub fn encode(&self, gpu: &Arc<Gpu>, ids: &[u32], room: &Room, out: Matrix<'_, bf16>) -> Result<()> {
        let Room { buffer, places } = room;
        let (x, normed, y) = (places.x.of(buffer), places.normed.of(buffer), places.y.of(buffer));
        let (qkv, attended) = (places.qkv.of(buffer), places.attended.of(buffer));
        let (hidden, activated) = (places.hidden.of(buffer), places.activated.of(buffer));
        let sight = || Sight::Distances(places.bias.of(buffer));
        let epsilon = self.config.layer_norm_epsilon;
        let slot = self.weights.slot(gpu)?;
        let slot = slot.as_ref();

        self.weights.with(gpu, slot, 0, |memory| {
            gpu.embed_rows(ids, places.ids.of(buffer), self.model.shared.within(memory), None, x)
        })?;
        let mut branch = None;
        for (index, Block { self_attention, dense }) in self.model.block.iter().enumerate() {
            self.weights.with(gpu, slot, 1 + index, |memory| {
                let weight = |place: Place<bf16>| place.within(memory);
                gpu.add_norm(x, branch, Norm::Rms(weight(self_attention.layer_norm)), epsilon, normed)?;
                gpu.product(qkv, normed, weight(self_attention.qkv), None)?;
                gpu.attend(qkv, sight(), attended)?;
                gpu.product(y, attended, weight(self_attention.o), None)?;
                gpu.add_norm(x, Some(y), Norm::Rms(weight(dense.layer_norm)), epsilon, normed)?;
                gpu.product(hidden, normed, weight(dense.wi), None)?;
                gpu.gated_gelu(hidden, activated)?;
                gpu.product(y, activated, weight(dense.wo), None)
            })?;
            branch = Some(y);
        }
        self.weights.with(gpu, slot, 1 + self.model.block.len(), |memory| {
            gpu.add_norm(x, branch, Norm::Rms(self.model.final_layer_norm.within(memory)), epsilon, out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::tests::nano;
    use super::*;

    /// The bucket in whole numbers: the largest k with apart / exact ≥ (far / exact)^(k / steps).
    fn exact_bucket(distance: i32) -> usize {
        let (half, exact, far, steps) = (16, 8u32, 128u128, 8);
        let (base, apart) = (if distance > 0 { half } else { 0 }, distance.unsigned_abs());
        if apart < exact {
            return base + apart as usize;
        }
        let reaches = |k: u32| {
            u128::from(apart).pow(steps) * u128::from(exact).pow(k)
                >= u128::from(exact).pow(steps) * far.pow(k)
        };
        base + exact as usize + (1..steps).take_while(|&k| reaches(k)).count()
    }

    #[test]
    fn buckets_are_those_of_the_formula() {
        let config = Config::xxl();
        for distance in -600..=600 {
            let bucket = config.bucket(distance as isize);
            assert_eq!(bucket, exact_bucket(distance), "at distance {distance}");
        }
        // transformers' own, printed from `T5Attention._relative_position_bucket`.
        let some = [-300, -128, -91, -64, -16, -12, -8, -7, 0, 1, 7, 8, 11, 12, 16, 23, 64, 127, 128]
            .map(|d| config.bucket(d));
        assert_eq!(some, [15, 15, 15, 14, 10, 9, 8, 7, 0, 17, 23, 24, 24, 25, 26, 27, 30, 31, 31]);
    }

    #[test]
    fn biases_are_in_order_of_key_minus_query() {
        let config = Config { num_heads: 2, ..Config::xxl() };
        let weight: Vec<f32> = (0..64).map(|index| index as f32).collect();
        let biases = config.biases(&weight, 3);
        // Distances -2, -1, 0, 1, 2 are buckets 2, 1, 0, 17, 18; a bucket has one value a head.
        assert_eq!(biases, [4., 2., 0., 34., 36., 5., 3., 1., 35., 37.]);
    }

    #[test]
    fn the_plan_has_every_tensor_of_nano_with_its_shape() {
        let config: Config = read_config(&nano("t5_config.json")).expect("its config");
        config.check().expect("a config that can be run");
        let (_, plan) = Model::plan(&config, "shared.weight");
        plan.assert_is_of("t5.safetensors", &[RELATIVE_ATTENTION_BIAS]);
        let range = |name: &str| plan.range(&format!("encoder.block.1.layer.{name}.weight")).expect(name);
        assert_eq!(range("0.SelfAttention.q").end, range("0.SelfAttention.k").start);
        assert_eq!(range("0.SelfAttention.k").end, range("0.SelfAttention.v").start);
        assert_eq!(range("1.DenseReluDense.wi_0").end, range("1.DenseReluDense.wi_1").start);
    }

    #[test]
    fn the_real_sizes_are_what_the_notes_say() {
        let config = Config::xxl();
        let (_, plan) = Model::plan(&config, "shared.weight");
        assert_eq!(plan.parameters() + 32 * 64, 4_762_310_656);
        assert!(T5::room_bytes(&config, 512) < 70 << 20);
    }
}
