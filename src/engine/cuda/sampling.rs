//! One safe function for each kernel of `kernels/sampling.cu`: what a picture needs around the blocks.

use std::time::Duration;

use half::bf16;

use super::error::{CudaError, Result};
use super::gpu::{Gpu, Grid, Kernel, Module, launch};
use super::memory::{F8, Matrix};
use super::ops::{flat, stride};

const fn sampling(name: &'static str) -> Kernel {
    Kernel { module: Module::Sampling, name, shared: 0 }
}

impl Gpu {
    /// silu(time + guidance + text): time and out `[steps, width]`, the others `[1, width]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn embedding_sum_silu(
        &self,
        time: Matrix<'_, bf16>,
        guidance: Option<Matrix<'_, bf16>>,
        text: Matrix<'_, bf16>,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        out.expect("the embeddings", time.rows(), time.width())?;
        text.expect("the embedded text", 1, time.width())?;
        let guidance = match guidance {
            Some(guidance) => guidance.expect("the embedded guidance", 1, time.width())?.at(),
            None => 0,
        };
        if !time.is_dense() || !out.is_dense() {
            return Err(CudaError::Shape("embeddings with gaps between them".to_owned()));
        }
        let (rows, width) = (time.rows() as i32, time.width() as i32);
        let grid = flat(time.rows() * time.width());
        // SAFETY: as in `norm_modulate`.
        unsafe {
            launch!(
                self,
                sampling("embedding_sum_silu"),
                grid,
                time.at(),
                guidance,
                text.at(),
                out.at(),
                rows,
                width,
            )
        }
    }

    /// One step of Euler's method from noise level `sigma` to `next`: moves `latent`, writes where the flow points at
    /// σ = 0 into `estimate` and the moved latent, narrowed, into `input`. All of one shape, without gaps.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn euler_step(
        &self,
        latent: Matrix<'_, f32>,
        velocity: Matrix<'_, bf16>,
        (sigma, next): (f32, f32),
        estimate: Matrix<'_, f32>,
        input: Matrix<'_, bf16>,
    ) -> Result<()> {
        let (rows, width) = (latent.rows(), latent.width());
        velocity.expect("the velocity", rows, width)?;
        estimate.expect("the estimate", rows, width)?;
        input.expect("the next input", rows, width)?;
        let dense = latent.is_dense() && velocity.is_dense() && estimate.is_dense() && input.is_dense();
        if !dense {
            return Err(CudaError::Shape("a latent with gaps between its rows".to_owned()));
        }
        let count = (rows * width) as i64;
        // SAFETY: as in `norm_modulate`.
        unsafe {
            launch!(
                self,
                sampling("euler_step"),
                flat(rows * width),
                latent.at(),
                velocity.at(),
                sigma,
                next,
                estimate.at(),
                input.at(),
                count,
            )
        }
    }

    /// `out = out · rows · columns + bias`: what [`Gpu::product_fp8_unscaled`] leaves to do. Without scales of rows these
    /// are 1.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn scale_rows(
        &self,
        out: Matrix<'_, bf16>,
        row_scales: Option<Matrix<'_, f32>>,
        column_scales: Matrix<'_, f32>,
        bias: Option<Matrix<'_, bf16>>,
    ) -> Result<()> {
        let row_scales = match row_scales {
            Some(scales) => scales.expect("the rows' scales", out.rows(), 1)?.at(),
            None => 0,
        };
        column_scales.expect("the columns' scales", out.width(), 1)?;
        let bias = match bias {
            Some(bias) => bias.expect("the bias", 1, out.width())?.at(),
            None => 0,
        };
        let (rows, width) = (out.rows() as i32, out.width() as i32);
        // SAFETY: as in `norm_modulate`.
        unsafe {
            launch!(
                self,
                sampling("scale_rows"),
                Grid::line(out.rows(), 256),
                out.at(),
                stride(out),
                row_scales,
                column_scales.at(),
                bias,
                rows,
                width,
            )
        }
    }

    /// Every value of a matrix without gaps.
    ///
    /// # Errors
    /// What the driver says.
    pub fn fill(&self, out: Matrix<'_, f32>, value: f32) -> Result<()> {
        let count = (out.rows() * out.width()) as i64;
        // SAFETY: as in `norm_modulate`.
        unsafe { launch!(self, sampling("fill_f32"), flat(count as usize), out.at(), value, count) }
    }

    /// Nothing, for so long, in the order of everything that computes: a slower card, to measure what hides behind it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn idle(&self, time: Duration) -> Result<()> {
        let nanoseconds = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        // SAFETY: it touches no memory.
        unsafe { launch!(self, sampling("idle"), Grid::line(1, 1), nanoseconds) }
    }

    /// Normal values, the same for one seed on every card.
    ///
    /// # Errors
    /// What the driver says.
    pub fn random(&self, out: Matrix<'_, bf16>, seed: u64, mean: f32, deviation: f32) -> Result<()> {
        let count = (out.rows() * out.width()) as i64;
        // SAFETY: as in `norm_modulate`.
        unsafe {
            launch!(
                self,
                sampling("random_bf16"),
                flat(count as usize),
                out.at(),
                seed,
                mean,
                deviation,
                count
            )
        }
    }

    /// The same in fp8.
    ///
    /// # Errors
    /// What the driver says.
    pub fn random_fp8(&self, out: Matrix<'_, F8>, seed: u64, deviation: f32) -> Result<()> {
        let count = (out.rows() * out.width()) as i64;
        // SAFETY: as in `norm_modulate`.
        unsafe {
            launch!(self, sampling("random_fp8"), flat(count as usize), out.at(), seed, deviation, count)
        }
    }
}
