//! Every adaLN modulation of a picture, computed before its first step: a table with a row for each step.
//!
//! Shift, scale and gate of each block depend on time, guidance and the pooled text, never on the image. Each row of a
//! table is computed by a product of [`CHUNK`] rows whatever the number of steps, so that a step's row has the same bits
//! in every schedule that has the step. The weights are idle afterwards: they lie in memory of their own.

use std::sync::Arc;

use half::bf16;

use super::linear::{Form, Linear, Scratch};
use super::origin::Origin;
use crate::engine::cuda::error::Result;
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Buffer, Element, Layout, Matrix};
use crate::engine::cuda::ops::Modulation;
use crate::engine::dit::config::Config;
use crate::engine::dit::modulation::{EMBEDDING, sinusoids};

/// Rows of each product.
const CHUNK: usize = 16;

/// The layers that the tables are computed with.
#[derive(Debug)]
pub struct Modulator {
    memory: Buffer,
    embedders: Embedders,
    double: Vec<[Linear; 2]>,
    single: Vec<Linear>,
    last: Linear,
    columns: Columns,
}

/// BFL's three `MLPEmbedder`s: linear, SiLU, linear.
#[derive(Debug)]
struct Embedders {
    time: [Linear; 2],
    vector: [Linear; 2],
    guidance: Option<[Linear; 2]>,
}

/// Where in a row of the table each block's modulations are.
///
/// A kernel that joins a branch and then norms for the next block uses the branch's gate and the next block's shift and
/// scale, with one distance between the two streams' modulations for both. In double blocks that is the image's behind
/// the text's; so the first single block, whose kernel also joins the last double block's MLP, has its modulation
/// twice, at the same distance.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Columns {
    hidden: usize,
    double: usize,
    single: usize,
}

impl Columns {
    fn of(config: &Config) -> Self {
        Self { hidden: config.hidden, double: config.double_blocks, single: config.single_blocks }
    }

    /// From the text's modulation to the image's.
    fn second(&self) -> usize {
        6 * self.hidden
    }

    fn double(&self, block: usize) -> usize {
        12 * self.hidden * block
    }

    fn single(&self, block: usize) -> usize {
        // The first has its own 3, a gap of 3, and its own again.
        let first = 12 * self.hidden * self.double;
        if block == 0 { first } else { first + (9 + 3 * (block - 1)) * self.hidden }
    }

    fn last(&self) -> usize {
        self.single(self.single.max(1))
    }

    fn width(&self) -> usize {
        self.last() + 2 * self.hidden
    }
}

/// The tables of one picture.
#[derive(Debug)]
pub struct Tables {
    memory: Buffer,
    rows: usize,
    columns: Columns,
}

impl Modulator {
    /// Brings `time_in`, `vector_in`, `guidance_in` and every block's modulation onto the card.
    ///
    /// # Errors
    /// When one is missing or has another shape; when there is no memory.
    pub fn load(
        gpu: &Arc<Gpu>,
        config: &Config,
        form: Form,
        origin: &Origin<'_>,
        scratch: &Scratch<'_>,
    ) -> Result<Self> {
        let hidden = config.hidden;
        let mut layout = Layout::default();
        // The embedders are small, and what they give goes into everything: they stay in bf16.
        let mut embedder = |inner| {
            [(inner, hidden), (hidden, hidden)].map(|shape| Linear::place(&mut layout, shape, Form::Bf16))
        };
        let embedders = Embedders {
            time: embedder(EMBEDDING),
            vector: embedder(config.vec_dim),
            guidance: config.guidance.then(|| embedder(EMBEDDING)),
        };
        let mut linear = |chunks: usize| Linear::place(&mut layout, (hidden, chunks * hidden), form);
        let double: Vec<_> = (0..config.double_blocks).map(|_| [linear(6), linear(6)]).collect();
        let single: Vec<_> = (0..config.single_blocks).map(|_| linear(3)).collect();
        let last = linear(2);
        let memory = Buffer::new(gpu, layout.bytes(), "the modulation layers")?;
        let modulator = Self { memory, embedders, double, single, last, columns: Columns::of(config) };
        for (linear, name) in modulator.named() {
            linear.fill(gpu, &modulator.memory, origin, &name, scratch)?;
        }
        Ok(modulator)
    }

