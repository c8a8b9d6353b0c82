//! A person's own models: `models.toml` in the configuration directory, each on top of a model that is known.
//!
//! ```toml
//! [[model]]
//! name = "mine"
//! base = "nano"                               # what is not said here is this model's
//! transformer = "/models/it.safetensors"      # a file, an index of several, or a folder of diffusers
//! # clip, t5, vae, clip_config, t5_config, vae_config, clip_tokenizer, t5_tokenizer: the same
//! # complete_from: a transformer that gives this one the layers at its ends, where it has only blocks
//! # about, license, width, height, steps, guidance
//! ```
//!
//! A file that is wrong never stops the program: each [`ConfigProblem`] names the line and what is allowed, and only
//! that model is left out.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Entry;
use crate::config::{self, ConfigProblem};
use crate::job::{self, JobError, Size};
use crate::model::{ModelName, Parts, Source};

/// What a part's folder may have beside its weights.
const CONFIG: &str = "config.json";

/// Every key of a model, for a message.
const KEYS: &str = "name, base, transformer, clip, t5, vae, clip_config, t5_config, vae_config, clip_tokenizer, \
                    t5_tokenizer, complete_from, about, license, width, height, steps, guidance";

/// Reads `models.toml` of the configuration directory into `entries`.
pub(super) fn load(directory: &Path, entries: &mut Vec<Entry>) -> Vec<ConfigProblem> {
    let path = directory.join("models.toml");
    match config::read_small(&path) {
        Ok(None) => Vec::new(),
        Ok(Some(text)) => parse(&text, &path, entries),
        Err(message) => vec![ConfigProblem { path, line: None, message }],
    }
}

/// Adds what is right of the file's text; `path` is for the messages.
pub(super) fn parse(text: &str, path: &Path, entries: &mut Vec<Entry>) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let mut problem = |offset: usize, message: String| {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        problems.push(ConfigProblem { path: path.to_owned(), line: Some(line), message });
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            problem(start, format!("{}; nothing of the file is used", error.message()));
            return problems;
        }
    };
    for (key, value) in table.get_ref() {
        let models = value.get_ref().as_array().filter(|_| key.get_ref() == "model");
        let Some(models) = models else {
            problem(key.span().start, format!("{:?} is not known here; there is [[model]]", key.get_ref()));
            continue;
        };
        for model in models {
            let read = match model.get_ref().as_table() {
                Some(table) => entry(table, model.span().start, entries),
                None => Err((model.span().start, "a model is a section, [[model]]".to_owned())),
            };
            match read {
                Ok(entry) => entries.push(entry),
                Err((offset, message)) => problem(offset, message),
            }
        }
    }
    problems
}

type Value<'v> = Spanned<DeValue<'v>>;

/// One model. An error says where in the text.
fn entry(table: &DeTable<'_>, at: usize, known: &[Entry]) -> Result<Entry, (usize, String)> {
    let required = |key: &str| {
        let value = table.get(key).ok_or_else(|| (at, format!("a model needs {key:?}")))?;
        text(key, value).map(|text| (text, value.span().start)).map_err(|error| (value.span().start, error))
    };
    let (name, name_at) = required("name")?;
    if name.trim().is_empty() || name.contains('/') {
        return Err((name_at, format!("name {name:?} cannot be told from a path: use a word without /")));
    }
    if known.iter().any(|entry| entry.info.name.as_str() == name) {
        return Err((name_at, format!("there is a model {name:?} already: use another name")));
    }
    let (base, base_at) = required("base")?;
    let Some(base) = known.iter().find(|entry| entry.info.name.as_str() == base) else {
        let known: Vec<_> = known.iter().map(|entry| entry.info.name.as_str()).collect();
        return Err((base_at, format!("base {base:?} is not known; there is {}", known.join(", "))));
    };
    let mut entry = base.clone();
    entry.info.about = format!("yours, on top of {}", base.info.name);
    entry.info.name = ModelName::new(name);
    for (key, value) in table {
        set(&mut entry, key.get_ref(), value).map_err(|message| (key.span().start, message))?;
    }
    Ok(entry)
}

fn set(entry: &mut Entry, key: &str, value: &Value<'_>) -> Result<(), String> {
    let Entry { info, parts } = entry;
    let defaults = &mut info.defaults;
    let said = |error: JobError| error.to_string();
    match key {
        "name" | "base" => {}
        "complete_from" => parts.complete_from = Some(Source::File(path(key, value)?)),
        "about" => info.about = text(key, value)?,
        "license" => info.license = text(key, value)?,
        "width" => defaults.size = Size::new(whole(key, value)?, defaults.size.height()).map_err(said)?,
        "height" => defaults.size = Size::new(defaults.size.width(), whole(key, value)?).map_err(said)?,
        "steps" => defaults.steps = job::check_steps(whole(key, value)?).map_err(said)?,
        "guidance" => defaults.guidance = job::check_guidance(real(key, value)?).map_err(said)?,
        _ => {
            if key == "transformer" {
                // Where it has only blocks, the rest is its base's.
                let base = parts.transformer.clone();
                parts.complete_from.get_or_insert(base);
            }
            let source = part(parts, key).ok_or_else(|| format!("{key:?} is not known; there are {KEYS}"))?;
            let path = path(key, value)?;
            *source = Source::File(path.clone());
            // A folder brings its own configuration, unless another is named.
            let own = [path.join(CONFIG)].into_iter().find(|config| config.is_file());
            let config = part(parts, &format!("{key}_config")).zip(own);
            if let Some((config, own)) = config {
                *config = Source::File(own);
            }
        }
    }
    Ok(())
}

