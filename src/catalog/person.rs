//! A person's own models: `models.toml` in the configuration directory, each on top of a model that is known; and the
//! folders in which published files are looked for.
//!
//! ```toml
//! folders = ["/data/ComfyUI/models"]          # whatever is in them is known by its content
//! lora_folders = ["/data/loras"]              # LoRAs are known by their names there
//!
//! [[model]]
//! name = "mine"
//! base = "flux1-dev"                          # what is not said here is this model's
//! transformer = "/models/it.safetensors"      # a file, an index of several, or a folder of diffusers
//!                                             # or an address, fetched when it is wanted: "hf:ORG/NAME/PATH" (Hugging
//!                                             # Face), "ms:ORG/NAME/PATH" (ModelScope), "hf:ORG/NAME@REVISION/PATH"
//! # clip, t5, vae, clip_config, t5_config, vae_config, clip_tokenizer, t5_tokenizer: the same
//! # complete_from: a transformer that gives this one the layers at its ends, where it has only blocks
//! # about, license, width, height, steps, guidance, t5_tokens
//!
//! [[file]]                                    # one that others publish, to be fetched by name
//! id = "it-fp8"                               # `flux-tui models pull it-fp8`; a part of a model is a list of ids:
//! license = "Apache-2.0"                      # transformer = ["it-fp8"]
//! places = [{ hub = "huggingface", repo = "OWNER/NAME", path = "it-fp8.safetensors" }] # or "modelscope"; revision
//! # bytes, sha256: what it must be; gate: the page of its terms; with: ids of the shards of an index
//! ```
//!
//! A file that is wrong never stops the program: each [`ConfigProblem`] names the line and what is allowed, and only
//! that model is left out.

use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::entry::{check_tokens, tokens_range};
use super::published::{self, Published, RawFile};
use super::recipe::{Recipe, Role, Wanted};
use super::{Catalog, Entry, known};
use crate::config::{self, ConfigProblem};
use crate::job::{self, JobError, Size};
use crate::model::{ModelName, Source};

/// What a part's folder may have beside its weights.
const CONFIG: &str = "config.json";

/// Every key of a model, for a message.
const KEYS: &str = "name, base, transformer, clip, t5, vae, clip_config, t5_config, vae_config, clip_tokenizer, \
                    t5_tokenizer, complete_from, about, license, width, height, steps, guidance, t5_tokens";

/// Reads `models.toml` of the configuration directory into the catalogue.
pub(super) fn load(directory: &Path, catalog: &mut Catalog) -> Vec<ConfigProblem> {
    let path = directory.join("models.toml");
    match config::read_small(&path) {
        Ok(None) => Vec::new(),
        Ok(Some(text)) => parse(&text, &path, catalog),
        Err(message) => vec![ConfigProblem { path, line: None, message }],
    }
}

