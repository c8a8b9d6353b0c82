//! Several devices: each has its engine, the queue feeds whichever is free, and what is asked for is
//! what is done.

use flux_tui::client::{Client, ClientError};
use flux_tui::device::{Device, DeviceChoice, NoDevice, PrecisionChoice};
use flux_tui::engine::lora::footprint;
use flux_tui::job::{Job, JobState, LoraChoice, Seed};
use flux_tui::model::ModelName;
use flux_tui::usage::{Learned, Observed};
use flux_tui::wire::message::*;

use crate::scripted::{LORA_BYTES, Scripted, TOOK};
use crate::support::{Place, Watch, job, job_of, within};

const FIRST: Device = Device::Cuda(0);
const SECOND: Device = Device::Cuda(1);
/// A machine with two cards, the second with more free memory.
const CARDS: [Device; 3] = [SECOND, FIRST, Device::Cpu];

fn on(choice: DeviceChoice, job: Job) -> Job {
    job.placed(choice, PrecisionChoice::Auto)
}

/// Which device draws each job now, in the order they were begun to be told.
fn places(watch: &Watch) -> Vec<(Device, i64)> {
    let mut places: Vec<_> =
        watch.shown.running.iter().map(|it| (it.progress.device, it.progress.job.0)).collect();
    places.sort_unstable_by_key(|(_, job)| *job);
    places
}

#[tokio::test]
async fn a_job_with_a_lora_is_planned_with_it_on_a_card_and_one_that_is_gone_is_refused() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lora/fixtures/kohya.safetensors");
    let lora = LoraChoice::new(path, 1.0).expect("it is one");
    let with = job("a").with_loras(vec![lora]).expect("it is one");
    let id = watch.submit(on(DeviceChoice::Cuda, with)).await.id;
    assert_eq!(watch.over(id).await.state, JobState::Done);
    assert_eq!(watch.shown.history[0].recipe.loras[0].strength, 1.0);
    let bytes = footprint(path.as_ref());
    assert!(bytes >= std::fs::metadata(path).expect("it is there").len());
    let planned: Vec<_> = place.models.placed().iter().map(|on| on.picture.loras).collect();
    assert_eq!(planned, [bytes]);
    assert_eq!(watch.shown.engines[0].loras, LORA_BYTES, "who shows memory tells them from the model");
    let plain = watch.submit(on(DeviceChoice::Cuda, job("b"))).await.id;
    watch.over(plain).await;
    assert_eq!(watch.shown.engines[0].loras, 0, "given back");
    let gone = LoraChoice::new("/nowhere/gone.safetensors", 1.0).expect("it is one");
    let refused =
        watch.client.call(Request::Submit(job("a").with_loras(vec![gone]).expect("it is one"))).await;
    assert!(matches!(refused, Err(ClientError::Refused(Refusal::Lora(_)))), "{refused:?}");
}

#[tokio::test]
async fn two_jobs_are_drawn_at_the_same_time_and_a_third_waits() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let ids = [
        watch.submit(job("hold")).await.id,
        watch.submit(job("hold")).await.id,
        watch.submit(job("the third")).await.id,
    ];
    watch.running(2).await;
    assert_eq!(places(&watch), [(SECOND, ids[0].0), (FIRST, ids[1].0)], "the better one first");
    let now = place.watch().await.shown;
    let third = now.jobs.iter().find(|job| job.id == ids[2]).expect("it is there");
    assert_eq!(third.state, JobState::Queued, "it does not go to the CPU");
    let Ok(Response::Status(status)) = watch.client.call(Request::Status).await else { panic!("a status") };
    assert_eq!((status.engines.len(), status.running.len(), status.queued), (3, 2, 1));
    place.models.release();
    watch.over(ids[2]).await;
    place.models.release();
    for id in &ids[..2] {
        if watch.shown.jobs.iter().any(|job| job.id == *id) {
            watch.over(*id).await;
        }
    }
    assert_eq!((watch.shown.history_total, &watch.shown.running[..]), (3, &[][..]));
    let about: Vec<_> =
        watch.shown.engines.iter().map(|engine| (&*engine.about, engine.loaded.is_some())).collect();
    assert_eq!(about, [("script 1", true), ("script 0", true), ("a script", false)]);
    let precision = |picture: &flux_tui::job::Picture| picture.recipe.precision.clone();
    let said: Vec<_> = watch.shown.history.iter().map(precision).collect();
    assert!(
        said.contains(&"words of alpha, script 0".into())
            && said.contains(&"words of alpha, script 1".into())
    );
}

