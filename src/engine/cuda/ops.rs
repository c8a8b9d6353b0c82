//! One safe function for each kernel of `kernels/elementwise.cu`: shapes are checked here, launches are as the kernels' own comments ask. What they compute and what bounds them is written there.

use cudarc::driver::sys::CUdeviceptr;
use half::bf16;

use super::error::{CudaError, Result};
use super::gpu::{Gpu, Grid, Kernel, Module, launch};
use super::memory::{Element, F8, Matrix};

/// Values that a thread of the row kernels holds: `kChunks` and `kLongChunks` of 8.
const ROW_CHUNK: usize = 3 * 8;
const LONG_ROW_CHUNK: usize = 6 * 8;
/// Epsilon of FLUX's norms.
const EPSILON: f32 = 1e-6;

const fn elementwise(name: &'static str) -> Kernel {
    Kernel { module: Module::Elementwise, name, shared: 0 }
}

/// Shift, scale and, where a branch joins first, gate: rows of `[1, width]`. Rows of the stream from `split` on (the
/// image's, in a double block) use those `second` values further on.
#[derive(Debug, Clone, Copy)]
pub struct Modulation<'a> {
    /// Added.
    pub shift: Matrix<'a, bf16>,
    /// One more than this is multiplied by.
    pub scale: Matrix<'a, bf16>,
    /// The first row of the second stream; the number of rows where there is one stream.
    pub split: usize,
    /// Values from one stream's modulation to the other's.
    pub second: usize,
}

/// A branch that joins the residual stream: `x += gate · y`, gate as in [`Modulation`].
#[derive(Debug, Clone, Copy)]
pub struct Branch<'a> {
    /// `[1, width]`.
    pub gate: Matrix<'a, bf16>,
    /// `[rows, width]`.
    pub y: Matrix<'a, bf16>,
}

/// Where a kernel puts what the next product reads.
#[derive(Debug, Clone, Copy)]
pub enum Out<'a> {
    /// bf16.
    Bf16(Matrix<'a, bf16>),
    /// fp8 with one scale a row, `[rows, 1]`.
    Fp8(Matrix<'a, F8>, Matrix<'a, f32>),
}

/// The grid of a row kernel: a row is `width / per_thread` threads rounded up to whole warps; several rows a block
/// where a row is one warp.
pub(super) fn row_grid(rows: usize, width: usize, per_thread: usize) -> Grid {
    let threads = width.div_ceil(per_thread).next_multiple_of(32);
    let together = if threads == 32 { 4 } else { 1 };
    Grid { blocks: [rows.div_ceil(together) as u32, 1, 1], threads: [threads as u32, together as u32] }
}

/// The row kernels move 16 bytes at a time and have at most 1024 threads a row.
pub(super) fn check_row(what: &str, width: usize, per_thread: usize, strides: &[usize]) -> Result<()> {
    let fits = width.is_multiple_of(8) && width.div_ceil(per_thread) <= 1024;
    if fits && strides.iter().all(|stride| stride.is_multiple_of(8)) {
        return Ok(());
    }
    Err(CudaError::Shape(format!(
        "{what}: rows of {width} with strides {strides:?}; widths and strides are multiples of 8, widths at most {}",
        1024 * per_thread
    )))
}

pub(super) fn stride<T: Element>(matrix: Matrix<'_, T>) -> i64 {
    matrix.stride() as i64
}

/// A grid for `count` values, several a thread.
pub(super) fn flat(count: usize) -> Grid {
    Grid::line(count.div_ceil(1024).clamp(1, 4096), 256)
}

