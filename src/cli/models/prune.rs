//! `flux-tui models prune`: converted transformers that nothing here can use go, after it was said which.

use std::path::PathBuf;

use serde::Serialize;

use super::remove::agreed;
use crate::catalog::find::Search;
use crate::catalog::{Bytes, Catalog, Role};
use crate::cli::failure::Failure;
use crate::cli::generate::catalog;
use crate::cli::{stdout, text};
use crate::engine::converted::{Entry, Transformer, entries};
use crate::model::Source;
use crate::paths::Paths;
use crate::worker::{Recogniser, search};

/// Remove converted transformers whose source is gone or is another file now, and those that were never finished.
///
/// What `models convert` and keep_converted made stays for as long as its source is there. Nothing else is touched, and
/// nothing goes by itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Remove without asking.
    #[arg(long)]
    yes: bool,
    /// Say what would go, and remove nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    let catalog = catalog(&paths.config);
    let all = search(&catalog, &paths, &Recogniser::default(), |search| converted(&catalog, search, &paths));
    let goes: Vec<&Entry> = all.iter().filter(|entry| entry.standing.reason().is_some()).collect();
    if !args.json {
        stdout::write(&text::plain(&all.iter().map(line).collect::<String>()))?;
    }
    let mut freed = 0;
    if !args.dry_run && !goes.is_empty() {
        if !args.yes && !agreed()? {
            return Err(Failure::NotAgreed);
        }
        for entry in &goes {
            let removed = std::fs::remove_file(&entry.file);
            removed.map_err(|source| Failure::Remove { path: entry.file.clone(), source })?;
            freed += entry.bytes;
        }
    }
    if args.json {
        return stdout::json(&Told { files: goes.into_iter().map(Listed::new).collect(), freed });
    }
    match (goes.len(), args.dry_run) {
        (0, _) => stdout::line("no converted transformer is of no use"),
        (_, true) => Ok(()),
        (count, false) => {
            stdout::line(&format!("{} removed, {} freed", text::count(count, "file"), Bytes(freed)))
        }
    }
}

/// The files of converted transformers, with what the models and transformers here make of them.
pub(super) fn converted(catalog: &Catalog, search: &Search<'_>, paths: &Paths) -> Vec<Entry> {
    let folder = paths.converted();
    // Without one there is nothing to look for.
    if !folder.is_dir() {
        return Vec::new();
    }
    let of_model = |recipe| match search.parts(recipe) {
        Ok(parts) => Some((parts.transformer, parts.complete_from)),
        Err(_) => search.weights(recipe, Role::Transformer).ok().map(|transformer| (transformer, None)),
    };
    let models = catalog.entries().iter().filter_map(|entry| of_model(&entry.recipe));
    let others = search.other_transformers().into_iter().map(|path| (Source::File(path), None));
    let known: Vec<Transformer> = models.chain(others).collect();
    entries(&folder, &known)
}

/// `goes   /…/1f….safetensors (12.0 GB, from bf16 of /…/flux1-dev.safetensors): what it was made from is gone`.
fn line(entry: &Entry) -> String {
    let Entry { file, bytes, of, from, standing } = entry;
    let from = from.map_or_else(String::new, |from| format!(", from {}", from.name()));
    let of = of.as_ref().map_or_else(String::new, |of| format!(" of {}", of.display()));
    let about = format!("{} ({}{from}{of})", file.display(), Bytes(*bytes));
    match standing.reason() {
        Some(reason) => format!("goes   {about}: {reason}\n"),
        None => format!("stays  {about}\n"),
    }
}

#[derive(Serialize)]
struct Told {
    /// Those that are of no use.
    files: Vec<Listed>,
    /// Bytes of those that were removed.
    freed: u64,
}

/// A converted transformer, for a program.
#[derive(Serialize)]
pub(super) struct Listed {
    file: PathBuf,
    bytes: u64,
    /// What it was made from.
    of: Option<PathBuf>,
    /// Why it is of no use.
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<&'static str>,
}

impl Listed {
    pub fn new(entry: &Entry) -> Self {
        let Entry { file, bytes, of, standing, .. } = entry.clone();
        Self { file, bytes, of, unusable: standing.reason() }
    }

    /// Its bytes, where it is of no use.
    pub fn wasted(&self) -> Option<u64> {
        self.unusable.map(|_| self.bytes)
    }
}
