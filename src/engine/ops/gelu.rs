//! GELU (tanh approximation), alone and beside what the single blocks concatenate it with.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::rows::Rows;
use super::threads::over_rows;
use super::vector;

/// GELU of `[tokens, channels]`.
///
/// # Errors
/// When the rows are not contiguous.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.apply_op1_no_bwd(&Gelu)
}

/// `[attention | GELU(mlp)]`: `[tokens, a]` and `[tokens, m]` give `[tokens, a + m]`, the input of a
/// single block's second projection. The rows of both may be spaced.
///
/// # Errors
/// When the shapes do not fit.
pub fn beside_gelu(attention: &Tensor, mlp: &Tensor) -> Result<Tensor> {
    attention.apply_op2_no_bwd(mlp, &BesideGelu)
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Rows::of(self.name(), x, layout)?;
        let mut out = vec![0.0; x.count * x.width];
        over_rows(&mut out, x.width, |first, rows| {
            for (index, out) in rows.chunks_exact_mut(x.width).enumerate() {
                vector::gelu_into(out, x.row(first + index));
            }
        });
        Ok((CpuStorage::F32(out), (x.count, x.width).into()))
    }
}

struct BesideGelu;

impl CustomOp2 for BesideGelu {
    fn name(&self) -> &'static str {
        "beside_gelu"
    }

    fn cpu_fwd(
        &self,
        attention: &CpuStorage,
        attention_layout: &Layout,
        mlp: &CpuStorage,
        mlp_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let attention = Rows::of(self.name(), attention, attention_layout)?;
        let mlp = Rows::of(self.name(), mlp, mlp_layout)?;
        if attention.count != mlp.count {
            bail!("beside_gelu: attention {:?}, mlp {:?}", attention_layout.dims(), mlp_layout.dims());
        }
        let width = attention.width + mlp.width;
        let mut out = vec![0.0; mlp.count * width];
        over_rows(&mut out, width, |first, rows| {
            for (index, out) in rows.chunks_exact_mut(width).enumerate() {
                let (left, right) = out.split_at_mut(attention.width);
                left.copy_from_slice(attention.row(first + index));
                vector::gelu_into(right, mlp.row(first + index));
            }
        });
        Ok((CpuStorage::F32(out), (mlp.count, width).into()))
    }
}
