//! What LoRAs add beside a layer on a card, next to weights that stay untouched: y += B (A x).
//!
//! A of all LoRAs is one matrix, and so is B of all those that change the same rows. In fp8 the rows x are there in fp8
//! alone, so A is kept in fp8 with a scale a row and meets them as the layer's own weight does; B stays in bf16, with
//! strength and scale in it.
//!
//! What it costs is device memory: y of FLUX.1's widest layer has 198 MB at 1024². Added afterwards it is read and
//! written again. Where the Bs cover all rows of a layer, Hopper therefore has one kernel for layer and Bs
//! ([`Gpu::product_with_ranks`]); elsewhere their product is written first, and the layer's own product adds itself to
//! that: it reads while it computes. LoHa is a pair, too, where that is smaller than the matrix ([`Parts::pair_up`]), and
//! LoKr stays its two factors ([`super::kron`]). Other changes, DoRA's by columns and DoRA's of a LoKr are added as a whole
//! matrix, with all else that changes the layer.

use std::ops::Range;

use half::bf16;

use super::kron::{Kron, factors};
use super::linear::{Fp8, Input, Linear, Scratch};
use crate::engine::converted::round;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Buffer, Element, F8, Layout, Matrix};
use crate::engine::cuda::product::{Doing, GRAIN, Ranks, are_parts};
use crate::engine::lora::{Layer, Low, Parts, Rows};

/// Rows of A that belong to one B begin on multiples of this: 16 bytes of bf16, which products want.
const RANKS: usize = 8;

/// Where the parts of a layer's side lie in the memory of all sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    out: usize,
    inner: usize,
    low: Option<Pair>,
    /// Those of LoKr, in order.
    krons: Vec<Kron>,
    /// ΔW where it is a whole matrix.
    dense: Option<Weight>,
    /// The layer's own bias with what is added, which takes its place.
    bias: Option<usize>,
    /// What the layer's own result is multiplied by, row of W by row, and what is added then: of DoRA.
    again: Option<[usize; 2]>,
}

/// All of low rank.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    /// Rows of A, a multiple of [`GRAIN`].
    ranks: usize,
    down: Weight,
    ups: Vec<Up>,
    /// Whether the Bs have every row of the layer, each once.
    covers: bool,
    /// Whether they are one matrix, too: `[out, ranks of each]`.
    joined: bool,
}

/// B of the LoRAs that change the same rows, `[rows, ranks]` in bf16.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Up {
    rows: Range<usize>,
    ranks: Range<usize>,
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Bf16 { at: usize },
    Fp8 { at: usize, scales: usize },
}

/// Bytes, and where they go.
pub type Piece = (usize, Vec<u8>);

/// A layer's side and the memory that it lies in.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Where its parts lie.
    pub side: &'a Side,
    /// The memory of all sides.
    pub memory: &'a Buffer,
}

/// What a layer's side is made of.
pub struct Making<'l> {
    /// `[out, inner]`
    pub shape: [usize; 2],
    /// What is changed, and how much.
    pub layers: Vec<(&'l Layer, f32)>,
    /// The same, sorted.
    pub parts: Parts<'l>,
    /// Writes rows of the layer's own weight.
    pub weight: Box<Rows<'l>>,
    /// The layer's own bias.
    pub bias: Vec<f32>,
}

impl std::fmt::Debug for Making<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Making").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Weight {
    fn place(layout: &mut Layout, rows: usize, columns: usize, quantised: bool) -> Self {
        if quantised {
            Self::Fp8 { at: layout.place::<F8>(rows, columns), scales: layout.place::<f32>(rows, 1) }
        } else {
            Self::Bf16 { at: layout.place::<bf16>(rows, columns) }
        }
    }

    /// Its bytes, of rows in bf16: where they lie, and what they are.
    fn pieces(self, values: Vec<u8>, columns: usize) -> Vec<Piece> {
        match self {
            Self::Bf16 { at } => vec![(at, values)],
            Self::Fp8 { at, scales } => {
                let mut narrow = vec![0; values.len() / bf16::BYTES];
                let rows = values.chunks_exact(columns * bf16::BYTES).zip(narrow.chunks_exact_mut(columns));
                // A row too small for a scale is nothing.
                let scale = |(wide, narrow): (&[u8], &mut [u8])| round::row(wide, narrow).unwrap_or(0.0);
                let factors: Vec<u8> = rows.flat_map(|row| scale(row).to_le_bytes()).collect();
                vec![(at, narrow), (scales, factors)]
            }
        }
    }

    fn moved(self, by: usize) -> Self {
        match self {
            Self::Bf16 { at } => Self::Bf16 { at: at + by },
            Self::Fp8 { at, scales } => Self::Fp8 { at: at + by, scales: scales + by },
        }
    }

    /// `out = x · Wᵀ`, or more of it.
    fn run(
        self,
        gpu: &Gpu,
        memory: &Buffer,
        (doing, [rows, columns]): (Doing, [usize; 2]),
        x: Input<'_>,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        match (x, self) {
            (Input::Bf16(x), Self::Bf16 { at }) => {
                gpu.product_as(doing, out, x, memory.matrix(at, rows, columns), None)
            }
            (Input::Fp8(x, x_scales), Self::Fp8 { at, scales }) => {
                let weight = (memory.matrix(at, rows, columns), memory.matrix(scales, rows, 1));
                gpu.linear_fp8(out, (x, x_scales), weight, None)
            }
            _ => Err(CudaError::Shape("a LoRA was laid out for other rows than these".to_owned())),
        }
    }
}

