//! One model on one card, from prompt to pixels.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use half::bf16;

use super::converted;
use super::decoding::Decoding;
use super::error::{CudaError, Result};
use super::flux::ahead::Ahead;
use super::flux::origin::Origin;
use super::flux::precision::{Choice, Stored};
use super::flux::step::Watch;
use super::flux::workspace::Workspace;
use super::flux::{Conditions, Flux};
use super::foresight::{Foresight, Seen, Stages};
use super::gpu::Gpu;
use super::loras::Loras;
use super::memory::Buffer;
use super::prepare::Prepared;
use super::prompts::{Encoded, Prompts, T5Reader};
use super::reading::{First, Read, Reading};
use super::text::{Clip, T5};
use super::watching::{Arriving, LatentOnCard, OnCard, Throttle, arrive_whole};
use crate::device::Share;
use crate::engine::budget::{Plan, Tile};
use crate::engine::files::{Files, Progress};
use crate::engine::lora::During;
use crate::engine::preview::Projection;
use crate::engine::resume;
use crate::engine::sample::schedule::{Shift, sigmas};
use crate::engine::text::t5 as host;
use crate::engine::{
    Brief, Draw, Drawn, EngineError, LoraFile, Observer, Placement, Planned, Report, Step, StepLatent, latent,
};
use crate::job::{Times, Unapplied};
use crate::model::{ModelName, Parts, Source, TextLimits};

/// A loaded model.
#[derive(Debug)]
pub struct Pipeline {
    gpu: Arc<Gpu>,
    prompts: Prompts,
    loras: Loras,
    flux: Flux,
    arriving: Arriving,
    /// Whose transformer it is, and where it comes from.
    from: (ModelName, Source),
    decoding: Decoding,
    projection: Projection,
    choice: Choice,
    rounded: bool,
    plan: Plan,
    foresight: Foresight,
    /// Bytes that may be held, the context included.
    allowed: u64,
    /// Of all weights, of the transformer's as they were before it was converted: the picture is the same.
    digest: String,
    /// A folder for what products are fastest by.
    products: Option<PathBuf>,
}

impl Pipeline {
    /// Reads a model: onto the card what stays there within the budget, this process's context included; without one,
    /// within what is free.
    ///
    /// # Errors
    /// [`EngineError::Load`] names the part, the file and what is wrong; [`EngineError::Placement`] when it cannot be
    /// drawn within the budget, and what could; [`EngineError::Stopped`].
    pub fn load(
        gpu: &Arc<Gpu>,
        name: &ModelName,
        parts: &Parts,
        limits: TextLimits,
        on: &Placement,
        observer: &mut dyn Observer,
    ) -> std::result::Result<Self, EngineError> {
        on_the_pool(gpu, "loading", move || Self::load_here(gpu, name, parts, limits, on, observer))
    }

