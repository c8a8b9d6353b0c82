//! One model on one card, from prompt to pixels.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use cudarc::driver::CudaEvent;
use half::bf16;

use super::error::{CudaError, Result, driver};
use super::flux::origin::Origin;
use super::flux::precision::{self, Asked, Choice};
use super::flux::step::Watch;
use super::flux::workspace::Workspace;
use super::flux::{Flux, linear};
use super::gpu::Gpu;
use super::memory::{Buffer, Matrix};
use super::text::{Clip, T5};
use super::vae::{Decoder, Region};
use crate::engine::budget::Residence;
use crate::engine::dit::config::Config;
use crate::engine::files::{Files, Progress};
use crate::engine::preview::Projection;
use crate::engine::sample::noise;
use crate::engine::sample::schedule::{Shift, sigmas};
use crate::engine::text::tokenize::Counter;
use crate::engine::vae::decoder::Scaling;
use crate::engine::{Brief, Draw, Drawn, EngineError, LatentPreview, Observer, Report, Step, latent};
use crate::job::{Size, Times, TokenCount};
use crate::model::{ModelName, Parts, TextLimits};

/// A loaded model.
#[derive(Debug)]
pub struct Pipeline {
    gpu: Arc<Gpu>,
    counter: Counter,
    t5: T5,
    clip: Clip,
    flux: Flux,
    decoder: Decoder,
    projection: Projection,
    choice: Choice,
}

/// What the encoders made of a prompt.
struct Encoded {
    /// T5's, `[tokens, channels]`.
    text: Buffer,
    tokens: usize,
    /// CLIP's, `[1, channels]`.
    pooled: Buffer,
    cuts: Vec<TokenCount>,
}

