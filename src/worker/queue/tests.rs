//! The queue held to what it promises, by examples. Random histories are in [`histories`].

mod histories;

use super::*;
use crate::device::{DeviceChoice, PrecisionChoice};
use crate::job::{Prompt, Seed, Size};

const CPU: Device = Device::Cpu;
const FIRST: Device = Device::Cuda(0);
const SECOND: Device = Device::Cuda(1);

fn status(id: i64, count: u32) -> JobStatus {
    let prompt = Prompt::new("a red apple").expect("it is not empty");
    let size = Size::new(128, 128).expect("it is on the grid");
    let job =
        Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Random, count).expect("it is in range");
    JobStatus { id: JobId(id), job, first_seed: u64::MAX, state: JobState::Queued, done: 0, accepted_at: id }
}

fn for_device(id: i64, count: u32, choice: DeviceChoice) -> JobStatus {
    let status = status(id, count);
    JobStatus { job: status.job.placed(choice, PrecisionChoice::Auto), ..status }
}

fn queue(devices: &[Device], jobs: impl IntoIterator<Item = JobStatus>) -> Queue {
    let mut queue = Queue::new(devices.to_vec());
    jobs.into_iter().for_each(|status| queue.accept(status));
    queue
}

/// Begins what can be begun: device, job and index.
fn begin_all(queue: &mut Queue, loaded: &Loaded) -> Vec<(Device, i64, u32)> {
    let next = || queue.begin(loaded).map(|(work, _)| (work.device, work.id.0, work.index));
    std::iter::from_fn(next).collect()
}

fn begun(queue: &mut Queue) -> Vec<(Device, i64, u32)> {
    begin_all(queue, &Loaded::new())
}

fn states(queue: &Queue) -> Vec<(i64, JobState)> {
    queue.jobs().map(|job| (job.id.0, job.state.clone())).collect()
}

fn failed() -> JobState {
    JobState::Failed { reason: "no memory".into() }
}

#[test]
fn jobs_are_drawn_in_order_and_each_picture_has_its_own_seed() {
    let mut queue = queue(&[CPU], [status(1, 2), status(2, 1)]);
    let (work, begun) = queue.begin(&Loaded::new()).expect("two wait");
    assert_eq!((work.id, work.index, work.seed, work.device), (JobId(1), 0, u64::MAX, CPU));
    assert_eq!(begun.expect("it began").state, JobState::Running);
    assert_eq!(queue.begin(&Loaded::new()), None, "one at a time");
    let after = queue.drew(CPU, JobState::Running).expect("it goes on");
    assert_eq!(after.done, 1);
    let (work, begun) = queue.begin(&Loaded::new()).expect("one more picture");
    assert_eq!((work.id, work.index, work.seed, begun), (JobId(1), 1, 0, None), "the seed wraps");
    assert_eq!(queue.drew(CPU, JobState::Done).expect("it is known").done, 2);
    assert_eq!(queue.begin(&Loaded::new()).expect("the second job").0.id, JobId(2));
}

#[test]
fn a_restored_job_goes_on_at_the_pictures_that_are_missing() {
    let status = JobStatus { done: 3, state: JobState::Running, ..status(7, 5) };
    let restored = Unfinished { status, drawn: BTreeSet::from([0, 1, 3]) };
    let mut queue = Queue::restore(vec![CPU], vec![restored]);
    let (work, begun) = queue.begin(&Loaded::new()).expect("it waits");
    assert_eq!((work.index, work.seed), (2, 1));
    assert!(begun.is_some(), "a restored job waits until it is begun again");
    assert_eq!(queue.drew(CPU, JobState::Running).expect("it goes on").done, 4);
    assert_eq!(begin_all(&mut queue, &Loaded::new()), [(CPU, 7, 4)]);
}

#[test]
fn each_free_device_gets_the_next_picture_and_a_third_job_waits() {
    let mut queue = queue(&[SECOND, FIRST, CPU], [status(1, 1), status(2, 1), status(3, 1)]);
    assert_eq!(begun(&mut queue), [(SECOND, 1, 0), (FIRST, 2, 0)], "never the CPU while there are cards");
    assert_eq!(states(&queue)[2], (3, JobState::Queued));
    queue.drew(FIRST, JobState::Done);
    assert_eq!(begun(&mut queue), [(FIRST, 3, 0)]);
}

#[test]
fn pictures_of_one_job_are_drawn_on_several_devices_and_counted_as_they_come() {
    let mut queue = queue(&[FIRST, SECOND], [status(1, 3)]);
    assert_eq!(begun(&mut queue), [(FIRST, 1, 0), (SECOND, 1, 1)]);
    let after = queue.drew(SECOND, JobState::Running).expect("its count has changed");
    assert_eq!((after.done, after.state), (1, JobState::Running));
    assert_eq!(begun(&mut queue), [(SECOND, 1, 2)], "the first is still drawn");
    assert_eq!(queue.drew(SECOND, JobState::Running).map(|it| it.done), Some(2));
    assert_eq!(begun(&mut queue), [], "there is no fourth");
    let after = queue.drew(FIRST, JobState::Done).expect("it is known");
    assert_eq!((after.done, after.state, queue.len()), (3, JobState::Done, 0));
}

