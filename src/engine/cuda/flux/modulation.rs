//! Every adaLN modulation of a picture, computed before its first step: a table with a row for each step.
//!
//! Shift, scale and gate of each block depend on time, guidance and the pooled text, never on the image. Each row of a
//! table is computed by a product of [`CHUNK`] rows whatever the number of steps, so that a step's row has the same bits
//! in every schedule that has the step. The weights are idle afterwards: they stay on the card only where there is room,
//! and else are brought from host memory layer by layer.

mod columns;
mod kept;
mod tables;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use half::bf16;

use super::forms::Forms;
use super::linear::{Filling, Form, Input, Linear, Scratch};
use super::side::Beside;
use super::sides::Sides;
use crate::engine::budget;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::host::Span;
use crate::engine::cuda::in_place::InPlace;
use crate::engine::cuda::memory::{Buffer, Element, Layout, Matrix, aligned};
use crate::engine::cuda::streaming::{Images, Slots, image};
use crate::engine::dit::config::Config;
use crate::engine::dit::modulation::{EMBEDDING, sinusoids};

use columns::Columns;
pub use kept::Kept;
pub(super) use kept::Key;
pub use tables::{Row, Tables};

/// Rows of each product.
const CHUNK: usize = 16;

/// The layers that the tables are computed with.
#[derive(Debug)]
pub struct Modulator {
    embedders: Embedders,
    memory: Buffer,
    layers: Vec<Layer>,
    weights: Weights,
    columns: Columns,
}

/// A block's modulation, or the last layer's.
#[derive(Debug)]
struct Layer {
    name: String,
    linear: Linear,
    /// Where its bytes lie in a layout of all.
    range: Range<usize>,
    /// Columns of the table that it gives.
    columns: Vec<usize>,
}

/// Where the layers' weights are.
#[derive(Debug)]
enum Weights {
    /// All in one piece.
    Resident(Buffer),
    /// An image of each, once they have been brought.
    Streamed(OnceLock<Images>),
}

/// The names of the embedders: of time, the pooled text, guidance.
const EMBEDDERS: [&str; 3] = ["time_in", "vector_in", "guidance_in"];

/// BFL's three `MLPEmbedder`s: linear, SiLU, linear.
#[derive(Debug)]
struct Embedders {
    time: [Linear; 2],
    vector: [Linear; 2],
    guidance: Option<[Linear; 2]>,
}

impl Embedders {
    fn place(config: &Config, layout: &mut Layout) -> Self {
        // They are small, and what they give goes into everything: they stay in bf16.
        let mut embedder = |inner| {
            [(inner, config.hidden), (config.hidden, config.hidden)]
                .map(|shape| Linear::place(layout, shape, Form::Bf16))
        };
        Self {
            time: embedder(EMBEDDING),
            vector: embedder(config.vec_dim),
            guidance: config.guidance.then(|| embedder(EMBEDDING)),
        }
    }

    fn fill(&self, memory: &Buffer, from: &Filling<'_>) -> Result<()> {
        let [time, vector, guidance] = EMBEDDERS;
        let guidance = self.guidance.as_ref().map(|layers| (guidance, layers));
        let embedders = [(time, &self.time), (vector, &self.vector)];
        for (name, [in_layer, out_layer]) in embedders.into_iter().chain(guidance) {
            in_layer.fill(memory, &format!("{name}.in_layer"), from)?;
            out_layer.fill(memory, &format!("{name}.out_layer"), from)?;
        }
        Ok(())
    }
}

/// Lays out every layer.
fn place_layers(columns: &Columns, forms: &Forms<'_>) -> Vec<Layer> {
    let mut layout = Layout::default();
    let hidden = columns.hidden;
    let layers = columns.layers().into_iter().map(|(name, chunks, columns)| {
        let from = layout.bytes();
        let form = forms.of(&name, hidden);
        let linear = Linear::place(&mut layout, (hidden, chunks * hidden), form);
        Layer { name, linear, range: from..layout.bytes(), columns }
    });
    layers.collect()
}

impl Layer {
    fn bytes(&self) -> usize {
        self.range.len()
    }

    /// The layer at the begin of a slot.
    fn alone(&self) -> Linear {
        self.linear.moved(self.range.start)
    }
}