impl Pipeline {
    /// Brings a model onto the card.
    ///
    /// # Errors
    /// [`EngineError::Load`] names the part, the file and what is wrong; [`EngineError::Stopped`].
    pub fn load(
        gpu: &Arc<Gpu>,
        name: &ModelName,
        parts: &Parts,
        limits: TextLimits,
        asked: Asked,
        observer: &mut dyn Observer,
    ) -> std::result::Result<Self, EngineError> {
        let failed = |part, from| {
            move |error: CudaError| match error {
                CudaError::Stopped => EngineError::Stopped,
                error => Files::failed(name, part, from)(error),
            }
        };
        let Files { counter, t5, clip, vae, transformer } = Files::open(name, parts, limits)?;
        let mut progress = Progress::begin(observer, [&t5, &clip, &vae, &transformer])?;
        let on_card = failed("the transformer", &parts.transformer);
        let bind = gpu.bind();
        bind.map_err(&on_card)?;
        let config = Config::of(&transformer).map_err(|error| on_card(error.into()))?;
        let origin = Origin::File(&transformer);
        let stored_fp8 = linear::stored_as_fp8(&origin, "single_blocks.0.linear1.weight")
            .map_err(|error| on_card(error.into()))?;
        let choice = precision::choose(asked, gpu.card(), stored_fp8).map_err(&on_card)?;

        let t5_model = T5::load(gpu, &t5, &parts.t5_config).map_err(failed("the T5 encoder", &parts.t5))?;
        progress.finish(&t5)?;
        let clip_model =
            Clip::load(gpu, &clip, &parts.clip_config).map_err(failed("the CLIP encoder", &parts.clip))?;
        progress.finish(&clip)?;
        let decoder = Scaling::read(&parts.vae_config)
            .map_err(CudaError::from)
            .and_then(|scaling| Decoder::load(gpu, &vae, scaling))
            .map_err(failed("the VAE", &parts.vae))?;
        progress.finish(&vae)?;
        let projection = Projection::read(&parts.preview)
            .map_err(|error| failed("the preview projection", &parts.preview)(error.into()))?;
        let whole = Residence::whole(config.double_blocks + config.single_blocks);
        let flux = Flux::load(gpu, config, choice.precision, &origin, &whole, |share| {
            // Only the observer's wish ends a load here.
            progress.part_of(&transformer, share).map_err(|_| CudaError::Stopped)
        })
        .map_err(&on_card)?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            counter,
            t5: t5_model,
            clip: clip_model,
            flux,
            decoder,
            projection,
            choice,
        })
    }

    /// T5's sequence, CLIP's pooled vector, and what either did not read.
    fn encode(&self, prompt: &str) -> std::result::Result<Encoded, EngineError> {
        let untokenized =
            |error| EngineError::Compute { stage: "reading the prompt", source: Box::new(error) };
        let t5 = self.counter.t5.tokenize(prompt).map_err(untokenized)?;
        let clip = self.counter.clip.tokenize(prompt).map_err(untokenized)?;
        let (gpu, tokens) = (&self.gpu, t5.ids.len());
        let encoded = || {
            let text = Buffer::of::<bf16>(gpu, tokens, self.t5.width(), "an encoded prompt")?;
            let pooled = Buffer::of::<bf16>(gpu, 1, self.clip.width(), "an encoded prompt")?;
            let room = self.t5.room(gpu, tokens)?;
            self.t5.encode(gpu, &t5.ids, &room, text.matrix(0, tokens, self.t5.width()))?;
            let room = self.clip.room(gpu, clip.ids.len())?;
            self.clip.encode(gpu, &clip.ids, clip.end, &room, pooled.matrix(0, 1, self.clip.width()))?;
            gpu.wait()?;
            Ok((text, pooled))
        };
        let (text, pooled) = encoded().map_err(during("reading the prompt"))?;
        let cuts = [t5.count, clip.count].into_iter().filter(|count| count.cut_at.is_some()).collect();
        Ok(Encoded { text, tokens, pooled, cuts })
    }

    /// Draws; the finished latent is in the workspace.
    fn denoise(&self, brief: &Brief, encoded: &Encoded, observer: &mut dyn Observer) -> Result<Workspace> {
        let (gpu, config) = (&self.gpu, &self.flux.config);
        let grid = latent::grid(brief.size);
        let shift = if config.guidance { Shift::BySize } else { Shift::None };
        let sigmas = sigmas(brief.steps, brief.size.image_tokens(), shift);
        let text = encoded.text.matrix(0, encoded.tokens, self.t5.width());
        let pooled = encoded.pooled.matrix(0, 1, self.clip.width());
        let times = &sigmas[..sigmas.len() - 1];
        let conditions = self.flux.condition(text, pooled, grid, times, brief.guidance)?;
        let image = brief.size.image_tokens();
        let workspace = Workspace::new(gpu, config, self.flux.precision, encoded.tokens, image)?;
        let noise = latent::packed(&noise::randn(brief.seed, image * config.in_channels), grid);
        gpu.upload(workspace.latent(), &noise)?;
        gpu.upload(workspace.estimate(), &noise)?;
        let input: Vec<bf16> = noise.into_iter().map(bf16::from_f32).collect();
        gpu.upload(workspace.input().slice_rows(0, image), &input)?;

        let observer = RefCell::new(observer);
        let tell = |step: usize, sigma: f32| {
            let preview = OnCard { pipeline: self, estimate: workspace.estimate(), grid };
            let step = Step { step: step as u32, steps: brief.steps, sigma, preview: &preview };
            observer.borrow_mut().report(Report::Step(step));
        };
        tell(0, 1.0);
        let mut watch = Throttle { gpu, observer: &observer, ahead: VecDeque::new() };
        for (step, pair) in sigmas.windows(2).enumerate() {
            self.flux.evaluate(&workspace, &conditions, step, &mut watch)?;
            let velocity = workspace.velocity(config.out_channels).slice_rows(0, image);
            let input = workspace.input().slice_rows(0, image);
            gpu.euler_step(workspace.latent(), velocity, (pair[0], pair[1]), workspace.estimate(), input)?;
            gpu.wait()?;
            tell(step + 1, pair[1]);
        }
        Ok(workspace)
    }

    /// 8-bit RGB.
    fn decode(&self, latent: Matrix<'_, f32>, size: Size) -> Result<Option<Vec<u8>>> {
        let grid = latent::grid(size);
        let activations = self.decoder.activations(grid)?;
        self.decoder.decode(&activations, latent, grid, Region::whole(grid))?;
        let rgb = self.gpu.download(activations.rgb())?;
        let not_finite = self.gpu.download(activations.not_finite())?;
        Ok((not_finite == [0]).then_some(rgb))
    }
}

