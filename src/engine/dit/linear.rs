//! A linear layer: one type for every form that weights come in, so that the blocks need not know.

use candle_core::{Device, Tensor};

use crate::engine::ops;
use crate::engine::ops::stored_linear::StoredLinear;
use crate::engine::weights::{Weights, WeightsError};

/// y = x · W + b, in one of its forms.
#[derive(Debug, Clone)]
pub enum Linear {
    /// W in fp32, `[in, out]`: small models' fp8, bf16 and fp16 weights are widened to it once, exactly. Then b.
    Wide(Tensor, Tensor),
    /// W as its file has it, mapped: quantised, or a large model's.
    Stored(StoredLinear),
}

impl Linear {
    /// Reads `{name}.weight`, stored `[out, in]`, and `{name}.bias`.
    ///
    /// # Errors
    /// When either is missing or has another shape.
    pub fn load(weights: &Weights, name: &str, inner: usize, out: usize) -> Result<Self, WeightsError> {
        let bias = weights.widened(&format!("{name}.bias"), &[out])?;
        Self::with(weights, name, (inner, out), Some(bias))
    }

    /// Reads `{name}.weight` alone; b is zero.
    ///
    /// # Errors
    /// As [`Linear::load`].
    pub fn without_bias(
        weights: &Weights,
        name: &str,
        inner: usize,
        out: usize,
    ) -> Result<Self, WeightsError> {
        Self::with(weights, name, (inner, out), None)
    }

    fn with(
        weights: &Weights,
        name: &str,
        (inner, out): (usize, usize),
        bias: Option<Vec<f32>>,
    ) -> Result<Self, WeightsError> {
        let name = format!("{name}.weight");
        if weights.dtype(&name)?.is_quantised() || weights.stay_stored() {
            return Ok(Self::Stored(StoredLinear::new(weights.matrix(&name, (out, inner))?, bias)?));
        }
        let bias = Tensor::from_vec(bias.unwrap_or_else(|| vec![0.0; out]), out, &Device::Cpu)?;
        Ok(Self::Wide(weights.transposed(&name, (out, inner))?, bias))
    }

    /// `[rows, in]` to `[rows, out]`; rows may be spaced.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Wide(weight, bias) => ops::linear::linear(x, weight, bias),
            Self::Stored(linear) => linear.forward(x),
        }
    }
}
