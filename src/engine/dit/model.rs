//! The whole transformer: embeddings, blocks, last layer.

use candle_core::Tensor;

use super::block::{DoubleBlock, SingleBlock};
use super::config::Config;
use super::layers::Layers;
use super::linear::Linear;
use super::modulation::{Modulations, Modulator};
use super::rope;
use crate::engine::ops::modulated_norm::modulated_norm;
use crate::engine::weights::{Weights, WeightsError};

/// FLUX.1's transformer.
#[derive(Debug)]
pub struct Flux {
    /// Its size.
    pub config: Config,
    /// What computes the tables of a picture.
    pub modulator: Modulator,
    img_in: Linear,
    txt_in: Linear,
    double: Vec<DoubleBlock>,
    single: Vec<SingleBlock>,
    last: Linear,
}

/// What stays the same over the steps of a picture.
#[derive(Debug)]
pub struct Conditions {
    /// T5's tokens, already through `txt_in`: `[text tokens, hidden]`.
    txt: Tensor,
    rotations: Tensor,
    /// The tables, a row for each step.
    pub modulations: Modulations,
}

/// What a forward pass tells on its way: for tests that look for where two programs part.
pub trait Watch {
    /// Called before each block; `Err` ends the pass.
    ///
    /// # Errors
    /// Whatever should end the pass.
    fn before_block(&mut self) -> candle_core::Result<()> {
        Ok(())
    }
    /// The streams after a double block.
    fn after_double(&mut self, _index: usize, _img: &Tensor, _txt: &Tensor) {}
    /// The joined stream after a single block, text first.
    fn after_single(&mut self, _index: usize, _x: &Tensor) {}
}

impl Flux {
    /// Reads the whole transformer; `progress` is called after each block and may end it.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape; what `progress` gives.
    pub fn load<E: From<WeightsError>>(
        weights: &Weights,
        mut progress: impl FnMut(f64) -> Result<(), E>,
    ) -> Result<Self, E> {
        let config = Config::of(weights)?;
        let parts = (config.double_blocks + config.single_blocks + 1) as f64;
        let mut done = 0.0;
        let mut step = || {
            done += 1.0;
            progress(done / parts)
        };
        let modulator = Modulator::load(weights, &config)?;
        step()?;
        let mut double = Vec::with_capacity(config.double_blocks);
        for index in 0..config.double_blocks {
            double.push(DoubleBlock::load(weights, &config, index)?);
            step()?;
        }
        let mut single = Vec::with_capacity(config.single_blocks);
        for index in 0..config.single_blocks {
            single.push(SingleBlock::load(weights, &config, index)?);
            step()?;
        }
        let hidden = config.hidden;
        Ok(Self {
            img_in: Linear::load(weights, "img_in", config.in_channels, hidden)?,
            txt_in: Linear::load(weights, "txt_in", config.context_dim, hidden)?,
            last: Linear::load(weights, "final_layer.linear", hidden, config.out_channels)?,
            modulator,
            double,
            single,
            config,
        })
    }

    /// Shows all that can be changed.
    pub fn layers(&mut self, visit: &mut dyn Layers) {
        visit.linear("img_in", &mut self.img_in);
        visit.linear("txt_in", &mut self.txt_in);
        visit.linear("final_layer.linear", &mut self.last);
        self.modulator.layers(visit);
        self.double.iter_mut().enumerate().for_each(|(index, block)| block.layers(index, visit));
        self.single.iter_mut().enumerate().for_each(|(index, block)| block.layers(index, visit));
    }

    /// All that can be computed before the first step. `text` is T5's output `[tokens, context_dim]`,
    /// `pooled` CLIP's `[1, vec_dim]`, `grid` the rows and columns of image tokens, `times` the noise
    /// level of each evaluation.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn condition(
        &self,
        text: &Tensor,
        pooled: &Tensor,
        grid: (usize, usize),
        times: &[f32],
        guidance: f32,
    ) -> candle_core::Result<Conditions> {
        Ok(Conditions {
            txt: self.txt_in.forward(text)?,
            rotations: rope::rotations(&self.config, text.dim(0)?, grid)?,
            modulations: self.modulator.prepare(times, guidance, pooled)?,
        })
    }

    /// The velocity of `latent` (`[image tokens, in_channels]`) at `step` of the schedule, with the
    /// same shape as the latent.
    ///
    /// # Errors
    /// When the shapes do not fit, or when `watch` ends the pass.
    pub fn forward(
        &self,
        latent: &Tensor,
        conditions: &Conditions,
        step: usize,
        watch: &mut dyn Watch,
    ) -> candle_core::Result<Tensor> {
        let Conditions { txt, rotations, modulations } = conditions;
        let mut img = self.img_in.forward(latent)?;
        let mut txt = txt.clone();
        for (index, block) in self.double.iter().enumerate() {
            watch.before_block()?;
            (img, txt) = block.forward(&img, &txt, &modulations.double(index, step)?, rotations)?;
            watch.after_double(index, &img, &txt);
        }
        let (text, image) = (txt.dim(0)?, img.dim(0)?);
        let mut joined = Tensor::cat(&[txt, img], 0)?;
        for (index, block) in self.single.iter().enumerate() {
            watch.before_block()?;
            joined = block.forward(&joined, &modulations.single(index, step)?, rotations)?;
            watch.after_single(index, &joined);
        }
        let img = joined.narrow(0, text, image)?;
        self.last.forward(&modulated_norm(&img, &modulations.last(step)?)?)
    }
}
