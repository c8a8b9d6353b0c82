//! A linear layer in device memory, in any of its forms, and how each multiplies.

use half::bf16;
use safetensors::Dtype;

use super::origin::Origin;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Buffer, F8, Layout, Matrix};
use crate::engine::cuda::weights::narrowed;
use crate::engine::weights::{Stored, WeightsError};

/// How a weight is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// bf16.
    Bf16,
    /// fp8 e4m3 with one fp32 scale for each output channel.
    Fp8,
}

/// Where the parts of y = x · Wᵀ + b lie in the memory of its block. W is `[out, in]`.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    inner: usize,
    out: usize,
    weight: usize,
    /// Of fp8 weights.
    scales: Option<usize>,
    bias: usize,
}

/// What a layer reads.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// bf16 rows.
    Bf16(Matrix<'a, bf16>),
    /// fp8 rows and their scales, `[rows, 1]`.
    Fp8(Matrix<'a, F8>, Matrix<'a, f32>),
}

impl Linear {
    /// Makes room for it.
    pub fn place(layout: &mut Layout, (inner, out): (usize, usize), form: Form) -> Self {
        let (weight, scales) = match form {
            Form::Bf16 => (layout.place::<bf16>(out, inner), None),
            Form::Fp8 => (layout.place::<F8>(out, inner), Some(layout.place::<f32>(out, 1))),
        };
        Self { inner, out, weight, scales, bias: layout.place::<bf16>(1, out) }
    }

    /// The same layer in memory that holds its layout from byte `from` on.
    #[must_use]
    pub fn moved(&self, from: usize) -> Self {
        let [weight, bias] = [self.weight, self.bias].map(|at| at - from);
        Self { weight, bias, scales: self.scales.map(|at| at - from), ..*self }
    }

    /// Channels that go in.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Channels that come out.
    #[must_use]
    pub fn out(&self) -> usize {
        self.out
    }

    /// Brings `{name}.weight` and `{name}.bias` into its place. `scratch` holds a bf16 weight on its way to fp8.
    ///
    /// # Errors
    /// When either is missing or has another shape.
    pub fn fill(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        origin: &Origin<'_>,
        name: &str,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let (weight_name, bias_name) = (format!("{name}.weight"), format!("{name}.bias"));
        match self.scales {
            None => origin.bf16(gpu, self.wide(memory), &weight_name, &[self.out, self.inner])?,
            Some(_) => self.fill_fp8(gpu, memory, origin, &weight_name, scratch)?,
        }
        origin.bf16(gpu, self.bias(memory), &bias_name, &[self.out])
    }

    /// fp8 files are taken as they are, with their scales; others are quantised row by row, in pieces.
    fn fill_fp8(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        origin: &Origin<'_>,
        name: &str,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let (weight, scales) = self.quantised(memory);
        let Origin::File(weights) = origin else { return origin.fp8(gpu, weight, scales, name) };
        let Stored { dtype, pieces } = weights.stored(name, &[self.out, self.inner])?;
        if dtype == Dtype::F8_E4M3 {
            return origin.fp8(gpu, weight, scales, name);
        }
        let mut rows = 0;
        for piece in &pieces {
            let bytes = narrowed(piece, dtype);
            let out = bytes.len() / (self.inner * size_of::<bf16>());
            for (first, count) in scratch.pieces(out, self.inner) {
                let wide = scratch.rows(count, self.inner);
                let from = first * self.inner * size_of::<bf16>();
                gpu.upload(wide.as_bytes(), &bytes[from..from + wide.bytes()])?;
                let at = rows + first;
                gpu.quantize_rows(wide, weight.slice_rows(at, count), scales.slice_rows(at, count))?;
            }
            rows += out;
        }
        Ok(())
    }

    /// `out = x · Wᵀ + b`. An fp8 weight meets fp8 rows on fp8 tensor cores; bf16 rows are multiplied by the weight
    /// widened in pieces, which is exact.
    ///
    /// # Errors
    /// When the shapes do not fit, or a bf16 weight is to meet fp8 rows.
    pub fn run(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        x: Input<'_>,
        out: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let bias = self.bias(memory);
        match (x, self.scales) {
            (Input::Bf16(x), None) => gpu.product(out, x, self.wide(memory), Some(bias)),
            (Input::Fp8(x, x_scales), Some(_)) => {
                gpu.linear_fp8(out, (x, x_scales), self.quantised(memory), bias)
            }
            (Input::Bf16(x), Some(_)) => self.run_widened(gpu, memory, x, out, x.rows(), scratch),
            (Input::Fp8(..), None) => {
                Err(CudaError::Shape("fp8 rows cannot be multiplied by a bf16 weight".to_owned()))
            }
        }
    }

