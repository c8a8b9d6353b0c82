//! Many rows against few: A x of LoRAs.

use half::bf16;

use super::error::{CudaError, Result};
use super::gpu::{Gpu, Grid, Kernel, Module, launch};
use super::memory::{F8, Matrix};

/// Rows of x that a block of the kernel takes.
const ROWS: usize = 16;
/// Rows of A that one launch of a block takes, the most first.
const RANKS: [(usize, &str); 2] = [(32, "side_down_fp8_32"), (16, "side_down_fp8_16")];
/// From more rows of A on, the library is faster: at 64 by a tenth of a step (`benches/PERFORMANCE.md`).
const FEW: usize = 32;

impl Gpu {
    /// [`Gpu::linear_fp8`] without a bias, faster where the weight has few rows. Their number is a multiple of 16, and nothing
    /// has gaps. On cards with products in fp8.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn narrow_fp8(
        &self,
        out: Matrix<'_, bf16>,
        (x, x_scales): (Matrix<'_, F8>, Matrix<'_, f32>),
        (weight, weight_scales): (Matrix<'_, F8>, Matrix<'_, f32>),
    ) -> Result<()> {
        let (rows, ranks, inner) = (x.rows(), weight.rows(), x.width());
        if ranks > FEW {
            return self.linear_fp8(out, (x, x_scales), (weight, weight_scales), None);
        }
        out.expect("a LoRA's small product", rows, ranks)?;
        weight.expect("A", ranks, inner)?;
        x_scales.expect("the scales of x", rows, 1)?;
        weight_scales.expect("the scales of A", ranks, 1)?;
        let dense = x.is_dense() && weight.is_dense() && out.is_dense();
        let fit = RANKS.iter().find(|(count, _)| ranks > 0 && ranks.is_multiple_of(*count));
        let Some((count, name)) = fit.filter(|_| dense && inner.is_multiple_of(16)) else {
            let reason =
                format!("{rows}×{inner} against {ranks} rows: multiples of 16 without gaps are wanted");
            return Err(CudaError::Shape(reason));
        };
        let kernel = Kernel { module: Module::Side, name, shared: 0 };
        let blocks = [rows.div_ceil(ROWS) as u32, (ranks / count) as u32, 1];
        let (x, x_scales) = (x.at(), x_scales.at());
        let (weight, weight_scales) = (weight.at(), weight_scales.at());
        let (out, rows, ranks, inner) = (out.at(), rows as i32, ranks as i32, inner as i32);
        let grid = Grid { blocks, threads: [512, 1] };
        // SAFETY: the arguments are those of the kernel's declaration; extents were checked above.
        unsafe { launch!(self, kernel, grid, x, x_scales, weight, weight_scales, out, rows, ranks, inner) }
    }
}
