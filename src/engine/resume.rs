//! A picture between two steps, as plain data: what a checkpoint keeps of it, and what either engine goes on from.
//!
//! All that a step hands to the next is the latent in fp32: text, tables and schedule are computed again from the
//! [`Brief`]. So a picture that is gone on with is the same picture, bit for bit where the engine's sums are.

use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};

use super::weights::Weights;
use super::{Brief, EngineError, LoraFile};

/// The latent after some steps.
#[derive(Debug, Clone, PartialEq)]
pub struct StepLatent {
    /// Steps done, from 1 to all of them.
    pub step: u32,
    /// Rows: one for each 16×16 pixels.
    pub tokens: usize,
    /// Columns: channels of a token.
    pub channels: usize,
    /// `[tokens, channels]`, row by row.
    pub values: Vec<f32>,
}

/// The latent that a step has reached. It is copied only if somebody wants to keep it.
pub trait LatentValues: std::fmt::Debug {
    /// The copy.
    ///
    /// # Errors
    /// When it cannot be had from where it is.
    fn copy(&self) -> Result<StepLatent, EngineError>;
}

impl StepLatent {
    /// Whether a picture can be gone on with from here.
    ///
    /// # Errors
    /// [`EngineError::Resume`] when the step or the shape is another picture's, or a value is not finite.
    pub fn check(&self, brief: &Brief, channels: usize) -> Result<(), EngineError> {
        let no = |reason| Err(EngineError::Resume { step: self.step, reason });
        let tokens = brief.size.image_tokens();
        if !(1..=brief.steps).contains(&self.step) {
            return no(format!("the picture has {} steps", brief.steps));
        }
        if (self.tokens, self.channels) != (tokens, channels) || self.values.len() != tokens * channels {
            return no(format!(
                "its latent is {}×{} in {} values and not {tokens}×{channels}",
                self.tokens,
                self.channels,
                self.values.len()
            ));
        }
        match self.values.iter().find(|value| !value.is_finite()) {
            Some(value) => no(format!("a value is {value}")),
            None => Ok(()),
        }
    }

    pub(super) fn tensor(&self) -> candle_core::Result<Tensor> {
        Tensor::from_vec(self.values.clone(), (self.tokens, self.channels), &Device::Cpu)
    }
}

/// The CPU's latent after a step.
#[derive(Debug)]
pub(super) struct OnCpu<'a> {
    pub step: u32,
    pub latent: &'a Tensor,
}

impl LatentValues for OnCpu<'_> {
    fn copy(&self) -> Result<StepLatent, EngineError> {
        let (tokens, channels) = self.latent.dims2()?;
        let values = self.latent.flatten_all()?.to_vec1()?;
        Ok(StepLatent { step: self.step, tokens, channels, values })
    }
}

/// What tells one loaded model from another, in hexadecimal: all its weights, by samples.
pub(super) fn digest(weights: [&Weights; 4]) -> String {
    let mut hash = Sha256::new();
    weights.iter().for_each(|weights| weights.sample(|bytes| hash.update(bytes)));
    hex(hash)
}

/// What the numbers of a picture depend on besides its brief, on one line.
pub(super) fn numerics(computes: &str, weights: &str, text: usize, sigmas: &[f32]) -> String {
    let mut hash = Sha256::new();
    sigmas.iter().for_each(|sigma| hash.update(sigma.to_le_bytes()));
    format!("{computes}; weights {weights}; {text} tokens of text; schedule {}", hex(hash))
}

/// The same of LoRAs, by their content; empty for none.
pub(super) fn of_loras(loras: &[LoraFile]) -> String {
    let one = |lora: &LoraFile| {
        let steps = if lora.steps.is_whole() { String::new() } else { format!(" in {}", lora.steps) };
        format!("; LoRA {} at {}{steps}", lora.hash.as_str(), lora.strength)
    };
    loras.iter().map(one).collect()
}