impl Side {
    /// Makes room for it. `quantised` says that the layer reads fp8 rows.
    #[must_use]
    pub fn place(layout: &mut Layout, making: &mut Making<'_>, quantised: bool) -> Self {
        let Making { shape: [out, inner], parts, .. } = making;
        let (out, inner) = (*out, *inner);
        let whole = !parts.columns.is_empty() || {
            parts.pair_up();
            parts.dense.iter().any(|dense| factors(dense).is_none())
        };
        let dense = whole.then(|| Weight::place(layout, out, inner, quantised));
        let low =
            (!whole && !parts.low.is_empty()).then(|| Pair::place(layout, parts, inner, out, quantised));
        let krons = if whole { &[][..] } else { &parts.dense };
        let krons = krons.iter().filter_map(|dense| Some((dense.rows.clone(), factors(dense)?)));
        let krons = krons.map(|(rows, both)| Kron::place(layout, rows, both)).collect();
        let again = (!whole && !parts.again.is_empty())
            .then(|| [layout.place::<f32>(out, 1), layout.place::<bf16>(1, out)]);
        let bias = (again.is_none() && !parts.bias.is_empty()).then(|| layout.place::<bf16>(1, out));
        Self { out, inner, low, krons, dense, bias, again }
    }

    /// All of its bytes, where they lie.
    #[must_use]
    pub fn pieces(&self, making: &Making<'_>) -> Vec<Piece> {
        let Making { parts, layers, weight, bias, .. } = making;
        let added = |at: usize| parts.bias.get(at).copied().unwrap_or(0.0);
        let mut pieces = Vec::new();
        if let Some(dense) = self.dense {
            let mut all = vec![0.0; self.out * self.inner];
            for (layer, strength) in layers {
                layer.branches.iter().for_each(|branch| branch.merge(*strength, &**weight, &mut all));
            }
            let mut bytes = vec![0; all.len() * bf16::BYTES];
            narrow(&all, &mut bytes);
            pieces.extend(dense.pieces(bytes, self.inner));
        }
        if let Some(pair) = &self.low {
            pieces.extend(pair.pieces(parts, self.inner));
        }
        for (kron, dense) in self.krons.iter().zip(&parts.dense) {
            pieces.extend(factors(dense).into_iter().flat_map(|both| kron.pieces(dense.factor, both)));
        }
        if let Some(at) = self.bias {
            pieces.push((at, bytes_of(bias.iter().enumerate().map(|(at, own)| own + added(at)))));
        }
        if let Some([factors, rest]) = self.again {
            // (W x + b) (1 + g) - g b is W x (1 + g) + b.
            pieces
                .push((factors, parts.again.iter().flat_map(|again| (1.0 + again).to_le_bytes()).collect()));
            pieces.push((rest, bytes_of((0..self.out).map(|at| added(at) - parts.again[at] * bias[at]))));
        }
        pieces
    }

    /// The same where all of it lies so many bytes further on.
    #[must_use]
    pub fn moved(self, by: usize) -> Self {
        let pair = |pair: Pair| {
            let ups = pair.ups.into_iter().map(|up| Up { at: up.at + by, ..up }).collect();
            Pair { down: pair.down.moved(by), ups, ..pair }
        };
        Self {
            low: self.low.map(pair),
            krons: self.krons.into_iter().map(|kron| kron.moved(by)).collect(),
            dense: self.dense.map(|dense| dense.moved(by)),
            bias: self.bias.map(|at| at + by),
            again: self.again.map(|both| both.map(|at| at + by)),
            ..self
        }
    }
}