/// Where the embeddings of so many steps lie while they are made: time, two between, guidance, text, sines; and CLIP's
/// vector.
fn embedding_places(hidden: usize, vec_dim: usize, rows: usize) -> (Layout, [usize; 6], usize) {
    let mut layout = Layout::default();
    let width = hidden.max(EMBEDDING);
    let places = [rows, rows, rows, CHUNK, CHUNK, rows].map(|rows| layout.place::<bf16>(rows, width));
    let vector = layout.place::<bf16>(CHUNK, vec_dim);
    (layout, places, vector)
}

fn largest(layers: &[Layer]) -> usize {
    layers.iter().map(Layer::bytes).max().unwrap_or(0)
}

impl Modulator {
    /// Takes the memory of `time_in`, `vector_in`, `guidance_in` and, where the layers stay on the card, every block's
    /// modulation.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(gpu: &Arc<Gpu>, config: &Config, forms: &Forms<'_>, stays: bool) -> Result<Self> {
        let columns = Columns::of(config);
        let mut layout = Layout::default();
        let embedders = Embedders::place(config, &mut layout);
        let memory = Buffer::new(gpu, layout.bytes(), "the embedders")?;
        let layers = place_layers(&columns, forms);
        let bytes = layers.last().map_or(0, |layer| layer.range.end);
        let weights = if stays {
            Weights::Resident(Buffer::new(gpu, bytes, "the modulation layers")?)
        } else {
            Weights::Streamed(OnceLock::new())
        };
        Ok(Self { embedders, memory, layers, weights, columns })
    }

    /// Brings the weights: onto the card, or, where the layers do not stay, into host memory through `spare` memory of the
    /// card's, but for what lies in `files` as the card wants it. `each` is told of each layer with its bytes.
    ///
    /// # Errors
    /// When one is missing or has another shape; when there is no memory; what `each` gives.
    pub fn fill(
        &self,
        gpu: &Arc<Gpu>,
        filling: &Filling<'_>,
        files: Option<&Arc<InPlace>>,
        spare: Option<&Buffer>,
        mut each: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        self.embedders.fill(&self.memory, filling)?;
        each(self.memory.bytes())?;
        let images = match &self.weights {
            Weights::Resident(all) => {
                return self.layers.iter().try_for_each(|layer| {
                    layer.linear.fill(all, &layer.name, filling)?;
                    each(layer.bytes())
                });
            }
            Weights::Streamed(images) => images,
        };
        let wanted = largest(&self.layers);
        let own = match spare {
            Some(spare) if spare.bytes() >= wanted => None,
            _ => Some(Buffer::new(gpu, wanted, "a modulation layer")?),
        };
        let Some(memory) = own.as_ref().or(spare) else { unreachable!("it is one or the other") };
        let mut made = Images::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (alone, name) = (layer.alone(), &layer.name);
            let spans =
                files.map_or_else(|| Ok(Vec::new()), |files| alone.in_place(name, filling.origin, files))?;
            let filling = Filling { in_place: files.map(|files| &**files), ..*filling };
            let fill = |memory: &Buffer| alone.fill(memory, name, &filling);
            made.push(image(gpu, (memory, layer.bytes()), (spans, files), fill)?);
            each(layer.bytes())?;
        }
        gpu.wait()?;
        // Nobody else sets them.
        let _ = images.set(made);
        Ok(())
    }

    /// Bytes that [`Modulator::fill`] brings.
    #[must_use]
    pub fn all_bytes(&self) -> u64 {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        (layers + self.memory.bytes()) as u64
    }

    /// Whether a layer is one of its own.
    #[must_use]
    pub fn has(config: &Config, name: &str) -> bool {
        let embedder = |begin: &str| {
            name.strip_prefix(begin).is_some_and(|rest| rest == ".in_layer" || rest == ".out_layer")
        };
        EMBEDDERS.iter().any(|begin| embedder(begin))
            || Columns::of(config).layers().iter().any(|(layer, ..)| layer == name)
    }

    /// The names of the layers.
    #[cfg(test)]
    pub fn layer_names(config: &Config) -> impl Iterator<Item = String> {
        Columns::of(config).layers().into_iter().map(|(name, ..)| name)
    }

    /// Weights of the layers that lie in their file as the card wants them.
    ///
    /// # Errors
    /// When one is missing or has another shape.
    pub fn spans<'w>(config: &Config, forms: &Forms<'w>) -> Result<Vec<Span<'w>>> {
        let layers = place_layers(&Columns::of(config), forms);
        let spans = layers.iter().map(|layer| layer.alone().as_stored(&layer.name, &forms.origin));
        Ok(spans.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Whether that is all of them.
    #[must_use]
    pub fn streams_from_files(config: &Config, forms: &Forms<'_>) -> bool {
        let layers = place_layers(&Columns::of(config), forms);
        let lies = |layer: &Layer| layer.linear.as_stored(&layer.name, &forms.origin);
        layers.iter().all(|layer| lies(layer).is_ok_and(|spans| !spans.is_empty()))
    }

    /// Bytes of the layers before they are loaded.
    #[must_use]
    pub fn sizes(config: &Config, forms: &Forms<'_>) -> budget::Modulation {
        let mut layout = Layout::default();
        Embedders::place(config, &mut layout);
        let layers = place_layers(&Columns::of(config), forms);
        budget::Modulation {
            layers: layers.iter().map(|layer| layer.bytes() as u64).sum(),
            largest: largest(&layers) as u64,
            embedders: layout.bytes() as u64,
        }
    }

    /// Bytes that making the tables of so many steps takes besides.
    #[must_use]
    pub fn embedding_bytes(config: &Config, steps: usize) -> usize {
        let rows = steps.max(1).next_multiple_of(CHUNK);
        let (layout, _, _) = embedding_places(config.hidden, config.vec_dim, rows);
        layout.bytes() + aligned(rows * config.hidden * bf16::BYTES)
    }

    /// Bytes of device memory that the layers hold between pictures.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Resident(all) => all.bytes(),
            Weights::Streamed(_) => 0,
        }
    }

    /// Whether the layers are brought for each picture.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        matches!(self.weights, Weights::Streamed(_))
    }

    /// Bytes of the largest layer.
    #[must_use]
    pub fn largest(&self) -> usize {
        largest(&self.layers)
    }

    /// The tables for evaluations at the noise levels `times` (1 to 0), with what LoRAs add. `pooled` is CLIP's vector,
    /// `[1, vec_dim]`.
    ///
    /// # Errors
    /// When the shapes do not fit; when there is no memory.
    pub fn prepare(
        &self,
        gpu: &Arc<Gpu>,
        (times, guidance): (&[f32], f32),
        pooled: Matrix<'_, bf16>,
        sides: Option<&Sides>,
        scratch: &Scratch<'_>,
    ) -> Result<Tables> {
        let rows = times.len().max(1).next_multiple_of(CHUNK);
        let width = self.columns.width();
        let memory = Buffer::of::<bf16>(gpu, rows, width, "the modulation tables")?;
        // The gap behind the first single block is never written: let a table be the same whenever it is made.
        memory.fill(0)?;
        let table = memory.matrix::<bf16>(0, rows, width);
        let active = self.embed(gpu, (times, guidance), pooled, sides, scratch)?;
        let active = active.matrix::<bf16>(0, rows, self.columns.hidden);
        let run = |layer: &Layer, linear: &Linear, weights: &Buffer| {
            layer.columns.iter().try_for_each(|&at| {
                let out = table.slice_columns(at, linear.out());
                run_in_chunks(gpu, (sides, &layer.name), (linear, weights), active, out, scratch)
            })
        };
        match &self.weights {
            Weights::Resident(all) => {
                self.layers.iter().try_for_each(|layer| run(layer, &layer.linear, all))?;
            }
            Weights::Streamed(images) => {
                let missing = || CudaError::Shape("the modulation is read before it was brought".to_owned());
                let images = images.get().ok_or_else(missing)?;
                let slots = Slots::new(gpu, images.len(), 2, largest(&self.layers), false)?;
                for (index, layer) in self.layers.iter().enumerate() {
                    slots.with(images, index, |slot| run(layer, &layer.alone(), slot))?;
                }
            }
        }
        Ok(Tables { memory, rows: times.len(), columns: self.columns.clone(), unkept: None })
    }

    /// silu(time + guidance + pooled text), a row for each step, then rows of no meaning up to a whole [`CHUNK`].
    fn embed(
        &self,
        gpu: &Arc<Gpu>,
        (times, guidance): (&[f32], f32),
        pooled: Matrix<'_, bf16>,
        sides: Option<&Sides>,
        scratch: &Scratch<'_>,
    ) -> Result<Buffer> {
        let rows = times.len().max(1).next_multiple_of(CHUNK);
        let hidden = self.columns.hidden;
        let mut padded = times.to_vec();
        padded.resize(rows, 1.0);
        let (layout, [time, inner, between, strength, text, sines], vector) =
            embedding_places(hidden, self.embedders.vector[0].inner(), rows);
        let work = Buffer::new(gpu, layout.bytes(), "the embeddings of the steps")?;
        let at = |offset: usize, rows: usize| work.matrix::<bf16>(offset, rows, hidden);
        let two = |name: &str, layers: &[Linear; 2], x: Matrix<'_, bf16>, out: usize| {
            let [inner, between, out] = [inner, between, out].map(|offset| at(offset, x.rows()));
            let run = |layer: usize, which: &str, x, out| {
                let (name, layer) = (format!("{name}.{which}"), (&layers[layer], &self.memory));
                run_in_chunks(gpu, (sides, &name), layer, x, out, scratch)
            };
            run(0, "in_layer", x, inner)?;
            gpu.silu(inner, between)?;
            run(1, "out_layer", between, out)
        };
        let [time_in, vector_in, guidance_in] = EMBEDDERS;
        let narrow = |values: Vec<f32>| values.into_iter().map(bf16::from_f32).collect::<Vec<_>>();
        let embedding = work.matrix::<bf16>(sines, rows, EMBEDDING);
        gpu.upload(embedding, &narrow(sinusoids(&padded)))?;
        two(time_in, &self.embedders.time, embedding, time)?;
        if let Some(layers) = &self.embedders.guidance {
            let embedding = work.matrix::<bf16>(sines, CHUNK, EMBEDDING);
            gpu.upload(embedding, &narrow(sinusoids(&[guidance; CHUNK])))?;
            two(guidance_in, layers, embedding, strength)?;
        }
        let vector = work.matrix::<bf16>(vector, CHUNK, pooled.width());
        for row in 0..CHUNK {
            gpu.copy(vector.slice_rows(row, 1), pooled)?;
        }
        two(vector_in, &self.embedders.vector, vector, text)?;
        let out = Buffer::of::<bf16>(gpu, rows, hidden, "the embeddings of the steps")?;
        gpu.embedding_sum_silu(
            at(time, rows),
            self.embedders.guidance.is_some().then(|| at(strength, 1)),
            at(text, 1),
            out.matrix(0, rows, hidden),
        )?;
        Ok(out)
    }
}

