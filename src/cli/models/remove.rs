//! `flux-tui models remove`: fetched files go, after it was said which.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde::Serialize;

use super::locate::converted_form;
use super::pull::ledger;
use super::selection;
use crate::catalog::Bytes;
use crate::cli::failure::Failure;
use crate::cli::generate::model_name;
use crate::cli::{stdout, text};
use crate::fetch::{Hubs, Removal, plan_removal, unfinished};
use crate::paths::Paths;

/// Remove fetched files from the caches.
///
/// Only what `models pull` fetched, found there or began to fetch; what another snapshot or model needs stays.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Models (what they were converted to goes too), published files by their ids, or addresses (hf:…, ms:…).
    #[arg(required = true)]
    names: Vec<String>,
    /// Remove without asking.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let ledger = ledger()?;
    let hubs = Hubs::from_env().map_err(Failure::Fetch)?;
    let kept = ledger.read();
    let parts = unfinished(&hubs);
    let converted = converted(&args.names)?;
    // Of a model of a person's own nothing was fetched, and what it was converted to can still go.
    let fetched = |word: &&String| match selection::to_remove(&[(*word).clone()], &kept, &parts) {
        Err(Failure::NotFetched(_)) => converted.iter().all(|(name, ..)| name != *word),
        _ => true,
    };
    let words: Vec<String> = args.names.iter().filter(fetched).cloned().collect();
    let (places, shared) = selection::to_remove(&words, &kept, &parts)?;
    let removal = plan_removal(&hubs, (&kept, &parts), &places, &shared);
    if !args.json {
        let goes = converted
            .iter()
            .map(|(_, file, bytes)| format!("goes   {} ({}, converted)\n", file.display(), Bytes(*bytes)));
        stdout::write(&text::plain(&(said(&removal) + &goes.collect::<String>())))?;
    }
    let none = removal.files.is_empty() && removal.unfinished.is_empty() && converted.is_empty();
    if !none && !args.yes && !agreed()? {
        return Err(Failure::NotAgreed);
    }
    let mut freed = removal.carry_out(&hubs, &ledger).map_err(Failure::Fetch)?;
    for (_, file, bytes) in &converted {
        std::fs::remove_file(file).map_err(|source| Failure::Remove { path: file.clone(), source })?;
        freed += bytes;
    }
    if args.json {
        let files =
            removal.files.iter().map(|kept| &kept.file).chain(converted.iter().map(|(_, file, _)| file));
        let files = files.map(|file| file.display().to_string()).collect();
        let unfinished = removal.unfinished.iter().map(|part| part.part.display().to_string()).collect();
        return stdout::json(&Told { files, unfinished, freed });
    }
    let files = text::count(removal.files.len() + removal.unfinished.len() + converted.len(), "file");
    stdout::line(&format!("{files} removed, {} freed", Bytes(freed)))
}

/// What the models among these words were converted to: word, file, bytes.
fn converted(words: &[String]) -> Result<Vec<(String, PathBuf, u64)>, Failure> {
    let paths = Paths::from_env()?;
    let of = |word: &String| {
        let (file, bytes) = converted_form(&paths, &model_name(word))?;
        Some((word.clone(), file, bytes))
    };
    let mut all: Vec<(String, PathBuf, u64)> = Vec::new();
    for one in words.iter().filter_map(of) {
        // Two names may be of one transformer.
        if all.iter().all(|(_, file, _)| *file != one.1) {
            all.push(one);
        }
    }
    Ok(all)
}

#[derive(Serialize)]
struct Told {
    files: Vec<String>,
    /// Parts of files that were not whole.
    unfinished: Vec<String>,
    freed: u64,
}

/// What goes and what stays.
fn said(removal: &Removal) -> String {
    let goes =
        removal.files.iter().map(|kept| format!("goes   {} ({})\n", kept.file.display(), Bytes(kept.bytes)));
    let stays = removal.stays.iter().map(|(file, why)| format!("stays  {}: {why}\n", file.display()));
    let parts = removal.unfinished.iter().map(|part| {
        format!("goes   {} ({} of {}, unfinished)\n", part.part.display(), Bytes(part.have), Bytes(part.size))
    });
    goes.chain(parts).chain(stays).collect()
}

/// Asks a person; without one, nobody has agreed.
pub(super) fn agreed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    let _ = write!(io::stderr().lock(), "Remove? [y/N] ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Failure::Stdin)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