impl Draw for Pipeline {
    fn draw(
        &mut self,
        brief: &Brief,
        observer: &mut dyn Observer,
    ) -> std::result::Result<Drawn, EngineError> {
        let mut lap = Instant::now();
        let mut seconds = || std::mem::replace(&mut lap, Instant::now()).elapsed().as_secs_f64();
        let check = |observer: &dyn Observer| {
            if observer.wants_stop() { Err(EngineError::Stopped) } else { Ok(()) }
        };
        check(observer)?;
        self.gpu.bind().map_err(during("taking the card"))?;
        observer.report(Report::Encoding);
        let encoded = self.encode(brief.prompt.as_str())?;
        let encode = seconds();
        check(observer)?;
        let workspace = self.denoise(brief, &encoded, observer).map_err(during("drawing"))?;
        let denoise = seconds();
        check(observer)?;
        observer.report(Report::Decoding);
        let rgb = self.decode(workspace.latent(), brief.size).map_err(during("decoding"))?;
        let rgb = rgb.ok_or(EngineError::NotFinite { stage: "decoding" })?;
        Ok(Drawn { rgb, cuts: encoded.cuts, times: Times { load: 0.0, encode, denoise, decode: seconds() } })
    }

    fn precision(&self) -> String {
        format!("{}, because {}", self.choice.precision.name(), self.choice.because)
    }
}

fn during(stage: &'static str) -> impl Fn(CudaError) -> EngineError {
    move |error| match error {
        CudaError::Stopped => EngineError::Stopped,
        error => EngineError::Compute { stage, source: Box::new(error) },
    }
}

/// Lets the host ask for a few blocks ahead of the card and no more: what is asked for cannot be taken back, and
/// cancelling is to take effect within a block or two.
struct Throttle<'a, 'o> {
    gpu: &'a Gpu,
    observer: &'a RefCell<&'o mut dyn Observer>,
    ahead: VecDeque<CudaEvent>,
}

/// Blocks that the host is ahead.
const AHEAD: usize = 3;

impl Watch for Throttle<'_, '_> {
    fn before_block(&mut self) -> Result<()> {
        if self.observer.borrow().wants_stop() {
            return Err(CudaError::Stopped);
        }
        self.ahead.push_back(self.gpu.mark(false)?);
        if self.ahead.len() > AHEAD
            && let Some(oldest) = self.ahead.pop_front()
        {
            oldest.synchronize().map_err(driver("waiting for a block"))?;
        }
        Ok(())
    }
}

/// The estimate where it is; it is copied only if somebody wants to see it.
struct OnCard<'a> {
    pipeline: &'a Pipeline,
    estimate: Matrix<'a, f32>,
    grid: (usize, usize),
}

impl std::fmt::Debug for OnCard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnCard").field("estimate", &self.estimate).finish_non_exhaustive()
    }
}

impl LatentPreview for OnCard<'_> {
    fn size(&self) -> (u32, u32) {
        (2 * self.grid.1 as u32, 2 * self.grid.0 as u32)
    }

    fn rgb(&self) -> Vec<u8> {
        match self.pipeline.gpu.download(self.estimate) {
            Ok(tokens) => self.pipeline.projection.picture(&latent::unpacked(&tokens, self.grid)),
            Err(error) => {
                // The next call into the card fails too, and that one has somewhere to say it.
                tracing::error!(%error, "no preview");
                let (width, height) = self.size();
                vec![0; 3 * (width * height) as usize]
            }
        }
    }
}
