//! The VAE's decoder on a card: tokens in, 8-bit RGB out, bf16 with channels last in between.
//!
//! The same function as [`crate::engine::vae`], in the same names: `structure` says what the layers are and where their
//! weights lie, `plan` where the pictures between them lie, `stage` runs them, `strips` part by part where
//! there is no room for all, `conv` and `ops` have a safe function for each kernel.
//! Decoding asks for launches only: nothing is waited for but the first product of a shape, which times its algorithms.
//!
//! What 1024² costs with FLUX.1's widths: 10.5 TFLOP as written, 8.9 as done (a doubled picture's 3×3 convolution is
//! four 2×2 ones, `kernels/conv.cuh`); measured in `benches/PERFORMANCE.md`.

mod conv;
mod ops;
mod plan;
mod stage;
mod strips;
mod structure;

use std::sync::Arc;

use half::bf16;

use super::error::{CudaError, Result};
use super::flux::origin::seed_of;
use super::gpu::Gpu;
use super::memory::{Buffer, Layout, Matrix};
use crate::engine::latent;
use crate::engine::vae::decoder::Scaling;
use crate::engine::weights::Weights;
use plan::Plan;
pub use stage::Before;
use stage::{Picture, Stage, walk};
use structure::{Conv3, Layer, Linear, Norm, Structure};
pub use structure::{LevelWidths, Widths};

/// A decoder with its weights on a card.
#[derive(Debug)]
pub struct Decoder {
    gpu: Arc<Gpu>,
    structure: Structure,
    scaling: Scaling,
    weights: Buffer,
    portable: bool,
    passes: usize,
}

/// A part of a picture, in tokens: 16×16 pixels each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First row.
    pub row: usize,
    /// First column.
    pub column: usize,
    /// How many rows.
    pub rows: usize,
    /// How many columns.
    pub columns: usize,
}

impl Region {
    /// All of a picture of so many rows and columns of tokens.
    #[must_use]
    pub fn whole((rows, columns): (usize, usize)) -> Self {
        Self { row: 0, column: 0, rows, columns }
    }
}

/// Memory to decode regions of one size in, and what the last one gave.
#[derive(Debug)]
pub struct Activations {
    memory: Buffer,
    rows: usize,
    columns: usize,
    places: Places,
    plan: Plan,
}

/// What stays, at the begin of the memory; the pictures between the layers lie behind.
#[derive(Debug, Clone, Copy)]
struct Places {
    not_finite: usize,
    rgb: usize,
    picture: usize,
    pixels: usize,
    end: usize,
}

impl Places {
    fn new(structure: &Structure, rows: usize, columns: usize) -> Self {
        let side = 2 * structure.magnification();
        let pixels = rows * columns * side * side;
        let mut layout = Layout::default();
        Self {
            not_finite: layout.place::<u32>(1, 1),
            rgb: layout.place::<u8>(pixels, 3),
            picture: layout.place::<f32>(pixels, 3),
            pixels,
            end: layout.bytes(),
        }
    }
}

impl Activations {
    /// 8-bit RGB, `[pixels, 3]`, rows from the top.
    #[must_use]
    pub fn rgb(&self) -> Matrix<'_, u8> {
        self.memory.matrix(self.places.rgb, self.places.pixels, 3)
    }

    /// The same before it was rounded, -1 to 1.
    #[must_use]
    pub fn picture(&self) -> Matrix<'_, f32> {
        self.memory.matrix(self.places.picture, self.places.pixels, 3)
    }

    /// `[1, 1]`: 1 where anything in the picture was not finite, else 0.
    #[must_use]
    pub fn not_finite(&self) -> Matrix<'_, u32> {
        self.memory.matrix(self.places.not_finite, 1, 1)
    }

    /// Bytes of device memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Whether they are laid out for so many rows and columns of tokens.
    #[must_use]
    pub fn fit(&self, (rows, columns): (usize, usize)) -> bool {
        (self.rows, self.columns) == (rows, columns)
    }
}

/// Where weights come from.
enum Origin<'w> {
    File(&'w Weights),
    /// Normal values, of a deviation that keeps activations of unit size.
    Random(u64),
}

impl Decoder {
    /// Brings `decoder.*` onto the card.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape; when there is no memory.
    pub fn load(gpu: &Arc<Gpu>, weights: &Weights, scaling: Scaling) -> Result<Self> {
        Self::make(gpu, &Widths::read(weights)?, scaling, &Origin::File(weights))
    }

