//! Loads and draws with a clock in hand. Which engine is the caller's business.

use std::time::Instant;

use serde::Serialize;

use crate::engine::{Brief, Draw, EngineError, Observer, Report};
use crate::job::Prompt;
use crate::model::Defaults;

/// A different prompt each time, so that nothing an engine keeps of the last one helps.
const PROMPTS: [&str; 8] = [
    "a red apple",
    "a blue car, flat",
    "a yellow house",
    "a rocket, cartoon",
    "a green tree, 3d",
    "a black cat",
    "a white rose",
    "an orange octopus",
];

/// The middle and the ends of what was measured, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    /// With an even number of measurements, the mean of the two in the middle.
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// Everything that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Measured {
    /// Reading the model.
    pub(super) load: Spread,
    /// Both text encoders.
    pub(super) encode: Spread,
    /// One step of the sampler, over all steps of all pictures; no preview is computed.
    pub(super) step: Spread,
    /// All steps of a picture.
    pub(super) denoise: Spread,
    /// The VAE.
    pub(super) decode: Spread,
    /// A whole picture with the model loaded, by the wall clock.
    pub(super) picture: Spread,
}

/// Loads and draws once unmeasured, then `repeat` times, at least once. Gives the precision too.
///
/// # Errors
/// What loading or drawing gives.
pub(super) fn measure(
    mut load: impl FnMut(&mut dyn Observer) -> Result<Box<dyn Draw>, EngineError>,
    defaults: Defaults,
    repeat: u32,
) -> Result<(Measured, String), EngineError> {
    let repeat = repeat.max(1);
    let mut engine = load(&mut Clock::new())?;
    let mut loads = Vec::new();
    for _ in 0..repeat {
        // Two models at a time might not fit.
        drop(engine);
        let begun = Instant::now();
        engine = load(&mut Clock::new())?;
        loads.push(begun.elapsed().as_secs_f64());
    }
    let mut pictures = Pictures::default();
    engine.draw(&brief(0, defaults), &mut Clock::new())?;
    for index in 1..=repeat {
        pictures.draw(engine.as_mut(), &brief(index, defaults))?;
    }
    Ok((pictures.measured(&loads), engine.precision()))
}

fn brief(index: u32, defaults: Defaults) -> Brief {
    let prompt = PROMPTS[index as usize % PROMPTS.len()];
    Brief {
        prompt: Prompt::new(prompt).expect("the prompts above are not empty"),
        size: defaults.size,
        steps: defaults.steps,
        guidance: defaults.guidance,
        seed: index.into(),
        loras: Vec::new(),
    }
}

/// One list of seconds for each thing that is measured.
#[derive(Default)]
struct Pictures {
    encode: Vec<f64>,
    step: Vec<f64>,
    denoise: Vec<f64>,
    decode: Vec<f64>,
    picture: Vec<f64>,
}

impl Pictures {
    fn draw(&mut self, engine: &mut dyn Draw, brief: &Brief) -> Result<(), EngineError> {
        let mut clock = Clock::new();
        let begun = Instant::now();
        let drawn = engine.draw(brief, &mut clock)?;
        self.picture.push(begun.elapsed().as_secs_f64());
        self.encode.push(drawn.times.encode);
        self.denoise.push(drawn.times.denoise);
        self.decode.push(drawn.times.decode);
        self.step.append(&mut clock.steps);
        Ok(())
    }

    fn measured(&self, loads: &[f64]) -> Measured {
        Measured {
            load: spread(loads),
            encode: spread(&self.encode),
            step: spread(&self.step),
            denoise: spread(&self.denoise),
            decode: spread(&self.decode),
            picture: spread(&self.picture),
        }
    }
}

/// Notes how long each step took.
struct Clock {
    last: Option<Instant>,
    steps: Vec<f64>,
}

impl Clock {
    fn new() -> Self {
        Self { last: None, steps: Vec::new() }
    }
}

