//! One model on the CPU, from prompt to pixels.

use std::cell::RefCell;
use std::time::Instant;

use candle_core::{Device, Tensor};
use safetensors::tensor::Dtype as Stored;

use super::dit::model::{Flux, Watch};
use super::files::{Files, Progress};
use super::lora::During;
use super::loras::{Loras, Model};
use super::preview::{Preview, Projection};
use super::resume::{self, OnCpu};
use super::sample::euler;
use super::sample::schedule::{Shift, sigmas};
use super::text::encode::Clip;
use super::text::kept::{Kept, KeptPrompts, kept_as};
use super::text::t5::T5;
use super::text::tokenize::Counter;
use super::vae::decoder::{Decoder, Scaling};
use super::vae::on_host;
use super::watch::{compute, watched};
use super::weights::{Dtype, Weights, WeightsError};
use super::{Brief, Draw, Drawn, EngineError, Observer, Report, Step, StepLatent, latent};
use crate::device::MergeChoice;
use crate::job::{Times, TokenCount};
use crate::model::{ModelName, Parts, TextLimits};

/// A loaded model.
#[derive(Debug)]
pub(super) struct Pipeline {
    counter: Counter,
    kept: Option<KeptPrompts>,
    t5: T5,
    clip: Clip,
    flux: Flux,
    decoder: Decoder,
    projection: Projection,
    precision: String,
    /// Of all weights.
    digest: String,
    loras: Loras,
}

impl Pipeline {
    /// Reads a model onto the CPU.
    ///
    /// # Errors
    /// [`EngineError::Load`] names the part, the file and what is wrong; [`EngineError::Stopped`].
    pub fn load(
        name: &ModelName,
        parts: &Parts,
        limits: TextLimits,
        merge_loras: MergeChoice,
        observer: &mut dyn Observer,
    ) -> Result<Self, EngineError> {
        let failed = |part, from| Files::failed::<WeightsError>(name, part, from);
        let Files { tokenizers, t5, clip, vae, transformer } = Files::open(name, parts, limits)?;
        let mut progress = Progress::begin(observer, [&t5, &clip, &vae, &transformer])?;

        let t5_model = T5::load(&t5, &parts.t5_config).map_err(failed("the T5 encoder", &parts.t5))?;
        progress.finish(&t5)?;
        let clip_model =
            Clip::load(&clip, &parts.clip_config).map_err(failed("the CLIP encoder", &parts.clip))?;
        progress.finish(&clip)?;
        let decoder = Scaling::read(&parts.vae_config)
            .and_then(|scaling| Decoder::load(&vae, scaling))
            .map_err(failed("the VAE", &parts.vae))?;
        progress.finish(&vae)?;
        let projection =
            Projection::read(&parts.preview).map_err(failed("the preview projection", &parts.preview))?;
        let flux = Flux::load(&transformer, |share| {
            progress.part_of(&transformer, share).map_err(LoadStop::Stopped)
        })
        .map_err(|stop| match stop {
            LoadStop::Stopped(error) => error,
            LoadStop::Weights(error) => failed("the transformer", &parts.transformer)(error),
        })?;
        let counter = tokenizers.read()?;
        let precision = precision(&transformer);
        let digest = resume::digest([&t5, &clip, &vae, &transformer]);
        let kept = KeptPrompts::new(parts, (&t5, &clip), &counter, ("CPU", Stored::F32));
        Ok(Self {
            counter,
            kept,
            t5: t5_model,
            clip: clip_model,
            flux,
            decoder,
            projection,
            precision,
            digest,
            loras: Loras::new(transformer, t5, clip, &parts.clip_config).merging(merge_loras),
        })
    }