fn part<'p>(parts: &'p mut Parts, key: &str) -> Option<&'p mut Source> {
    Some(match key {
        "transformer" => &mut parts.transformer,
        "vae" => &mut parts.vae,
        "vae_config" => &mut parts.vae_config,
        "clip" => &mut parts.clip,
        "clip_config" => &mut parts.clip_config,
        "clip_tokenizer" => &mut parts.clip_tokenizer,
        "t5" => &mut parts.t5,
        "t5_config" => &mut parts.t5_config,
        "t5_tokenizer" => &mut parts.t5_tokenizer,
        _ => return None,
    })
}

fn wrong(key: &str, value: &Value<'_>, allowed: &str) -> String {
    format!("{key} is {}, it must be {allowed}", value.get_ref().type_str())
}

fn text(key: &str, value: &Value<'_>) -> Result<String, String> {
    value.get_ref().as_str().map(str::to_owned).ok_or_else(|| wrong(key, value, "a text in quotes"))
}

fn path(key: &str, value: &Value<'_>) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(key, value)?);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("{key} = {:?} must be a whole path, from / on", path.display().to_string()))
    }
}

fn whole(key: &str, value: &Value<'_>) -> Result<u32, String> {
    let integer = value.get_ref().as_integer().ok_or_else(|| wrong(key, value, "a whole number"))?;
    u32::from_str_radix(integer.as_str(), integer.radix())
        .map_err(|_| format!("{key} {} is out of range", integer.as_str()))
}

fn real(key: &str, value: &Value<'_>) -> Result<f32, String> {
    let text = match value.get_ref() {
        DeValue::Float(float) => float.as_str(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        _ => return Err(wrong(key, value, "a number")),
    };
    text.parse().map_err(|_| format!("{key} {text} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Entry>, Vec<String>) {
        let mut entries = crate::catalog::built_in().to_vec();
        let problems = parse(text, Path::new("models.toml"), &mut entries);
        let problems = problems.iter().map(ToString::to_string).collect();
        (entries.split_off(crate::catalog::built_in().len()), problems)
    }

    #[test]
    fn a_model_is_its_base_with_what_it_says() {
        let (entries, problems) = read(
            "[[model]]\nname = \"mine\"\nbase = \"nano\"\ntransformer = \"/模 型/it.safetensors\"\nsteps = 4\n\
             guidance = 2\nwidth = 64\nlicense = \"mine\"\n[[model]]\nname = \"more\"\nbase = \"mine\"\n",
        );
        assert_eq!(problems, [] as [String; 0]);
        let nano = &crate::catalog::built_in()[0];
        assert_eq!(entries[0].parts.transformer, Source::File("/模 型/it.safetensors".into()));
        assert_eq!(entries[0].parts.t5, nano.parts.t5);
        let defaults = entries[0].info.defaults;
        assert_eq!((defaults.size.width(), defaults.size.height(), defaults.steps), (64, 128, 4));
        assert_eq!((defaults.guidance, entries[0].info.license.as_str()), (2.0, "mine"));
        assert_eq!(entries[1].parts, entries[0].parts);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_the_other_models_are_kept() {
        let (entries, problems) = read(
            "[[model]]\nname = \"a\"\nbase = \"none\"\n[[model]]\nname = \"nano\"\nbase = \"nano\"\n\
             [[model]]\nname = \"b\"\nbase = \"nano\"\nvae = \"ae.safetensors\"\n\
             [[model]]\nname = \"c\"\nbase = \"nano\"\nsteps = 0\n[[model]]\nname = \"d\"\n\
             [[model]]\nname = \"e\"\nbase = \"nano\"\ntransfromer = \"/a\"\n\
             [[model]]\nname = \"good\"\nbase = \"nano\"\n",
        );
        let expected = [
            ("line 3", "there is nano"),
            ("line 5", "another name"),
            ("line 10", "from / on"),
            ("line 14", "1 to 200"),
            ("line 15", "needs \"base\""),
            ("line 20", "transformer"),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for ((line, what), problem) in expected.iter().zip(&problems) {
            assert!(problem.contains(line) && problem.contains(what), "{line}, {what}: {problem}");
        }
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn a_broken_file_is_one_problem_with_its_line() {
        let (entries, problems) = read("[[model]]\nname = \n");
        assert!(entries.is_empty() && problems.len() == 1 && problems[0].contains("line 2"), "{problems:?}");
        let (_, problems) = read("models = 3\n");
        assert!(problems[0].contains("line 1") && problems[0].contains("[[model]]"), "{problems:?}");
    }
}
