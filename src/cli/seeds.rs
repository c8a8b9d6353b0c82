//! `flux-tui seeds`: the seeds that were tried for a prompt, and how good their pictures are.

use serde::Serialize;

use super::failure::Failure;
use super::library::{Access, stars, time};
use super::{block_on, stdout};
use crate::client::ClientError;
use crate::job::{Prompt, TriedSeed};
use crate::paths::Paths;
use crate::wire::library::{LibraryRequest, LibraryResponse};

/// The seeds that were tried for a prompt: favourites first, then the best rated, then the latest.
///
/// White space makes no other prompt: a line end is as good as a blank, and two are as good as one. Everything else does,
/// upper and lower case too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The whole prompt, as it was drawn.
    prompt: String,
    /// One JSON object on standard output: seeds, each with its rating, favourite, picture, path, model and size.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Told<'a> {
    seeds: &'a [TriedSeed],
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let prompt = Prompt::new(args.prompt.as_str())?;
    let mut access = Access::new(Paths::from_env()?);
    let seeds = block_on(async {
        match access.ask(LibraryRequest::Seeds(prompt)).await? {
            LibraryResponse::Seeds(seeds) => Ok(seeds),
            _ => Err(ClientError::Unexpected.into()),
        }
    })?;
    if args.json {
        return stdout::json(&Told { seeds: &seeds });
    }
    if seeds.is_empty() {
        return stdout::line("no seed was tried for this prompt");
    }
    stdout::write(&seeds.iter().map(line).collect::<String>())
}

fn line(tried: &TriedSeed) -> String {
    let favourite = if tried.favourite { '♥' } else { ' ' };
    let state = match (tried.trashed, tried.missing) {
        (true, _) => "  in the trash",
        (false, true) => "  missing",
        (false, false) => "",
    };
    format!(
        "{:>10}  {} {favourite}  {}  {} {}  picture {}{state}\n",
        tried.seed,
        stars(tried.rating),
        time(tried.finished_at),
        tried.model,
        tried.size,
        tried.picture,
    )
}
