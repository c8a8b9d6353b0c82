//! One model as `models.toml` writes it, checked.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::embedded;
use super::published::{self, Published, RawFile};
use super::recipe::{Recipe, Role, Wanted};
use crate::job::{self, JobError, Size};
use crate::model::{Defaults, ModelInfo, ModelName, Source, TextLimits};

/// What a part of a model begins with when it is in the program itself.
const BUILT_IN: &str = "built-in:";

/// A model: what a client needs to know about it, and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What a client needs to know.
    pub info: ModelInfo,
    /// What it is made of.
    pub recipe: Recipe,
}

/// A list of models and of the files that they are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// The models.
    pub entries: Vec<Entry>,
    /// The files.
    pub files: Vec<Published>,
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
    /// A base that is no model before it.
    #[error("model {model:?}: base {base:?} is no model before it")]
    Base {
        /// Which model.
        model: String,
        /// What it is said to stand on.
        base: String,
    },
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
    /// A part whose address names no file that could be fetched.
    #[error("model {model:?}: {part}: {problem}")]
    Address {
        /// Which model.
        model: String,
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A part that is neither built in, nor an absolute path, nor a list of published files.
    #[error(
        "model {model:?}: {part} = {value:?} is neither an absolute path nor an address (hf:ORG/NAME/PATH) nor a list of ids \
         of files nor one of {known}"
    )]
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
    /// A published file that cannot be fetched as it is written.
    #[error("file {file:?}: {field} {value:?} is wrong: {works}")]
    File {
        /// Which file.
        file: String,
        /// Which field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would work.
        works: &'static str,
    },
}

/// The most tokens an encoder may be given.
const TOKENS_MAX: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    #[serde(default)]
    file: Vec<RawFile>,
    #[serde(default)]
    model: Vec<toml::Table>,
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
    transformer: RawWanted,
    vae: RawWanted,
    vae_config: String,
    clip: RawWanted,
    clip_config: String,
    clip_tokenizer: String,
    t5: RawWanted,
    t5_config: String,
    t5_tokenizer: String,
    preview: String,
}

/// Weights: a text or a list of ids.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawWanted {
    Given(String),
    Published(Vec<String>),
}

/// Reads a list of models.
///
/// # Errors
/// The first thing that cannot be used, by model or file and field.
pub fn parse(toml: &str) -> Result<List, CatalogError> {
    let unreadable = |error: toml::de::Error| CatalogError::Toml(error.to_string());
    let list: RawList = toml::from_str(toml).map_err(unreadable)?;
    let mut files = published::check(list.file)?;
    let mut tables: Vec<toml::Table> = Vec::with_capacity(list.model.len());
    let mut entries: Vec<Entry> = Vec::with_capacity(list.model.len());
    for mut table in list.model {
        if let Some(base) = table.remove("base") {
            inherit(&mut table, &base, &tables)?;
        }
        let raw: RawModel = table.clone().try_into().map_err(unreadable)?;
        if entries.iter().any(|entry| entry.info.name.as_str() == raw.name) {
            return Err(CatalogError::Duplicate(raw.name));
        }
        for file in addressed(&raw)? {
            // Two models may have one file.
            if files.iter().all(|known| known.id != file.id) {
                files.push(file);
            }
        }
        entries.push(Entry { info: info(&raw)?, recipe: recipe(&raw, &files)? });
        tables.push(table);
    }
    if entries.is_empty() { Err(CatalogError::Empty) } else { Ok(List { entries, files }) }
}

/// What a model does not say is its base's.
fn inherit(table: &mut toml::Table, base: &toml::Value, before: &[toml::Table]) -> Result<(), CatalogError> {
    let Some(found) = before.iter().find(|table| table.get("name") == Some(base)) else {
        let model = table.get("name").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        return Err(CatalogError::Base { model, base: base.to_string() });
    };
    for (key, value) in found {
        table.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Ok(())
}

fn info(raw: &RawModel) -> Result<ModelInfo, CatalogError> {
    let unusable = |problem| CatalogError::Setting { model: raw.name.clone(), problem };
    let limit = |field, value| {
        let within = check_tokens(value);
        within.ok_or_else(|| CatalogError::Tokens { model: raw.name.clone(), field, value })
    };
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
            t5: limit("t5_tokens", raw.t5_tokens)?,
            clip: limit("clip_tokens", raw.clip_tokens)?,
        },
    })
}

/// A number of tokens that an encoder can be given. Two is the least: CLIP's start and end take that much.
pub(super) fn check_tokens(value: usize) -> Option<usize> {
    Some(value).filter(|value| (2..=TOKENS_MAX).contains(value))
}