#[tokio::test]
async fn each_device_loads_a_model_once() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    watch.draw(job_of("alpha", "a", Seed::Random, 6)).await;
    watch.draw(job("b")).await;
    let mut loads = place.models.loaded();
    loads.sort_by_key(|(device, ..)| *device);
    let load = |device| (device, ModelName::new("alpha"), PrecisionChoice::Auto);
    assert_eq!(loads, [load(FIRST), load(SECOND)]);
}

#[tokio::test]
async fn a_model_is_read_again_only_for_another_precision() {
    let place = Place::started_on(&[FIRST, Device::Cpu]).await;
    let mut watch = place.watch().await;
    let in_ = |precision| job("a").placed(DeviceChoice::Auto, precision);
    for precision in
        [PrecisionChoice::Auto, PrecisionChoice::Auto, PrecisionChoice::Fp8, PrecisionChoice::Fp8]
    {
        watch.draw(in_(precision)).await;
    }
    let precisions: Vec<_> = place.models.loaded().into_iter().map(|(_, _, precision)| precision).collect();
    assert_eq!(precisions, [PrecisionChoice::Auto, PrecisionChoice::Fp8]);
}

#[tokio::test]
async fn cancelling_one_leaves_the_other() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let (first, second) = (watch.submit(job("hold")).await.id, watch.submit(job("hold")).await.id);
    watch.running(2).await;
    watch.client.call(Request::Cancel(first)).await.expect("it runs");
    assert_eq!(watch.over(first).await.state, JobState::Cancelled);
    assert_eq!(places(&watch), [(FIRST, second.0)]);
    // Whoever is held has come second; the one that was cancelled has used no release.
    place.models.release();
    place.models.release();
    assert_eq!(watch.over(second).await.state, JobState::Done);
    watch.draw(job("the card is free again")).await;
}

#[tokio::test]
async fn pictures_of_one_job_are_drawn_on_both_cards_and_cancelling_stops_all_of_them() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let id = watch.submit(job_of("alpha", "hold", Seed::Fixed(10), 5)).await.id;
    watch.running(2).await;
    let mut drawn: Vec<_> =
        watch.shown.running.iter().map(|it| (it.progress.index, it.progress.seed)).collect();
    drawn.sort_unstable();
    assert_eq!(drawn, [(0, 10), (1, 11)]);
    watch.client.call(Request::Cancel(id)).await.expect("it runs");
    let status = watch.over(id).await;
    assert_eq!((status.state, status.done), (JobState::Cancelled, 0));
    assert_eq!((watch.shown.running.len(), place.files().len()), (0, 0));
    let over = watch.log.iter().filter(|event| matches!(event, Event::Job(it) if it.state.is_over()));
    assert_eq!(over.count(), 1, "it is told once: {:?}", watch.log);
}

#[tokio::test]
async fn a_failure_on_one_card_stops_what_the_other_draws_for_the_job() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    // The first card holds until it is stopped; the second fails.
    let id = watch.submit(job_of("alpha", "hold0 fail", Seed::Random, 4)).await.id;
    let status = watch.over(id).await;
    assert!(matches!(&status.state, JobState::Failed { reason } if reason.contains("9 GiB")), "{status:?}");
    assert_eq!((status.done, watch.shown.running.len()), (0, 0));
    watch.draw(job_of("alpha", "the next", Seed::Random, 2)).await;
}

