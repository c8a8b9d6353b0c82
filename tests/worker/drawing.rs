//! From a job to its pictures: what is drawn, what is told, what is cancelled, what fails.

use std::time::Duration;

use flux_tui::client::{Client, ClientError};
use flux_tui::job::{Job, JobId, JobState, PictureId, Prompt, Seed, Size};
use flux_tui::model::ModelName;
use flux_tui::wire::message::*;

use crate::scripted::colour;
use crate::support::{Place, job, job_of, within};

#[tokio::test]
async fn a_job_becomes_a_picture_in_the_library_and_the_client_sees_all_of_it() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let accepted = watch.submit(job_of("alpha", "一只红苹果", Seed::Fixed(0x0030_2010), 1)).await;
    assert_eq!((accepted.state, accepted.first_seed, accepted.done), (JobState::Queued, 0x0030_2010, 0));
    let status = watch.over(accepted.id).await;
    assert_eq!((status.state, status.done), (JobState::Done, 1));

    let stages = watch.log.iter().filter_map(|event| match event {
        Event::Progress(progress) => Some(&progress.stage),
        _ => None,
    });
    let stages: Vec<_> = stages.collect();
    assert!(matches!(stages[0], Stage::Loading { done: 0, total: 10 }), "{stages:?}");
    let position =
        |is_it: fn(&Stage) -> bool| stages.iter().position(|stage| is_it(stage)).expect("each stage is told");
    let order = [
        position(|stage| matches!(stage, Stage::Loading { done: 10, .. })),
        position(|stage| matches!(stage, Stage::Encoding)),
        position(|stage| matches!(stage, Stage::Drawing { step: 0, steps: 4, .. })),
        position(|stage| matches!(stage, Stage::Drawing { step: 4, steps: 4, .. })),
        position(|stage| matches!(stage, Stage::Decoding)),
        position(|stage| matches!(stage, Stage::Saving)),
    ];
    assert!(order.is_sorted(), "{stages:?}");

    // The picture first, then that its job is done.
    let finished =
        watch.log.iter().position(|event| matches!(event, Event::Finished(_))).expect("it is finished");
    let done = watch
        .log
        .iter()
        .position(|event| matches!(event, Event::Job(it) if it.done == 1))
        .expect("it is done");
    assert!(finished < done);

    let [picture] = &watch.shown.history[..] else { panic!("one picture, not {:?}", watch.shown.history) };
    assert_eq!((picture.job, picture.index, watch.shown.history_total), (accepted.id, 0, 1));
    assert_eq!(picture.recipe.precision, "words of alpha, a script");
    assert!(picture.recipe.times.load > 0.0, "the first picture is charged with the load");
    assert_eq!(picture.recipe.times.encode, 0.25);
    let name = picture.path.file_name().expect("it has a name").to_string_lossy().into_owned();
    assert!(name.ends_with(&format!("-{}.png", 0x0030_2010)), "{name}");
    let image = image::open(&picture.path).expect("it is a PNG").into_rgb8();
    assert_eq!(image.dimensions(), (64, 48));
    assert!(image.pixels().all(|pixel| pixel.0 == colour(0x0030_2010)));
    assert_eq!(place.files(), std::slice::from_ref(&picture.path), "and nothing else is left there");

    let Ok(Response::Png(png)) = watch.client.call(Request::Fetch(picture.id)).await else { panic!("a PNG") };
    assert_eq!(png, std::fs::read(&picture.path).expect("it is there"));

    let asked = ThumbnailRequest { picture: picture.id, side: 32 };
    let Ok(Response::Thumbnail(jpeg)) = watch.client.call(Request::Thumbnail(asked)).await else {
        panic!("a JPEG")
    };
    let small = image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg).expect("it is one");
    assert_eq!((small.width(), small.height()), (32, 24), "the shape is the picture's");
    let none = ThumbnailRequest { picture: PictureId(99), side: 32 };
    assert_eq!(watch.refused(Request::Thumbnail(none)).await, Refusal::UnknownPicture(PictureId(99)));
    std::fs::write(&picture.path, "no picture").expect("it is ours");
    let Refusal::File { reason, .. } = watch.refused(Request::Thumbnail(asked)).await else {
        panic!("it cannot be read")
    };
    assert!(reason.contains("no PNG"), "{reason}");
}

