//! Weight files into device memory: as they are stored, or narrowed to bf16 on the way.

use std::borrow::Cow;

use half::{bf16, f16};
use rayon::prelude::*;

use super::error::{CudaError, Result};
use super::gpu::Gpu;
use super::memory::{F8, Matrix};
use crate::engine::weights::{Block, Dtype, Magnitudes, Piece, Stored, Weights, WeightsError};

/// Rows of a tensor in bf16: fp32, fp16 and what quantised ones stand for are rounded, fp8 without a scale is exact.
#[must_use]
pub fn narrowed<'w>(piece: &Piece<'w>, dtype: Dtype) -> Cow<'w, [u8]> {
    let bytes = piece.bytes;
    // Without a scale, nothing is multiplied: a NaN stays the NaN it was.
    let scaled = |value: f32| bf16::from_f32(piece.scale.map_or(value, |scale| value * scale));
    let narrow = |values: Vec<bf16>| Cow::Owned(values.into_iter().flat_map(bf16::to_le_bytes).collect());
    match dtype {
        Dtype::BF16 if piece.scale.is_none() => Cow::Borrowed(bytes),
        Dtype::F8E4M3 => {
            let table: [bf16; 256] =
                std::array::from_fn(|bits| scaled(float8::F8E4M3::from_bits(bits as u8).to_f32()));
            narrow(bytes.par_iter().map(|&bits| table[usize::from(bits)]).collect())
        }
        Dtype::BF16 => {
            let values = bytes.as_chunks().0;
            narrow(values.par_iter().map(|&bytes| scaled(bf16::from_le_bytes(bytes).to_f32())).collect())
        }
        Dtype::F16 => {
            let values = bytes.as_chunks().0;
            narrow(values.par_iter().map(|&bytes| scaled(f16::from_le_bytes(bytes).to_f32())).collect())
        }
        Dtype::F8E5M2 => {
            let table: [bf16; 256] =
                std::array::from_fn(|bits| scaled(f16::from_le_bytes([0, bits as u8]).to_f32()));
            narrow(bytes.par_iter().map(|&bits| table[usize::from(bits)]).collect())
        }
        _ => Cow::Owned(narrowed_in_parts(piece, dtype)),
    }
}

/// The same of any type, through fp32 a few thousand values at a time.
fn narrowed_in_parts(piece: &Piece<'_>, dtype: Dtype) -> Vec<u8> {
    const PART: usize = 4096;
    let mut narrow = vec![0; piece.values(dtype) * size_of::<bf16>()];
    let parts = narrow.par_chunks_mut(PART * size_of::<bf16>()).enumerate();
    parts.for_each(|(part, narrow)| {
        let mut wide = [0.0; PART];
        let wide = &mut wide[..narrow.len() / size_of::<bf16>()];
        piece.widen(dtype, part * PART, wide);
        for (to, value) in narrow.as_chunks_mut().0.iter_mut().zip(wide) {
            *to = bf16::from_f32(*value).to_le_bytes();
        }
    });
    narrow
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
        let Stored { dtype, pieces } = weights.stored(name, shape)?;
        let to = to.as_bytes();
        check(to.width(), shape.iter().product::<usize>() * size_of::<bf16>())?;
        let mut at = 0;
        for piece in &pieces {
            let bytes = narrowed(piece, dtype);
            self.upload(to.slice_columns(at, bytes.len()), &bytes)?;
            at += bytes.len();
        }
        Ok(())
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
        let mut first = 0;
        for piece in pieces {
            let rows = piece.bytes.len() / to.width();
            self.upload(to.slice_rows(first, rows).as_bytes(), piece.bytes)?;
            self.fill(scales.slice_rows(first, rows), piece.scale.unwrap_or(1.0))?;
            first += rows;
        }
        Ok(())
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
    fn scales_are_multiplied_in_and_bf16_without_one_is_not_copied() {
        let of = |bytes, scale, dtype| narrowed(&Piece { bytes, scale, magnitudes: None }, dtype);
        let fp8 = [0x38, 0xc0]; // 1 and -2
        let expected = |a, b| [bf16::from_f32(a), bf16::from_f32(b)].map(bf16::to_le_bytes).concat();
        assert_eq!(*of(&fp8, Some(0.25), Dtype::F8E4M3), expected(0.25, -0.5));
        assert_eq!(*of(&fp8, None, Dtype::F8E4M3), expected(1.0, -2.0));
        let wide = expected(3.0, 5.0);
        assert_eq!(*of(&wide, Some(0.5), Dtype::BF16), expected(1.5, 2.5));
        assert!(matches!(of(&wide, None, Dtype::BF16), Cow::Borrowed(_)));
    }

    #[test]
    fn quantised_values_are_rounded_from_what_they_stand_for() {
        // A scale of a third, then 3, -1, 0, …
        let mut bytes = f16::from_f32(1.0 / 3.0).to_le_bytes().to_vec();
        bytes.extend([3, 255].into_iter().chain([0; 30]));
        let narrow = narrowed(&Piece { bytes: &bytes, scale: None, magnitudes: None }, Dtype::Q8_0);
        let scale = f16::from_f32(1.0 / 3.0).to_f32();
        assert_eq!(narrow[..4], [3.0, -1.0].map(|q| bf16::from_f32(q * scale).to_le_bytes()).concat());
        assert_eq!(narrow[4..], [0; 60]);
        let e5m2 = narrowed(&Piece { bytes: &[0x3d, 0xc0], scale: None, magnitudes: None }, Dtype::F8E5M2);
        assert_eq!(*e5m2, [1.25, -2.0].map(bf16::from_f32).map(bf16::to_le_bytes).concat());
    }
}
