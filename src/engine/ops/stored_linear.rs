//! y = x · Wᵀ + b on the CPU, with W, `[out, in]`, as its file has it: rows are widened to fp32 in panels, each just
//! before it is multiplied by. Memory is the file's; what that costs is a pass over W a product.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::product::{View, multiply_panels};
use super::rows::Rows;
use crate::engine::weights::Matrix;

/// A layer whose weight stays as it is stored.
#[derive(Debug, Clone)]
pub struct StoredLinear {
    weight: Matrix,
    /// `[out]`.
    bias: Option<Arc<[f32]>>,
}

impl StoredLinear {
    /// # Errors
    /// When there are more or fewer biases than rows of the weight.
    pub fn new(weight: Matrix, bias: Option<Vec<f32>>) -> Result<Self> {
        if let Some(bias) = bias.as_ref().filter(|bias| bias.len() != weight.rows()) {
            bail!("stored_linear: {} biases for {weight:?}", bias.len());
        }
        Ok(Self { weight, bias: bias.map(Into::into) })
    }

    /// What it adds to each row of a product, `[out]`.
    #[must_use]
    pub fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// `[rows, in]` to `[rows, out]`; rows may be spaced.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(self)
    }
}

impl CustomOp1 for StoredLinear {
    fn name(&self) -> &'static str {
        "stored_linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Rows::of(self.name(), x, x_layout)?;
        let (inner, columns) = (self.weight.columns(), self.weight.rows());
        if x.width != inner {
            bail!("stored_linear: x {:?}, weight {:?}", x_layout.dims(), self.weight);
        }
        let mut out = match &self.bias {
            Some(bias) => bias.repeat(x.count),
            None => vec![0.0; x.count * columns],
        };
        let left = View { data: x.span(), row: x.stride, column: 1 };
        multiply_panels((x.count, inner, columns), &mut out, left, |first, rows| {
            self.weight.widen(first, rows);
        });
        Ok((CpuStorage::F32(out), (x.count, columns).into()))
    }
}
