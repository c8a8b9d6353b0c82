//! The program's models and a person's: the catalogue says which there are, the engine reads them.

use std::path::{Path, PathBuf};

use super::{Count, Models};
use crate::catalog::{Catalog, Entry};
use crate::device::Device;
use crate::engine::weights::{self, Kind, Part, Variant, WeightsError};
use crate::engine::{self, Counter, Draw, EngineError, Observer, Placement};
use crate::job::TokenCount;
use crate::model::{ModelInfo, ModelName, Source};

/// What a model without guidance is made for.
const STEPS_WITHOUT_GUIDANCE: u32 = 4;

/// The models of the catalogue, read by the engine.
#[derive(Debug, Clone)]
pub struct Catalogued {
    config: PathBuf,
}

impl Catalogued {
    /// With those of the configuration directory, whenever they were added.
    #[must_use]
    pub fn new(config: &Path) -> Self {
        Self { config: config.to_owned() }
    }

    fn catalog(&self) -> Catalog {
        let (catalog, problems) = Catalog::load(&self.config);
        for problem in problems {
            tracing::warn!(%problem, "a model of yours is left out");
        }
        catalog
    }

    /// A job may be older than the catalogue, so its model may be gone.
    fn find(&self, name: &ModelName) -> Result<Entry, EngineError> {
        find(&self.catalog(), name).map_err(|reason| EngineError::Load {
            model: name.clone(),
            part: "the entry",
            from: "the catalogue".to_owned(),
            reason: reason.to_string(),
        })
    }
}

impl Models for Catalogued {
    fn infos(&self) -> Vec<ModelInfo> {
        self.catalog().models()
    }

    fn devices(&self) -> Vec<Device> {
        engine::devices()
    }

    fn load(
        &self,
        name: &ModelName,
        on: &Placement,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Draw>, EngineError> {
        let entry = self.find(name)?;
        engine::load(name, &entry.parts, entry.info.limits, on, observer)
    }

    fn counter(&self, name: &ModelName) -> Result<Box<dyn Count>, EngineError> {
        let entry = self.find(name)?;
        Ok(Box::new(Counter::load(&entry.parts, entry.info.limits).map_err(uncounted)?))
    }

    fn describe(&self, device: Device) -> String {
        engine::describe(device)
    }
}

impl Count for Counter {
    fn count(&self, text: &str) -> Result<Vec<TokenCount>, EngineError> {
        Counter::count(self, text).map_err(uncounted)
    }
}

/// Why no model is meant by a name.
#[derive(Debug, thiserror::Error)]
pub enum NoModel {
    /// None of that name.
    #[error("there is no model {name:?}; there is {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightsError,
    },
    /// The file is no transformer to draw with.
    #[error("{path} cannot be drawn with: {reason}", path = path.display())]
    NotDrawn {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The encoders and the VAE of no model go with it.
    #[error(
        "{path} is a transformer, and the encoders and the VAE of no model here fit it ({reasons}); name those that do \
         in models.toml", path = path.display()
    )]
    NoBase {
        /// Which.
        path: PathBuf,
        /// Of each model, why not.
        reasons: String,
    },
}

/// The model that a name or a path means: by name from the catalogue; a file with the parts that are in it, and the
/// rest of the first model of the catalogue that they fit.
///
/// # Errors
/// [`NoModel`].
pub fn find(catalog: &Catalog, name: &ModelName) -> Result<Entry, NoModel> {
    if let Some(path) = name.as_path() {
        return of_file(catalog, name, path);
    }
    catalog.find(name).ok_or_else(|| {
        let known: Vec<_> = catalog.entries().iter().map(|entry| entry.info.name.as_str()).collect();
        NoModel::Unknown { name: name.to_string(), known: known.join(", ") }
    })
}

fn of_file(catalog: &Catalog, name: &ModelName, path: &Path) -> Result<Entry, NoModel> {
    let path = path.to_owned();
    let identity = match weights::identify(&path) {
        Ok(identity) => identity,
        Err(source) => return Err(NoModel::File { path, source }),
    };
    // What is only blocks may be completed by a base.
    if !matches!(identity.kind, Kind::Blocks(_)) {
        identity.drawn().map_err(|reason| NoModel::NotDrawn { path: path.clone(), reason })?;
    }
    let mut reasons = Vec::new();
    for base in catalog.entries() {
        let mut entry = base.clone();
        for found in &identity.parts {
            let part = match found.part {
                Part::Transformer => &mut entry.parts.transformer,
                Part::Vae => &mut entry.parts.vae,
                Part::Clip => &mut entry.parts.clip,
                Part::T5 => &mut entry.parts.t5,
            };
            let base = std::mem::replace(part, Source::File(path.clone()));
            if found.part == Part::Transformer {
                entry.parts.complete_from.get_or_insert(base);
            }
        }
        match weights::fits(&entry.parts) {
            Ok(()) => {
                entry.info.name = name.clone();
                entry.info.about = format!("a file, on top of {}", base.info.name);
                if matches!(identity.kind, Kind::Transformer { variant: Variant::Schnell, .. }) {
                    entry.info.defaults.steps = STEPS_WITHOUT_GUIDANCE;
                }
                return Ok(entry);
            }
            Err(reason) => reasons.push(format!("{}: {reason}", base.info.name)),
        }
    }
    Err(NoModel::NoBase { path, reasons: reasons.join("; ") })
}

fn uncounted(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::Compute { stage: "counting tokens", source: Box::new(error) }
}
