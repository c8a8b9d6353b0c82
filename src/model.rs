//! What a model is: its name, its parts and where their bytes come from, and what suits it.
//!
//! The catalogue fills these in, the engine reads them; neither knows the other.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::job::Size;

/// The name that a person calls a model by, or the whole path of a transformer's file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelName(pub String);

impl ModelName {
    /// The built-in model's name.
    pub const NANO: &'static str = "nano";

    /// A name as typed.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The file that it is, when it is one: then nobody has named the model.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        Some(Path::new(&self.0)).filter(|path| path.is_absolute())
    }

    /// The name as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the name of a compressed file in the program ends in.
const PACKED: &str = ".gz";
/// No file in the program is longer than this, inflated.
const UNPACKED_MAX: u64 = 16 << 20;

/// Where the bytes of one part come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In the program itself. Weights are as they are; another file may be compressed, and then its name ends in `.gz`.
    Embedded {
        /// The file it was made from, for messages.
        name: &'static str,
        /// Its contents.
        bytes: &'static [u8],
    },
    /// A file; for weights also an index of several, or a folder.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { name, .. } => write!(f, "built-in {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Source {
    /// The whole contents: borrowed when built in, inflated when built in and compressed, read when a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self) -> std::io::Result<Cow<'static, [u8]>> {
        match self {
            Self::Embedded { name, bytes } if name.ends_with(PACKED) => {
                let mut whole = Vec::new();
                flate2::read::GzDecoder::new(*bytes).take(UNPACKED_MAX).read_to_end(&mut whole)?;
                Ok(Cow::Owned(whole))
            }
            Self::Embedded { bytes, .. } => Ok(Cow::Borrowed(bytes)),
            Self::File(path) => std::fs::read(path).map(Cow::Owned),
        }
    }
}

/// The parts of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The diffusion transformer: safetensors or GGUF in any form that the engine knows, here and below.
    pub transformer: Source,
    /// A transformer that has the layers at both ends where this one has only blocks.
    pub complete_from: Option<Source>,
    /// The VAE.
    pub vae: Source,
    /// `AutoencoderKL`'s config, JSON: scaling and shift factors.
    pub vae_config: Source,
    /// CLIP's text model.
    pub clip: Source,
    /// Its config, JSON.
    pub clip_config: Source,
    /// Its `tokenizer.json`.
    pub clip_tokenizer: Source,
    /// T5's encoder.
    pub t5: Source,
    /// Its config, JSON.
    pub t5_config: Source,
    /// Its `tokenizer.json`.
    pub t5_tokenizer: Source,
    /// The 16×3 projection from latent to colour, JSON.
    pub preview: Source,
    /// A folder for what the encoders make of prompts, so that each is read once; `None` keeps nothing.
    pub encoded: Option<PathBuf>,
    /// A folder of transformers that were converted to fp8, to be loaded in place of those that they come from where
    /// blocks are kept in fp8; `None` uses none.
    pub converted: Option<PathBuf>,
    /// A folder for what a card's products were found to be fastest by, so that it is tried once; `None` keeps nothing.
    pub products: Option<PathBuf>,
}

#[cfg(test)]
impl Parts {
    /// The built-in model's, as files of the repository.
    pub(crate) fn nano() -> Self {
        let file = |name| Source::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(name));
        Self {
            transformer: file("flux1-nano-fp8.safetensors"),
            complete_from: None,
            vae: file("ae.safetensors"),
            vae_config: file("vae_config.json"),
            clip: file("clip.safetensors"),
            clip_config: file("clip_config.json"),
            clip_tokenizer: file("clip_tokenizer.json"),
            t5: file("t5.safetensors"),
            t5_config: file("t5_config.json"),
            t5_tokenizer: file("t5_tokenizer.json"),
            preview: file("preview.json"),
            encoded: None,
            converted: None,
            products: None,
        }
    }
}

/// What suits a model when the person does not say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Defaults {
    /// Width and height.
    pub size: Size,
    /// Evaluations of the transformer.
    pub steps: u32,
    /// The embedded guidance.
    pub guidance: f32,
}

/// How much text a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextLimits {
    /// Tokens of T5, the end token included.
    pub t5: usize,
    /// Tokens of CLIP, start and end tokens included.
    pub clip: usize,
}

/// What a client needs to know about a model to offer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name.
    pub name: ModelName,
    /// One line about it.
    pub about: String,
    /// What suits it.
    pub defaults: Defaults,
    /// How much text it reads.
    pub limits: TextLimits,
    /// Its licence.
    pub license: String,
}
