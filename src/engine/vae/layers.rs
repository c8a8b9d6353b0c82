//! What the decoder is built from.

use candle_core::{Result as Computed, Tensor};

use crate::engine::ops;
use crate::engine::weights::{Weights, WeightsError};

/// Every group norm of the VAE has this many groups.
const GROUPS: usize = 32;

/// Group norm, with SiLU behind it where the reference has it.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    pub fn load(weights: &Weights, name: &str, channels: usize) -> Result<Self, WeightsError> {
        if !channels.is_multiple_of(GROUPS) {
            let reason = format!("{name:?} has {channels} channels, which {GROUPS} groups do not divide");
            return Err(WeightsError::Config(reason));
        }
        Ok(Self {
            weight: weights.get(&format!("{name}.weight"), &[channels])?,
            bias: weights.get(&format!("{name}.bias"), &[channels])?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        ops::group_norm::group_norm(x, &self.weight, &self.bias, GROUPS, false)
    }

    pub fn forward_silu(&self, x: &Tensor) -> Computed<Tensor> {
        ops::group_norm::group_norm(x, &self.weight, &self.bias, GROUPS, true)
    }
}

/// A 3×3 convolution.
#[derive(Debug)]
pub(super) struct Conv3 {
    weight: Tensor,
    bias: Tensor,
}

impl Conv3 {
    /// Reads `[out, in, 3, 3]` and lays it out as `[3, 3·in, out]`.
    pub fn load(weights: &Weights, name: &str, inner: usize, out: usize) -> Result<Self, WeightsError> {
        let weight = weights.get(&format!("{name}.weight"), &[out, inner, 3, 3])?;
        Ok(Self {
            weight: weight.permute((2, 3, 1, 0))?.contiguous()?.reshape((3, 3 * inner, out))?,
            bias: weights.get(&format!("{name}.bias"), &[out])?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        ops::conv::conv3x3(x, &self.weight, &self.bias)
    }
}

/// A 1×1 convolution: a linear layer over the pixels.
#[derive(Debug)]
pub(super) struct Conv1 {
    weight: Tensor,
    bias: Tensor,
}

impl Conv1 {
    pub fn load(weights: &Weights, name: &str, inner: usize, out: usize) -> Result<Self, WeightsError> {
        let weight = weights.get(&format!("{name}.weight"), &[out, inner, 1, 1])?;
        Ok(Self {
            weight: weight.reshape((out, inner))?.t()?.contiguous()?,
            bias: weights.get(&format!("{name}.bias"), &[out])?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let (height, width, channels) = x.dims3()?;
        let pixels = x.reshape((height * width, channels))?;
        ops::linear::linear(&pixels, &self.weight, &self.bias)?.reshape((
            height,
            width,
            self.bias.elem_count(),
        ))
    }
}

/// BFL's `ResnetBlock`.
#[derive(Debug)]
pub(super) struct ResnetBlock {
    norm1: Norm,
    conv1: Conv3,
    norm2: Norm,
    conv2: Conv3,
    shortcut: Option<Conv1>,
}

impl ResnetBlock {
    pub fn load(weights: &Weights, name: &str, inner: usize, out: usize) -> Result<Self, WeightsError> {
        let shortcut = || Conv1::load(weights, &format!("{name}.nin_shortcut"), inner, out);
        Ok(Self {
            norm1: Norm::load(weights, &format!("{name}.norm1"), inner)?,
            conv1: Conv3::load(weights, &format!("{name}.conv1"), inner, out)?,
            norm2: Norm::load(weights, &format!("{name}.norm2"), out)?,
            conv2: Conv3::load(weights, &format!("{name}.conv2"), out, out)?,
            shortcut: (inner != out).then(shortcut).transpose()?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let inner = self.conv1.forward(&self.norm1.forward_silu(x)?)?;
        let inner = self.conv2.forward(&self.norm2.forward_silu(&inner)?)?;
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)? + inner,
            None => x + inner,
        }
    }
}

/// BFL's `AttnBlock`: one head over all pixels.
#[derive(Debug)]
pub(super) struct AttnBlock {
    norm: Norm,
    q: Conv1,
    k: Conv1,
    v: Conv1,
    proj_out: Conv1,
}

impl AttnBlock {
    pub fn load(weights: &Weights, name: &str, channels: usize) -> Result<Self, WeightsError> {
        let conv = |part: &str| Conv1::load(weights, &format!("{name}.{part}"), channels, channels);
        Ok(Self {
            norm: Norm::load(weights, &format!("{name}.norm"), channels)?,
            q: conv("q")?,
            k: conv("k")?,
            v: conv("v")?,
            proj_out: conv("proj_out")?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let (height, width, channels) = x.dims3()?;
        let normed = self.norm.forward(x)?;
        let parts = [self.q.forward(&normed)?, self.k.forward(&normed)?, self.v.forward(&normed)?];
        let qkv = Tensor::cat(&parts, 2)?.reshape((height * width, 3 * channels))?;
        let attended = ops::attention::attention(&qkv, 1)?.reshape((height, width, channels))?;
        x + self.proj_out.forward(&attended)?
    }
}

/// BFL's `Upsample`: each pixel doubled both ways, then a convolution.
#[derive(Debug)]
pub(super) struct Upsample {
    conv: Conv3,
}

impl Upsample {
    pub fn load(weights: &Weights, name: &str, channels: usize) -> Result<Self, WeightsError> {
        Ok(Self { conv: Conv3::load(weights, &format!("{name}.conv"), channels, channels)? })
    }

    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let (height, width, channels) = x.dims3()?;
        let doubled =
            x.reshape((height, 1, width, 1, channels))?.broadcast_as((height, 2, width, 2, channels))?;
        self.conv.forward(&doubled.reshape((2 * height, 2 * width, channels))?)
    }
}