    /// The same for bf16 rows, in products of `at_a_time` rows each, so that a row has the same bits whatever else is
    /// computed with it. The number of rows is a multiple of that.
    ///
    /// # Errors
    /// As [`Linear::run`].
    pub fn run_in_chunks(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        x: Matrix<'_, bf16>,
        out: Matrix<'_, bf16>,
        at_a_time: usize,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        if self.scales.is_some() {
            return self.run_widened(gpu, memory, x, out, at_a_time, scratch);
        }
        (0..x.rows()).step_by(at_a_time).try_for_each(|first| {
            let (x, out) = (x.slice_rows(first, at_a_time), out.slice_rows(first, at_a_time));
            gpu.product(out, x, self.wide(memory), Some(self.bias(memory)))
        })
    }

    /// Each piece is widened once, for all rows.
    fn run_widened(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        x: Matrix<'_, bf16>,
        out: Matrix<'_, bf16>,
        at_a_time: usize,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let (weight, scales) = self.quantised(memory);
        for (first, count) in scratch.pieces(self.out, self.inner) {
            let wide = scratch.rows(count, self.inner);
            gpu.widen(weight.slice_rows(first, count), scales.slice_rows(first, count), wide)?;
            let bias = self.bias(memory).slice_columns(first, count);
            let out = out.slice_columns(first, count);
            for row in (0..x.rows()).step_by(at_a_time) {
                let (x, out) = (x.slice_rows(row, at_a_time), out.slice_rows(row, at_a_time));
                gpu.product(out, x, wide, Some(bias))?;
            }
        }
        Ok(())
    }

    fn wide<'a>(&self, memory: &'a Buffer) -> Matrix<'a, bf16> {
        memory.matrix(self.weight, self.out, self.inner)
    }

    fn quantised<'a>(&self, memory: &'a Buffer) -> (Matrix<'a, F8>, Matrix<'a, f32>) {
        let scales = self.scales.expect("only asked of fp8 weights, which have scales");
        (memory.matrix(self.weight, self.out, self.inner), memory.matrix(scales, self.out, 1))
    }

    fn bias<'a>(&self, memory: &'a Buffer) -> Matrix<'a, bf16> {
        memory.matrix(self.bias, 1, self.out)
    }
}

/// Memory for a piece of a weight in bf16: what is widened just before its product, or has just come from a file.
#[derive(Debug)]
pub struct Scratch<'a>(pub &'a Buffer);

/// Bytes of [`Scratch`]: a whole weight of FLUX.1 would be 132 MB and would stay allocated; pieces of this size cost
/// nothing that shows.
pub const SCRATCH: usize = 32 << 20;

impl<'a> Scratch<'a> {
    /// First row and number of rows of each piece of a weight `[out, inner]`, all but the last a multiple of 256 rows.
    fn pieces(&self, out: usize, inner: usize) -> impl Iterator<Item = (usize, usize)> {
        let fit = self.0.bytes() / (inner * size_of::<bf16>());
        let rows = if fit >= 256 { fit / 256 * 256 } else { fit.max(1) };
        (0..out).step_by(rows).map(move |first| (first, rows.min(out - first)))
    }

    fn rows(&self, count: usize, inner: usize) -> Matrix<'a, bf16> {
        self.0.matrix(0, count, inner)
    }
}

/// Whether a tensor is stored in fp8; random weights can be made in either form and count as fp8.
///
/// # Errors
/// When it is missing or no weight.
pub fn stored_as_fp8(origin: &Origin<'_>, name: &str) -> std::result::Result<bool, WeightsError> {
    match origin {
        Origin::Random(_) => Ok(true),
        Origin::File(weights) => {
            let shape = weights.shape(name)?.to_vec();
            Ok(weights.stored(name, &shape)?.dtype == Dtype::F8_E4M3)
        }
    }
}