/// The first half of a hash: enough to tell a person's files apart.
fn hex(hash: Sha256) -> String {
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device as Place, LoadOptions};
    use crate::engine::{Draw, Observer, Placement, Report, load};
    use crate::job::{LoraHash, Prompt, Size, Span};
    use crate::model::{ModelName, Parts, TextLimits};

    const STEPS: u32 = 4;

    /// Keeps every latent, and stops when told to.
    #[derive(Default)]
    struct Collect {
        latents: Vec<StepLatent>,
        first: Option<u32>,
        decoding: bool,
        stop_in_decoding: bool,
    }

    impl Observer for Collect {
        fn report(&mut self, report: Report<'_>) {
            match report {
                Report::Step(at) => {
                    self.first.get_or_insert(at.step);
                    self.latents.push(at.latent.copy().expect("it is in memory"));
                }
                Report::Decoding => self.decoding = true,
                _ => {}
            }
        }

        fn wants_stop(&self) -> bool {
            self.stop_in_decoding && self.decoding
        }
    }

    fn nano() -> Box<dyn Draw> {
        let on = Placement::new(Place::Cpu, LoadOptions::default());
        let (name, limits) = (ModelName::new(ModelName::NANO), TextLimits { t5: 32, clip: 77 });
        load(&name, &Parts::nano(), limits, &on, &mut Collect::default()).expect("nano loads")
    }

    fn brief() -> Brief {
        Brief {
            prompt: Prompt::new("a red apple").expect("a prompt"),
            size: Size::new(48, 32).expect("a size"),
            steps: STEPS,
            guidance: 3.5,
            seed: 7,
            loras: Vec::new(),
        }
    }

    #[test]
    fn a_picture_gone_on_with_from_any_step_is_the_same_bit_for_bit() {
        let (mut engine, brief) = (nano(), brief());
        let mut all = Collect::default();
        let whole = engine.draw(&brief, &mut all).expect("it draws").rgb;
        assert_eq!(all.latents.len(), STEPS as usize + 1);
        for begun in &all.latents[1..] {
            let mut rest = Collect::default();
            let drawn = engine.draw_from(&brief, Some(begun), &mut rest).expect("it goes on");
            assert_eq!(drawn.rgb, whole, "from step {}", begun.step);
            assert_eq!(rest.first, Some(begun.step));
            assert_eq!(rest.latents, all.latents[begun.step as usize..], "from step {}", begun.step);
        }
    }

    #[test]
    fn a_latent_that_is_not_this_pictures_is_refused() {
        let (mut engine, brief) = (nano(), brief());
        let right = StepLatent { step: 2, tokens: 6, channels: 64, values: vec![0.5; 6 * 64] };
        let wrong = [
            (StepLatent { step: 0, ..right.clone() }, "4 steps"),
            (StepLatent { step: STEPS + 1, ..right.clone() }, "4 steps"),
            (StepLatent { tokens: 64, channels: 6, ..right.clone() }, "and not 6×64"),
            (StepLatent { values: vec![0.5; 6 * 64 - 1], ..right.clone() }, "383 values"),
            (StepLatent { values: vec![f32::NAN; 6 * 64], ..right.clone() }, "NaN"),
        ];
        for (latent, reason) in wrong {
            let error = engine.draw_from(&brief, Some(&latent), &mut Collect::default());
            let error = error.expect_err("it does not fit").to_string();
            assert!(error.contains(reason) && error.contains(&format!("step {}", latent.step)), "{error}");
        }
        engine.draw_from(&brief, Some(&right), &mut Collect::default()).expect("this one fits");
    }

    #[test]
    fn what_computes_is_told_apart_by_schedule_and_weights() {
        let engine = nano();
        let told = engine.numerics(&brief());
        assert_eq!(told, nano().numerics(&brief()), "the same when it is loaded again");
        assert_ne!(told, engine.numerics(&Brief { steps: STEPS + 1, ..brief() }));
        let larger = Size::new(64, 64).expect("a size");
        let lora = |byte, strength| {
            let (name, path, hash) = ("ink".to_owned(), "/ink".into(), LoraHash::new([byte; 32]));
            Brief { loras: vec![LoraFile { name, path, hash, strength, steps: Span::WHOLE }], ..brief() }
        };
        let with = engine.numerics(&lora(1, 0.5));
        assert!(with != told && with.starts_with(&told), "{with}");
        assert_ne!(with, engine.numerics(&lora(2, 0.5)), "another file");
        assert_ne!(with, engine.numerics(&lora(1, 0.6)), "another strength");
        let (one, other) = (numerics("fp32", "a", 32, &[1.0, 0.0]), numerics("fp32", "b", 32, &[1.0, 0.0]));
        assert!(one != other && told.contains("fp32"), "{told}");
        assert!(engine.numerics(&Brief { size: larger, ..brief() }).contains("schedule"));
    }

    #[test]
    fn a_decode_is_stopped_between_two_of_its_blocks() {
        let mut observer = Collect { stop_in_decoding: true, ..Collect::default() };
        let stopped = nano().draw(&brief(), &mut observer);
        assert!(observer.decoding && matches!(stopped, Err(EngineError::Stopped)), "{stopped:?}");
    }
}
