//! LoKr beside a layer on a card: y += (W₁ ⊗ W₂) x, never as one matrix.
//!
//! With a row of x read as `[i₁, i₂]` and one of y as `[o₁, o₂]`, that is W₁ x W₂ᵀ. W₁ comes first: its kernel reads x as it
//! lies, fp8 with scales too, and what it gives is bf16, `[rows · o₁, i₂]`. One product with W₂, or two where W₂ is itself
//! a product of low rank, adds the rest: rows · o₁ · i₂ · (i₁ + o₂) multiplications in place of rows · o₁ · o₂ · i₁ · i₂. W₂
//! first would be about as many; it gives less to hold where y is narrower than x, but would have to widen x for that in
//! fp8. What is between goes through the scratch, so many rows of x at a time as fit.

use std::ops::Range;

use half::bf16;

use super::linear::{Input, Scratch};
use super::side::{Piece, narrow};
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::kron::TILE;
use crate::engine::cuda::memory::{ALIGNMENT, Buffer, Element, Layout, Matrix, aligned};
use crate::engine::cuda::product::{Doing, GRAIN};
use crate::engine::lora::{self, Change, Dense, Kronecker};

/// What products and kernels want the sides of W₂ to be multiples of.
const SIDES: usize = 8;

/// Where the factors of a LoKr lie in the memory of all sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kron {
    /// The rows of the layer that it changes.
    rows: Range<usize>,
    /// o₁ and i₁, o₂ and i₂.
    left: [usize; 2],
    right: [usize; 2],
    /// W₁ turned, with strength and scale in it, `[i₁, o₁]` with rows padded to [`TILE`].
    left_at: usize,
    right_at: Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Whole {
        at: usize,
    },
    /// B `[o₂, ranks]` and A `[ranks, i₂]`, the ranks padded to [`SIDES`].
    Pair {
        ranks: usize,
        up: usize,
        down: usize,
    },
}

/// What a change is made of if it can be added so: no DoRA, whose gains go across both factors.
pub(super) fn factors(dense: &Dense) -> Option<&Kronecker> {
    let Change::Kronecker(both) = &*dense.change else { return None };
    let plain = dense.row_gains.is_empty() && dense.column_gains.is_empty();
    let [o2, i2] = [both.right.rows, both.right.columns];
    let rows = dense.rows.start.is_multiple_of(SIDES);
    (plain && rows && o2.is_multiple_of(SIDES) && i2.is_multiple_of(SIDES)).then_some(both)
}

impl Kron {
    /// Makes room for it.
    pub fn place(layout: &mut Layout, rows: Range<usize>, both: &Kronecker) -> Self {
        let Kronecker { left, right, pair } = both;
        let left_at = layout.place::<bf16>(left.columns, left.rows.next_multiple_of(TILE));
        let right_at = match pair {
            None => Right::Whole { at: layout.place::<bf16>(right.rows, right.columns) },
            Some((_, down)) => {
                let ranks = down.rows.next_multiple_of(SIDES);
                let up = layout.place::<bf16>(right.rows, ranks);
                Right::Pair { ranks, up, down: layout.place::<bf16>(ranks, right.columns) }
            }
        };
        let (left, right) = ([left.rows, left.columns], [right.rows, right.columns]);
        Self { rows, left, right, left_at, right_at }
    }

    /// All of its bytes, where they lie.
    pub fn pieces(&self, factor: f32, Kronecker { left, right, pair }: &Kronecker) -> Vec<Piece> {
        let padded = left.rows.next_multiple_of(TILE);
        let mut turned = vec![0.0; left.columns * padded];
        for (row, values) in left.values.chunks_exact(left.columns).enumerate() {
            let to = turned[row..].iter_mut().step_by(padded);
            to.zip(values).for_each(|(to, value)| *to = factor * value);
        }
        let mut pieces = vec![(self.left_at, narrowed(&turned))];
        match (self.right_at, pair) {
            (Right::Pair { ranks, up: up_at, down: down_at }, Some((up, down))) => {
                pieces.push((up_at, narrowed(&widened(up, ranks))));
                // Behind A's rows zeros follow.
                pieces.push((down_at, narrowed(&down.values)));
            }
            (Right::Pair { up: at, .. } | Right::Whole { at }, _) => {
                pieces.push((at, narrowed(&right.values)));
            }
        }
        pieces
    }

