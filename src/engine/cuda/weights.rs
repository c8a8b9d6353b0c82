//! Weight files into device memory: as they are stored, or narrowed to bf16 on the way.

use std::borrow::Cow;

use half::bf16;
use rayon::prelude::*;

use super::beside::{Beside, Half};
use super::error::{CudaError, Result};
use super::gpu::Gpu;
use super::memory::{F8, Matrix};
use crate::engine::weights::{Block, Dtype, Magnitudes, Piece, Scale, Stored, Weights, WeightsError, narrow};

/// Values of a piece from number `first` on, in fp32, little-endian: as many as `to` has room for.
fn widen(piece: &Piece<'_>, dtype: Dtype, first: usize, to: &mut [u8]) {
    let mut wide = [0.0; WIDE];
    for (part, to) in to.as_chunks_mut().0.chunks_mut(WIDE).enumerate() {
        let wide = &mut wide[..to.len()];
        piece.widen(dtype, first + part * WIDE, wide);
        to.iter_mut().zip(wide).for_each(|(to, value)| *to = value.to_le_bytes());
    }
}

/// Values that are in fp32 at a time.
const WIDE: usize = 4096;

/// A block of a quantised type as it lies on a card: ggml's as in the file, NF4's with its magnitude before it.
#[must_use]
pub fn block_on_card(dtype: Dtype) -> Block {
    let block = dtype.block();
    let bytes = block.bytes + if dtype == Dtype::NF4 { size_of::<f32>() } else { 0 };
    Block { bytes, ..block }
}

/// Whole blocks of a quantised type as they lie on a card.
#[must_use]
pub fn blocks_on_card<'w>(piece: &Piece<'w>) -> Cow<'w, [u8]> {
    match piece.magnitudes {
        None => Cow::Borrowed(piece.bytes),
        Some(magnitudes) => Cow::Owned(with_magnitudes(piece.bytes, magnitudes)),
    }
}

fn with_magnitudes(packed: &[u8], magnitudes: Magnitudes<'_>) -> Vec<u8> {
    let Block { values, bytes } = Dtype::NF4.block();
    let Block { bytes: wide, .. } = block_on_card(Dtype::NF4);
    let mut joined = vec![0; packed.len() / bytes * wide];
    joined.par_chunks_exact_mut(wide).zip(packed.par_chunks_exact(bytes)).enumerate().for_each(
        |(block, (to, packed))| {
            let (magnitude, to) = to.split_at_mut(wide - bytes);
            magnitude.copy_from_slice(&magnitudes.of(block * values).to_le_bytes());
            to.copy_from_slice(packed);
        },
    );
    joined
}

/// bf16 from its little-endian bytes.
#[must_use]
pub fn as_bf16(bytes: &[u8]) -> Vec<bf16> {
    bytes.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes)).collect()
}

impl Gpu {
    /// Copies a tensor of the given shape into `to`, in bf16 and with its scale multiplied in. Piece by piece: what is
    /// fused from several tensors is never whole in the host's memory.
    ///
    /// # Errors
    /// As [`Weights::stored`]; when the numbers of values differ.
    pub fn load(&self, to: Matrix<'_, bf16>, weights: &Weights, name: &str, shape: &[usize]) -> Result<()> {
        self.load_beside(to, None, weights, name, shape)
    }

    /// The same, where there is memory beside `to` to hold a tensor as it is stored: one comes there while the last is
    /// widened.
    ///
    /// # Errors
    /// As [`Gpu::load`].
    pub fn load_beside(
        &self,
        to: Matrix<'_, bf16>,
        beside: Option<&Beside<'_>>,
        weights: &Weights,
        name: &str,
        shape: &[usize],
    ) -> Result<()> {
        let Stored { dtype, pieces } = weights.stored(name, shape)?;
        let to = to.as_bytes();
        check(to.width(), shape.iter().product::<usize>() * size_of::<bf16>())?;
        let mut at = 0;
        for piece in &pieces {
            let bytes = piece.values(dtype) * size_of::<bf16>();
            self.load_piece(to.slice_columns(at, bytes), beside, piece, dtype, 0)?;
            at += bytes;
        }
        Ok(())
    }

    /// Copies values of a piece from number `first` on into the bytes `to`, in bf16: as many as there is room for.
    ///
    /// # Errors
    /// What the driver says of a copy.
    pub fn load_values(
        &self,
        to: Matrix<'_, u8>,
        piece: &Piece<'_>,
        dtype: Dtype,
        first: usize,
    ) -> Result<()> {
        self.load_piece(to, None, piece, dtype, first)
    }

