//! A linear layer in device memory, in any of its forms, and how each multiplies.

use half::bf16;

use super::origin::Origin;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::host::Span;
use crate::engine::cuda::in_place::InPlace;
use crate::engine::cuda::memory::{Buffer, F8, Layout, Matrix};
use crate::engine::cuda::merge::{COLUMNS, Merging};
use crate::engine::cuda::product::Doing;
use crate::engine::cuda::weights::{block_on_card, blocks_on_card};
use crate::engine::weights::{Dtype, Stored};

/// How a weight is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// bf16.
    Bf16,
    /// fp8 e4m3 with one fp32 scale for each output channel.
    Fp8,
    /// The blocks of a quantised type, whole ones in each row.
    Blocks(Dtype),
}

/// Where what a weight is made of lies.
#[derive(Debug, Clone, Copy)]
enum Weight {
    Bf16 { at: usize },
    Fp8 { at: usize, scales: usize },
    Blocks { at: usize, dtype: Dtype },
}

/// Where the parts of y = x · Wᵀ + b lie in the memory of its block. W is `[out, in]`.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    inner: usize,
    out: usize,
    weight: Weight,
    bias: usize,
}

/// How layers come into their places.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// The card.
    pub gpu: &'a Gpu,
    /// Where weights come from.
    pub origin: &'a Origin<'a>,
    /// Holds a bf16 weight on its way to fp8.
    pub scratch: &'a Scratch<'a>,
    /// What is read where it lies in its file, and is not brought.
    pub in_place: Option<&'a InPlace>,
}

/// What a layer reads.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// bf16 rows.
    Bf16(Matrix<'a, bf16>),
    /// fp8 rows and their scales, `[rows, 1]`.
    Fp8(Matrix<'a, F8>, Matrix<'a, f32>),
}

impl Input<'_> {
    /// `count` rows from row `first` on.
    #[must_use]
    pub fn slice_rows(self, first: usize, count: usize) -> Self {
        match self {
            Self::Bf16(x) => Self::Bf16(x.slice_rows(first, count)),
            Self::Fp8(x, scales) => Self::Fp8(x.slice_rows(first, count), scales.slice_rows(first, count)),
        }
    }
}

impl Linear {
    /// Makes room for it.
    pub fn place(layout: &mut Layout, (inner, out): (usize, usize), form: Form) -> Self {
        let weight = match form {
            Form::Bf16 => Weight::Bf16 { at: layout.place::<bf16>(out, inner) },
            Form::Fp8 => {
                Weight::Fp8 { at: layout.place::<F8>(out, inner), scales: layout.place::<f32>(out, 1) }
            }
            Form::Blocks(dtype) => {
                Weight::Blocks { at: layout.place::<u8>(out, row_bytes(dtype, inner)), dtype }
            }
        };
        Self { inner, out, weight, bias: layout.place::<bf16>(1, out) }
    }

    /// The same layer in memory that holds its layout from byte `from` on.
    #[must_use]
    pub fn moved(&self, from: usize) -> Self {
        let weight = match self.weight {
            Weight::Bf16 { at } => Weight::Bf16 { at: at - from },
            Weight::Fp8 { at, scales } => Weight::Fp8 { at: at - from, scales: scales - from },
            Weight::Blocks { at, dtype } => Weight::Blocks { at: at - from, dtype },
        };
        Self { weight, bias: self.bias - from, ..*self }
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

    /// Brings `{name}.weight` and `{name}.bias` into its place, but for a weight that is read where it lies.
    ///
    /// # Errors
    /// When either is missing or has another shape.
    pub fn fill(&self, memory: &Buffer, name: &str, from: &Filling<'_>) -> Result<()> {
        let Filling { gpu, origin, scratch, in_place } = from;
        let (weight_name, bias_name) = (format!("{name}.weight"), format!("{name}.bias"));
        let stays = match in_place {
            Some(files) => !self.in_place(name, origin, files)?.is_empty(),
            None => false,
        };
        match self.weight(memory) {
            Held::Bf16(_) | Held::Blocks(..) if stays => {}
            Held::Fp8(_, scales) if stays => origin.scales(gpu, scales, &weight_name, self.inner)?,
            Held::Bf16(weight) => origin.bf16(gpu, weight, &weight_name, &[self.out, self.inner])?,
            Held::Fp8(weight, scales) => {
                self.fill_fp8(gpu, (weight, scales), origin, &weight_name, scratch)?;
            }
            Held::Blocks(blocks, _) => self.fill_blocks(gpu, blocks, origin, &weight_name)?,
        }
        origin.bf16(gpu, self.bias(memory), &bias_name, &[self.out])
    }

    /// Where the bytes of `{name}.weight` lie in `files` and where they go in the memory of its block, if they are there
    /// byte for byte as the card wants them.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn in_place<'w>(&self, name: &str, origin: &Origin<'w>, files: &InPlace) -> Result<Vec<Span<'w>>> {
        let spans = self.as_stored(name, origin)?;
        Ok(if spans.iter().all(|span| files.covers(span.1)) { spans } else { Vec::new() })
    }

