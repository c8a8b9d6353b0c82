//! Which models there are and where their parts are.
//!
//! The models are data, `models.toml`; the files of the built-in one are in the program
//! (`embedded.rs`). A person's own come from a file of the same name (`person.rs`). What is in those files is the
//! engine's business.

mod embedded;
mod entry;
mod person;

use std::path::Path;
use std::sync::LazyLock;

pub use entry::{CatalogError, Entry, parse};

use crate::config::ConfigProblem;
use crate::model::{ModelInfo, ModelName};

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    parse(include_str!("models.toml")).expect("models.toml is part of the program and a test reads it")
});

/// The program's own models; the first is the default.
#[must_use]
pub fn built_in() -> &'static [Entry] {
    &ENTRIES
}

/// The program's own model of that name.
#[must_use]
pub fn find(name: &ModelName) -> Option<Entry> {
    ENTRIES.iter().find(|entry| entry.info.name == *name).cloned()
}

/// The program's own models, then a person's.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    entries: Vec<Entry>,
}

impl Catalog {
    /// With those of `models.toml` in the configuration directory, as far as it is right.
    #[must_use]
    pub fn load(directory: &Path) -> (Self, Vec<ConfigProblem>) {
        let mut entries = ENTRIES.clone();
        let problems = person::load(directory, &mut entries);
        (Self { entries }, problems)
    }

    /// All of them; the first is the default.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What a client needs to know of each.
    #[must_use]
    pub fn models(&self) -> Vec<ModelInfo> {
        self.entries.iter().map(|entry| entry.info.clone()).collect()
    }

    /// The model of that name.
    #[must_use]
    pub fn find(&self, name: &ModelName) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.info.name == *name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Source;

    #[test]
    fn nano_is_the_default_and_suits_128_pixels() {
        let nano = &built_in()[0].info;
        assert_eq!(nano.name.as_str(), ModelName::NANO);
        assert_eq!((nano.defaults.size.width(), nano.defaults.size.height()), (128, 128));
        assert_eq!((nano.defaults.steps, nano.defaults.guidance), (20, 3.0));
        assert_eq!((nano.limits.t5, nano.limits.clip), (32, 77));
    }

    #[test]
    fn every_part_of_nano_is_in_the_program() {
        let parts = find(&ModelName::new("nano")).expect("nano is built in").parts;
        for source in [&parts.transformer, &parts.vae, &parts.clip, &parts.t5] {
            let Source::Embedded { name, bytes } = source else { panic!("{source} is not built in") };
            let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
            assert!(header < bytes.len() as u64 && bytes[8] == b'{', "{name} is not safetensors");
        }
        for source in [
            &parts.vae_config,
            &parts.clip_config,
            &parts.clip_tokenizer,
            &parts.t5_config,
            &parts.t5_tokenizer,
            &parts.preview,
        ] {
            let bytes = source.read().expect("built in");
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap_or_else(|e| panic!("{source}: {e}"));
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_not_found() {
        assert_eq!(find(&ModelName::new("Nano")), None);
    }
}
