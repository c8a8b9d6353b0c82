//! A transformer's converted form in its place, where its blocks are to be kept in fp8.

use crate::device::{LoadOptions, PrecisionChoice};
use crate::engine::converted;
use crate::engine::files::Files;
use crate::model::Parts;

/// Puts the converted form of a wide transformer in its place, where fp8 is asked for and it is there. What a card keeps
/// has the same bits then: half as much is read.
pub fn instead(files: &mut Files, parts: &Parts, options: LoadOptions) {
    let asked = matches!(options.precision, PrecisionChoice::Fp8 | PrecisionChoice::Fp8Storage);
    let wide = files.transformer.dtypes().first().is_some_and(|dtype| dtype.is_wide());
    let Some(folder) = parts.converted.as_ref().filter(|_| asked && wide) else { return };
    if let Some(kept) = converted::find(folder, &files.transformer) {
        let path = converted::place(folder, &files.transformer);
        tracing::info!(path = %path.display(), source = %parts.transformer, "the converted transformer is loaded");
        kept.read_ahead();
        files.transformer = kept;
    }
}
