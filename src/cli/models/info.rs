//! `flux-tui models info`: what a model file is.

use std::path::PathBuf;

use crate::catalog::Bytes;
use crate::cli::failure::Failure;
use crate::cli::{stdout, text};
use crate::wire::message::FileFacts;
use crate::worker::facts_of;

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
    let facts = facts_of(file).map_err(|source| Failure::Weights { path: file.clone(), source })?;
    if *json { stdout::json(&facts) } else { stdout::write(&text::table(&rows(&facts))) }
}

fn rows(facts: &FileFacts) -> Vec<(&'static str, String)> {
    let mut rows = facts.rows(|bytes| Bytes(bytes).to_string());
    let draws = facts.why_not.as_ref().map_or("yes".to_owned(), |reason| format!("no: {reason}"));
    rows.push(("draws", draws));
    rows
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(file: &str) -> FileFacts {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file);
        facts_of(&path).expect("nano is whole")
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
        assert_eq!((told.kind.as_str(), told.draws), ("vae", false));
        assert_eq!(told.why_not.as_deref(), Some("it has no transformer"));
    }
}
