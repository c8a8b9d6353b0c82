//! One model on one device, from prompt to pixels.

use std::cell::RefCell;
use std::time::Instant;

use candle_core::Tensor;

use super::dit::model::{Flux, Watch};
use super::preview::{Preview, Projection};
use super::sample::euler;
use super::sample::schedule::{Shift, sigmas};
use super::text::encode::{Clip, T5};
use super::text::tokenize::Counter;
use super::vae::decoder::{Decoder, Scaling};
use super::weights::{Weights, WeightsError};
use super::{Brief, Draw, Drawn, EngineError, Observer, Placement, Report, Step, latent};
use crate::device::{Device, PrecisionChoice};
use crate::job::{Size, Times, TokenCount};
use crate::model::{ModelName, Parts, Source, TextLimits};

/// The devices that [`load`] can use, the best first: cards by their free memory, then the CPU.
#[must_use]
pub fn devices() -> Vec<Device> {
    vec![Device::Cpu]
}

/// A device, for a person: `CPU, 2 threads`.
#[must_use]
pub fn describe(device: Device) -> String {
    match (device, rayon::current_num_threads()) {
        (Device::Cpu, 1) => "CPU, 1 thread".to_owned(),
        (Device::Cpu, threads) => format!("CPU, {threads} threads"),
        (device @ Device::Cuda(_), _) => device.to_string(),
    }
}

/// Reads a model onto a device.
///
/// # Errors
/// [`EngineError::Placement`] for a device or a precision that cannot be had; [`EngineError::Load`]
/// names the part, the file and what is wrong; [`EngineError::Stopped`].
pub fn load(
    name: &ModelName,
    parts: &Parts,
    limits: TextLimits,
    on: &Placement,
    observer: &mut dyn Observer,
) -> Result<Box<dyn Draw>, EngineError> {
    check(name, on)?;
    Ok(Box::new(Pipeline::load(name, parts, limits, observer)?))
}

/// Whether what was asked for can be had here, before anything is read for it.
fn check(model: &ModelName, on: &Placement) -> Result<(), EngineError> {
    let refused = |what: String, reason: &str| {
        Err(EngineError::Placement { model: model.clone(), what, reason: reason.to_owned() })
    };
    match (on.device, on.precision) {
        (Device::Cpu, PrecisionChoice::Auto) => Ok(()),
        (Device::Cpu, precision) => {
            let reason = "the CPU computes in fp32; precision auto works there";
            refused(format!("precision {precision}"), reason)
        }
        (device @ Device::Cuda(_), _) => {
            refused(format!("device {device}"), "this build has no engine for it; device cpu works")
        }
    }
}

/// A loaded model.
#[derive(Debug)]
struct Pipeline {
    counter: Counter,
    t5: T5,
    clip: Clip,
    flux: Flux,
    decoder: Decoder,
    projection: Projection,
    precision: String,
}

/// How far a load is, in bytes of weight files.
struct Progress<'o> {
    observer: &'o mut dyn Observer,
    done: u64,
    total: u64,
}

impl Progress<'_> {
    fn report(&mut self, done: u64) -> Result<(), EngineError> {
        if self.observer.wants_stop() {
            return Err(EngineError::Stopped);
        }
        self.observer.report(Report::Loading { done, total: self.total });
        Ok(())
    }

    /// A whole file is read.
    fn finish(&mut self, weights: &Weights) -> Result<(), EngineError> {
        self.done += weights.size();
        self.report(self.done)
    }
}

impl Pipeline {
    fn load(
        name: &ModelName,
        parts: &Parts,
        limits: TextLimits,
        observer: &mut dyn Observer,
    ) -> Result<Self, EngineError> {
        let failed = |part, from: &Source| {
            let (model, from) = (name.clone(), from.to_string());
            move |reason: WeightsError| EngineError::Load { model, part, from, reason: reason.to_string() }
        };
        let open = |part, source| Weights::open(source).map_err(failed(part, source));
        let counter = Counter::load(parts, limits).map_err(|error| EngineError::Load {
            model: name.clone(),
            part: "a tokenizer",
            from: parts.t5_tokenizer.to_string(),
            reason: error.to_string(),
        })?;
        let t5 = open("the T5 encoder", &parts.t5)?;
        let clip = open("the CLIP encoder", &parts.clip)?;
        let vae = open("the VAE", &parts.vae)?;
        let transformer = open("the transformer", &parts.transformer)?;
        let total = [&t5, &clip, &vae, &transformer].iter().map(|weights| weights.size()).sum();
        let mut progress = Progress { observer, done: 0, total };
        progress.report(0)?;

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
        let (before, size) = (progress.done, transformer.size() as f64);
        let flux = Flux::load(&transformer, |part| {
            progress.report(before + (part * size) as u64).map_err(LoadStop::Stopped)
        })
        .map_err(|stop| match stop {
            LoadStop::Stopped(error) => error,
            LoadStop::Weights(error) => failed("the transformer", &parts.transformer)(error),
        })?;
        let precision = precision(&transformer);
        Ok(Self { counter, t5: t5_model, clip: clip_model, flux, decoder, projection, precision })
    }