/// Adds what is right of the file's text; `path` is for the messages.
pub(super) fn parse(text: &str, path: &Path, catalog: &mut Catalog) -> Vec<ConfigProblem> {
    let Catalog { entries, folders, lora_folders } = catalog;
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
    let mut files: Vec<(usize, Published)> = Vec::new();
    for (key, value) in table.get_ref().iter().filter(|(key, _)| key.get_ref() == "file") {
        let Some(list) = value.get_ref().as_array() else {
            problem(key.span().start, "a file is a section, [[file]]".to_owned());
            continue;
        };
        for one in list {
            match file(one, &files) {
                Ok(file) => files.push((one.span().start, file)),
                Err((offset, message)) => problem(offset, message),
            }
        }
    }
    for at in lacking_companions(&files) {
        let (offset, file) = files.remove(at);
        problem(offset, format!("file {:?}: with names a file of no known id: {:?}", file.id, file.with));
    }
    for (_, file) in files {
        known::keep(file);
    }
    for (key, value) in table.get_ref() {
        if key.get_ref() == "file" {
            continue;
        }
        let list = match key.get_ref().as_ref() {
            "folders" => Some(&mut *folders),
            "lora_folders" => Some(&mut *lora_folders),
            _ => None,
        };
        if let Some(list) = list {
            match paths(key.get_ref(), value) {
                Ok(paths) => list.extend(paths),
                Err(message) => problem(value.span().start, message),
            }
            continue;
        }
        let models = value.get_ref().as_array().filter(|_| key.get_ref() == "model");
        let Some(models) = models else {
            problem(
                key.span().start,
                format!(
                    "{:?} is not known here; there are folders, lora_folders, [[model]] and [[file]]",
                    key.get_ref()
                ),
            );
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

/// One file. An error says where in the text.
fn file(value: &Value<'_>, before: &[(usize, Published)]) -> Result<Published, (usize, String)> {
    let at = value.span().start;
    let raw = RawFile::deserialize(value.clone().into_deserializer())
        .map_err(|error| (error.span().map_or(at, |span| span.start), error.message().to_owned()))?;
    let file = published::one(raw).map_err(|error| (at, error.to_string()))?;
    let of_its_id = |one: &Published| one.id == file.id;
    if before.iter().map(|(_, file)| file).any(of_its_id) || super::published().iter().any(of_its_id) {
        return Err((at, format!("there is a file {:?} already: use another id", file.id)));
    }
    Ok(file)
}

/// The numbers of files that name companions which are in no list, the last first.
fn lacking_companions(files: &[(usize, Published)]) -> Vec<usize> {
    let own = || files.iter().map(|(_, file)| file);
    let known = |id: &String| own().chain(super::published()).any(|file| file.id == *id);
    (0..files.len()).rev().filter(|at| !files[*at].1.with.iter().all(known)).collect()
}

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
    // Whatever is fetched for it is under its licence, wherever in the section that is said.
    if let Some(value) = table.get("license") {
        entry.info.license = text("license", value).map_err(|error| (value.span().start, error))?;
    }
    for (key, value) in table {
        set(&mut entry, key.get_ref(), value).map_err(|message| (key.span().start, message))?;
    }
    Ok(entry)
}

fn set(entry: &mut Entry, key: &str, value: &Value<'_>) -> Result<(), String> {
    let Entry { info, recipe } = entry;
    let defaults = &mut info.defaults;
    let said = |error: JobError| error.to_string();
    match key {
        "name" | "base" | "license" => {}
        "complete_from" => recipe.complete_from = Some(Wanted::Given(Source::File(path(key, value)?))),
        "about" => info.about = text(key, value)?,
        "width" => defaults.size = Size::new(whole(key, value)?, defaults.size.height()).map_err(said)?,
        "height" => defaults.size = Size::new(defaults.size.width(), whole(key, value)?).map_err(said)?,
        "steps" => defaults.steps = job::check_steps(whole(key, value)?).map_err(said)?,
        "guidance" => defaults.guidance = job::check_guidance(real(key, value)?).map_err(said)?,
        "t5_tokens" => {
            let tokens = whole(key, value)?;
            let within = usize::try_from(tokens).ok().and_then(check_tokens);
            info.limits.t5 =
                within.ok_or_else(|| format!("t5_tokens {tokens} is out of range: {}", tokens_range()))?;
        }
        _ => match Role::ALL.into_iter().find(|role| role.key() == key) {
            Some(role) if value.get_ref().as_array().is_some() => {
                recipe.replace_with(role, Wanted::Published(ids(key, value, &info.license)?));
            }
            Some(role) => match addressed(key, &text(key, value)?, &info.license)? {
                Some(id) => recipe.replace_with(role, Wanted::Published(vec![id])),
                None => weights(recipe, role, path(key, value)?),
            },
            None => {
                let small =
                    recipe.small_mut(key).ok_or_else(|| format!("{key:?} is not known; there are {KEYS}"))?;
                *small = Source::File(path(key, value)?);
            }
        },
    }
    Ok(())
}

fn weights(recipe: &mut Recipe, role: Role, path: PathBuf) {
    // A folder brings its own configuration, unless another is named.
    let own = Some(path.join(CONFIG)).filter(|config| config.is_file());
    if let Some((config, own)) = recipe.small_mut(&format!("{}_config", role.key())).zip(own) {
        *config = Source::File(own);
    }
    recipe.replace(role, Source::File(path));
}

/// The id of a file that is named by its address; `None` where the text is none.
fn addressed(key: &str, text: &str, license: &str) -> Result<Option<String>, String> {
    let file = Published::at_address(text, license).transpose().map_err(|error| format!("{key}: {error}"))?;
    Ok(file.map(|file| known::keep(file).id.clone()))
}

/// Files of which one serves.
fn ids(key: &str, value: &Value<'_>, license: &str) -> Result<Vec<String>, String> {
    let list = value.get_ref().as_array().map(|list| list.iter()).into_iter().flatten();
    let id = |value| {
        let id = text(key, value)?;
        Ok::<_, String>(addressed(key, &id, license)?.unwrap_or(id))
    };
    let ids = list.map(id).collect::<Result<Vec<_>, _>>()?;
    match ids.iter().find(|id| super::file(id).is_none()) {
        Some(unknown) => {
            Err(format!("{key} names the file {unknown:?}, and there is no [[file]] of that id"))
        }
        None if ids.is_empty() => Err(format!("{key} = [] names no file")),
        None => Ok(ids),
    }
}

/// Folders to look in.
fn paths(key: &str, value: &Value<'_>) -> Result<Vec<PathBuf>, String> {
    let list = value.get_ref().as_array().ok_or_else(|| wrong(key, value, "a list of whole paths"))?;
    list.iter().map(|value| path(key, value)).collect()
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
        let address = match Role::ALL.iter().any(|role| role.key() == key) {
            true => ", or an address: hf:ORG/NAME/PATH (Hugging Face), ms:ORG/NAME/PATH (ModelScope)",
            false => "",
        };
        Err(format!("{key} = {:?} must be a whole path, from / on{address}", path.display().to_string()))
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
        let mut catalog = Catalog::default();
        let problems = parse(text, Path::new("models.toml"), &mut catalog);
        let problems = problems.iter().map(ToString::to_string).collect();
        (catalog.entries.split_off(crate::catalog::built_in().len()), problems)
    }

    #[test]
    fn a_model_is_its_base_with_what_it_says() {
        let (entries, problems) = read(
            "[[model]]\nname = \"mine\"\nbase = \"nano\"\ntransformer = \"/模 型/it.safetensors\"\nsteps = 4\n\
             guidance = 2\nwidth = 64\nlicense = \"mine\"\n[[model]]\nname = \"more\"\nbase = \"mine\"\n",
        );
        assert_eq!(problems, [] as [String; 0]);
        let nano = &crate::catalog::built_in()[0];
        let given = Wanted::Given(Source::File("/模 型/it.safetensors".into()));
        assert_eq!(entries[0].recipe.transformer, given);
        assert_eq!(entries[0].recipe.t5, nano.recipe.t5);
        let defaults = entries[0].info.defaults;
        assert_eq!((defaults.size.width(), defaults.size.height(), defaults.steps), (64, 128, 4));
        assert_eq!((defaults.guidance, entries[0].info.license.as_str()), (2.0, "mine"));
        assert_eq!(entries[1].recipe, entries[0].recipe);
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
            ("line 3", "nano, flux1-dev"),
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
    fn folders_and_the_length_of_text_are_read() {
        let mut catalog = Catalog::default();
        let text = "folders = [\"/data/模型 库\", \"/b\"]\nlora_folders = [\"/l\"]\n[[model]]\nname = \"long\"\nbase = \"flux1-schnell\"\n\
                    t5_tokens = 512\n";
        assert_eq!(parse(text, Path::new("models.toml"), &mut catalog), []);
        assert_eq!(catalog.folders(), [Path::new("/data/模型 库"), Path::new("/b")]);
        assert_eq!(catalog.lora_folders(), [Path::new("/l")]);
        let long = catalog.find(&ModelName::new("long")).expect("it is there");
        assert_eq!((long.info.limits.t5, long.info.defaults.steps), (512, 4));
        let (_, problems) =
            read("folders = [\"data\"]\n[[model]]\nname = \"a\"\nbase = \"nano\"\nt5_tokens = 1\n");
        assert!(problems[0].contains("line 1") && problems[0].contains("from / on"), "{problems:?}");
        assert!(problems[1].contains("line 5") && problems[1].contains("2 to 4096"), "{problems:?}");
    }

    #[test]
    fn files_are_fetched_by_name_and_serve_models() {
        let place = "places = [{ hub = \"huggingface\", repo = \"o/n\", path = \"it.safetensors\" }]\n";
        let text = format!(
            "[[model]]\nname = \"tuned\"\nbase = \"flux1-dev\"\ntransformer = [\"persons-it\", \"flux1-dev\"]\n\
             [[file]]\nid = \"persons-it\"\nbytes = 7\nlicense = \"MIT\"\nwith = [\"persons-shard\"]\n{place}\
             [[file]]\nid = \"persons-shard\"\nlicense = \"MIT\"\n{place}"
        );
        let (entries, problems) = read(&text);
        assert_eq!(problems, [] as [String; 0]);
        let ids = ["persons-it", "flux1-dev"].map(str::to_owned).to_vec();
        assert_eq!(entries[0].recipe.transformer, Wanted::Published(ids));
        let file = crate::catalog::file("persons-it").expect("it was read");
        assert_eq!((file.bytes, file.license.as_str(), file.file_name()), (Some(7), "MIT", "it.safetensors"));
        assert!(crate::catalog::files().any(|one| std::ptr::eq(one, file)));
    }

    #[test]
    fn a_part_may_be_an_address_on_a_hub() {
        let (entries, problems) = read(
            "[[model]]\nname = \"mine\"\nbase = \"flux1-dev\"\nvae = [\"hf:o/n/vae/x.safetensors\", \"flux1-vae\"]\n\
             transformer = \"ms:o/n@v2/模 型/it.gguf\"\nlicense = \"MIT\"\n",
        );
        assert_eq!(problems, [] as [String; 0]);
        let Wanted::Published(ids) = &entries[0].recipe.transformer else { panic!("{entries:?}") };
        let file = crate::catalog::file(&ids[0]).expect("it was kept");
        assert_eq!((file.id.as_str(), file.license.as_str()), ("ms:o/n@v2/模 型/it.gguf", "MIT"));
        let place = &file.places[0];
        assert_eq!((place.repo.as_str(), place.revision.as_str()), ("o/n", "v2"));
        let ids = ["hf:o/n/vae/x.safetensors", "flux1-vae"].map(str::to_owned).to_vec();
        assert_eq!(entries[0].recipe.vae, Wanted::Published(ids));
        let (entries, problems) = read(
            "[[model]]\nname = \"a\"\nbase = \"nano\"\nt5 = \"hf:o/n\"\n\
             [[model]]\nname = \"b\"\nbase = \"nano\"\ntransformer = \"hf:o/n/../x\"\n\
             [[model]]\nname = \"c\"\nbase = \"nano\"\ntransformer = \"gh:o/n/x\"\n\
             [[model]]\nname = \"d\"\nbase = \"nano\"\ntransformer = \"hf:o/n/m.safetensors.index.json\"\n\
             [[model]]\nname = \"e\"\nbase = \"nano\"\nvae = [\"ms:o n/n/x\"]\n\
             [[model]]\nname = \"f\"\nbase = \"nano\"\nvae_config = \"hf:o/n/config.json\"\n",
        );
        assert!(entries.is_empty(), "{entries:?}");
        let expected = [
            ("line 4", "hf:ORG/NAME/PATH"),
            ("line 8", "leaves the repository"),
            ("line 12", "or an address"),
            ("line 16", "[[file]]"),
            ("line 20", "\"o n/n\" is no repository"),
            ("line 24", "from / on"),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for ((line, what), problem) in expected.iter().zip(&problems) {
            assert!(problem.contains(line) && problem.contains(what), "{line}, {what}: {problem}");
        }
    }

    #[test]
    fn files_that_cannot_be_fetched_are_named_with_their_lines() {
        let place = "places = [{ hub = \"modelscope\", repo = \"o/n\", path = \"p\" }]\n";
        let (entries, problems) = read(&format!(
            "[[file]]\nid = \"flux1-dev\"\nlicense = \"MIT\"\n{place}\
             [[file]]\nid = \"persons-a\"\nlicense = \"MIT\"\nplaces = []\n\
             [[file]]\nid = \"persons-b\"\nlicence = \"MIT\"\n{place}\
             [[file]]\nid = \"persons-c\"\nlicense = \"MIT\"\nwith = [\"persons-none\"]\n{place}\
             [[model]]\nname = \"x\"\nbase = \"flux1-dev\"\ntransformer = [\"persons-a\"]\n"
        ));
        assert!(entries.is_empty(), "{entries:?}");
        let expected = [
            ("line 1", "another id"),
            ("line 5", "a file lies somewhere"),
            ("line 11", "licence"),
            ("line 13", "persons-none"),
            ("line 21", "\"persons-a\", and there is no [[file]]"),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for ((line, what), problem) in expected.iter().zip(&problems) {
            assert!(problem.contains(line) && problem.contains(what), "{line}, {what}: {problem}");
        }
    }

    #[test]
    fn a_broken_file_is_one_problem_with_its_line() {
        let (entries, problems) = read("[[model]]\nname = \n");
        assert!(entries.is_empty() && problems.len() == 1 && problems[0].contains("line 2"), "{problems:?}");
        let (_, problems) = read("models = 3\n");
        assert!(problems[0].contains("line 1") && problems[0].contains("[[model]]"), "{problems:?}");
    }
}
