//! Which models there are. (The branch that writes the catalogue replaces this file.)

use crate::model::{ModelInfo, ModelName, Parts};

/// A model and where its parts are.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What a client needs to know.
    pub info: ModelInfo,
    /// Where its bytes are.
    pub parts: Parts,
}

/// Which models there are; the first is the default.
#[must_use]
pub fn models() -> Vec<ModelInfo> {
    Vec::new()
}

/// The model of this name.
#[must_use]
pub fn find(name: &ModelName) -> Option<Entry> {
    let _ = name;
    None
}
