//! Transformers that are only blocks: some fine-tunes leave out the layers at both ends, which they did not train. Those
//! are taken from the model that they come from.

use super::Weights;
use super::error::WeightsError;
use super::names::{self, Part};
use crate::model::Source;

/// Without it a transformer is schnell, and whole.
const OPTIONAL: &str = "guidance_in";
/// A layer of the ends, and one that is in a block, that show whether two transformers are of one size.
const SIDES: (&str, &str) = ("img_in.weight", "double_blocks.0.img_attn.qkv.weight");

impl Weights {
    /// Opens a transformer; `from` is where layers at its ends come from that it lacks.
    ///
    /// # Errors
    /// As [`Weights::open_part`]; [`WeightsError::Lacks`] when there is nothing to take them from,
    /// [`WeightsError::Base`] when what there is cannot be opened, lacks them too or has another size.
    pub fn open_transformer(source: &Source, from: Option<&Source>) -> Result<Self, WeightsError> {
        let mut weights = Self::open_part(source, Part::Transformer)?;
        let (Err(lacks), Some(from)) = (check(&weights), from) else {
            check(&weights)?;
            return Ok(weights);
        };
        if from == source {
            return Err(lacks);
        }
        let WeightsError::Lacks(missing) = lacks else { return Err(lacks) };
        let failed = |problem: String| WeightsError::Base {
            missing: missing.join(", "),
            from: from.to_string(),
            problem,
        };
        let base = Self::open_part(from, Part::Transformer).map_err(|error| failed(error.to_string()))?;
        weights.take(&base, &missing).map_err(failed)?;
        Ok(weights)
    }

    /// Takes the layers that are called so from another.
    fn take(&mut self, base: &Self, missing: &[&str]) -> Result<(), String> {
        check(base).map_err(|error| error.to_string())?;
        let said = |error: WeightsError| error.to_string();
        let (ours, theirs) = (self.shape(SIDES.1).map_err(said)?, base.shape(SIDES.0).map_err(said)?);
        if ours.get(1) != theirs.first() {
            let [ours, theirs] = [ours.get(1), theirs.first()].map(|side| side.copied().unwrap_or_default());
            return Err(format!("it is {theirs} channels wide, and this transformer {ours}"));
        }
        let files = self.files.bytes().len();
        self.files.join(&base.files);
        for (name, entry) in &base.tensors {
            if missing.iter().any(|layer| is_of(name, layer)) {
                self.tensors.insert(name.clone(), entry.clone().shifted(files));
            }
        }
        Ok(())
    }
}

fn is_of(name: &str, layer: &str) -> bool {
    name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.'))
}

/// That a transformer has the layers at both ends.
///
/// # Errors
/// [`WeightsError::Lacks`].
pub(super) fn check(weights: &Weights) -> Result<(), WeightsError> {
    let lacks = |layer: &&str| !weights.names().any(|name| is_of(name, layer));
    let missing: Vec<&'static str> = names::ends().iter().map(String::as_str).filter(lacks).collect();
    // A tensor that is missing from a layer that is there is another matter.
    match missing[..] {
        [] | [OPTIONAL] => Ok(()),
        _ => Err(WeightsError::Lacks(missing)),
    }
}
