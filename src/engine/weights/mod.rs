//! Tensors by name from safetensors and GGUF files of any form, or from bytes in the program, as they are stored or
//! widened to fp32.
//!
//! A model's part may be one file, several behind an index, a folder of diffusers' or one of several parts in a file;
//! [`Weights::open_part`] gives it under this program's names whatever it was (`names.toml`: BFL's for the transformer
//! and the VAE, transformers' for the encoders). Files are mapped and headers checked whole (`header.rs`, `gguf.rs`), so
//! that what is not asked for is not read, and nothing is copied to be renamed: a tensor may be several pieces of several
//! files. What is quantised stays so ([`Matrix`]) until rows of it are needed; `blocks.rs` and `nf4.rs` know how.
//! `ahead.rs` reads files on a network before they are needed. `complete.rs` takes what a transformer lacks from another, `identify.rs` says what a file is.

mod ahead;
mod blocks;
mod builder;
mod complete;
mod dtype;
mod entry;
mod error;
mod files;
mod gguf;
mod glimpse;
mod header;
mod identify;
mod names;
mod narrow;
mod nf4;
mod sample;
mod scale;
mod stored;
mod widen;

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};

pub use builder::Changing;
pub use dtype::{Block, Dtype};
pub use error::{HeaderError, WeightsError};
pub use files::Mapping;
pub use gguf::GgufError;
pub use glimpse::{Glimpse, glimpse};
pub(super) use identify::fit;
pub use identify::{Found, Identity, Kind, Variant, fits, identify, identify_source};
pub use names::Part;
pub(super) use names::renamed_layers;
pub use narrow::narrow;
pub use nf4::{LEVELS as NF4_LEVELS, Magnitudes};
pub use scale::Scale;
pub use stored::{Matrix, Piece, Stored};

use crate::model::Source;
use entry::Entry;
use files::Files;
use widen::transpose;

