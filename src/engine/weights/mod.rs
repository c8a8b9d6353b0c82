//! Tensors by name from safetensors files of any form, or from bytes in the program, as they are stored or widened to
//! fp32.
//!
//! A model's part may be one file, several behind an index, a folder of diffusers' or one of several parts in a file;
//! [`Weights::open_part`] gives it under this program's names whatever it was (`names.toml`: BFL's for the transformer
//! and the VAE, transformers' for the encoders). Files are mapped and headers checked whole (`header.rs`), so that what
//! is not asked for is not read, and nothing is copied to be renamed: a tensor may be several pieces of several files.
//! `identify.rs` says what a file is.

mod builder;
mod error;
mod files;
mod gguf;
mod header;
mod identify;
mod names;
mod rows;
mod widen;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use candle_core::{Device, Tensor};
use safetensors::Dtype;

pub use error::{HeaderError, WeightsError};
pub(super) use identify::fit;
pub use identify::{Found, Identity, Kind, Variant, fits, identify};
pub use names::Part;

use crate::model::Source;
use files::{Files, Located};
pub(super) use widen::transpose;
use widen::widen;

/// Opened weight files, seen as tensors by name.
pub struct Weights {
    files: Files,
    tensors: BTreeMap<String, Entry>,
    form: Option<&'static str>,
}

/// A tensor: rows from one place or several.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    pieces: Vec<Slice>,
}

/// Bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slice {
    file: usize,
    range: Range<usize>,
    /// The tensor that holds their scale. It is not read before they are.
    scale: Option<String>,
}

impl Entry {
    /// Adds the rows of another tensor.
    fn append(&mut self, name: &str, at: &Located, slice: Slice) -> Result<(), WeightsError> {
        if at.dtype != self.dtype {
            let (found, dtype) = (at.dtype, self.dtype);
            return Err(WeightsError::Config(format!(
                "the tensor {name:?} is {found:?} and those that it belongs with are {dtype:?}"
            )));
        }
        let (Some((rows, rest)), Some((more, inner))) = (self.shape.split_first(), at.shape.split_first())
        else {
            let (found, expected) = (at.shape.clone(), self.shape.clone());
            return Err(WeightsError::Shape { name: name.to_owned(), found, expected });
        };
        if rest != inner {
            let expected = std::iter::once(*more).chain(rest.iter().copied()).collect();
            return Err(WeightsError::Shape { name: name.to_owned(), found: at.shape.clone(), expected });
        }
        self.shape[0] = rows + more;
        self.pieces.push(slice);
        Ok(())
    }

    /// Puts the second half of the rows before the first.
    fn swap_halves(&mut self, name: &str) -> Result<(), WeightsError> {
        let rows = self.shape.first().copied().unwrap_or_default();
        match &self.pieces[..] {
            [whole] if rows % 2 == 0 => {
                let middle = whole.range.start + whole.range.len() / 2;
                let second = Slice { range: middle..whole.range.end, ..whole.clone() };
                let first = Slice { range: whole.range.start..middle, ..whole.clone() };
                self.pieces = vec![second, first];
                Ok(())
            }
            _ => Err(WeightsError::Config(format!("{rows} rows of {name:?} have no halves"))),
        }
    }

    fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.range.len()).sum()
    }
}

/// A tensor as the files have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<'a> {
    /// Its type: one of those that weights have.
    pub dtype: Dtype,
    /// Its rows, in order.
    pub pieces: Vec<Piece<'a>>,
}

/// Rows that lie together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece<'a> {
    /// Their values, little-endian.
    pub bytes: &'a [u8],
    /// What each value is to be multiplied by, where the file says so.
    pub scale: Option<f32>,
}

impl Piece<'_> {
    /// Its values in fp32.
    fn widened(&self, dtype: Dtype) -> Option<Vec<f32>> {
        let mut values = widen(self.bytes, dtype)?;
        if let Some(scale) = self.scale {
            values.iter_mut().for_each(|value| *value *= scale);
        }
        Some(values)
    }
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weights").field("bytes", &self.size()).finish_non_exhaustive()
    }
}

impl Weights {
    /// Opens what the source names and checks its headers; tensors have the names that they are stored under.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::Header`], and for several files those that name one of them.
    pub fn open(source: &Source) -> Result<Self, WeightsError> {
        let files = Files::open(source, None)?;
        let tensors = names::as_stored(&files);
        Ok(Self { files, tensors, form: None })
    }

    /// The same for one part of a model: no other tensors, and this program's names.
    ///
    /// # Errors
    /// As [`Weights::open`]; [`WeightsError::Another`] when the part is not there; when one of several tensors that
    /// make one of ours is missing or does not fit the others.
    pub fn open_part(source: &Source, part: Part) -> Result<Self, WeightsError> {
        let files = Files::open(source, Some(part))?;
        let Some((form, prefix)) = names::find(&files.tensors, part) else {
            let found = describe(&files);
            return Err(WeightsError::Another { found, wanted: part.wanted() });
        };
        let tensors = names::renamed(&files, form, prefix)?;
        Ok(Self { files, tensors, form: Some(&form.name) })
    }

