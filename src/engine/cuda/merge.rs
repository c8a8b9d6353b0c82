//! One safe function for each kernel of `kernels/merge.cu`: LoRAs merged into weights, some rows at a time, which are
//! `[rows, width]` in fp32 meanwhile.

use half::bf16;

use super::error::{CudaError, Result};
use super::gpu::{Gpu, Grid, Kernel, Module, launch};
use super::memory::{F8, Matrix};
use super::ops::flat;

/// Widths are multiples of this.
pub const COLUMNS: usize = 4;
/// Rows that a thread of `merge_low` sums, and threads of its blocks.
const ROWS: usize = 16;
const THREADS: usize = 128;

const fn kernel(name: &'static str) -> Kernel {
    Kernel { module: Module::Merge, name, shared: 0 }
}

/// Rows of a weight that can be merged into, without gaps.
#[derive(Debug, Clone, Copy)]
pub enum Merging<'a> {
    /// bf16.
    Bf16(Matrix<'a, bf16>),
    /// fp8 and the scales of the rows, `[rows, 1]`.
    Fp8(Matrix<'a, F8>, Matrix<'a, f32>),
}

impl Merging<'_> {
    /// How many rows.
    #[must_use]
    pub fn rows(self) -> usize {
        match self {
            Self::Bf16(weight) => weight.rows(),
            Self::Fp8(weight, _) => weight.rows(),
        }
    }

    /// Values of a row.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::Bf16(weight) => weight.width(),
            Self::Fp8(weight, _) => weight.width(),
        }
    }

    /// `count` rows from row `first` on.
    #[must_use]
    pub fn slice_rows(self, first: usize, count: usize) -> Self {
        match self {
            Self::Bf16(weight) => Self::Bf16(weight.slice_rows(first, count)),
            Self::Fp8(weight, scales) => {
                Self::Fp8(weight.slice_rows(first, count), scales.slice_rows(first, count))
            }
        }
    }

    fn check(self, w: Matrix<'_, f32>) -> Result<()> {
        w.expect("rows in fp32", self.rows(), self.width())?;
        let dense = match self {
            Self::Bf16(weight) => weight.is_dense(),
            Self::Fp8(weight, scales) => {
                scales.expect("the scales of the rows", weight.rows(), 1)?;
                weight.is_dense()
            }
        };
        if dense && w.is_dense() && self.width().is_multiple_of(COLUMNS) {
            return Ok(());
        }
        let (rows, width) = (self.rows(), self.width());
        Err(CudaError::Shape(format!(
            "{rows}×{width} to merge into: no gaps and multiples of {COLUMNS} are wanted"
        )))
    }
}