    fn load_here(
        gpu: &Arc<Gpu>,
        name: &ModelName,
        parts: &Parts,
        limits: TextLimits,
        on: &Placement,
        observer: &mut dyn Observer,
    ) -> std::result::Result<Self, EngineError> {
        let failed = |part, from| {
            move |error: CudaError| match error {
                CudaError::Stopped => EngineError::Stopped,
                error @ CudaError::Driver { sticky: true, .. } => during("loading")(error),
                error => Files::failed(name, part, from)(error),
            }
        };
        let mut took = Laps::begin();
        if let Some(folder) = &parts.products {
            gpu.recall_products(folder);
        }
        let mut files = Files::open(name, parts, limits)?;
        took.lap("headers", 0);
        let digest = Digest::begin(&files);
        converted::instead(&mut files, parts, on.options);
        let mut progress =
            Progress::begin(observer, [&files.t5, &files.clip, &files.vae, &files.transformer])?;
        let prepared = Prepared::new(gpu, name, (&files, parts), limits, on)?;
        tracing::info!(plan = ?prepared.plan, "planned");
        let foresight = Foresight::new(&prepared, on.picture);
        let Prepared { config, choice, t5_on_host, limits, plan, .. } = prepared;
        took.lap("planning", 0);
        let Files { tokenizers, t5, clip, vae, transformer } = files;
        let projection = Projection::read(&parts.preview)
            .map_err(|error| failed("the preview projection", &parts.preview)(error.into()))?;
        let origin = Origin::File(&transformer);
        let rounded = choice.precision.is_fp8() && Stored::of(&origin).dtype.is_wide();
        let (vae_bytes, t5_bytes, clip_bytes) = (vae.size(), t5.size(), clip.size());
        let arriving = Arriving { before: vae_bytes + t5_bytes + clip_bytes, bytes: transformer.size() };
        // It comes by itself from here on, while the encoders are read.
        let flux = Flux::begin(gpu, config, choice.precision, &origin, &plan.transformer)
            .map_err(failed("the transformer", &parts.transformer))?;
        took.lap("the transformer, begun", 0);
        let decoding = Decoding::load(gpu, vae, &parts.vae_config, on.cautious)
            .map_err(failed("the VAE", &parts.vae))?;
        progress.finish_bytes(vae_bytes)?;
        took.lap("the VAE", vae_bytes);
        let encoders = (t5.clone(), clip.clone());
        let loras = Loras::new(transformer, encoders.0.clone(), encoders.1.clone(), on.options.merge_loras);
        let t5 = if t5_on_host {
            host::T5::load(&t5, &parts.t5_config).map(T5Reader::Host).map_err(CudaError::from)
        } else if plan.t5_stays {
            T5::load(gpu, &t5, &parts.t5_config, |share| {
                progress.beside(arriving.here(flux.share_here()));
                // Only the observer's wish ends a load here.
                progress.part_of(&t5, share).map_err(|_| CudaError::Stopped)
            })
            .map(T5Reader::Card)
        } else {
            T5::brought(t5, &parts.t5_config).map(T5Reader::Card)
        };
        let t5 = t5.map_err(failed("the T5 encoder", &parts.t5))?;
        progress.beside(arriving.here(flux.share_here()));
        progress.finish_bytes(t5_bytes)?;
        took.lap("T5", t5_bytes);
        let clip = if plan.clip_stays {
            Clip::load(gpu, &clip, &parts.clip_config)
        } else {
            Clip::brought(clip, &parts.clip_config)
        };
        let clip = clip.map_err(failed("the CLIP encoder", &parts.clip))?;
        progress.finish_bytes(clip_bytes)?;
        took.lap("CLIP", clip_bytes);
        let counter = tokenizers.read()?;
        took.lap("tokenizers, the rest of them", 0);
        let kept = Prompts::kept(parts, (&encoders.0, &encoders.1), &counter, t5_on_host);
        Ok(Self {
            gpu: Arc::clone(gpu),
            prompts: Prompts::new(counter, kept, t5, clip),
            loras,
            flux,
            arriving,
            from: (name.clone(), parts.transformer.clone()),
            decoding,
            projection,
            choice,
            rounded,
            plan,
            foresight,
            allowed: limits.budget.min(limits.free),
            digest: digest.take(),
            products: parts.products.clone(),
        })
    }

    /// How the model is kept.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The noise levels of a picture.
    fn sigmas(&self, brief: &Brief) -> Vec<f32> {
        let shift = if self.flux.config.guidance { Shift::BySize } else { Shift::None };
        sigmas(brief.steps, brief.size.image_tokens(), shift)
    }

    /// Draws; the finished latent is in the workspace. Gives the seconds of each step too.
    fn denoise(
        &mut self,
        (brief, first, mut ahead): (&Brief, First, Option<Ahead>),
        encoded: &Encoded,
        observer: &mut dyn Observer,
    ) -> std::result::Result<(Workspace, Vec<f64>), EngineError> {
        let failed = drawing(&self.from);
        let grid = latent::grid(brief.size);
        let sigmas = self.sigmas(brief);
        let done = first.done;
        let workspace = self.begin((brief, first), encoded.tokens).map_err(&failed)?;
        let observer = RefCell::new(observer);
        self.tell((brief, &workspace, &observer), done, sigmas[done]);
        let (mut counting, mut conditions) = (During::default(), None);
        let mut took = Vec::with_capacity(sigmas.len());
        for (step, pair) in sigmas.windows(2).enumerate().skip(done) {
            if let Some(now) = counting.changed(brief, step as u32) {
                self.set_loras(&now)?;
                // Not two of them at a time.
                drop(conditions.take());
                let times = &sigmas[..sigmas.len() - 1];
                let mut watch = Throttle::new(&self.gpu, &observer, Some(self.arriving));
                let times = (times, brief.guidance, ahead.take());
                let made = self.condition(encoded, grid, times, &mut watch);
                conditions = Some(made.map_err(&failed)?);
            }
            // The first step always begins something.
            let Some(conditions) = &conditions else { unreachable!("made at the first step") };
            let begun = Instant::now();
            let mut watch = Throttle::new(&self.gpu, &observer, Some(self.arriving));
            self.step((&workspace, conditions), step, (pair[0], pair[1]), &mut watch).map_err(&failed)?;
            took.push(begun.elapsed().as_secs_f64());
            self.tell((brief, &workspace, &observer), step + 1, pair[1]);
            self.flux.keep_tables(conditions).map_err(&failed)?;
        }
        Ok((workspace, took))
    }

