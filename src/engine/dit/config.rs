//! The size of a transformer, read from its weights' names and shapes.

use super::modulation::EMBEDDING;
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
    /// FLUX.1-dev's size, and that of its fine-tunes: 11.9 billion parameters.
    #[must_use]
    pub fn flux1_dev() -> Self {
        Self {
            in_channels: 64,
            out_channels: 64,
            context_dim: 4096,
            vec_dim: 768,
            hidden: 3072,
            heads: 24,
            mlp: 12288,
            double_blocks: 19,
            single_blocks: 38,
            guidance: true,
        }
    }

    /// FLUX.1-schnell's: the same without the embedding of guidance.
    #[must_use]
    pub fn flux1_schnell() -> Self {
        Self { guidance: false, ..Self::flux1_dev() }
    }

    /// FLOP of one evaluation over `tokens` tokens of text and image: products, then attention. What is computed once
    /// a picture and the small layers at both ends are left out.
    #[must_use]
    pub fn flop(&self, tokens: usize) -> (f64, f64) {
        let (hidden, mlp, tokens) = (self.hidden as f64, self.mlp as f64, tokens as f64);
        let double = 4.0 * hidden * hidden + 2.0 * hidden * mlp;
        let single = hidden * (3.0 * hidden + mlp) + (hidden + mlp) * hidden;
        let (doubles, singles) = (self.double_blocks as f64, self.single_blocks as f64);
        let products = 2.0 * tokens * (doubles * double + singles * single);
        (products, (doubles + singles) * 4.0 * tokens * tokens * hidden)
    }

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

    /// Every tensor of a transformer of this size, by BFL's name, and its shape.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, mlp, dim) = (self.hidden, self.mlp, self.head_dim());
        let mut all = Vec::new();
        let mut linear = |name: String, out: usize, inner: usize| {
            all.push((format!("{name}.weight"), vec![out, inner]));
            all.push((format!("{name}.bias"), vec![out]));
        };
        linear("img_in".to_owned(), hidden, self.in_channels);
        linear("txt_in".to_owned(), hidden, self.context_dim);
        linear("final_layer.linear".to_owned(), self.out_channels, hidden);
        linear("final_layer.adaLN_modulation.1".to_owned(), 2 * hidden, hidden);
        let embedders = [("time_in", EMBEDDING), ("vector_in", self.vec_dim), ("guidance_in", EMBEDDING)];
        for (name, inner) in &embedders[..if self.guidance { 3 } else { 2 }] {
            linear(format!("{name}.in_layer"), hidden, *inner);
            linear(format!("{name}.out_layer"), hidden, hidden);
        }
        let mut norms = Vec::new();
        for block in 0..self.double_blocks {
            for stream in ["img", "txt"] {
                let name = format!("double_blocks.{block}.{stream}");
                linear(format!("{name}_mod.lin"), 6 * hidden, hidden);
                linear(format!("{name}_attn.qkv"), 3 * hidden, hidden);
                linear(format!("{name}_attn.proj"), hidden, hidden);
                linear(format!("{name}_mlp.0"), mlp, hidden);
                linear(format!("{name}_mlp.2"), hidden, mlp);
                norms.push(format!("{name}_attn.norm"));
            }
        }
        for block in 0..self.single_blocks {
            let name = format!("single_blocks.{block}");
            linear(format!("{name}.modulation.lin"), 3 * hidden, hidden);
            linear(format!("{name}.linear1"), 3 * hidden + mlp, hidden);
            linear(format!("{name}.linear2"), hidden, hidden + mlp);
            norms.push(format!("{name}.norm"));
        }
        for norm in norms {
            all.extend(["query", "key"].map(|which| (format!("{norm}.{which}_norm.scale"), vec![dim])));
        }
        all
    }

    /// That a file has all of these, each in its shape and in a type that weights have. Nothing is read but the header,
    /// so that a model with something wrong in its last block does not get half into memory.
    ///
    /// # Errors
    /// The first that is missing or different.
    pub fn check(&self, weights: &Weights) -> Result<(), WeightsError> {
        self.tensors().iter().try_for_each(|(name, shape)| weights.check(name, shape))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_flux1_dev_at_1024_pixels_is_74_tflop() {
        let (products, attention) = Config::flux1_dev().flop(4096 + 512);
        assert!((products / 1e12 - 59.5).abs() < 0.05, "{products:e}");
        assert!((attention / 1e12 - 14.9).abs() < 0.05, "{attention:e}");
    }

    #[test]
    fn the_tensors_of_dev_and_schnell_are_as_many_as_their_files_have() {
        let count = |config: Config| {
            config.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>()
        };
        assert_eq!(count(Config::flux1_dev()), 11_901_408_320);
        assert_eq!(count(Config::flux1_schnell()), 11_891_178_560);
    }
}
