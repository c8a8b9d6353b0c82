//! What the planner is told about a model on a card: sizes out of the layouts, the rate of copies by trying.

use std::sync::Arc;

use super::error::{Result, driver};
use super::flux::Flux;
use super::flux::linear::SCRATCH;
use super::flux::modulation::Modulator;
use super::flux::origin::Origin;
use super::flux::precision::Precision;
use super::flux::workspace::Workspace;
use super::gpu::Gpu;
use super::host::Image;
use super::memory::Buffer;
use super::product::WORKSPACE;
use crate::engine::Planned;
use crate::engine::budget::{Encoder, Sizes, Speed, Tile};
use crate::engine::dit::config::Config;

/// What a context, loaded kernels and cublasLt's take beside our own memory, where it was not measured.
pub const CONTEXT: u64 = 640 << 20;
/// Bytes a second from a disk that nobody has measured: an NVMe one of the slower kind.
const DISK: f64 = 2e9;
/// Small pieces of memory that no layout counts: results on their way, pages begun and not filled.
const SLACK: u64 = 16 << 20;

/// A model before it is loaded.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    /// The transformer's size.
    pub config: &'a Config,
    /// How its blocks are kept.
    pub precision: Precision,
    /// Where its weights come from: quantised ones have sizes of their own.
    pub origin: Origin<'a>,
    /// Tokens of text.
    pub text: usize,
    /// T5.
    pub t5: Encoder,
    /// CLIP.
    pub clip: Encoder,
    /// Bytes of the VAE's weights.
    pub vae: u64,
}

impl Model<'_> {
    /// What it and such pictures take; `tiles` are the ways to decode them, `context` is what this process holds besides
    /// its own memory.
    #[must_use]
    pub fn sizes(&self, picture: Planned, tiles: Vec<Tile>, context: u64) -> Sizes {
        let Planned { size, steps, loras } = picture;
        let (config, image) = (self.config, size.image_tokens());
        let (ends, modulation, [double, single]) = Flux::sizes(config, self.precision, &self.origin);
        let count = steps as usize;
        let prompt = self.text * config.context_dim * 2;
        Sizes {
            outside: context + SCRATCH as u64 + WORKSPACE as u64 + SLACK,
            ends,
            // Rows are rounded up to what products want.
            loras: loras + loras / 20,
            modulation,
            double,
            single,
            t5: self.t5,
            clip: self.clip,
            vae: self.vae,
            tiles,
            conditions: (Flux::condition_bytes(config, self.text, image, count) + prompt) as u64,
            embeddings: Modulator::embedding_bytes(config, count) as u64,
            in_files: Flux::streams_from_files(config, self.precision, &self.origin),
            workspace: Workspace::bytes_for(config, self.precision, self.text, image) as u64,
            latent: (image * config.in_channels * 4) as u64,
            steps,
        }
    }
}

/// How fast this card and its host are, by copying; `step` is passed on.
///
/// # Errors
/// When there is no memory for the trial.
pub fn speed(gpu: &Arc<Gpu>, step: Option<f64>) -> Result<Speed> {
    let (pinned, mapped) = try_copies(gpu)?;
    Ok(Speed { step, ..copying(pinned, mapped) })
}

/// Of these bytes a second from pinned and from ordinary memory; nothing is known of steps.
#[must_use]
pub fn copying(pinned: f64, mapped: f64) -> Speed {
    let mapped = mapped.min(pinned);
    Speed { pinned, mapped, disk: DISK.min(mapped), step: None, decode: None }
}

/// Bytes a second from pinned memory and from ordinary memory by all threads, tried.
///
/// # Errors
/// When there is no memory for the trial.
pub fn try_copies(gpu: &Arc<Gpu>) -> Result<(f64, f64)> {
    const BYTES: usize = 64 << 20;
    const COPIES: u32 = 4;
    let buffer = Buffer::new(gpu, BYTES, "a trial of copies")?;
    buffer.fill(0)?;
    let image = Image::new(gpu, buffer.matrix(0, 1, BYTES), Vec::new(), None)?;
    let rate = |copy: &dyn Fn() -> Result<()>| -> Result<f64> {
        let mut seconds = f64::INFINITY;
        for _ in 0..2 {
            let start = gpu.mark(true)?;
            for _ in 0..COPIES {
                copy()?;
            }
            let end = gpu.mark(true)?;
            gpu.wait()?;
            seconds = seconds.min(f64::from(start.elapsed_ms(&end).map_err(driver("timing copies"))?) / 1e3);
        }
        Ok(f64::from(COPIES) * BYTES as f64 / seconds)
    };
    // SAFETY: the image lives until the stream has been waited for.
    let pinned = rate(&|| unsafe { image.bring(gpu, buffer.matrix(0, 1, BYTES), gpu.stream()) })?;
    let ordinary = vec![1; BYTES];
    let mapped = rate(&|| gpu.upload_bytes(buffer.matrix(0, 1, BYTES), &ordinary))?;
    Ok((pinned, mapped))
}