#[test]
fn an_explicit_choice_waits_for_its_device_and_holds_nobody_else_back() {
    let on = |id, choice| for_device(id, 1, choice);
    let second = DeviceChoice::CudaAt(1);
    let jobs = [on(1, second), on(2, second), on(3, DeviceChoice::Cpu), on(4, DeviceChoice::Cuda)];
    let mut queue = queue(&[SECOND, FIRST, CPU], jobs);
    assert_eq!(begun(&mut queue), [(SECOND, 1, 0), (CPU, 3, 0), (FIRST, 4, 0)]);
    queue.drew(FIRST, JobState::Done);
    assert_eq!(begun(&mut queue), [], "the second job wants the other card");
    queue.drew(SECOND, JobState::Done);
    assert_eq!(begun(&mut queue), [(SECOND, 2, 0)]);
}

#[test]
fn the_device_that_holds_the_model_goes_first_and_then_one_that_holds_none() {
    let held = |model: &str, precision: PrecisionChoice| (ModelName::new(model), precision.into());
    let auto = PrecisionChoice::Auto;
    let begin = |loaded: Loaded| {
        let mut queue = queue(&[FIRST, SECOND], [status(1, 1)]);
        begin_all(&mut queue, &loaded)[0].0
    };
    assert_eq!(begin(Loaded::new()), FIRST, "the better one");
    assert_eq!(begin(Loaded::from([(SECOND, held("nano", auto))])), SECOND, "it holds the model");
    assert_eq!(begin(Loaded::from([(FIRST, held("other", auto))])), SECOND, "nothing is thrown out");
    let elsewhere = Loaded::from([(FIRST, held("other", auto)), (SECOND, held("nano", auto))]);
    assert_eq!(begin(elsewhere), SECOND);
    let in_bf16 = Loaded::from([(SECOND, held("nano", PrecisionChoice::Bf16))]);
    assert_eq!(begin(in_bf16), FIRST, "the same model in other numbers has to be read again");
    let both = Loaded::from([(FIRST, held("a", auto)), (SECOND, held("b", auto))]);
    assert_eq!(begin(both), FIRST);
}

#[test]
fn a_waiting_job_that_is_being_cancelled_is_not_begun_but_still_shown() {
    let mut queue = queue(&[CPU], [status(1, 1), status(2, 1)]);
    assert_eq!(queue.withhold(JobId(1)), Some(Place::Waiting));
    assert_eq!(begun(&mut queue), [(CPU, 2, 0)]);
    assert_eq!(states(&queue), [(1, JobState::Queued), (2, JobState::Running)]);
    assert_eq!(queue.cancelled(JobId(1)).expect("it waited").state, JobState::Cancelled);
    assert_eq!(states(&queue), [(2, JobState::Running)]);
}

#[test]
fn a_cancel_that_the_library_refused_leaves_the_job_where_it_was() {
    let mut queue = queue(&[CPU], [status(1, 1), status(2, 1)]);
    queue.withhold(JobId(1));
    queue.release(JobId(1));
    assert_eq!(begun(&mut queue), [(CPU, 1, 0)]);
}

#[test]
fn a_job_being_drawn_is_over_only_when_all_of_it_has_stopped() {
    let mut queue = queue(&[FIRST, SECOND], [status(1, 3), status(2, 2)]);
    assert_eq!(begun(&mut queue).len(), 2);
    assert_eq!(queue.withhold(JobId(1)), Some(Place::Drawing));
    assert_eq!(queue.in_vain().count(), 0, "the library has not been told yet");
    assert_eq!(queue.cancelled(JobId(1)), None);
    assert_eq!(queue.in_vain().collect::<Vec<_>>(), [FIRST, SECOND]);
    assert_eq!(begun(&mut queue), [], "no device is free yet, and its third picture is not wanted");
    assert_eq!(queue.stopped(FIRST), None);
    assert_eq!(begun(&mut queue), [(FIRST, 2, 0)], "the device is free though the job is not over");
    assert_eq!(queue.in_vain().collect::<Vec<_>>(), [SECOND], "the other job is left alone");
    assert_eq!(queue.stopped(SECOND).expect("that was the last").state, JobState::Cancelled);
    assert_eq!(queue.withhold(JobId(1)), None, "it is over");
}

