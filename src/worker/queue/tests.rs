//! The queue held to what it promises, by examples and over random histories.

use proptest::prelude::*;

use super::*;
use crate::job::{Prompt, Seed, Size};
use crate::model::ModelName;

fn status(id: i64, count: u32) -> JobStatus {
    let prompt = Prompt::new("a red apple").expect("it is not empty");
    let size = Size::new(128, 128).expect("it is on the grid");
    let job =
        Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Random, count).expect("it is in range");
    JobStatus { id: JobId(id), job, first_seed: u64::MAX, state: JobState::Queued, done: 0, accepted_at: id }
}

fn states(queue: &Queue) -> Vec<(i64, JobState)> {
    queue.jobs().map(|job| (job.id.0, job.state.clone())).collect()
}

#[test]
fn jobs_are_drawn_in_order_and_each_picture_has_its_own_seed() {
    let mut queue = Queue::restore(vec![status(1, 2), status(2, 1)]);
    let (work, begun) = queue.begin().expect("two wait");
    assert_eq!((work.id, work.index, work.seed), (JobId(1), 0, u64::MAX));
    assert_eq!(begun.expect("it began").state, JobState::Running);
    assert_eq!(queue.begin(), None, "one at a time");
    let after = queue.drew(JobId(1), JobState::Running).expect("it goes on");
    assert_eq!(after.done, 1);
    let (work, begun) = queue.begin().expect("one more picture");
    assert_eq!((work.id, work.index, work.seed, begun), (JobId(1), 1, 0, None), "the seed wraps");
    assert_eq!(queue.drew(JobId(1), JobState::Done).expect("it is known").done, 2);
    assert_eq!(queue.begin().expect("the second job").0.id, JobId(2));
}

#[test]
fn a_job_that_had_pictures_goes_on_at_the_next() {
    let mut queue = Queue::restore(vec![JobStatus { done: 3, state: JobState::Running, ..status(7, 5) }]);
    let (work, begun) = queue.begin().expect("it waits");
    assert_eq!((work.index, work.seed), (3, 2));
    assert!(begun.is_some(), "a restored job waits until it is begun again");
}

#[test]
fn a_waiting_job_that_is_being_cancelled_is_not_begun_but_still_shown() {
    let mut queue = Queue::restore(vec![status(1, 1), status(2, 1)]);
    assert_eq!(queue.withhold(JobId(1)), Some(Place::Waiting));
    assert_eq!(queue.begin().expect("the other").0.id, JobId(2));
    assert_eq!(states(&queue), [(1, JobState::Queued), (2, JobState::Running)]);
    assert_eq!(queue.cancelled(JobId(1)).expect("it waited").state, JobState::Cancelled);
    assert_eq!(states(&queue), [(2, JobState::Running)]);
}

#[test]
fn a_cancel_that_the_library_refused_leaves_the_job_where_it_was() {
    let mut queue = Queue::restore(vec![status(1, 1), status(2, 1)]);
    queue.withhold(JobId(1));
    queue.release(JobId(1));
    assert_eq!(queue.begin().expect("the first").0.id, JobId(1));
}

#[test]
fn a_job_being_drawn_is_over_only_when_it_has_stopped() {
    let mut queue = Queue::restore(vec![status(1, 1), status(2, 1)]);
    queue.begin();
    assert_eq!(queue.withhold(JobId(1)), Some(Place::Drawing));
    assert_eq!(queue.cancelled(JobId(1)), None);
    assert_eq!(queue.begin(), None, "the engine is not free yet");
    assert_eq!(queue.stopped(JobId(1)).expect("it is known").state, JobState::Cancelled);
    assert_eq!(queue.begin().expect("the next").0.id, JobId(2));
    assert_eq!(queue.withhold(JobId(1)), None, "it is over");
}

#[test]
fn a_stop_that_nobody_asked_for_the_job_puts_it_back() {
    let mut queue = Queue::restore(vec![status(1, 1)]);
    queue.begin();
    assert_eq!(queue.stopped(JobId(1)).expect("it is known").state, JobState::Queued);
    assert_eq!(queue.begin().expect("it waits again").0.id, JobId(1));
}

