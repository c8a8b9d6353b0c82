//! The converted form of a transformer among those that are kept.

use std::path::{Path, PathBuf};

use super::error::ConvertError;
use super::{Conversion, NOTES, VERSION, digest, is_fp8, place};
use crate::engine::Observer;
use crate::engine::dit::config::Config;
use crate::engine::weights::{Dtype, Weights, WeightsError};
use crate::model::{Parts, Source};

/// The converted form of a model's transformer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The file.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// The type that most of its blocks had.
    pub from: Dtype,
    /// Whether it was there already.
    pub present: bool,
}

/// Sees to it that a model's transformer is there in its converted form: at `to`, or, where nobody says, in the folder
/// where it is looked for when the model is loaded.
///
/// # Errors
/// As [`Conversion::new`] and [`Conversion::write`].
pub fn keep(
    parts: &Parts,
    folder: &Path,
    to: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<Kept, ConvertError> {
    let source = Weights::open_transformer(&parts.transformer, parts.complete_from.as_ref())?;
    let conversion = Conversion::new(&source)?.made_from(&parts.transformer, parts.complete_from.as_ref());
    let (bytes, from) = (conversion.bytes(), conversion.from());
    let (file, present) = match to {
        Some(to) => (to.to_owned(), false),
        None => (place(folder, &source), find(folder, &source).is_some()),
    };
    if !present {
        conversion.write(&file, observer)?;
    }
    Ok(Kept { file, bytes, from, present })
}

/// The converted form of a transformer, if the folder has it. One that is not whole, or not of this transformer, is
/// passed over with a warning: the transformer itself is always there to be used.
#[must_use]
pub fn find(folder: &Path, source: &Weights) -> Option<Weights> {
    let path = place(folder, source);
    if !path.exists() {
        return None;
    }
    match open(&path, source) {
        Ok(kept) => Some(kept),
        Err(reason) => {
            tracing::warn!(path = %path.display(), reason, "a converted transformer is of no use; remove it");
            None
        }
    }
}

/// Opens it and looks at all that can be wrong with it but the values themselves.
fn open(path: &Path, source: &Weights) -> Result<Weights, String> {
    let said = |error: WeightsError| error.to_string();
    let kept = Weights::open_transformer(&Source::File(path.to_owned()), None).map_err(said)?;
    let [form, from, _] = NOTES.map(|note| kept.note(note).unwrap_or_default());
    if form != VERSION {
        return Err(format!("it is of the form {form:?} and not {VERSION:?}"));
    }
    if from != digest(source) {
        return Err(format!("it was made from another transformer, {from:?}"));
    }
    let config = Config::of(source).map_err(said)?;
    if Config::of(&kept).map_err(said)? != config {
        return Err("it has another size than the transformer".to_owned());
    }
    for (name, shape) in config.tensors() {
        // With their scales, which are checked when they are read.
        let stored = kept.stored(&name, &shape).map_err(said)?;
        let scaled = stored.pieces.iter().all(|piece| piece.scale.is_some());
        if is_fp8(&name) && !(stored.dtype == Dtype::F8E4M3 && scaled) {
            return Err(format!("the tensor {name:?} is {} without the scales of its rows", stored.dtype));
        }
    }
    Ok(kept)
}
