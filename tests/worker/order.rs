//! The queue changed by clients, and the library's part in it.

use flux_tui::job::{JobId, JobState, Seed};
use flux_tui::library::{Folder, Library};
use flux_tui::wire::message::*;
use flux_tui::wire::queue::{QueueChange, QueuePlace};

use crate::support::{Place, Watch, job, job_of};

async fn change(watch: &Watch, change: QueueChange) -> Response {
    watch.client.call(Request::Queue(change)).await.expect("it is carried out")
}

fn order(watch: &Watch) -> Vec<i64> {
    watch.shown.jobs.iter().filter(|job| !job.state.is_over()).map(|job| job.id.0).collect()
}

#[tokio::test]
async fn a_paused_queue_begins_nothing_is_ordered_and_stays_so_after_a_restart() {
    let mut place = Place::started().await;
    let mut watch = place.watch().await;
    assert_eq!(change(&watch, QueueChange::Pause).await, Response::Changed);
    let mut ids = Vec::new();
    for prompt in ["a", "b", "c", "d"] {
        ids.push(watch.submit(job(prompt)).await.id);
    }
    let [a, b, c, d] = ids[..] else { panic!("four jobs") };
    for (job, to) in [
        (d, QueuePlace::First),
        (a, QueuePlace::Last),
        (c, QueuePlace::Up),
        (c, QueuePlace::Before(d)),
        (c, QueuePlace::Down),
    ] {
        change(&watch, QueueChange::Move { job, to }).await;
    }
    let other = place.watch().await;
    assert_eq!(order(&other), [d.0, c.0, b.0, a.0]);
    assert!(other.shown.paused && place.models.loads() == 0, "nothing is begun");
    watch
        .until("the last move", |event| match event {
            Event::Moved { job, before } if *before == Some(b) => Some(*job),
            _ => None,
        })
        .await;
    assert_eq!(order(&watch), order(&other), "events say what a snapshot says");
    drop((watch, other));
    place.stop().await;

    place.start().await;
    let mut watch = place.watch().await;
    assert_eq!((order(&watch), watch.shown.paused), (vec![d.0, c.0, b.0, a.0], true));
    change(&watch, QueueChange::Resume).await;
    watch.over(a).await;
    let drawn: Vec<JobId> = watch.shown.history.iter().rev().map(|picture| picture.job).collect();
    assert_eq!((drawn, watch.shown.paused), (vec![d, c, b, a], false));
}

#[tokio::test]
async fn a_job_is_edited_until_it_is_begun() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let running = watch.submit(job("hold")).await.id;
    watch.step(running, 1).await;
    let waiting = watch.submit(job_of("alpha", "a", Seed::Fixed(1), 1)).await.id;
    let to = Box::new(job_of("beta", "another", Seed::Fixed(9), 2));
    let edited = change(&watch, QueueChange::Edit { job: waiting, to: to.clone() }).await;
    let Response::Accepted(status) = edited else { panic!("the job, not {edited:?}") };
    assert_eq!((status.id, &status.job, status.first_seed), (waiting, &*to, 9));
    let edit = |job| Request::Queue(QueueChange::Edit { job, to: to.clone() });
    assert_eq!(watch.refused(edit(running)).await, Refusal::Begun(running));
    assert_eq!(watch.refused(edit(JobId(99))).await, Refusal::UnknownJob(JobId(99)));
    let unknown = Box::new(job_of("gamma", "a", Seed::Random, 1));
    let refused = watch.refused(Request::Queue(QueueChange::Edit { job: waiting, to: unknown })).await;
    assert!(matches!(refused, Refusal::UnknownModel { .. }), "{refused:?}");
    place.models.release();
    watch.over(waiting).await;
    let newest = &watch.shown.history[0];
    assert_eq!(
        (newest.recipe.prompt.as_str(), newest.recipe.model.as_str(), newest.recipe.seed),
        ("another", "beta", 10)
    );
}

#[tokio::test]
async fn a_failed_job_is_tried_again_and_any_job_can_be_had_twice() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let done = watch.draw(job_of("alpha", "a", Seed::Fixed(5), 1)).await;
    let failed = watch.submit(job("fail")).await.id;
    assert!(matches!(watch.over(failed).await.state, JobState::Failed { .. }));
    let again = change(&watch, QueueChange::Retry(failed)).await;
    assert!(matches!(&again, Response::Accepted(status) if status.state == JobState::Queued), "{again:?}");
    assert!(matches!(watch.over(failed).await.state, JobState::Failed { .. }), "it fails as it did");
    assert_eq!(place.watch().await.shown.jobs.len(), 1, "it is there once");
    assert_eq!(watch.shown.jobs.len(), 1, "and is shown once");
    let copy = change(&watch, QueueChange::Duplicate(done.id)).await;
    let Response::Accepted(copy) = copy else { panic!("a job, not {copy:?}") };
    assert_eq!((&copy.job, copy.first_seed, copy.id > done.id), (&done.job, 5, true));
    watch.over(copy.id).await;
    for (asked, refusal) in [
        (QueueChange::Retry(done.id), Refusal::NotFailed(done.id)),
        (QueueChange::Duplicate(JobId(99)), Refusal::NoJob(JobId(99))),
        (QueueChange::Move { job: done.id, to: QueuePlace::First }, Refusal::UnknownJob(done.id)),
    ] {
        assert_eq!(watch.refused(Request::Queue(asked)).await, refusal);
    }
}

#[test]
fn ranks_are_dealt_out_among_the_jobs_that_are_named() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let folder = Folder::new(root.path().join("pictures"));
    let mut library = Library::open_in(&root.path().join("library.sqlite3"), folder).expect("it is new");
    let accept = |library: &mut Library| library.accept(&job("a"), 1, 0).expect("it is accepted").id;
    let ids: Vec<JobId> = (0..5).map(|_| accept(&mut library)).collect();
    library.set_state(ids[1], &JobState::Cancelled, 1).expect("it is kept");
    library.arrange(&[ids[4], ids[1], ids[0], JobId(99), ids[2]]).expect("it is kept");
    let order = |library: &Library| -> Vec<JobId> {
        library.unfinished().expect("it can be read").into_iter().map(|job| job.id).collect()
    };
    assert_eq!(order(&library), [ids[4], ids[0], ids[3], ids[2]]);
    let late = accept(&mut library);
    assert_eq!(order(&library).last(), Some(&late), "a new one is the last");
    library.set_state(ids[4], &JobState::Failed { reason: "no memory".into() }, 2).expect("it is kept");
    let again = library.retry(ids[4]).expect("it is kept").expect("it has failed");
    assert_eq!((again.state, order(&library).last()), (JobState::Queued, Some(&ids[4])));
    assert_eq!(library.retry(ids[3]).expect("it is answered"), None, "it has not failed");
}
