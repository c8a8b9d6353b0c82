//! Pictures that are gone on with from what was kept of them.

use std::time::Duration;

use flux_tui::device::Device;
use flux_tui::job::{JobState, JobStatus};
use flux_tui::wire::message::*;

use crate::support::{Place, Watch, files_under, job};

/// A worker that keeps every step.
async fn place() -> Place {
    let mut place = Place::new();
    place.settings.checkpoint_every = Some(Duration::ZERO);
    place.start().await;
    place
}

/// The steps that clients were told of.
fn steps(watch: &Watch) -> Vec<u32> {
    let step = |event: &Event| match event {
        Event::Progress(Progress { stage: Stage::Drawing { step, .. }, .. }) => Some(*step),
        _ => None,
    };
    watch.log.iter().filter_map(step).collect()
}

fn kept(place: &Place) -> usize {
    files_under(&place.paths.data.join("checkpoints")).len()
}

async fn submitted_and_held(place: &Place, prompt: &str) -> (Watch, JobStatus) {
    let mut watch = place.watch().await;
    let status = watch.submit(job(prompt)).await;
    watch.step(status.id, 1).await;
    (watch, status)
}

#[tokio::test]
async fn a_worker_that_was_ended_is_followed_by_one_that_goes_on() {
    let mut place = place().await;
    let (watch, status) = submitted_and_held(&place, "hold").await;
    drop(watch);
    place.stop().await;
    assert_eq!(kept(&place), 1);
    place.settings.checkpoint_every = Some(Duration::from_secs(3600));
    place.start().await;
    let mut watch = place.watch().await;
    // It may have got there before anybody watched.
    let seen = watch.shown.running.iter().find_map(|running| match running.progress.stage {
        Stage::Drawing { step, .. } => Some(step),
        _ => None,
    });
    place.models.release();
    place.models.release();
    assert_eq!(watch.over(status.id).await.state, JobState::Done);
    let first = seen.into_iter().chain(steps(&watch)).next();
    assert_eq!(first, Some(1), "{seen:?}, {:?}", watch.log);
    assert_eq!(kept(&place), 0, "it is done");
}

#[tokio::test]
async fn after_memory_has_run_out_a_picture_goes_on_where_it_was() {
    let mut place = Place::new();
    place.models = crate::scripted::Scripted::on(&[Device::Cuda(0)]);
    place.settings.checkpoint_every = Some(Duration::ZERO);
    place.start().await;
    let mut watch = place.watch().await;
    watch.draw(job("taken")).await;
    assert_eq!(place.models.loads(), 2, "it was loaded again with care");
    assert_eq!(steps(&watch), [0, 1, 1, 2, 3, 4]);
}

#[tokio::test]
async fn with_checkpoints_off_nothing_is_kept_and_a_picture_begins_anew() {
    let mut place = Place::new();
    place.settings.checkpoint_every = None;
    place.start().await;
    let mut watch = place.watch().await;
    watch.draw(job("taken")).await;
    assert_eq!(steps(&watch), [0, 1, 0, 1, 2, 3, 4]);
    assert!(!place.paths.data.join("checkpoints").exists());
}

#[tokio::test]
async fn nothing_is_kept_of_what_was_cancelled_or_has_failed() {
    let place = place().await;
    let (mut watch, status) = submitted_and_held(&place, "hold").await;
    watch.client.call(Request::Cancel(status.id)).await.expect("it is drawn");
    assert_eq!(watch.over(status.id).await.state, JobState::Cancelled);
    assert_eq!(kept(&place), 0);
    let id = watch.submit(job("fail")).await.id;
    assert!(matches!(watch.over(id).await.state, JobState::Failed { .. }));
    assert_eq!(kept(&place), 0);
}