#[tokio::test]
async fn pictures_that_come_out_of_order_are_all_there_after_a_restart_in_the_middle() {
    let mut place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    // The second card goes on with the others while the first holds its picture.
    let id = watch.submit(job_of("alpha", "hold0", Seed::Fixed(100), 4)).await.id;
    let third = |event: &Event| match event {
        Event::Job(status) if status.id == id && status.done == 3 => Some(status.state.clone()),
        _ => None,
    };
    assert_eq!(watch.until("three of four", third).await, JobState::Running);
    watch.running(1).await;
    let missing = watch.shown.running[0].progress.index;
    place.stop().await;
    place.models = Scripted::on(&[FIRST, Device::Cpu]);
    place.start().await;
    let mut watch = place.watch().await;
    let done = watch.shown.jobs.iter().find(|job| job.id == id).map(|job| job.done);
    assert_eq!(done, Some(3), "it is held again");
    place.models.release();
    assert_eq!(watch.over(id).await.state, JobState::Done);
    let mut drawn: Vec<_> = watch.shown.history.iter().map(|it| (it.index, it.recipe.seed)).collect();
    assert_eq!(drawn[0].0, missing, "only that one was drawn again");
    drawn.sort_unstable();
    assert_eq!(drawn, [(0, 100), (1, 101), (2, 102), (3, 103)]);
}

#[tokio::test]
async fn an_explicit_device_is_waited_for_while_others_go_on() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let held = watch.submit(on(DeviceChoice::CudaAt(0), job("hold"))).await.id;
    watch.step(held, 1).await;
    let waits = watch.submit(on(DeviceChoice::CudaAt(0), job("a"))).await.id;
    watch.draw(on(DeviceChoice::Cuda, job("b"))).await;
    let there = watch.draw(on(DeviceChoice::Cpu, job("c"))).await;
    assert_eq!(watch.shown.history[0].job, there.id);
    assert_eq!(watch.shown.history[0].recipe.precision, "words of alpha, a script");
    assert_eq!(watch.shown.history[1].recipe.precision, "words of alpha, script 1");
    let status = watch.shown.jobs.iter().find(|job| job.id == waits).expect("it waits");
    assert_eq!(status.state, JobState::Queued);
    place.models.release();
    watch.over(waits).await;
    assert_eq!(watch.shown.history[0].recipe.precision, "words of alpha, script 0");
}

#[tokio::test]
async fn a_device_that_is_not_there_is_refused_with_those_that_are() {
    let place = Place::started_on(&CARDS).await;
    let watch = place.watch().await;
    let refusal = watch.refused(Request::Submit(on(DeviceChoice::CudaAt(2), job("a")))).await;
    assert_eq!(
        refusal,
        Refusal::NoDevice(NoDevice { choice: DeviceChoice::CudaAt(2), known: CARDS.to_vec() })
    );
    let said = refusal.to_string();
    assert_eq!(said, "there is no device cuda:2 here; there is cuda:1, cuda:0, cpu, and auto takes the best");
    let place = Place::started().await;
    let watch = place.watch().await;
    let refusal = watch.refused(Request::Submit(on(DeviceChoice::Cuda, job("a")))).await;
    assert_eq!(refusal.to_string(), "there is no device cuda here; there is cpu, and auto takes the best");
}

#[tokio::test]
async fn a_job_whose_card_was_taken_out_fails_when_the_next_worker_begins() {
    let mut place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let id = watch.submit(on(DeviceChoice::CudaAt(1), job("hold"))).await.id;
    let other = watch.submit(on(DeviceChoice::Auto, job("hold"))).await.id;
    watch.running(2).await;
    place.stop().await;
    place.models = Scripted::on(&[FIRST, Device::Cpu]);
    place.start().await;
    let mut watch = place.watch().await;
    let status = watch.shown.jobs.iter().find(|job| job.id == id).expect("it is kept");
    let JobState::Failed { reason } = &status.state else { panic!("it fails, not {status:?}") };
    assert_eq!(reason, "there is no device cuda:1 here; there is cuda:0, cpu, and auto takes the best");
    place.models.release();
    assert_eq!(watch.over(other).await.state, JobState::Done);
}

