//! The size of a transformer, read from its weights' names and shapes.

use crate::engine::weights::{Weights, WeightsError};

/// The base of the rotary frequencies, the same in every FLUX.1.
pub const THETA: f64 = 10_000.0;

/// Everything that differs between FLUX.1 transformers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Channels of a packed latent token: 64 for dev and schnell.
    pub in_channels: usize,
    /// Channels of the velocity: 64.
    pub out_channels: usize,
    /// Channels of a T5 token.
    pub context_dim: usize,
    /// Channels of CLIP's pooled vector.
    pub vec_dim: usize,
    /// Channels inside.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Channels of the blocks' MLPs.
    pub mlp: usize,
    /// Double blocks.
    pub double_blocks: usize,
    /// Single blocks.
    pub single_blocks: usize,
    /// Whether guidance is embedded: dev is, schnell is not.
    pub guidance: bool,
}

impl Config {
    /// # Errors
    /// When a tensor that every FLUX.1 transformer has is missing, or the shapes contradict one
    /// another.
    pub fn of(weights: &Weights) -> Result<Self, WeightsError> {
        let matrix = |name: &str| match *weights.shape(name)? {
            [out, inner] => Ok((out, inner)),
            ref shape => {
                Err(WeightsError::Config(format!("{name:?} has shape {shape:?}, not two dimensions")))
            }
        };
        let (hidden, in_channels) = matrix("img_in.weight")?;
        let (_, context_dim) = matrix("txt_in.weight")?;
        let (_, vec_dim) = matrix("vector_in.in_layer.weight")?;
        let (out_channels, _) = matrix("final_layer.linear.weight")?;
        let (mlp, _) = matrix("double_blocks.0.img_mlp.0.weight")?;
        let dim = match *weights.shape("double_blocks.0.img_attn.norm.query_norm.scale")? {
            [dim] => dim,
            ref shape => return Err(WeightsError::Config(format!("the query norm has shape {shape:?}"))),
        };
        if dim == 0 || !hidden.is_multiple_of(dim) || !dim.is_multiple_of(16) {
            return Err(WeightsError::Config(format!(
                "{hidden} channels cannot be divided into heads of {dim}, a multiple of 16"
            )));
        }
        Ok(Self {
            in_channels,
            out_channels,
            context_dim,
            vec_dim,
            hidden,
            heads: hidden / dim,
            mlp,
            double_blocks: weights.depth("double_blocks"),
            single_blocks: weights.depth("single_blocks"),
            guidance: weights.contains("guidance_in.in_layer.weight"),
        })
    }

    /// Channels of one head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// How a head's channels are divided among the three position axes: an eighth for the first
    /// (always 0 in FLUX.1), the rest for row and column. 16, 56, 56 of 128; 8, 28, 28 of 64.
    #[must_use]
    pub fn axes(&self) -> [usize; 3] {
        let dim = self.head_dim();
        [dim / 8, dim * 7 / 16, dim * 7 / 16]
    }
}
