//! `flux-tui models where`: where each part of a model is, or where it would come from.

use std::path::PathBuf;

use serde::Serialize;

use crate::catalog::find::{Missing, Search};
use crate::catalog::{Bytes, Catalog, Role};
use crate::cli::failure::Failure;
use crate::cli::generate::{catalog, find, model_name};
use crate::cli::{stdout, text};
use crate::engine::converted::place;
use crate::engine::weights::Weights;
use crate::model::{ModelName, Source};
use crate::paths::Paths;
use crate::worker::{self, NoModel, Recogniser, search};

/// Say where each part of a model is, or where it would come from.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's name, or a path with / in it: a transformer's file or folder.
    model: String,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    let catalog = catalog(&paths.config);
    let name = model_name(&args.model);
    let parts = search(&catalog, &paths, &Recogniser::default(), |search| parts(&catalog, search, &name))?;
    let converted = converted_form(&paths, &name).map(|file| file.display().to_string());
    if args.json {
        return stdout::json(&Told { model: name, parts, converted });
    }
    let mut rows: Vec<_> = parts.iter().map(|part| (part.part, part.sentence())).collect();
    rows.extend(converted.map(|file| ("in fp8", format!("{file} (converted; loaded with --precision fp8)"))));
    stdout::write(&text::table(&rows))
}

#[derive(Serialize)]
struct Told {
    model: ModelName,
    parts: Vec<Part>,
    /// The file that the transformer was converted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    converted: Option<String>,
}

/// The converted form of a model's transformer, if both are here; whether it is whole is asked when it is loaded.
pub(super) fn converted_form(paths: &Paths, name: &ModelName) -> Option<PathBuf> {
    // Without one there is nothing to look for.
    std::fs::read_dir(paths.converted()).ok()?.next()?.ok()?;
    let parts = find(paths, name).ok()?.parts;
    let source = Weights::open_transformer(&parts.transformer, parts.complete_from.as_ref()).ok()?;
    Some(place(&paths.converted(), &source)).filter(|file| file.exists())
}

#[derive(Serialize)]
struct Part {
    part: &'static str,
    /// Where it is; absent when it is not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// Where it would come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<From>,
    /// Files in its place that are of no use, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<String>,
}

#[derive(Serialize)]
struct From {
    id: String,
    /// The first place is asked first.
    places: Vec<String>,
    bytes: Option<u64>,
    license: String,
    gate: Option<String>,
}

/// The four parts. Those of a path's model must be here.
fn parts(catalog: &Catalog, search: &Search<'_>, name: &ModelName) -> Result<Vec<Part>, NoModel> {
    if let (None, Some(entry)) = (name.as_path(), catalog.find(name)) {
        let part = |role| match search.weights(&entry.recipe, role) {
            Ok(source) => Part::here(role, &source),
            Err(missing) => Part::missing(&missing),
        };
        return Ok(Role::ALL.map(part).into_iter().collect());
    }
    let parts = worker::find(catalog, search, name)?.parts;
    let of = [&parts.transformer, &parts.t5, &parts.clip, &parts.vae];
    Ok(Role::ALL.into_iter().zip(of).map(|(role, source)| Part::here(role, source)).collect())
}

impl Part {
    fn here(role: Role, source: &Source) -> Self {
        Self { part: role.key(), at: Some(source.to_string()), from: None, passed_over: Vec::new() }
    }

    fn missing(missing: &Missing) -> Self {
        let from = missing.files.first().map(|file| From {
            id: file.id.clone(),
            places: file
                .places
                .iter()
                .map(|place| format!("{} {} {}", place.hub.name(), place.repo, place.path))
                .collect(),
            bytes: file.bytes,
            license: file.license.clone(),
            gate: file.gate.clone(),
        });
        let passed = missing.passed_over.iter();
        let passed_over =
            passed.map(|passed| format!("{}: {}", passed.path.display(), passed.reason)).collect();
        Self { part: missing.role.key(), at: None, from, passed_over }
    }

    fn sentence(&self) -> String {
        if let Some(at) = &self.at {
            return at.clone();
        }
        let mut lines = vec!["not here".to_owned()];
        if let Some(from) = &self.from {
            let bytes = from.bytes.map_or(String::new(), |bytes| format!(", {}", Bytes(bytes)));
            lines.push(format!("{}{bytes}, {}", from.id, from.license));
            lines.extend(from.places.iter().map(|place| format!("from {place}")));
            lines.extend(from.gate.iter().map(|gate| format!("terms to accept first: {gate}")));
        }
        lines.extend(self.passed_over.iter().map(|passed| format!("passed over: {passed}")));
        lines.join("\n")
    }
}
