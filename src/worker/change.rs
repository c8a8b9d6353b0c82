//! The answers to changes of the queue: asked of the library, and once they are there told to all. One change is made
//! at a time, so that the order on disk is the order that is shown.

use std::rc::Rc;

use super::Shared;
use super::answer::{self, Answer};
use super::peer::Peer;
use crate::job::{Job, JobId, Seed};
use crate::library::LibraryError;
use crate::wire::message::{Refusal, Response};
use crate::wire::queue::{QueueChange, QueuePlace};

/// Makes a change, and says in the log who made it.
pub(super) async fn carry_out(shared: Rc<Shared>, by: Rc<Peer>, change: QueueChange) -> Answer {
    let _one = shared.changing.lock().await;
    if shared.hub.is_stopping() {
        return Err(Refusal::Stopping);
    }
    let (what, job) = in_words(&change);
    let done = match change {
        QueueChange::Move { job, to } => shift(&shared, job, to).await,
        QueueChange::Edit { job, to } => edit(&shared, job, *to).await,
        QueueChange::Pause => pause(&shared, true).await,
        QueueChange::Resume => pause(&shared, false).await,
        QueueChange::Retry(job) => retry(&shared, job).await,
        QueueChange::Duplicate(job) => duplicate(&shared, job).await,
    };
    let job = job.map(|job| job.0);
    match &done {
        Ok(_) => tracing::info!(job, %by, "{what}"),
        Err(refusal) => tracing::info!(job, %by, %refusal, "not {what}"),
    }
    done
}

fn in_words(change: &QueueChange) -> (&'static str, Option<JobId>) {
    match change {
        QueueChange::Move { job, .. } => ("moved in the queue", Some(*job)),
        QueueChange::Edit { job, .. } => ("edited", Some(*job)),
        QueueChange::Pause => ("paused", None),
        QueueChange::Resume => ("resumed", None),
        QueueChange::Retry(job) => ("to be tried again", Some(*job)),
        QueueChange::Duplicate(job) => ("duplicated", Some(*job)),
    }
}

async fn shift(shared: &Shared, id: JobId, to: QueuePlace) -> Answer {
    let order = shared.hub.order_with(id, to).ok_or(Refusal::UnknownJob(id))?;
    let kept = order.clone();
    shared.store.ask(move |library| library.arrange(&kept)).await.map_err(failed)?;
    shared.hub.moved(id, &order);
    Ok(Response::Changed)
}

async fn pause(shared: &Shared, paused: bool) -> Answer {
    shared.store.ask(move |library| library.set_paused(paused)).await.map_err(failed)?;
    shared.hub.paused(paused);
    Ok(Response::Changed)
}

/// The job is kept from being begun until the library has answered.
async fn edit(shared: &Rc<Shared>, id: JobId, job: Job) -> Answer {
    let first_seed = answer::drawable(shared, &job)?;
    if !shared.hub.is_untouched(id).ok_or(Refusal::UnknownJob(id))? {
        return Err(Refusal::Begun(id));
    }
    if shared.hub.cell_of(id).is_some() {
        let reason =
            format!("job {id} is a cell of a grid, so it stays what it is; duplicate it and change the copy");
        return Err(Refusal::Grid(reason));
    }
    shared.hub.withhold(id);
    let edited = shared.store.ask(move |library| library.edit(id, &job, first_seed)).await;
    let answer = match edited {
        Ok(Some(status)) => {
            shared.hub.edited(status.clone());
            Ok(Response::Accepted(Box::new(status)))
        }
        // It was cancelled in the meantime.
        Ok(None) => Err(Refusal::UnknownJob(id)),
        Err(error) => Err(failed(error)),
    };
    shared.hub.release(id);
    answer
}

async fn retry(shared: &Shared, id: JobId) -> Answer {
    shared.hub.has_room(0).map_err(|jobs| Refusal::QueueFull { jobs })?;
    let asked = shared.store.ask(move |library| Ok((library.retry(id)?, library.drawn(id)?)));
    let (status, drawn) = asked.await.map_err(failed)?;
    let status = status.ok_or(Refusal::NotFailed(id))?;
    shared.hub.retried(status.clone(), drawn);
    Ok(Response::Accepted(Box::new(status)))
}

async fn duplicate(shared: &Rc<Shared>, id: JobId) -> Answer {
    let found = shared.store.ask(move |library| library.job(id)).await.map_err(failed)?;
    let job = found.ok_or(Refusal::NoJob(id))?.job;
    answer::accept(shared, job).await
}

fn failed(error: LibraryError) -> Refusal {
    Refusal::Library(error.to_string())
}

/// A seed for a job that asks for one.
pub(super) fn first_seed(seed: Seed) -> Result<u64, Refusal> {
    match seed {
        Seed::Fixed(seed) => Ok(seed),
        // As many as the noise tells apart.
        Seed::Random => getrandom::u32()
            .map(u64::from)
            .map_err(|error| Refusal::Library(format!("the system gave no random seed: {error}"))),
    }
}
