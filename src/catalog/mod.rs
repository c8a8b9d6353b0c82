//! Which models there are and where their parts are.
//!
//! The models are data, `models.toml`; the files of the built-in one are in the program
//! (`embedded.rs`). What is in those files is the engine's business.

mod embedded;
mod entry;

use std::sync::LazyLock;

pub use entry::{CatalogError, Entry, parse};

use crate::model::{ModelInfo, ModelName};

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    parse(include_str!("models.toml")).expect("models.toml is part of the program and a test reads it")
});

/// All models; the first is the default.
#[must_use]
pub fn models() -> Vec<ModelInfo> {
    ENTRIES.iter().map(|entry| entry.info.clone()).collect()
}

/// The model of that name.
#[must_use]
pub fn find(name: &ModelName) -> Option<Entry> {
    ENTRIES.iter().find(|entry| entry.info.name == *name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Source;

    #[test]
    fn nano_is_the_default_and_suits_128_pixels() {
        let nano = &models()[0];
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
