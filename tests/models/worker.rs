//! The worker fetches: shared, in order, for clients that come and go, over its own end, and beside other processes.

use std::time::Duration;

use flux_tui::client::ClientError;
use flux_tui::job::{Job, JobState, Prompt, Seed, Size};
use flux_tui::model::ModelName;
use flux_tui::wire::message::{FetchState, Refusal, Request, Response, Snapshot};

use crate::home::{finish, start};
use crate::place::{Place, Watch, runs, snapshot};
use crate::server::Manner;
use crate::tiny::{self, fast, slow};

const GATED: &str = "X-Error-Code: GatedRepo\r\n";

/// The models of a snapshot that are being fetched, wait, or failed.
fn fetched(shown: &Snapshot) -> Vec<&str> {
    shown.fetches.iter().map(|fetch| fetch.model.as_str()).collect()
}

fn can_draw(shown: &Snapshot, model: &str) -> bool {
    shown.models.iter().any(|info| info.name.as_str() == model)
}

/// Draws a small picture to its end.
async fn draw(watch: &mut Watch, model: &str) {
    let (prompt, size) = (Prompt::new("a red apple").expect("a prompt"), Size::new(64, 64).expect("a size"));
    let job =
        Job::new(prompt, ModelName::new(model), size, 2, 3.0, Seed::Fixed(1), 1).expect("it is in range");
    let id = match watch.client.call(Request::Submit(job)).await {
        Ok(Response::Accepted(status)) => status.id,
        other => panic!("it should be accepted, not {other:?}"),
    };
    let failure = |shown: &Snapshot| {
        shown.jobs.iter().find(|job| matches!(job.state, JobState::Failed { .. })).cloned()
    };
    watch.until("a picture", |shown| shown.history.len() == 1 || failure(shown).is_some()).await;
    assert_eq!((failure(&watch.shown), watch.shown.history.len()), (None, 1), "job {id}");
}

#[tokio::test]
async fn two_clients_share_a_fetch_and_the_model_draws_without_a_restart() {
    let mut place = Place::new(&slow());
    place.start();
    let (mut one, mut two) = (place.watch().await, place.watch().await);
    assert!(!can_draw(&one.shown, "tiny"));
    one.fetch("tiny").await;
    one.until("progress", |shown| runs(shown, "tiny", 0)).await;
    let known = two.fetch("tiny").await;
    let FetchState::Running(progress) = known.state else { panic!("it runs: {known:?}") };
    assert_eq!(progress.files, 2);
    assert!(progress.total >= 12_645_656, "the size of the catalogue from the start: {progress:?}");
    one.until("speed", |shown| match shown.fetches.first().map(|fetch| &fetch.state) {
        Some(FetchState::Running(progress)) => {
            progress.speed > 0.0 && progress.remaining.is_some() && progress.file.is_some()
        }
        _ => false,
    })
    .await;
    assert_eq!((one.over("tiny").await, two.over("tiny").await), (FetchState::Done, FetchState::Done));
    one.until("the model among those that draw", |shown| can_draw(shown, "tiny")).await;
    assert_eq!(fetched(&one.shown), [] as [&str; 0]);
    let asked = place.server.gets();
    let first = asked
        .iter()
        .filter(|seen| seen.path.contains("flux1-nano") && seen.headers["range"].starts_with("bytes=0-"));
    assert_eq!(first.count(), 1, "it is fetched once: {asked:?}");
    draw(&mut one, "tiny").await;
    let refused = one.client.call(Request::FetchModel(ModelName::new("tiny"))).await;
    assert!(matches!(refused, Err(ClientError::Refused(Refusal::NothingToFetch(_)))), "{refused:?}");
    let unknown = one.client.call(Request::FetchModel(ModelName::new("nobody"))).await;
    assert!(matches!(unknown, Err(ClientError::Refused(Refusal::UnknownModel { .. }))), "{unknown:?}");
}

#[tokio::test]
async fn one_model_at_a_time_and_who_comes_later_sees_it_and_may_cancel_it() {
    let mut place = Place::new(&slow());
    place.start();
    let mut one = place.watch().await;
    one.fetch("tiny").await;
    assert_eq!(one.fetch("other").await.state, FetchState::Waiting);
    one.until("progress", |shown| runs(shown, "tiny", 100_000)).await;
    drop(one);
    let mut two = place.watch().await;
    assert_eq!(fetched(&two.shown), ["tiny", "other"]);
    assert!(runs(&two.shown, "tiny", 0), "{:?}", two.shown.fetches);
    assert_eq!(two.cancel("tiny").await.expect("it runs"), Response::Cancelled);
    assert_eq!(two.over("tiny").await, FetchState::Cancelled);
    assert!(!place.files(".flux-part").is_empty(), "what came is kept");
    two.until("the next", |shown| runs(shown, "other", 0)).await;
    assert_eq!(fetched(&two.shown), ["other"]);
    let refused = two.cancel("tiny").await;
    assert!(matches!(refused, Err(ClientError::Refused(Refusal::NotFetching(_)))), "{refused:?}");
    // One that waits is cancelled without having begun.
    two.fetch("tiny").await;
    two.cancel("tiny").await.expect("it waits");
    assert_eq!(two.over("tiny").await, FetchState::Cancelled);
    assert_eq!(two.over("other").await, FetchState::Done);
    assert_eq!(fetched(&snapshot(&two.client).await), [] as [&str; 0]);
}

