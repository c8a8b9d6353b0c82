//! LoRAs that were read: each file once, by its hash, and kept while there are not too many.

use std::sync::Arc;

use super::{Lora, LoraError, Shapes, read};
use crate::engine::{EngineError, LoraFile};
use crate::job::{LoraHash, Unapplied};

/// Values of LoRAs that are kept although no picture uses them at present: a gigabyte.
const KEPT_VALUES: usize = 1 << 28;
/// Names of tensors that are told of those that were not used.
const EXAMPLES: usize = 3;

/// LoRAs, each at its strength.
pub type Strengths = Vec<(Arc<Lora>, f32)>;

/// What was read, for a model with these layers.
#[derive(Debug)]
pub struct Shelf {
    shapes: Shapes,
    /// The last used at the end.
    read: Vec<(LoraHash, Arc<Lora>)>,
}

impl Shelf {
    /// Nothing yet.
    #[must_use]
    pub fn new(shapes: Shapes) -> Self {
        Self { shapes, read: Vec::new() }
    }

    /// The layers that the model has.
    #[must_use]
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// All of these, each at its strength, and what of each belongs to no layer of the model. Others are let go when
    /// they are many.
    ///
    /// # Errors
    /// [`EngineError::Lora`].
    pub fn take(&mut self, wanted: &[LoraFile]) -> Result<(Strengths, Vec<Unapplied>), EngineError> {
        let loras = wanted.iter().map(|file| Ok((self.get(file)?, file.strength)));
        let loras = loras.collect::<Result<Vec<_>, EngineError>>()?;
        let unapplied = loras.iter().map(|(lora, _)| unapplied(lora)).collect();
        self.forget(wanted);
        Ok((loras, unapplied))
    }

    fn get(&mut self, file: &LoraFile) -> Result<Arc<Lora>, EngineError> {
        let known = self.read.iter().position(|(hash, _)| *hash == file.hash);
        let entry = match known {
            Some(at) => self.read.remove(at),
            None => {
                let failed = |error: LoraError| EngineError::Lora {
                    name: file.name.clone(),
                    from: file.path.display().to_string(),
                    reason: error.to_string(),
                };
                (file.hash.clone(), Arc::new(read(&file.path, &self.shapes).map_err(failed)?))
            }
        };
        let lora = Arc::clone(&entry.1);
        self.read.push(entry);
        Ok(lora)
    }

    /// Lets go of what is not used when it is much.
    fn forget(&mut self, used: &[LoraFile]) {
        let mut values = 0;
        let mut kept: Vec<_> = self.read.drain(..).rev().collect();
        kept.retain(|(hash, lora)| {
            values += lora.values();
            used.iter().any(|file| file.hash == *hash) || values <= KEPT_VALUES
        });
        self.read.extend(kept.into_iter().rev());
    }
}

fn unapplied(lora: &Lora) -> Unapplied {
    let examples = lora.unapplied.iter().take(EXAMPLES).cloned().collect();
    Unapplied { count: lora.unapplied.len(), of: lora.tensors, examples }
}

/// What tells texts apart that encoders read which these LoRAs have changed; empty where none has.
#[must_use]
pub fn text(files: &[LoraFile], loras: &[(Arc<Lora>, f32)]) -> String {
    let changing =
        files.iter().zip(loras).filter(|(file, (lora, _))| lora.changes_text() && file.strength != 0.0);
    changing.map(|(file, _)| format!("{}:{:08x};", file.hash.as_str(), file.strength.to_bits())).collect()
}
