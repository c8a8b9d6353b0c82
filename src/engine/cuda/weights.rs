//! Weight files into device memory: as they are stored, or narrowed to bf16 on the way.

use std::borrow::Cow;

use half::{bf16, f16};
use rayon::prelude::*;

use super::beside::{Beside, Half};
use super::error::{CudaError, Result};
use super::gpu::Gpu;
use super::memory::{F8, Matrix};
use crate::engine::weights::{Block, Dtype, Magnitudes, Piece, Stored, Weights, WeightsError};

/// Values of a tensor from number `first` on, in bf16, as many as `to` has room for: fp32, fp16 and what quantised ones
/// stand for are rounded, fp8 without a scale is exact.
pub fn narrow(piece: &Piece<'_>, dtype: Dtype, first: usize, to: &mut [u8]) {
    // Without a scale, nothing is multiplied: a NaN stays the NaN it was.
    let scaled = |value: f32| bf16::from_f32(piece.scale.map_or(value, |scale| value * scale)).to_le_bytes();
    let to = to.as_chunks_mut().0;
    let pairs = || &piece.bytes.as_chunks().0[first..];
    match dtype {
        Dtype::F8E4M3 => {
            by_table(&piece.bytes[first..], to, |bits| scaled(float8::F8E4M3::from_bits(bits).to_f32()));
        }
        Dtype::F8E5M2 => {
            by_table(&piece.bytes[first..], to, |bits| scaled(f16::from_le_bytes([0, bits]).to_f32()));
        }
        Dtype::BF16 => by_pairs(pairs(), to, |bytes| scaled(bf16::from_le_bytes(bytes).to_f32())),
        Dtype::F16 => by_pairs(pairs(), to, |bytes| scaled(f16::from_le_bytes(bytes).to_f32())),
        _ => {
            let mut wide = [0.0; WIDE];
            for (part, to) in to.chunks_mut(WIDE).enumerate() {
                let wide = &mut wide[..to.len()];
                piece.widen(dtype, first + part * WIDE, wide);
                to.iter_mut().zip(wide).for_each(|(to, value)| *to = bf16::from_f32(*value).to_le_bytes());
            }
        }
    }
}

/// The same in fp32, little-endian.
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

/// bf16 of values of one byte.
fn by_table(from: &[u8], to: &mut [[u8; 2]], value: impl Fn(u8) -> [u8; 2]) {
    let table: [[u8; 2]; 256] = std::array::from_fn(|bits| value(bits as u8));
    to.iter_mut().zip(from).for_each(|(to, &bits)| *to = table[usize::from(bits)]);
}

/// bf16 of values of two.
fn by_pairs(from: &[[u8; 2]], to: &mut [[u8; 2]], value: impl Fn([u8; 2]) -> [u8; 2]) {
    to.iter_mut().zip(from).for_each(|(to, &bytes)| *to = value(bytes));
}

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
        let has_kernel = dtype == Dtype::F8E4M3 || blocks;
        if !has_kernel || !first.is_multiple_of(block.values) || !to.at().is_multiple_of(ALIGNED as u64) {
            return Ok(0);
        }
        let (count, row) = (to.width() / VALUE, ROW / block.values * block.bytes);
        let bytes = |from: usize, rows: usize| {
            &piece.bytes[(first + from) / block.values * block.bytes..][..rows * row]
        };
        let widen = |Room { rows, scale, stored }: Room<'_>, wide: Matrix<'_, u8>| {
            let wide = wide.slice_columns(0, VALUE * rows * ROW).as_values::<bf16>(ROW);
            if blocks {
                return self.dequantize(dtype, stored.as_values(row), wide);
            }
            let scale = scale.as_values::<f32>(1);
            // By a kernel: a copy from ordinary memory might wait for the stream.
            self.fill(scale, piece.scale.unwrap_or(1.0))?;
            self.widen(stored.as_values::<F8>(row), scale, wide)
        };
        if count < LEAST {
            return Ok(0);
        }
        let whole = count / ROW;
        if let Some((half, room)) = beside.and_then(|beside| beside.room(to, whole, row)) {
            half.bring(self, room.stored, bytes(0, whole), || widen(room, to))?;
            return Ok(whole * ROW);
        }
        let mut done = 0;
        while count - done >= LEAST {
            let rest = to.slice_columns(VALUE * done, to.width() - VALUE * done);
            let room = Room::within(rest, row);
            self.upload_bytes(room.stored, bytes(done, room.rows))?;
            widen(room, rest)?;
            done += room.rows * ROW;
        }
        Ok(done)
    }

    /// Copies a matrix that is stored in fp8 into `to` as it is, and the scale of each row into `scales`, `[rows, 1]`:
    /// the file's for its tensor, or one.
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

    /// The scale of each row of fp8 pieces of so many columns: the file's for its tensor, or one.
    ///
    /// # Errors
    /// What the driver says.
    pub fn load_scales(&self, to: Matrix<'_, f32>, pieces: &[Piece<'_>], columns: usize) -> Result<()> {
        let mut first = 0;
        for piece in pieces {
            let rows = piece.bytes.len() / columns;
            self.fill(to.slice_rows(first, rows), piece.scale.unwrap_or(1.0))?;
            first += rows;
        }
        Ok(())
    }
}

/// Values of a row that is widened: whole blocks of every type.
const ROW: usize = 4096;
/// The scale lies before the values; both begin on a multiple of this.
const ALIGNED: usize = 16;