    /// What a picture begins with, in a workspace of its size.
    fn begin(&self, (brief, First { values: first, .. }): (&Brief, First), text: usize) -> Result<Workspace> {
        let (gpu, config) = (&self.gpu, &self.flux.config);
        let image = brief.size.image_tokens();
        let workspace = Workspace::new(gpu, config, self.flux.precision, text, image)?;
        gpu.upload(workspace.latent(), &first)?;
        gpu.upload(workspace.estimate(), &first)?;
        // Narrowed as a step narrows it.
        let input: Vec<bf16> = first.into_iter().map(bf16::from_f32).collect();
        gpu.upload(workspace.input().slice_rows(0, image), &input)?;
        Ok(workspace)
    }

    /// One step from a noise level to the next, to its end.
    fn step(
        &self,
        (workspace, conditions): (&Workspace, &Conditions),
        step: usize,
        levels: (f32, f32),
        watch: &mut dyn Watch,
    ) -> Result<()> {
        let (gpu, latent) = (&self.gpu, workspace.latent());
        self.flux.evaluate(workspace, conditions, step, watch)?;
        let velocity = workspace.velocity(self.flux.config.out_channels).slice_rows(0, latent.rows());
        let input = workspace.input().slice_rows(0, latent.rows());
        gpu.euler_step(latent, velocity, levels, workspace.estimate(), input)?;
        gpu.wait()
    }

    /// Tells whoever follows the picture how it looks after so many steps.
    fn tell(
        &self,
        (brief, workspace, observer): (&Brief, &Workspace, &RefCell<&mut dyn Observer>),
        done: usize,
        sigma: f32,
    ) {
        let (grid, step) = (latent::grid(brief.size), done as u32);
        let preview =
            OnCard { gpu: &self.gpu, projection: &self.projection, estimate: workspace.estimate(), grid };
        let latent = LatentOnCard { gpu: &self.gpu, latent: workspace.latent(), step };
        let step = Step { step, steps: brief.steps, sigma, preview: &preview, latent: &latent };
        observer.borrow_mut().report(Report::Step(step));
    }

    /// Sets these LoRAs and no others.
    fn set_loras(&mut self, wanted: &[LoraFile]) -> std::result::Result<Vec<Unapplied>, EngineError> {
        let Self { gpu, loras, flux, prompts, .. } = self;
        on_the_pool(gpu, "adding LoRAs", move || loras.set(wanted, flux, prompts))
    }

    fn condition(
        &self,
        encoded: &Encoded,
        grid: (usize, usize),
        (times, guidance, ahead): (&[f32], f32, Option<Ahead>),
        watch: &mut dyn Watch,
    ) -> Result<Conditions> {
        let (gpu, tokens) = (&self.gpu, encoded.tokens);
        let [width, pooled_width] = self.prompts.widths();
        let text = Buffer::of::<bf16>(gpu, tokens, width, "an encoded prompt")?;
        let pooled = Buffer::of::<bf16>(gpu, 1, pooled_width, "an encoded prompt")?;
        let (text, pooled) = (text.matrix(0, tokens, width), pooled.matrix(0, 1, pooled_width));
        gpu.upload(text, &encoded.text)?;
        gpu.upload(pooled, &encoded.pooled)?;
        self.flux.condition_watched((text, pooled), grid, (times, guidance), ahead, watch)
    }

