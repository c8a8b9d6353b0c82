//! `flux-tui queue list`: the jobs in the order in which they are drawn, then those that failed.

use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::{block_on, stdout, text};
use crate::client::{Asking, Client, ClientError, Endpoint};
use crate::job::{JobState, JobStatus};
use crate::wire::message::{Request, Response, Snapshot};

/// Columns of a prompt.
const PROMPT: usize = 48;

/// What waits, in order, and what failed. Starts no worker.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// One JSON object on standard output: paused, and jobs as the worker has them; null for both when none is running.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listed<'a> {
    paused: Option<bool>,
    jobs: Option<&'a [JobStatus]>,
}

pub(super) fn run(at: &Endpoint, args: &Args) -> Result<(), Failure> {
    let snapshot = block_on(async {
        match at.connect(Asking::Here).await {
            Ok((client, _)) => snapshot(&client).await.map(Some),
            Err(ClientError::NoWorker) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })?;
    match snapshot {
        Some(Snapshot { paused, jobs, .. }) if args.json => {
            stdout::json(&Listed { paused: Some(paused), jobs: Some(&jobs) })
        }
        Some(snapshot) => stdout::write(&lines(&snapshot)),
        None if args.json => stdout::json(&Listed { paused: None, jobs: None }),
        None => stdout::line("no worker is running; the next one goes on with what is queued"),
    }
}

/// All that a worker shows.
pub(in crate::cli) async fn snapshot(client: &Client) -> Result<Snapshot, Failure> {
    match client.call(Request::Subscribe).await? {
        Response::Snapshot(snapshot) => Ok(*snapshot),
        _ => Err(ClientError::Unexpected.into()),
    }
}

fn lines(snapshot: &Snapshot) -> String {
    let mut lines = String::new();
    if snapshot.paused {
        lines += "paused: `flux-tui queue resume` goes on\n";
    }
    if snapshot.jobs.is_empty() {
        lines += "nothing waits\n";
    }
    snapshot.jobs.iter().for_each(|status| lines += &line(status));
    lines
}

fn line(status: &JobStatus) -> String {
    let (state, reason) = match &status.state {
        JobState::Queued => ("queued", None),
        JobState::Running => ("running", None),
        JobState::Done => ("done", None),
        JobState::Cancelled => ("cancelled", None),
        JobState::Failed { reason } => ("failed", Some(reason)),
    };
    let job = &status.job;
    let (done, count, prompt) = (status.done, job.count(), text::one_line(job.prompt.as_str(), PROMPT));
    let mut line =
        format!("{:>6}  {state:<8} {done}/{count}  {} {}  {prompt}\n", status.id, job.model, job.size);
    if let Some(reason) = reason {
        line += &format!("        {}\n", text::one_line(reason, 100));
    }
    line
}
