//! `flux-tui models verify`: whether files are what was published.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::bar::{Bar, stopped};
use super::pull::{interruptible, ledger};
use super::selection;
use crate::catalog::Bytes;
use crate::cli::failure::Failure;
use crate::cli::{stdout, text};
use crate::fetch::{Cancel, Checked, Kept, Verdict, verify};

/// Read files whole and compare their hashes with what was published.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Models, published files by their ids, addresses (hf:…, ms:…), or paths; without any, all that was fetched.
    names: Vec<String>,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let all = selection::to_verify(&args.names, &ledger()?.read())?;
    let (bar, cancel) = (Bar::new(), Cancel::default());
    let checked = interruptible(&cancel, {
        let (bar, cancel) = (bar.clone(), cancel.clone());
        move || check(&all, &bar, &cancel)
    })?;
    bar.clear();
    if checked.iter().any(|checked| checked.verdict == Verdict::Cancelled) {
        return Err(Failure::Fetch(stopped()));
    }
    let bad = checked.iter().filter(|checked| !checked.verdict.is_good()).count();
    if args.json {
        stdout::json(&Told { files: checked.iter().map(OneFile::new).collect() })?;
    } else {
        for checked in &checked {
            stdout::line(&text::plain(&format!("{}: {}", checked.file.display(), said(checked))))?;
        }
    }
    if bad == 0 { Ok(()) } else { Err(Failure::Unverified { bad, of: checked.len() }) }
}

fn check(all: &[(PathBuf, Option<Kept>)], bar: &Bar, cancel: &Cancel) -> Vec<Checked> {
    let bytes = |file: &PathBuf| std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let total = all.iter().map(|(file, _)| bytes(file)).sum();
    let done = Arc::new(AtomicU64::new(0));
    let one = |(file, kept): &(PathBuf, Option<Kept>)| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        verify(file, kept.as_ref(), cancel, |read| {
            let done = done.fetch_add(read, Ordering::Relaxed) + read;
            bar.read(done, total, &format!("{} of {}  {name}", Bytes(done), Bytes(total)));
        })
    };
    all.iter().map(one).collect()
}

/// What is wrong, and what to do.
fn said(checked: &Checked) -> String {
    let bytes = Bytes(checked.bytes);
    match &checked.verdict {
        Verdict::Right { hash } => format!("right ({bytes}, {hash})"),
        Verdict::Unknown => format!("{bytes}; no hash of it is known, so nothing more can be said"),
        Verdict::Missing => "missing: fetch it again with `flux-tui models pull`".to_owned(),
        Verdict::Size { wanted } => format!(
            "WRONG: it has {} bytes and should have {wanted}; remove it and fetch it again",
            checked.bytes
        ),
        Verdict::Wrong { wanted, got } => {
            format!("WRONG: its hash is {got} and should be {wanted}; remove it and fetch it again")
        }
        Verdict::Unreadable { why } => format!("it cannot be read: {why}"),
        Verdict::Cancelled => "interrupted".to_owned(),
    }
}

#[derive(Serialize)]
struct Told {
    files: Vec<OneFile>,
}

#[derive(Serialize)]
struct OneFile {
    file: String,
    bytes: u64,
    /// `right`, `unknown`, `missing`, `size`, `wrong` or `unreadable`.
    verdict: &'static str,
    said: String,
}

impl OneFile {
    fn new(checked: &Checked) -> Self {
        let verdict = match checked.verdict {
            Verdict::Right { .. } => "right",
            Verdict::Unknown => "unknown",
            Verdict::Missing => "missing",
            Verdict::Size { .. } => "size",
            Verdict::Wrong { .. } => "wrong",
            Verdict::Unreadable { .. } => "unreadable",
            Verdict::Cancelled => "interrupted",
        };
        Self { file: checked.file.display().to_string(), bytes: checked.bytes, verdict, said: said(checked) }
    }
}
