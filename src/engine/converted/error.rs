//! Why a transformer could not be converted.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::weights::{Dtype, WeightsError};

/// Why there is no converted file. Nothing is left under its name then.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The transformer could not be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Its blocks have nothing that fp8 would halve.
    #[error(
        "its blocks are {} already: only transformers in fp32, fp16 and bf16 are converted, and others are loaded as \
         they are", .0.name()
    )]
    Narrow(Dtype),
    /// One of its layers cannot be rounded.
    #[error(
        "the tensor {name:?} is {}: layers in fp32, fp16 and bf16 are converted and such in fp8 e4m3 taken as they are",
        dtype.name()
    )]
    Layer {
        /// Which.
        name: String,
        /// Its type.
        dtype: Dtype,
    },
    /// A row that has no scale.
    #[error(
        "the tensor {name:?} cannot be rounded to fp8: the largest magnitude in its row {row} is {largest}"
    )]
    Row {
        /// Which tensor.
        name: String,
        /// Which row.
        row: usize,
        /// NaN, infinite, or so small that its inverse is.
        largest: f32,
    },
    /// The disk has not the room.
    #[error(
        "{} bytes are needed in {} and {free} are free: make room, or name another place with --to", needed,
        folder.display()
    )]
    Space {
        /// Where.
        folder: PathBuf,
        /// Bytes of the file.
        needed: u64,
        /// Bytes that may be written.
        free: u64,
    },
    /// Somebody else writes the same file.
    #[error("another process is converting into {}", .0.display())]
    Busy(PathBuf),
    /// The file could not be written.
    #[error("{} could not be {what}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// `made`, `written` …
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The observer asked for it.
    #[error("interrupted; nothing is left of the file")]
    Stopped,
}

impl ConvertError {
    pub(super) fn file(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), what, source }
    }
}