    fn named(&self) -> Vec<(&Linear, String)> {
        let mut all = Vec::new();
        let guidance = self.embedders.guidance.as_ref().map(|layers| ("guidance_in", layers));
        let embedders = [("time_in", &self.embedders.time), ("vector_in", &self.embedders.vector)];
        for (name, [in_layer, out_layer]) in embedders.into_iter().chain(guidance) {
            all.push((in_layer, format!("{name}.in_layer")));
            all.push((out_layer, format!("{name}.out_layer")));
        }
        for (index, [txt, img]) in self.double.iter().enumerate() {
            all.push((txt, format!("double_blocks.{index}.txt_mod.lin")));
            all.push((img, format!("double_blocks.{index}.img_mod.lin")));
        }
        for (index, linear) in self.single.iter().enumerate() {
            all.push((linear, format!("single_blocks.{index}.modulation.lin")));
        }
        all.push((&self.last, "final_layer.adaLN_modulation.1".to_owned()));
        all
    }

    /// Bytes of device memory that the layers take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// The tables for evaluations at the noise levels `times` (1 to 0). `pooled` is CLIP's vector, `[1, vec_dim]`.
    ///
    /// # Errors
    /// When the shapes do not fit; when there is no memory.
    pub fn prepare(
        &self,
        gpu: &Arc<Gpu>,
        times: &[f32],
        guidance: f32,
        pooled: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<Tables> {
        let rows = times.len().max(1).next_multiple_of(CHUNK);
        let width = self.columns.width();
        let memory = Buffer::of::<bf16>(gpu, rows, width, "the modulation tables")?;
        // The gap behind the first single block is never written: let a table be the same whenever it is made.
        memory.fill(0)?;
        let table = memory.matrix::<bf16>(0, rows, width);
        let active = self.embed(gpu, times, guidance, pooled, scratch)?;
        let active = active.matrix::<bf16>(0, rows, self.columns.hidden);
        let run = |linear: &Linear, at: usize| {
            let out = table.slice_columns(at, linear.out());
            linear.run_in_chunks(gpu, &self.memory, active, out, CHUNK, scratch)
        };
        for (index, [txt, img]) in self.double.iter().enumerate() {
            run(txt, self.columns.double(index))?;
            run(img, self.columns.double(index) + self.columns.second())?;
        }
        for (index, linear) in self.single.iter().enumerate() {
            run(linear, self.columns.single(index))?;
            if index == 0 {
                run(linear, self.columns.single(0) + self.columns.second())?;
            }
        }
        run(&self.last, self.columns.last())?;
        Ok(Tables { memory, rows: times.len(), columns: self.columns.clone() })
    }

    /// silu(time + guidance + pooled text), a row for each step, then rows of no meaning up to a whole [`CHUNK`].
    fn embed(
        &self,
        gpu: &Arc<Gpu>,
        times: &[f32],
        guidance: f32,
        pooled: Matrix<'_, bf16>,
        scratch: &Scratch<'_>,
    ) -> Result<Buffer> {
        let rows = times.len().max(1).next_multiple_of(CHUNK);
        let hidden = self.columns.hidden;
        let mut padded = times.to_vec();
        padded.resize(rows, 1.0);
        let mut layout = Layout::default();
        let [time, inner, between, strength, text, sines] = [rows, rows, rows, CHUNK, CHUNK, rows]
            .map(|rows| layout.place::<bf16>(rows, hidden.max(EMBEDDING)));
        let vector = layout.place::<bf16>(CHUNK, self.embedders.vector[0].inner());
        let work = Buffer::new(gpu, layout.bytes(), "the embeddings of the steps")?;
        let at = |offset: usize, rows: usize| work.matrix::<bf16>(offset, rows, hidden);
        let two = |layers: &[Linear; 2], x: Matrix<'_, bf16>, out: usize| {
            let [inner, between, out] = [inner, between, out].map(|offset| at(offset, x.rows()));
            layers[0].run_in_chunks(gpu, &self.memory, x, inner, CHUNK, scratch)?;
            gpu.silu(inner, between)?;
            layers[1].run_in_chunks(gpu, &self.memory, between, out, CHUNK, scratch)
        };
        let narrow = |values: Vec<f32>| values.into_iter().map(bf16::from_f32).collect::<Vec<_>>();
        let embedding = work.matrix::<bf16>(sines, rows, EMBEDDING);
        gpu.upload(embedding, &narrow(sinusoids(&padded)))?;
        two(&self.embedders.time, embedding, time)?;
        if let Some(layers) = &self.embedders.guidance {
            let embedding = work.matrix::<bf16>(sines, CHUNK, EMBEDDING);
            gpu.upload(embedding, &narrow(sinusoids(&[guidance; CHUNK])))?;
            two(layers, embedding, strength)?;
        }
        let vector = work.matrix::<bf16>(vector, CHUNK, pooled.width());
        for row in 0..CHUNK {
            gpu.copy(vector.slice_rows(row, 1), pooled)?;
        }
        two(&self.embedders.vector, vector, text)?;
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

/// Shift, scale and gate of one branch, text's; the image's are [`Modulation::second`] further on.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    shift: Matrix<'a, bf16>,
    scale: Matrix<'a, bf16>,
    /// What the branch is multiplied by when it joins.
    pub gate: Matrix<'a, bf16>,
}

impl Tables {
    /// Bytes of device memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Bytes of the tables of a picture of so many steps.
    #[must_use]
    pub fn bytes_for(config: &Config, steps: usize) -> usize {
        steps.max(1).next_multiple_of(CHUNK) * Columns::of(config).width() * bf16::BYTES
    }