#[test]
fn a_failure_stops_the_others_of_its_job_and_its_reason_is_the_one_that_is_told() {
    let mut queue = queue(&[FIRST, SECOND], [status(1, 3)]);
    begun(&mut queue);
    assert_eq!(queue.ended(SECOND, failed()), None, "the other is still drawn");
    assert_eq!(queue.in_vain().collect::<Vec<_>>(), [FIRST]);
    assert_eq!(begun(&mut queue), [], "nothing more is begun for it");
    assert_eq!(queue.stopped(FIRST).expect("that was the last").state, failed());
    assert!(queue.is_empty() && queue.is_still());
}

#[test]
fn a_picture_that_is_finished_after_another_failed_still_counts() {
    let mut queue = queue(&[FIRST, SECOND], [status(1, 2)]);
    begun(&mut queue);
    queue.ended(SECOND, failed());
    // The library kept the picture, and the failure.
    let after = queue.drew(FIRST, failed()).expect("that was the last");
    assert_eq!((after.done, after.state), (1, failed()));
}

#[test]
fn a_stop_that_nobody_asked_for_the_job_puts_it_back_once_nothing_of_it_is_drawn() {
    let mut queue = queue(&[FIRST, SECOND], [status(1, 2)]);
    begun(&mut queue);
    assert_eq!(queue.stopped(FIRST), None);
    assert_eq!(states(&queue), [(1, JobState::Running)]);
    assert_eq!(queue.stopped(SECOND).expect("that was the last").state, JobState::Queued);
    assert_eq!(begun(&mut queue), [(FIRST, 1, 0), (SECOND, 1, 1)]);
}

#[test]
fn room_is_counted_in_jobs_and_in_bytes_of_prompts() {
    let long = Prompt::new("x".repeat(1 << 20)).expect("it is just short enough");
    let mut queue = Queue::new(vec![CPU]);
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

#[test]
fn a_job_is_moved_and_the_others_keep_their_order() {
    use QueuePlace::{Before, Down, First, Last, Up};
    let queue = queue(&[CPU], (1..=4).map(|id| status(id, 1)));
    let moved =
        |id, to| queue.order_with(JobId(id), to).map(|order| order.iter().map(|id| id.0).collect::<Vec<_>>());
    for (id, to, order) in [
        (3, First, [3, 1, 2, 4]),
        (2, Last, [1, 3, 4, 2]),
        (3, Up, [1, 3, 2, 4]),
        (1, Up, [1, 2, 3, 4]),
        (2, Down, [1, 3, 2, 4]),
        (4, Down, [1, 2, 3, 4]),
        (4, Before(JobId(2)), [1, 4, 2, 3]),
        (1, Before(JobId(4)), [2, 3, 1, 4]),
        (2, Before(JobId(2)), [1, 2, 3, 4]),
    ] {
        assert_eq!(moved(id, to), Some(order.to_vec()), "{id} {to:?}");
    }
    assert_eq!((moved(9, First), moved(1, Before(JobId(9)))), (None, None));
}

#[test]
fn jobs_that_came_after_an_order_was_asked_for_stay_behind() {
    let mut queue = queue(&[CPU], (1..=3).map(|id| status(id, 1)));
    let order = queue.order_with(JobId(3), QueuePlace::First).expect("it is there");
    queue.accept(status(5, 1));
    queue.accept(status(4, 1));
    queue.cancelled(JobId(1));
    queue.arrange(&order);
    assert_eq!(states(&queue).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 2, 4, 5]);
    assert_eq!((queue.after(JobId(2)), queue.after(JobId(5))), (Some(JobId(4)), None));
}

#[test]
fn a_paused_queue_finishes_what_is_drawn_and_begins_nothing() {
    let mut queue = queue(&[CPU], [status(1, 2), status(2, 1)]);
    assert_eq!(begun(&mut queue), [(CPU, 1, 0)]);
    queue.pause(true);
    queue.drew(CPU, JobState::Running);
    assert_eq!(
        (begun(&mut queue), queue.is_paused()),
        (vec![], true),
        "not even the next picture of the same job"
    );
    queue.pause(false);
    assert_eq!(begun(&mut queue), [(CPU, 1, 1)]);
}

#[test]
fn only_a_job_of_which_nothing_was_begun_can_be_made_another() {
    let mut queue = queue(&[CPU], [status(1, 2), status(2, 1), status(3, 1)]);
    begun(&mut queue);
    queue.withhold(JobId(3));
    let untouched = [1, 2, 3, 9].map(|id| queue.is_untouched(JobId(id)));
    assert_eq!(untouched, [Some(false), Some(true), Some(false), None]);
    queue.drew(CPU, JobState::Queued);
    assert_eq!(queue.is_untouched(JobId(1)), Some(false), "it has a picture");
    assert!(queue.edited(status(2, 5)) && !queue.edited(status(9, 1)));
    assert_eq!(queue.job(JobId(2)).map(|job| job.job.count()), Some(5));
    queue.retry(status(7, 2), BTreeSet::from([0]));
    assert_eq!(queue.is_untouched(JobId(7)), Some(false));
}
