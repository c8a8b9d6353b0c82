//! A snapshot and the events after it say what a later snapshot says: whatever clients do, and
//! wherever in the middle of it one begins to watch.

use flux_tui::device::Device;
use flux_tui::job::{JobId, MarkChange, PictureChange, PictureId, PictureQuery, Rating, Seed};
use flux_tui::wire::library::{LibraryRequest, LibraryResponse};
use flux_tui::wire::message::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{Place, Raw, job_of};

/// What a client does next.
#[derive(Debug, Clone)]
enum Step {
    Submit {
        prompt: &'static str,
        count: u32,
    },
    Cancel(u64),
    /// Says something of a picture, or puts it into the trash or out of it.
    Mark(u64, MarkChange),
    /// Asks for a snapshot, and compares.
    Look,
    /// Somebody else begins to watch.
    Join,
}

fn step() -> impl Strategy<Value = Step> {
    let prompt = prop_oneof![Just("a"), Just("slow"), Just("fail"), Just("panic")];
    prop_oneof![
        4 => (prompt, 1..4u32).prop_map(|(prompt, count)| Step::Submit { prompt, count }),
        2 => (0..5u64).prop_map(Step::Cancel),
        2 => ((1..9u64), mark()).prop_map(|(nth, mark)| Step::Mark(nth, mark)),
        4 => Just(Step::Look),
        1 => Just(Step::Join),
    ]
}

fn mark() -> impl Strategy<Value = MarkChange> {
    let rated = |number: u8| MarkChange::Rate(Rating::try_from(number).expect("it is one"));
    prop_oneof![
        (0..6u8).prop_map(rated),
        any::<bool>().prop_map(MarkChange::Favourite),
        any::<bool>().prop_map(MarkChange::Trash),
    ]
}

/// A client that has subscribed on a connection of its own, so that the order of answers and events
/// is the worker's.
struct Follower {
    raw: Raw,
    shown: Snapshot,
}

impl Follower {
    async fn join(place: &Place) -> Self {
        let mut raw = place.raw().await;
        raw.greet().await;
        let (_, shown) = look(&mut raw).await;
        Self { raw, shown }
    }

    async fn ask(&mut self, request: Request) -> Result<Response, Refusal> {
        let number = self.raw.send(request).await;
        let (events, answer) = self.raw.answer(number).await;
        events.into_iter().for_each(|event| self.shown.apply(event));
        answer
    }

    /// Compares what was rebuilt with what a new snapshot says.
    async fn compare(&mut self) -> Snapshot {
        let (events, said) = look(&mut self.raw).await;
        events.into_iter().for_each(|event| self.shown.apply(event));
        assert_eq!(without_latest(&self.shown), without_latest(&said));
        said
    }
}

async fn look(raw: &mut Raw) -> (Vec<Event>, Snapshot) {
    let number = raw.send(Request::Subscribe).await;
    match raw.answer(number).await {
        (events, Ok(Response::Snapshot(snapshot))) => (events, *snapshot),
        (_, other) => panic!("a snapshot, not {other:?}"),
    }
}

/// Previews and readings may come late or not at all; nothing else may.
fn without_latest(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = Snapshot { readings: None, ..snapshot.clone() };
    snapshot.running.iter_mut().for_each(|running| running.preview = None);
    snapshot
}

async fn history(devices: &[Device], steps: Vec<Step>) {
    let place = Place::started_on(devices).await;
    let mut followers = vec![Follower::join(&place).await];
    let mut submitted = Vec::new();
    for step in steps {
        match step {
            Step::Submit { prompt, count } => {
                let job = job_of("alpha", prompt, Seed::Random, count);
                match followers[0].ask(Request::Submit(job)).await {
                    Ok(Response::Accepted(status)) => submitted.push(status.id),
                    other => panic!("it should be accepted, not {other:?}"),
                }
            }
            Step::Cancel(nth) => {
                let id = submitted.iter().rev().nth(nth as usize).copied().unwrap_or(JobId(-1));
                let _ = followers[0].ask(Request::Cancel(id)).await;
            }
            Step::Mark(nth, mark) => {
                let change = PictureChange { picture: PictureId(nth as i64), mark };
                // There may be no such picture yet.
                let _ = followers[0].ask(Request::Library(LibraryRequest::Change(change))).await;
            }
            Step::Look => {
                for follower in &mut followers {
                    follower.compare().await;
                }
            }
            Step::Join => followers.push(Follower::join(&place).await),
        }
    }
    for follower in &mut followers {
        let mut said = follower.compare().await;
        while said.jobs.iter().any(|job| !job.state.is_over()) {
            said = follower.compare().await;
        }
        let trash = Box::new(PictureQuery { trashed: true, ..PictureQuery::default() });
        let trash = Request::Library(LibraryRequest::Search { query: trash, limit: 500 });
        let trashed = match follower.ask(trash).await {
            Ok(Response::Library(LibraryResponse::Pictures(pictures))) => pictures.len(),
            other => panic!("pictures, not {other:?}"),
        };
        assert_eq!(said.history_total as usize + trashed, place.files().len());
        assert_eq!(said.running, [], "nothing is left of what was drawn");
    }
}

/// A picture can be marked from the moment at which the library has it; whoever draws it tells of it a little later.
#[tokio::test]
async fn a_picture_that_is_marked_as_soon_as_it_is_there_is_counted_once() {
    let place = Place::started_on(&[Device::Cuda(1), Device::Cuda(0), Device::Cpu]).await;
    let mut follower = Follower::join(&place).await;
    let pictures = 60;
    let job = job_of("alpha", "a", Seed::Random, pictures);
    follower.ask(Request::Submit(job)).await.expect("it is accepted");
    for nth in 1..=i64::from(pictures) {
        // In turns one that stays and one that does not.
        let marks = if nth % 2 == 0 { MarkChange::Trash(true) } else { MarkChange::Favourite(true) };
        let change = PictureChange { picture: PictureId(nth), mark: marks };
        let change = Request::Library(LibraryRequest::Change(change));
        while let Err(refused) = follower.ask(change.clone()).await {
            assert_eq!(refused, Refusal::UnknownPicture(PictureId(nth)));
        }
    }
    let mut said = follower.compare().await;
    while said.jobs.iter().any(|job| !job.state.is_over()) {
        said = follower.compare().await;
    }
    assert_eq!(said.history_total, u64::from(pictures / 2));
    assert!(said.history.iter().all(|picture| picture.marks.favourite && picture.marks.trashed_at.is_none()));
}

#[test]
fn a_snapshot_and_the_events_after_it_say_what_a_later_snapshot_says() {
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let machine =
        prop_oneof![Just(vec![Device::Cpu]), Just(vec![Device::Cuda(1), Device::Cuda(0), Device::Cpu])];
    let histories = (machine, proptest::collection::vec(step(), 1..25));
    let held = runner.run(&histories, |(devices, steps)| {
        runtime.block_on(history(&devices, steps));
        Ok(())
    });
    held.unwrap_or_else(|broken| panic!("{broken}"));
}