#[tokio::test]
async fn previews_are_computed_only_while_somebody_watches() {
    let place = Place::started().await;
    let (client, _events) = Client::connect(&place.paths).await.expect("a worker runs");
    client.call(Request::Submit(job("unseen"))).await.expect("it is accepted");
    let idle = async {
        while !matches!(client.call(Request::Status).await, Ok(Response::Status(status)) if status.pictures == 1)
        {
        }
    };
    within("the picture", idle).await;
    assert_eq!(place.models.previews(), 0);
    let mut watch = place.watch().await;
    watch.draw(job("seen")).await;
    assert_eq!(place.models.previews(), 4, "one a step");
}

#[tokio::test]
async fn each_picture_of_a_job_has_the_next_seed_and_random_ones_are_drawn_when_accepted() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let status = watch.draw(job_of("alpha", "a", Seed::Fixed(u64::MAX), 3)).await;
    assert_eq!(status.done, 3);
    let seeds: Vec<_> =
        watch.shown.history.iter().map(|picture| (picture.index, picture.recipe.seed)).collect();
    assert_eq!(seeds, [(2, 1), (1, 0), (0, u64::MAX)], "newest first");
    let loads: Vec<_> = watch.shown.history.iter().map(|picture| picture.recipe.times.load > 0.0).collect();
    assert_eq!(loads, [false, false, true], "only the first picture is charged with the load");

    let random = watch.submit(job("a")).await;
    assert!(random.first_seed < 1 << 32);
    watch.over(random.id).await;
    assert_eq!(watch.shown.history[0].recipe.seed, random.first_seed);
    let again = watch.submit(job("a")).await;
    assert_ne!(again.first_seed, random.first_seed, "one in 4 billion");
    watch.over(again.id).await;
}

#[tokio::test]
async fn the_model_stays_loaded_until_another_is_asked_for() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    for (model, loads) in [("alpha", 1), ("alpha", 1), ("beta", 2), ("alpha", 3)] {
        watch.draw(job_of(model, "a", Seed::Random, 1)).await;
        assert_eq!(place.models.loads(), loads);
        let [engine] = &watch.shown.engines[..] else { panic!("one engine") };
        assert_eq!(engine.loaded, Some(ModelName::new(model)));
        assert_eq!(engine.precision, Some(format!("words of {model}")));
    }
}

#[tokio::test]
async fn a_queued_job_is_cancelled_and_the_others_are_drawn() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let first = watch.submit(job("hold")).await.id;
    watch.step(first, 1).await;
    let (second, third) = (watch.submit(job("b")).await.id, watch.submit(job("c")).await.id);
    assert_eq!(watch.client.call(Request::Cancel(second)).await.expect("it waits"), Response::Cancelled);
    assert_eq!(watch.over(second).await.state, JobState::Cancelled);
    place.models.release();
    assert_eq!(watch.over(third).await.state, JobState::Done);
    let drawn: Vec<_> = watch.shown.history.iter().map(|picture| picture.job).collect();
    assert_eq!(drawn, [third, first]);
    assert_eq!(watch.refused(Request::Cancel(second)).await, Refusal::UnknownJob(second));
}

#[tokio::test]
async fn a_running_job_is_cancelled_between_steps() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let id = watch.submit(job_of("alpha", "hold", Seed::Random, 5)).await.id;
    watch.step(id, 1).await;
    watch.client.call(Request::Cancel(id)).await.expect("it runs");
    let status = watch.over(id).await;
    assert_eq!((status.state, status.done), (JobState::Cancelled, 0));
    let further = |event: &Event| matches!(event, Event::Progress(Progress { stage: Stage::Drawing { step, .. }, .. }) if *step > 1);
    assert!(!watch.log.iter().any(further), "it stopped where it was: {:?}", watch.log);
    assert_eq!(watch.shown.running, []);
    watch.draw(job("the next")).await;
    assert_eq!(place.models.loads(), 1, "the model is still good");
    assert_eq!(place.files().len(), 1);
}

#[tokio::test]
async fn cancelling_what_is_not_there_is_refused() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    assert_eq!(watch.refused(Request::Cancel(JobId(99))).await, Refusal::UnknownJob(JobId(99)));
    let id = watch.draw(job("a")).await.id;
    assert_eq!(watch.refused(Request::Cancel(id)).await, Refusal::UnknownJob(id));
    assert_eq!(watch.refused(Request::Fetch(PictureId(99))).await, Refusal::UnknownPicture(PictureId(99)));
}

#[tokio::test]
async fn an_unknown_model_is_refused_with_those_there_are() {
    let place = Place::started().await;
    let watch = place.watch().await;
    let refusal = watch.refused(Request::Submit(job_of("gamma", "a", Seed::Random, 1))).await;
    assert_eq!(refusal, Refusal::UnknownModel { name: "gamma".into(), known: "alpha, beta".into() });
    let count = CountTokens { model: ModelName::new("gamma"), text: String::new() };
    assert!(matches!(watch.refused(Request::CountTokens(count)).await, Refusal::UnknownModel { .. }));
}

