//! The program's models: the catalogue says which there are, the engine reads them.

use super::{Count, Models};
use crate::catalog::{self, Entry};
use crate::device::Device;
use crate::engine::{self, Counter, Draw, EngineError, Observer, Placement};
use crate::job::TokenCount;
use crate::model::{ModelInfo, ModelName};

/// The models of the catalogue, read by the engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Catalogued;

impl Models for Catalogued {
    fn infos(&self) -> Vec<ModelInfo> {
        catalog::models()
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
        let entry = find(name)?;
        engine::load(name, &entry.parts, entry.info.limits, on, observer)
    }

    fn counter(&self, name: &ModelName) -> Result<Box<dyn Count>, EngineError> {
        let entry = find(name)?;
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

fn uncounted(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError::Compute { stage: "counting tokens", source: Box::new(error) }
}

/// A job may be older than the catalogue, so its model may be gone.
fn find(name: &ModelName) -> Result<Entry, EngineError> {
    catalog::find(name).ok_or_else(|| {
        let known: Vec<_> = catalog::models().into_iter().map(|info| info.name.0).collect();
        EngineError::Load {
            model: name.clone(),
            part: "the entry",
            from: "the catalogue".to_owned(),
            reason: format!("there is no such model any more; there is {}", known.join(", ")),
        }
    })
}