impl Pair {
    fn place(layout: &mut Layout, parts: &mut Parts<'_>, inner: usize, out: usize, quantised: bool) -> Self {
        parts.low.sort_by_key(|low| (low.rows.start, low.rows.end));
        let mut ranks = 0;
        let mut ups = Vec::new();
        for same in parts.low.chunk_by(|one, other| one.rows == other.rows) {
            let own = same.iter().map(Low::rank).sum::<usize>().next_multiple_of(RANKS);
            ups.push(Up { rows: same[0].rows.clone(), ranks: ranks..ranks + own, at: 0 });
            ranks += own;
        }
        let ranks = ranks.next_multiple_of(GRAIN);
        let follow = ups.windows(2).all(|pair| pair[0].rows.end == pair[1].rows.start);
        let covers = follow
            && ups.first().is_some_and(|first| first.rows.start == 0)
            && ups.last().is_some_and(|last| last.rows.end == out);
        let own = ups.first().map_or(0, |up| up.ranks.len());
        let joined = covers && ups.iter().all(|up| up.ranks.len() == own);
        let whole = joined.then(|| layout.place::<bf16>(out, own));
        for Up { rows, ranks, at } in &mut ups {
            *at = match whole {
                Some(whole) => whole + rows.start * own * bf16::BYTES,
                None => layout.place::<bf16>(rows.len(), ranks.len()),
            };
        }
        Self { ranks, down: Weight::place(layout, ranks, inner, quantised), ups, covers, joined }
    }

    fn pieces(&self, parts: &Parts<'_>, inner: usize) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(self.ups.len() + 2);
        let mut down = vec![0; self.ranks * inner * bf16::BYTES];
        let mut row = vec![0.0; inner];
        let groups = parts.low.chunk_by(|one, other| one.rows == other.rows);
        for (up, same) in self.ups.iter().zip(groups) {
            let ranks = same.iter().flat_map(|low| (0..low.rank()).map(move |rank| (low, rank)));
            let rows = down.chunks_exact_mut(inner * bf16::BYTES).skip(up.ranks.start);
            for (to, (low, rank)) in rows.zip(ranks) {
                low.down_row(rank, &mut row);
                narrow(&row, to);
            }
            let own = up.ranks.len();
            let mut values = vec![0; up.rows.len() * own * bf16::BYTES];
            let mut row = vec![0.0; own];
            for (at, to) in values.chunks_exact_mut(own * bf16::BYTES).enumerate() {
                let mut filled = 0;
                for low in same {
                    low.up_row(at, &mut row[filled..][..low.rank()]);
                    filled += low.rank();
                }
                narrow(&row, to);
            }
            pieces.push((up.at, values));
        }
        pieces.extend(self.down.pieces(down, inner));
        pieces
    }

