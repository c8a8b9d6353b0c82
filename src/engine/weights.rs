//! Tensors by name from a safetensors file or from bytes in the program, widened to fp32.
//!
//! The header is checked whole before a tensor is read: lengths, offsets and shapes against the
//! bytes that are there. BFL's names are the canonical ones; nothing here renames. Files are mapped,
//! so that what is not asked for is not read.
#![allow(unsafe_code)] // mapping a file

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Deref;

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};

use crate::model::Source;

/// Why a tensor could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be read.
    #[error("the file could not be read: {0}")]
    Read(#[from] std::io::Error),
    /// The header does not describe the bytes behind it.
    #[error("it is not a whole safetensors file: {0}")]
    Header(#[from] safetensors::SafeTensorError),
    /// A tensor that the model needs is missing.
    #[error("the tensor {0:?} is missing")]
    Missing(String),
    /// A tensor has another shape than the model calls for.
    #[error("the tensor {name:?} has shape {found:?} where the model calls for {expected:?}")]
    Shape {
        /// Which tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// What the model calls for.
        expected: Vec<usize>,
    },
    /// A tensor has a type that is not a weight's.
    #[error("the tensor {name:?} is {dtype:?}; weights are F8_E4M3, BF16, F16 or F32")]
    Dtype {
        /// Which tensor.
        name: String,
        /// Its type in the file.
        dtype: Dtype,
    },
    /// The names or shapes do not make a model of this kind.
    #[error("{0}")]
    Config(String),
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// An opened weight file.
pub struct Weights {
    bytes: Bytes,
    header: Metadata,
    data_start: usize,
}

/// Where a file's bytes are.
enum Bytes {
    Embedded(&'static [u8]),
    Mapped(Mmap),
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Embedded(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl Bytes {
    fn open(source: &Source) -> Result<Self, std::io::Error> {
        match source {
            Source::Embedded { bytes, .. } => Ok(Self::Embedded(bytes)),
            // SAFETY: the map is only read. Whoever cuts a weight file short while a model is read from
            // it gets the process a SIGBUS, as with every program that maps files.
            Source::File(path) => Ok(Self::Mapped(unsafe { Mmap::map(&File::open(path)?) }?)),
        }
    }
}

/// A tensor as the file has it.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Its type: one of those that weights have.
    pub dtype: Dtype,
    /// Its values, little-endian.
    pub bytes: &'a [u8],
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weights").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Weights {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// [`WeightsError::Read`] or [`WeightsError::Header`].
    pub fn open(source: &Source) -> Result<Self, WeightsError> {
        let bytes = Bytes::open(source)?;
        SafeTensors::deserialize(&bytes)?;
        let (header_bytes, header) = SafeTensors::read_metadata(&bytes)?;
        let data_start = size_of::<u64>() + header_bytes;
        Ok(Self { bytes, header, data_start })
    }

    /// The whole file, for readers of their own.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of all tensors.
    #[must_use]
    pub fn size(&self) -> u64 {
        (self.bytes.len() - self.data_start) as u64
    }

    /// Whether a tensor is there.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// A tensor's shape.
    ///
    /// # Errors
    /// [`WeightsError::Missing`].
    pub fn shape(&self, name: &str) -> Result<&[usize], WeightsError> {
        Ok(&self.info(name)?.shape)
    }

    /// How many of `prefix.0`, `prefix.1`, … there are.
    #[must_use]
    pub fn depth(&self, prefix: &str) -> usize {
        let numbers: BTreeSet<usize> = self
            .header
            .tensors()
            .keys()
            .filter_map(|name| name.strip_prefix(prefix)?.strip_prefix('.')?.split('.').next()?.parse().ok())
            .collect();
        (0..).take_while(|number| numbers.contains(number)).count()
    }

    /// The types that the tensors have, most bytes first.
    #[must_use]
    pub fn dtypes(&self) -> Vec<Dtype> {
        let mut totals: Vec<(Dtype, usize)> = Vec::new();
        for info in self.header.tensors().values() {
            let bytes = info.data_offsets.1 - info.data_offsets.0;
            match totals.iter_mut().find(|(dtype, _)| *dtype == info.dtype) {
                Some((_, total)) => *total += bytes,
                None => totals.push((info.dtype, bytes)),
            }
        }
        totals.sort_by_key(|&(_, total)| std::cmp::Reverse(total));
        totals.into_iter().map(|(dtype, _)| dtype).collect()
    }

    /// A tensor of the given shape, as fp32.
    ///
    /// # Errors
    /// When it is missing, has another shape, or is no weight.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        Ok(Tensor::from_vec(self.widened(name, shape)?, shape, &Device::Cpu)?)
    }

    /// A matrix stored `[out, in]`, as fp32 `[in, out]`: what [`super::ops::linear`] takes.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn transposed(&self, name: &str, (out, inner): (usize, usize)) -> Result<Tensor, WeightsError> {
        let wide = self.widened(name, &[out, inner])?;
        Ok(Tensor::from_vec(transpose(&wide, out, inner), (inner, out), &Device::Cpu)?)
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, WeightsError> {
        self.header.info(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))
    }

    /// A tensor of the given shape, as it is stored.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn stored(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, WeightsError> {
        let info = self.info(name)?;
        if info.shape != shape {
            let (found, expected) = (info.shape.clone(), shape.to_vec());
            return Err(WeightsError::Shape { name: name.to_owned(), found, expected });
        }
        if !matches!(info.dtype, Dtype::F8_E4M3 | Dtype::BF16 | Dtype::F16 | Dtype::F32) {
            return Err(WeightsError::Dtype { name: name.to_owned(), dtype: info.dtype });
        }
        let (start, end) = info.data_offsets;
        Ok(Stored { dtype: info.dtype, bytes: &self.bytes[self.data_start + start..self.data_start + end] })
    }

    /// A tensor of the given shape, as fp32 values.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn widened(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let Stored { dtype, bytes } = self.stored(name, shape)?;
        widen(bytes, dtype).ok_or_else(|| WeightsError::Dtype { name: name.to_owned(), dtype })
    }
}

