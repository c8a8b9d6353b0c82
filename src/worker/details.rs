//! What a model and its files are, by their headers: for `models info`, `models where` and the studio.

use std::path::Path;

use super::models::{NoModel, find};
use crate::catalog::find::{Lacking, Missing, Search};
use crate::catalog::{Catalog, Role};
use crate::engine::weights::{Found, Identity, Kind, Part, fits, identify_source};
use crate::model::{ModelName, Source};
use crate::wire::message::{
    FileFacts, MemoryNeed, ModelDetails, PartFacts, PartOrigin, PartPlace, PrecisionBytes, TransformerSize,
};

/// Where each part of a model is. Those of a path's model must be here.
///
/// # Errors
/// [`NoModel`].
pub fn part_places(
    catalog: &Catalog,
    search: &Search<'_>,
    name: &ModelName,
) -> Result<Vec<PartPlace>, NoModel> {
    if let (None, Some(entry)) = (name.as_path(), catalog.find(name)) {
        let part = |role| match search.weights(&entry.recipe, role) {
            Ok(source) => here(role, &source),
            Err(missing) => missing_part(&missing),
        };
        return Ok(Role::ALL.map(part).into_iter().collect());
    }
    let parts = find(catalog, search, name)?.parts;
    let of = [&parts.transformer, &parts.t5, &parts.clip, &parts.vae];
    Ok(Role::ALL.into_iter().zip(of).map(|(role, source)| here(role, source)).collect())
}

fn here(role: Role, source: &Source) -> PartPlace {
    let at = Some(source.to_string());
    PartPlace { part: role.key().to_owned(), at, from: None, passed_over: Vec::new() }
}

