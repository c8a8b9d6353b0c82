//! `flux-tui models list`: every model that is known, and whether all of it is here; every LoRA in the folders; how much converted
//! transformers hold that nothing can use.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::prune::{self, Listed};
use crate::catalog::find::{Missing, Search, Total, to_fetch};
use crate::catalog::{Bytes, Catalog, Entry, Published, Role};
use crate::cli::failure::Failure;
use crate::cli::generate::catalog;
use crate::cli::{stdout, text};
use crate::engine::converted;
use crate::fetch::{Hubs, Kept, Ledger, Unfinished, unfinished};
use crate::job::LoraFacts;
use crate::paths::Paths;
use crate::wire::loras::{LoraInfo, LoraList};
use crate::worker::{KnownLoras, Looking, Recogniser, search, weight_bytes};

/// Say which models there are: licence, size, and what is missing of those that cannot be drawn with yet; and which LoRAs.
///
/// Files are found in the caches of Hugging Face and ModelScope, in the folders of ComfyUI, Forge and A1111 in the home
/// directory, in $XDG_DATA_HOME/flux-tui/models, and in the folders that models.toml names: folders = ["/folder"]. LoRAs
/// are found in the folders of LoRAs of the same programs, in $XDG_DATA_HOME/flux-tui/loras, and in the lora_folders.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    let catalog = catalog(&paths.config);
    let begun = Begun::read(&paths);
    let loras = KnownLoras::default().list(&catalog, &paths, Looking { entering: &mut |_| {}, until: None });
    if loras.left_out > 0 {
        text::complain(
            "warning",
            &format!("{} more LoRAs than are listed are in the folders", loras.left_out),
        );
    }
    let told = search(&catalog, &paths, &Recogniser::default(), |search| {
        if search.is_cut() {
            text::complain("warning", "the folders that are searched have more files than are looked at");
        }
        let converted = prune::converted(&catalog, search, &paths);
        Told::new((&catalog, search), &begun, loras, &converted)
    });
    if args.json { stdout::json(&told) } else { stdout::write(&page(&told)) }
}

#[derive(Serialize)]
struct Told {
    models: Vec<Model>,
    /// Transformers that no model of the list has: they are drawn with by their path.
    others: Vec<PathBuf>,
    loras: Vec<Lora>,
    /// Transformers that were converted to fp8.
    converted: Vec<Listed>,
}

/// A LoRA in the folders.
#[derive(Serialize)]
struct Lora {
    /// As `--lora` and a tag have it.
    name: String,
    path: String,
    bytes: u64,
    /// A picture beside it.
    picture: Option<String>,
    /// What it is, by its header.
    #[serde(flatten)]
    facts: Option<LoraFacts>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<String>,
}

#[derive(Serialize)]
struct Model {
    name: String,
    about: String,
    license: String,
    /// Bytes of its weights that are here.
    bytes: u64,
    /// Whether all of it is here.
    here: bool,
    missing: Vec<Lacks>,
    /// Of the files to fetch, when one has begun to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    half_fetched: Option<Half>,
    #[serde(skip)]
    to_fetch: Option<String>,
}

/// How much of what is to be fetched is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Half {
    have: u64,
    /// Bytes of all of it; none where a size is not known.
    of: Option<u64>,
}

/// What is here of files that models lack: whole ones, shards for example, and unfinished ones.
struct Begun {
    kept: Vec<Kept>,
    parts: Vec<Unfinished>,
}

#[derive(Serialize)]
struct Lacks {
    part: &'static str,
    /// The file that would be fetched, by its id and its own name; none where a person named a file that is not there.
    id: Option<&'static str>,
    file: Option<&'static str>,
    bytes: Option<u64>,
}

