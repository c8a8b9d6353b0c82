//! Weight files into device memory: as they are stored, or narrowed to bf16 on the way.

use std::borrow::Cow;

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

use super::error::{CudaError, Result};
use super::gpu::Gpu;
use super::memory::{F8, Matrix};
use crate::engine::weights::{Piece, Stored, Weights, WeightsError};

/// Rows of a tensor in bf16: fp32 and fp16 are rounded, fp8 without a scale is exact.
#[must_use]
pub fn narrowed<'w>(piece: &Piece<'w>, dtype: Dtype) -> Cow<'w, [u8]> {
    let bytes = piece.bytes;
    // Without a scale, nothing is multiplied: a NaN stays the NaN it was.
    let scaled = |value: f32| bf16::from_f32(piece.scale.map_or(value, |scale| value * scale));
    let narrow = |values: Vec<bf16>| Cow::Owned(values.into_iter().flat_map(bf16::to_le_bytes).collect());
    match dtype {
        Dtype::BF16 if piece.scale.is_none() => Cow::Borrowed(bytes),
        Dtype::F8_E4M3 => {
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
        // `Weights::stored` gives these four types only.
        _ => {
            let values = bytes.as_chunks().0;
            narrow(values.par_iter().map(|&bytes| scaled(f32::from_le_bytes(bytes))).collect())
        }
    }
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
        if dtype != Dtype::F8_E4M3 {
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
        let of = |bytes, scale, dtype| narrowed(&Piece { bytes, scale }, dtype);
        let fp8 = [0x38, 0xc0]; // 1 and -2
        let expected = |a, b| [bf16::from_f32(a), bf16::from_f32(b)].map(bf16::to_le_bytes).concat();
        assert_eq!(*of(&fp8, Some(0.25), Dtype::F8_E4M3), expected(0.25, -0.5));
        assert_eq!(*of(&fp8, None, Dtype::F8_E4M3), expected(1.0, -2.0));
        let wide = expected(3.0, 5.0);
        assert_eq!(*of(&wide, Some(0.5), Dtype::BF16), expected(1.5, 2.5));
        assert!(matches!(of(&wide, None, Dtype::BF16), Cow::Borrowed(_)));
    }
}
