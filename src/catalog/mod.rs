//! Which models there are, what they are made of, and where that is.
//!
//! The models and the files that others publish are data, `models.toml`; the files of the built-in one are in the program
//! (`embedded.rs`), with the small files that every model of FLUX.1's size needs. A person's own models come from a file
//! of the same name (`person.rs`). [`places`] knows where other programs keep what they fetched ([`comfy`] reads where
//! ComfyUI was told to look), [`find`] looks there.
//! What is in weight files is the engine's business: whoever looks for them brings a function that tells it.

mod address;
pub mod comfy;
mod embedded;
mod entry;
pub mod find;
mod known;
pub mod loras;
mod person;
pub mod places;
mod published;
mod recipe;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub use address::AddressError;
pub(crate) use address::is_plain_name;
pub use embedded::embedded_files;
pub use entry::{CatalogError, Entry, List, parse};
pub use published::{Bytes, Hub, Place, Published};
pub use recipe::{Recipe, Role, Wanted};
pub use walk::Walks;

use crate::config::ConfigProblem;
use crate::model::ModelName;

static LIST: LazyLock<List> = LazyLock::new(|| {
    parse(include_str!("models.toml")).expect("models.toml is part of the program and a test reads it")
});

/// The program's own models; the first is the default.
#[must_use]
pub fn built_in() -> &'static [Entry] {
    &LIST.entries
}

/// The program's own model of that name.
#[must_use]
pub fn find(name: &ModelName) -> Option<Entry> {
    built_in().iter().find(|entry| entry.info.name == *name).cloned()
}

/// Every published file that the program itself knows.
#[must_use]
pub fn published() -> &'static [Published] {
    &LIST.files
}

/// Those, and the files of a person's list once it was read.
pub fn files() -> impl Iterator<Item = &'static Published> {
    published().iter().chain(known::all())
}

/// The published file of that id, the program's own or of a person's list.
#[must_use]
pub fn file(id: &str) -> Option<&'static Published> {
    published().iter().find(|file| file.id == id).or_else(|| known::find(id))
}

/// The model that a transformer of FLUX.1's size and of no name is drawn as.
#[must_use]
pub fn base_of(guidance: bool) -> &'static str {
    if guidance { "flux1-dev" } else { "flux1-schnell" }
}

/// The program's own models, then a person's.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    entries: Vec<Entry>,
    folders: Vec<PathBuf>,
    lora_folders: Vec<PathBuf>,
}

impl Default for Catalog {
    /// The program's own models.
    fn default() -> Self {
        Self { entries: built_in().to_vec(), folders: Vec::new(), lora_folders: Vec::new() }
    }
}

impl Catalog {
    /// With those of `models.toml` in the configuration directory, as far as it is right.
    #[must_use]
    pub fn load(directory: &Path) -> (Self, Vec<ConfigProblem>) {
        let mut catalog = Self::default();
        let problems = person::load(directory, &mut catalog);
        (catalog, problems)
    }

    /// The same from the file's text; `path` is for the messages.
    #[must_use]
    pub fn parse(text: &str, path: &Path) -> (Self, Vec<ConfigProblem>) {
        let mut catalog = Self::default();
        let problems = person::parse(text, path, &mut catalog);
        (catalog, problems)
    }

    /// All of them; the first is the default. Not all need be there to be drawn with.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Folders in which a person keeps weights.
    #[must_use]
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Folders in which a person keeps LoRAs.
    #[must_use]
    pub fn lora_folders(&self) -> &[PathBuf] {
        &self.lora_folders
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
        let recipe = find(&ModelName::new("nano")).expect("nano is built in").recipe;
        for role in Role::ALL {
            let Wanted::Given(Source::Embedded { name, bytes }) = recipe.wanted(role) else {
                panic!("{role} is not built in")
            };
            let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
            assert!(header < bytes.len() as u64 && bytes[8] == b'{', "{name} is not safetensors");
        }
    }

    #[test]
    fn the_small_files_of_every_model_are_in_the_program_and_json() {
        let small = |recipe: &Recipe| {
            let Recipe { vae_config, clip_config, clip_tokenizer, t5_config, t5_tokenizer, preview, .. } =
                recipe.clone();
            [vae_config, clip_config, clip_tokenizer, t5_config, t5_tokenizer, preview]
        };
        for source in built_in().iter().flat_map(|entry| small(&entry.recipe)) {
            let bytes = source.read().expect("built in");
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap_or_else(|e| panic!("{source}: {e}"));
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_not_found() {
        assert_eq!(find(&ModelName::new("Nano")), None);
    }

    #[test]
    fn flux1_is_drawn_as_its_authors_say() {
        let of = |name: &str| find(&ModelName::new(name)).expect(name).info;
        let dev = of(base_of(true));
        assert_eq!((dev.defaults.steps, dev.defaults.guidance, dev.limits.t5), (28, 3.5, 512));
        let schnell = of(base_of(false));
        assert_eq!((schnell.defaults.steps, schnell.defaults.guidance, schnell.limits.t5), (4, 0.0, 256));
        for entry in &built_in()[1..] {
            let (size, limits) = (entry.info.defaults.size, entry.info.limits);
            assert_eq!((size.width(), size.height(), limits.clip), (1024, 1024, 77), "{:?}", entry.info.name);
            let schnell = entry.info.name.as_str().contains("schnell");
            assert_eq!(limits.t5, if schnell { 256 } else { 512 }, "{:?}", entry.info.name);
        }
    }

    #[test]
    fn every_published_file_serves_a_model_or_another_file() {
        let models =
            built_in().iter().flat_map(|entry| Role::ALL.map(|role| entry.recipe.wanted(role).clone()));
        let mut used: Vec<String> = models
            .flat_map(|wanted| match wanted {
                Wanted::Published(ids) => ids,
                Wanted::Given(_) => Vec::new(),
            })
            .collect();
        used.extend(published().iter().flat_map(|file| file.with.clone()));
        for file in published() {
            assert!(used.contains(&file.id), "{} serves nothing", file.id);
        }
    }
}
