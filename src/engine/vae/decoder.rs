//! The decoder, of any width and depth: both are read from the weights.

use candle_core::Tensor;
use serde::Deserialize;

use super::layers::{AttnBlock, Conv3, Norm, ResnetBlock, Upsample};
use crate::engine::weights::{Weights, WeightsError};
use crate::model::Source;

/// What the VAE's config says about its latents; FLUX.1's values where there is no config.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Scaling {
    /// The sampler's latents are the VAE's, less the shift, times this.
    #[serde(rename = "scaling_factor")]
    pub scale: f64,
    /// The mean that was taken off.
    #[serde(rename = "shift_factor")]
    pub shift: f64,
}

impl Scaling {
    /// From `AutoencoderKL`'s config.
    ///
    /// # Errors
    /// When the file cannot be read or lacks a factor.
    pub fn read(source: &Source) -> Result<Self, WeightsError> {
        let bytes = source.read()?;
        serde_json::from_slice(&bytes).map_err(|error| WeightsError::Config(format!("{source}: {error}")))
    }
}

/// From a latent to a picture eight times as wide and high.
#[derive(Debug)]
pub struct Decoder {
    scaling: Scaling,
    conv_in: Conv3,
    mid: (ResnetBlock, AttnBlock, ResnetBlock),
    levels: Vec<Level>,
    norm_out: Norm,
    conv_out: Conv3,
}

/// The blocks of one resolution, lowest first.
#[derive(Debug)]
struct Level {
    blocks: Vec<ResnetBlock>,
    upsample: Option<Upsample>,
}

impl Decoder {
    /// Reads `decoder.*`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, scaling: Scaling) -> Result<Self, WeightsError> {
        let (latent, top) = match *weights.shape("decoder.conv_in.weight")? {
            [out, inner, 3, 3] => (inner, out),
            ref shape => {
                return Err(WeightsError::Config(format!("the decoder's first layer has shape {shape:?}")));
            }
        };
        let mut channels = top;
        let mut levels = Vec::new();
        for index in (0..weights.depth("decoder.up")).rev() {
            let level = Level::load(weights, &format!("decoder.up.{index}"), &mut channels)?;
            levels.push(level);
        }
        Ok(Self {
            scaling,
            conv_in: Conv3::load(weights, "decoder.conv_in", latent, top)?,
            mid: (
                ResnetBlock::load(weights, "decoder.mid.block_1", top, top)?,
                AttnBlock::load(weights, "decoder.mid.attn_1", top)?,
                ResnetBlock::load(weights, "decoder.mid.block_2", top, top)?,
            ),
            levels,
            norm_out: Norm::load(weights, "decoder.norm_out", channels)?,
            conv_out: Conv3::load(weights, "decoder.conv_out", channels, 3)?,
        })
    }

    /// `latent` is the sampler's, `[rows, columns, 16]`; gives `[8·rows, 8·columns, 3]`, about -1 to 1.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn decode(&self, latent: &Tensor) -> candle_core::Result<Tensor> {
        self.decode_watched(latent, &mut || Ok(()))
    }

    /// The same; `before_block` is called before each block and may end it.
    ///
    /// # Errors
    /// When the shapes do not fit; what `before_block` gives.
    pub fn decode_watched(
        &self,
        latent: &Tensor,
        before_block: &mut dyn FnMut() -> candle_core::Result<()>,
    ) -> candle_core::Result<Tensor> {
        before_block()?;
        let latent = latent.affine(1.0 / self.scaling.scale, self.scaling.shift)?;
        let mut x = self.conv_in.forward(&latent)?;
        x = self.mid.0.forward(&x)?;
        before_block()?;
        x = self.mid.1.forward(&x)?;
        before_block()?;
        x = self.mid.2.forward(&x)?;
        for level in &self.levels {
            for block in &level.blocks {
                before_block()?;
                x = block.forward(&x)?;
            }
            if let Some(upsample) = &level.upsample {
                before_block()?;
                x = upsample.forward(&x)?;
            }
        }
        before_block()?;
        self.conv_out.forward(&self.norm_out.forward_silu(&x)?)
    }
}

impl Level {
    /// `channels` come in and, changed, go out.
    fn load(weights: &Weights, name: &str, channels: &mut usize) -> Result<Self, WeightsError> {
        let mut blocks = Vec::new();
        for index in 0..weights.depth(&format!("{name}.block")) {
            let block = format!("{name}.block.{index}");
            let out = weights.shape(&format!("{block}.conv1.bias"))?.iter().product();
            blocks.push(ResnetBlock::load(weights, &block, *channels, out)?);
            *channels = out;
        }
        let upsample = format!("{name}.upsample");
        let has_upsample = weights.contains(&format!("{upsample}.conv.weight"));
        let upsample = has_upsample.then(|| Upsample::load(weights, &upsample, *channels)).transpose()?;
        Ok(Self { blocks, upsample })
    }
}
