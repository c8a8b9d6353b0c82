//! y = x · W + b on the CPU, with W stored `[in, out]`.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::product::{View, multiply_wide};
use super::rows::{Rows, contiguous};

/// `[rows, in]` by `[in, out]` plus `[out]` gives `[rows, out]`; the rows of `x` may be spaced.
///
/// # Errors
/// When the shapes do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.apply_op3_no_bwd(weight, bias, &Linear)
}

struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = Rows::of(self.name(), x, x_layout)?;
        let (inner, columns) = weight_layout.shape().dims2()?;
        let weight = contiguous(self.name(), weight, weight_layout)?;
        let bias = contiguous(self.name(), bias, bias_layout)?;
        if x.width != inner || bias.len() != columns {
            bail!("linear: x {:?}, weight {inner}×{columns}, bias {}", x_layout.dims(), bias.len());
        }
        let mut out = bias.repeat(x.count);
        let left = View { data: x.span(), row: x.stride, column: 1 };
        multiply_wide((x.count, inner, columns), &mut out, true, left, weight);
        Ok((CpuStorage::F32(out), (x.count, columns).into()))
    }
}
