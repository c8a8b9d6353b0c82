//! How long running pictures still take, from what their steps took; before there are any, from the
//! last picture of the same kind: device, model, how it is loaded, and size. Pure: every moment is passed in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::device::{Device, LoadOptions};
use crate::job::Size;
use crate::model::ModelName;
use crate::wire::message::Stage;

/// Pictures that take the same, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sort {
    /// On this device.
    pub device: Device,
    /// With this model.
    pub model: ModelName,
    /// In these numbers.
    pub load: LoadOptions,
    /// So large.
    pub size: Size,
}

/// What pictures of one sort take.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    /// From the beginning of the encoders to the first step, in seconds.
    encode: f64,
    /// One step, in seconds.
    step: f64,
    /// From the last step to the end, in seconds.
    decode: f64,
}

/// A picture that is being drawn.
#[derive(Debug)]
struct Running {
    sort: Sort,
    steps: u32,
    begun: Instant,
    encoding: Option<Instant>,
    /// The first step that was told of, and when: none is done, or as many as a checkpoint had.
    first_step: Option<(u32, Instant)>,
    latest: Option<(u32, Instant)>,
}

/// Measures pictures and estimates the next. Each device draws one at a time.
#[derive(Debug, Default)]
pub struct Estimate {
    paces: HashMap<Sort, Pace>,
    running: HashMap<Device, Running>,
}

impl Estimate {
    /// A picture is begun.
    pub fn begin(&mut self, sort: Sort, steps: u32, now: Instant) {
        let device = sort.device;
        let running = Running { sort, steps, begun: now, encoding: None, first_step: None, latest: None };
        self.running.insert(device, running);
    }

    /// A device's picture reaches a stage: seconds since it was begun, and seconds until it is finished
    /// where that can be said.
    pub fn reach(&mut self, device: Device, stage: &Stage, now: Instant) -> (f64, Option<f64>) {
        let Some(running) = self.running.get_mut(&device) else { return (0.0, None) };
        match stage {
            Stage::Encoding => running.encoding = Some(now),
            Stage::Drawing { step, .. } => {
                running.first_step.get_or_insert((*step, now));
                running.latest = Some((*step, now));
            }
            // The rest of a model that the first step waits for: that step says nothing of the others.
            Stage::Loading { .. } => (running.first_step, running.latest) = (None, None),
            Stage::Decoding | Stage::Saving => {}
        }
        let elapsed = seconds(now.duration_since(running.begun));
        (elapsed, running.remaining(stage, self.paces.get(&running.sort)))
    }

    /// A device's picture is in the library: what it took is what the next is expected to take.
    pub fn finish(&mut self, device: Device, now: Instant) {
        let Some(running) = self.running.remove(&device) else { return };
        let (Some((_, first)), Some((_, last)), Some(step)) =
            (running.first_step, running.latest, running.step_time())
        else {
            return;
        };
        let encode = running.encoding.map_or(0.0, |encoding| seconds(first.duration_since(encoding)));
        let decode = seconds(now.duration_since(last));
        self.paces.insert(running.sort, Pace { encode, step, decode });
    }

    /// A device's picture will not be finished.
    pub fn abandon(&mut self, device: Device) {
        self.running.remove(&device);
    }
}

impl Running {
    /// The mean of the steps so far; the observer is also told that none is done.
    fn step_time(&self) -> Option<f64> {
        let ((step, at), (before, first)) = (self.latest?, self.first_step?);
        (step > before).then(|| seconds(at.duration_since(first)) / f64::from(step - before))
    }

