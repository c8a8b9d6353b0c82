//! The decoder's layers at work. The same walk either launches kernels or only writes down, for the plan of the memory,
//! when each picture is made and when the last layer has read it.

use std::cell::Cell;

use half::bf16;

use super::super::error::Result;
use super::super::gpu::Gpu;
use super::super::memory::{Buffer, Element, Matrix};
use super::conv::ConvShape;
use super::ops::{SharedSums, norm_scratch};
use super::plan::{Log, Plan};
use super::strips::{HEAD, RUNS};
use super::structure::{AttnBlock, Conv3, Level, Linear, Norm, ResnetBlock, Structure};

/// Bytes of the scores, in fp32, and of the shares made of them that are held at once: enough rows to fill a card with the product by the values, and still about
/// what an L2 cache keeps between the product, softmax and the next product.
const SCORES: usize = 64 << 20;
/// Queries of a chunk are a multiple of this, or all that there are.
const QUERIES: usize = 128;

/// `[height · width, channels]` of bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    number: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Picture {
    pub fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// Called before each layer that takes long: who may end the walk there.
#[derive(Clone, Copy)]
pub struct Before<'a>(pub &'a dyn Fn() -> Result<()>);

impl Before<'_> {
    /// Nobody.
    pub const NOTHING: Before<'static> = Before(&|| Ok(()));
}

impl std::fmt::Debug for Before<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Before")
    }
}

/// What launches need.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    pub gpu: &'a Gpu,
    pub weights: &'a Buffer,
    pub memory: &'a Buffer,
    /// Of the memory.
    pub plan: &'a Plan,
    /// By the kernels for every card although this one has better ones.
    pub portable: bool,
    /// Who may end the walk.
    pub before: Before<'a>,
}

impl<'a> Run<'a> {
    pub fn of(&self, picture: Picture) -> Matrix<'a, bf16> {
        self.memory.matrix(self.plan.place(picture.number), picture.pixels(), picture.channels)
    }

    fn conv(&self, conv: &Conv3) -> (Matrix<'a, bf16>, Matrix<'a, f32>) {
        let phases = if conv.doubled { 4 } else { 1 };
        let weight = self.weights.matrix(conv.weight, phases * conv.out, conv.taps() / phases * conv.inner);
        (weight, self.weights.matrix(conv.bias, 1, conv.out))
    }

    fn linear(&self, out: Matrix<'_, bf16>, x: Matrix<'_, bf16>, linear: &Linear) -> Result<()> {
        let weight = self.weights.matrix(linear.weight, linear.out, linear.inner);
        self.gpu.product(out, x, weight, Some(self.weights.matrix(linear.bias, 1, linear.out)))
    }
}

/// A walk through the decoder.
#[derive(Debug)]
pub struct Stage<'a> {
    log: Log,
    /// None where only memory is counted.
    run: Option<Run<'a>>,
    /// Number and floats of what the norms need between their launches.
    scratch: (usize, usize),
    /// Where this is one strip of a picture.
    shared: Option<Shared<'a>>,
    /// Norms so far.
    norms: Cell<usize>,
}

/// The norms' sums of all strips of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// `[norms · strips · RUNS, SUMS]`
    pub sums: Matrix<'a, f32>,
    /// How many strips.
    pub strips: usize,
    /// Which one this is.
    pub strip: usize,
    /// In tokens: rows of what is decoded, first and number of the strip's own, rows of the picture.
    pub rows: (usize, (usize, usize), usize),
    /// Whether this strip's own sums are all there are.
    pub alone: bool,
}

impl<'a> Stage<'a> {
    pub fn new(structure: &Structure, run: Option<Run<'a>>) -> Self {
        let mut log = Log::default();
        let floats = norm_scratch(widest(structure));
        let scratch = (log.take(floats * f32::BYTES), floats);
        Self { log, run, scratch, shared: None, norms: Cell::new(0) }
    }

    /// Takes the norms' sums over all strips of a picture.
    pub fn share(&mut self, shared: Shared<'a>) {
        self.shared = Some(shared);
    }

    /// What the walk so far has made.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Room for a picture.
    pub fn take(&mut self, height: usize, width: usize, channels: usize) -> Picture {
        let number = self.log.take(height * width * channels * bf16::BYTES);
        Picture { number, height, width, channels }
    }