impl Gpu {
    /// `out = norm(x) · (1 + scale) + shift`; with a branch, `x += gate · y` first, in place.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn norm_modulate(
        &self,
        x: Matrix<'_, bf16>,
        branch: Option<Branch<'_>>,
        modulation: Modulation<'_>,
        out: Out<'_>,
    ) -> Result<()> {
        let (rows, width) = (x.rows(), x.width());
        modulation.shift.expect("the shift", 1, width)?;
        modulation.scale.expect("the scale", 1, width)?;
        let (shift, scale) = (modulation.shift.at(), modulation.scale.at());
        let (tokens, split, second, item) =
            (rows as i32, modulation.split as i32, modulation.second as i64, 0i64);
        let (rows, width) = (rows as i32, width as i32);
        let grid = row_grid(x.rows(), x.width(), ROW_CHUNK);
        let (x_at, x_stride) = (x.at(), stride(x));
        let (y_at, y_stride, gate) = match branch {
            Some(Branch { gate, y }) => {
                y.expect("the branch", x.rows(), x.width())?;
                gate.expect("the gate", 1, x.width())?;
                (y.at(), stride(y), gate.at())
            }
            None => (0, 0, 0),
        };
        let out_stride = match out {
            Out::Bf16(out) => stride(out.expect("the output", x.rows(), x.width())?),
            Out::Fp8(out, scales) => {
                scales.expect("the output's scales", x.rows(), 1)?;
                stride(out.expect("the output", x.rows(), x.width())?)
            }
        };
        let strides = [x.stride(), y_stride as usize, out_stride as usize];
        check_row("norm_modulate", x.width(), ROW_CHUNK, &strides)?;
        // SAFETY: the arguments are those of the kernels' declarations; extents were checked above.
        unsafe {
            match (branch.is_some(), out) {
                (false, Out::Bf16(out)) => launch!(
                    self,
                    elementwise("norm_modulate_bf16"),
                    grid,
                    x_at,
                    x_stride,
                    shift,
                    scale,
                    tokens,
                    split,
                    second,
                    item,
                    out.at(),
                    out_stride,
                    rows,
                    width,
                    EPSILON,
                ),
                (false, Out::Fp8(out, scales)) => launch!(
                    self,
                    elementwise("norm_modulate_fp8"),
                    grid,
                    x_at,
                    x_stride,
                    shift,
                    scale,
                    tokens,
                    split,
                    second,
                    item,
                    out.at(),
                    out_stride,
                    scales.at(),
                    rows,
                    width,
                    EPSILON,
                ),
                (true, Out::Bf16(out)) => launch!(
                    self,
                    elementwise("residual_norm_modulate_bf16"),
                    grid,
                    x_at,
                    x_stride,
                    y_at,
                    y_stride,
                    gate,
                    x_at,
                    shift,
                    scale,
                    tokens,
                    split,
                    second,
                    item,
                    out.at(),
                    out_stride,
                    rows,
                    width,
                    EPSILON,
                ),
                (true, Out::Fp8(out, scales)) => launch!(
                    self,
                    elementwise("residual_norm_modulate_fp8"),
                    grid,
                    x_at,
                    x_stride,
                    y_at,
                    y_stride,
                    gate,
                    x_at,
                    shift,
                    scale,
                    tokens,
                    split,
                    second,
                    item,
                    out.at(),
                    out_stride,
                    scales.at(),
                    rows,
                    width,
                    EPSILON,
                ),
            }
        }
    }

    /// RMS norm of every query and key head, then the rotary embedding, in place: qkv `[tokens, ≥ 3 · heads · dim]`,
    /// norms `[1, 4 · dim]` (query and key of the first stream, then of the second) or `[1, 2 · dim]` where there is
    /// one stream, rotations `[tokens, dim]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn qk_norm_rope(
        &self,
        qkv: Matrix<'_, bf16>,
        norms: Matrix<'_, bf16>,
        split: usize,
        rotations: Matrix<'_, f32>,
        (heads, dim): (usize, usize),
    ) -> Result<()> {
        let name = match dim {
            128 => "qk_norm_rope_d128",
            64 => "qk_norm_rope_d64",
            _ => {
                return Err(CudaError::Shape(format!(
                    "heads of {dim} channels: the kernels have 64 and 128"
                )));
            }
        };
        rotations.expect("the rotations", qkv.rows(), dim)?;
        let streams = if split < qkv.rows() { 2 } else { 1 };
        norms.expect("the norms of queries and keys", 1, 2 * dim * streams)?;
        if qkv.width() < 3 * heads * dim || !qkv.stride().is_multiple_of(8) || !rotations.is_dense() {
            return Err(CudaError::Shape(format!(
                "qkv of {} columns for {heads} heads of {dim}",
                qkv.width()
            )));
        }
        let (q, k, v) = (qkv.at(), qkv.at() + (heads * dim * bf16::BYTES) as u64, 0 as CUdeviceptr);
        let k_norm = norms.at() + (dim * bf16::BYTES) as u64;
        let (tokens, split, second, heads) = (qkv.rows() as i32, split as i32, 2 * dim as i64, heads as i32);
        let step = stride(qkv);
        // SAFETY: as in `norm_modulate`.
        unsafe {
            launch!(
                self,
                elementwise(name),
                Grid::line(qkv.rows(), 256),
                q,
                step,
                q,
                step,
                k,
                step,
                v,
                step,
                norms.at(),
                k_norm,
                tokens,
                split,
                second,
                rotations.at(),
                heads,
                EPSILON,
            )
        }
    }

    /// GELU (tanh) of x; in fp8 with the columns of `first`, as they are, before it.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn gelu(&self, first: Option<Matrix<'_, bf16>>, x: Matrix<'_, bf16>, out: Out<'_>) -> Result<()> {
        let first_width = first.map_or(0, Matrix::width);
        let width = first_width + x.width();
        let (rows, x_width) = (x.rows() as i32, x.width() as i32);
        match out {
            Out::Bf16(out) => {
                out.expect("GELU's output", x.rows(), x.width())?;
                check_row("gelu", x.width(), ROW_CHUNK, &[x.stride(), out.stride()])?;
                if first.is_some() {
                    return Err(CudaError::Shape(
                        "in bf16, attention writes beside GELU by itself".to_owned(),
                    ));
                }
                // SAFETY: as in `norm_modulate`.
                unsafe {
                    launch!(
                        self,
                        elementwise("gelu_bf16"),
                        row_grid(x.rows(), x.width(), ROW_CHUNK),
                        x.at(),
                        stride(x),
                        out.at(),
                        stride(out),
                        rows,
                        x_width,
                    )
                }
            }
            Out::Fp8(out, scales) => {
                out.expect("GELU's output", x.rows(), width)?;
                scales.expect("GELU's scales", x.rows(), 1)?;
                let (first_at, first_stride) = first.map_or((0, 0), |first| (first.at(), first.stride()));
                if let Some(first) = first {
                    first.expect("what stands before GELU", x.rows(), first_width)?;
                }
                check_row(
                    "gelu",
                    width,
                    LONG_ROW_CHUNK,
                    &[first_width, first_stride, x.stride(), out.stride()],
                )?;
                let (first_width, first_stride) = (first_width as i32, first_stride as i64);
                // SAFETY: as in `norm_modulate`.
                unsafe {
                    launch!(
                        self,
                        elementwise("gelu_fp8"),
                        row_grid(x.rows(), width, LONG_ROW_CHUNK),
                        first_at,
                        first_stride,
                        first_width,
                        x.at(),
                        stride(x),
                        x_width,
                        out.at(),
                        stride(out),
                        scales.at(),
                        rows,
                    )
                }
            }
        }
    }

    /// Rows to fp8, one scale each.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn quantize_rows(
        &self,
        x: Matrix<'_, bf16>,
        out: Matrix<'_, F8>,
        scales: Matrix<'_, f32>,
    ) -> Result<()> {
        out.expect("the quantised rows", x.rows(), x.width())?;
        scales.expect("their scales", x.rows(), 1)?;
        check_row("quantize_rows", x.width(), ROW_CHUNK, &[x.stride(), out.stride()])?;
        let (rows, width) = (x.rows() as i32, x.width() as i32);
        // SAFETY: as in `norm_modulate`.
        unsafe {
            launch!(
                self,
                elementwise("quantize_rows_fp8"),
                row_grid(x.rows(), x.width(), ROW_CHUNK),
                x.at(),
                stride(x),
                out.at(),
                stride(out),
                scales.at(),
                rows,
                width,
            )
        }
    }

    /// fp8 weights `[N, K]` to bf16, with scales `[N, 1]` or one for all, `[1, 1]`; K is a multiple of 16, no gaps between
    /// rows.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn widen(
        &self,
        weight: Matrix<'_, F8>,
        scales: Matrix<'_, f32>,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        out.expect("the widened weight", weight.rows(), weight.width())?;
        let per_row = scales.rows() != 1;
        scales.expect("the weight's scales", if per_row { weight.rows() } else { 1 }, 1)?;
        if !weight.width().is_multiple_of(16) || !weight.is_dense() || !out.is_dense() {
            return Err(CudaError::Shape(format!(
                "a weight of {} columns, not a multiple of 16",
                weight.width()
            )));
        }
        let (per_row, columns) = (i32::from(per_row), weight.width() as i32);
        let threads = (weight.width() / 16).next_multiple_of(32).min(256) as u32;
        // SAFETY: as in `norm_modulate`.
        unsafe {
            launch!(
                self,
                elementwise("widen_fp8"),
                Grid::line(weight.rows(), threads),
                weight.at(),
                scales.at(),
                per_row,
                out.at(),
                columns,
            )
        }
    }

    /// x · σ(x), value by value.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn silu(&self, x: Matrix<'_, bf16>, out: Matrix<'_, bf16>) -> Result<()> {
        out.expect("silu's output", x.rows(), x.width())?;
        if !x.is_dense() || !out.is_dense() {
            return Err(CudaError::Shape("silu of rows with gaps between them".to_owned()));
        }
        let count = (x.rows() * x.width()) as i64;
        // SAFETY: as in `norm_modulate`.
        unsafe { launch!(self, elementwise("silu"), flat(count as usize), x.at(), out.at(), count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_warp_share_a_block() {
        assert_eq!(row_grid(10, 256, ROW_CHUNK), Grid { blocks: [3, 1, 1], threads: [32, 4] });
        assert_eq!(row_grid(10, 3072, ROW_CHUNK), Grid { blocks: [10, 1, 1], threads: [128, 1] });
        assert_eq!(row_grid(7, 15360, LONG_ROW_CHUNK), Grid { blocks: [7, 1, 1], threads: [320, 1] });
    }

    #[test]
    fn odd_widths_and_strides_are_refused() {
        assert!(check_row("x", 3072, ROW_CHUNK, &[21504]).is_ok());
        assert!(check_row("x", 3070, ROW_CHUNK, &[]).is_err());
        assert!(check_row("x", 3072, ROW_CHUNK, &[3073]).is_err());
        assert!(check_row("x", 1024 * ROW_CHUNK + 8, ROW_CHUNK, &[]).is_err());
    }
}