#[test]
fn room_is_counted_in_jobs_and_in_bytes_of_prompts() {
    let long = Prompt::new("x".repeat(1 << 20)).expect("it is just short enough");
    let mut queue = Queue::default();
    let mut accepted = 0;
    while queue.has_room(1 << 20) {
        let mut status = status(accepted, 1);
        status.job.prompt = long.clone();
        queue.accept(status);
        accepted += 1;
    }
    assert_eq!(accepted, 24);
    assert!(!queue.has_room(1));
}

/// What can happen to a queue.
#[derive(Debug, Clone)]
enum Step {
    Accept(u32),
    Begin,
    Drew,
    Failed,
    Stopped,
    Withhold(usize),
    Refused(usize),
    Cancelled(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..4u32).prop_map(Step::Accept),
        Just(Step::Begin),
        Just(Step::Drew),
        Just(Step::Failed),
        Just(Step::Stopped),
        (0..6usize).prop_map(Step::Withhold),
        (0..6usize).prop_map(Step::Refused),
        (0..6usize).prop_map(Step::Cancelled),
    ]
}

proptest! {
    /// Whatever happens: every accepted job is in the queue or has ended, exactly once; one picture
    /// is drawn at a time; and a queue that is left alone is drawn to its end.
    #[test]
    fn nothing_accepted_is_lost(steps in proptest::collection::vec(step(), 0..80)) {
        let mut queue = Queue::default();
        let (mut accepted, mut ended) = (0_i64, Vec::new());
        let mut over = |status: Option<JobStatus>| ended.extend(status.filter(|it| it.state.is_over()).map(|it| it.id.0));
        let nth = |queue: &Queue, n: usize| queue.jobs().nth(n).map(|job| job.id);
        for step in steps {
            match step {
                Step::Accept(count) => {
                    accepted += 1;
                    queue.accept(status(accepted, count));
                }
                Step::Begin => {
                    let before = queue.drawing().map(|job| job.id);
                    prop_assert!(queue.begin().is_none() || before.is_none());
                }
                Step::Drew => {
                    if let Some(job) = queue.drawing().cloned() {
                        let last = job.done + 1 == job.job.count();
                        over(queue.drew(job.id, if last { JobState::Done } else { JobState::Running }));
                    }
                }
                Step::Failed => {
                    if let Some(id) = queue.drawing().map(|job| job.id) {
                        over(queue.ended(id, JobState::Failed { reason: "no memory".into() }));
                    }
                }
                Step::Stopped => {
                    if let Some(id) = queue.drawing().map(|job| job.id) {
                        over(queue.stopped(id));
                    }
                }
                Step::Withhold(n) => {
                    nth(&queue, n).and_then(|id| queue.withhold(id));
                }
                Step::Refused(n) => {
                    if let Some(id) = nth(&queue, n) {
                        queue.release(id);
                    }
                }
                Step::Cancelled(n) => {
                    if let Some(id) = nth(&queue, n) {
                        over(queue.cancelled(id));
                    }
                }
            }
        }
        let waiting: Vec<i64> = queue.jobs().map(|job| job.id.0).collect();
        prop_assert!(waiting.is_sorted());
        for id in waiting {
            queue.release(JobId(id));
        }
        while !queue.is_empty() {
            if queue.drawing().is_none() {
                prop_assert!(queue.begin().is_some(), "what is left can be drawn: {queue:?}");
            }
            let job = queue.drawing().cloned().expect("it has just begun");
            let cancelled = queue.entry(job.id).expect("it is drawn").cancelled;
            let last = job.done + 1 == job.job.count();
            over(if cancelled { queue.stopped(job.id) } else {
                queue.drew(job.id, if last { JobState::Done } else { JobState::Running })
            });
        }
        ended.sort_unstable();
        prop_assert_eq!(ended, (1..=accepted).collect::<Vec<_>>());
    }
}
