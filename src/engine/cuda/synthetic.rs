//! A transformer of random weights, made on the card, to be measured without any file: time and memory do not depend on
//! what the weights are, as long as the activations stay finite and of ordinary size.

pub mod lora;

use std::sync::Arc;
use std::time::{Duration, Instant};

use half::bf16;

use super::error::{CudaError, Result, driver};
use super::flux::Flux;
use super::flux::origin::{Origin, seed_of};
use super::flux::precision::Precision;
use super::flux::step::Watch;
use super::flux::workspace::Workspace;
use super::gpu::Gpu;
use super::memory::{Buffer, F8};
use super::text::{Clip, T5, clip, t5};
use super::vae::{Decoder, Region};
use crate::engine::budget::Residence;
use crate::engine::dit::config::Config;

/// The seed of all weights and inputs.
pub const SEED: u64 = 0;
/// Tokens of text, as FLUX.1-dev reads them.
pub const TEXT: usize = 512;
/// The noise level of the evaluation that is measured. A thousand times this is a bf16 number, so that programs which
/// embed bf16 times compute the same.
pub const TIME: f32 = 0.752;
/// The guidance, likewise.
pub const GUIDANCE: f32 = 3.504;
/// Evaluations before the first that counts.
const WARM: usize = 3;

/// A transformer of random weights on a card.
#[derive(Debug)]
pub struct Synthetic {
    gpu: Arc<Gpu>,
    flux: Flux,
    /// Seconds that making it took.
    pub made_in: f64,
}

/// What one size gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Milliseconds of each evaluation, by events in the stream.
    pub milliseconds: Vec<f64>,
    /// Milliseconds of the tables of modulations for 20 steps.
    pub tables: f64,
    /// The velocity, `[image, 64]`, in bf16's values.
    pub velocity: Vec<f32>,
    /// Whether all evaluations gave the same bits.
    pub repeats: bool,
    /// Bytes of the buffers of this size.
    pub workspace: u64,
    /// Bytes that each evaluation streamed.
    pub streamed: u64,
}

impl Synthetic {
    /// Makes the weights, and keeps them as planned.
    ///
    /// # Errors
    /// When there is no memory; what `progress` gives.
    pub fn new(
        gpu: &Arc<Gpu>,
        config: Config,
        precision: Precision,
        plan: &Residence,
        progress: impl FnMut(f64) -> Result<()>,
    ) -> Result<Self> {
        let begun = Instant::now();
        let flux = Flux::load(gpu, config, precision, &Origin::Random(SEED), plan, progress)?;
        Ok(Self { gpu: Arc::clone(gpu), flux, made_in: begun.elapsed().as_secs_f64() })
    }

    /// The transformer.
    pub fn flux(&mut self) -> &mut Flux {
        &mut self.flux
    }

    /// The same, to be looked at.
    #[must_use]
    pub fn transformer(&self) -> &Flux {
        &self.flux
    }

    /// Evaluates a picture of `grid` rows and columns of tokens, `repeat` times after a few that do not count, on a card
    /// that is so much slower at each step.
    ///
    /// # Errors
    /// When there is no memory; when the velocity is not finite.
    pub fn measure(&self, grid: (usize, usize), repeat: usize, slower: Duration) -> Result<Step> {
        let (gpu, config) = (&self.gpu, &self.flux.config);
        let image = grid.0 * grid.1;
        let text = self.input("text", TEXT, config.context_dim)?;
        let pooled = self.input("pooled", 1, config.vec_dim)?;
        let (text, pooled) = (text.matrix(0, TEXT, config.context_dim), pooled.matrix(0, 1, config.vec_dim));
        drop(self.flux.condition(text, pooled, grid, &[TIME; 20], GUIDANCE)?);
        gpu.wait()?;
        let begun = Instant::now();
        drop(self.flux.condition(text, pooled, grid, &[TIME; 20], GUIDANCE)?);
        gpu.wait()?;
        let tables = begun.elapsed().as_secs_f64() * 1e3;

        let conditions = self.flux.condition(text, pooled, grid, &[TIME], GUIDANCE)?;
        let workspace = Workspace::new(gpu, config, self.flux.precision, TEXT, image)?;
        let input = workspace.input().slice_rows(0, image);
        gpu.random(input, seed_of(SEED, "latent"), 0.0, 1.0)?;
        let (mut milliseconds, mut repeats, mut first) = (Vec::new(), true, None);
        let mut brought = 0;
        for index in 0..WARM + repeat {
            if index == WARM {
                brought = self.flux.store().brought();
            }
            let start = gpu.mark(true)?;
            self.flux.evaluate(&workspace, &conditions, 0, &mut self.slower(slower))?;
            let end = gpu.mark(true)?;
            let velocity = gpu.download(workspace.velocity(config.out_channels).slice_rows(0, image))?;
            if index >= WARM {
                milliseconds.push(f64::from(start.elapsed_ms(&end).map_err(driver("measuring a step"))?));
            }
            match &first {
                None => first = Some(velocity),
                Some(first) => repeats &= *first == velocity,
            }
        }
        let velocity: Vec<f32> = first.unwrap_or_default().into_iter().map(bf16::to_f32).collect();
        if velocity.iter().any(|value| !value.is_finite()) {
            return Err(CudaError::Shape("the velocity is not finite: its time means nothing".to_owned()));
        }
        let streamed = (self.flux.store().brought() - brought) / repeat.max(1) as u64;
        Ok(Step { milliseconds, tables, velocity, repeats, workspace: workspace.bytes() as u64, streamed })
    }