/// Little-endian weights as fp32; `None` for a type that is not a weight's. All four are exact.
fn widen(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F8_E4M3 => {
            let table: [f32; 256] =
                std::array::from_fn(|bits| float8::F8E4M3::from_bits(bits as u8).to_f32());
            bytes.iter().map(|&bits| table[usize::from(bits)]).collect()
        }
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        _ => return None,
    })
}

/// `[rows, columns]` to `[columns, rows]`, in tiles that stay in the cache.
fn transpose(from: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 32;
    let mut to = vec![0.0; from.len()];
    to.par_chunks_mut(TILE * rows).enumerate().for_each(|(tile, to)| {
        let first = tile * TILE;
        for start in (0..rows).step_by(TILE) {
            for (column, to) in to.chunks_exact_mut(rows).enumerate() {
                for row in start..(start + TILE).min(rows) {
                    to[row] = from[row * columns + first + column];
                }
            }
        }
    });
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_gives_the_same() {
        let (rows, columns) = (45, 70);
        let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let to = transpose(&from, rows, columns);
        assert_eq!(to[3 * rows + 7], from[7 * columns + 3]);
        assert_eq!(transpose(&to, columns, rows), from);
    }

    #[test]
    fn every_fp8_value_widens_to_what_the_format_says() {
        for bits in 0u8..=255 {
            let (sign, exponent, mantissa) = (bits >> 7, (bits >> 3) & 15, f32::from(bits & 7));
            let wide = widen(&[bits], Dtype::F8_E4M3).expect("fp8 is a weight's type")[0];
            if bits & 0x7f == 0x7f {
                assert!(wide.is_nan());
                continue;
            }
            let size = if exponent == 0 {
                mantissa / 8.0 * 2f32.powi(-6)
            } else {
                (1.0 + mantissa / 8.0) * 2f32.powi(i32::from(exponent) - 7)
            };
            assert_eq!(wide, if sign == 1 { -size } else { size }, "bits {bits:#010b}");
        }
    }

    #[test]
    fn a_truncated_file_and_a_web_page_are_refused() {
        for bytes in [&b"<!DOCTYPE html><html>"[..], &[255; 64], &[8, 0, 0, 0, 0, 0, 0, 0, b'{'], b""] {
            let source = Source::Embedded { name: "test", bytes: Box::leak(bytes.into()) };
            assert!(matches!(Weights::open(&source), Err(WeightsError::Header(_))));
        }
    }
}
