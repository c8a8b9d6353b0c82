//! Tensors as their files have them: whole, or as a matrix of which rows are widened when they are asked for.

use std::sync::Arc;

use super::blocks::widen_blocks;
use super::dtype::Dtype;
use super::entry::Slice;
use super::files::Bytes;
use super::nf4::Magnitudes;
use super::scale::Scale;
use super::widen::widen_to;

/// A tensor as the files have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<'a> {
    /// Its type: one of those that weights have.
    pub dtype: Dtype,
    /// Its rows, in order.
    pub pieces: Vec<Piece<'a>>,
}

/// Rows that lie together.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece<'a> {
    /// Their values, little-endian or in blocks.
    pub bytes: &'a [u8],
    /// What they are to be multiplied by, where the file says so.
    pub scale: Option<Scale>,
    /// Of NF4.
    pub magnitudes: Option<Magnitudes<'a>>,
}

impl Piece<'_> {
    /// How many values it has.
    #[must_use]
    pub fn values(&self, dtype: Dtype) -> usize {
        let block = dtype.block();
        self.bytes.len() / block.bytes * block.values
    }

    /// Its values from number `first` on, in fp32, into `out`: exactly, and as the format's reference rounds.
    ///
    /// # Panics
    /// When it has fewer: a bug of the caller.
    pub fn widen(&self, dtype: Dtype, first: usize, out: &mut [f32]) {
        match self.magnitudes {
            Some(magnitudes) => magnitudes.widen(self.bytes, first, out),
            None if dtype.is_quantised() => self.widen_blocks(dtype, first, out),
            None => {
                let size = dtype.block().bytes;
                widen_to(&self.bytes[first * size..][..out.len() * size], dtype, out);
            }
        }
        if let Some(scale) = &self.scale {
            scale.multiply(first, out);
        }
    }

    /// ggml's blocks. Of a tensor that was stored in another shape, rows may begin within one.
    fn widen_blocks(&self, dtype: Dtype, first: usize, out: &mut [f32]) {
        let block = dtype.block();
        let mut whole = [0.0; 256];
        let whole = &mut whole[..block.values];
        let bytes = |number: usize, count: usize| &self.bytes[number * block.bytes..][..count * block.bytes];
        let (mut at, mut rest) = (first, out);
        let within = at % block.values;
        if within > 0 {
            let (head, more) = rest.split_at_mut((block.values - within).min(rest.len()));
            widen_blocks(dtype, bytes(at / block.values, 1), whole);
            head.copy_from_slice(&whole[within..][..head.len()]);
            at += head.len();
            rest = more;
        }
        let count = rest.len() / block.values;
        let (middle, tail) = rest.split_at_mut(count * block.values);
        if count > 0 {
            widen_blocks(dtype, bytes(at / block.values, count), middle);
        }
        if !tail.is_empty() {
            widen_blocks(dtype, bytes(at / block.values + count, 1), whole);
            tail.copy_from_slice(&whole[..tail.len()]);
        }
    }
}

/// A matrix `[rows, columns]` that stays in its files, mapped.
#[derive(Clone)]
pub struct Matrix {
    files: Arc<[Bytes]>,
    dtype: Dtype,
    rows: usize,
    columns: usize,
    /// Each with its scale and its first row.
    slices: Vec<(Slice, Option<Scale>, usize)>,
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {} of {}", self.rows, self.columns, self.dtype)
    }
}

impl Matrix {
    pub(super) fn new(
        files: Arc<[Bytes]>,
        dtype: Dtype,
        (rows, columns): (usize, usize),
        slices: impl Iterator<Item = (Slice, Option<Scale>)>,
    ) -> Self {
        let mut first = 0;
        let slices = slices.map(|(slice, scale)| {
            let row = first;
            let values = slice.scaled(None, &files).values(dtype);
            first += values.checked_div(columns).unwrap_or_default();
            (slice, scale, row)
        });
        let slices = slices.collect();
        Self { files, dtype, rows, columns, slices }
    }

    /// How its values are stored.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows from number `first` on, in fp32: as many as `out` holds.
    ///
    /// # Panics
    /// When there are fewer: a bug of the caller.
    pub fn widen(&self, first: usize, out: &mut [f32]) {
        let count = out.len() / self.columns;
        assert!(first + count <= self.rows, "rows {first} and {count} more of {}", self.rows);
        let ends = self.slices[1..].iter().map(|(.., row)| *row).chain([self.rows]);
        for ((slice, scale, begin), end) in self.slices.iter().zip(ends) {
            let (from, to) = (first.max(*begin), (first + count).min(end));
            if from < to {
                let out = &mut out[(from - first) * self.columns..(to - first) * self.columns];
                slice.scaled(scale.clone(), &self.files).widen(
                    self.dtype,
                    (from - begin) * self.columns,
                    out,
                );
            }
        }
    }
}