    /// The same for any file; nothing where the weight has to be made.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn as_stored<'w>(&self, name: &str, origin: &Origin<'w>) -> Result<Vec<Span<'w>>> {
        let Origin::File(weights) = origin else { return Ok(Vec::new()) };
        let Stored { dtype, pieces } = weights.stored(&format!("{name}.weight"), &[self.out, self.inner])?;
        let scaled = pieces.iter().any(|piece| piece.scale.is_some());
        let at = match self.weight {
            Weight::Bf16 { at } if dtype == Dtype::BF16 && !scaled => at,
            Weight::Fp8 { at, .. } if dtype == Dtype::F8E4M3 => at,
            // NF4's magnitudes lie elsewhere.
            Weight::Blocks { at, dtype: kept } if dtype == kept && dtype != Dtype::NF4 && !scaled => at,
            _ => return Ok(Vec::new()),
        };
        let mut to = at;
        let spans = pieces.iter().map(|piece| {
            let span = (to, piece.bytes);
            to += piece.bytes.len();
            span
        });
        Ok(spans.collect())
    }

    /// fp8 files are taken as they are, with their scales; others are quantised row by row, in pieces.
    fn fill_fp8(
        &self,
        gpu: &Gpu,
        (weight, scales): (Matrix<'_, F8>, Matrix<'_, f32>),
        origin: &Origin<'_>,
        name: &str,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let Origin::File(weights) = origin else { return origin.fp8(gpu, weight, scales, name) };
        let Stored { dtype, pieces } = weights.stored(name, &[self.out, self.inner])?;
        if dtype == Dtype::F8E4M3 {
            return origin.fp8(gpu, weight, scales, name);
        }
        let mut rows = 0;
        for piece in &pieces {
            let out = piece.values(dtype) / self.inner;
            for (first, count) in scratch.pieces(out, self.inner) {
                let wide = scratch.rows(count, self.inner);
                gpu.load_values(wide.as_bytes(), piece, dtype, first * self.inner)?;
                let at = rows + first;
                gpu.quantize_rows(wide, weight.slice_rows(at, count), scales.slice_rows(at, count))?;
            }
            rows += out;
        }
        Ok(())
    }

    /// Blocks are taken as they are.
    fn fill_blocks(&self, gpu: &Gpu, to: Matrix<'_, u8>, origin: &Origin<'_>, name: &str) -> Result<()> {
        let Origin::File(weights) = origin else {
            return Err(CudaError::Shape("random weights are made in bf16 and fp8".to_owned()));
        };
        let Stored { pieces, .. } = weights.stored(name, &[self.out, self.inner])?;
        let (to, mut at) = (to.as_row(), 0);
        for piece in &pieces {
            if piece.scale.is_some() {
                return Err(CudaError::Shape(format!(
                    "{name:?} is quantised and has another scale beside it"
                )));
            }
            let bytes = blocks_on_card(piece);
            gpu.upload_bytes(to.slice_columns(at, bytes.len()), &bytes)?;
            at += bytes.len();
        }
        if at == to.width() {
            return Ok(());
        }
        Err(CudaError::Shape(format!("{at} bytes of {name:?} cannot fill {}", to.width())))
    }

    /// Whether its product can be added to what is in `out`; how is chosen then, and what is in `out` is lost.
    ///
    /// # Errors
    /// As [`Linear::run`].
    pub(super) fn can_add(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        x: Input<'_>,
        out: Matrix<'_, bf16>,
    ) -> Result<bool> {
        let bias = Some(self.bias(memory));
        match (x, self.weight(memory)) {
            (Input::Bf16(x), Held::Bf16(weight)) => {
                gpu.product_as(Doing::Choose, out, x, weight, bias).map(|()| true)
            }
            (Input::Fp8(x, x_scales), Held::Fp8(weight, scales)) => {
                gpu.can_add_fp8(out, (x, x_scales), (weight, scales), bias)
            }
            _ => Ok(false),
        }
    }

    /// `out = x · Wᵀ + b`. An fp8 weight meets fp8 rows on fp8 tensor cores; bf16 rows are multiplied by the weight
    /// widened in pieces: fp8 exactly, quantised ones rounded to bf16.
    ///
    /// # Errors
    /// When the shapes do not fit, or another weight than fp8 is to meet fp8 rows.
    pub fn run(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        x: Input<'_>,
        out: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        self.run_as(Doing::Write, gpu, (memory, self.bias(memory)), x, out, scratch)
    }

    /// The same with another bias than its own, or added to what is in `out`: where [`Linear::can_add`] says so.
    pub(super) fn run_as(
        &self,
        doing: Doing,
        gpu: &Gpu,
        (memory, bias): (&Buffer, Matrix<'_, bf16>),
        x: Input<'_>,
        out: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        match (x, self.weight(memory)) {
            (Input::Bf16(x), Held::Bf16(weight)) => gpu.product_as(doing, out, x, weight, Some(bias)),
            (Input::Fp8(x, x_scales), Held::Fp8(weight, scales)) => {
                let (x, weight) = ((x, x_scales), (weight, scales));
                match doing {
                    Doing::Write => gpu.linear_fp8(out, x, weight, Some(bias)),
                    _ => gpu.product_fp8(doing, out, x, weight, Some(bias)),
                }
            }
            (Input::Bf16(x), _) => self.run_widened(gpu, (memory, bias), x, out, x.rows(), scratch),
            (Input::Fp8(..), _) => {
                Err(CudaError::Shape("fp8 rows are multiplied by fp8 weights alone".to_owned()))
            }
        }
    }

    /// The same for bf16 rows with this bias, in products of `at_a_time` rows each, so that a row has the same bits whatever
    /// else is computed with it. The number of rows is a multiple of that.
    ///
    /// # Errors
    /// As [`Linear::run`].
    pub(super) fn run_in_chunks(
        &self,
        gpu: &Gpu,
        (memory, bias): (&Buffer, Matrix<'_, bf16>),
        x: Matrix<'_, bf16>,
        out: Matrix<'_, bf16>,
        at_a_time: usize,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let Held::Bf16(weight) = self.weight(memory) else {
            return self.run_widened(gpu, (memory, bias), x, out, at_a_time, scratch);
        };
        (0..x.rows()).step_by(at_a_time).try_for_each(|first| {
            let (x, out) = (x.slice_rows(first, at_a_time), out.slice_rows(first, at_a_time));
            gpu.product(out, x, weight, Some(bias))
        })
    }

    /// Each piece is widened once, for all rows.
    fn run_widened(
        &self,
        gpu: &Gpu,
        (memory, bias): (&Buffer, Matrix<'_, bf16>),
        x: Matrix<'_, bf16>,
        out: Matrix<'_, bf16>,
        at_a_time: usize,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        for (first, count) in scratch.pieces(self.out, self.inner) {
            let wide = scratch.rows(count, self.inner);
            match self.weight(memory) {
                // Nothing to widen.
                Held::Bf16(weight) => gpu.copy(wide, weight.slice_rows(first, count))?,
                Held::Fp8(weight, scales) => {
                    gpu.widen(weight.slice_rows(first, count), scales.slice_rows(first, count), wide)?;
                }
                Held::Blocks(blocks, dtype) => {
                    gpu.dequantize(dtype, blocks.slice_rows(first, count), wide)?;
                }
            }
            let bias = bias.slice_columns(first, count);
            let out = out.slice_columns(first, count);
            for row in (0..x.rows()).step_by(at_a_time) {
                let (x, out) = (x.slice_rows(row, at_a_time), out.slice_rows(row, at_a_time));
                gpu.product(out, x, wide, Some(bias))?;
            }
        }
        Ok(())
    }

    fn weight<'a>(&self, memory: &'a Buffer) -> Held<'a> {
        let (out, inner) = (self.out, self.inner);
        match self.weight {
            Weight::Bf16 { at } => Held::Bf16(memory.matrix(at, out, inner)),
            Weight::Fp8 { at, scales } => {
                Held::Fp8(memory.matrix(at, out, inner), memory.matrix(scales, out, 1))
            }
            Weight::Blocks { at, dtype } => {
                Held::Blocks(memory.matrix(at, out, row_bytes(dtype, inner)), dtype)
            }
        }
    }

    /// The weight, if it is kept in fp8.
    pub(super) fn fp8<'a>(&self, memory: &'a Buffer) -> Option<Fp8<'a>> {
        match self.weight(memory) {
            Held::Fp8(weight, scales) => Some((weight, scales)),
            _ => None,
        }
    }

    /// Its weight, where LoRAs can be merged into it: not where it is quantised, or has odd rows.
    pub(super) fn merging<'a>(&self, memory: &'a Buffer) -> Option<Merging<'a>> {
        let even = self.inner.is_multiple_of(COLUMNS);
        match self.weight(memory) {
            Held::Bf16(weight) if even => Some(Merging::Bf16(weight)),
            Held::Fp8(weight, scales) if even => Some(Merging::Fp8(weight, scales)),
            _ => None,
        }
    }

    /// Its own bias.
    pub(super) fn bias<'a>(&self, memory: &'a Buffer) -> Matrix<'a, bf16> {
        memory.matrix(self.bias, 1, self.out)
    }
}

