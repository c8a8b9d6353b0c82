//! `flux-tui queue add`: a job that nobody waits for.

use super::change;
use crate::cli::failure::Failure;
use crate::cli::generate::request::{self, Asked};
use crate::paths::Paths;
use crate::wire::message::Request;

/// Add a job and do not wait for it; what can be said is as for `generate`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// One JSON object on standard output: changed, and the job as the library has it.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let job = request::job(args.asked, &Paths::from_env()?)?;
    change::ask(Request::Submit(job), "added", args.json)
}