    /// The same where all of it lies so many bytes further on.
    pub fn moved(self, by: usize) -> Self {
        let right_at = match self.right_at {
            Right::Whole { at } => Right::Whole { at: at + by },
            Right::Pair { ranks, up, down } => Right::Pair { ranks, up: up + by, down: down + by },
        };
        Self { left_at: self.left_at + by, right_at, ..self }
    }

    /// Adds it to `out`, or chooses how: then what is in `out` is lost.
    pub fn run(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        doing: Doing,
        x: Input<'_>,
        out: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        // Rows of y without gaps are rows of o₂, to which a product can add at once.
        let direct = out.is_dense() && self.rows == (0..out.width());
        let out = out.slice_columns(self.rows.start, self.rows.len());
        let bytes = self.between(1, direct).iter().sum::<usize>();
        let fit = scratch.0.bytes().saturating_sub(3 * ALIGNMENT) / bytes;
        // Products like rows by the dozen; none needs them.
        let fit = if fit > GRAIN { fit / GRAIN * GRAIN } else { fit };
        if fit == 0 {
            let has = scratch.0.bytes();
            return Err(CudaError::Shape(format!("a row of LoKr takes {bytes} bytes of a scratch of {has}")));
        }
        (0..out.rows()).step_by(fit).try_for_each(|first| {
            let count = fit.min(out.rows() - first);
            let (x, out) = (x.slice_rows(first, count), out.slice_rows(first, count));
            self.run_rows(gpu, memory, doing, x, (out, direct), scratch)
        })
    }