/// A weight in fp8 with the scales of its rows.
pub(super) type Fp8<'a> = (Matrix<'a, F8>, Matrix<'a, f32>);

/// A weight in the memory of its block.
enum Held<'a> {
    Bf16(Matrix<'a, bf16>),
    /// With the scales of its rows.
    Fp8(Matrix<'a, F8>, Matrix<'a, f32>),
    /// A row of bytes for each of values.
    Blocks(Matrix<'a, u8>, Dtype),
}

/// Bytes of a row of so many values on a card.
fn row_bytes(dtype: Dtype, inner: usize) -> usize {
    let block = block_on_card(dtype);
    inner / block.values * block.bytes
}

/// Memory for a piece of a weight in bf16: what is widened just before its product, or has just come from a file.
#[derive(Debug)]
pub struct Scratch<'a>(pub &'a Buffer);

/// Bytes of [`Scratch`]: a whole weight of FLUX.1 would be 132 MB and would stay allocated; pieces of this size cost
/// nothing that shows.
pub const SCRATCH: usize = 32 << 20;

impl<'a> Scratch<'a> {
    /// First row and number of rows of each piece of a weight `[out, inner]`, all but the last a multiple of 256 rows.
    pub(super) fn pieces(&self, out: usize, inner: usize) -> impl Iterator<Item = (usize, usize)> {
        let fit = self.0.bytes() / (inner * size_of::<bf16>());
        let rows = if fit >= 256 { fit / 256 * 256 } else { fit.max(1) };
        (0..out).step_by(rows).map(move |first| (first, rows.min(out - first)))
    }

    /// Whether so many rows have room in it.
    pub(super) fn fits(&self, rows: usize, width: usize) -> bool {
        rows * width * size_of::<bf16>() <= self.0.bytes()
    }

    /// So many rows in it.
    pub(super) fn rows(&self, count: usize, inner: usize) -> Matrix<'a, bf16> {
        self.0.matrix(0, count, inner)
    }
}
