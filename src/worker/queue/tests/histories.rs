//! Random histories: whatever happens, every picture is drawn once and nothing waits for ever.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What can happen to a queue. Numbers pick among the jobs or devices that there are.
#[derive(Debug, Clone)]
enum Step {
    Accept(u32, DeviceChoice),
    Begin,
    Drew(usize),
    Failed(usize),
    Stopped(usize),
    Withhold(usize),
    Refused(usize),
    Cancelled(usize),
    Move(usize, QueuePlace),
    Pause(bool),
}

fn choice() -> impl Strategy<Value = DeviceChoice> {
    use DeviceChoice::{Auto, Cpu, Cuda, CudaAt};
    prop_oneof![3 => Just(Auto), 1 => Just(Cpu), 1 => Just(Cuda), 1 => Just(CudaAt(0)), 1 => Just(CudaAt(1))]
}

fn place() -> impl Strategy<Value = QueuePlace> {
    use QueuePlace::{Before, Down, First, Last, Up};
    let before = (1..8i64).prop_map(|id| Before(JobId(id)));
    prop_oneof![Just(First), Just(Last), Just(Up), Just(Down), before]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..5u32, choice()).prop_map(|(count, choice)| Step::Accept(count, choice)),
        4 => Just(Step::Begin),
        4 => (0..3usize).prop_map(Step::Drew),
        1 => (0..3usize).prop_map(Step::Failed),
        1 => (0..3usize).prop_map(Step::Stopped),
        1 => (0..6usize).prop_map(Step::Withhold),
        1 => (0..6usize).prop_map(Step::Refused),
        1 => (0..6usize).prop_map(Step::Cancelled),
        2 => (0..6usize, place()).prop_map(|(nth, to)| Step::Move(nth, to)),
        1 => any::<bool>().prop_map(Step::Pause),
    ]
}

/// A worker and a library that do as the queue says, and watch it.
struct World {
    queue: Queue,
    devices: Vec<Device>,
    accepted: i64,
    /// What each device draws.
    drawing: BTreeMap<Device, Work>,
    /// The pictures in the library.
    pictures: BTreeSet<(i64, u32)>,
    /// How the library has the jobs that are over there.
    over: BTreeMap<i64, JobState>,
    /// The jobs that the queue has told to be over, and how.
    ended: BTreeMap<i64, JobState>,
}