    /// The whole layer at once: `out = x · Wᵀ + b + B (A x)`, where the card has a kernel for it and that is the fastest.
    /// Whether it has.
    fn run_with(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        (x, weight): (Input<'_>, Option<Fp8<'_>>),
        bias: Matrix<'_, bf16>,
        out: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<bool> {
        let (Input::Fp8(x, x_scales), Some((weight, scales)), Weight::Fp8 { at, scales: own }) =
            (x, weight, self.down)
        else {
            return Ok(false);
        };
        let ends: Vec<_> = self.ups.iter().map(|up| up.rows.end).collect();
        let fits = x_scales.at().is_multiple_of(16) && scratch.fits(x.rows(), self.ranks) && are_parts(&ends);
        if !self.joined || !fits || !gpu.ranks_are_worth_it(x.rows(), out.width(), x.width()) {
            return Ok(false);
        }
        let small = scratch.rows(x.rows(), self.ranks);
        let down = (memory.matrix(at, self.ranks, x.width()), memory.matrix(own, self.ranks, 1));
        gpu.narrow_fp8(small, (x, x_scales), down)?;
        let up = memory.matrix(self.ups[0].at, out.width(), self.ups[0].ranks.len());
        let parts: Vec<_> = self.ups.iter().map(|up| (up.rows.end, up.ranks.start)).collect();
        let ranks = Ranks { small, up, parts: &parts };
        gpu.product_with_ranks(out, (x, x_scales), (weight, scales), bias, ranks)?;
        Ok(true)
    }

    /// B (A x) into `out`, or added to it; so many rows at a time as the scratch has room for what A gives.
    fn run(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        doing: Doing,
        (x, inner): (Input<'_>, usize),
        out: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let fit = scratch.0.bytes() / (self.ranks * bf16::BYTES) / GRAIN * GRAIN;
        for first in (0..out.rows()).step_by(fit.max(GRAIN)) {
            let count = fit.max(GRAIN).min(out.rows() - first);
            let small = scratch.rows(count, self.ranks);
            if doing != Doing::Choose {
                let (x, shape) = (x.slice_rows(first, count), [self.ranks, inner]);
                match (x, self.down) {
                    (Input::Fp8(x, x_scales), Weight::Fp8 { at, scales }) => {
                        let weight = memory.matrix(at, self.ranks, inner);
                        let weight = (weight, memory.matrix(scales, self.ranks, 1));
                        gpu.narrow_fp8(small, (x, x_scales), weight)?;
                    }
                    _ => self.down.run(gpu, memory, (Doing::Write, shape), x, small)?,
                }
            }
            for Up { rows, ranks, at } in &self.ups {
                let out = out.slice_rows(first, count).slice_columns(rows.start, rows.len());
                let (small, up) = (
                    small.slice_columns(ranks.start, ranks.len()),
                    memory.matrix(*at, rows.len(), ranks.len()),
                );
                gpu.product_as(doing, out, small, up, None)?;
            }
        }
        Ok(())
    }
}

impl<'a> Beside<'a> {
    /// What takes the place of the layer's own bias, if anything does.
    #[must_use]
    pub fn bias(self) -> Option<Matrix<'a, bf16>> {
        self.side.bias.map(|at| self.memory.matrix(at, 1, self.side.out))
    }

    /// `out = x · Wᵀ + b`, and what is added; `weights` is the memory of the layer's block.
    ///
    /// # Errors
    /// As [`Linear::run`].
    pub fn run(
        self,
        gpu: &Gpu,
        (linear, weights): (&Linear, &Buffer),
        x: Input<'_>,
        out: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let Side { low, again, .. } = self.side;
        let bias = self.bias().unwrap_or_else(|| linear.bias(weights));
        // Tried before `out` holds what counts.
        self.krons(gpu, Doing::Choose, x, out, scratch)?;
        if let Some(pair) = low.as_ref().filter(|_| again.is_none())
            && pair.run_with(gpu, self.memory, (x, linear.fp8(weights)), bias, out, scratch)?
        {
            return self.krons(gpu, Doing::Add, x, out, scratch);
        }
        if let Some(pair) = low {
            pair.run(gpu, self.memory, Doing::Choose, (x, self.side.inner), out, scratch)?;
        }
        if let Some(pair) = low.as_ref().filter(|pair| pair.covers && again.is_none())
            && linear.can_add(gpu, weights, x, out)?
        {
            pair.run(gpu, self.memory, Doing::Write, (x, self.side.inner), out, scratch)?;
            linear.run_as(Doing::Add, gpu, (weights, bias), x, out, scratch)?;
            return self.krons(gpu, Doing::Add, x, out, scratch);
        }
        linear.run_as(Doing::Write, gpu, (weights, bias), x, out, scratch)?;
        self.add(gpu, x, out, scratch)
    }

    /// What is added to `out`, which the layer itself has written.
    ///
    /// # Errors
    /// As [`Linear::run`].
    pub fn add(self, gpu: &Gpu, x: Input<'_>, out: Matrix<'_, bf16>, scratch: &Scratch<'_>) -> Result<()> {
        let Self { side: Side { out: width, inner, low, dense, again, .. }, memory } = self;
        if let Some([factors, rest]) = again {
            let (factors, rest) = (memory.matrix(*factors, *width, 1), memory.matrix(*rest, 1, *width));
            gpu.scale_rows(out, None, factors, Some(rest))?;
        }
        if let Some(pair) = low {
            pair.run(gpu, memory, Doing::Add, (x, *inner), out, scratch)?;
        }
        self.krons(gpu, Doing::Add, x, out, scratch)?;
        match dense {
            None => Ok(()),
            Some(dense) => self.add_dense(gpu, *dense, x, out, scratch),
        }
    }

    /// What LoKr adds.
    fn krons(
        self,
        gpu: &Gpu,
        doing: Doing,
        x: Input<'_>,
        out: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        self.side.krons.iter().try_for_each(|kron| kron.run(gpu, self.memory, doing, x, out, scratch))
    }

    /// Through the scratch, some rows at a time: a product with scales of its own cannot be added everywhere.
    fn add_dense(
        self,
        gpu: &Gpu,
        dense: Weight,
        x: Input<'_>,
        out: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let Side { out: width, inner, .. } = self.side;
        if let (Input::Bf16(x), Weight::Bf16 { at }) = (x, dense) {
            return gpu.product_as(Doing::Add, out, x, self.memory.matrix(at, *width, *inner), None);
        }
        let fit = (scratch.0.bytes() / (width * bf16::BYTES) / GRAIN * GRAIN).max(GRAIN);
        for first in (0..out.rows()).step_by(fit) {
            let count = fit.min(out.rows() - first);
            let added = scratch.rows(count, *width);
            dense.run(
                gpu,
                self.memory,
                (Doing::Write, [*width, *inner]),
                x.slice_rows(first, count),
                added,
            )?;
            gpu.add(out.slice_rows(first, count), added)?;
        }
        Ok(())
    }
}

/// In bf16.
pub(super) fn narrow(values: &[f32], to: &mut [u8]) {
    let to: &mut [[u8; 2]] = to.as_chunks_mut().0;
    to.iter_mut().zip(values).for_each(|(to, value)| *to = bf16::from_f32(*value).to_le_bytes());
}

fn bytes_of(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect()
}

#[cfg(test)]
pub(super) mod tests;
