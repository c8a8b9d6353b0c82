//! (1 + scale) · LN(x) + shift: layer norm without weights, then adaLN's modulation.
//!
//! FLUX's `LayerNorm(elementwise_affine=False, eps=1e-6)` followed by its modulation, in one pass.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::rows::{Rows, contiguous};
use super::threads::over_rows;
use super::vector;

const EPSILON: f32 = 1e-6;

/// `x` is `[tokens, channels]`; `modulation` is `[2, channels]`: shift, then scale.
///
/// # Errors
/// When the shapes do not fit.
pub fn modulated_norm(x: &Tensor, modulation: &Tensor) -> Result<Tensor> {
    x.apply_op2_no_bwd(modulation, &ModulatedNorm)
}

struct ModulatedNorm;

impl CustomOp2 for ModulatedNorm {
    fn name(&self) -> &'static str {
        "modulated_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        modulation: &CpuStorage,
        modulation_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = Rows::of(self.name(), x, x_layout)?;
        let modulation = contiguous(self.name(), modulation, modulation_layout)?;
        if modulation.len() != 2 * x.width {
            bail!("modulated_norm: x {:?}, modulation of {}", x_layout.dims(), modulation.len());
        }
        let (shift, scale) = modulation.split_at(x.width);
        let mut out = vec![0.0; x.count * x.width];
        over_rows(&mut out, x.width, |first, rows| {
            for (index, out) in rows.chunks_exact_mut(x.width).enumerate() {
                normalise(out, x.row(first + index), shift, scale);
            }
        });
        Ok((CpuStorage::F32(out), (x.count, x.width).into()))
    }
}

fn normalise(out: &mut [f32], x: &[f32], shift: &[f32], scale: &[f32]) {
    let (mean, variance) = vector::mean_and_variance(x);
    let inverse = 1.0 / (variance + EPSILON).sqrt();
    for (((out, x), shift), scale) in out.iter_mut().zip(x).zip(shift).zip(scale) {
        *out = (1.0 + scale) * ((x - mean) * inverse) + shift;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device};

    #[test]
    fn it_is_layer_norm_then_modulation() -> Result<()> {
        let x = Tensor::randn(3.0f32, 2.0, (5, 37), &Device::Cpu)?;
        let modulation = Tensor::randn(0.0f32, 1.0, (2, 37), &Device::Cpu)?;
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?.sqrt()?;
        let normed = centred.broadcast_div(&deviation)?;
        let (shift, scale) = (modulation.get(0)?, modulation.get(1)?);
        let plain = normed.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(&shift)?;
        let error = (modulated_norm(&x, &modulation)? - plain)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(error < 1e-5, "off by {error}");
        Ok(())
    }
}
