//! `flux-tui queue move`, `pause`, `resume`, `cancel`, `retry`, `duplicate`: one change, and what came of it.

use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::{block_on, stdout};
use crate::client::{Asking, Client, ClientError, Endpoint};
use crate::job::{JobId, JobStatus};
use crate::wire::message::{Request, Response};
use crate::wire::queue::{QueueChange, QueuePlace};

/// How it is told.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Told {
    /// One JSON object on standard output: changed, and the job where the change makes one.
    #[arg(long)]
    json: bool,
}

/// A job.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Job {
    /// Its number, as `queue list` tells it.
    #[arg(value_name = "JOB")]
    id: i64,
    #[command(flatten)]
    told: Told,
}

/// Draw a job sooner or later than the others.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Move {
    #[command(flatten)]
    job: Job,
    /// first, last, up, down, or the number of the job that it is to be drawn before.
    #[arg(value_name = "TO", value_parser = place)]
    to: QueuePlace,
}

fn place(text: &str) -> Result<QueuePlace, String> {
    Ok(match text {
        "first" => QueuePlace::First,
        "last" => QueuePlace::Last,
        "up" => QueuePlace::Up,
        "down" => QueuePlace::Down,
        number => match number.parse() {
            Ok(id) => QueuePlace::Before(JobId(id)),
            Err(_) => return Err(format!("{text:?} is none of first, last, up, down, nor a job's number")),
        },
    })
}

#[derive(Serialize)]
struct Changed<'a> {
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a JobStatus>,
}

pub(super) fn shift(at: &Endpoint, Move { job, to }: &Move) -> Result<(), Failure> {
    let change = QueueChange::Move { job: JobId(job.id), to: *to };
    ask(at, Request::Queue(change), &format!("job {} moved", job.id), job.told.json)
}

pub(super) fn pause(at: &Endpoint, told: &Told, paused: bool) -> Result<(), Failure> {
    let (change, said) = match paused {
        true => (QueueChange::Pause, "paused: nothing more is begun"),
        false => (QueueChange::Resume, "the queue goes on"),
    };
    ask(at, Request::Queue(change), said, told.json)
}

pub(super) fn cancel(at: &Endpoint, Job { id, told }: &Job) -> Result<(), Failure> {
    ask(at, Request::Cancel(JobId(*id)), &format!("job {id} cancelled"), told.json)
}

pub(super) fn retry(at: &Endpoint, Job { id, told }: &Job) -> Result<(), Failure> {
    ask(at, Request::Queue(QueueChange::Retry(JobId(*id))), "queued again", told.json)
}

pub(super) fn duplicate(at: &Endpoint, Job { id, told }: &Job) -> Result<(), Failure> {
    ask(at, Request::Queue(QueueChange::Duplicate(JobId(*id))), "added", told.json)
}

/// Asks the worker, starting one if none runs, and tells what came of it.
pub(super) fn ask(at: &Endpoint, request: Request, said: &str, json: bool) -> Result<(), Failure> {
    let job = block_on(async {
        let (client, _) = at.connect_or_start(Asking::Here).await?;
        call(&client, request).await
    })?;
    tell(job.as_ref(), said, json)
}

/// Asks; the job where the change makes one.
pub(super) async fn call(client: &Client, request: Request) -> Result<Option<JobStatus>, Failure> {
    match client.call(request).await? {
        Response::Accepted(status) => Ok(Some(*status)),
        Response::Changed | Response::Cancelled => Ok(None),
        _ => Err(ClientError::Unexpected.into()),
    }
}

/// Tells what came of a change.
pub(super) fn tell(job: Option<&JobStatus>, said: &str, json: bool) -> Result<(), Failure> {
    match job {
        _ if json => stdout::json(&Changed { changed: true, job }),
        Some(job) => stdout::line(&format!("job {}: {said}", job.id)),
        None => stdout::line(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_or_a_job() {
        assert_eq!((place("first"), place("down")), (Ok(QueuePlace::First), Ok(QueuePlace::Down)));
        assert_eq!(place("17"), Ok(QueuePlace::Before(JobId(17))));
        assert!(place("middle").expect_err("no place").contains("first, last, up, down"));
    }
}
