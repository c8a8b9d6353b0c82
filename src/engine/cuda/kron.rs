//! One safe function for each kernel of `kernels/kron.cu`: LoKr beside a layer.

use half::bf16;

use super::error::{CudaError, Result};
use super::flux::linear::Input;
use super::gpu::{Gpu, Grid, Kernel, Module, launch};
use super::memory::Matrix;
use super::ops::{flat, stride};

/// Rows of W₁ that a thread takes; those of the turned W₁ in memory are padded to it.
pub const TILE: usize = 8;
/// Values that a thread reads at a time.
const CHUNK: usize = 8;
const THREADS: u32 = 128;

const fn kernel(name: &'static str) -> Kernel {
    Kernel { module: Module::Kron, name, shared: 0 }
}

impl Gpu {
    /// `out = W₁ x` for every row of x, which is read as a matrix `[in, width]`: `left` is W₁ turned, `[in, out]` with rows
    /// padded to [`TILE`], and out `[rows · out, width]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn kron_left(
        &self,
        x: Input<'_>,
        left: Matrix<'_, bf16>,
        rows_of_left: usize,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        let (rows, columns, step) = match x {
            Input::Bf16(x) => (x.rows(), x.width(), x.stride()),
            Input::Fp8(x, _) => (x.rows(), x.width(), x.stride()),
        };
        let (inner, width) = (left.rows(), out.width());
        out.expect("what the left factor gives", rows * rows_of_left, width)?;
        left.expect("the left factor", inner, rows_of_left.next_multiple_of(TILE))?;
        let eights = width.is_multiple_of(CHUNK) && step.is_multiple_of(CHUNK);
        if columns != inner * width || !eights || !left.is_dense() || !out.is_dense() {
            return Err(CudaError::Shape(format!(
                "rows of {columns} as {inner} of {width}: no gaps and multiples of {CHUNK} are wanted"
            )));
        }
        let blocks = (rows * width / CHUNK).div_ceil(THREADS as usize) as u32;
        let grid = Grid { blocks: [blocks, rows_of_left.div_ceil(TILE) as u32, 1], threads: [THREADS, 1] };
        let (left, out, rows) = (left.at(), out.at(), rows as i32);
        let (o1, i1, width) = (rows_of_left as i32, inner as i32, width as i32);
        // SAFETY: the arguments are those of the kernels' declarations; extents were checked above.
        unsafe {
            match x {
                Input::Bf16(x) => {
                    let (at, step) = (x.at(), stride(x));
                    launch!(self, kernel("kron_left_bf16"), grid, at, step, left, out, rows, o1, i1, width)
                }
                Input::Fp8(x, scales) => {
                    let scales = scales.expect("the scales of x", x.rows(), 1)?.at();
                    let (at, step) = (x.at(), stride(x));
                    launch!(
                        self,
                        kernel("kron_left_fp8"),
                        grid,
                        at,
                        step,
                        scales,
                        left,
                        out,
                        rows,
                        o1,
                        i1,
                        width
                    )
                }
            }
        }
    }

    /// `y += added`, where rows of y may have gaps between them.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn add_rows(&self, y: Matrix<'_, bf16>, added: Matrix<'_, bf16>) -> Result<()> {
        let (rows, width) = (y.rows(), y.width());
        added.expect("what is added", rows, width)?;
        if !added.is_dense() || ![width, y.stride()].iter().all(|side| side.is_multiple_of(CHUNK)) {
            return Err(CudaError::Shape(format!("{rows}×{width} to be added: multiples of {CHUNK}")));
        }
        let (at, step, added, all, width) = (y.at(), stride(y), added.at(), rows as i64, width as i32);
        let grid = flat(rows * y.width() / CHUNK);
        // SAFETY: as above.
        unsafe { launch!(self, kernel("add_rows"), grid, at, step, added, all, width) }
    }
}
