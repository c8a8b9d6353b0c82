//! Transformers whose blocks were rounded to fp8 before: converted once on the host, kept as one safetensors file in BFL's
//! names, and loaded on a card in place of the wide file that they come from.
//!
//! The values are those that a card makes of the wide file each time it is loaded in fp8 (`quantize_rows_fp8` in
//! `cuda/kernels/elementwise.cu`), bit for bit: half as many bytes are read, and they can be streamed where they lie.
//! What a card keeps in fp8 is so here, `[out, in]` as `F8_E4M3` with `weight_scale` `[out]`; all else is bf16.
//! [`Conversion`] writes such a file, [`find`] finds the one of a transformer in a folder of them, [`keep`] sees to it that
//! there is one, [`entries`] says which of them are of no use any more.

mod conversion;
mod error;
mod kept;
mod part;
pub(in crate::engine) mod round;
mod stale;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use conversion::Conversion;
pub use error::ConvertError;
pub use kept::{Kept, find, keep};
pub use stale::{Entry, Standing, Transformer, entries};

use super::weights::{Dtype, Weights};
use crate::model::Source;

/// The form of the files, and the arithmetic of what is in them.
const VERSION: &str = "flux-tui fp8 rows 1";
/// In a file's header: [`VERSION`]; what it was made from; the type that its blocks had.
const NOTES: [&str; 3] = ["flux_tui.form", "flux_tui.source", "flux_tui.from"];

/// In a file's header, where that was known: the paths of the transformer that it was made from and of what that is
/// completed from, so that a person can be told of what it is.
const MADE_FROM: [&str; 2] = ["flux_tui.transformer", "flux_tui.complete_from"];

/// What tells a transformer from others, in hexadecimal: by headers and samples of its files.
#[must_use]
pub fn digest(source: &Weights) -> String {
    let mut hash = Sha256::new_with_prefix(VERSION);
    source.sample(|bytes| hash.update(bytes));
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the converted form of a transformer is kept in a folder of them.
#[must_use]
pub fn place(folder: &Path, source: &Weights) -> PathBuf {
    folder.join(digest(source) + ".safetensors")
}

/// The converted form of a transformer in a folder of them and its bytes, if both are there; whether it is whole is asked
/// when it is loaded.
#[must_use]
pub fn file_of(
    folder: &Path,
    transformer: &Source,
    complete_from: Option<&Source>,
) -> Option<(PathBuf, u64)> {
    // Without one there is nothing to look for.
    std::fs::read_dir(folder).ok()?.next()?.ok()?;
    let file = place(folder, &Weights::open_transformer(transformer, complete_from).ok()?);
    let bytes = file.metadata().ok()?.len();
    Some((file, bytes))
}

/// The type that a file's blocks had before they were converted, as its header says; `None` where they were not.
#[must_use]
pub fn converted_from(weights: &Weights) -> Option<Dtype> {
    let said = weights.note(NOTES[2])?;
    Dtype::WEIGHTS.into_iter().find(|dtype| dtype.is_wide() && dtype.name() == said)
}

/// Whether a card keeps a tensor of these names in fp8, where it keeps blocks so: the linear layers of the blocks and
/// every layer of modulation.
pub(in crate::engine) fn is_fp8(name: &str) -> bool {
    let in_block = name.starts_with("double_blocks.") || name.starts_with("single_blocks.");
    name.ends_with(".weight") && (in_block || name == "final_layer.adaLN_modulation.1.weight")
}

/// `a.weight_scale` of `a.weight`.
fn scale_of(name: &str) -> String {
    format!("{name}_scale")
}