    /// Gives a picture's room back.
    pub fn give(&mut self, picture: Picture) {
        self.log.give(picture.number);
    }

    /// A convolution into a new picture.
    pub fn conv(&mut self, conv: &Conv3, x: Picture) -> Result<Picture> {
        let f = if conv.doubled { 2 } else { 1 };
        let out = self.take(f * x.height, f * x.width, conv.out);
        self.convolve(conv, x, None, out)?;
        Ok(out)
    }

    fn convolve(&self, conv: &Conv3, x: Picture, residual: Option<Picture>, out: Picture) -> Result<()> {
        let Some(run) = self.run else { return Ok(()) };
        (run.before.0)()?;
        let Picture { height, width, .. } = x;
        let shape = ConvShape { height, width, inner: conv.inner, out: conv.out, doubled: conv.doubled };
        let residual = residual.map(|picture| run.of(picture));
        run.gpu.conv3x3(shape, run.of(x), run.conv(conv), residual, run.of(out), run.portable)
    }

    /// The last layer, in fp32.
    pub fn conv_narrow(&self, conv: &Conv3, x: Picture, out: usize) -> Result<()> {
        let Some(run) = self.run else { return Ok(()) };
        let Picture { height, width, .. } = x;
        let shape = ConvShape { height, width, inner: conv.inner, out: conv.out, doubled: false };
        let out = run.memory.matrix(out, x.pixels(), conv.out);
        run.gpu.conv3x3_narrow(shape, run.of(x), run.conv(conv), out)
    }

    /// A group norm into `out`, which may be `x`.
    pub fn norm(&self, norm: &Norm, silu: bool, x: Picture, out: Picture) -> Result<()> {
        let Some(run) = self.run else { return Ok(()) };
        let row = |at| run.weights.matrix(at, 1, norm.channels);
        let scratch = run.memory.matrix::<f32>(run.plan.place(self.scratch.0), 1, self.scratch.1);
        let scratch = scratch.slice_columns(0, norm_scratch(norm.channels));
        let affine = (row(norm.weight), row(norm.bias));
        let number = self.norms.replace(self.norms.get() + 1);
        let Some(Shared { sums, strips, strip, rows: (rows, own, whole), alone }) = self.shared else {
            return run.gpu.group_norm(run.of(x), affine, silu, scratch, run.of(out));
        };
        // Pixels of a row of tokens.
        let pixels = x.height / rows * x.width;
        let shared = SharedSums {
            all: sums.slice_rows(number * strips * RUNS, strips * RUNS),
            strip,
            own: (own.0 * pixels, own.1 * pixels),
            whole: whole * pixels,
            alone,
        };
        run.gpu.group_norm_shared(run.of(x), affine, silu, (shared, scratch), run.of(out))
    }

    /// BFL's `ResnetBlock`; x is given back.
    pub fn resnet(&mut self, block: &ResnetBlock, x: Picture) -> Result<Picture> {
        let Picture { height, width, .. } = x;
        // Where the channels change, the residual is another picture, and x itself is free for the norm.
        let (residual, normed) = match &block.shortcut {
            Some(shortcut) => {
                let residual = self.take(height, width, shortcut.out);
                if let Some(run) = self.run {
                    run.linear(run.of(residual), run.of(x), shortcut)?;
                }
                (residual, x)
            }
            None => (x, self.take(height, width, x.channels)),
        };
        self.norm(&block.norm1, true, x, normed)?;
        let inner = self.conv(&block.conv1, normed)?;
        self.give(normed);
        self.norm(&block.norm2, true, inner, inner)?;
        self.convolve(&block.conv2, inner, Some(residual), residual)?;
        self.give(inner);
        Ok(residual)
    }