    fn remaining(&self, stage: &Stage, pace: Option<&Pace>) -> Option<f64> {
        let decode = pace.map_or(0.0, |pace| pace.decode);
        match stage {
            // How long a load takes is not known from the last picture, which had none.
            Stage::Loading { .. } => None,
            Stage::Encoding => pace.map(|pace| pace.encode + f64::from(self.steps) * pace.step + decode),
            Stage::Drawing { step, .. } => {
                let step_time = self.step_time().or(pace.map(|pace| pace.step))?;
                Some(f64::from(self.steps.saturating_sub(*step)) * step_time + decode)
            }
            Stage::Decoding => pace.map(|pace| pace.decode),
            Stage::Saving => Some(0.0),
        }
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: Device = Device::Cpu;

    fn nano(device: Device, width: u32) -> Sort {
        let size = Size::new(width, 128).expect("it is on the grid");
        Sort { device, model: ModelName::new(ModelName::NANO), load: LoadOptions::default(), size }
    }

    fn step(step: u32) -> Stage {
        Stage::Drawing { step, steps: 4, sigma: 0.5 }
    }

    /// A picture of 1 s encoding, 4 steps of 2 s and 3 s decoding, in seconds from `zero`.
    fn draw(estimate: &mut Estimate, zero: Instant) -> Vec<(f64, Option<f64>)> {
        let at = |seconds| zero + Duration::from_secs(seconds);
        estimate.begin(nano(CPU, 128), 4, zero);
        let stages = [(Stage::Encoding, 0), (step(0), 1), (step(1), 3), (step(4), 9), (Stage::Decoding, 9)];
        let said = stages.iter().map(|(stage, second)| estimate.reach(CPU, stage, at(*second))).collect();
        estimate.finish(CPU, at(12));
        said
    }

    #[test]
    fn the_first_picture_is_estimated_from_its_own_steps() {
        let said = draw(&mut Estimate::default(), Instant::now());
        assert_eq!(said[..2], [(0.0, None), (1.0, None)]);
        assert_eq!(said[2], (3.0, Some(6.0)), "three steps of two seconds are left");
        assert_eq!(said[3..], [(9.0, Some(0.0)), (9.0, None)]);
    }

    #[test]
    fn the_second_is_estimated_from_the_first_until_it_has_steps() {
        let (mut estimate, zero) = (Estimate::default(), Instant::now());
        draw(&mut estimate, zero);
        let said = draw(&mut estimate, zero + Duration::from_secs(100));
        assert_eq!(said[0], (0.0, Some(12.0)), "one, four times two, and three");
        assert_eq!(said[1..], [(1.0, Some(11.0)), (3.0, Some(9.0)), (9.0, Some(3.0)), (9.0, Some(3.0))]);
    }

    #[test]
    fn a_step_that_waited_for_the_model_says_nothing_of_the_others() {
        let (mut estimate, zero) = (Estimate::default(), Instant::now());
        let at = |seconds| zero + Duration::from_secs(seconds);
        estimate.begin(nano(CPU, 128), 4, zero);
        for (stage, second) in
            [(Stage::Encoding, 0), (step(0), 1), (Stage::Loading { done: 1, total: 2 }, 2), (step(1), 50)]
        {
            let (_, remaining) = estimate.reach(CPU, &stage, at(second));
            assert_eq!(remaining, None, "{stage:?}");
        }
        assert_eq!(estimate.reach(CPU, &step(2), at(52)), (52.0, Some(4.0)), "two steps of two seconds");
    }

    #[test]
    fn another_size_or_an_abandoned_picture_says_nothing_about_the_next() {
        let (mut estimate, zero) = (Estimate::default(), Instant::now());
        draw(&mut estimate, zero);
        estimate.begin(nano(CPU, 256), 4, zero);
        assert_eq!(estimate.reach(CPU, &Stage::Encoding, zero), (0.0, None));
        estimate.abandon(CPU);
        assert_eq!(estimate.reach(CPU, &Stage::Saving, zero), (0.0, None));
    }

    #[test]
    fn what_one_device_takes_says_nothing_about_another() {
        let (mut estimate, zero) = (Estimate::default(), Instant::now());
        draw(&mut estimate, zero);
        let card = Device::Cuda(0);
        estimate.begin(nano(card, 128), 4, zero);
        estimate.begin(nano(CPU, 128), 4, zero);
        assert_eq!(estimate.reach(card, &Stage::Encoding, zero), (0.0, None));
        assert_eq!(estimate.reach(CPU, &Stage::Encoding, zero), (0.0, Some(12.0)));
        estimate.abandon(card);
        assert_eq!(estimate.reach(CPU, &Stage::Saving, zero), (0.0, Some(0.0)));
    }
}
