//! A linear layer: one type for every form that weights come in, so that the blocks need not know.

use candle_core::Tensor;

use crate::engine::ops;
use crate::engine::weights::{Weights, WeightsError};

/// y = x · W + b.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Tensor,
}

/// The forms of W.
#[derive(Debug, Clone)]
enum Weight {
    /// fp32, `[in, out]`: fp8 and bf16 files are widened to it on the CPU, exactly.
    Wide(Tensor),
}

impl Linear {
    /// Reads `{name}.weight`, stored `[out, in]`, and `{name}.bias`.
    ///
    /// # Errors
    /// When either is missing or has another shape.
    pub fn load(weights: &Weights, name: &str, inner: usize, out: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: Weight::Wide(weights.transposed(&format!("{name}.weight"), (out, inner))?),
            bias: weights.get(&format!("{name}.bias"), &[out])?,
        })
    }

    /// `[rows, in]` to `[rows, out]`; rows may be spaced.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match &self.weight {
            Weight::Wide(weight) => ops::linear::linear(x, weight, &self.bias),
        }
    }
}
