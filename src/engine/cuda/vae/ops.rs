//! One safe function for each kernel of `kernels/vae.cu`: shapes are checked here, launches are as the kernels' own
//! comments ask. What they compute and what bounds them is written there.

use half::bf16;

use super::super::error::{CudaError, Result};
use super::super::gpu::{Gpu, Grid, Kernel, Module, launch};
use super::super::memory::{Element, Matrix};
use super::strips::RUNS;
use super::structure::GROUPS;

/// Epsilon of the VAE's norms.
const EPSILON: f32 = 1e-6;
/// Runs of pixels whose sums are kept at most.
const NORM_RUNS: usize = 2048;
/// Floats of the sums of a run.
pub const SUMS: usize = 2 * GROUPS;

pub(super) const fn vae(name: &'static str) -> Kernel {
    Kernel { module: Module::Vae, name, shared: 0 }
}

/// How a group norm is divided: pixels of a block for its sums and for the rest, and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NormRuns {
    sums: usize,
    apply: usize,
    threads: usize,
}

impl NormRuns {
    /// `most`: of runs for the sums.
    fn new(pixels: usize, channels: usize, most: usize) -> Self {
        let octets = channels / 8;
        let lanes = (256 / octets).max(1);
        let sums = pixels.div_ceil(most).max(8 * lanes);
        Self { sums, apply: 8 * lanes, threads: (octets * lanes).next_multiple_of(32).max(64) }
    }
}

fn norm_runs(pixels: usize, channels: usize, most: usize) -> usize {
    pixels.div_ceil(NormRuns::new(pixels, channels, most).sums)
}

/// The sums of a norm over a picture that is decoded in strips.
#[derive(Debug, Clone, Copy)]
pub struct SharedSums<'a> {
    /// `[strips · RUNS, SUMS]`: those of all strips, 0 where there are none.
    pub all: Matrix<'a, f32>,
    /// Which strip this is.
    pub strip: usize,
    /// First and number of the pixels that are the strip's own.
    pub own: (usize, usize),
    /// Pixels of the whole picture.
    pub whole: usize,
    /// Whether to norm by this strip's own sums only.
    pub alone: bool,
}

/// Where a norm's sums are written and which are read.
#[derive(Clone, Copy)]
struct Sums {
    /// Address, first pixel and pixels that are summed, runs at most.
    written: (u64, usize, usize, usize),
    /// Address, runs, pixels that they are of.
    read: (u64, usize, usize),
}

/// Floats that [`Gpu::group_norm`] needs between its launches.
#[must_use]
pub fn norm_scratch(channels: usize) -> usize {
    NORM_RUNS * SUMS + 2 * channels
}