    /// FLUX.1's decoder with random weights: to be measured without any file.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn random(gpu: &Arc<Gpu>, seed: u64) -> Result<Self> {
        let scaling = Scaling { scale: 0.3611, shift: 0.1159 };
        Self::make(gpu, &Widths::flux(), scaling, &Origin::Random(seed))
    }

    fn make(gpu: &Arc<Gpu>, widths: &Widths, scaling: Scaling, origin: &Origin<'_>) -> Result<Self> {
        let structure = Structure::new(widths)?;
        let weights = Buffer::new(gpu, structure.bytes, "the VAE's decoder")?;
        // The weights of a convolution as they come from the file, before they are packed.
        let most = structure.layers.iter().map(|(_, layer)| match layer {
            Layer::Conv3(conv) => 9 * conv.inner * conv.out,
            _ => 0,
        });
        let scratch = Buffer::of::<f32>(gpu, 1, most.max().unwrap_or(0), "a weight of the VAE")?;
        for (name, layer) in &structure.layers {
            match layer {
                Layer::Conv3(conv) => fill_conv(gpu, &weights, &scratch, name, conv, origin)?,
                Layer::Linear(linear) => fill_linear(gpu, &weights, name, linear, origin)?,
                Layer::Norm(norm) => fill_norm(gpu, &weights, name, norm, origin)?,
            }
        }
        gpu.wait()?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            structure,
            scaling,
            weights,
            portable: false,
            passes: strips::PASSES,
        })
    }

    /// Bytes of weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// Whether convolutions run by the kernels for every card although this one has better ones: for tests.
    pub fn use_portable_kernels(&mut self, portable: bool) {
        self.portable = portable;
    }

    /// How often strips are gone through, to see what it costs and gives.
    pub fn use_passes(&mut self, passes: usize) {
        self.passes = passes.max(1);
    }

    /// Bytes that [`Decoder::activations`] takes for so many rows and columns of tokens.
    #[must_use]
    pub fn activation_bytes(&self, (rows, columns): (usize, usize)) -> usize {
        plan_for(&self.structure, rows, columns).bytes
    }

    /// Memory to decode pictures, or regions, of so many rows and columns of tokens in.
    ///
    /// # Errors
    /// When there is not enough.
    pub fn activations(&self, (rows, columns): (usize, usize)) -> Result<Activations> {
        let plan = plan_for(&self.structure, rows, columns);
        let memory = Buffer::new(&self.gpu, plan.bytes, "the VAE's pictures")?;
        Ok(Activations { memory, rows, columns, places: Places::new(&self.structure, rows, columns), plan })
    }

    /// 8-bit RGB of a whole picture, at once or by one of [`Decoder::tiles`]; `None` where anything in it was not finite.
    ///
    /// # Errors
    /// When the shapes do not fit; when there is no memory; what `before` gives.
    pub fn picture(
        &self,
        tokens: Matrix<'_, f32>,
        grid: (usize, usize),
        tile: (usize, usize),
        before: Before<'_>,
    ) -> Result<Option<Vec<u8>>> {
        if tile != grid {
            return self.in_strips(tokens, grid, tile.0, before);
        }
        let activations = self.activations(grid)?;
        self.decode_watched(&activations, tokens, (grid, Region::whole(grid)), before)?;
        let rgb = self.gpu.download(activations.rgb())?;
        let not_finite = self.gpu.download(activations.not_finite())?;
        Ok((not_finite == [0]).then_some(rgb))
    }

    /// Decodes a region of a picture into `activations`: `tokens` are the whole picture's, `[rows · columns, 64]` of
    /// `grid`. Returns when the launches are asked for.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn decode(
        &self,
        activations: &Activations,
        tokens: Matrix<'_, f32>,
        grid: (usize, usize),
        region: Region,
    ) -> Result<()> {
        self.decode_watched(activations, tokens, (grid, region), Before::NOTHING)
    }

    fn decode_watched(
        &self,
        activations: &Activations,
        tokens: Matrix<'_, f32>,
        (grid, region): ((usize, usize), Region),
        before: Before<'_>,
    ) -> Result<()> {
        let Region { row, column, rows, columns } = region;
        if !activations.fit((rows, columns)) || rows * columns == 0 {
            return Err(CudaError::Shape(format!(
                "memory laid out for {}×{} tokens cannot decode {rows}×{columns}",
                activations.rows, activations.columns
            )));
        }
        let places = activations.places;
        let run = self.run(&activations.memory, &activations.plan, before);
        // The bits of 0.0 are those of 0.
        self.gpu.fill(activations.memory.matrix::<f32>(places.not_finite, 1, 1), 0.0)?;
        let mut stage = Stage::new(&self.structure, Some(run));
        let latent = take_latent(&mut stage, rows, columns);
        let corner = (2 * row, 2 * column);
        let size = (2 * rows, 2 * columns);
        self.gpu.latent_to_vae(tokens, grid, (corner, size), self.factors(), run.of(latent))?;
        walk(&self.structure, &mut stage, latent, places.picture)?;
        self.gpu.to_rgb8(activations.picture(), activations.rgb(), activations.not_finite())
    }
}

