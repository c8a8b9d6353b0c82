//! A disk that is full and directories that cannot be written: the job says so, what was accepted
//! stays, and nothing is half there.

use std::fs::{self, File};

use flux_tui::job::{JobState, Seed};
use flux_tui::library::{Folder, Library, LibraryError};
use flux_tui::wire::message::*;

use crate::support::{Place, job, job_of};

fn reason(state: JobState) -> String {
    match state {
        JobState::Failed { reason } => reason,
        other => panic!("it fails, not {other:?}"),
    }
}

#[tokio::test]
async fn a_full_disk_fails_the_job_with_the_path_and_the_space_and_leaves_no_half_picture() {
    let mut place = Place::new();
    place.settings.create = |_| File::options().write(true).open("/dev/full");
    place.start().await;
    let mut watch = place.watch().await;
    let id = watch.submit(job("a")).await.id;
    let reason = reason(watch.over(id).await.state);
    let pictures = place.paths.pictures().display().to_string();
    assert!(reason.starts_with(&format!("no space is left for {pictures}/")), "{reason}");
    assert!(reason.contains("1 MiB more are needed"), "{reason}");
    assert_eq!(place.files(), Vec::<std::path::PathBuf>::new());
    place.stop().await;
    place.settings.create = |path| File::create(path);
    place.start().await;
    let mut watch = place.watch().await;
    assert_eq!(watch.shown.history_total, 0);
    watch.draw(job("now there is room")).await;
}

#[tokio::test]
async fn a_file_where_the_pictures_go_fails_the_job_before_anything_is_drawn() {
    let place = Place::started().await;
    fs::write(place.paths.pictures(), "in the way").expect("it can be written");
    let mut watch = place.watch().await;
    let id = watch.submit(job("a")).await.id;
    let reason = reason(watch.over(id).await.state);
    assert!(reason.starts_with(&place.paths.pictures().display().to_string()), "{reason}");
    assert_eq!(place.models.loads(), 0, "nothing was even loaded for it");
    fs::remove_file(place.paths.pictures()).expect("it is there");
    watch.draw(job("b")).await;
}

#[tokio::test]
async fn a_picture_that_cannot_be_written_in_the_middle_of_a_job_keeps_those_before_it() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let id = watch.submit(job_of("alpha", "hold", Seed::Random, 3)).await.id;
    place.models.release();
    watch.until("the first picture", |event| matches!(event, Event::Finished(_)).then_some(())).await;
    watch.step(id, 1).await;
    let away = place.paths.data.join("away");
    fs::rename(place.paths.pictures(), &away).expect("it is there");
    fs::write(place.paths.pictures(), "in the way").expect("it can be written");
    place.models.release();
    let status = watch.over(id).await;
    assert_eq!(status.done, 1);
    reason(status.state);
    assert_eq!(watch.shown.history_total, 1);
}

/// A library whose database may not grow.
fn full() -> (tempfile::TempDir, Library) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("library.sqlite3");
    let mut library =
        Library::open_in(&path, Folder::new(directory.path().join("pictures"))).expect("it is new");
    library.limit_pages(60).expect("it is open");
    (directory, library)
}

#[test]
fn a_job_that_does_not_fit_the_database_is_not_accepted_and_those_before_it_stay() {
    let (_directory, mut library) = full();
    let long = "x".repeat(10_000);
    let mut accepted = Vec::new();
    let error = loop {
        match library.accept(&job(&long), 0, 0) {
            Ok(status) => accepted.push(status),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, LibraryError::Full { path, .. } if path.ends_with("library.sqlite3")),
        "{error:?}"
    );
    assert!(!accepted.is_empty());
    assert_eq!(library.unfinished().expect("it can be read"), accepted);
}
