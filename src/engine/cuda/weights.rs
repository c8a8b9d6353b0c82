//! Weight files into device memory: as they are stored, or narrowed to bf16 on the way.

use std::borrow::Cow;

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

use super::error::Result;
use super::gpu::Gpu;
use super::memory::{F8, Matrix};
use crate::engine::weights::{Stored, Weights};

/// A tensor of the given shape in bf16: fp32 and fp16 are rounded, fp8 is exact.
///
/// # Errors
/// When it is missing, has another shape, or is no weight.
pub fn narrowed<'w>(weights: &'w Weights, name: &str, shape: &[usize]) -> Result<Cow<'w, [u8]>> {
    let Stored { dtype, bytes } = weights.stored(name, shape)?;
    let narrow = |values: Vec<bf16>| Cow::Owned(values.into_iter().flat_map(bf16::to_le_bytes).collect());
    Ok(match dtype {
        Dtype::BF16 => Cow::Borrowed(bytes),
        Dtype::F8_E4M3 => {
            let table: [bf16; 256] =
                std::array::from_fn(|bits| bf16::from_f32(float8::F8E4M3::from_bits(bits as u8).to_f32()));
            narrow(bytes.par_iter().map(|&bits| table[usize::from(bits)]).collect())
        }
        Dtype::F16 => {
            let values = bytes.as_chunks().0;
            narrow(
                values.par_iter().map(|&bytes| bf16::from_f32(f16::from_le_bytes(bytes).to_f32())).collect(),
            )
        }
        // `stored` gives these four types only.
        _ => {
            let values = bytes.as_chunks().0;
            narrow(values.par_iter().map(|&bytes| bf16::from_f32(f32::from_le_bytes(bytes))).collect())
        }
    })
}

/// bf16 from its little-endian bytes.
#[must_use]
pub fn as_bf16(bytes: &[u8]) -> Vec<bf16> {
    bytes.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes)).collect()
}

impl Gpu {
    /// Copies a tensor of the given shape into `to`, in bf16.
    ///
    /// # Errors
    /// As [`narrowed`]; when the numbers of values differ.
    pub fn load(&self, to: Matrix<'_, bf16>, weights: &Weights, name: &str, shape: &[usize]) -> Result<()> {
        self.upload(to.as_bytes(), &narrowed(weights, name, shape)?)
    }

    /// Copies a tensor that is stored in fp8 into `to`, as it is.
    ///
    /// # Errors
    /// As [`Gpu::load`], and when it is stored in another type.
    pub fn load_fp8(&self, to: Matrix<'_, F8>, weights: &Weights, name: &str, shape: &[usize]) -> Result<()> {
        let Stored { dtype, bytes } = weights.stored(name, shape)?;
        if dtype != Dtype::F8_E4M3 {
            return Err(crate::engine::weights::WeightsError::Dtype { name: name.to_owned(), dtype }.into());
        }
        self.upload(to.as_bytes(), bytes)
    }
}