impl Decoder {
    /// What latents are multiplied by, and what is added.
    fn factors(&self) -> (f32, f32) {
        ((1.0 / self.scaling.scale) as f32, self.scaling.shift as f32)
    }
}

fn take_latent(stage: &mut Stage<'_>, rows: usize, columns: usize) -> Picture {
    stage.take(2 * rows, 2 * columns, latent::CHANNELS)
}

/// The memory of a region of so many rows and columns of tokens.
fn plan_for(structure: &Structure, rows: usize, columns: usize) -> Plan {
    let places = Places::new(structure, rows, columns);
    let mut stage = Stage::new(structure, None);
    let latent = take_latent(&mut stage, rows, columns);
    walk(structure, &mut stage, latent, places.picture).expect("without a card, nothing is launched");
    stage.log().plan(places.end)
}

fn fill_conv(
    gpu: &Gpu,
    memory: &Buffer,
    scratch: &Buffer,
    name: &str,
    conv: &Conv3,
    origin: &Origin<'_>,
) -> Result<()> {
    let Conv3 { inner, out, doubled, .. } = *conv;
    let (rows, width) = if doubled { (4 * out, 4 * inner) } else { (out, 9 * inner) };
    let packed = memory.matrix::<bf16>(conv.weight, rows, width);
    let bias = memory.matrix::<f32>(conv.bias, 1, out);
    match origin {
        Origin::File(weights) => {
            let name = |part| format!("{name}.{part}");
            let raw = scratch.matrix::<f32>(0, out, 9 * inner);
            gpu.load_f32(raw, weights, &name("weight"), &[out, inner, 3, 3])?;
            gpu.pack_conv(raw, packed, (inner, out), doubled)?;
            gpu.load_f32(bias, weights, &name("bias"), &[out])
        }
        Origin::Random(seed) => {
            let deviation = 1.0 / (width as f32).sqrt();
            gpu.random(packed, seed_of(*seed, name), 0.0, deviation)?;
            gpu.fill(bias, 0.0)
        }
    }
}

fn fill_linear(gpu: &Gpu, memory: &Buffer, name: &str, linear: &Linear, origin: &Origin<'_>) -> Result<()> {
    let Linear { inner, out, .. } = *linear;
    let weight = memory.matrix::<bf16>(linear.weight, out, inner);
    let bias = memory.matrix::<bf16>(linear.bias, 1, out);
    match origin {
        Origin::File(weights) => {
            gpu.load(weight, weights, &format!("{name}.weight"), &[out, inner, 1, 1])?;
            gpu.load(bias, weights, &format!("{name}.bias"), &[out])
        }
        Origin::Random(seed) => {
            gpu.random(weight, seed_of(*seed, name), 0.0, 1.0 / (inner as f32).sqrt())?;
            gpu.random(bias, seed_of(*seed, name), 0.0, 0.0)
        }
    }
}

fn fill_norm(gpu: &Gpu, memory: &Buffer, name: &str, norm: &Norm, origin: &Origin<'_>) -> Result<()> {
    for (at, part, random) in [(norm.weight, "weight", 1.0), (norm.bias, "bias", 0.0)] {
        let to = memory.matrix::<f32>(at, 1, norm.channels);
        match origin {
            Origin::File(weights) => {
                gpu.load_f32(to, weights, &format!("{name}.{part}"), &[norm.channels])?;
            }
            Origin::Random(_) => gpu.fill(to, random)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a picture of a million pixels and one channel in bf16.
    const MEGAPIXEL: usize = 2 << 20;

    fn megabytes(rows: usize, columns: usize) -> Result<usize> {
        Ok(plan_for(&Structure::new(&Widths::flux())?, rows, columns).bytes >> 20)
    }

    #[test]
    fn memory_follows_the_largest_layer() -> Result<()> {
        let structure = Structure::new(&Widths::flux())?;
        let bytes = plan_for(&structure, 64, 64).bytes;
        // The first block at full size: its input of 256 channels, the shortcut and the convolution of 128 each; beside
        // them the picture in bytes and in fp32 and the norms' sums.
        let floor = MEGAPIXEL * (256 + 128 + 128) + 15 * (1 << 20);
        assert!(bytes >= floor && bytes < floor + (1 << 20), "{bytes} bytes, at least {floor}");
        assert!(megabytes(32, 32)? * 4 < (bytes >> 20) + 64);
        assert!(megabytes(1, 1)? < 4);
        Ok(())
    }

    #[test]
    fn results_do_not_lie_over_one_another() -> Result<()> {
        let structure = Structure::new(&Widths::flux())?;
        let places = Places::new(&structure, 3, 5);
        assert_eq!(places.pixels, 48 * 80);
        assert!(places.rgb >= 4 && places.picture >= places.rgb + 3 * places.pixels);
        Ok(())
    }
}
