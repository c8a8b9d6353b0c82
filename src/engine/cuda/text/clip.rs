//! CLIP's text model: pre-norm blocks of causal attention and an MLP with quick GELU; learned positions. FLUX takes one
//! vector from it, the last norm at the first end token.
//!
//! Reference: transformers `models/clip/modeling_clip.py`, whose names are used here.

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
use crate::engine::lora::Changed;
use crate::engine::text::encode::read_config;
use crate::engine::weights::{Weights, WeightsError};
use crate::model::Source;

const PURPOSE: &str = "the CLIP encoder";

/// The fields of `CLIPTextConfig` that a forward pass needs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// The residual stream.
    pub hidden_size: usize,
    /// The MLP.
    pub intermediate_size: usize,
    /// The longest text.
    pub max_position_embeddings: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// `quick_gelu`.
    pub hidden_act: String,
    /// The norms'.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f32,
}

fn epsilon() -> f32 {
    1e-5
}

impl Config {
    /// CLIP-L's, FLUX's.
    #[must_use]
    pub fn large() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 768,
            intermediate_size: 3072,
            max_position_embeddings: 77,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            hidden_act: "quick_gelu".to_owned(),
            layer_norm_eps: epsilon(),
        }
    }

    fn check(&self) -> Result<()> {
        if self.hidden_act != "quick_gelu" {
            let act = &self.hidden_act;
            return Err(
                WeightsError::Config(format!("the activation {act:?} is not CLIP-L's quick_gelu")).into()
            );
        }
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        check_heads(heads, width / heads.max(1), true)?;
        if heads * (width / heads) == width {
            return Ok(());
        }
        Err(WeightsError::Config(format!("{width} channels cannot be divided into {heads} heads")).into())
    }
}

/// CLIP's text model.
#[derive(Debug)]
pub struct Clip {
    config: Config,
    weights: Kept,
    model: Model,
}

/// Where the weights lie.
#[derive(Debug)]
struct Model {
    token_embedding: Place<bf16>,
    position_embedding: Place<bf16>,
    layers: Vec<Layer>,
    final_layer_norm: LayerNorm,
}

#[derive(Debug, Clone, Copy)]
struct LayerNorm {
    weight: Place<bf16>,
    bias: Place<bf16>,
}

#[derive(Debug, Clone, Copy)]
struct Linear {
    weight: Place<bf16>,
    bias: Place<bf16>,
}

#[derive(Debug)]
struct Layer {
    layer_norm1: LayerNorm,
    /// `[3 · width, width]`
    qkv_proj: Linear,
    out_proj: Linear,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl Model {
    /// `prefix`: what the file's names begin with.
    fn plan(config: &Config, prefix: &str) -> (Self, Plan) {
        let mut plan = Plan::default();
        let (width, mlp) = (config.hidden_size, config.intermediate_size);
        let norm = |plan: &mut Plan, name: &str| LayerNorm {
            weight: plan.vector(format!("{prefix}{name}.weight"), width),
            bias: plan.vector(format!("{prefix}{name}.bias"), width),
        };
        let linear = |plan: &mut Plan, name: &str, out, inner| Linear {
            weight: plan.matrix(format!("{prefix}{name}.weight"), out, inner),
            bias: plan.vector(format!("{prefix}{name}.bias"), out),
        };
        let embedding = |plan: &mut Plan, name, rows| {
            plan.matrix(format!("{prefix}embeddings.{name}_embedding.weight"), rows, width)
        };
        let token_embedding = embedding(&mut plan, "token", config.vocab_size);
        let position_embedding = embedding(&mut plan, "position", config.max_position_embeddings);
        let layers = (0..config.num_hidden_layers)
            .map(|index| {
                let at = format!("encoder.layers.{index}");
                let qkv =
                    |kind| ["q", "k", "v"].map(|part| format!("{prefix}{at}.self_attn.{part}_proj.{kind}"));
                Layer {
                    layer_norm1: norm(&mut plan, &format!("{at}.layer_norm1")),
                    qkv_proj: Linear {
                        weight: plan.matrices(qkv("weight"), width, width),
                        bias: plan.vectors(qkv("bias"), width),
                    },
                    out_proj: linear(&mut plan, &format!("{at}.self_attn.out_proj"), width, width),
                    layer_norm2: norm(&mut plan, &format!("{at}.layer_norm2")),
                    fc1: linear(&mut plan, &format!("{at}.mlp.fc1"), mlp, width),
                    fc2: linear(&mut plan, &format!("{at}.mlp.fc2"), width, mlp),
                }
            })
            .collect();
        let final_layer_norm = norm(&mut plan, "final_layer_norm");
        (Self { token_embedding, position_embedding, layers, final_layer_norm }, plan)
    }
}

impl Clip {
    /// Reads weights in transformers' names, with or without `text_model.` before them, onto the card.
    ///
    /// # Errors
    /// When the config is none of CLIP's, a tensor is missing or has another shape, or there is no memory.
    pub fn load(gpu: &Arc<Gpu>, weights: &Weights, config: &Source) -> Result<Self> {
        let (config, model, plan) = Self::read(weights, config)?;
        Ok(Self { weights: Kept::resident(gpu, plan, weights, PURPOSE, &mut |_| Ok(()))?, config, model })
    }

    /// The same, of which nothing stays on the card: each prompt brings it.
    ///
    /// # Errors
    /// As [`Clip::load`].
    pub fn brought(weights: Weights, config: &Source) -> Result<Self> {
        let (config, model, plan) = Self::read(&weights, config)?;
        Ok(Self { weights: Kept::brought(plan, Origin::File(weights), PURPOSE)?, config, model })
    }