    /// T5's sequence, CLIP's pooled vector, and what either did not read.
    fn encode(
        &self,
        prompt: &str,
        observer: &dyn Observer,
    ) -> Result<(Tensor, Tensor, Vec<TokenCount>), EngineError> {
        let failed = compute("reading the prompt");
        let key = kept_as(prompt, self.loras.text());
        let known = self.kept.as_ref().and_then(|kept| kept.read(&key, [self.t5.width(), self.clip.width()]));
        if let Some(Kept { text, pooled, cuts }) = known {
            let tensor =
                |bytes: &[u8], rows, width| Tensor::from_vec(from_bytes(bytes), (rows, width), &Device::Cpu);
            let text = tensor(&text, self.counter.t5.limit(), self.t5.width()).map_err(&failed)?;
            return Ok((text, tensor(&pooled, 1, self.clip.width()).map_err(&failed)?, cuts));
        }
        let begun = Instant::now();
        let t5 = self.counter.t5.tokenize(prompt).map_err(compute("reading the prompt"))?;
        let clip = self.counter.clip.tokenize(prompt).map_err(compute("reading the prompt"))?;
        let text = watched(observer, "reading the prompt", |before_block| {
            self.t5.encode_watched(&t5, before_block)
        })?;
        let pooled = self.clip.encode(&clip).map_err(&failed)?;
        let cuts: Vec<_> =
            [t5.count, clip.count].into_iter().filter(|count| count.cut_at.is_some()).collect();
        if let Some(kept) = &self.kept {
            let bytes = |tensor: &Tensor| to_bytes(tensor).map_err(&failed);
            let made = Kept { text: bytes(&text)?, pooled: bytes(&pooled)?, cuts: cuts.clone() };
            kept.write(&key, &made, begun.elapsed());
        }
        Ok((text, pooled, cuts))
    }

    /// The noise levels of a picture.
    fn sigmas(&self, brief: &Brief) -> Vec<f32> {
        let shift = if self.flux.config.guidance { Shift::BySize } else { Shift::None };
        sigmas(brief.steps, brief.size.image_tokens(), shift)
    }

    /// The finished latent, as tokens.
    fn denoise(
        &mut self,
        (brief, begun): (&Brief, Option<&StepLatent>),
        text: &Tensor,
        pooled: &Tensor,
        observer: &mut dyn Observer,
    ) -> Result<Tensor, EngineError> {
        let failed = compute("drawing");
        let grid = latent::grid(brief.size);
        let sigmas = self.sigmas(brief);
        let times = &sigmas[..sigmas.len() - 1];
        let Self { flux, t5, clip, loras, projection, .. } = self;
        let mut during = During::default();
        let (done, latent) = match begun {
            Some(begun) => (begun.step as usize, begun.tensor().map_err(&failed)?),
            None => (0, latent::noise(brief.seed, brief.size).map_err(&failed)?),
        };
        let observer = RefCell::new(observer);
        let tell = |step: usize, sigma: f32, latent: &Tensor, estimate: &Tensor| {
            let preview = Preview::new(projection, estimate, grid).map_err(&failed)?;
            let step = step as u32;
            let latent = OnCpu { step, latent };
            let step = Step { step, steps: brief.steps, sigma, preview: &preview, latent: &latent };
            observer.borrow_mut().report(Report::Step(step));
            Ok(())
        };
        tell(done, sigmas[done], &latent, &latent)?;
        let mut conditions = None;
        euler::run(
            latent,
            done,
            &sigmas,
            |latent, step| {
                if let Some(now) = during.changed(brief, step as u32) {
                    loras.set(&now, &mut Model { flux, t5, clip })?;
                    let made = flux.condition(text, pooled, grid, times, brief.guidance);
                    conditions = Some(made.map_err(&failed)?);
                }
                // The first step always begins something.
                let Some(conditions) = &conditions else { unreachable!("made at the first step") };
                let mut watch = StopBetweenBlocks { observer: &observer, stopped: false };
                flux.forward(latent, conditions, step, &mut watch)
                    .map_err(|error| if watch.stopped { EngineError::Stopped } else { failed(error) })
            },
            |stepped| tell(stepped.step, stepped.sigma, stepped.latent, stepped.estimate),
        )
    }
}