    /// Of double block `block` at `step`, branch 0 (attention) or 1 (MLP).
    #[must_use]
    pub fn double(&self, step: usize, block: usize, branch: usize) -> Row<'_> {
        self.row(step, self.columns.double(block) + 3 * self.columns.hidden * branch)
    }

    /// Of single block `block` at `step`.
    #[must_use]
    pub fn single(&self, step: usize, block: usize) -> Row<'_> {
        self.row(step, self.columns.single(block))
    }

    /// Of the last layer at `step`; its gate means nothing.
    #[must_use]
    pub fn last(&self, step: usize) -> Row<'_> {
        let (at, hidden) = (self.columns.last(), self.columns.hidden);
        let shift = self.columns_of(step, at);
        Row { shift, scale: self.columns_of(step, at + hidden), gate: shift }
    }

    /// A whole row, for tests.
    #[must_use]
    pub fn step(&self, step: usize) -> Matrix<'_, bf16> {
        assert!(step < self.rows, "step {step} of {}", self.rows);
        self.memory.matrix(step * self.columns.width() * bf16::BYTES, 1, self.columns.width())
    }

    fn columns_of(&self, step: usize, at: usize) -> Matrix<'_, bf16> {
        self.step(step).slice_columns(at, self.columns.hidden)
    }

    fn row(&self, step: usize, at: usize) -> Row<'_> {
        let hidden = self.columns.hidden;
        Row {
            shift: self.columns_of(step, at),
            scale: self.columns_of(step, at + hidden),
            gate: self.columns_of(step, at + 2 * hidden),
        }
    }

    /// As the kernels take it: for two streams that part at row `split`, or for one (`split` is the number of rows).
    #[must_use]
    pub fn modulation<'a>(&self, row: Row<'a>, split: usize) -> Modulation<'a> {
        Modulation { shift: row.shift, scale: row.scale, split, second: self.columns.second() }
    }
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
