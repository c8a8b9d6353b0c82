//! The answers that wait for the disk. What they change is in the library before they are given.

use std::io;
use std::path::Path;
use std::rc::Rc;

use futures::FutureExt;
use tokio::io::AsyncReadExt;

use super::Shared;
use super::change::first_seed;
use super::loras;
use super::peer::Peer;
use super::thumbnail;
use crate::job::{Job, JobId, JobState, JobStatus, PictureId};
use crate::model::ModelName;
use crate::wire::frame::REPLY_MAX;
use crate::wire::message::{HistoryPage, Refusal, Response, ThumbnailRequest};

/// What an answer adds to a PNG in its frame.
const AROUND_PNG: u64 = 1 << 10;

pub(super) type Answer = Result<Response, Refusal>;

/// Whether there is such a model. What a file holds is found out where it is opened.
pub(super) fn known(shared: &Shared, model: &ModelName) -> Result<(), Refusal> {
    if model.as_path().is_some() { Ok(()) } else { shared.hub.check(model) }
}

/// Accepts a job of this client's.
pub(super) fn submit(shared: &Rc<Shared>, by: &Rc<Peer>, job: Job) -> impl Future<Output = Answer> + use<> {
    let (by, accepted) = (Rc::clone(by), accept(shared, job));
    accepted.inspect(move |accepted| {
        if let Ok(Response::Accepted(status)) = accepted {
            let JobStatus { id, job, .. } = &**status;
            tracing::info!(job = id.0, model = %job.model, device = %job.device, count = job.count(), %by, "accepted");
        }
    })
}

/// Accepts a job. The library is asked at once, so that jobs keep the order they came in.
pub(super) fn accept(shared: &Rc<Shared>, job: Job) -> impl Future<Output = Answer> + use<> {
    let shared = Rc::clone(shared);
    let asked = acceptable(&shared, &job).map(|first_seed| {
        let now = now();
        shared.store.ask(move |library| library.accept(&job, first_seed, now))
    });
    async move {
        let status = asked?.await.map_err(|error| Refusal::Library(error.to_string()))?;
        shared.hub.accepted(status.clone());
        Ok(Response::Accepted(Box::new(status)))
    }
}

/// The first seed of a job that may be added.
fn acceptable(shared: &Shared, job: &Job) -> Result<u64, Refusal> {
    if shared.hub.is_stopping() {
        return Err(Refusal::Stopping);
    }
    shared.hub.has_room(job.text_len()).map_err(|jobs| Refusal::QueueFull { jobs })?;
    drawable(shared, job)
}

/// The first seed of a job that can be drawn here.
pub(super) fn drawable(shared: &Shared, job: &Job) -> Result<u64, Refusal> {
    known(shared, &job.model)?;
    loras::check(shared.models.as_ref(), job).map_err(|reason| Refusal::Lora(reason.to_string()))?;
    job.device.best(shared.hub.devices()).map_err(Refusal::NoDevice)?;
    first_seed(job.seed)
}

/// Cancels a job: first so that it is not begun, then on disk, then for all to see.
pub(super) fn cancel(shared: &Rc<Shared>, by: &Peer, id: JobId) -> impl Future<Output = Answer> + use<> {
    let shared = Rc::clone(shared);
    let asked = shared.hub.withhold(id).map(|place| {
        tracing::info!(job = id.0, ?place, %by, "to be cancelled");
        let now = now();
        shared.store.ask(move |library| library.set_state(id, &JobState::Cancelled, now))
    });
    async move {
        let state = asked.ok_or(Refusal::UnknownJob(id))?.await;
        match state {
            Ok(Some(JobState::Cancelled)) => {
                shared.hub.cancelled(id);
                Ok(Response::Cancelled)
            }
            // Its last picture came first.
            Ok(_) => Err(Refusal::UnknownJob(id)),
            Err(error) => {
                shared.hub.release(id);
                Err(Refusal::Library(error.to_string()))
            }
        }
    }
}

/// A page of pictures.
pub(super) fn history(shared: &Rc<Shared>, page: HistoryPage) -> impl Future<Output = Answer> + use<> {
    let asked = shared.store.ask(move |library| library.history(page.before, page.limit));
    asked.map(|pictures| match pictures {
        Ok(pictures) => Ok(Response::History(pictures)),
        Err(error) => Err(Refusal::Library(error.to_string())),
    })
}

/// A picture's PNG.
pub(super) fn fetch(shared: &Rc<Shared>, id: PictureId) -> impl Future<Output = Answer> + use<> {
    let (shared, asked) = (Rc::clone(shared), shared.store.ask(move |library| library.picture(id)));
    async move {
        let picture = asked.await.map_err(|error| Refusal::Library(error.to_string()))?;
        let path = picture.ok_or(Refusal::UnknownPicture(id))?.path;
        let bytes = read(&path).await.map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                shared.hub.picture_is_missing(id);
            }
            Refusal::File { path: path.display().to_string(), reason: error.to_string() }
        })?;
        Ok(Response::Png(bytes.into()))
    }
}

/// A small copy of a picture.
pub(super) fn thumbnail(
    shared: &Rc<Shared>,
    asked: ThumbnailRequest,
) -> impl Future<Output = Answer> + use<> {
    let (shared, whole) = (Rc::clone(shared), fetch(shared, asked.picture));
    async move {
        // Before the file is read: at most one is in memory.
        let _one = shared.copying.lock().await;
        let Response::Png(png) = whole.await? else { return Err(Refusal::UnknownPicture(asked.picture)) };
        let made = tokio::task::spawn_blocking(move || thumbnail::make(&png, asked.bounded())).await;
        let made = made.map_err(|error| error.to_string()).and_then(|made| made);
        made.map(|jpeg| Response::Thumbnail(jpeg.into()))
            .map_err(|reason| Refusal::File { path: format!("picture {}", asked.picture), reason })
    }
}

/// Reads a file that fits a frame, and no more of it than that.
async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let most = REPLY_MAX as u64 - AROUND_PNG;
    let mut bytes = Vec::new();
    let read = tokio::fs::File::open(path).await?.take(most + 1).read_to_end(&mut bytes).await?;
    if read as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