#[tokio::test]
async fn a_panic_on_one_card_costs_only_that_cards_model() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let held = watch.submit(job("hold")).await.id;
    watch.step(held, 1).await;
    let broken = watch.submit(job("panic")).await.id;
    assert!(matches!(watch.over(broken).await.state, JobState::Failed { .. }));
    let loaded: Vec<_> = watch.shown.engines.iter().map(|engine| engine.loaded.is_some()).collect();
    assert_eq!(loaded, [true, false, false]);
    place.models.release();
    assert_eq!(watch.over(held).await.state, JobState::Done);
}

#[tokio::test]
async fn previews_of_both_pictures_come() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    watch.submit(job_of("alpha", "hold", Seed::Fixed(5), 2)).await;
    let seen = async {
        while watch.shown.running.iter().filter(|it| it.preview.is_some()).count() < 2 {
            watch.next().await.expect("the worker goes on");
        }
    };
    within("a preview of each", seen).await;
    let (late, _events) = Client::connect(&place.paths).await.expect("a worker runs");
    let Ok(Response::Snapshot(late)) = late.call(Request::Subscribe).await else { panic!("a snapshot") };
    let previews = |shown: &Snapshot| -> Vec<_> {
        shown
            .running
            .iter()
            .map(|it| it.preview.as_ref().map(|preview| (preview.index, preview.step)))
            .collect()
    };
    assert_eq!(previews(&late), previews(&watch.shown));
}

#[tokio::test]
async fn a_load_is_told_what_earlier_pictures_of_the_card_took() {
    let mut place = Place::started_on(&[FIRST, Device::Cpu]).await;
    let mut watch = place.watch().await;
    let in_ = |precision| job("a").placed(DeviceChoice::Auto, precision);
    for precision in [PrecisionChoice::Auto, PrecisionChoice::Fp8, PrecisionChoice::Auto] {
        watch.draw(in_(precision)).await;
    }
    // Another worker knows it too; the CPU has nothing to plan.
    place.stop().await;
    place.start().await;
    let mut watch = place.watch().await;
    watch.draw(in_(PrecisionChoice::Auto)).await;
    watch.draw(job("a").placed(DeviceChoice::Cpu, PrecisionChoice::Auto)).await;
    let of_the_card = Learned { card: Some(TOOK.card), ..Learned::default() };
    let tokens = job("a").size.image_tokens();
    let seen = |seconds| Some(Observed { tokens, seconds });
    let all = Learned { short: 100, step: seen(0.25), decode: seen(0.125), ..of_the_card };
    assert_eq!(place.models.learned(), [Learned::default(), of_the_card, all, all, Learned::default()]);
}

#[tokio::test]
async fn models_that_rest_are_let_go_when_somebody_asks_and_those_in_use_stay() {
    let place = Place::started_on(&CARDS).await;
    let mut watch = place.watch().await;
    let rests = watch.submit(on(DeviceChoice::CudaAt(0), job("a"))).await.id;
    watch.over(rests).await;
    let drawn = watch.submit(on(DeviceChoice::CudaAt(1), job("slow"))).await.id;
    watch
        .until("a step on the other card", |event| match event {
            Event::Progress(it) if it.job == drawn && matches!(it.stage, Stage::Drawing { .. }) => Some(()),
            _ => None,
        })
        .await;
    let answered = watch.client.call(Request::Free).await;
    assert!(matches!(answered, Ok(Response::Changed)), "{answered:?}");
    let freed = watch
        .until("a card without a model", |event| match event {
            Event::Engine(engine) if engine.loaded.is_none() => Some(engine.device),
            _ => None,
        })
        .await;
    assert_eq!(freed, FIRST);
    assert_eq!(watch.over(drawn).await.state, JobState::Done);
    let second = watch.shown.engines.iter().find(|engine| engine.device == SECOND).expect("it is there");
    assert!(second.loaded.is_some(), "it was in use: {second:?}");
    let again = watch.submit(on(DeviceChoice::CudaAt(0), job("b"))).await.id;
    assert_eq!(watch.over(again).await.state, JobState::Done, "it is loaded again");
}