impl Pipeline {
    fn draw_here(
        &mut self,
        brief: &Brief,
        begun: Option<&StepLatent>,
        observer: &mut dyn Observer,
    ) -> Result<Drawn, EngineError> {
        let mut lap = Instant::now();
        let mut seconds = || std::mem::replace(&mut lap, Instant::now()).elapsed().as_secs_f64();
        let check = |observer: &dyn Observer| {
            if observer.wants_stop() { Err(EngineError::Stopped) } else { Ok(()) }
        };
        check(observer)?;
        begun.map_or(Ok(()), |begun| begun.check(brief, self.flux.config.in_channels))?;
        let model = &mut Model { flux: &mut self.flux, t5: &mut self.t5, clip: &mut self.clip };
        let unapplied = self.loras.set(&brief.loras, model)?;
        observer.report(Report::Encoding);
        let (text, pooled, cuts) = self.encode(brief.prompt.as_str(), observer)?;
        let encode = seconds();
        check(observer)?;
        let tokens = self.denoise((brief, begun), &text, &pooled, observer)?;
        let denoise = seconds();
        check(observer)?;
        observer.report(Report::Decoding);
        let rgb = on_host::picture(&self.decoder, &tokens, brief.size, observer)?;
        let times = Times { load: 0.0, encode, denoise, decode: seconds() };
        Ok(Drawn { rgb, cuts, times, usage: None, unapplied })
    }
}

impl Draw for Pipeline {
    /// Runs on a thread of the pool, so that dividing an op wakes the others and does not also put
    /// the caller to sleep: a picture has thousands of such ops.
    fn draw_from(
        &mut self,
        brief: &Brief,
        begun: Option<&StepLatent>,
        observer: &mut dyn Observer,
    ) -> Result<Drawn, EngineError> {
        rayon::scope(|_| self.draw_here(brief, begun, observer))
    }

    fn numerics(&self, brief: &Brief) -> String {
        let computes = format!("CPU, {}", self.precision);
        resume::numerics(&computes, &self.digest, self.counter.t5.limit(), &self.sigmas(brief))
            + &self.loras.numerics(&brief.loras)
    }

    fn precision(&self) -> String {
        format!("{}{}", self.precision, self.loras.note())
    }
}

/// Ends a forward pass when the observer wants it.
struct StopBetweenBlocks<'a, 'o> {
    observer: &'a RefCell<&'o mut dyn Observer>,
    stopped: bool,
}

impl Watch for StopBetweenBlocks<'_, '_> {
    fn before_block(&mut self) -> candle_core::Result<()> {
        self.stopped = self.observer.borrow().wants_stop();
        if self.stopped { Err(candle_core::Error::msg("stopped")) } else { Ok(()) }
    }
}

/// Why reading the transformer ended early.
enum LoadStop {
    Stopped(EngineError),
    Weights(WeightsError),
}

impl From<WeightsError> for LoadStop {
    fn from(error: WeightsError) -> Self {
        Self::Weights(error)
    }
}

fn to_bytes(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.into_iter().flat_map(f32::to_le_bytes).collect())
}

fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// What computes, and from which weights: `fp32 from fp8 e4m3 weights`.
fn precision(transformer: &Weights) -> String {
    match transformer.dtypes().first() {
        Some(Dtype::F32) | None => "fp32".to_owned(),
        Some(dtype) => format!("fp32 from {} weights", dtype.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_changed_encoders_read_is_kept_as_another() {
        assert_eq!(kept_as("a fox", ""), "a fox", "as it was before there were LoRAs");
        let (one, other) = (kept_as("a fox", "ab:3f800000;"), kept_as("a fox", "ab:3f000000;"));
        assert!(one != other && one != "a fox" && one.starts_with("a fox"));
    }
}
