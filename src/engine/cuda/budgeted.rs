//! A whole model of random weights held to a budget: what a plan promises, to be measured without any file.

use std::sync::Arc;
use std::time::Duration;

use half::bf16;

use super::error::Result;
use super::flux::Conditions;
use super::flux::origin::Origin;
use super::flux::precision::Precision;
use super::flux::workspace::Workspace;
use super::gpu::Gpu;
use super::memory::Buffer;
use super::plan;
use super::synthetic::{GUIDANCE, SEED, Slower, Step, Synthetic, TEXT};
use super::text::{Clip, T5, clip, t5};
use super::vae::{Before, Decoder};
use crate::engine::budget::{self, Limits, Plan, Speed, Unplannable};
use crate::engine::dit::config::Config;
use crate::engine::sample::schedule::{Shift, sigmas};
use crate::engine::{Planned, latent};

/// CLIP's tokens.
const CLIP_TOKENS: usize = 77;

/// A model on a card, kept as planned for one size.
#[derive(Debug)]
pub struct Budgeted {
    gpu: Arc<Gpu>,
    /// How it is kept.
    pub plan: Plan,
    grid: (usize, usize),
    steps: u32,
    t5: T5,
    clip: Clip,
    decoder: Decoder,
    model: Synthetic,
}

/// Plans these pictures within `limits`; `context` is what this process holds besides its own memory.
///
/// # Errors
/// [`Unplannable`] when they cannot be had.
pub fn plan_for(
    (config, precision): (&Config, Precision),
    decoder: &Decoder,
    picture: Planned,
    speed: &Speed,
    (limits, context): (Limits, u64),
) -> std::result::Result<Plan, Unplannable> {
    let model = plan::Model {
        config,
        precision,
        origin: Origin::Random(SEED),
        text: TEXT,
        t5: T5::sizes(&t5::Config::xxl(), TEXT),
        clip: Clip::sizes(&clip::Config::large(), CLIP_TOKENS),
        vae: decoder.bytes() as u64,
    };
    // Random weights are on the card alone.
    let tiles =
        decoder.tiles(latent::grid(picture.size)).into_iter().filter(|tile| !tile.is_on_host()).collect();
    budget::plan(&model.sizes(picture, tiles, context), speed, limits)
}

impl Budgeted {
    /// Makes the weights, and keeps them as planned.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(
        gpu: &Arc<Gpu>,
        (config, precision): (Config, Precision),
        plan: Plan,
        decoder: Decoder,
        (grid, steps): ((usize, usize), u32),
    ) -> Result<Self> {
        let model = Synthetic::new(gpu, config, precision, &plan.transformer, |_| Ok(()))?;
        let t5 = T5::random(gpu, t5::Config::xxl(), SEED, plan.t5_stays)?;
        let clip = Clip::random(gpu, clip::Config::large(), SEED, plan.clip_stays)?;
        Ok(Self { gpu: Arc::clone(gpu), plan, grid, steps, t5, clip, decoder, model })
    }

    /// The decoder again, when the rest is let go.
    #[must_use]
    pub fn into_decoder(self) -> Decoder {
        self.decoder
    }

    /// As [`super::flux::store::Store::host_bytes`].
    #[must_use]
    pub fn host_bytes(&self) -> [usize; 3] {
        self.model.transformer().store().host_bytes()
    }

    /// Times single steps.
    ///
    /// # Errors
    /// As [`Synthetic::measure`].
    pub fn measure(&self, repeat: usize, slower: Duration) -> Result<Step> {
        self.model.measure(self.grid, repeat, slower)
    }

    /// Draws a picture of a new prompt, as [`super::pipeline`] does, on a card that is so much slower at each step; `each`
    /// is told of the begin and of each step.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn picture(&self, slower: Duration, mut each: impl FnMut()) -> Result<()> {
        let (gpu, flux) = (&self.gpu, self.model.transformer());
        let image = self.grid.0 * self.grid.1;
        let text = Buffer::of::<bf16>(gpu, TEXT, self.t5.width(), "an encoded prompt")?;
        let pooled = Buffer::of::<bf16>(gpu, 1, self.clip.width(), "an encoded prompt")?;
        let text_out = text.matrix(0, TEXT, self.t5.width());
        let pooled_out = pooled.matrix(0, 1, self.clip.width());
        let ids: Vec<u32> = (0..TEXT as u32).collect();
        let room = self.t5.room(gpu, TEXT)?;
        self.t5.encode(gpu, &ids, &room, text_out)?;
        drop(room);
        let room = self.clip.room(gpu, CLIP_TOKENS)?;
        self.clip.encode(gpu, &ids[..CLIP_TOKENS], CLIP_TOKENS - 1, &room, pooled_out)?;
        drop(room);
        let sigmas = sigmas(self.steps, image, Shift::BySize);
        let times = &sigmas[..sigmas.len() - 1];
        let conditions = flux.condition(text_out, pooled_out, self.grid, times, GUIDANCE)?;
        drop((text, pooled));
        let latent = self.denoise(&conditions, &sigmas, &mut self.model.slower(slower), &mut each)?;
        drop(conditions);
        let tokens = latent.matrix::<f32>(0, image, flux.config.in_channels);
        self.decoder.picture(
            tokens,
            self.grid,
            (self.plan.tile.rows, self.plan.tile.columns),
            Before::NOTHING,
        )?;
        Ok(())
    }

    fn denoise(
        &self,
        conditions: &Conditions,
        sigmas: &[f32],
        watch: &mut Slower<'_>,
        each: &mut impl FnMut(),
    ) -> Result<Buffer> {
        let flux = self.model.transformer();
        let (gpu, config, image) = (&self.gpu, &flux.config, self.grid.0 * self.grid.1);
        let workspace = Workspace::new(gpu, config, flux.precision, TEXT, image)?;
        let input = workspace.input().slice_rows(0, image);
        gpu.random(input, SEED, 0.0, 1.0)?;
        gpu.fill(workspace.latent(), 0.5)?;
        gpu.wait()?;
        each();
        for (step, pair) in sigmas.windows(2).enumerate() {
            flux.evaluate(&workspace, conditions, step, watch)?;
            let velocity = workspace.velocity(config.out_channels).slice_rows(0, image);
            gpu.euler_step(workspace.latent(), velocity, (pair[0], pair[1]), workspace.estimate(), input)?;
            gpu.wait()?;
            each();
            flux.keep_tables(conditions)?;
        }
        let alone = Buffer::of::<f32>(gpu, image, config.in_channels, "the latent")?;
        gpu.copy(alone.matrix(0, image, config.in_channels), workspace.latent())?;
        Ok(alone)
    }
}
