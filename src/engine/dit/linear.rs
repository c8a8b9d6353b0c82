//! A linear layer: one type for every form that weights come in, so that the blocks need not know.

use candle_core::Tensor;

use crate::engine::ops;
use crate::engine::ops::stored_linear::StoredLinear;
use crate::engine::weights::{Weights, WeightsError};

/// y = x · W + b, in one of its forms.
#[derive(Debug, Clone)]
pub enum Linear {
    /// W in fp32, `[in, out]`: fp8, bf16 and fp16 files are widened to it, exactly. Then b.
    Wide(Tensor, Tensor),
    /// W as its file has it: quantised, and mapped.
    Stored(StoredLinear),
}

impl Linear {
    /// Reads `{name}.weight`, stored `[out, in]`, and `{name}.bias`.
    ///
    /// # Errors
    /// When either is missing or has another shape.
    pub fn load(weights: &Weights, name: &str, inner: usize, out: usize) -> Result<Self, WeightsError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        if weights.dtype(&weight)?.is_quantised() {
            let bias = weights.widened(&bias, &[out])?;
            let weight = weights.matrix(&weight, (out, inner))?;
            return Ok(Self::Stored(StoredLinear::new(weight, Some(bias))?));
        }
        Ok(Self::Wide(weights.transposed(&weight, (out, inner))?, weights.get(&bias, &[out])?))
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
