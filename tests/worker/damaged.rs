//! A worker whose library is damaged makes it anew, goes on with what waited, and says so.

use std::fs;

use flux_tui::job::{JobState, Seed};
use flux_tui::wire::message::*;
use flux_tui::wire::queue::QueueChange;

use crate::support::{Place, job, job_of};

#[tokio::test]
async fn a_damaged_library_is_made_anew_and_what_waited_is_drawn() {
    let mut place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(job_of("alpha", "a", Seed::Fixed(4), 2)).await;
    watch.client.call(Request::Queue(QueueChange::Pause)).await.expect("it is carried out");
    let waiting = watch.submit(job("b")).await.id;
    let (pictures, worker) = (watch.shown.history.clone(), watch.client.worker().clone());
    drop(watch);
    place.stop().await;
    // As after damage that was met while it was used.
    fs::write(place.paths.library().with_extension("damaged"), "a bad page").expect("it can be written");

    place.start().await;
    let mut watch = place.watch().await;
    assert_ne!(watch.client.worker().started_at, worker.started_at);
    let rebuilt = watch.shown.rebuilt.clone().expect("it says so");
    assert_eq!((&*rebuilt.reason, rebuilt.pictures, rebuilt.waiting), ("a bad page", 2, 1));
    assert!(rebuilt.aside.is_file(), "the damaged one is kept");
    assert_eq!((&watch.shown.history, watch.shown.paused), (&pictures, true));
    watch.client.call(Request::Queue(QueueChange::Resume)).await.expect("it is carried out");
    assert_eq!(watch.over(waiting).await.state, JobState::Done);
    drop(watch);
    place.stop().await;

    place.start().await;
    assert_eq!(place.watch().await.shown.rebuilt, None, "once is enough");
}

#[tokio::test]
async fn of_a_library_that_is_garbage_the_pictures_are_shown_again() {
    let mut place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(job_of("alpha", "a", Seed::Fixed(4), 2)).await;
    let mut seeds: Vec<u64> = watch.shown.history.iter().map(|picture| picture.recipe.seed).collect();
    drop(watch);
    place.stop().await;
    for ending in ["", "-wal"] {
        let path = format!("{}{ending}", place.paths.library().display());
        fs::write(path, "no database".repeat(999)).expect("it can be written");
    }
    place.start().await;
    let watch = place.watch().await;
    let mut again: Vec<u64> = watch.shown.history.iter().map(|picture| picture.recipe.seed).collect();
    seeds.sort_unstable();
    again.sort_unstable();
    assert_eq!((again, watch.shown.history_total), (seeds, 2));
    let told = watch.shown.rebuilt.expect("it says so").to_string();
    assert!(told.contains("2 more pictures from their files"), "{told}");
}
