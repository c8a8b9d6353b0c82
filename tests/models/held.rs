//! The files of models by the worker: checked, removed where nobody needs them, and refused where somebody does.

use std::sync::atomic::Ordering;

use flux_tui::client::ClientError;
use flux_tui::job::{Job, Prompt, Seed, Size};
use flux_tui::model::ModelName;
use flux_tui::wire::message::{
    CheckState, Event, FetchState, FileCheck, Refusal, RemovalPlan, Request, Response, Snapshot, Soundness,
};
use flux_tui::wire::queue::QueueChange;

use crate::place::{Place, Watch, runs, snapshot};
use crate::tiny::{fast, slow};

const VAE: &str = "me/tiny/ae.safetensors";

fn name(model: &str) -> ModelName {
    ModelName::new(model)
}

/// A worker that has fetched these.
async fn fetched(models: &[&str]) -> (Place, Watch) {
    let mut place = Place::new(&fast());
    place.start();
    let mut watch = place.watch().await;
    for model in models {
        watch.fetch(model).await;
        assert_eq!(watch.over(model).await, FetchState::Done);
    }
    (place, watch)
}

/// Checks a model to its end.
async fn check(watch: &mut Watch, model: &str) -> Vec<FileCheck> {
    let answer = watch.client.call(Request::VerifyModel(name(model))).await;
    assert!(matches!(answer, Ok(Response::Checking(_))), "{answer:?}");
    let state = watch.next("the end of a check", |event| match event {
        Event::Check(check) if check.model.as_str() == model && check.state.is_over() => {
            Some(check.state.clone())
        }
        _ => None,
    });
    match state.await {
        CheckState::Done(files) => files,
        other => panic!("it can be checked: {other:?}"),
    }
}

async fn plan(watch: &Watch, model: &str) -> RemovalPlan {
    match watch.client.call(Request::PlanRemoval(name(model))).await {
        Ok(Response::Removal(plan)) => *plan,
        other => panic!("it can be removed: {other:?}"),
    }
}

async fn remove(watch: &Watch, model: &str) -> u64 {
    match watch.client.call(Request::RemoveModel(name(model))).await {
        Ok(Response::Removed { bytes }) => bytes,
        other => panic!("it can be removed: {other:?}"),
    }
}

/// Why a model is not removed.
async fn refused(watch: &Watch, model: &str) -> String {
    match watch.client.call(Request::RemoveModel(name(model))).await {
        Err(ClientError::Refused(Refusal::NotRemoved { reason, .. })) => reason,
        other => panic!("it is needed: {other:?}"),
    }
}

fn job(model: &str) -> Job {
    let (prompt, size) = (Prompt::new("a red apple").expect("a prompt"), Size::new(64, 64).expect("a size"));
    Job::new(prompt, name(model), size, 2, 3.0, Seed::Fixed(1), 1).expect("it is in range")
}

fn bad(files: &[FileCheck]) -> Vec<&FileCheck> {
    files.iter().filter(|file| matches!(file.found, Soundness::Bad { .. })).collect()
}

fn can_draw(shown: &Snapshot, model: &str) -> bool {
    shown.models.iter().any(|info| info.name.as_str() == model)
}

/// Changes one byte in the middle of a file; its size stays.
fn damage(place: &Place, address: &str) {
    let path = place.models.path(address);
    let mut content = std::fs::read(&path).expect("it is there");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&path, content).expect("it can be written");
}

#[tokio::test]
async fn a_damaged_file_is_named_goes_even_if_it_is_shared_and_comes_again() {
    let (place, mut watch) = fetched(&["tiny", "other"]).await;
    assert!(place.models.has("both"), "its files are those of the two");
    let files = check(&mut watch, "tiny").await;
    assert!(files.len() == 2 && files.iter().all(|file| file.found == Soundness::Right), "{files:?}");
    assert_eq!(plan(&watch, "tiny").await.stays.len(), 1, "both needs the VAE");
    damage(&place, VAE);
    let files = check(&mut watch, "tiny").await;
    let [file] = &bad(&files)[..] else { panic!("one is damaged: {files:?}") };
    let Soundness::Bad { what } = &file.found else { panic!("{file:?}") };
    assert!(
        file.file.ends_with("ae.safetensors") && what.contains("remove the model and fetch it again"),
        "{file:?}"
    );
    let later = place.watch().await;
    assert_eq!(later.shown.checks, watch.shown.checks, "whoever comes later sees it");
    let going = plan(&watch, "tiny").await;
    assert!(going.stays.is_empty() && going.goes.len() == 2, "what is damaged serves nobody: {going:?}");
    assert_eq!(remove(&watch, "tiny").await, going.bytes);
    assert!(!place.models.path(VAE).exists());
    watch.until("no model", |shown| !can_draw(shown, "tiny") && !can_draw(shown, "both")).await;
    assert_eq!(watch.shown.checks, [], "what was found is no longer so");
    watch.fetch("tiny").await;
    assert_eq!(watch.over("tiny").await, FetchState::Done);
    assert_eq!(bad(&check(&mut watch, "tiny").await), [] as [&FileCheck; 0]);
}