#[tokio::test]
async fn a_failed_job_keeps_its_reason_across_a_restart_and_the_next_is_drawn() {
    let mut place = Place::started().await;
    let mut watch = place.watch().await;
    let id = watch.submit(job_of("alpha", "fail", Seed::Random, 3)).await.id;
    let state = watch.over(id).await.state;
    let JobState::Failed { reason } = &state else { panic!("it fails, not {state:?}") };
    assert_eq!(reason, "double block 3 failed: out of memory: 9 GiB were asked for");
    watch.draw(job("the next")).await;
    assert_eq!(place.models.loads(), 1, "a computation that failed does not spoil the model");
    place.stop().await;
    place.start().await;
    let jobs = place.watch().await.shown.jobs;
    assert_eq!(jobs.iter().map(|job| (job.id, job.state.clone())).collect::<Vec<_>>(), [(id, state)]);
}

#[tokio::test]
async fn a_picture_that_runs_out_of_memory_is_planned_again_once_and_says_so() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(job("taken")).await;
    assert_eq!(place.models.loads(), 2);
    let precision = &watch.shown.history[0].recipe.precision;
    assert_eq!(precision, "words of alpha; planned again, because memory had run out, a script");
    watch.draw(job("taken")).await;
    assert_eq!(place.models.loads(), 2, "what was loaded with care stays");
    let id = watch.submit(job("scarce")).await.id;
    let state = watch.over(id).await.state;
    let JobState::Failed { reason } = state else { panic!("it fails, not {state:?}") };
    assert_eq!(reason, "drawing failed: 9 GB were wanted and 8 GB are free");
    assert_eq!(place.models.loads(), 2, "it had been planned again already");
}

#[tokio::test]
async fn a_picture_larger_than_was_planned_for_is_planned_for_and_nothing_is_said() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(job("a")).await;
    let large = Job::new(
        Prompt::new("b").expect("text"),
        ModelName::new("alpha"),
        Size::new(128, 96).expect("it is on the grid"),
        4,
        3.5,
        Seed::Random,
        1,
    );
    watch.draw(large.expect("it is in range")).await;
    assert_eq!(place.models.loads(), 2);
    assert_eq!(watch.shown.history[0].recipe.precision, "words of alpha, a script");
    watch.draw(job("c")).await;
    assert_eq!(place.models.loads(), 2, "a smaller one fits");
}

#[tokio::test]
async fn a_panic_fails_its_job_and_the_next_gets_a_fresh_engine() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let id = watch.submit(job("panic")).await.id;
    let state = watch.over(id).await.state;
    let JobState::Failed { reason } = state else { panic!("it fails, not {state:?}") };
    assert_eq!(reason, "the engine broke down: told to by the prompt; the worker's log has more");
    watch.draw(job("the next")).await;
    assert_eq!(place.models.loads(), 2);
}

#[tokio::test]
async fn a_stop_puts_the_running_job_back_and_the_next_worker_draws_it() {
    let mut place = Place::started().await;
    let mut watch = place.watch().await;
    let running = watch.submit(job_of("alpha", "hold", Seed::Random, 2)).await;
    place.models.release();
    watch.until("the first picture", |event| matches!(event, Event::Finished(_)).then_some(())).await;
    watch.step(running.id, 1).await;
    let waiting = watch.submit(job("b")).await;
    let stopping = watch.client.call(Request::Stop).await.expect("it can be stopped");
    assert_eq!(stopping, Response::Stopping { queued: 2 });
    watch.until("the news", |event| (*event == Event::Ending).then_some(())).await;
    let called = within("the end", async { watch.client.call(Request::Status).await }).await;
    assert!(
        matches!(called, Err(ClientError::Ended | ClientError::Refused(Refusal::Stopping))),
        "{called:?}"
    );
    place.ended().await;
    assert!(matches!(Client::connect(&place.paths).await, Err(ClientError::NoWorker)));

    place.start().await;
    let mut watch = place.watch().await;
    place.models.release();
    let first = watch.shown.jobs.iter().find(|job| job.id == running.id).expect("it is still there");
    assert_eq!(first.done, 1, "its first picture is not drawn again");
    assert_eq!(watch.over(waiting.id).await.state, JobState::Done);
    let drawn: Vec<_> = watch.shown.history.iter().map(|it| (it.job, it.index, it.recipe.seed)).collect();
    let seed = running.first_seed;
    assert_eq!(
        drawn,
        [(waiting.id, 0, waiting.first_seed), (running.id, 1, seed + 1), (running.id, 0, seed)]
    );
}

