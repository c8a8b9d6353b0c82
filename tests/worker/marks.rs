//! Pictures marked by clients: on disk before it is answered, and told to all.

use flux_tui::job::*;
use flux_tui::wire::library::{LibraryRequest, LibraryResponse};
use flux_tui::wire::message::*;

use crate::support::{Place, Watch, job};

async fn ask(watch: &Watch, asked: LibraryRequest) -> LibraryResponse {
    match watch.client.call(Request::Library(asked)).await {
        Ok(Response::Library(response)) => response,
        other => panic!("an answer, not {other:?}"),
    }
}

async fn mark(watch: &Watch, picture: PictureId, mark: MarkChange) -> Picture {
    match ask(watch, LibraryRequest::Change(PictureChange { picture, mark })).await {
        LibraryResponse::Changed(picture) => *picture,
        other => panic!("the picture, not {other:?}"),
    }
}

async fn heard(watch: &mut Watch) -> Picture {
    let picture = |event: &Event| match event {
        Event::Picture { picture, .. } => Some((**picture).clone()),
        _ => None,
    };
    watch.until("a picture that is changed", picture).await
}

#[tokio::test]
async fn marks_are_told_to_all_and_are_there_after_a_restart() {
    let mut place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(job("a")).await;
    watch.draw(job("b")).await;
    let mut other = place.watch().await;
    let [b, a] = [0, 1].map(|at| watch.shown.history[at].id);
    let rating = Rating::try_from(5).expect("it is one");
    let rated = mark(&watch, a, MarkChange::Rate(rating)).await;
    assert_eq!((rated.id, rated.marks.rating), (a, rating));
    assert_eq!((heard(&mut watch).await, heard(&mut other).await), (rated.clone(), rated.clone()));
    mark(&other, b, MarkChange::Trash(true)).await;
    heard(&mut other).await;
    assert_eq!((&other.shown.history, other.shown.history_total), (&vec![rated.clone()], 1));
    let unknown =
        LibraryRequest::Change(PictureChange { picture: PictureId(9), mark: MarkChange::Trash(true) });
    assert_eq!(watch.refused(Request::Library(unknown)).await, Refusal::UnknownPicture(PictureId(9)));
    drop((watch, other));
    place.stop().await;

    place.start().await;
    let mut watch = place.watch().await;
    assert_eq!((&watch.shown.history, watch.shown.history_total), (&vec![rated], 1));
    let back = mark(&watch, b, MarkChange::Trash(false)).await;
    heard(&mut watch).await;
    assert_eq!((&watch.shown.history[0], watch.shown.history_total), (&back, 2), "it is the newest again");
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_of_when_it_is_asked_for() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(job("a")).await;
    let picture = watch.shown.history[0].clone();
    assert!(!picture.missing);
    std::fs::remove_file(&picture.path).expect("it is there");
    let refused = watch.refused(Request::Fetch(picture.id)).await;
    assert!(matches!(&refused, Refusal::File { path, .. } if *path == picture.path.display().to_string()));
    assert!(heard(&mut watch).await.missing);
    assert!(place.watch().await.shown.history[0].missing);
}

#[tokio::test]
async fn what_was_iterated_from_a_picture_says_so() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(job("a")).await;
    let parent = watch.shown.history[0].id;
    watch.draw(job("b").iterated_from(Some(parent))).await;
    assert_eq!(watch.shown.history[0].parent, Some(parent));
    let query = Box::new(PictureQuery { parent: Some(parent), ..PictureQuery::default() });
    let found = ask(&watch, LibraryRequest::Search { query, limit: 9 }).await;
    assert_eq!(found, LibraryResponse::Pictures(vec![watch.shown.history[0].clone()]));
}
