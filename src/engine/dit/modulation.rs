//! Every adaLN modulation of a picture, computed before its first step.
//!
//! Shift, scale and gate of each block depend on time, guidance and the pooled text, never on the
//! image. So they are computed for the whole schedule at once, one matrix product a block with a
//! row for each step, and their weights (27 % of FLUX.1) are idle while the picture is drawn.

use candle_core::{Device, Tensor};

use super::config::Config;
use super::layers::Layers;
use super::linear::Linear;
use crate::engine::weights::{Weights, WeightsError};

/// Channels of the sinusoidal embedding of time and guidance.
pub const EMBEDDING: usize = 256;
/// Times and guidances are embedded a thousandfold.
const TIME_FACTOR: f32 = 1000.0;

/// The layers that the tables are computed with.
#[derive(Debug)]
pub struct Modulator {
    time_in: Embedder,
    vector_in: Embedder,
    guidance_in: Option<Embedder>,
    double: Vec<[Linear; 2]>,
    single: Vec<Linear>,
    last: Linear,
}

/// BFL's `MLPEmbedder`: linear, SiLU, linear.
#[derive(Debug)]
struct Embedder {
    in_layer: Linear,
    out_layer: Linear,
}

impl Embedder {
    fn load(weights: &Weights, name: &str, inner: usize, hidden: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            in_layer: Linear::load(weights, &format!("{name}.in_layer"), inner, hidden)?,
            out_layer: Linear::load(weights, &format!("{name}.out_layer"), hidden, hidden)?,
        })
    }

    fn layers(&mut self, name: &str, visit: &mut dyn Layers) {
        visit.linear(&format!("{name}.in_layer"), &mut self.in_layer);
        visit.linear(&format!("{name}.out_layer"), &mut self.out_layer);
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.out_layer.forward(&self.in_layer.forward(x)?.silu()?)
    }
}

/// The tables of one picture. Rows are steps.
#[derive(Debug)]
pub struct Modulations {
    /// The summed embeddings of time, guidance and pooled text, `[steps, hidden]`.
    pub vec: Tensor,
    double: Vec<[Tensor; 2]>,
    single: Vec<Tensor>,
    last: Tensor,
}

/// One branch's modulation at one step.
#[derive(Debug)]
pub struct Modulation {
    /// `[2, hidden]`: shift, then scale.
    pub shift_scale: Tensor,
    /// `[hidden]`.
    pub gate: Tensor,
}

impl Modulator {
    /// Reads `time_in`, `vector_in`, `guidance_in` and every block's modulation.
    ///
    /// # Errors
    /// When one is missing or has another shape.
    pub fn load(weights: &Weights, config: &Config) -> Result<Self, WeightsError> {
        let hidden = config.hidden;
        let linear = |name: &str, chunks: usize| Linear::load(weights, name, hidden, chunks * hidden);
        let double = (0..config.double_blocks).map(|i| {
            let branch = |stream| linear(&format!("double_blocks.{i}.{stream}_mod.lin"), 6);
            Ok([branch("img")?, branch("txt")?])
        });
        let single =
            (0..config.single_blocks).map(|i| linear(&format!("single_blocks.{i}.modulation.lin"), 3));
        let embedder = |name, inner| Embedder::load(weights, name, inner, hidden);
        Ok(Self {
            time_in: embedder("time_in", EMBEDDING)?,
            vector_in: embedder("vector_in", config.vec_dim)?,
            guidance_in: config.guidance.then(|| embedder("guidance_in", EMBEDDING)).transpose()?,
            double: double.collect::<Result<_, WeightsError>>()?,
            single: single.collect::<Result<_, _>>()?,
            last: linear("final_layer.adaLN_modulation.1", 2)?,
        })
    }

    /// Shows what can be changed: the tables come of it at the next [`prepare`](Self::prepare).
    pub fn layers(&mut self, visit: &mut dyn Layers) {
        self.time_in.layers("time_in", visit);
        self.vector_in.layers("vector_in", visit);
        if let Some(guidance_in) = &mut self.guidance_in {
            guidance_in.layers("guidance_in", visit);
        }
        for (index, streams) in self.double.iter_mut().enumerate() {
            for (stream, linear) in ["img", "txt"].into_iter().zip(streams) {
                visit.linear(&format!("double_blocks.{index}.{stream}_mod.lin"), linear);
            }
        }
        for (index, linear) in self.single.iter_mut().enumerate() {
            visit.linear(&format!("single_blocks.{index}.modulation.lin"), linear);
        }
        visit.linear("final_layer.adaLN_modulation.1", &mut self.last);
    }