impl Gpu {
    /// Group norm over all pixels, with SiLU behind it or not: x and out `[pixels, channels]`, which may be one;
    /// weight and bias `[1, channels]`, scratch `[1, norm_scratch(channels)]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn group_norm(
        &self,
        x: Matrix<'_, bf16>,
        (weight, bias): (Matrix<'_, f32>, Matrix<'_, f32>),
        silu: bool,
        scratch: Matrix<'_, f32>,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        let pixels = x.rows();
        scratch.expect("a group norm's scratch", 1, norm_scratch(x.width()))?;
        let sums = Sums {
            written: (scratch.at(), 0, pixels, NORM_RUNS),
            read: (scratch.at(), norm_runs(pixels, x.width(), NORM_RUNS), pixels),
        };
        self.norm_by(x, (weight, bias), silu, (sums, scratch), out)
    }

    /// The same for a strip of a picture, by the sums of all: this strip's are taken anew over its own pixels.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn group_norm_shared(
        &self,
        x: Matrix<'_, bf16>,
        affine: (Matrix<'_, f32>, Matrix<'_, f32>),
        silu: bool,
        (shared, scratch): (SharedSums<'_>, Matrix<'_, f32>),
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        let SharedSums { all, strip, own: (first, count), whole, alone } = shared;
        scratch.expect("a group norm's scratch", 1, norm_scratch(x.width()))?;
        dense("the sums of all strips", all, all.rows(), SUMS)?;
        if count == 0 || first + count > x.rows() || (strip + 1) * RUNS > all.rows() {
            return Err(CudaError::Shape(format!(
                "strip {strip}, pixels {first} and {count} more of {}, {} sums",
                x.rows(),
                all.rows()
            )));
        }
        let own = all.slice_rows(strip * RUNS, RUNS).at();
        let read = if alone { (own, RUNS, count) } else { (all.at(), all.rows(), whole) };
        let sums = Sums { written: (own, first, count, RUNS), read };
        self.norm_by(x, affine, silu, (sums, scratch), out)
    }

    fn norm_by(
        &self,
        x: Matrix<'_, bf16>,
        (weight, bias): (Matrix<'_, f32>, Matrix<'_, f32>),
        silu: bool,
        (sums, scratch): (Sums, Matrix<'_, f32>),
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        let (pixels, channels) = (x.rows(), x.width());
        dense("a group norm's input", x, pixels, channels)?;
        dense("a group norm's output", out, pixels, channels)?;
        weight.expect("a group norm's weight", 1, channels)?;
        bias.expect("a group norm's bias", 1, channels)?;
        if !channels.is_multiple_of(GROUPS) || pixels == 0 {
            return Err(CudaError::Shape(format!("a group norm of {channels} channels")));
        }
        let (partials, first, summed, most) = sums.written;
        let (read_at, read_runs, read_pixels) = sums.read;
        let NormRuns { sums, threads, .. } = NormRuns::new(summed, channels, most);
        let NormRuns { apply, .. } = NormRuns::new(pixels, channels, NORM_RUNS);
        let runs = summed.div_ceil(sums);
        let affine = scratch.slice_columns(NORM_RUNS * SUMS, 2 * channels).at();
        let (pixel_count, channel_count) = (pixels as i32, channels as i32);
        let (summed, read_runs, read_pixels) = (summed as i32, read_runs as i32, read_pixels as i32);
        let (sums, apply) = (sums as i32, apply as i32);
        let summing = Kernel { shared: threads as u32 * 64, ..vae("group_norm_sums") };
        let name = if silu { "group_norm_silu" } else { "group_norm_apply" };
        // SAFETY: the arguments are those of the kernel's declaration; extents were checked above and by the callers.
        unsafe {
            launch!(
                self,
                summing,
                Grid::line(runs, threads as u32),
                x.slice_rows(first, summed as usize).at(),
                partials,
                summed,
                channel_count,
                sums
            )?;
            launch!(
                self,
                vae("group_norm_affine"),
                Grid::line(GROUPS, 512),
                read_at,
                read_runs,
                weight.at(),
                bias.at(),
                affine,
                read_pixels,
                channel_count,
                EPSILON,
            )?;
            launch!(
                self,
                vae(name),
                Grid::line(pixels.div_ceil(apply as usize), threads as u32),
                x.at(),
                affine,
                out.at(),
                pixel_count,
                channel_count,
                apply,
            )
        }
    }

    /// `out = softmax(scale · scores)` of each row.
    ///
    /// # Errors
    /// When rows are not a multiple of four values apart or long.
    pub fn softmax_rows(&self, scores: Matrix<'_, f32>, scale: f32, out: Matrix<'_, bf16>) -> Result<()> {
        out.expect("the probabilities", scores.rows(), scores.width())?;
        if !scores.width().is_multiple_of(4)
            || !scores.stride().is_multiple_of(4)
            || !out.stride().is_multiple_of(4)
            || scores.width() == 0
        {
            return Err(CudaError::Shape(format!("softmax of {scores:?}: rows are multiples of 4")));
        }
        let (stride, n) = (scores.stride() as i64, scores.width() as i32);
        let scale = scale * std::f32::consts::LOG2_E;
        let threads = scores.width().div_ceil(16).next_multiple_of(32).min(1024);
        let grid = Grid::line(scores.rows(), threads as u32);
        // SAFETY: as in `group_norm`.
        unsafe {
            launch!(
                self,
                vae("softmax_rows_f32"),
                grid,
                scores.at(),
                stride,
                out.at(),
                out.stride() as i64,
                n,
                scale
            )
        }
    }

    /// x += y, both without gaps.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn add(&self, x: Matrix<'_, bf16>, y: Matrix<'_, bf16>) -> Result<()> {
        let count = x.rows() * x.width();
        dense("a sum", x, x.rows(), x.width())?;
        dense("a sum's other side", y, x.rows(), x.width())?;
        if !count.is_multiple_of(8) {
            return Err(CudaError::Shape(format!("a sum of {count} values: they are a multiple of 8")));
        }
        let grid = Grid::line((count / 8).div_ceil(256), 256);
        let count = count as i64;
        // SAFETY: as in `group_norm`.
        unsafe { launch!(self, vae("add"), grid, x.at(), y.at(), count) }
    }

    /// `out = tokens · factor + shift`, as pixels: tokens `[grid rows · grid columns, 64]`, out
    /// `[height · width, 16]`, the region whose corner is latent pixel `(top, left)`.
    ///
    /// # Errors
    /// When the region is not within the picture.
    pub fn latent_to_vae(
        &self,
        tokens: Matrix<'_, f32>,
        grid: (usize, usize),
        ((top, left), (height, width)): ((usize, usize), (usize, usize)),
        (factor, shift): (f32, f32),
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        dense("the latent's tokens", tokens, grid.0 * grid.1, 64)?;
        dense("the latent's pixels", out, height * width, 16)?;
        if top + height > 2 * grid.0 || left + width > 2 * grid.1 {
            return Err(CudaError::Shape(format!(
                "a region of {height}×{width} from ({top}, {left}) of a latent of {}×{} pixels",
                2 * grid.0,
                2 * grid.1
            )));
        }
        let blocks = Grid::line((height * width).div_ceil(128), 128);
        let (columns, top, left) = (grid.1 as i32, top as i32, left as i32);
        let (height, width) = (height as i32, width as i32);
        // SAFETY: as in `group_norm`.
        unsafe {
            launch!(
                self,
                vae("latent_to_vae_f32"),
                blocks,
                tokens.at(),
                columns,
                top,
                left,
                height,
                width,
                factor,
                shift,
                out.at(),
            )
        }
    }

    /// -1 … 1 to 0 … 255, and `not_finite` to 1 where anything is not; it is left alone otherwise.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn to_rgb8(
        &self,
        x: Matrix<'_, f32>,
        out: Matrix<'_, u8>,
        not_finite: Matrix<'_, u32>,
    ) -> Result<()> {
        let count = x.rows() * x.width();
        dense("the picture", x, x.rows(), x.width())?;
        dense("the picture's bytes", out, x.rows(), x.width())?;
        not_finite.expect("the flag", 1, 1)?;
        if !count.is_multiple_of(4) {
            return Err(CudaError::Shape(format!("a picture of {count} values: they are a multiple of 4")));
        }
        let grid = Grid::line((count / 4).div_ceil(256), 256);
        let count = count as i32;
        // SAFETY: as in `group_norm`.
        unsafe { launch!(self, vae("to_rgb8"), grid, x.at(), out.at(), not_finite.at(), count) }
    }
}

/// Fails unless the shape is this and there are no gaps.
pub(super) fn dense<'a, T: Element>(
    what: &str,
    matrix: Matrix<'a, T>,
    rows: usize,
    width: usize,
) -> Result<Matrix<'a, T>> {
    let matrix = matrix.expect(what, rows, width)?;
    if matrix.is_dense() { Ok(matrix) } else { Err(CudaError::Shape(format!("{what} has gaps: {matrix:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_divided_into_whole_pixels() {
        assert_eq!(NormRuns::new(1 << 20, 128, NORM_RUNS), NormRuns { sums: 512, apply: 128, threads: 256 });
        assert_eq!(NormRuns::new(100, 96, NORM_RUNS), NormRuns { sums: 168, apply: 168, threads: 256 });
        assert_eq!(NormRuns::new(100, 32, NORM_RUNS), NormRuns { sums: 512, apply: 512, threads: 256 });
        let runs = NormRuns::new(1 << 22, 128, NORM_RUNS);
        assert!((1usize << 22).div_ceil(runs.sums) <= NORM_RUNS);
    }
}
