//! T5's encoder: pre-norm blocks of attention over all tokens, padding too, and a gated MLP. Scores are not scaled; a
//! bias by distance, the same in every block, tells positions apart.
//!
//! Reference: transformers `models/t5/modeling_t5.py`, whose names are used here.

use std::sync::Arc;

use half::bf16;

use super::ops::{Norm, Sight, check_heads};
use super::place::{Kept, Origin, Place, Plan};
use super::{Places, Room, Widths};
use crate::engine::budget;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Layout, Matrix};
use crate::engine::lora::Changed;
use crate::engine::text::encode::read_config;
pub use crate::engine::text::t5::Config;
use crate::engine::text::t5::{RELATIVE_ATTENTION_BIAS, shared};
use crate::engine::weights::Weights;
use crate::model::Source;

const PURPOSE: &str = "the T5 encoder";

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

fn check(config: &Config) -> Result<()> {
    config.check()?;
    check_heads(config.num_heads, config.d_kv, false)
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
    /// Reads weights in transformers' names onto the card; `each` is told of the share that is read, and may end it.
    ///
    /// # Errors
    /// When the config is none of T5's, a tensor is missing or has another shape, or there is no memory; what `each` gives.
    pub fn load(
        gpu: &Arc<Gpu>,
        weights: &Weights,
        config: &Source,
        mut each: impl FnMut(f64) -> Result<()>,
    ) -> Result<Self> {
        let config: Config = read_config(config)?;
        let (model, plan, relative_attention_bias) = Self::read(&config, weights)?;
        let weights = Kept::resident(gpu, plan, weights, PURPOSE, &mut each)?;
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
        check(config)?;
        let (model, plan) = Model::plan(config, shared(weights));
        let shape = [config.relative_attention_num_buckets, config.num_heads];
        Ok((model, plan, weights.widened(RELATIVE_ATTENTION_BIAS, &shape)?))
    }

    /// Changes it from now on, by LoRAs; with `None` it is what it was. `weights` are those that it was read from.
    pub fn set_changed(&mut self, changed: Option<(Weights, Changed)>) {
        self.weights.set_changed(changed);
    }

    /// Random weights, to measure with; they stay on the card, or are made anew for each prompt.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn random(gpu: &Arc<Gpu>, config: Config, seed: u64, stays: bool) -> Result<Self> {
        check(&config)?;
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
        check(&config)?;
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

    #[test]
    fn the_plan_has_every_tensor_of_nano_with_its_shape() {
        let config: Config = read_config(&nano("t5_config.json")).expect("its config");
        check(&config).expect("a config that can be run");
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
