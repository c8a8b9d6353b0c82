//! `flux-tui generate`: pictures from the command line, drawn by the worker.
//!
//! The values are checked in [`request`], the output path in [`target`], the job is followed in
//! [`follow`] with a bar from [`progress`], and what came of it is told by [`report`].

pub(super) mod follow;
mod like;
pub(super) mod progress;
mod report;
pub(super) mod request;
pub(super) mod target;

use std::path::PathBuf;

pub(super) use request::{catalog, find, model_name};
pub(super) use target::TargetError;

use super::failure::Failure;
use super::{block_on, host, stdout};
use crate::job::Job;
use crate::paths::Paths;
use report::Report;
use request::Offered;
use target::Target;

/// Draw pictures: the worker draws them and keeps them in the library.
///
/// Prints the path of each picture, and the picture itself when standard output is a terminal.
/// Ctrl-C cancels the job; when the terminal goes away instead, the worker finishes it.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
pub(super) struct Args {
    #[command(flatten)]
    asked: request::Asked,
    #[command(flatten)]
    host: host::Flag,
    /// Also write the PNG here; with --count K, FILE gets -1 to -K before its extension.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON object instead (see --help).
    #[arg(long)]
    json: bool,
    /// Do not print the picture itself.
    #[arg(long)]
    no_display: bool,
}

const AFTER_HELP: &str = "--help tells the form of --json and the exit codes.";

const AFTER_LONG_HELP: &str = "\
--json prints exactly one object on standard output: path (in the library), output (the copy, if one \
was asked for), seed, width, height, steps, guidance, model, precision, seconds (load, encode, denoise, \
decode), and cut (what the text encoders did not read; absent when they read all: encoder, tokens, limit, \
text). With --count above 1 it describes the first picture and has all of them, in the same form, in \
`pictures`. When not all are drawn nothing is printed there; the reason is on standard error.

Exit codes: 0 drawn; 2 a value is out of range or --output cannot be written, nothing was drawn; \
130 cancelled by Ctrl-C; 1 anything else.";

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let display = !args.no_display && !args.json && stdout::is_terminal();
    let (json, output) = (args.json, args.output.clone());
    let paths = Paths::from_env()?;
    let at = args.host.endpoint(&paths);
    let report = |job: &Job| {
        let targets = output.map(|path| Target::all(&path, job.count())).transpose()?.unwrap_or_default();
        Ok::<_, Failure>(Report::new(json, display, targets).on(at.host().cloned()))
    };
    let drawn = match at.host() {
        None => {
            // All is checked before a worker is asked for.
            let job = request::job(args.asked, &paths, Offered::Here(&paths))?;
            let report = report(&job)?;
            block_on(follow::draw(&at, |_| Ok((job, report))))
        }
        Some(host) => block_on(follow::draw(&at, |shown| {
            let job = request::job(args.asked, &paths, Offered::There(host, &shown.models))?;
            let report = report(&job)?;
            Ok((job, report))
        })),
    };
    drawn?.finish()
}
