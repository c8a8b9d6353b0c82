//! The files of `models/` that are in the program itself.

use crate::model::Source;

/// A table of file names and contents. It is a `static`: each use of a `const` would embed it again.
macro_rules! embed {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../models/", $name)))),+]
    };
}

static FILES: &[(&str, &[u8])] = embed![
    "nano/flux1-nano-fp8.safetensors",
    "nano/ae.safetensors",
    "nano/vae_config.json",
    "nano/clip.safetensors",
    "nano/clip_config.json",
    "nano/clip_tokenizer.json",
    "nano/t5.safetensors",
    "nano/t5_config.json",
    "nano/t5_tokenizer.json",
    "nano/preview.json",
    "flux1/vae_config.json",
    "flux1/clip_config.json",
    "flux1/clip_tokenizer.json.gz",
    "flux1/t5_config.json",
    "flux1/t5_tokenizer.json.gz",
    "flux1/preview.json",
];

/// The file of that name below `models/`.
pub(super) fn source(name: &str) -> Option<Source> {
    FILES.iter().find(|(known, _)| *known == name).map(|&(name, bytes)| Source::Embedded { name, bytes })
}

/// The contents of all of them.
pub fn embedded_files() -> impl Iterator<Item = &'static [u8]> {
    FILES.iter().map(|(_, bytes)| *bytes)
}

/// Their names, for a message.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}
