//! RMS norm of each query and key head, then rotation by position: what stands between the qkv
//! projection and attention.
//!
//! FLUX's `QKNorm` (eps 1e-6) and `apply_rope`: pairs of neighbouring elements are rotated,
//! (a, b) → (a·cos − b·sin, a·sin + b·cos).

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::rows::{Rows, contiguous};
use super::threads::over_rows;
use super::vector;

const EPSILON: f32 = 1e-6;

/// `qkv` is `[tokens, 3 · heads · dim]` (its rows may be spaced); `scales` is `[2, dim]`: the query's
/// and the key's; `rotations` is `[tokens, dim]`: cos and sin in turn for each pair. Gives
/// `[tokens, 3 · heads · dim]`, contiguous, with the values as they came.
///
/// # Errors
/// When the shapes do not fit.
pub fn qk_norm_rope(qkv: &Tensor, scales: &Tensor, rotations: &Tensor) -> Result<Tensor> {
    qkv.apply_op3_no_bwd(scales, rotations, &QkNormRope)
}

struct QkNormRope;

impl CustomOp3 for QkNormRope {
    fn name(&self) -> &'static str {
        "qk_norm_rope"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        qkv_layout: &Layout,
        scales: &CpuStorage,
        scales_layout: &Layout,
        rotations: &CpuStorage,
        rotations_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let qkv = Rows::of(self.name(), qkv, qkv_layout)?;
        let rotations = Rows::of(self.name(), rotations, rotations_layout)?;
        let scales = contiguous(self.name(), scales, scales_layout)?;
        let dim = rotations.width;
        if scales.len() != 2 * dim || qkv.count != rotations.count || !qkv.width.is_multiple_of(3 * dim) {
            let (qkv, rotations) = (qkv_layout.dims(), rotations_layout.dims());
            bail!("qk_norm_rope: qkv {qkv:?}, rotations {rotations:?}, {} scales", scales.len());
        }
        let channels = qkv.width / 3;
        let mut out = vec![0.0; qkv.count * qkv.width];
        over_rows(&mut out, qkv.width, |first, rows| {
            for (index, out) in rows.chunks_exact_mut(qkv.width).enumerate() {
                let (row, rotation) = (qkv.row(first + index), rotations.row(first + index));
                let heads = out.chunks_exact_mut(dim).zip(row.chunks_exact(dim)).take(2 * channels / dim);
                for (head, (out, x)) in heads.enumerate() {
                    let which = usize::from(head * dim >= channels);
                    normalise_and_rotate(out, x, &scales[which * dim..][..dim], rotation);
                }
                out[2 * channels..].copy_from_slice(&row[2 * channels..]);
            }
        });
        Ok((CpuStorage::F32(out), (qkv.count, qkv.width).into()))
    }
}

fn normalise_and_rotate(out: &mut [f32], x: &[f32], scale: &[f32], rotation: &[f32]) {
    let inverse = 1.0 / (vector::mean_square(x) + EPSILON).sqrt();
    let pairs = out.chunks_exact_mut(2).zip(x.chunks_exact(2));
    for ((out, x), (scale, turn)) in pairs.zip(scale.chunks_exact(2).zip(rotation.chunks_exact(2))) {
        let (a, b) = (x[0] * inverse * scale[0], x[1] * inverse * scale[1]);
        out[0] = a * turn[0] - b * turn[1];
        out[1] = a * turn[1] + b * turn[0];
    }
}