/// Opened weight files, seen as tensors by name. A clone is of the names; the bytes are shared.
#[derive(Clone)]
pub struct Weights {
    files: Files,
    tensors: BTreeMap<String, Entry>,
    form: Option<&'static str>,
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
        // Chroma's blocks, for one, have FLUX.1's names.
        if let Some(found) = files.foreign().filter(|_| part == Part::Transformer) {
            return Err(WeightsError::Another { found, wanted: part.wanted() });
        }
        let Some((form, prefix)) = names::find(&files.tensors, part) else {
            let found = describe(&files);
            return Err(WeightsError::Another { found, wanted: part.wanted() });
        };
        let tensors = names::renamed(&files, form, prefix)?;
        Ok(Self { files, tensors, form: Some(&form.name) })
    }

    /// Begins to read the files into the system's page cache, where they are on a network (`ahead.rs`). It goes on for as
    /// long as these weights, or a matrix of them, are in use.
    pub fn read_ahead(&self) {
        self.files.bytes().iter().for_each(files::Bytes::read_ahead);
    }

    /// What the files say of themselves under a key.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.files.metadata.get(key).map(String::as_str)
    }

    /// Whose names the files have: `BFL`, `diffusers`, `transformers`; `None` where nobody asked for a part.
    #[must_use]
    pub fn form(&self) -> Option<&'static str> {
        self.form
    }

    /// What the files' headers say beside their tensors, under this name.
    #[must_use]
    pub fn note(&self, key: &str) -> Option<&str> {
        self.files.metadata.get(key).map(String::as_str)
    }

    /// Lets the memory go that reading a tensor took of this process; it can be read again. Without it, whoever reads
    /// a file once from end to end seems to hold all of it.
    pub fn let_go(&self, name: &str) {
        for slice in self.tensors.get(name).iter().flat_map(|entry| &entry.slices) {
            self.files.bytes()[slice.file].let_go(slice.range.clone());
        }
    }

    /// Keeps the files mapped for as long as it lives.
    #[must_use]
    pub fn mapping(&self) -> Mapping {
        self.files.mapping()
    }

    /// Bytes of all tensors.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tensors.values().map(|entry| entry.bytes() as u64).sum()
    }

    /// Bytes of all tensors in memory, where each takes what `bytes` says of its type, its values and its bytes in the
    /// file.
    #[must_use]
    pub fn size_where(&self, bytes: impl Fn(Dtype, u64, u64) -> u64) -> u64 {
        let all = self.tensors.values();
        all.map(|entry| bytes(entry.dtype, entry.values() as u64, entry.bytes() as u64)).sum()
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

    /// Whether there are too many weights to hold all of them in fp32 on the CPU: FLUX.1's would take 48 GB, T5-XXL's 19.
    #[must_use]
    pub fn stay_stored(&self) -> bool {
        const MOST: u64 = 4 << 30;
        let values: u64 =
            self.tensors.values().map(|entry| entry.shape.iter().product::<usize>() as u64).sum();
        values * size_of::<f32>() as u64 > MOST
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
        self.tensors.values().flat_map(|entry| &entry.slices).any(|slice| slice.scale.is_some())
    }

    /// How a tensor's values are stored.
    ///
    /// # Errors
    /// [`WeightsError::Missing`].
    pub fn dtype(&self, name: &str) -> Result<Dtype, WeightsError> {
        Ok(self.entry(name)?.dtype)
    }

    /// Whether its fp8 weights are to be multiplied in fp8, as far as the file says: ComfyUI's marker of two elements
    /// says that they are not.
    #[must_use]
    pub fn allows_fp8_products(&self) -> bool {
        !self.files.tensors.iter().any(|(name, at)| {
            name.rsplit('.').next() == Some("scaled_fp8") && at.shape.iter().product::<usize>() == 2
        })
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
        self.transposed_with(name, (out, inner), |_| Ok(()))
    }

    /// The same with its values changed as `change` does, `[out, in]`.
    ///
    /// # Errors
    /// As [`Weights::transposed`], and what `change` gives.
    pub fn transposed_with(
        &self,
        name: &str,
        (out, inner): (usize, usize),
        change: impl FnOnce(&mut [f32]) -> Result<(), WeightsError>,
    ) -> Result<Tensor, WeightsError> {
        let mut wide = self.widened(name, &[out, inner])?;
        change(&mut wide)?;
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
        if !entry.dtype.is_weight() {
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
        let piece = |slice: &entry::Slice| slice.piece(name, self.files.bytes());
        let pieces = entry.slices.iter().map(piece).collect::<Result<_, WeightsError>>()?;
        Ok(Stored { dtype: entry.dtype, pieces })
    }

    /// A matrix of the given shape that stays in its files.
    ///
    /// # Errors
    /// As [`Weights::stored`].
    pub fn matrix(&self, name: &str, (rows, columns): (usize, usize)) -> Result<Matrix, WeightsError> {
        let entry = self.checked(name, &[rows, columns])?;
        let scaled = |slice: &entry::Slice| Ok((slice.clone(), slice.piece(name, self.files.bytes())?.scale));
        let slices = entry.slices.iter().map(scaled).collect::<Result<Vec<_>, WeightsError>>()?;
        Ok(Matrix::new(self.files.shared(), entry.dtype, (rows, columns), slices.into_iter()))
    }

    /// A tensor of the given shape, as fp32 values.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn widened(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let Stored { dtype, pieces } = self.stored(name, shape)?;
        let mut values = vec![0.0; shape.iter().product()];
        let mut rest = &mut values[..];
        for piece in &pieces {
            // Of a tensor that is several, each has whole rows; only the last may end within a block.
            let (own, more) = rest.split_at_mut(piece.values(dtype).min(rest.len()));
            piece.widen(dtype, 0, own);
            rest = more;
        }
        Ok(values)
    }
}

/// What files hold that are not what was asked for.
fn describe(files: &Files) -> String {
    if let Some(lora) = names::lora(&files.tensors) {
        return format!("a LoRA ({lora})");
    }
    if let Some(foreign) = files.foreign() {
        return foreign;
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
