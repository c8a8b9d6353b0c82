//! One conversion: what the file will hold, and its writing, row by row with all threads and never a whole model in memory.

use std::path::Path;

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::error::ConvertError;
use super::part::Part;
use super::{MADE_FROM, NOTES, VERSION, digest, is_fp8, round, scale_of};
use crate::engine::dit::config::Config;
use crate::engine::weights::{Dtype, Piece, Stored, Weights, WeightsError, narrow};
use crate::engine::{Observer, Report};
use crate::model::Source;

/// Values that are made at a time: few enough for the caches of several threads, enough for all of them.
const VALUES: usize = 4 << 20;
/// The tensors begin on a multiple of this: a page, so that they can be read where they lie.
const ALIGNED: usize = 4096;
/// Bytes of a value.
const BF16: usize = 2;
const F32: usize = 4;

/// A transformer that can be converted.
#[derive(Debug)]
pub struct Conversion<'w> {
    source: &'w Weights,
    /// By BFL's names, in the order of the file.
    tensors: Vec<(String, Vec<usize>)>,
    from: Dtype,
    digest: String,
    header: Vec<u8>,
    bytes: u64,
}

impl<'w> Conversion<'w> {
    /// Looks at headers: nothing of the weights is read but samples.
    ///
    /// # Errors
    /// When the transformer is not whole, or is narrow already.
    pub fn new(source: &'w Weights) -> Result<Self, ConvertError> {
        let config = Config::of(source)?;
        config.check(source)?;
        let tensors = config.tensors();
        if let Some((name, _)) = tensors.iter().find(|(_, shape)| shape.contains(&0)) {
            return Err(WeightsError::Config(format!("the tensor {name:?} is empty")).into());
        }
        let from = widest(source, &tensors)?;
        let digest = digest(source);
        let (header, data) = header(&tensors, notes(&digest, from), &[]);
        let bytes = header.len() as u64 + data;
        Ok(Self { source, tensors, from, digest, header, bytes })
    }

    /// The same, with where the transformer is, and what it is completed from, in the file's header.
    #[must_use]
    pub fn made_from(mut self, transformer: &Source, complete_from: Option<&Source>) -> Self {
        let path = |source: &Source| match source {
            Source::File(path) => std::path::absolute(path).ok()?.to_str().map(str::to_owned),
            Source::Embedded { .. } => None,
        };
        let paths = [path(transformer), complete_from.and_then(path)];
        let paths: Vec<_> =
            MADE_FROM.into_iter().zip(paths).filter_map(|(key, path)| Some((key, path?))).collect();
        let (header, data) = header(&self.tensors, notes(&self.digest, self.from), &paths);
        (self.bytes, self.header) = (header.len() as u64 + data, header);
        self
    }

    /// Bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The type that most of its blocks have.
    #[must_use]
    pub fn from(&self) -> Dtype {
        self.from
    }

    /// Writes the file. Under `to` there is all of it or what was there before. The observer is told how many bytes of
    /// it there are, and may end it.
    ///
    /// # Errors
    /// A row that cannot be rounded; a disk without room; [`ConvertError::Stopped`].
    pub fn write(&self, to: &Path, observer: &mut dyn Observer) -> Result<(), ConvertError> {
        let part = Part::begin(to, self.bytes)?;
        let mut writing = Writing { part, observer, done: 0, total: self.bytes, out: Vec::new() };
        writing.add(&self.header)?;
        let mut scales = Vec::new();
        for (name, shape) in &self.tensors {
            let Stored { dtype, pieces } = self.source.stored(name, shape)?;
            let inner = shape[1..].iter().product();
            let mut first = 0;
            for piece in &pieces {
                let rows = Rows { name, first, dtype, piece, inner };
                first += piece.values(dtype) / inner;
                match is_fp8(name) {
                    true => writing.add_fp8(&rows, &mut scales)?,
                    false => writing.add_bf16(&rows)?,
                }
            }
            self.source.let_go(name);
        }
        let scales: Vec<u8> = scales.into_iter().flat_map(f32::to_le_bytes).collect();
        writing.add(&scales)?;
        // What is made durable now may take long.
        match writing.observer.wants_stop() {
            true => Err(ConvertError::Stopped),
            false => writing.part.finish(to),
        }
    }
}

/// The wide type that most bytes of the layers have which are to be rounded.
fn widest(source: &Weights, tensors: &[(String, Vec<usize>)]) -> Result<Dtype, ConvertError> {
    let mut values: Vec<(Dtype, usize)> = Vec::new();
    for (name, shape) in tensors.iter().filter(|(name, _)| is_fp8(name)) {
        let (dtype, more) = (source.dtype(name)?, shape.iter().product::<usize>());
        match values.iter_mut().find(|(one, _)| *one == dtype) {
            Some((_, values)) => *values += more,
            None => values.push((dtype, more)),
        }
    }
    let most = |of: &mut dyn Iterator<Item = &(Dtype, usize)>| of.max_by_key(|(_, values)| *values).copied();
    let Some((widest, _)) = most(&mut values.iter().filter(|(dtype, _)| dtype.is_wide())) else {
        return Err(ConvertError::Narrow(most(&mut values.iter()).map_or(Dtype::F8E4M3, |(dtype, _)| dtype)));
    };
    for (name, _) in tensors.iter().filter(|(name, _)| is_fp8(name)) {
        let dtype = source.dtype(name)?;
        if !dtype.is_wide() && dtype != Dtype::F8E4M3 {
            return Err(ConvertError::Layer { name: name.clone(), dtype });
        }
    }
    Ok(widest)
}

