//! What a model is made of: weights that are somewhere or are to be found, and the small files beside them.

use std::fmt;

use crate::model::{Parts, Source};

/// What weights do in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The diffusion transformer.
    Transformer,
    /// The T5 encoder.
    T5,
    /// The CLIP text encoder.
    Clip,
    /// The VAE.
    Vae,
}

impl Role {
    /// All of them, the largest first.
    pub const ALL: [Self; 4] = [Self::Transformer, Self::T5, Self::Clip, Self::Vae];

    /// The key of `models.toml`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Transformer => "transformer",
            Self::T5 => "t5",
            Self::Clip => "clip",
            Self::Vae => "vae",
        }
    }
}

impl fmt::Display for Role {
    /// For a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transformer => "the transformer",
            Self::T5 => "the T5 encoder",
            Self::Clip => "the CLIP encoder",
            Self::Vae => "the VAE",
        })
    }
}

/// The weights of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These: in the program, or where a person has said.
    Given(Source),
    /// One of these published files, by id, the first one first.
    Published(Vec<String>),
}

/// Everything that a model is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The diffusion transformer.
    pub transformer: Wanted,
    /// A transformer that has the layers at both ends where this one has only blocks.
    pub complete_from: Option<Wanted>,
    /// T5's encoder.
    pub t5: Wanted,
    /// CLIP's text model.
    pub clip: Wanted,
    /// The VAE.
    pub vae: Wanted,
    /// As [`Parts::vae_config`], and so on.
    pub vae_config: Source,
    /// CLIP's config.
    pub clip_config: Source,
    /// CLIP's tokenizer.
    pub clip_tokenizer: Source,
    /// T5's config.
    pub t5_config: Source,
    /// T5's tokenizer.
    pub t5_tokenizer: Source,
    /// The preview's projection.
    pub preview: Source,
}

impl Recipe {
    /// The weights of a role.
    #[must_use]
    pub fn wanted(&self, role: Role) -> &Wanted {
        match role {
            Role::Transformer => &self.transformer,
            Role::T5 => &self.t5,
            Role::Clip => &self.clip,
            Role::Vae => &self.vae,
        }
    }

    /// The same, to be changed.
    pub fn wanted_mut(&mut self, role: Role) -> &mut Wanted {
        match role {
            Role::Transformer => &mut self.transformer,
            Role::T5 => &mut self.t5,
            Role::Clip => &mut self.clip,
            Role::Vae => &mut self.vae,
        }
    }

    /// Puts other weights in a role's place. Where a transformer has only blocks, the rest is from the one before.
    pub fn replace(&mut self, role: Role, by: Source) {
        self.replace_with(role, Wanted::Given(by));
    }

    /// The same with weights that may have to be found.
    pub fn replace_with(&mut self, role: Role, by: Wanted) {
        let before = std::mem::replace(self.wanted_mut(role), by);
        if role == Role::Transformer {
            self.complete_from.get_or_insert(before);
        }
    }

    /// A file that is no weights, by its key in `models.toml`.
    pub(super) fn small_mut(&mut self, key: &str) -> Option<&mut Source> {
        Some(match key {
            "vae_config" => &mut self.vae_config,
            "clip_config" => &mut self.clip_config,
            "clip_tokenizer" => &mut self.clip_tokenizer,
            "t5_config" => &mut self.t5_config,
            "t5_tokenizer" => &mut self.t5_tokenizer,
            _ => return None,
        })
    }

    /// The model's parts, once it is known where the weights of each role are; `complete_from` where that is here.
    pub fn parts<E>(
        &self,
        complete_from: Option<Source>,
        mut weights: impl FnMut(Role) -> Result<Source, E>,
    ) -> Result<Parts, E> {
        Ok(Parts {
            transformer: weights(Role::Transformer)?,
            complete_from,
            t5: weights(Role::T5)?,
            clip: weights(Role::Clip)?,
            vae: weights(Role::Vae)?,
            vae_config: self.vae_config.clone(),
            clip_config: self.clip_config.clone(),
            clip_tokenizer: self.clip_tokenizer.clone(),
            t5_config: self.t5_config.clone(),
            t5_tokenizer: self.t5_tokenizer.clone(),
            preview: self.preview.clone(),
            encoded: None,
            converted: None,
            products: None,
        })
    }
}