    /// Bytes that may still be taken by the plan's limits.
    fn left(&self) -> u64 {
        self.allowed.saturating_sub(self.foresight.outside() + self.gpu.held())
    }

    /// The tiles to decode a picture in, and what its stages take. Refuses one that does not fit beside what stays: the
    /// model was planned for another size.
    fn check(&self, Planned { size, steps, .. }: Planned) -> Result<(Tile, Stages)> {
        let (config, image) = (&self.flux.config, size.image_tokens());
        let text = self.prompts.tokens();
        let workspace = Workspace::bytes_for(config, self.flux.precision, text, image);
        let conditions = Flux::condition_bytes(config, text, image, steps as usize);
        self.within((workspace + conditions) as u64, "the steps of a picture of this size")?;
        let tile = self.decoding.tile(latent::grid(size), self.left());
        let latent = image * config.in_channels * size_of::<f32>();
        let (conditions, workspace) = (conditions as u64, workspace as u64);
        Ok((tile, Stages { conditions, workspace, decode: [latent as u64, tile.bytes] }))
    }

    fn within(&self, wanted: u64, purpose: &'static str) -> Result<()> {
        match self.left() {
            free if wanted > free => Err(CudaError::OutOfMemory { wanted, free, purpose }),
            _ => Ok(()),
        }
    }

    /// The latent alone, so that the rest of a step's memory is free for the VAE.
    fn latent(&self, workspace: Workspace) -> Result<Buffer> {
        let latent = workspace.latent();
        let alone = Buffer::of::<f32>(&self.gpu, latent.rows(), latent.width(), "the latent")?;
        self.gpu.copy(alone.matrix(0, latent.rows(), latent.width()), latent)?;
        Ok(alone)
    }
}

impl Draw for Pipeline {
    fn draw_from(
        &mut self,
        brief: &Brief,
        begun: Option<&StepLatent>,
        observer: &mut dyn Observer,
    ) -> std::result::Result<Drawn, EngineError> {
        let mut lap = Instant::now();
        let mut seconds = || std::mem::replace(&mut lap, Instant::now()).elapsed().as_secs_f64();
        let check = |observer: &dyn Observer| {
            if observer.wants_stop() { Err(EngineError::Stopped) } else { Ok(()) }
        };
        check(observer)?;
        begun.map_or(Ok(()), |begun| begun.check(brief, self.flux.config.in_channels))?;
        self.gpu.bind().map_err(during("taking the card"))?;
        if self.loras.merges(&brief.loras) {
            // Into weights that are there.
            arrive_whole(&self.flux, &self.gpu, observer, self.arriving).map_err(drawing(&self.from))?;
        }
        let unapplied = self.set_loras(&brief.loras)?;
        let picture = Planned::of(brief);
        let (tile, stages) = self.check(picture).map_err(during("planning"))?;
        self.gpu.forget_peak();
        let held = self.gpu.held();
        observer.report(Report::Encoding);
        let sigmas = self.sigmas(brief);
        let beside = self.flux.ahead_bytes(brief.steps as usize);
        let times = self.foresight.has_room_beside_t5(beside).then_some(&sigmas[..sigmas.len() - 1]);
        let Self { gpu, prompts, flux, arriving, .. } = self;
        let reading = Reading { gpu, prompts, flux, arriving: *arriving, times };
        let Read { first, encoded, anew, ahead } = reading.read((brief, begun), observer)?;
        let anew = anew.then(|| if ahead.is_some() { beside } else { 0 });
        let foreseen = self.foresight.of(&self.flux.config, picture, anew, held, stages);
        let arrived = self.flux.take_waited().as_secs_f64();
        let encode = (seconds() - arrived).max(0.0);
        check(observer)?;
        // What the host streams is copied much, too.
        let gpu = Arc::clone(&self.gpu);
        let (workspace, steps) =
            on_the_pool(&gpu, "drawing", || self.denoise((brief, first, ahead), &encoded, observer))?;
        let latent = self.latent(workspace).map_err(during("drawing"))?;
        // What the first picture waited for belongs to the load.
        let waited = self.flux.take_waited().as_secs_f64();
        let (load, denoise) = (arrived + waited, (seconds() - waited).max(0.0));
        check(observer)?;
        observer.report(Report::Decoding);
        let tokens = latent.matrix(0, brief.size.image_tokens(), self.flux.config.in_channels);
        let (rgb, tile) = self.decoding.picture(tokens, brief.size, tile, observer)?;
        let decode = seconds();
        if let Some(folder) = &self.products {
            self.gpu.keep_products(folder);
        }
        let seen = Seen { peak: self.gpu.peak(), held, steps: &steps, decode, tile };
        Ok(Drawn {
            rgb,
            cuts: encoded.cuts.clone(),
            times: Times { load, encode, denoise, decode },
            usage: Some(self.foresight.usage(foreseen, seen)),
            unapplied,
        })
    }