impl Told {
    fn new(
        (catalog, search): (&Catalog, &Search<'_>),
        begun: &Begun,
        loras: LoraList,
        converted: &[converted::Entry],
    ) -> Self {
        let models = catalog.entries().iter().map(|entry| Model::new(entry, search, begun)).collect();
        let loras = loras.loras.into_iter().map(Lora::new).collect();
        let converted = converted.iter().map(Listed::new).collect();
        Self { models, others: search.other_transformers(), loras, converted }
    }
}

impl Model {
    fn new(entry: &Entry, search: &Search<'_>, begun: &Begun) -> Self {
        let (mut here, mut missing) = (Vec::new(), Vec::new());
        for role in Role::ALL {
            match search.weights(&entry.recipe, role) {
                // One file may have several parts.
                Ok(source) if here.contains(&source) => {}
                Ok(source) => here.push(source),
                Err(lacks) => missing.push(lacks),
            }
        }
        let files = to_fetch(&missing);
        Self {
            name: entry.info.name.to_string(),
            about: entry.info.about.clone(),
            license: entry.info.license.clone(),
            bytes: here.iter().map(weight_bytes).sum(),
            here: missing.is_empty(),
            half_fetched: begun.of(&files),
            to_fetch: (!files.is_empty()).then(|| Total(&files).to_string()),
            missing: missing.iter().map(Lacks::new).collect(),
        }
    }
}

impl Lora {
    fn new(info: LoraInfo) -> Self {
        let name = info.file().to_owned();
        let LoraInfo { path, bytes, picture, facts, .. } = info;
        let (facts, unusable) = match facts {
            Some(Ok(facts)) => (Some(facts), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        Self { name, path, bytes, picture, facts, unusable }
    }

    /// `kohya LoRA of rank 16 for flux-1-dev, 38.4 MB`, and what may be written in a prompt.
    fn row(&self) -> String {
        let Some(facts) = &self.facts else {
            return format!("cannot be used: {}", self.unusable.as_deref().unwrap_or_default());
        };
        let title = facts.title.as_ref().map_or_else(String::new, |title| format!("{title}\n"));
        let words: Vec<_> = facts.words().collect();
        let words = if words.is_empty() { String::new() } else { format!("\nwords: {}", words.join(", ")) };
        format!("{title}{}, {}{words}", facts.what(), Bytes(self.bytes))
    }
}

impl Begun {
    /// What the record and the caches say; nothing where the environment names no caches.
    fn read(paths: &Paths) -> Self {
        let parts = Hubs::from_env().map_or_else(|_| Vec::new(), |hubs| unfinished(&hubs));
        Self { kept: Ledger::at(paths.fetched()).read(), parts }
    }

    /// How much of these files is here, if one of them is unfinished.
    fn of(&self, files: &[&Published]) -> Option<Half> {
        let mut half = Half { have: 0, of: Some(0) };
        let mut begun = false;
        for file in files {
            let part = self.parts.iter().filter(|part| file.places.contains(&part.place) && part.have > 0);
            let part = part.max_by_key(|part| part.have);
            let whole = self.kept.iter().find(|kept| file.places.contains(&kept.place) && kept.file.exists());
            let (have, size) = match (whole, part) {
                (Some(kept), _) => (kept.bytes, Some(kept.bytes)),
                (None, Some(part)) => {
                    begun = true;
                    (part.have, Some(part.size))
                }
                (None, None) => (0, file.bytes),
            };
            half.have += have;
            half.of = half.of.zip(size).map(|(all, size)| all + size);
        }
        begun.then_some(half)
    }
}

impl fmt::Display for Half {
    /// `half fetched: 3.10 of 11.90 GB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let have = Bytes(self.have).to_string();
        let Some(of) = self.of.map(|of| Bytes(of).to_string()) else {
            return write!(f, "half fetched: {have}");
        };
        let same = have.split_once(' ').zip(of.split_once(' '));
        let number = same.and_then(|((number, unit), (_, other))| (unit == other).then_some(number));
        write!(f, "half fetched: {} of {of}", number.unwrap_or(&have))
    }
}

impl Lacks {
    fn new(missing: &Missing) -> Self {
        let file = missing.files.first().copied();
        Self {
            part: missing.role.key(),
            id: file.map(|file| file.id.as_str()),
            file: file.map(Published::file_name),
            bytes: file.and_then(|file| file.bytes),
        }
    }
}

fn page(told: &Told) -> String {
    let row = |model: &Model| {
        let state = if model.here {
            format!("here, {}", Bytes(model.bytes))
        } else {
            let lacks: Vec<_> = model.missing.iter().map(|lacks| lacks.part).collect();
            let size = model.to_fetch.as_ref().map_or_else(String::new, |size| format!(" ({size} to fetch)"));
            let half = model.half_fetched.map_or_else(String::new, |half| format!("{half}; "));
            format!("{half}missing: {}{size}", lacks.join(", "))
        };
        format!("{}\n{}\n{state}", model.about, model.license)
    };
    let mut rows: Vec<(&str, String)> =
        told.models.iter().map(|model| (model.name.as_str(), row(model))).collect();
    if !told.others.is_empty() {
        let paths: Vec<_> = told.others.iter().map(|path| path.display().to_string()).collect();
        rows.push(("by path", paths.join("\n")));
    }
    let mut page = text::table(&rows);
    if !told.loras.is_empty() {
        let rows: Vec<_> = told.loras.iter().map(|lora| (lora.name.as_str(), lora.row())).collect();
        page += &format!("\nLoRAs, for --lora and <lora:NAME>\n\n{}", text::table(&rows));
    }
    let wasted: Vec<u64> = told.converted.iter().filter_map(Listed::wasted).collect();
    if !wasted.is_empty() {
        let (files, bytes) = (text::count(wasted.len(), "converted transformer"), Bytes(wasted.iter().sum()));
        page += &format!(
            "\n{files} of no use ({bytes}); `flux-tui models prune` says why, and removes what you agree to\n"
        );
    }
    page
}