impl World {
    fn new(devices: Vec<Device>) -> Self {
        Self {
            queue: Queue::new(devices.clone()),
            devices,
            accepted: 0,
            drawing: BTreeMap::new(),
            pictures: BTreeSet::new(),
            over: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    fn job(&self, nth: usize) -> Option<JobId> {
        self.queue.jobs().nth(nth).map(|job| job.id)
    }

    fn busy(&self, nth: usize) -> Option<Device> {
        self.drawing.keys().nth(nth).copied()
    }

    /// Moves a job to another state in the library, unless it is over there.
    fn set(&mut self, id: JobId, state: JobState) -> JobState {
        match self.over.get(&id.0) {
            Some(over) => over.clone(),
            None if state.is_over() => self.over.entry(id.0).or_insert(state).clone(),
            None => state,
        }
    }

    fn told(&mut self, status: Option<JobStatus>) -> Result<(), TestCaseError> {
        let Some(status) = status else { return Ok(()) };
        let drawn = self.pictures.iter().filter(|(job, _)| *job == status.id.0).count();
        prop_assert_eq!(status.done as usize, drawn, "done is what the library has: {:?}", status);
        if status.state.is_over() {
            let still = self.drawing.values().any(|work| work.id == status.id);
            prop_assert!(!still, "over while it is drawn: {status:?}");
            prop_assert_eq!(Some(&status.state), self.over.get(&status.id.0));
            let known = self.ended.insert(status.id.0, status.state);
            prop_assert_eq!(known, None, "it ended twice");
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<bool, TestCaseError> {
        let Some((work, begun)) = self.queue.begin(&Loaded::new()) else { return Ok(false) };
        let Work { device, id, job, index, seed } = &work;
        prop_assert!(self.devices.contains(device) && !self.drawing.contains_key(device), "{device} twice");
        prop_assert!(job.device.admits(*device, &self.devices), "{work:?} is not for that device");
        prop_assert!(!self.pictures.contains(&(id.0, *index)), "{work:?} is there already");
        let twice = self.drawing.values().any(|now| (now.id, now.index) == (*id, *index));
        prop_assert!(!twice && *index < job.count(), "{work:?} is drawn already");
        prop_assert_eq!(*seed, u64::MAX.wrapping_add(u64::from(*index)));
        prop_assert!(!self.over.contains_key(&id.0), "{work:?} is of a job that is over");
        self.drawing.insert(work.device, work);
        self.told(begun)?;
        Ok(true)
    }

    fn drew(&mut self, device: Device) -> Result<(), TestCaseError> {
        let Some(work) = self.drawing.remove(&device) else { return Ok(()) };
        prop_assert!(self.pictures.insert((work.id.0, work.index)), "{work:?} was there");
        let drawn = self.pictures.iter().filter(|(job, _)| *job == work.id.0).count();
        let whole = drawn == work.job.count() as usize;
        let state = self.set(work.id, if whole { JobState::Done } else { JobState::Running });
        let status = self.queue.drew(device, state);
        prop_assert!(status.is_some(), "its count has changed");
        self.told(status)
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Accept(count, choice) => {
                self.accepted += 1;
                if choice.best(&self.devices).is_ok() {
                    self.queue.accept(for_device(self.accepted, count, choice));
                } else {
                    // Refused before it comes so far.
                    self.accepted -= 1;
                }
            }
            Step::Begin => drop(self.begin()?),
            Step::Drew(nth) => {
                if let Some(device) = self.busy(nth) {
                    self.drew(device)?;
                }
            }
            Step::Failed(nth) => {
                if let Some((device, work)) =
                    self.busy(nth).and_then(|device| self.drawing.remove_entry(&device))
                {
                    let state = self.set(work.id, failed());
                    let status = self.queue.ended(device, state);
                    self.told(status)?;
                }
            }
            Step::Stopped(nth) => {
                if let Some((device, _)) =
                    self.busy(nth).and_then(|device| self.drawing.remove_entry(&device))
                {
                    let status = self.queue.stopped(device);
                    self.told(status)?;
                }
            }
            Step::Withhold(nth) => drop(self.job(nth).map(|id| self.queue.withhold(id))),
            Step::Refused(nth) => drop(self.job(nth).map(|id| self.queue.release(id))),
            Step::Cancelled(nth) => {
                if let Some(id) = self.job(nth)
                    && self.set(id, JobState::Cancelled) == JobState::Cancelled
                {
                    let status = self.queue.cancelled(id);
                    self.told(status)?;
                }
            }
            Step::Move(nth, to) => {
                let before: BTreeSet<JobId> = self.queue.jobs().map(|job| job.id).collect();
                if let Some(order) = self.job(nth).and_then(|id| self.queue.order_with(id, to)) {
                    prop_assert_eq!(&order.iter().copied().collect::<BTreeSet<_>>(), &before);
                    self.queue.arrange(&order);
                    prop_assert_eq!(self.queue.jobs().map(|job| job.id).collect::<Vec<_>>(), order);
                }
            }
            Step::Pause(paused) => self.queue.pause(paused),
        }
        let vain: BTreeSet<Device> = self.queue.in_vain().collect();
        let over = |work: &Work| self.over.contains_key(&work.id.0);
        let wanted = self.drawing.values().filter(|work| over(work)).map(|work| work.device).collect();
        prop_assert_eq!(vain, wanted, "what is drawn for jobs that are over is to be stopped");
        Ok(())
    }

    /// Left alone, everything is drawn to its end.
    fn finish(mut self) -> Result<(), TestCaseError> {
        let waiting: Vec<JobId> = self.queue.jobs().map(|job| job.id).collect();
        self.queue.pause(false);
        waiting.into_iter().for_each(|id| self.queue.release(id));
        while !self.queue.is_empty() {
            while self.begin()? {}
            prop_assert!(!self.drawing.is_empty(), "what is left can be drawn: {:?}", self.queue);
            // What is drawn in vain stops; of the rest the first device is done first.
            let vain = self.queue.in_vain().next();
            if let Some(device) = vain {
                self.drawing.remove(&device);
                let status = self.queue.stopped(device);
                self.told(status)?;
            } else if let Some(device) = self.busy(0) {
                self.drew(device)?;
            }
        }
        prop_assert!(self.queue.is_still() && self.drawing.is_empty());
        let all: Vec<i64> = self.ended.keys().copied().collect();
        prop_assert_eq!(all, (1..=self.accepted).collect::<Vec<_>>(), "every job ends once");
        Ok(())
    }
}

fn machine() -> impl Strategy<Value = Vec<Device>> {
    prop_oneof![Just(vec![CPU]), Just(vec![FIRST, CPU]), Just(vec![SECOND, FIRST, CPU])]
}

proptest! {
    /// Whatever happens: every picture is drawn once and on a device that its job admits, no device
    /// gets two, a job is told to be over once and only when nothing of it is drawn, and a queue that
    /// is left alone is drawn to its end.
    #[test]
    fn every_picture_is_drawn_once_and_nothing_starves(
        devices in machine(),
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(devices);
        for step in steps {
            world.take(step)?;
        }
        world.finish()?;
    }

    /// A device is never idle while a job that it may draw has a picture left.
    #[test]
    fn no_device_is_idle_while_it_is_wanted(
        devices in machine(),
        jobs in proptest::collection::vec((1..5u32, choice()), 1..12),
    ) {
        let mut world = World::new(devices.clone());
        for (count, choice) in jobs {
            world.take(Step::Accept(count, choice))?;
        }
        while !world.queue.is_empty() {
            while world.begin()? {}
            let begun: BTreeSet<(i64, u32)> =
                world.drawing.values().map(|work| (work.id.0, work.index)).chain(world.pictures.clone()).collect();
            for device in devices.iter().filter(|device| !world.drawing.contains_key(device)) {
                let wants = |job: &&JobStatus| {
                    job.job.device.admits(*device, &devices)
                        && (0..job.job.count()).any(|index| !begun.contains(&(job.id.0, index)))
                };
                prop_assert!(world.queue.jobs().find(wants).is_none(), "{device} is idle: {:?}", world.queue);
            }
            if let Some(device) = world.busy(0) {
                world.drew(device)?;
            }
        }
    }
}
