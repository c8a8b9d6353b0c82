//! One model as `models.toml` writes it, checked.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::embedded;
use crate::job::{self, JobError, Size};
use crate::model::{Defaults, ModelInfo, ModelName, Parts, Source, TextLimits};

/// What a part of a model begins with when it is in the program itself.
const BUILT_IN: &str = "built-in:";

/// A model: what a client needs to know about it, and where its parts are.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What a client needs to know.
    pub info: ModelInfo,
    /// Where its parts are.
    pub parts: Parts,
}

/// Why a list of models cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CatalogError {
    /// Not TOML, or a field is missing, misspelt or of the wrong kind.
    #[error("the list of models cannot be read: {0}")]
    Toml(String),
    /// No `[[model]]` at all.
    #[error("the list of models is empty: add a [[model]]")]
    Empty,
    /// Two models of one name.
    #[error("there are two models {0:?}: give one of them another name")]
    Duplicate(String),
    /// A setting that no picture can be drawn with.
    #[error("model {model:?}: {problem}")]
    Setting {
        /// Which model.
        model: String,
        /// Which setting, its value and what would work.
        problem: JobError,
    },
    /// A limit that leaves no room for text.
    #[error("model {model:?}: {field} {value} is out of range: 2 to {TOKENS_MAX}")]
    Tokens {
        /// Which model.
        model: String,
        /// Which limit.
        field: &'static str,
        /// Its value.
        value: usize,
    },
    /// A part that is neither built in nor an absolute path.
    #[error("model {model:?}: {part} = {value:?} is neither an absolute path nor one of {known}")]
    Part {
        /// Which model.
        model: String,
        /// Which part.
        part: &'static str,
        /// Its value.
        value: String,
        /// What is built in.
        known: String,
    },
}

/// The most tokens an encoder may be given.
const TOKENS_MAX: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    #[serde(default)]
    model: Vec<RawModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: String,
    about: String,
    license: String,
    width: u32,
    height: u32,
    steps: u32,
    guidance: f32,
    t5_tokens: usize,
    clip_tokens: usize,
    transformer: String,
    vae: String,
    vae_config: String,
    clip: String,
    clip_config: String,
    clip_tokenizer: String,
    t5: String,
    t5_config: String,
    t5_tokenizer: String,
    preview: String,
}

/// Reads a list of models.
///
/// # Errors
/// The first thing that cannot be used, by model and field.
pub fn parse(toml: &str) -> Result<Vec<Entry>, CatalogError> {
    let list: RawList = toml::from_str(toml).map_err(|error| CatalogError::Toml(error.to_string()))?;
    let mut entries: Vec<Entry> = Vec::with_capacity(list.model.len());
    for raw in &list.model {
        if entries.iter().any(|entry| entry.info.name.as_str() == raw.name) {
            return Err(CatalogError::Duplicate(raw.name.clone()));
        }
        entries.push(Entry { info: info(raw)?, parts: parts(raw)? });
    }
    if entries.is_empty() { Err(CatalogError::Empty) } else { Ok(entries) }
}

fn info(raw: &RawModel) -> Result<ModelInfo, CatalogError> {
    let unusable = |problem| CatalogError::Setting { model: raw.name.clone(), problem };
    Ok(ModelInfo {
        name: ModelName::new(&raw.name),
        about: raw.about.clone(),
        license: raw.license.clone(),
        defaults: Defaults {
            size: Size::new(raw.width, raw.height).map_err(unusable)?,
            steps: job::check_steps(raw.steps).map_err(unusable)?,
            guidance: job::check_guidance(raw.guidance).map_err(unusable)?,
        },
        limits: TextLimits {
            t5: tokens(&raw.name, "t5_tokens", raw.t5_tokens)?,
            clip: tokens(&raw.name, "clip_tokens", raw.clip_tokens)?,
        },
    })
}