    /// Makes a step longer, by as much before each block.
    #[must_use]
    pub fn slower(&self, step: Duration) -> Slower<'_> {
        let blocks = self.flux.config.double_blocks + self.flux.config.single_blocks;
        Slower { gpu: &self.gpu, block: step / blocks.max(1) as u32 }
    }

    fn input(&self, name: &str, rows: usize, width: usize) -> Result<Buffer> {
        let buffer = Buffer::of::<bf16>(&self.gpu, rows, width, "an input")?;
        self.gpu.random(buffer.matrix(0, rows, width), seed_of(SEED, name), 0.0, 1.0)?;
        Ok(buffer)
    }
}

/// A card that idles before each block.
#[derive(Debug)]
pub struct Slower<'a> {
    gpu: &'a Gpu,
    block: Duration,
}

impl Watch for Slower<'_> {
    fn before_block(&mut self) -> Result<()> {
        if self.block.is_zero() { Ok(()) } else { self.gpu.idle(self.block) }
    }
}

/// Median milliseconds of T5-XXL over [`TEXT`] tokens and of CLIP-L over 77, random weights. Their memory is given back.
///
/// # Errors
/// When there is no memory.
pub fn encoders(gpu: &Arc<Gpu>, repeat: usize) -> Result<(f64, f64)> {
    const CLIP_TOKENS: usize = 77;
    let ids: Vec<u32> = (0..TEXT as u32).collect();
    let t5 = T5::random(gpu, t5::Config::xxl(), SEED, true)?;
    let room = t5.room(gpu, TEXT)?;
    let out = Buffer::of::<bf16>(gpu, TEXT, t5.width(), "an encoded prompt")?;
    let t5_time = median(gpu, repeat, || t5.encode(gpu, &ids, &room, out.matrix(0, TEXT, t5.width())))?;
    drop((t5, room, out));
    let clip = Clip::random(gpu, clip::Config::large(), SEED, true)?;
    let (room, ids) = (clip.room(gpu, CLIP_TOKENS)?, &ids[..CLIP_TOKENS]);
    let out = Buffer::of::<bf16>(gpu, 1, clip.width(), "an encoded prompt")?;
    let last = CLIP_TOKENS - 1;
    let clip_time =
        median(gpu, repeat, || clip.encode(gpu, ids, last, &room, out.matrix(0, 1, clip.width())))?;
    Ok((t5_time, clip_time))
}

/// Median milliseconds of decoding a picture of `grid` rows and columns of tokens, and the bytes that it takes besides
/// the weights.
///
/// # Errors
/// When there is no memory.
pub fn decode(gpu: &Arc<Gpu>, decoder: &Decoder, grid: (usize, usize), repeat: usize) -> Result<(f64, u64)> {
    let tokens = grid.0 * grid.1;
    let latent = Buffer::of::<f32>(gpu, tokens, 64, "a latent")?;
    let latent = latent.matrix::<f32>(0, tokens, 64);
    gpu.fill(latent, 0.5)?;
    let activations = decoder.activations(grid)?;
    let time = median(gpu, repeat, || decoder.decode(&activations, latent, grid, Region::whole(grid)))?;
    Ok((time, activations.bytes() as u64))
}

/// Median milliseconds by events, after a few calls that do not count.
fn median(gpu: &Gpu, repeat: usize, call: impl Fn() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(repeat);
    for index in 0..WARM + repeat.max(1) {
        let start = gpu.mark(true)?;
        call()?;
        let end = gpu.mark(true)?;
        end.synchronize().map_err(driver("measuring"))?;
        if index >= WARM {
            times.push(f64::from(start.elapsed_ms(&end).map_err(driver("measuring"))?));
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// What the card's matrix units give here and now: TFLOP/s of a large product of random numbers in bf16, and in fp8
/// where it has that.
///
/// # Errors
/// When there is no memory.
pub fn ceilings(gpu: &Arc<Gpu>) -> Result<(f64, Option<f64>)> {
    const SIDE: usize = 8192;
    let flop = 2.0 * (SIDE as f64).powi(3);
    let buffers = [(); 3].map(|()| Buffer::of::<bf16>(gpu, SIDE, SIDE, "a large product"));
    let [x, weight, out] = buffers;
    let (x, weight, out) = (x?, weight?, out?);
    let rate = |multiply: &dyn Fn() -> Result<()>| -> Result<f64> {
        const CALLS: u32 = 10;
        multiply()?;
        let start = gpu.mark(true)?;
        (0..CALLS).try_for_each(|_| multiply())?;
        let end = gpu.mark(true)?;
        end.synchronize().map_err(driver("measuring the ceiling"))?;
        let seconds = f64::from(start.elapsed_ms(&end).map_err(driver("measuring the ceiling"))?) / 1e3;
        Ok(flop * f64::from(CALLS) / seconds / 1e12)
    };
    let (wide, wide_weight) = (x.matrix::<bf16>(0, SIDE, SIDE), weight.matrix::<bf16>(0, SIDE, SIDE));
    gpu.random(wide, 1, 0.0, 1.0)?;
    gpu.random(wide_weight, 2, 0.0, 0.02)?;
    let out = out.matrix::<bf16>(0, SIDE, SIDE);
    let bf16_rate = rate(&|| gpu.product(out, wide, wide_weight, None))?;
    if !gpu.card().has_fp8() {
        return Ok((bf16_rate, None));
    }
    let (narrow, narrow_weight) = (x.matrix::<F8>(0, SIDE, SIDE), weight.matrix::<F8>(0, SIDE, SIDE));
    gpu.random_fp8(narrow, 1, 40.0)?;
    gpu.random_fp8(narrow_weight, 2, 40.0)?;
    let fp8_rate = rate(&|| gpu.product_fp8_unscaled(out, narrow, narrow_weight))?;
    Ok((bf16_rate, Some(fp8_rate)))
}
