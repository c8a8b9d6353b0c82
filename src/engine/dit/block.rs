//! The two kinds of block. Double: image and text each with weights of their own, attention shared.
//! Single: both streams as one, attention and MLP side by side.

use candle_core::{Result as Computed, Tensor};

use super::config::Config;
use super::layers::Layers;
use super::linear::Linear;
use super::modulation::Modulation;
use super::norms::Norms;
use crate::engine::ops::attention::attention;
use crate::engine::ops::gated_add::gated_add;
use crate::engine::ops::gelu::{beside_gelu, gelu};
use crate::engine::ops::modulated_norm::modulated_norm;
use crate::engine::ops::qk_norm_rope::qk_norm_rope;
use crate::engine::weights::{Weights, WeightsError};

/// One stream's half of a double block.
#[derive(Debug)]
struct Stream {
    qkv: Linear,
    norms: Norms,
    proj: Linear,
    mlp_in: Linear,
    mlp_out: Linear,
}

impl Stream {
    /// Reads `{block}.{stream}_attn` and `{block}.{stream}_mlp`.
    fn load(weights: &Weights, config: &Config, block: &str, stream: &str) -> Result<Self, WeightsError> {
        let (attn, mlp) = (format!("{block}.{stream}_attn"), format!("{block}.{stream}_mlp"));
        let hidden = config.hidden;
        Ok(Self {
            qkv: Linear::load(weights, &format!("{attn}.qkv"), hidden, 3 * hidden)?,
            norms: Norms::load(weights, config, &format!("{attn}.norm"))?,
            proj: Linear::load(weights, &format!("{attn}.proj"), hidden, hidden)?,
            mlp_in: Linear::load(weights, &format!("{mlp}.0"), hidden, config.mlp)?,
            mlp_out: Linear::load(weights, &format!("{mlp}.2"), config.mlp, hidden)?,
        })
    }

    /// Queries, keys and values, ready for attention: `[tokens, 3 · hidden]`.
    fn project(&self, x: &Tensor, modulation: &Modulation, rotations: &Tensor) -> Computed<Tensor> {
        let qkv = self.qkv.forward(&modulated_norm(x, &modulation.shift_scale)?)?;
        qk_norm_rope(&qkv, self.norms.scales(), rotations)
    }

    fn layers(&mut self, block: &str, stream: &str, visit: &mut dyn Layers) {
        let (attn, mlp) = (format!("{block}.{stream}_attn"), format!("{block}.{stream}_mlp"));
        visit.linear(&format!("{attn}.qkv"), &mut self.qkv);
        visit.norms(&format!("{attn}.norm"), &mut self.norms);
        visit.linear(&format!("{attn}.proj"), &mut self.proj);
        visit.linear(&format!("{mlp}.0"), &mut self.mlp_in);
        visit.linear(&format!("{mlp}.2"), &mut self.mlp_out);
    }

    /// Adds what attention found, then the MLP.
    fn finish(&self, x: &Tensor, attended: &Tensor, [attn, mlp]: &[Modulation; 2]) -> Computed<Tensor> {
        let x = gated_add(x, &attn.gate, &self.proj.forward(attended)?)?;
        let inner = gelu(&self.mlp_in.forward(&modulated_norm(&x, &mlp.shift_scale)?)?)?;
        gated_add(&x, &mlp.gate, &self.mlp_out.forward(&inner)?)
    }
}

/// BFL's `DoubleStreamBlock`.
#[derive(Debug)]
pub struct DoubleBlock {
    img: Stream,
    txt: Stream,
    heads: usize,
}

impl DoubleBlock {
    /// Reads `double_blocks.{index}`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, config: &Config, index: usize) -> Result<Self, WeightsError> {
        let block = format!("double_blocks.{index}");
        Ok(Self {
            img: Stream::load(weights, config, &block, "img")?,
            txt: Stream::load(weights, config, &block, "txt")?,
            heads: config.heads,
        })
    }

    /// Shows what can be changed of `double_blocks.{index}`.
    pub fn layers(&mut self, index: usize, visit: &mut dyn Layers) {
        let block = format!("double_blocks.{index}");
        self.img.layers(&block, "img", visit);
        self.txt.layers(&block, "txt", visit);
    }

    /// `img` is `[image tokens, hidden]`, `txt` `[text tokens, hidden]`, `rotations` covers text,
    /// then image.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(
        &self,
        img: &Tensor,
        txt: &Tensor,
        [img_mod, txt_mod]: &[[Modulation; 2]; 2],
        rotations: &Tensor,
    ) -> Computed<(Tensor, Tensor)> {
        let (text, image) = (txt.dim(0)?, img.dim(0)?);
        let txt_qkv = self.txt.project(txt, &txt_mod[0], &rotations.narrow(0, 0, text)?)?;
        let img_qkv = self.img.project(img, &img_mod[0], &rotations.narrow(0, text, image)?)?;
        let attended = attention(&Tensor::cat(&[txt_qkv, img_qkv], 0)?, self.heads)?;
        let img = self.img.finish(img, &attended.narrow(0, text, image)?, img_mod)?;
        let txt = self.txt.finish(txt, &attended.narrow(0, 0, text)?, txt_mod)?;
        Ok((img, txt))
    }
}

/// BFL's `SingleStreamBlock`.
#[derive(Debug)]
pub struct SingleBlock {
    linear1: Linear,
    linear2: Linear,
    norms: Norms,
    hidden: usize,
    mlp: usize,
    heads: usize,
}

impl SingleBlock {
    /// Reads `single_blocks.{index}`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, config: &Config, index: usize) -> Result<Self, WeightsError> {
        let block = format!("single_blocks.{index}");
        let (hidden, mlp) = (config.hidden, config.mlp);
        Ok(Self {
            linear1: Linear::load(weights, &format!("{block}.linear1"), hidden, 3 * hidden + mlp)?,
            linear2: Linear::load(weights, &format!("{block}.linear2"), hidden + mlp, hidden)?,
            norms: Norms::load(weights, config, &format!("{block}.norm"))?,
            hidden,
            mlp,
            heads: config.heads,
        })
    }

    /// Shows what can be changed of `single_blocks.{index}`.
    pub fn layers(&mut self, index: usize, visit: &mut dyn Layers) {
        let block = format!("single_blocks.{index}");
        visit.linear(&format!("{block}.linear1"), &mut self.linear1);
        visit.linear(&format!("{block}.linear2"), &mut self.linear2);
        visit.norms(&format!("{block}.norm"), &mut self.norms);
    }

    /// `x` is `[tokens, hidden]`, text first.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor, modulation: &Modulation, rotations: &Tensor) -> Computed<Tensor> {
        let both = self.linear1.forward(&modulated_norm(x, &modulation.shift_scale)?)?;
        let qkv = qk_norm_rope(&both.narrow(1, 0, 3 * self.hidden)?, self.norms.scales(), rotations)?;
        let attended = attention(&qkv, self.heads)?;
        let joined = beside_gelu(&attended, &both.narrow(1, 3 * self.hidden, self.mlp)?)?;
        gated_add(x, &modulation.gate, &self.linear2.forward(&joined)?)
    }
}