    /// The same, through memory beside `to` where there is some.
    ///
    /// # Errors
    /// What the driver says of a copy.
    pub fn load_piece(
        &self,
        to: Matrix<'_, u8>,
        beside: Option<&Beside<'_>>,
        piece: &Piece<'_>,
        dtype: Dtype,
        first: usize,
    ) -> Result<()> {
        const VALUE: usize = size_of::<bf16>();
        if dtype == Dtype::BF16 && piece.scale.is_none() {
            return self.upload_bytes(to, &piece.bytes[first * VALUE..][..to.bytes()]);
        }
        let to = to.as_row();
        let there = self.widen_there(to, beside, piece, dtype, first)?;
        let rest = to.slice_columns(there * VALUE, to.width() - there * VALUE);
        self.make(rest, |at, made| narrow(piece, dtype, first + there + at / VALUE, made))
    }

    /// Copies a tensor of the given shape into `to`, in fp32: all threads widen it on its way.
    ///
    /// # Errors
    /// As [`Gpu::load`].
    pub fn load_f32(
        &self,
        to: Matrix<'_, f32>,
        weights: &Weights,
        name: &str,
        shape: &[usize],
    ) -> Result<()> {
        const VALUE: usize = size_of::<f32>();
        let Stored { dtype, pieces } = weights.stored(name, shape)?;
        let to = to.as_bytes();
        check(to.width(), shape.iter().product::<usize>() * VALUE)?;
        let mut at = 0;
        for piece in &pieces {
            let bytes = (piece.values(dtype) * VALUE).min(to.width() - at);
            self.make(to.slice_columns(at, bytes), |at, made| widen(piece, dtype, at / VALUE, made))?;
            at += bytes;
        }
        Ok(())
    }

    /// Brings values of fp8 or of ggml's blocks as they are and widens them on the card, so that at most half as many
    /// bytes cross the bus: all at once through the memory beside, if they fit there. Otherwise they come to the end of
    /// `to`, and what they become to its front: as many at a time as leave those two apart. Gives how many were widened;
    /// the rest is not worth a kernel, or has none.
    fn widen_there(
        &self,
        to: Matrix<'_, u8>,
        beside: Option<&Beside<'_>>,
        piece: &Piece<'_>,
        dtype: Dtype,
        first: usize,
    ) -> Result<usize> {
        const VALUE: usize = size_of::<bf16>();
        /// Fewer are made on the host.
        const LEAST: usize = 1 << 20;
        let block = dtype.block();
        let blocks = dtype.is_quantised() && piece.magnitudes.is_none() && piece.scale.is_none();
        // Rows of a length that suits the kernels, unless each has its own scale.
        let (columns, factors) = match &piece.scale {
            Some(Scale::Rows { factors, columns }) => (*columns, Some(factors)),
            _ => (ROW, None),
        };
        let has_kernel = blocks || dtype == Dtype::F8E4M3 && columns.is_multiple_of(ALIGNED);
        let begins = first.is_multiple_of(if factors.is_some() { columns } else { block.values });
        if !has_kernel || !begins || !to.at().is_multiple_of(ALIGNED as u64) {
            return Ok(0);
        }
        let (count, row) = (to.width() / VALUE, columns / block.values * block.bytes);
        let shape = RowShape { columns, stored: row, scaled: factors.is_some() };
        let bytes = |from: usize, rows: usize| {
            &piece.bytes[(first + from) / block.values * block.bytes..][..rows * row]
        };
        let widen = |Room { rows, scales, stored }: Room<'_>, from: usize, wide: Matrix<'_, u8>| {
            let wide = wide.slice_columns(0, VALUE * rows * columns).as_values::<bf16>(columns);
            if blocks {
                return self.dequantize(dtype, stored.as_values(row), wide);
            }
            let scales = scales.as_values::<f32>(1);
            match &piece.scale {
                Some(Scale::Rows { factors, .. }) => {
                    self.upload(scales, &factors[(first + from) / columns..][..rows])?;
                }
                // By a kernel: a copy from ordinary memory might wait for the stream.
                Some(Scale::One(scale)) => self.fill(scales, *scale)?,
                None => self.fill(scales, 1.0)?,
            }
            self.widen(stored.as_values::<F8>(row), scales, wide)
        };
        if count < LEAST {
            return Ok(0);
        }
        let whole = count / columns;
        let beside = beside.filter(|_| whole > 0);
        if let Some((half, room)) = beside.and_then(|beside| beside.room(to, whole, shape)) {
            half.bring(self, room.stored, bytes(0, whole), || widen(room, 0, to))?;
            return Ok(whole * columns);
        }
        let mut done = 0;
        while count - done >= LEAST {
            let rest = to.slice_columns(VALUE * done, to.width() - VALUE * done);
            let Some(room) = Room::within(rest, shape) else { break };
            self.upload_bytes(room.stored, bytes(done, room.rows))?;
            widen(room, done, rest)?;
            done += room.rows * columns;
        }
        Ok(done)
    }