    /// BFL's `AttnBlock`, onto x: one head over all pixels, so many queries at a time that their scores stay in the
    /// cache.
    pub fn attention(&mut self, block: &AttnBlock, x: Picture) -> Result<()> {
        let (pixels, channels) = (x.pixels(), x.channels);
        let normed = self.take(x.height, x.width, channels);
        self.norm(&block.norm, false, x, normed)?;
        let qkv = self.take(x.height, x.width, 3 * channels);
        // cublasLt wants rows on 16 bytes.
        let (rows, stride) = (queries(pixels), pixels.next_multiple_of(8));
        let scores = self.take(1, rows, 2 * stride);
        let shares = self.take(1, rows, stride);
        if let Some(run) = self.run {
            let gpu = run.gpu;
            run.linear(run.of(qkv), run.of(normed), &block.qkv)?;
            let part = |index| run.of(qkv).slice_columns(index * channels, channels);
            let (q, k, v) = (part(0), part(1), part(2));
            let attended = run.of(normed);
            for first in (0..pixels).step_by(rows) {
                (run.before.0)()?;
                let count = rows.min(pixels - first);
                let scores = run.of(scores).as_f32().slice_rows(0, count).slice_columns(0, pixels);
                let shares = run.of(shares).slice_rows(0, count).slice_columns(0, pixels);
                gpu.product_f32(scores, q.slice_rows(first, count), k)?;
                gpu.softmax_rows(scores, 1.0 / (channels as f32).sqrt(), shares)?;
                gpu.product_plain(attended.slice_rows(first, count), shares, v)?;
            }
            let projected =
                run.of(qkv).as_row().slice_columns(0, pixels * channels).reshape(pixels, channels);
            run.linear(projected, attended, &block.proj_out)?;
            gpu.add(run.of(x), projected)?;
        }
        self.give(shares);
        self.give(scores);
        self.give(qkv);
        self.give(normed);
        Ok(())
    }
}

/// Queries whose scores against so many keys are held at once.
fn queries(pixels: usize) -> usize {
    let fit = SCORES / (pixels * (f32::BYTES + bf16::BYTES)) / QUERIES * QUERIES;
    fit.max(QUERIES).min(pixels)
}

fn widest(structure: &Structure) -> usize {
    let blocks = structure.levels.iter().flat_map(|level| &level.blocks);
    blocks
        .map(|block| block.norm1.channels.max(block.norm2.channels))
        .max()
        .unwrap_or(0)
        .max(structure.conv_in.out)
}

/// All layers between the latent and the picture: `latent` is given back, the picture is written as fp32 at byte
/// `picture`.
///
/// # Errors
/// What a launch gives.
pub fn walk(structure: &Structure, stage: &mut Stage<'_>, latent: Picture, picture: usize) -> Result<()> {
    let x = head(structure, stage, latent)?;
    tail(structure, stage, x, picture)
}

/// The layers of low resolution; `latent` is given back.
///
/// # Errors
/// What a launch gives.
pub fn head(structure: &Structure, stage: &mut Stage<'_>, latent: Picture) -> Result<Picture> {
    let mut x = stage.conv(&structure.conv_in, latent)?;
    stage.give(latent);
    x = stage.resnet(&structure.mid.0, x)?;
    stage.attention(&structure.mid.1, x)?;
    x = stage.resnet(&structure.mid.2, x)?;
    structure.levels.iter().take(HEAD).try_fold(x, |x, one| level(one, stage, x))
}

fn level(level: &Level, stage: &mut Stage<'_>, mut x: Picture) -> Result<Picture> {
    for block in &level.blocks {
        x = stage.resnet(block, x)?;
    }
    if let Some(upsample) = &level.upsample {
        let doubled = stage.conv(upsample, x)?;
        stage.give(x);
        x = doubled;
    }
    Ok(x)
}

/// The rest; `x` is given back.
///
/// # Errors
/// What a launch gives.
pub fn tail(structure: &Structure, stage: &mut Stage<'_>, x: Picture, picture: usize) -> Result<()> {
    let x = structure.levels.iter().skip(HEAD).try_fold(x, |x, one| level(one, stage, x))?;
    stage.norm(&structure.norm_out, true, x, x)?;
    stage.conv_narrow(&structure.conv_out, x, picture)?;
    stage.give(x);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_fit_the_cache_and_are_never_none() {
        assert_eq!(queries(64), 64);
        assert_eq!(queries(4096), 2688);
        assert_eq!(queries(128 * 128), 640);
        assert_eq!(queries(256 * 256), 128);
        assert_eq!(queries(1000 * 1000), 128);
    }
}
