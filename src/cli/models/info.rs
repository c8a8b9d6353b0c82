//! `flux-tui models info`: what a model file is.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::catalog::Bytes;
use crate::cli::failure::Failure;
use crate::cli::{stdout, text};
use crate::engine::weights::{Found, Identity, Kind, Part, identify};

/// Say what a file or folder is, what it lacks, and whether pictures can be drawn with it.
///
/// By names, shapes and types, never by the file's name, and from the header alone: it takes milliseconds however
/// large the file is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A weight file, an index of several, or a folder of diffusers.
    file: PathBuf,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Args { file, json } = args;
    let identity = identify(file).map_err(|source| Failure::Weights { path: file.clone(), source })?;
    let told = Told::new(file, &identity);
    if *json { stdout::json(&told) } else { stdout::write(&text::table(&rows(&told))) }
}

/// What is told, in the order that it is told in.
#[derive(Serialize)]
struct Told {
    file: String,
    kind: &'static str,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'static str>,
    parts: Vec<OnePart>,
    /// Bytes by type.
    precision: Vec<Precision>,
    /// Whether fp8 weights have scales beside them.
    scaled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<Size>,
    /// Parts of a model that are not in it.
    missing: Vec<&'static str>,
    draws: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
    memory: Memory,
}

#[derive(Serialize)]
struct OnePart {
    part: &'static str,
    names: &'static str,
    bytes: u64,
}

#[derive(Serialize)]
struct Precision {
    r#type: String,
    bytes: u64,
}

#[derive(Serialize)]
struct Size {
    hidden: usize,
    heads: usize,
    double_blocks: usize,
    single_blocks: usize,
    in_channels: usize,
    context: usize,
    vector: usize,
    guidance: bool,
}

/// Bytes that the weights take.
#[derive(Serialize)]
struct Memory {
    cpu: u64,
    card: u64,
}

impl Told {
    fn new(file: &Path, identity: &Identity) -> Self {
        let drawn = identity.drawn();
        let (variant, size) = match &identity.kind {
            Kind::Transformer { variant, config } => {
                let size = Size {
                    hidden: config.hidden,
                    heads: config.heads,
                    double_blocks: config.double_blocks,
                    single_blocks: config.single_blocks,
                    in_channels: config.in_channels,
                    context: config.context_dim,
                    vector: config.vec_dim,
                    guidance: config.guidance,
                };
                (Some(variant.name()), Some(size))
            }
            _ => (None, None),
        };
        let total = |bytes: fn(&Found) -> u64| identity.parts.iter().map(bytes).sum();
        let one = |found: &Found| OnePart { part: word(found.part), names: found.form, bytes: found.bytes };
        let precision = |(r#type, bytes): &(String, u64)| Precision { r#type: r#type.clone(), bytes: *bytes };
        let (kind, what) = kind(identity);
        Self {
            file: file.display().to_string(),
            kind,
            what,
            variant,
            parts: identity.parts.iter().map(one).collect(),
            precision: identity.precision.iter().map(precision).collect(),
            scaled: identity.scaled,
            size,
            missing: identity.missing().into_iter().map(word).collect(),
            draws: drawn.is_ok(),
            why_not: drawn.err(),
            memory: Memory { cpu: total(|found| found.on_cpu), card: total(|found| found.on_card) },
        }
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

fn rows(told: &Told) -> Vec<(&'static str, String)> {
    let mut rows = vec![("file", told.file.clone()), ("is", told.what.clone())];
    let part = |part: &OnePart| format!("{} ({} names), {}", part.part, part.names, size(part.bytes));
    let lines = |all: Vec<String>| all.join("\n");
    if !told.parts.is_empty() {
        rows.push(("parts", lines(told.parts.iter().map(part).collect())));
    }
    if !told.precision.is_empty() {
        let one = |precision: &Precision| format!("{} {}", precision.r#type, size(precision.bytes));
        let scaled = if told.scaled { ", fp8 with scales beside it" } else { "" };
        let all: Vec<_> = told.precision.iter().map(one).collect();
        rows.push(("precision", all.join(", ") + scaled));
    }
    if let Some(Size { hidden, heads, double_blocks, single_blocks, .. }) = told.size {
        rows.push((
            "size",
            format!("{hidden} wide, {heads} heads, {double_blocks} double and {single_blocks} single blocks"),
        ));
    }
    if told.memory.card > 0 {
        let Memory { cpu, card } = told.memory;
        rows.push(("weights", format!("{} on a card, {} on the CPU", size(card), size(cpu))));
    }
    if !told.parts.is_empty() && !told.missing.is_empty() {
        rows.push(("not in it", told.missing.join(", ")));
    }
    rows.push(("draws", told.why_not.as_ref().map_or("yes".to_owned(), |reason| format!("no: {reason}"))));
    rows
}

fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(file: &str) -> Told {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file);
        Told::new(&path, &identify(&path).expect("nano is whole"))
    }

    #[test]
    fn a_transformer_is_told_with_its_size_and_what_it_needs() {
        let table = text::table(&rows(&told("flux1-nano-fp8.safetensors")));
        for line in [
            "is         FLUX.1 dev, or a fine-tune of it",
            "size       256 wide, 4 heads, 3 double and 5 single blocks",
            "not in it  t5, clip, vae",
            "draws      yes",
        ] {
            assert!(table.lines().any(|l| l == line), "{line} is not in\n{table}");
        }
        assert!(table.contains("precision  fp8 e4m3 12.6 MB, bf16"), "{table}");
    }

    #[test]
    fn another_part_is_named_and_does_not_draw() {
        let told = told("ae.safetensors");
        assert_eq!((told.kind, told.draws), ("vae", false));
        assert_eq!(told.why_not.as_deref(), Some("it has no transformer"));
    }
}