/// A layer with what LoRAs add beside it, in products of [`CHUNK`] rows.
fn run_in_chunks(
    gpu: &Gpu,
    (sides, name): (Option<&Sides>, &str),
    (linear, weights): (&Linear, &Buffer),
    x: Matrix<'_, bf16>,
    out: Matrix<'_, bf16>,
    scratch: &Scratch<'_>,
) -> Result<()> {
    let beside = sides.and_then(|sides| sides.modulation(name));
    let bias = beside.and_then(Beside::bias).unwrap_or_else(|| linear.bias(weights));
    linear.run_in_chunks(gpu, (weights, bias), x, out, CHUNK, scratch)?;
    let Some(beside) = beside else { return Ok(()) };
    (0..x.rows()).step_by(CHUNK).try_for_each(|first| {
        let (x, out) = (x.slice_rows(first, CHUNK), out.slice_rows(first, CHUNK));
        beside.add(gpu, Input::Bf16(x), out, scratch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_do_not_overlap_and_the_first_single_block_stands_twice() {
        let columns = Columns { hidden: 10, double: 2, single: 3 };
        assert_eq!([columns.double(0), columns.double(1), columns.single(0)], [0, 120, 240]);
        // 240..270, a gap, and again at the distance of the streams: 300..330.
        assert_eq!(columns.single(0) + columns.second(), 300);
        assert_eq!([columns.single(1), columns.single(2), columns.last()], [330, 360, 390]);
        assert_eq!(columns.width(), 410);
    }
}