impl Beside<'_> {
    /// Where so many rows find room beside `to`.
    fn room(&self, to: Matrix<'_, u8>, rows: usize, row: usize) -> Option<(&Half, Room<'_>)> {
        let (half, memory) = self.half(to, ALIGNED + rows * row)?;
        Some((half, Room::at(memory, ALIGNED, rows, row)))
    }
}

/// Where values lie as they are stored while they are widened.
#[derive(Clone, Copy)]
struct Room<'a> {
    /// So many rows of [`ROW`] values.
    rows: usize,
    /// One number.
    scale: Matrix<'a, u8>,
    stored: Matrix<'a, u8>,
}

impl<'a> Room<'a> {
    /// At the end of the memory that they are widened to; a row is stored in `row` bytes.
    fn within(to: Matrix<'a, u8>, row: usize) -> Self {
        let rows = (to.width() - 4 * ALIGNED) / (2 * ROW + row);
        Self::at(to, (to.width() - rows * row) / ALIGNED * ALIGNED, rows, row)
    }

    fn at(memory: Matrix<'a, u8>, from: usize, rows: usize, row: usize) -> Self {
        let scale = memory.slice_columns(from - ALIGNED, size_of::<f32>());
        Self { rows, scale, stored: memory.slice_columns(from, rows * row) }
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
    use crate::engine::cuda::staging::PART;

    fn of(bytes: &[u8], scale: Option<f32>, dtype: Dtype, first: usize) -> Vec<u8> {
        let piece = Piece { bytes, scale, magnitudes: None };
        let mut to = vec![0; (piece.values(dtype) - first) * size_of::<bf16>()];
        narrow(&piece, dtype, first, &mut to);
        to
    }

    fn bf16s(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
    }

    #[test]
    fn scales_are_multiplied_in() {
        let fp8 = [0x38, 0xc0]; // 1 and -2
        assert_eq!(of(&fp8, Some(0.25), Dtype::F8E4M3, 0), bf16s(&[0.25, -0.5]));
        assert_eq!(of(&fp8, None, Dtype::F8E4M3, 0), bf16s(&[1.0, -2.0]));
        assert_eq!(of(&bf16s(&[3.0, 5.0]), Some(0.5), Dtype::BF16, 0), bf16s(&[1.5, 2.5]));
    }

    #[test]
    fn quantised_values_are_rounded_from_what_they_stand_for() {
        // A scale of a third, then 3, -1, 0, …
        let mut bytes = f16::from_f32(1.0 / 3.0).to_le_bytes().to_vec();
        bytes.extend([3, 255].into_iter().chain([0; 30]));
        let narrow = of(&bytes, None, Dtype::Q8_0, 0);
        let scale = f16::from_f32(1.0 / 3.0).to_f32();
        assert_eq!(narrow[..4], bf16s(&[3.0 * scale, -scale]));
        assert_eq!(narrow[4..], [0; 60]);
        assert_eq!(of(&[0x3d, 0xc0], None, Dtype::F8E5M2, 0), bf16s(&[1.25, -2.0]));
    }

    #[test]
    fn fp32_is_exact_wherever_it_begins() {
        let stored: Vec<u8> = (0..WIDE + 9).map(|value| (value % 127) as u8).collect();
        let piece = Piece { bytes: &stored, scale: Some(0.5), magnitudes: None };
        for first in [0, 3, WIDE] {
            let mut to = vec![0; (stored.len() - first) * size_of::<f32>()];
            widen(&piece, Dtype::F8E4M3, first, &mut to);
            let wanted = stored[first..].iter().map(|bits| 0.5 * float8::F8E4M3::from_bits(*bits).to_f32());
            assert!(to == wanted.flat_map(f32::to_le_bytes).collect::<Vec<_>>(), "{first}");
        }
    }

    #[test]
    fn values_begin_wherever_they_are_asked_for() {
        let values: Vec<f32> = (0..3 * WIDE + 5).map(|value| (value % 251) as f32).collect();
        let doubled: Vec<f32> = values.iter().map(|value| 2.0 * value).collect();
        let fp8: Vec<u8> = (0..2 * WIDE + 1).map(|value| (value % 127) as u8).collect();
        let of_fp8: Vec<f32> = fp8.iter().map(|bits| float8::F8E4M3::from_bits(*bits).to_f32()).collect();
        let fp16: Vec<u8> = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        let fp32: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        for first in [0, 1, WIDE, WIDE + 7] {
            assert!(
                of(&bf16s(&values), Some(2.0), Dtype::BF16, first) == bf16s(&doubled[first..]),
                "{first}"
            );
            assert!(of(&fp8, None, Dtype::F8E4M3, first) == bf16s(&of_fp8[first..]), "{first}");
            assert!(of(&fp16, None, Dtype::F16, first) == bf16s(&values[first..]), "{first}");
            assert!(of(&fp32, None, Dtype::F32, first) == bf16s(&values[first..]), "{first}");
        }
    }

    /// `cargo test --release --features cuda --lib narrowing_takes -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn narrowing_takes() {
        let bytes = vec![0x38; 1 << 30];
        let piece = Piece { bytes: &bytes, scale: None, magnitudes: None };
        let mut to = vec![0; 16 << 20];
        for _ in 0..3 {
            let begun = std::time::Instant::now();
            for first in (0..bytes.len()).step_by(to.len() / 2) {
                let parts = to.par_chunks_mut(PART).enumerate();
                parts.for_each(|(part, to)| narrow(&piece, Dtype::F8E4M3, first + part * PART / 2, to));
            }
            eprintln!("{:.2} GB/s of fp8", bytes.len() as f64 / 1e9 / begun.elapsed().as_secs_f64());
        }
    }
}
