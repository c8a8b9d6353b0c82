//! `flux-tui queue add`: a job that nobody waits for.

use super::{change, list};
use crate::cli::block_on;
use crate::cli::failure::Failure;
use crate::cli::generate::request::{self, Asked, Offered};
use crate::client::{Asking, Endpoint};
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

pub(super) fn run(at: &Endpoint, paths: &Paths, args: Args) -> Result<(), Failure> {
    let Some(host) = at.host() else {
        let job = request::job(args.asked, paths, Offered::Here(paths))?;
        return change::ask(at, Request::Submit(job), "added", args.json);
    };
    let job = block_on(async {
        let (client, _) = at.connect_or_start(Asking::Here).await?;
        let models = list::snapshot(&client).await?.models;
        let job = request::job(args.asked, paths, Offered::There(host, &models))?;
        change::call(&client, Request::Submit(job)).await
    })?;
    change::tell(job.as_ref(), "added", args.json)
}