/// Wanted again before the thread has seen that it was to stop, it is neither lost nor told to have ended.
#[tokio::test]
async fn a_fetch_that_is_cancelled_and_wanted_again_at_once_goes_on() {
    let mut place = Place::new(&slow());
    place.start();
    let mut watch = place.watch().await;
    watch.fetch("other").await;
    watch.until("progress", |shown| runs(shown, "other", 0)).await;
    let (cancelled, _) = tokio::join!(watch.cancel("other"), watch.fetch("other"));
    cancelled.expect("it runs");
    let mut end = watch.over("other").await;
    if end == FetchState::Cancelled {
        end = watch.over("other").await;
    }
    assert_eq!(end, FetchState::Done);
}

#[tokio::test]
async fn a_worker_that_ends_in_the_middle_leaves_the_rest_to_the_next() {
    let mut place = Place::new(&slow());
    place.start();
    let mut watch = place.watch().await;
    watch.fetch("tiny").await;
    watch.fetch("other").await;
    watch.until("progress", |shown| runs(shown, "tiny", 2_000_000)).await;
    drop(watch);
    place.stop();
    assert!(!place.models.has("tiny") && !place.files(".flux-part").is_empty());
    let before = place.server.gets().len();
    tiny::publish(&place.server, &fast());
    place.start();
    // Nobody asks: it goes on by itself.
    let mut watch = place.watch().await;
    watch.until("both", |shown| can_draw(shown, "tiny") && can_draw(shown, "other")).await;
    let after: Vec<_> = place.server.gets().into_iter().skip(before).collect();
    let again = |seen: &&crate::server::Seen| {
        seen.path.contains("flux1-nano") && seen.headers["range"].starts_with("bytes=0-")
    };
    assert!(!after.is_empty() && after.iter().find(again).is_none(), "not from the beginning: {after:?}");
    place.stop();
    place.start();
    assert_eq!(fetched(&place.watch().await.shown), [] as [&str; 0], "what is done is wanted no more");
}

#[tokio::test]
async fn a_failure_says_what_to_do_stays_to_be_read_and_can_be_tried_again() {
    let mut place = Place::new(&fast());
    let gated = Manner { refuse_head: Some((403, GATED.to_owned())), ..Manner::default() };
    tiny::publish(&place.server, &gated);
    place.start();
    let mut watch = place.watch().await;
    watch.fetch("tiny").await;
    let FetchState::Failed { reason } = watch.over("tiny").await else { panic!("it is gated") };
    let page = format!("{}/me/tiny", place.server.endpoint());
    for part in [page.as_str(), "HF_TOKEN", "one more file did not come"] {
        assert!(reason.contains(part), "{part} is not in: {reason}");
    }
    // The library may still be forgetting it while another comes.
    let later = place.watch().await;
    assert_eq!(later.shown.fetches, watch.shown.fetches);
    assert!(matches!(later.shown.fetches[0].state, FetchState::Failed { .. }));
    tiny::publish(&place.server, &fast());
    watch.fetch("tiny").await;
    assert_eq!(watch.over("tiny").await, FetchState::Done);
    assert_eq!(watch.shown.fetches, []);
}

#[tokio::test]
async fn the_worker_does_not_end_by_idleness_while_it_fetches() {
    let mut place = Place::new(&slow());
    place.settings.end_after = Some(Duration::from_millis(50));
    place.start();
    let mut watch = place.watch().await;
    watch.fetch("other").await;
    watch.until("progress", |shown| runs(shown, "other", 0)).await;
    drop(watch);
    let mut place = tokio::task::spawn_blocking(move || {
        place.ended();
        place
    })
    .await
    .expect("it ended by itself");
    assert!(place.models.has("other"), "and not before all was there");
    place.start();
}

/// The command line and the worker want the same file: one waits for the other and says so, and it is fetched once.
#[tokio::test]
async fn the_command_line_and_the_worker_wait_for_each_other() {
    let mut place = Place::new(&slow());
    place.start();
    let pull = |address: &str| {
        let mut command = place.home.command(&["models", "pull", address, "--json"]);
        let endpoint = place.server.endpoint();
        command.env("HF_ENDPOINT", &endpoint).env("MODELSCOPE_ENDPOINT", &endpoint);
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        start(&mut command)
    };
    let mut watch = place.watch().await;
    watch.fetch("tiny").await;
    watch.until("progress", |shown| runs(shown, "tiny", 0)).await;
    let behind = pull("hf:me/tiny/flux1-nano.safetensors");
    assert_eq!(watch.over("tiny").await, FetchState::Done);
    let behind = tokio::task::spawn_blocking(|| finish(behind)).await.expect("it ends");
    behind.done();
    assert!(
        behind.stderr.contains("another process is fetching hf:me/tiny/flux1-nano.safetensors"),
        "{behind:?}"
    );
    assert_eq!(behind.json()["files"][0]["outcome"], "present");

    let ahead = pull("hf:me/other/clip.safetensors");
    let part = || place.files(".flux-part").iter().any(|part| part.to_string_lossy().contains("me--other"));
    let until = std::time::Instant::now() + crate::place::DEADLINE;
    while !part() {
        assert!(std::time::Instant::now() < until, "the command line fetches nothing");
        tokio::task::yield_now().await;
    }
    watch.fetch("other").await;
    watch
        .until("word of the other process", |shown| match shown.fetches.first().map(|fetch| &fetch.state) {
            Some(FetchState::Running(progress)) => progress
                .waits
                .as_ref()
                .is_some_and(|waits| waits.contains("another process is fetching hf:me/other")),
            _ => false,
        })
        .await;
    assert_eq!(watch.over("other").await, FetchState::Done);
    tokio::task::spawn_blocking(|| finish(ahead)).await.expect("it ends").done();
}