    /// Copies a matrix that is stored in fp8 into `to` as it is, and the scale of each row into `scales`, `[rows, 1]`:
    /// the file's for it or for its tensor, or one.
    ///
    /// # Errors
    /// As [`Gpu::load`], and when it is stored in another type.
    pub fn load_fp8(
        &self,
        to: Matrix<'_, F8>,
        scales: Matrix<'_, f32>,
        weights: &Weights,
        name: &str,
    ) -> Result<()> {
        let Stored { dtype, pieces } = weights.stored(name, &[to.rows(), to.width()])?;
        if dtype != Dtype::F8E4M3 {
            return Err(WeightsError::Dtype { name: name.to_owned(), dtype }.into());
        }
        self.load_scales(scales, &pieces, to.width())?;
        let mut first = 0;
        for piece in pieces {
            let rows = piece.bytes.len() / to.width();
            self.upload_bytes(to.slice_rows(first, rows).as_bytes(), piece.bytes)?;
            first += rows;
        }
        Ok(())
    }

    /// The scale of each row of fp8 pieces of so many columns: the file's for it or for its tensor, or one.
    ///
    /// # Errors
    /// What the driver says.
    pub fn load_scales(&self, to: Matrix<'_, f32>, pieces: &[Piece<'_>], columns: usize) -> Result<()> {
        let mut first = 0;
        for piece in pieces {
            let rows = piece.bytes.len() / columns;
            let to = to.slice_rows(first, rows);
            match &piece.scale {
                None => self.fill(to, 1.0)?,
                Some(Scale::One(scale)) => self.fill(to, *scale)?,
                Some(Scale::Rows { factors, .. }) => self.upload(to, factors)?,
            }
            first += rows;
        }
        Ok(())
    }
}

/// Values of a row that is widened: whole blocks of every type.
const ROW: usize = 4096;
/// The scales lie before the values; both begin on a multiple of this.
const ALIGNED: usize = 16;

/// A row of values that are widened.
#[derive(Clone, Copy)]
struct RowShape {
    /// Values of it.
    columns: usize,
    /// Its bytes as it is stored.
    stored: usize,
    /// Whether it has a scale of its own.
    scaled: bool,
}

impl RowShape {
    /// Bytes of the scales of so many rows.
    fn scales(self, rows: usize) -> usize {
        size_of::<f32>() * if self.scaled { rows } else { 1 }
    }
}

impl Beside<'_> {
    /// Where so many rows find room beside `to`.
    fn room(&self, to: Matrix<'_, u8>, rows: usize, shape: RowShape) -> Option<(&Half, Room<'_>)> {
        let before = shape.scales(rows).next_multiple_of(ALIGNED);
        let (half, memory) = self.half(to, before + rows * shape.stored)?;
        Some((half, Room::at(memory, before, rows, shape)))
    }
}

/// Where values lie as they are stored while they are widened.
#[derive(Clone, Copy)]
struct Room<'a> {
    rows: usize,
    /// One number, or one a row.
    scales: Matrix<'a, u8>,
    stored: Matrix<'a, u8>,
}

impl<'a> Room<'a> {
    /// At the end of the memory that they are widened to; `None` where not even one row finds room.
    fn within(to: Matrix<'a, u8>, shape: RowShape) -> Option<Self> {
        let RowShape { columns, stored, scaled } = shape;
        let row = 2 * columns + stored + if scaled { size_of::<f32>() } else { 0 };
        let rows = to.width().saturating_sub(4 * ALIGNED) / row;
        let from = (to.width() - rows * stored) / ALIGNED * ALIGNED;
        (rows > 0).then(|| Self::at(to, from, rows, shape))
    }

    fn at(memory: Matrix<'a, u8>, from: usize, rows: usize, shape: RowShape) -> Self {
        let bytes = shape.scales(rows);
        let scales = memory.slice_columns(from - bytes.next_multiple_of(ALIGNED), bytes);
        Self { rows, scales, stored: memory.slice_columns(from, rows * shape.stored) }
    }
}

fn check(room: usize, bytes: usize) -> Result<()> {
    if room == bytes {
        return Ok(());
    }
    Err(CudaError::Shape(format!("{bytes} bytes of a tensor cannot fill {room}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fp32_is_exact_wherever_it_begins() {
        let stored: Vec<u8> = (0..WIDE + 9).map(|value| (value % 127) as u8).collect();
        let piece = Piece { bytes: &stored, scale: Some(Scale::One(0.5)), magnitudes: None };
        for first in [0, 3, WIDE] {
            let mut to = vec![0; (stored.len() - first) * size_of::<f32>()];
            widen(&piece, Dtype::F8E4M3, first, &mut to);
            let wanted = stored[first..].iter().map(|bits| 0.5 * float8::F8E4M3::from_bits(*bits).to_f32());
            assert!(to == wanted.flat_map(f32::to_le_bytes).collect::<Vec<_>>(), "{first}");
        }
    }
}