fn missing_part(missing: &Missing) -> PartPlace {
    let from = missing.files.first().map(|file| PartOrigin {
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
    let passed_over = passed.map(|passed| format!("{}: {}", passed.path.display(), passed.reason)).collect();
    PartPlace { part: missing.role.key().to_owned(), at: None, from, passed_over }
}

/// A model by its files.
///
/// # Errors
/// [`NoModel`]. What is wrong with one file is told of that file.
pub fn details(catalog: &Catalog, search: &Search<'_>, name: &ModelName) -> Result<ModelDetails, NoModel> {
    let parts = part_places(catalog, search, name)?;
    let sources: Vec<(Role, Source)> = match catalog.find(name) {
        Some(entry) => {
            let here = |role| search.weights(&entry.recipe, role).ok().map(|source| (role, source));
            Role::ALL.into_iter().filter_map(here).collect()
        }
        None => {
            let parts = find(catalog, search, name)?.parts;
            let of = [parts.transformer, parts.t5, parts.clip, parts.vae];
            Role::ALL.into_iter().zip(of).collect()
        }
    };
    let (mut files, mut memory) = (Vec::new(), MemoryNeed::default());
    let mut seen: Vec<(&Source, Option<Identity>)> = Vec::new();
    for (role, source) in &sources {
        if seen.iter().all(|(known, _)| known != &source) {
            let identity = identify_source(source);
            files.push(match &identity {
                Ok(identity) => facts(&source.to_string(), identity),
                Err(problem) => unreadable(source, problem.to_string()),
            });
            seen.push((source, identity.ok()));
        }
        let found = seen.iter().find(|(known, _)| known == &source);
        let identity = found.and_then(|(_, identity)| identity.as_ref());
        for part in identity.iter().flat_map(|identity| &identity.parts) {
            if word(part.part) == role.key() {
                memory = MemoryNeed { cpu: memory.cpu + part.on_cpu, card: memory.card + part.on_card };
            }
        }
    }
    Ok(ModelDetails { model: name.clone(), parts, files, memory, why_not: why_not(catalog, search, name) })
}

/// Why a model cannot be drawn with, if it cannot.
fn why_not(catalog: &Catalog, search: &Search<'_>, name: &ModelName) -> Option<String> {
    match find(catalog, search, name) {
        Ok(ready) => fits(&ready.parts).err(),
        Err(NoModel::Lacking(Lacking { missing, .. })) => {
            let parts: Vec<_> = missing.iter().map(|missing| missing.role.to_string()).collect();
            Some(format!("{} missing", parts.join(", ") + if parts.len() == 1 { " is" } else { " are" }))
        }
        Err(other) => Some(other.to_string()),
    }
}

/// What a file is.
#[must_use]
pub fn facts(file: &str, identity: &Identity) -> FileFacts {
    let drawn = identity.drawn();
    let (variant, size) = match &identity.kind {
        Kind::Transformer { variant, config } => {
            let size = TransformerSize {
                hidden: config.hidden,
                heads: config.heads,
                double_blocks: config.double_blocks,
                single_blocks: config.single_blocks,
                in_channels: config.in_channels,
                context: config.context_dim,
                vector: config.vec_dim,
                guidance: config.guidance,
            };
            (Some(variant.name().to_owned()), Some(size))
        }
        _ => (None, None),
    };
    let total = |bytes: fn(&Found) -> u64| identity.parts.iter().map(bytes).sum();
    let one = |found: &Found| PartFacts {
        part: word(found.part).to_owned(),
        names: found.form.to_owned(),
        bytes: found.bytes,
    };
    let precision =
        |(r#type, bytes): &(String, u64)| PrecisionBytes { r#type: r#type.clone(), bytes: *bytes };
    let (kind, what) = kind(identity);
    FileFacts {
        file: file.to_owned(),
        kind: kind.to_owned(),
        what,
        variant,
        parts: identity.parts.iter().map(one).collect(),
        precision: identity.precision.iter().map(precision).collect(),
        scaled: identity.scaled,
        size,
        missing: identity.missing().into_iter().map(|part| word(part).to_owned()).collect(),
        draws: drawn.is_ok(),
        why_not: drawn.err(),
        memory: MemoryNeed { cpu: total(|found| found.on_cpu), card: total(|found| found.on_card) },
    }
}

/// A file that cannot be read, and why.
fn unreadable(source: &Source, problem: String) -> FileFacts {
    FileFacts {
        file: source.to_string(),
        kind: "unreadable".to_owned(),
        what: format!("cannot be read: {problem}"),
        variant: None,
        parts: Vec::new(),
        precision: Vec::new(),
        scaled: false,
        size: None,
        missing: Vec::new(),
        draws: false,
        why_not: Some(problem),
        memory: MemoryNeed::default(),
    }
}

fn word(part: Part) -> &'static str {
    match part {
        Part::Transformer => "transformer",
        Part::Vae => "vae",
        Part::Clip => "clip",
        Part::T5 => "t5",
    }
}

/// The kind in one word, and what it is in a sentence.
fn kind(identity: &Identity) -> (&'static str, String) {
    match &identity.kind {
        Kind::Transformer { variant, .. } => {
            let whole = identity.missing().is_empty();
            let kind = if whole { "all-in-one" } else { "transformer" };
            let with = if whole { ", with its encoders and VAE" } else { "" };
            let from = identity.converted_from.map(|from| format!(", converted from {}", from.name()));
            let from = from.unwrap_or_default();
            (kind, format!("FLUX.1 {}, or a fine-tune of it{with}{from}", variant.name()))
        }
        Kind::Blocks(_) => ("blocks", "a FLUX.1 transformer without the layers at its ends".to_owned()),
        Kind::Incomplete(_) => ("incomplete", "a FLUX.1 transformer that is not whole".to_owned()),
        Kind::Parts => {
            let parts: Vec<_> = identity.parts.iter().map(|found| found.part.wanted()).collect();
            let kind = match &identity.parts[..] {
                [one] => word(one.part),
                _ => "parts",
            };
            (kind, parts.join(" and "))
        }
        Kind::Lora(names) => ("lora", format!("a LoRA ({names})")),
        Kind::Other(name) => ("other", name.clone()),
        Kind::Unknown(Some(first)) => ("unknown", format!("unknown; its first tensor is {first:?}")),
        Kind::Unknown(None) => ("unknown", "a file without tensors".to_owned()),
    }
}

/// What a file at a path is.
///
/// # Errors
/// When it is not a whole safetensors or GGUF file.
pub fn facts_of(path: &Path) -> Result<FileFacts, crate::engine::weights::WeightsError> {
    Ok(facts(&path.display().to_string(), &identify_source(&Source::File(path.to_owned()))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::places::Places;

    fn of(name: &str) -> ModelDetails {
        let recognise = |_: &Path| Err("there is no file".to_owned());
        let (catalog, search) = (Catalog::default(), Search::new(Places::default(), &recognise));
        details(&catalog, &search, &ModelName::new(name)).expect("it is known")
    }

    #[test]
    fn a_model_in_the_program_is_told_by_its_four_files() {
        let nano = of("nano");
        let at: Vec<_> = nano.parts.iter().map(|part| (part.part.as_str(), part.at.is_some())).collect();
        assert_eq!(at, [("transformer", true), ("t5", true), ("clip", true), ("vae", true)]);
        assert_eq!((nano.files.len(), nano.why_not.as_deref()), (4, None));
        assert_eq!(nano.files[0].variant.as_deref(), Some("dev"));
        let card: u64 = nano.files.iter().map(|file| file.memory.card).sum();
        assert_eq!(nano.memory.card, card, "each of its files is one part");
    }

    #[test]
    fn a_model_that_is_not_here_says_what_is_missing_and_where_it_would_come_from() {
        let dev = of("flux1-dev");
        assert!(dev.files.is_empty() && dev.memory == MemoryNeed::default(), "{dev:?}");
        let why_not = dev.why_not.as_deref().unwrap_or_default();
        assert_eq!(why_not, "the transformer, the T5 encoder, the CLIP encoder, the VAE are missing");
        let from = dev.parts[0].from.as_ref().expect("it is published");
        assert_eq!(from.places[0], "Hugging Face black-forest-labs/FLUX.1-dev flux1-dev.safetensors");
    }
}