/// What the file's header says in words.
fn notes(digest: &str, from: Dtype) -> [String; NOTES.len()] {
    [VERSION.to_owned(), digest.to_owned(), from.name()]
}

/// The file's header, and the bytes of all behind it: the tensors, then the scales of those in fp8.
fn header(
    tensors: &[(String, Vec<usize>)],
    notes: [String; NOTES.len()],
    paths: &[(&str, String)],
) -> (Vec<u8>, u64) {
    let mut header = Map::new();
    let paths = paths.iter().map(|(key, path)| ((*key).to_owned(), path.as_str().into()));
    let notes = NOTES.into_iter().zip(notes).map(|(key, note)| (key.to_owned(), note.into()));
    let notes: Map<_, _> = notes.chain(paths).collect();
    header.insert("__metadata__".to_owned(), Value::Object(notes));
    let mut at = 0;
    let mut add = |name: String, dtype: &str, shape: &[usize], bytes: usize| {
        let end = at + bytes as u64;
        header.insert(name, json!({ "dtype": dtype, "shape": shape, "data_offsets": [at, end] }));
        at = end;
    };
    for (name, shape) in tensors {
        let values: usize = shape.iter().product();
        match is_fp8(name) {
            true => add(name.clone(), "F8_E4M3", shape, values),
            false => add(name.clone(), "BF16", shape, BF16 * values),
        }
    }
    for (name, shape) in tensors.iter().filter(|(name, _)| is_fp8(name)) {
        add(scale_of(name), "F32", &shape[..1], F32 * shape[0]);
    }
    let text = Value::Object(header).to_string();
    let length = (size_of::<u64>() + text.len()).next_multiple_of(ALIGNED) - size_of::<u64>();
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend(text.into_bytes());
    bytes.resize(size_of::<u64>() + length, b' ');
    (bytes, at)
}

/// Rows of a tensor that lie together in the source.
struct Rows<'a> {
    name: &'a str,
    /// Rows of the tensor before them.
    first: usize,
    dtype: Dtype,
    piece: &'a Piece<'a>,
    inner: usize,
}

impl Rows<'_> {
    /// First row and number of rows of what is made at a time.
    fn portions(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let rows = self.piece.values(self.dtype) / self.inner;
        let most = (VALUES / self.inner).max(1);
        (0..rows).step_by(most).map(move |first| (first, most.min(rows - first)))
    }
}

struct Writing<'a> {
    part: Part,
    observer: &'a mut dyn Observer,
    done: u64,
    total: u64,
    /// What was made last.
    out: Vec<u8>,
}

impl Writing<'_> {
    fn add(&mut self, bytes: &[u8]) -> Result<(), ConvertError> {
        if self.observer.wants_stop() {
            return Err(ConvertError::Stopped);
        }
        self.part.write(bytes)?;
        self.done += bytes.len() as u64;
        self.observer.report(Report::Loading { done: self.done, total: self.total });
        Ok(())
    }

    fn add_made(&mut self, out: Vec<u8>) -> Result<(), ConvertError> {
        self.out = out;
        let out = std::mem::take(&mut self.out);
        self.add(&out)?;
        self.out = out;
        Ok(())
    }

    /// Rounds wide rows; rows in fp8 stay as they are.
    fn add_fp8(&mut self, rows: &Rows<'_>, scales: &mut Vec<f32>) -> Result<(), ConvertError> {
        let Rows { name, first: before, dtype, piece, inner } = *rows;
        if dtype == Dtype::F8E4M3 {
            let count = piece.values(dtype) / inner;
            match &piece.scale {
                Some(scale) => scales.extend(&*scale.of_rows(count)),
                None => scales.resize(scales.len() + count, 1.0),
            }
            return piece.bytes.chunks(VALUES).try_for_each(|bytes| self.add(bytes));
        }
        for (first, count) in rows.portions() {
            let mut out = std::mem::take(&mut self.out);
            out.resize(count * inner, 0);
            let made = out.par_chunks_exact_mut(inner).enumerate().map_init(
                || vec![0; BF16 * inner],
                |wide, (row, out)| {
                    narrow(piece, dtype, (first + row) * inner, wide);
                    round::row(wide, out).map_err(|largest| ConvertError::Row {
                        name: name.to_owned(),
                        row: before + first + row,
                        largest,
                    })
                },
            );
            scales.extend(made.collect::<Result<Vec<f32>, ConvertError>>()?);
            self.add_made(out)?;
        }
        Ok(())
    }

    fn add_bf16(&mut self, rows: &Rows<'_>) -> Result<(), ConvertError> {
        let Rows { dtype, piece, inner, .. } = *rows;
        for (first, count) in rows.portions() {
            let mut out = std::mem::take(&mut self.out);
            out.resize(BF16 * count * inner, 0);
            let made = out.par_chunks_exact_mut(BF16 * inner).enumerate();
            made.for_each(|(row, out)| narrow(piece, dtype, (first + row) * inner, out));
            self.add_made(out)?;
        }
        Ok(())
    }
}
