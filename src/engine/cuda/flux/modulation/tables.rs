//! The tables of one picture: a row for each step, and where each block's columns lie in it.

use std::sync::Arc;

use half::bf16;

use super::CHUNK;
use super::columns::Columns;
use super::kept::Key;
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Buffer, Element, Matrix};
use crate::engine::cuda::ops::Modulation;
use crate::engine::dit::config::Config;

/// The tables of one picture.
#[derive(Debug)]
pub struct Tables {
    pub(super) memory: Buffer,
    pub(super) rows: usize,
    pub(super) columns: Columns,
    /// What they are kept by, where they were made and may be.
    pub(super) unkept: Option<Key>,
}

/// Shift, scale and gate of one branch, text's; the image's are [`Modulation::second`] further on.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    shift: Matrix<'a, bf16>,
    scale: Matrix<'a, bf16>,
    /// What the branch is multiplied by when it joins.
    pub gate: Matrix<'a, bf16>,
}

impl Tables {
    /// Bytes of device memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Bytes of the tables of a picture of so many steps.
    #[must_use]
    pub fn bytes_for(config: &Config, steps: usize) -> usize {
        steps.max(1).next_multiple_of(CHUNK) * Columns::of(config).width() * bf16::BYTES
    }

    /// The same for another stream ([`Buffer::for_stream_of`]).
    #[must_use]
    pub(in super::super) fn for_stream_of(self, gpu: &Arc<Gpu>) -> Self {
        Self { memory: self.memory.for_stream_of(gpu), ..self }
    }

    /// The same, to be kept by this.
    #[must_use]
    pub(in super::super) fn kept_by(self, of: Key) -> Self {
        Self { unkept: Some(of), ..self }
    }

    /// Of double block `block` at `step`, branch 0 (attention) or 1 (MLP).
    #[must_use]
    pub fn double(&self, step: usize, block: usize, branch: usize) -> Row<'_> {
        self.row(step, self.columns.double(block) + 3 * self.columns.hidden * branch)
    }

    /// Of single block `block` at `step`.
    #[must_use]
    pub fn single(&self, step: usize, block: usize) -> Row<'_> {
        self.row(step, self.columns.single(block))
    }

    /// Of the last layer at `step`; its gate means nothing.
    #[must_use]
    pub fn last(&self, step: usize) -> Row<'_> {
        let (at, hidden) = (self.columns.last(), self.columns.hidden);
        let shift = self.columns_of(step, at);
        Row { shift, scale: self.columns_of(step, at + hidden), gate: shift }
    }

    /// A whole row, for tests.
    #[must_use]
    pub fn step(&self, step: usize) -> Matrix<'_, bf16> {
        assert!(step < self.rows, "step {step} of {}", self.rows);
        self.memory.matrix(step * self.columns.width() * bf16::BYTES, 1, self.columns.width())
    }

    fn columns_of(&self, step: usize, at: usize) -> Matrix<'_, bf16> {
        self.step(step).slice_columns(at, self.columns.hidden)
    }

    fn row(&self, step: usize, at: usize) -> Row<'_> {
        let hidden = self.columns.hidden;
        Row {
            shift: self.columns_of(step, at),
            scale: self.columns_of(step, at + hidden),
            gate: self.columns_of(step, at + 2 * hidden),
        }
    }

    /// As the kernels take it: for two streams that part at row `split`, or for one (`split` is the number of rows).
    #[must_use]
    pub fn modulation<'a>(&self, row: Row<'a>, split: usize) -> Modulation<'a> {
        Modulation { shift: row.shift, scale: row.scale, split, second: self.columns.second() }
    }
}