    /// The tables for evaluations at the noise levels `times` (1 to 0). `pooled` is CLIP's vector,
    /// `[1, vec_dim]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn prepare(&self, times: &[f32], guidance: f32, pooled: &Tensor) -> candle_core::Result<Modulations> {
        let mut vec = self.time_in.forward(&embedded(times)?)?;
        if let Some(guidance_in) = &self.guidance_in {
            vec = vec.broadcast_add(&guidance_in.forward(&embedded(&[guidance])?)?)?;
        }
        vec = vec.broadcast_add(&self.vector_in.forward(pooled)?)?;
        let active = vec.silu()?;
        let double = self.double.iter().map(|[img, txt]| Ok([img.forward(&active)?, txt.forward(&active)?]));
        let single = self.single.iter().map(|lin| lin.forward(&active));
        let (double, single) =
            (double.collect::<candle_core::Result<_>>()?, single.collect::<Result<_, _>>()?);
        Ok(Modulations { double, single, last: self.last.forward(&active)?, vec })
    }
}

impl Modulations {
    /// Double block `block` at `step`: image and text stream, each with the modulation of its
    /// attention and of its MLP.
    ///
    /// # Errors
    /// When `step` is past the schedule.
    pub fn double(&self, block: usize, step: usize) -> candle_core::Result<[[Modulation; 2]; 2]> {
        let [img, txt] = &self.double[block];
        let at = |table| branch(table, step, 2, 0).and_then(|first| Ok([first, branch(table, step, 2, 1)?]));
        Ok([at(img)?, at(txt)?])
    }

    /// Single block `block` at `step`.
    ///
    /// # Errors
    /// When `step` is past the schedule.
    pub fn single(&self, block: usize, step: usize) -> candle_core::Result<Modulation> {
        branch(&self.single[block], step, 1, 0)
    }

    /// Shift and scale of the last layer at `step`, `[2, hidden]`.
    ///
    /// # Errors
    /// When `step` is past the schedule.
    pub fn last(&self, step: usize) -> candle_core::Result<Tensor> {
        let row = self.last.narrow(0, step, 1)?;
        row.reshape((2, row.elem_count() / 2))
    }
}

/// Of a table with `branches` times shift, scale and gate in each row, those of branch `which`.
fn branch(table: &Tensor, step: usize, branches: usize, which: usize) -> candle_core::Result<Modulation> {
    let hidden = table.dim(1)? / (3 * branches);
    let row = table.narrow(0, step, 1)?;
    Ok(Modulation {
        shift_scale: row.narrow(1, 3 * which * hidden, 2 * hidden)?.reshape((2, hidden))?,
        gate: row.narrow(1, (3 * which + 2) * hidden, hidden)?.squeeze(0)?,
    })
}

fn embedded(values: &[f32]) -> candle_core::Result<Tensor> {
    Tensor::from_vec(sinusoids(values), (values.len(), EMBEDDING), &Device::Cpu)
}

/// BFL's `timestep_embedding`: the cosines of all frequencies, then the sines, `[values, 256]`. The
/// product is rounded to fp32 before the cosine, as there.
#[must_use]
pub fn sinusoids(values: &[f32]) -> Vec<f32> {
    const HALF: usize = EMBEDDING / 2;
    let frequencies: [f32; HALF] =
        std::array::from_fn(|i| (-(10_000.0f32.ln()) * i as f32 / HALF as f32).exp());
    let mut rows = Vec::with_capacity(values.len() * EMBEDDING);
    for value in values {
        let angles = frequencies.map(|frequency| f64::from(value * TIME_FACTOR * frequency));
        rows.extend(angles.map(|angle| angle.cos() as f32));
        rows.extend(angles.map(|angle| angle.sin() as f32));
    }
    rows
}