    /// Where T5 reads is not part of it: a plan for less memory may move it, and the picture goes on then.
    fn numerics(&self, brief: &Brief) -> String {
        let computes = format!("CUDA, {}", self.choice.precision.name());
        resume::numerics(&computes, &self.digest, self.prompts.tokens(), &self.sigmas(brief))
            + &self.loras.numerics(&brief.loras, &self.flux)
    }

    fn precision(&self) -> String {
        let t5 = if self.prompts.t5_is_on_the_host() { "; T5 on the CPU in fp32" } else { "" };
        let loras = self.loras.note();
        format!("{}, because {}{t5}{loras}", self.choice.precision.name(), self.choice.because)
    }

    fn rounded(&self) -> bool {
        self.rounded
    }

    fn memory(&self) -> Option<String> {
        Some(self.plan.in_words())
    }

    fn shares(&self) -> Vec<Share> {
        self.plan.shares.clone()
    }

    fn lora_bytes(&self) -> u64 {
        self.flux.sides().map_or(0, |sides| sides.bytes() as u64)
    }
}

/// Runs what copies much, on a thread of the pool: one from outside would sleep and be woken at every division of a copy
/// among the threads, some thousand times a load.
pub(super) fn on_the_pool<T: Send>(
    gpu: &Gpu,
    stage: &'static str,
    act: impl FnOnce() -> std::result::Result<T, EngineError> + Send,
) -> std::result::Result<T, EngineError> {
    rayon::scope(move |_| {
        gpu.bind().map_err(during(stage))?;
        act()
    })
}

/// What tells a model's weights from others, on a thread of its own: hashing takes as long as all of planning.
struct Digest(JoinHandle<String>);

impl Digest {
    fn begin(files: &Files) -> Self {
        let weights = [&files.t5, &files.clip, &files.vae, &files.transformer].map(Clone::clone);
        Self(thread::spawn(move || resume::digest(weights.each_ref())))
    }

    fn take(self) -> String {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Says in the log how long each part of a load took.
struct Laps(Instant);

impl Laps {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self, part: &'static str, bytes: u64) {
        let seconds = std::mem::replace(&mut self.0, Instant::now()).elapsed().as_secs_f64();
        tracing::info!(part, seconds, gigabytes = bytes as f64 / 1e9, "read");
    }
}

/// Says of an error that it came while a picture was drawn, or that the transformer did not come.
fn drawing((name, from): &(ModelName, Source)) -> impl Fn(CudaError) -> EngineError + use<> {
    let missing = Files::failed(name, "the transformer", from);
    move |error| match error {
        CudaError::Arrival(error) => match &*error {
            CudaError::Driver { sticky: true, reason, .. } => {
                EngineError::Device { stage: "loading", reason: reason.clone() }
            }
            error => missing(error.to_string()),
        },
        error => during("drawing")(error),
    }
}

/// Says of an error what was being done.
pub(super) fn during(stage: &'static str) -> impl Fn(CudaError) -> EngineError {
    move |error| match error {
        CudaError::Stopped => EngineError::Stopped,
        error @ CudaError::OutOfMemory { .. } => {
            EngineError::OutOfMemory { stage, reason: error.to_string() }
        }
        error @ CudaError::Driver { sticky: true, .. } => {
            EngineError::Device { stage, reason: error.to_string() }
        }
        error => EngineError::Compute { stage, source: Box::new(error) },
    }
}