#[tokio::test]
async fn an_idle_worker_frees_its_model_and_then_ends() {
    let mut place = Place::new();
    place.settings.free_after = Some(Duration::from_millis(50));
    place.settings.end_after = Some(Duration::from_millis(100));
    place.start().await;
    let mut watch = place.watch().await;
    watch.draw(job("a")).await;
    watch
        .until("a free engine", |event| match event {
            Event::Engine(EngineStatus { loaded: None, .. }) => Some(()),
            _ => None,
        })
        .await;
    watch.draw(job("b")).await;
    assert_eq!(place.models.loads(), 2);
    drop(watch);
    place.ended().await;
    assert!(!place.paths.socket().exists());
}

#[tokio::test]
async fn elapsed_and_remaining_time_are_told_from_the_second_picture_on() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(job("slow")).await;
    watch.log.clear();
    watch.draw(job("slow")).await;
    let progress = watch.log.iter().filter_map(|event| match event {
        Event::Progress(progress) => Some(progress.clone()),
        _ => None,
    });
    let progress: Vec<_> = progress.collect();
    assert!(progress.iter().all(|it| it.remaining.is_some()), "{progress:?}");
    assert!(progress.iter().map(|it| it.elapsed).is_sorted(), "{progress:?}");
    assert!(progress[0].remaining > progress[progress.len() - 1].remaining, "{progress:?}");
}

#[tokio::test]
async fn tokens_are_counted_with_one_counter_and_the_newest_text_goes_first() {
    let place = Place::started().await;
    let watch = place.watch().await;
    let count = |text: &str| {
        let (client, text) = (watch.client.clone(), text.to_owned());
        let request = Request::CountTokens(CountTokens { model: ModelName::new("alpha"), text });
        async move { client.call(request).await }
    };
    let Ok(Response::Tokens(counts)) = count("three small words").await else { panic!("counts") };
    assert_eq!(counts.iter().map(|count| count.tokens).collect::<Vec<_>>(), [3, 3]);
    // The first is held while the others come; of those only the newest is counted.
    let release = async {
        while place.models.held() == 0 {
            let status = watch.client.call(Request::Status).await;
            assert!(status.is_ok(), "the worker answers while it counts");
        }
        // Asked in this order; the first is refused as soon as the second has come.
        let (stale, newest) = (tokio::spawn(count("stale")), tokio::spawn(count("the newest")));
        let stale = stale.await.expect("it did not panic");
        place.models.release();
        (stale, newest.await.expect("it did not panic"))
    };
    let (held, (stale, newest)) = within("the counts", async { tokio::join!(count("hold"), release) }).await;
    assert!(matches!(&held, Ok(Response::Tokens(counts)) if counts[0].tokens == 1), "{held:?}");
    assert!(matches!(stale, Err(ClientError::Refused(Refusal::Superseded))), "{stale:?}");
    assert!(matches!(&newest, Ok(Response::Tokens(counts)) if counts[0].tokens == 2), "{newest:?}");
    assert_eq!((place.models.counters(), place.models.counted()), (1, 3));
}

#[tokio::test]
async fn readings_come_while_somebody_watches() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let readings = watch
        .until("readings", |event| match event {
            Event::Readings(readings) => Some(readings.clone()),
            _ => None,
        })
        .await;
    assert!(readings.host.cores > 0 && readings.host.total > readings.host.ours, "{readings:?}");
    let Ok(Response::Status(status)) = watch.client.call(Request::Status).await else { panic!("a status") };
    assert!(status.readings.is_some());
    assert_eq!((status.clients, status.queued, status.pictures), (1, 0, 0));
    assert_eq!(status.worker.pid, std::process::id());
}

#[tokio::test]
async fn history_is_paged_newest_first() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    watch.draw(job_of("alpha", "a", Seed::Fixed(0), 7)).await;
    let (mut before, mut seeds) = (None, Vec::new());
    loop {
        let page = Request::History(HistoryPage { before, limit: 3 });
        let Ok(Response::History(pictures)) = watch.client.call(page).await else { panic!("a page") };
        let Some(last) = pictures.last() else { break };
        before = Some(last.id);
        assert!(pictures.len() <= 3);
        seeds.extend(pictures.iter().map(|picture| picture.recipe.seed));
    }
    assert_eq!(seeds, [6, 5, 4, 3, 2, 1, 0]);
}