/// Two is the least: CLIP's start and end take that much.
fn tokens(model: &str, field: &'static str, value: usize) -> Result<usize, CatalogError> {
    if (2..=TOKENS_MAX).contains(&value) {
        Ok(value)
    } else {
        Err(CatalogError::Tokens { model: model.to_owned(), field, value })
    }
}

fn parts(raw: &RawModel) -> Result<Parts, CatalogError> {
    let part = |part, value: &str| source(value).ok_or_else(|| unknown_part(&raw.name, part, value));
    Ok(Parts {
        transformer: part("transformer", &raw.transformer)?,
        complete_from: None,
        vae: part("vae", &raw.vae)?,
        vae_config: part("vae_config", &raw.vae_config)?,
        clip: part("clip", &raw.clip)?,
        clip_config: part("clip_config", &raw.clip_config)?,
        clip_tokenizer: part("clip_tokenizer", &raw.clip_tokenizer)?,
        t5: part("t5", &raw.t5)?,
        t5_config: part("t5_config", &raw.t5_config)?,
        t5_tokenizer: part("t5_tokenizer", &raw.t5_tokenizer)?,
        preview: part("preview", &raw.preview)?,
    })
}

fn source(value: &str) -> Option<Source> {
    match value.strip_prefix(BUILT_IN) {
        Some(name) => embedded::source(name),
        None => Path::new(value).is_absolute().then(|| Source::File(PathBuf::from(value))),
    }
}

fn unknown_part(model: &str, part: &'static str, value: &str) -> CatalogError {
    let known = embedded::names().map(|name| format!("{BUILT_IN}{name}")).collect::<Vec<_>>().join(", ");
    CatalogError::Part { model: model.to_owned(), part, value: value.to_owned(), known }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_with(change: impl Fn(&str) -> String) -> Result<Vec<Entry>, CatalogError> {
        parse(&include_str!("models.toml").lines().map(|line| change(line) + "\n").collect::<String>())
    }

    fn replaced(field: &'static str, value: &'static str) -> Result<Vec<Entry>, CatalogError> {
        list_with(|line| match line.split_once(" = ") {
            Some((name, _)) if name == field => format!("{field} = {value}"),
            _ => line.to_owned(),
        })
    }

    #[test]
    fn a_part_may_be_a_file_with_spaces_and_chinese_in_its_path() {
        let entries = replaced("vae", "\"/models/测试 目录/ae.safetensors\"").expect("an absolute path");
        assert_eq!(entries[0].parts.vae, Source::File("/models/测试 目录/ae.safetensors".into()));
    }

    #[test]
    fn a_part_that_is_nowhere_is_named_with_what_there_is() {
        let message = replaced("vae", "\"built-in:ae\"").expect_err("no such file").to_string();
        assert!(message.contains("vae") && message.contains("built-in:nano/ae.safetensors"), "{message}");
        assert!(matches!(replaced("t5", "\"models/t5\""), Err(CatalogError::Part { part: "t5", .. })));
    }

    #[test]
    fn settings_that_cannot_be_drawn_are_refused() {
        assert!(matches!(replaced("width", "100"), Err(CatalogError::Setting { .. })));
        assert!(matches!(replaced("steps", "0"), Err(CatalogError::Setting { .. })));
        assert!(matches!(replaced("guidance", "nan"), Err(CatalogError::Setting { .. })));
        assert!(matches!(replaced("t5_tokens", "1"), Err(CatalogError::Tokens { field: "t5_tokens", .. })));
        assert!(matches!(replaced("steps", "-1"), Err(CatalogError::Toml(_))));
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let message =
            list_with(|line| line.replace("guidance", "guidence")).expect_err("misspelt").to_string();
        assert!(message.contains("guidence"), "{message}");
    }

    #[test]
    fn two_models_of_one_name_and_none_at_all_are_refused() {
        let twice = include_str!("models.toml").repeat(2);
        assert_eq!(parse(&twice), Err(CatalogError::Duplicate("nano".to_owned())));
        assert_eq!(parse(""), Err(CatalogError::Empty));
    }
}