impl Gpu {
    /// `w = W (1 + factor of the row)`, factors `[rows, 1]`; without them W itself.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn merge_begin(
        &self,
        weight: Merging<'_>,
        factors: Option<Matrix<'_, f32>>,
        w: Matrix<'_, f32>,
    ) -> Result<()> {
        weight.check(w)?;
        let factors = match factors {
            Some(factors) => factors.expect("the factors of the rows", weight.rows(), 1)?.at(),
            None => 0,
        };
        let grid = flat(w.rows() * w.width());
        let (to, rows, width) = (w.at(), w.rows() as i32, w.width() as i32);
        // SAFETY: the arguments are those of the kernels' declarations; extents were checked above.
        unsafe {
            match weight {
                Merging::Bf16(from) => {
                    launch!(self, kernel("merge_begin_bf16"), grid, from.at(), factors, to, rows, width)
                }
                Merging::Fp8(from, scales) => {
                    let (from, scales) = (from.at(), scales.at());
                    launch!(self, kernel("merge_begin_fp8"), grid, from, scales, factors, to, rows, width)
                }
            }
        }
    }

    /// `w += W · factor of the column`, factors `[1, width]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn merge_columns(
        &self,
        weight: Merging<'_>,
        factors: Matrix<'_, f32>,
        w: Matrix<'_, f32>,
    ) -> Result<()> {
        weight.check(w)?;
        let factors = factors.expect("the factors of the columns", 1, w.width())?.at();
        let grid = flat(w.rows() * w.width());
        let (to, rows, width) = (w.at(), w.rows() as i32, w.width() as i32);
        // SAFETY: as above.
        unsafe {
            match weight {
                Merging::Bf16(from) => {
                    launch!(self, kernel("merge_columns_bf16"), grid, from.at(), factors, to, rows, width)
                }
                Merging::Fp8(from, scales) => {
                    let (from, scales) = (from.at(), scales.at());
                    launch!(self, kernel("merge_columns_fp8"), grid, from, scales, factors, to, rows, width)
                }
            }
        }
    }

    /// `w += B A`: B turned, `[ranks, rows]`, A `[ranks, width]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn merge_low(&self, w: Matrix<'_, f32>, up: Matrix<'_, f32>, down: Matrix<'_, f32>) -> Result<()> {
        let (rows, width, ranks) = (w.rows(), w.width(), down.rows());
        up.expect("B", ranks, rows)?;
        down.expect("A", ranks, width)?;
        if !w.is_dense() || !down.is_dense() || !width.is_multiple_of(COLUMNS) {
            return Err(CudaError::Shape(format!("{rows}×{width} in fp32: multiples of {COLUMNS}")));
        }
        let blocks = [(width / COLUMNS).div_ceil(THREADS) as u32, rows.div_ceil(ROWS) as u32, 1];
        let grid = Grid { blocks, threads: [THREADS as u32, 1] };
        let (to, from, step, down) = (w.at(), up.at(), up.stride() as i32, down.at());
        let (rows, width, ranks) = (rows as i32, width as i32, ranks as i32);
        // SAFETY: as above.
        unsafe { launch!(self, kernel("merge_low"), grid, to, from, step, down, rows, width, ranks) }
    }

    /// `w += left ⊗ right`, of which `w` is the rows from `first` on.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn merge_kron(
        &self,
        w: Matrix<'_, f32>,
        left: Matrix<'_, f32>,
        right: Matrix<'_, f32>,
        first: usize,
    ) -> Result<()> {
        let (rows, width) = (w.rows(), w.width());
        let fits = left.rows() * right.rows() >= first + rows && left.width() * right.width() == width;
        if !fits || ![w, left, right].iter().all(|matrix| matrix.is_dense()) {
            return Err(CudaError::Shape(format!(
                "{left:?} times {right:?} has no rows {first} to {} of {width}",
                first + rows
            )));
        }
        let (grid, to) = (flat(rows * width), w.at());
        let (o2, i2) = (right.rows() as i32, right.width() as i32);
        let (left, right, first) = (left.at(), right.at(), first as i32);
        let (rows, width) = (rows as i32, width as i32);
        // SAFETY: as above.
        unsafe { launch!(self, kernel("merge_kron"), grid, to, left, right, first, rows, width, o2, i2) }
    }

    /// `w += more`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn merge_add(&self, w: Matrix<'_, f32>, more: Matrix<'_, f32>) -> Result<()> {
        more.expect("what is added", w.rows(), w.width())?;
        if !w.is_dense() || !more.is_dense() {
            return Err(CudaError::Shape("a sum of rows with gaps between them".to_owned()));
        }
        let (values, grid) = ((w.rows() * w.width()) as i64, flat(w.rows() * w.width()));
        // SAFETY: as above.
        unsafe { launch!(self, kernel("merge_add"), grid, w.at(), more.at(), values) }
    }

    /// `W = w`: in bf16 to the nearest, in fp8 by stochastic rounding from `key`, the first of the rows being row `first` of
    /// its weight.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn merge_end(&self, w: Matrix<'_, f32>, weight: Merging<'_>, key: u64, first: usize) -> Result<()> {
        weight.check(w)?;
        let (rows, width) = (w.rows(), w.width());
        // SAFETY: as above.
        unsafe {
            match weight {
                Merging::Bf16(to) => {
                    let values = (rows * width) as i64;
                    launch!(self, kernel("merge_end_bf16"), flat(rows * width), w.at(), to.at(), values)
                }
                Merging::Fp8(to, scales) => {
                    let (grid, from) = (Grid::line(rows, 256), w.at());
                    let (to, scales, first, width) = (to.at(), scales.at(), first as i32, width as i32);
                    launch!(self, kernel("merge_end_fp8"), grid, from, to, scales, key, first, width)
                }
            }
        }
    }
}