    /// T5's sequence, CLIP's pooled vector, and what either did not read.
    fn encode(&mut self, prompt: &str) -> Result<(Tensor, Tensor, Vec<TokenCount>), EngineError> {
        let failed = compute("reading the prompt");
        let t5 = self.counter.t5.tokenize(prompt).map_err(compute("reading the prompt"))?;
        let clip = self.counter.clip.tokenize(prompt).map_err(compute("reading the prompt"))?;
        let text = self.t5.encode(&t5).map_err(&failed)?;
        let pooled = self.clip.encode(&clip).map_err(&failed)?;
        let cuts = [t5.count, clip.count].into_iter().filter(|count| count.cut_at.is_some()).collect();
        Ok((text, pooled, cuts))
    }

    /// The finished latent, as tokens.
    fn denoise(
        &self,
        brief: &Brief,
        text: &Tensor,
        pooled: &Tensor,
        observer: &mut dyn Observer,
    ) -> Result<Tensor, EngineError> {
        let failed = compute("drawing");
        let grid = latent::grid(brief.size);
        let shift = if self.flux.config.guidance { Shift::BySize } else { Shift::None };
        let sigmas = sigmas(brief.steps, brief.size.image_tokens(), shift);
        let times = &sigmas[..sigmas.len() - 1];
        let conditions = self.flux.condition(text, pooled, grid, times, brief.guidance).map_err(&failed)?;
        let noise = latent::noise(brief.seed, brief.size).map_err(&failed)?;
        let observer = RefCell::new(observer);
        let tell = |step: usize, sigma: f32, tokens: &Tensor| {
            let preview = Preview::new(&self.projection, tokens, grid).map_err(&failed)?;
            let step = Step { step: step as u32, steps: brief.steps, sigma, preview: &preview };
            observer.borrow_mut().report(Report::Step(step));
            Ok(())
        };
        tell(0, 1.0, &noise)?;
        euler::run(
            noise,
            &sigmas,
            |latent, step| {
                let mut watch = StopBetweenBlocks { observer: &observer, stopped: false };
                self.flux
                    .forward(latent, &conditions, step, &mut watch)
                    .map_err(|error| if watch.stopped { EngineError::Stopped } else { failed(error) })
            },
            |stepped| tell(stepped.step, stepped.sigma, stepped.estimate),
        )
    }

    /// 8-bit RGB.
    fn decode(&self, tokens: &Tensor, size: Size) -> Result<Vec<u8>, EngineError> {
        let failed = compute("decoding");
        let latent = latent::unpack(tokens, latent::grid(size)).map_err(&failed)?;
        let picture = self.decoder.decode(&latent).map_err(&failed)?;
        let values = picture.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(&failed)?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(EngineError::NotFinite { stage: "decoding" });
        }
        Ok(values
            .into_iter()
            .map(|value| ((value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8)
            .collect())
    }
}

impl Pipeline {
    fn draw_here(&mut self, brief: &Brief, observer: &mut dyn Observer) -> Result<Drawn, EngineError> {
        let mut lap = Instant::now();
        let mut seconds = || std::mem::replace(&mut lap, Instant::now()).elapsed().as_secs_f64();
        let check = |observer: &dyn Observer| {
            if observer.wants_stop() { Err(EngineError::Stopped) } else { Ok(()) }
        };
        check(observer)?;
        observer.report(Report::Encoding);
        let (text, pooled, cuts) = self.encode(brief.prompt.as_str())?;
        let encode = seconds();
        check(observer)?;
        let tokens = self.denoise(brief, &text, &pooled, observer)?;
        let denoise = seconds();
        check(observer)?;
        observer.report(Report::Decoding);
        let rgb = self.decode(&tokens, brief.size)?;
        Ok(Drawn { rgb, cuts, times: Times { load: 0.0, encode, denoise, decode: seconds() } })
    }
}

impl Draw for Pipeline {
    /// Runs on a thread of the pool, so that dividing an op wakes the others and does not also put
    /// the caller to sleep: a picture has thousands of such ops.
    fn draw(&mut self, brief: &Brief, observer: &mut dyn Observer) -> Result<Drawn, EngineError> {
        rayon::scope(|_| self.draw_here(brief, observer))
    }

    fn precision(&self) -> String {
        self.precision.clone()
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

fn compute<E: std::error::Error + Send + Sync + 'static>(stage: &'static str) -> impl Fn(E) -> EngineError {
    move |error| EngineError::Compute { stage, source: Box::new(error) }
}

/// What computes, and from which weights: `fp32 from fp8 e4m3 weights`.
fn precision(transformer: &Weights) -> String {
    use safetensors::Dtype;
    match transformer.dtypes().first() {
        Some(Dtype::F8_E4M3) => "fp32 from fp8 e4m3 weights".to_owned(),
        Some(Dtype::BF16) => "fp32 from bf16 weights".to_owned(),
        Some(Dtype::F16) => "fp32 from fp16 weights".to_owned(),
        _ => "fp32".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_that_the_cpu_has_not_is_refused_with_what_works() {
        let model = ModelName::new(ModelName::NANO);
        let on = |device, precision| check(&model, &Placement { device, precision });
        assert!(on(Device::Cpu, PrecisionChoice::Auto).is_ok());
        for precision in [PrecisionChoice::Fp8, PrecisionChoice::Fp8Storage, PrecisionChoice::Bf16] {
            let error = on(Device::Cpu, precision).expect_err("the CPU has none of them").to_string();
            assert!(error.contains(&format!("precision {precision}: the CPU computes in fp32")), "{error}");
            assert!(error.contains("auto works"), "{error}");
        }
        let error = on(Device::Cuda(1), PrecisionChoice::Auto).expect_err("there is no card").to_string();
        assert!(error.contains("device cuda:1") && error.contains("device cpu works"), "{error}");
    }
}