    fn run_rows(
        &self,
        gpu: &Gpu,
        memory: &Buffer,
        doing: Doing,
        x: Input<'_>,
        (out, direct): (Matrix<'_, bf16>, bool),
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let ([o1, i1], [o2, i2]) = (self.left, self.right);
        let (count, adds) = (out.rows() * o1, doing != Doing::Choose);
        let [first, second, _] = self.between(out.rows(), direct).map(aligned);
        let left = memory.matrix(self.left_at, i1, o1.next_multiple_of(TILE));
        let between = scratch.0.matrix(0, count, i2);
        if adds {
            gpu.kron_left(x, left, o1, between)?;
        }
        let (last, weight) = match self.right_at {
            Right::Whole { at } => (between, memory.matrix(at, o2, i2)),
            Right::Pair { ranks, up, down } => {
                let small = scratch.0.matrix(first, count, ranks);
                if adds {
                    gpu.product(small, between, memory.matrix(down, ranks, i2), None)?;
                }
                (small, memory.matrix(up, o2, ranks))
            }
        };
        if direct {
            return gpu.product_as(doing, out.reshape(count, o2), last, weight, None);
        }
        if !adds {
            return Ok(());
        }
        let added = scratch.0.matrix(first + second, count, o2);
        gpu.product(added, last, weight, None)?;
        gpu.add_rows(out, added.reshape(out.rows(), o1 * o2))
    }

    /// Bytes of what is between, for so many rows of x: what W₁ gives, what A of W₂ gives, and what B or W₂ gives where
    /// it is added afterwards.
    fn between(&self, rows: usize, direct: bool) -> [usize; 3] {
        let ([o1, _], [o2, i2]) = (self.left, self.right);
        let ranks = match self.right_at {
            Right::Whole { .. } => 0,
            Right::Pair { ranks, .. } => ranks,
        };
        [i2, ranks, if direct { 0 } else { o2 }].map(|width| rows * o1 * width * bf16::BYTES)
    }
}

/// With zeros behind each row, up to so many columns.
fn widened(matrix: &lora::Matrix, columns: usize) -> Vec<f32> {
    let mut all = vec![0.0; matrix.rows * columns];
    let rows = all.chunks_exact_mut(columns).zip(matrix.values.chunks_exact(matrix.columns));
    rows.for_each(|(to, from)| to[..from.len()].copy_from_slice(from));
    all
}

fn narrowed(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * bf16::BYTES];
    narrow(values, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::side::tests::read;
    use super::*;
    use crate::engine::sample::noise::randn;

    fn matrix(seed: u64, rows: usize, columns: usize) -> lora::Matrix {
        lora::Matrix { rows, columns, values: randn(seed, rows * columns) }
    }

    impl Kron {
        /// ΔW of these rows, out of the memory of all sides.
        pub(in super::super) fn delta(&self, memory: &[u8]) -> (Range<usize>, lora::Matrix) {
            let ([o1, i1], [o2, i2]) = (self.left, self.right);
            let left = read(memory, self.left_at, i1, o1.next_multiple_of(TILE));
            let right = match self.right_at {
                Right::Whole { at } => read(memory, at, o2, i2),
                Right::Pair { ranks, up, down } => {
                    read(memory, up, o2, ranks).times(&read(memory, down, ranks, i2))
                }
            };
            let value = |row: usize, column: usize| {
                left.row(column / i2)[row / o2] * right.row(row % o2)[column % i2]
            };
            let (rows, columns) = (o1 * o2, i1 * i2);
            let values = (0..rows * columns).map(|at| value(at / columns, at % columns)).collect();
            (self.rows.clone(), lora::Matrix { rows, columns, values })
        }
    }

    #[test]
    fn what_lies_on_the_card_is_the_change_at_its_strength() {
        let (up, down) = (matrix(1, 16, 3), matrix(2, 3, 24));
        let whole = Kronecker::new(matrix(3, 5, 4), up.times(&down));
        for both in [whole.clone(), whole.with_pair((up, down))] {
            let mut layout = Layout::default();
            layout.place::<u8>(1, 300);
            let kron = Kron::place(&mut layout, 0..80, &both).moved(256);
            let pieces = kron.pieces(0.5, &both);
            assert!(pieces.iter().all(|(at, bytes)| *at >= 768 && at + bytes.len() <= layout.bytes() + 256));
            let mut memory = vec![0; layout.bytes() + 256];
            pieces.iter().for_each(|(at, bytes)| memory[*at..][..bytes.len()].copy_from_slice(bytes));
            let (rows, ours) = kron.delta(&memory);
            let mut expected = vec![0.0; 80 * 96];
            Change::Kronecker(both.clone()).rows(0, &mut expected);
            assert_eq!(rows, 0..80);
            for (at, (ours, expected)) in ours.values.iter().zip(&expected).enumerate() {
                assert!((ours - 0.5 * expected).abs() < 0.05, "{at}: {ours}, {expected}");
            }
        }
    }

    #[test]
    fn dora_and_odd_sides_are_left_to_the_whole_matrix() {
        let dense = |o2: usize, first: usize, gains: Vec<f32>| Dense {
            rows: first..first + 4 * o2,
            change: Arc::new(Change::Kronecker(Kronecker::new(matrix(1, 4, 2), matrix(2, o2, 8)))),
            factor: 1.0,
            row_gains: gains,
            column_gains: Vec::new(),
        };
        assert!(factors(&dense(16, 64, Vec::new())).is_some());
        assert!(factors(&dense(12, 0, Vec::new())).is_none(), "an odd side");
        assert!(factors(&dense(16, 4, Vec::new())).is_none(), "odd rows");
        assert!(factors(&dense(16, 0, vec![1.0; 64])).is_none(), "DoRA");
    }
}
