//! `flux-tui models list`: every model that is known, and whether all of it is here.

use std::path::PathBuf;

use serde::Serialize;

use crate::catalog::find::{Missing, Search, Total, to_fetch};
use crate::catalog::{Bytes, Catalog, Entry, Published, Role};
use crate::cli::failure::Failure;
use crate::cli::generate::catalog;
use crate::cli::{stdout, text};
use crate::paths::Paths;
use crate::worker::{Recogniser, search, weight_bytes};

/// Say which models there are: licence, size, and what is missing of those that cannot be drawn with yet.
///
/// Files are found in the caches of Hugging Face and ModelScope, in the folders of ComfyUI, Forge and A1111 in the home
/// directory, in $XDG_DATA_HOME/flux-tui/models, and in the folders that models.toml names: folders = ["/folder"].
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    let catalog = catalog(&paths.config);
    let told = search(&catalog, &paths, &Recogniser::default(), |search| {
        if search.is_cut() {
            text::complain("warning", "the folders that are searched have more files than are looked at");
        }
        Told::new(&catalog, search)
    });
    if args.json { stdout::json(&told) } else { stdout::write(&page(&told)) }
}

#[derive(Serialize)]
struct Told {
    models: Vec<Model>,
    /// Transformers that no model of the list has: they are drawn with by their path.
    others: Vec<PathBuf>,
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
    #[serde(skip)]
    to_fetch: Option<String>,
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
    fn new(catalog: &Catalog, search: &Search<'_>) -> Self {
        let models = catalog.entries().iter().map(|entry| Model::new(entry, search)).collect();
        Self { models, others: search.other_transformers() }
    }
}

impl Model {
    fn new(entry: &Entry, search: &Search<'_>) -> Self {
        let (mut here, mut missing) = (Vec::new(), Vec::new());
        for role in Role::ALL {
            match search.weights(&entry.recipe, role) {
                // One file may have several parts.
                Ok(source) if here.contains(&source) => {}
                Ok(source) => here.push(source),
                Err(lacks) => missing.push(lacks),
            }
        }
        Self {
            name: entry.info.name.to_string(),
            about: entry.info.about.clone(),
            license: entry.info.license.clone(),
            bytes: here.iter().map(weight_bytes).sum(),
            here: missing.is_empty(),
            to_fetch: Some(to_fetch(&missing))
                .filter(|files| !files.is_empty())
                .map(|files| Total(&files).to_string()),
            missing: missing.iter().map(Lacks::new).collect(),
        }
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
            format!("missing: {}{size}", lacks.join(", "))
        };
        format!("{}\n{}\n{state}", model.about, model.license)
    };
    let mut rows: Vec<(&str, String)> =
        told.models.iter().map(|model| (model.name.as_str(), row(model))).collect();
    if !told.others.is_empty() {
        let paths: Vec<_> = told.others.iter().map(|path| path.display().to_string()).collect();
        rows.push(("by path", paths.join("\n")));
    }
    text::table(&rows)
}
