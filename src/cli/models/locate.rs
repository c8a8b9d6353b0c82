//! `flux-tui models where`: where each part of a model is, or where it would come from.

use std::path::PathBuf;

use serde::Serialize;

use crate::catalog::Bytes;
use crate::cli::failure::Failure;
use crate::cli::generate::{catalog, find, model_name};
use crate::cli::{stdout, text};
use crate::engine::converted;
use crate::model::ModelName;
use crate::paths::Paths;
use crate::wire::message::PartPlace;
use crate::worker::{Recogniser, part_places, search};

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
    let parts =
        search(&catalog, &paths, &Recogniser::default(), |search| part_places(&catalog, search, &name))?;
    let converted = converted_form(&paths, &name).map(|(file, _)| file.display().to_string());
    if args.json {
        return stdout::json(&Told { model: name, parts, converted });
    }
    let mut rows: Vec<_> = parts.iter().map(|part| (part.part.as_str(), sentence(part))).collect();
    rows.extend(converted.map(|file| ("in fp8", format!("{file} (converted; loaded with --precision fp8)"))));
    stdout::write(&text::table(&rows))
}

#[derive(Serialize)]
struct Told {
    model: ModelName,
    parts: Vec<PartPlace>,
    /// The file that the transformer was converted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    converted: Option<String>,
}

/// The converted form of a model's transformer and its bytes, if both are here.
pub(super) fn converted_form(paths: &Paths, name: &ModelName) -> Option<(PathBuf, u64)> {
    let parts = find(paths, name).ok()?.parts;
    converted::file_of(&paths.converted(), &parts.transformer, parts.complete_from.as_ref())
}

fn sentence(part: &PartPlace) -> String {
    if let Some(at) = &part.at {
        return at.clone();
    }
    let mut lines = vec!["not here".to_owned()];
    if let Some(from) = &part.from {
        let bytes = from.bytes.map_or(String::new(), |bytes| format!(", {}", Bytes(bytes)));
        lines.push(format!("{}{bytes}, {}", from.id, from.license));
        lines.extend(from.places.iter().map(|place| format!("from {place}")));
        lines.extend(from.gate.iter().map(|gate| format!("terms to accept first: {gate}")));
    }
    lines.extend(part.passed_over.iter().map(|passed| format!("passed over: {passed}")));
    lines.join("\n")
}
