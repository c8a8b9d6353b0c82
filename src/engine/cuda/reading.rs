//! The first stage of a picture: its noise and its prompt, side by side, and the tables of modulations beside T5 where there
//! is room for them.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread;

use super::flux::Flux;
use super::flux::ahead::Ahead;
use super::gpu::Gpu;
use super::pipeline::{during, on_the_pool};
use super::prompts::{Encoded, Prompts};
use super::watching::{Arriving, Throttle};
use crate::engine::sample::noise;
use crate::engine::{Brief, EngineError, Observer, StepLatent, latent};

/// What a picture goes on from.
pub struct First {
    /// Steps that are done.
    pub done: usize,
    /// The latent, `[tokens, channels]`.
    pub values: Vec<f32>,
}

impl First {
    fn of(brief: &Brief, begun: Option<&StepLatent>, channels: usize) -> Self {
        if let Some(begun) = begun {
            return Self { done: begun.step as usize, values: begun.values.clone() };
        }
        let noise = noise::randn(brief.seed, brief.size.image_tokens() * channels);
        Self { done: 0, values: latent::packed(&noise, latent::grid(brief.size)) }
    }
}

/// All that is there before the first step.
pub struct Read {
    /// The latent.
    pub first: First,
    /// The prompt.
    pub encoded: Arc<Encoded>,
    /// Whether the encoders had to read it.
    pub anew: bool,
    /// Tables that were begun from CLIP's vector.
    pub ahead: Option<Ahead>,
}

/// Who reads, and what for.
pub struct Reading<'a> {
    /// The card.
    pub gpu: &'a Arc<Gpu>,
    /// The encoders.
    pub prompts: &'a mut Prompts,
    /// Whose tables they are.
    pub flux: &'a mut Flux,
    /// The transformer may still be on its way.
    pub arriving: Arriving,
    /// Noise levels of all steps, where tables may be begun beside T5.
    pub times: Option<&'a [f32]>,
}

impl Reading<'_> {
    /// Reads.
    ///
    /// # Errors
    /// What the encoders say, and the card; [`EngineError::Stopped`].
    pub fn read(
        self,
        (brief, begun): (&Brief, Option<&StepLatent>),
        observer: &mut dyn Observer,
    ) -> Result<Read, EngineError> {
        const STAGE: &str = "reading the prompt";
        let Self { gpu, prompts, flux, arriving, times } = self;
        let channels = flux.config.in_channels;
        let act = move || {
            let mut ahead = None;
            let begin = |pooled: &[_]| {
                let Some(times) = times else { return Ok(()) };
                let observer = RefCell::new(observer);
                let mut watch = Throttle::new(gpu, &observer, Some(arriving));
                let begun = flux.tables_ahead(pooled, (times, brief.guidance), &mut watch);
                ahead = begun.map_err(during(STAGE))?;
                Ok(())
            };
            let (encoded, anew) = prompts.read(gpu, brief.prompt.as_str(), begin)?;
            Ok((encoded, anew, ahead))
        };
        thread::scope(|scope| {
            // Noise is made by one thread, in a tenth of the time that an unknown prompt takes.
            let first = scope.spawn(|| First::of(brief, begun, channels));
            let read = on_the_pool(gpu, STAGE, act);
            let first = first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let (encoded, anew, ahead) = read?;
            Ok(Read { first, encoded, anew, ahead })
        })
    }
}