#[tokio::test]
async fn what_another_model_needs_stays_and_the_rest_goes() {
    let (place, mut watch) = fetched(&["tiny", "other"]).await;
    let going = plan(&watch, "tiny").await;
    let [gone] = &going.goes[..] else { panic!("{going:?}") };
    assert!(gone.file.ends_with("flux1-nano.safetensors") && gone.bytes == going.bytes, "{going:?}");
    let [stays] = &going.stays[..] else { panic!("{going:?}") };
    assert!(stays.file.ends_with("ae.safetensors") && stays.why == "another model needs it", "{going:?}");
    assert_eq!(remove(&watch, "tiny").await, going.bytes);
    watch.until("tiny gone", |shown| !can_draw(shown, "tiny") && can_draw(shown, "both")).await;
    assert!(place.models.path(VAE).exists() && !place.models.has("tiny"));
    let nothing = refused(&watch, "nano").await;
    assert!(nothing.contains("nothing of it"), "{nothing}");
    let unchecked = watch.client.call(Request::VerifyModel(name("nano"))).await;
    assert!(matches!(unchecked, Err(ClientError::Refused(Refusal::NothingToCheck(_)))), "{unchecked:?}");
}

#[tokio::test]
async fn a_model_that_is_needed_is_not_removed_and_it_is_said_by_whom() {
    let mut place = Place::new(&slow());
    place.start();
    let mut watch = place.watch().await;
    watch.fetch("other").await;
    watch.until("progress", |shown| runs(shown, "other", 0)).await;
    // Its part is there already.
    let reason = refused(&watch, "other").await;
    assert!(reason.contains("it is being fetched; cancel that first"), "{reason}");
    assert_eq!(watch.over("other").await, FetchState::Done);

    place.models.held.store(true, Ordering::Relaxed);
    watch.client.call(Request::VerifyModel(name("other"))).await.expect("it can be checked");
    let reason = refused(&watch, "other").await;
    assert!(reason.contains("being checked; cancel that first"), "{reason}");
    watch.client.call(Request::CancelCheck(name("other"))).await.expect("it is being checked");
    watch
        .next("word of it", |event| match event {
            Event::Check(check) => (check.state == CheckState::Cancelled).then_some(()),
            _ => None,
        })
        .await;
    let again = watch.client.call(Request::CancelCheck(name("other"))).await;
    assert!(matches!(again, Err(ClientError::Refused(Refusal::NotChecking(_)))), "{again:?}");
    assert_eq!(snapshot(&watch.client).await.checks, []);
    // Wanted again before the thread has ended, it is checked once that has.
    place.models.held.store(false, Ordering::Relaxed);
    assert_eq!(bad(&check(&mut watch, "other").await), [] as [&FileCheck; 0]);

    watch.client.call(Request::Queue(QueueChange::Pause)).await.expect("it can be paused");
    let id = match watch.client.call(Request::Submit(job("other"))).await {
        Ok(Response::Accepted(status)) => status.id,
        other => panic!("it should be accepted, not {other:?}"),
    };
    let reason = refused(&watch, "other").await;
    assert!(reason.contains(&format!("job {id} waits to be drawn with it; cancel it")), "{reason}");
    watch.client.call(Request::Queue(QueueChange::Resume)).await.expect("it can go on");
    watch.until("a picture", |shown| shown.history.len() == 1).await;
    let holds = |shown: &Snapshot| shown.engines.iter().any(|engine| engine.loaded == Some(name("other")));
    assert!(holds(&snapshot(&watch.client).await), "it is loaded and idle");
    remove(&watch, "other").await;
    watch.until("an engine that let it go", |shown| !holds(shown)).await;
    assert!(!place.models.has("other"));
    let late = watch.client.call(Request::Submit(job("other"))).await;
    assert!(matches!(late, Err(ClientError::Refused(Refusal::UnknownModel { .. }))), "{late:?}");
}

#[tokio::test]
async fn models_are_checked_one_after_the_other_and_over_the_end_of_a_client() {
    let (place, watch) = fetched(&["tiny", "other"]).await;
    place.models.held.store(true, Ordering::Relaxed);
    for model in ["tiny", "other"] {
        watch.client.call(Request::VerifyModel(name(model))).await.expect("it can be checked");
    }
    drop(watch);
    let mut watch = place.watch().await;
    let states: Vec<_> =
        watch.shown.checks.iter().map(|check| (check.model.as_str(), &check.state)).collect();
    assert!(
        matches!(states[..], [("tiny", CheckState::Running(_)), ("other", CheckState::Waiting)]),
        "{states:?}"
    );
    let status = watch.client.call(Request::Status).await;
    let Ok(Response::Status(status)) = status else { panic!("{status:?}") };
    assert_eq!(status.checks.len(), 2);
    place.models.held.store(false, Ordering::Relaxed);
    let done = |shown: &Snapshot, model: &str| {
        shown
            .checks
            .iter()
            .any(|check| check.model.as_str() == model && matches!(check.state, CheckState::Done(_)))
    };
    watch.until("both", |shown| done(shown, "tiny") && done(shown, "other")).await;
}