    /// Whose names the files have: `BFL`, `diffusers`, `transformers`; `None` where nobody asked for a part.
    #[must_use]
    pub fn form(&self) -> Option<&'static str> {
        self.form
    }

    /// Bytes of all tensors.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tensors.values().map(|entry| entry.bytes() as u64).sum()
    }

    /// The tensors' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether a tensor is there.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A tensor's shape.
    ///
    /// # Errors
    /// [`WeightsError::Missing`].
    pub fn shape(&self, name: &str) -> Result<&[usize], WeightsError> {
        Ok(&self.entry(name)?.shape)
    }

    /// How many of `prefix.0`, `prefix.1`, … there are.
    #[must_use]
    pub fn depth(&self, prefix: &str) -> usize {
        let number =
            |name: &str| name.strip_prefix(prefix)?.strip_prefix('.')?.split('.').next()?.parse().ok();
        let numbers: BTreeSet<usize> = self.names().filter_map(number).collect();
        (0..).take_while(|number| numbers.contains(number)).count()
    }

    /// The types that the tensors have, most bytes first.
    #[must_use]
    pub fn dtypes(&self) -> Vec<Dtype> {
        self.bytes_by_dtype().into_iter().map(|(dtype, _)| dtype).collect()
    }

    /// The types that the tensors have and the bytes of each, most first.
    #[must_use]
    pub fn bytes_by_dtype(&self) -> Vec<(Dtype, u64)> {
        let mut totals: Vec<(Dtype, u64)> = Vec::new();
        for entry in self.tensors.values() {
            let bytes = entry.bytes() as u64;
            match totals.iter_mut().find(|(dtype, _)| *dtype == entry.dtype) {
                Some((_, total)) => *total += bytes,
                None => totals.push((entry.dtype, bytes)),
            }
        }
        totals.sort_by_key(|&(_, total)| std::cmp::Reverse(total));
        totals
    }

    /// Whether some tensors are stored beside their scales.
    #[must_use]
    pub fn scaled(&self) -> bool {
        self.tensors.values().flat_map(|entry| &entry.pieces).any(|piece| piece.scale.is_some())
    }

    /// How many values of each type there are.
    #[must_use]
    pub fn values(&self) -> Vec<(Dtype, u64)> {
        self.bytes_by_dtype()
            .into_iter()
            .map(|(dtype, bytes)| (dtype, bytes * 8 / dtype.bitsize() as u64))
            .collect()
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

    fn entry(&self, name: &str) -> Result<&Entry, WeightsError> {
        self.tensors.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))
    }

    fn checked(&self, name: &str, shape: &[usize]) -> Result<&Entry, WeightsError> {
        let entry = self.entry(name)?;
        if entry.shape != shape {
            let (found, expected) = (entry.shape.clone(), shape.to_vec());
            return Err(WeightsError::Shape { name: name.to_owned(), found, expected });
        }
        if !matches!(entry.dtype, Dtype::F8_E4M3 | Dtype::BF16 | Dtype::F16 | Dtype::F32) {
            return Err(WeightsError::Dtype { name: name.to_owned(), dtype: entry.dtype });
        }
        Ok(entry)
    }

    /// That a tensor of the given shape is there and is a weight, by the header alone.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<(), WeightsError> {
        self.checked(name, shape).map(drop)
    }

    /// A tensor of the given shape, as it is stored.
    ///
    /// # Errors
    /// As [`Weights::get`], and when its scale is none.
    pub fn stored(&self, name: &str, shape: &[usize]) -> Result<Stored<'_>, WeightsError> {
        let entry = self.checked(name, shape)?;
        let piece = |slice: &Slice| {
            let scale = slice.scale.as_deref().map(|scale| self.scale(name, scale)).transpose()?;
            Ok(Piece { bytes: self.files.bytes(slice.file, &slice.range), scale })
        };
        let pieces = entry.pieces.iter().map(piece).collect::<Result<_, WeightsError>>()?;
        Ok(Stored { dtype: entry.dtype, pieces })
    }

    /// The number that `scale` holds for the tensor `name`.
    fn scale(&self, name: &str, scale: &str) -> Result<f32, WeightsError> {
        let Located { file, dtype, shape, range } = &self.files.tensors[scale];
        let unusable = |found| WeightsError::Scale { name: name.to_owned(), found };
        match widen(self.files.bytes(*file, range), *dtype).as_deref() {
            Some(&[value]) if value.is_finite() => Ok(value),
            Some(&[value]) => Err(unusable(format!("{value} in {scale:?}"))),
            _ => Err(unusable(format!("{dtype:?} of shape {shape:?} in {scale:?}"))),
        }
    }

    /// A tensor of the given shape, as fp32 values.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn widened(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let Stored { dtype, pieces } = self.stored(name, shape)?;
        let widened = |piece: &Piece<'_>| {
            piece.widened(dtype).ok_or_else(|| WeightsError::Dtype { name: name.to_owned(), dtype })
        };
        match &pieces[..] {
            [whole] => widened(whole),
            pieces => {
                let mut values = Vec::with_capacity(shape.iter().product());
                for piece in pieces {
                    values.extend(widened(piece)?);
                }
                Ok(values)
            }
        }
    }
}

/// What files hold that are not what was asked for.
fn describe(files: &Files) -> String {
    if let Some(lora) = names::lora(&files.tensors) {
        return format!("a LoRA ({lora})");
    }
    if let Some(other) = names::other(&files.tensors) {
        return other;
    }
    let parts: Vec<_> = Part::ALL
        .into_iter()
        .filter(|part| names::find(&files.tensors, *part).is_some())
        .map(Part::wanted)
        .collect();
    match (&parts[..], files.tensors.keys().next()) {
        ([], Some(first)) => format!("no model that is known here (its first tensor is {first:?})"),
        ([], None) => "no tensors".to_owned(),
        (parts, _) => parts.join(" and "),
    }
}
