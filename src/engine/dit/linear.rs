//! A linear layer: one type for every form that weights come in and for what LoRAs add beside them, so that the blocks
//! need not know.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::engine::lora::Side;
use crate::engine::ops;
use crate::engine::ops::side_branch::side_branch;
use crate::engine::ops::stored_linear::StoredLinear;
use crate::engine::weights::{Weights, WeightsError};

/// y = x · W + b, and what LoRAs add to it. W is changed only where it is asked to be read with changes.
#[derive(Debug, Clone)]
pub struct Linear {
    own: Own,
    side: Option<Arc<Side>>,
    /// Whether W is not as its file has it.
    changed: bool,
}

/// W and b, in one of their forms.
#[derive(Debug, Clone)]
enum Own {
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
            let own = Own::Stored(StoredLinear::new(weights.matrix(&name, (out, inner))?, bias)?);
            return Ok(Self { own, side: None, changed: false });
        }
        let bias = Tensor::from_vec(bias.unwrap_or_else(|| vec![0.0; out]), out, &Device::Cpu)?;
        let own = Own::Wide(weights.transposed(&name, (out, inner))?, bias);
        Ok(Self { own, side: None, changed: false })
    }

    /// Whether LoRAs can be merged into it: not where its weight is its file's own.
    #[must_use]
    pub fn can_merge(&self) -> bool {
        matches!(self.own, Own::Wide(..))
    }

    /// Reads `{name}.weight` again and changes its values, `[out, in]`, as `change` does.
    ///
    /// # Errors
    /// When it is missing, and what `change` gives: the weight is what it was then.
    pub fn read_with(
        &mut self,
        weights: &Weights,
        name: &str,
        change: impl FnOnce(&mut [f32]) -> Result<(), WeightsError>,
    ) -> Result<(), WeightsError> {
        if let Own::Wide(weight, _) = &mut self.own {
            let (inner, out) = weight.dims2()?;
            *weight = weights.transposed_with(&format!("{name}.weight"), (out, inner), change)?;
            self.changed = true;
        }
        Ok(())
    }

    /// Reads `{name}.weight` again if it is not as its file has it.
    ///
    /// # Errors
    /// When it is missing.
    pub fn restore(&mut self, weights: &Weights, name: &str) -> Result<(), WeightsError> {
        if self.changed {
            self.read_with(weights, name, |_| Ok(()))?;
            self.changed = false;
        }
        Ok(())
    }

    /// Sets what LoRAs add from now on; with `None` the layer is what it was when it was loaded.
    pub fn set_side(&mut self, side: Option<Arc<Side>>) {
        self.side = side;
    }

    /// `[rows, in]` to `[rows, out]`; rows may be spaced.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = self.own.forward(x)?;
        match &self.side {
            Some(side) => self.beside(x, y, side),
            None => Ok(y),
        }
    }

    fn beside(&self, x: &Tensor, y: Tensor, side: &Side) -> candle_core::Result<Tensor> {
        let bias = self.own.bias()?;
        let mut sum = side_branch(x, &y, side, bias.as_deref())?;
        for (rows, factors) in &side.columns {
            let factors = Tensor::new(factors.as_slice(), &Device::Cpu)?;
            let again = self.own.forward(&x.broadcast_mul(&factors)?)?;
            // Of the product only these rows are meant, and the bias is not.
            let mut mask = vec![0.0f32; side.out];
            mask[rows.clone()].fill(1.0);
            let mask = Tensor::new(mask, &Device::Cpu)?;
            let again = match &bias {
                Some(bias) => again.broadcast_sub(&Tensor::new(bias.as_slice(), &Device::Cpu)?)?,
                None => again,
            };
            sum = (sum + again.broadcast_mul(&mask)?)?;
        }
        Ok(sum)
    }
}

impl Own {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Wide(weight, bias) => ops::linear::linear(x, weight, bias),
            Self::Stored(linear) => linear.forward(x),
        }
    }

    fn bias(&self) -> candle_core::Result<Option<Vec<f32>>> {
        match self {
            Self::Wide(_, bias) => bias.to_vec1().map(Some),
            Self::Stored(linear) => Ok(linear.bias().map(<[f32]>::to_vec)),
        }
    }
}