impl Observer for Clock {
    fn report(&mut self, report: Report<'_>) {
        let Report::Step(step) = report else { return };
        let now = Instant::now();
        // The report of step 0 starts the first.
        let last = self.last.replace(now).filter(|_| step.step > 0);
        self.steps.extend(last.map(|last| (now - last).as_secs_f64()));
    }

    fn wants_stop(&self) -> bool {
        false
    }
}

/// All zero when nothing was measured.
pub(super) fn spread(seconds: &[f64]) -> Spread {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
        return Spread { median: 0.0, min: 0.0, max: 0.0 };
    };
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    Spread { median, min, max }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Drawn, LatentPreview, LatentValues, Step, StepLatent};
    use crate::job::{Size, Times};

    #[derive(Debug)]
    struct NoPreview;

    impl LatentPreview for NoPreview {
        fn size(&self) -> (u32, u32) {
            (2, 2)
        }

        fn rgb(&self) -> Vec<u8> {
            panic!("a bench has no use for previews")
        }
    }

    impl LatentValues for NoPreview {
        fn copy(&self) -> Result<StepLatent, EngineError> {
            panic!("a bench keeps nothing")
        }
    }

    /// Draws nothing, says what it is told to say, and counts.
    struct Scripted {
        drawn: u32,
    }

    impl Draw for Scripted {
        fn draw_from(
            &mut self,
            brief: &Brief,
            _: Option<&StepLatent>,
            observer: &mut dyn Observer,
        ) -> Result<Drawn, EngineError> {
            self.drawn += 1;
            observer.report(Report::Encoding);
            for step in 0..=brief.steps {
                let (preview, latent) = (&NoPreview, &NoPreview);
                let step = Step { step, steps: brief.steps, sigma: 1.0, preview, latent };
                observer.report(Report::Step(step));
            }
            observer.report(Report::Decoding);
            // The warm-up is first; it must not be seen in the result.
            let scale = if self.drawn == 1 { 1000.0 } else { f64::from(self.drawn) };
            let times = Times { load: 0.0, encode: scale, denoise: 10.0 * scale, decode: 100.0 * scale };
            Ok(Drawn { rgb: Vec::new(), cuts: Vec::new(), times, usage: None, unapplied: Vec::new() })
        }

        fn precision(&self) -> String {
            "scripted".to_owned()
        }

        fn numerics(&self, _: &Brief) -> String {
            self.precision()
        }
    }

    fn defaults() -> Defaults {
        Defaults { size: Size::new(16, 16).expect("on the grid"), steps: 4, guidance: 3.0 }
    }

    #[test]
    fn the_warm_up_does_not_count_and_every_repeat_does() {
        let mut loads = 0;
        let load = |_: &mut dyn Observer| {
            loads += 1;
            Ok(Box::new(Scripted { drawn: 0 }) as Box<dyn Draw>)
        };
        let (measured, precision) = measure(load, defaults(), 3).expect("nothing can fail");
        assert_eq!((loads, precision.as_str()), (4, "scripted"));
        assert_eq!(measured.encode, Spread { median: 3.0, min: 2.0, max: 4.0 });
        assert_eq!(measured.denoise, Spread { median: 30.0, min: 20.0, max: 40.0 });
        assert_eq!(measured.decode, Spread { median: 300.0, min: 200.0, max: 400.0 });
        assert!(measured.picture.min > 0.0 && measured.step.min >= 0.0);
    }

    #[test]
    fn steps_are_timed_from_the_report_of_step_zero() {
        let mut pictures = Pictures::default();
        pictures.draw(&mut Scripted { drawn: 1 }, &brief(0, defaults())).expect("nothing can fail");
        assert_eq!(pictures.step.len(), 4);
    }

    #[test]
    fn a_failure_is_handed_on() {
        let result = measure(|_: &mut dyn Observer| Err(EngineError::Stopped), defaults(), 1);
        assert!(matches!(result, Err(EngineError::Stopped)));
    }

    #[test]
    fn spreads_of_odd_even_and_no_lists() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(spread(&[]).max, 0.0);
    }
}