    fn read(weights: &Weights, config: &Source) -> Result<(Config, Model, Plan)> {
        let config: Config = read_config(config)?;
        config.check()?;
        let prefix = if weights.contains("text_model.final_layer_norm.weight") { "text_model." } else { "" };
        let (model, plan) = Model::plan(&config, prefix);
        Ok((config, model, plan))
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
        config.check()?;
        let (model, plan) = Model::plan(&config, "");
        let weights = if stays {
            Kept::random(gpu, plan, seed, PURPOSE)?
        } else {
            Kept::brought(plan, Origin::Random(seed), PURPOSE)?
        };
        Ok(Self { weights, config, model })
    }

    /// Bytes of it before it is loaded, for texts of `tokens` tokens.
    #[must_use]
    pub fn sizes(config: &Config, tokens: usize) -> budget::Encoder {
        let (_, plan) = Model::plan(config, "");
        let (bytes, result) = (plan.bytes() as u64, config.hidden_size * size_of::<bf16>());
        let room = (Self::room_bytes(config, tokens) + result) as u64;
        budget::Encoder { weights: bytes, brought: bytes, room }
    }

    /// The same of a model whose config is in a file.
    ///
    /// # Errors
    /// When it is none of CLIP's.
    pub fn sizes_of(config: &Source, tokens: usize) -> Result<budget::Encoder> {
        let config: Config = read_config(config)?;
        config.check()?;
        Ok(Self::sizes(&config, tokens))
    }

    /// Columns of what it gives.
    #[must_use]
    pub fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// Device memory that the weights hold between prompts, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// What [`Clip::room`] would take, in bytes.
    #[must_use]
    pub fn room_bytes(config: &Config, tokens: usize) -> usize {
        Self::places(config, tokens).1.bytes()
    }

    fn places(config: &Config, tokens: usize) -> (Places, Layout) {
        let (width, mlp) = (config.hidden_size, config.intermediate_size);
        let widths = Widths { model: width, inner: width, hidden: mlp, activated: mlp };
        Places::new(tokens, widths, 0)
    }

    /// Room for texts of `tokens` tokens.
    ///
    /// # Errors
    /// When there is no memory, or the model has fewer positions.
    pub fn room(&self, gpu: &Arc<Gpu>, tokens: usize) -> Result<Room> {
        let most = self.config.max_position_embeddings;
        if tokens == 0 || tokens > most {
            return Err(CudaError::Shape(format!("{tokens} tokens in a text model of {most}")));
        }
        Room::new(gpu, Self::places(&self.config, tokens))
    }

    /// The last norm at token `end`, the first end token: out `[1, width]`.
    ///
    /// # Errors
    /// When the room is for another number of tokens, an id is beyond the vocabulary, or the card fails.
    pub fn encode(
        &self,
        gpu: &Arc<Gpu>,
        ids: &[u32],
        end: usize,
        room: &Room,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        if end >= ids.len() {
            return Err(CudaError::Shape(format!("an end token at {end} of {}", ids.len())));
        }
        let Room { buffer, places } = room;
        let slot = self.weights.slot(gpu)?;
        self.weights.with(gpu, slot.as_ref(), 0, |memory| {
            let of = |place: Place<bf16>| place.within(memory);
            let norm = |norm: LayerNorm| Norm::Layer(of(norm.weight), of(norm.bias));
            let (x, normed, y) = (places.x.of(buffer), places.normed.of(buffer), places.y.of(buffer));
            let (qkv, attended) = (places.qkv.of(buffer), places.attended.of(buffer));
            let (hidden, activated) = (places.hidden.of(buffer), places.activated.of(buffer));
            let sight = || Sight::Causal(self.config.num_attention_heads);
            let epsilon = self.config.layer_norm_eps;
            let linear =
                |out, x, linear: Linear| gpu.product(out, x, of(linear.weight), Some(of(linear.bias)));

            let model = &self.model;
            let positions = Some(of(model.position_embedding));
            gpu.embed_rows(ids, places.ids.of(buffer), of(model.token_embedding), positions, x)?;
            let mut branch = None;
            for layer in &model.layers {
                gpu.add_norm(x, branch, norm(layer.layer_norm1), epsilon, normed)?;
                linear(qkv, normed, layer.qkv_proj)?;
                gpu.attend(qkv, sight(), attended)?;
                linear(y, attended, layer.out_proj)?;
                gpu.add_norm(x, Some(y), norm(layer.layer_norm2), epsilon, normed)?;
                linear(hidden, normed, layer.fc1)?;
                gpu.quick_gelu(hidden, activated)?;
                linear(y, activated, layer.fc2)?;
                branch = Some(y);
            }
            let last = branch.map(|branch| branch.slice_rows(end, 1));
            gpu.add_norm(x.slice_rows(end, 1), last, norm(model.final_layer_norm), epsilon, out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::tests::nano;
    use super::*;

    #[test]
    fn the_plan_has_every_tensor_of_nano_with_its_shape() {
        let config: Config = read_config(&nano("clip_config.json")).expect("its config");
        config.check().expect("a config that can be run");
        let (_, plan) = Model::plan(&config, "");
        plan.assert_is_of("clip.safetensors", &[]);
        for kind in ["weight", "bias"] {
            let range = |part: &str| {
                plan.range(&format!("encoder.layers.2.self_attn.{part}_proj.{kind}")).expect(part)
            };
            assert_eq!((range("q").end, range("k").end), (range("k").start, range("v").start));
        }
    }

    #[test]
    fn the_real_size_is_what_the_notes_say() {
        let (_, plan) = Model::plan(&Config::large(), "text_model.");
        assert_eq!(plan.parameters(), 123_060_480);
    }
}
