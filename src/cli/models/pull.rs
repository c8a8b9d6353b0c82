//! `flux-tui models pull`: published files come into the caches of their hubs.

use clap::ValueEnum;
use serde::Serialize;

use super::bar::Bar;
use super::selection;
use crate::catalog::{Bytes, Hub};
use crate::cli::failure::Failure;
use crate::cli::{block_on, stdout, text};
use crate::fetch::{Cancel, FetchError, Fetched, Hubs, Kept, Ledger, Options, Wanted};
use crate::paths::Paths;

/// Fetch published files into the caches of Hugging Face and ModelScope, where other programs find them too.
///
/// What is there already is not fetched again; what broke off is gone on with. Ctrl-C keeps what has come.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Models (what is missing of them is fetched), published files by their ids, or addresses: hf:ORG/NAME/PATH of
    /// Hugging Face, ms:ORG/NAME/PATH of ModelScope; @REVISION may follow NAME.
    #[arg(required = true)]
    names: Vec<String>,
    /// The only hub to ask.
    #[arg(long, value_enum, default_value_t = Source::Auto)]
    source: Source,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// Whichever has the file and answers.
    Auto,
    /// huggingface.co, or HF_ENDPOINT.
    Huggingface,
    /// modelscope.cn, or MODELSCOPE_ENDPOINT.
    Modelscope,
}

impl Source {
    fn only(self) -> Option<Hub> {
        match self {
            Self::Auto => None,
            Self::Huggingface => Some(Hub::HuggingFace),
            Self::Modelscope => Some(Hub::ModelScope),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let selected = selection::to_fetch(&args.names)?;
    let (asked, wanted): (Vec<_>, Vec<_>) = selected.into_iter().unzip();
    if wanted.is_empty() && !args.json {
        return stdout::line("nothing is missing");
    }
    let results = fetch(&wanted, Options { only: args.source.only(), ..Options::default() })?;
    report(&asked, results, args.json)
}

/// Fetches files with a bar, until they are there or a person wants no more, and records what is there.
///
/// # Errors
/// What stops all of them: settings, a disk without the room.
pub(super) fn fetch(
    wanted: &[Wanted],
    options: Options,
) -> Result<Vec<Result<Fetched, FetchError>>, Failure> {
    let hubs = Hubs::from_env().map_err(Failure::Fetch)?;
    let ledger = ledger()?;
    let (bar, cancel) = (Bar::new(), Cancel::default());
    let results = interruptible(&cancel, {
        let (wanted, bar, cancel) = (wanted.to_vec(), bar.clone(), cancel.clone());
        move || crate::fetch::pull(&wanted, &hubs, &options, &bar, &cancel)
    })?;
    bar.clear();
    let results = results.map_err(Failure::Fetch)?;
    let kept: Vec<_> = results.iter().flatten().map(Kept::from).collect();
    if !kept.is_empty() {
        ledger.add(&kept).map_err(Failure::Fetch)?;
    }
    Ok(results)
}

/// Runs something long on a thread; Ctrl-C and a wish to end stop it by `cancel`, and its end is awaited.
pub(super) fn interruptible<T: Send + 'static>(
    cancel: &Cancel,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    block_on(async {
        let mut ended = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
        let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
        let mut work = tokio::task::spawn_blocking(work);
        let done = tokio::select! {
            done = &mut work => done,
            _ = interrupted.recv() => { cancel.stop(); work.await }
            _ = ended.recv() => { cancel.stop(); work.await }
        };
        done.map_err(|error| std::panic::resume_unwind(error.into_panic()))
    })
}

/// The record of what was fetched.
pub(super) fn ledger() -> Result<Ledger, Failure> {
    Ok(Ledger::at(Paths::from_env()?.fetched()))
}

#[derive(Serialize)]
struct Told {
    files: Vec<OneFile>,
}

#[derive(Serialize)]
struct OneFile {
    asked: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    /// `fetched`, `present` or `failed`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl OneFile {
    fn new(asked: &str, result: &Result<Fetched, FetchError>) -> Self {
        let (done, error) = match result {
            Ok(done) => (Some(done), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            asked: asked.to_owned(),
            address: done.map(|done| done.place.to_string()),
            file: done.map(|done| done.file.display().to_string()),
            bytes: done.map(|done| done.bytes),
            hash: done.and_then(|done| done.hash.clone()),
            outcome: done.map_or("failed", |done| if done.present { "present" } else { "fetched" }),
            error,
        }
    }
}

/// Says what became of each file.
fn report(asked: &[String], results: Vec<Result<Fetched, FetchError>>, json: bool) -> Result<(), Failure> {
    if json {
        let files = asked.iter().zip(&results).map(|(asked, result)| OneFile::new(asked, result)).collect();
        stdout::json(&Told { files })?;
    } else {
        for done in results.iter().flatten() {
            let was = if done.present { ", was there already" } else { "" };
            stdout::line(&text::plain(&format!("{} ({}{was})", done.file.display(), Bytes(done.bytes))))?;
        }
    }
    let of = results.len();
    let mut failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    if failures.iter().any(|failure| matches!(failure, FetchError::Cancelled)) {
        return Err(Failure::Fetch(FetchError::Cancelled));
    }
    match failures.len() {
        0 => Ok(()),
        1 => Err(Failure::Fetch(failures.remove(0))),
        failed => {
            for failure in &failures {
                text::complain("error", &failure.to_string());
            }
            Err(Failure::Unfetched { failed, of })
        }
    }
}