/// The range of [`check_tokens`], for a message.
pub(super) fn tokens_range() -> String {
    format!("2 to {TOKENS_MAX}")
}

/// The files that a model names by their addresses.
fn addressed(raw: &RawModel) -> Result<Vec<Published>, CatalogError> {
    let parts = [("transformer", &raw.transformer), ("t5", &raw.t5), ("clip", &raw.clip), ("vae", &raw.vae)];
    let texts = parts.iter().flat_map(|(part, wanted)| match wanted {
        RawWanted::Given(text) => vec![(*part, text)],
        RawWanted::Published(ids) => ids.iter().map(|id| (*part, id)).collect(),
    });
    let files = texts.filter_map(|(part, text)| {
        let file = Published::at_address(text, &raw.license)?;
        Some(file.map_err(|problem| CatalogError::Address { model: raw.name.clone(), part, problem }))
    });
    files.collect()
}

fn recipe(raw: &RawModel, files: &[Published]) -> Result<Recipe, CatalogError> {
    let small = |part, value: &str| source(value).ok_or_else(|| unknown_part(&raw.name, part, value));
    // An address is written back in one way, and is the id by that.
    let id = |text: &String| match Published::at_address(text, "") {
        Some(Ok(file)) => file.id,
        _ => text.clone(),
    };
    let weights = |role: Role, wanted: &RawWanted| match wanted {
        RawWanted::Given(value) if Published::at_address(value, "").is_some() => {
            Ok(Wanted::Published(vec![id(value)]))
        }
        RawWanted::Given(value) => small(role.key(), value).map(Wanted::Given),
        RawWanted::Published(ids) => {
            let ids: Vec<String> = ids.iter().map(id).collect();
            let unknown = ids.iter().find(|id| files.iter().all(|file| file.id != **id));
            match (ids.is_empty(), unknown) {
                (false, None) => Ok(Wanted::Published(ids)),
                (_, unknown) => {
                    let value = unknown.map_or("[]", String::as_str);
                    Err(unknown_part(&raw.name, role.key(), value))
                }
            }
        }
    };
    Ok(Recipe {
        transformer: weights(Role::Transformer, &raw.transformer)?,
        complete_from: None,
        t5: weights(Role::T5, &raw.t5)?,
        clip: weights(Role::Clip, &raw.clip)?,
        vae: weights(Role::Vae, &raw.vae)?,
        vae_config: small("vae_config", &raw.vae_config)?,
        clip_config: small("clip_config", &raw.clip_config)?,
        clip_tokenizer: small("clip_tokenizer", &raw.clip_tokenizer)?,
        t5_config: small("t5_config", &raw.t5_config)?,
        t5_tokenizer: small("t5_tokenizer", &raw.t5_tokenizer)?,
        preview: small("preview", &raw.preview)?,
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

    fn list_with(change: impl Fn(&str) -> String) -> Result<List, CatalogError> {
        parse(&include_str!("models.toml").lines().map(|line| change(line) + "\n").collect::<String>())
    }

    fn replaced(field: &'static str, value: &'static str) -> Result<List, CatalogError> {
        list_with(|line| match line.split_once(" = ") {
            Some((name, _)) if name == field => format!("{field} = {value}"),
            _ => line.to_owned(),
        })
    }

    #[test]
    fn a_part_may_be_a_file_with_spaces_and_chinese_in_its_path() {
        let list = replaced("vae", "\"/models/测试 目录/ae.safetensors\"").expect("an absolute path");
        let given = Wanted::Given(Source::File("/models/测试 目录/ae.safetensors".into()));
        assert_eq!(list.entries[0].recipe.vae, given);
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
        let models = include_str!("models.toml");
        let again = &models[models.find("\n[[model]]").expect("there are models")..];
        assert_eq!(parse(&format!("{models}{again}")), Err(CatalogError::Duplicate("nano".to_owned())));
        assert_eq!(parse(""), Err(CatalogError::Empty));
    }

    #[test]
    fn files_and_bases_that_are_not_there_are_named() {
        let message = replaced("t5", "[\"t5-xl\"]").expect_err("no such file").to_string();
        assert!(message.contains("t5") && message.contains("t5-xl"), "{message}");
        assert!(matches!(replaced("clip", "[]"), Err(CatalogError::Part { part: "clip", .. })));
        assert!(matches!(replaced("base", "\"flux2\""), Err(CatalogError::Base { .. })));
    }
}
