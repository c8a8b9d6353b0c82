//! The weights of a block, in one piece of device memory each: what is resident now can be streamed block by block.

use std::sync::Arc;

use half::bf16;

use super::linear::{Form, Linear, Scratch};
use super::origin::Origin;
use crate::engine::cuda::error::Result;
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Buffer, Layout, Matrix};
use crate::engine::dit::config::Config;

/// One stream's half of a double block.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// Queries, keys and values.
    pub qkv: Linear,
    /// Behind attention.
    pub proj: Linear,
    /// The MLP's first layer.
    pub mlp_in: Linear,
    /// … and its second.
    pub mlp_out: Linear,
}

/// BFL's `DoubleStreamBlock`.
#[derive(Debug)]
pub struct DoubleBlock {
    /// All of its weights.
    pub memory: Buffer,
    /// The text's half, then the image's: the order of the rows.
    pub streams: [Stream; 2],
    norms: usize,
    dim: usize,
}

/// BFL's `SingleStreamBlock`.
#[derive(Debug)]
pub struct SingleBlock {
    /// All of its weights.
    pub memory: Buffer,
    /// Queries, keys, values and the MLP's first layer.
    pub linear1: Linear,
    /// Behind attention and the MLP's activation.
    pub linear2: Linear,
    norms: usize,
    dim: usize,
}

/// The names of the streams, in the order of their rows.
const STREAMS: [&str; 2] = ["txt", "img"];

impl DoubleBlock {
    /// Brings `double_blocks.{index}` onto the card.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape; when there is no memory.
    pub fn load(
        gpu: &Arc<Gpu>,
        config: &Config,
        form: Form,
        origin: &Origin<'_>,
        index: usize,
        scratch: &Scratch<'_>,
    ) -> Result<Self> {
        let (hidden, mlp, dim) = (config.hidden, config.mlp, config.head_dim());
        let mut layout = Layout::default();
        let streams = STREAMS.map(|_| Stream {
            qkv: Linear::place(&mut layout, (hidden, 3 * hidden), form),
            proj: Linear::place(&mut layout, (hidden, hidden), form),
            mlp_in: Linear::place(&mut layout, (hidden, mlp), form),
            mlp_out: Linear::place(&mut layout, (mlp, hidden), form),
        });
        let norms = layout.place::<bf16>(1, 4 * dim);
        let block = Self { memory: Buffer::new(gpu, layout.bytes(), "a double block")?, streams, norms, dim };
        for (at, (name, stream)) in STREAMS.iter().zip(&block.streams).enumerate() {
            let (attn, mlp) =
                (format!("double_blocks.{index}.{name}_attn"), format!("double_blocks.{index}.{name}_mlp"));
            let fill =
                |linear: &Linear, name: String| linear.fill(gpu, &block.memory, origin, &name, scratch);
            fill(&stream.qkv, format!("{attn}.qkv"))?;
            fill(&stream.proj, format!("{attn}.proj"))?;
            fill(&stream.mlp_in, format!("{mlp}.0"))?;
            fill(&stream.mlp_out, format!("{mlp}.2"))?;
            fill_norms(
                gpu,
                block.norms().slice_columns(2 * dim * at, 2 * dim),
                origin,
                &format!("{attn}.norm"),
            )?;
        }
        Ok(block)
    }

    /// The norms of queries and keys, text's then image's: `[1, 4 · dim]`.
    #[must_use]
    pub fn norms(&self) -> Matrix<'_, bf16> {
        self.memory.matrix(self.norms, 1, 4 * self.dim)
    }
}

impl SingleBlock {
    /// Brings `single_blocks.{index}` onto the card.
    ///
    /// # Errors
    /// As [`DoubleBlock::load`].
    pub fn load(
        gpu: &Arc<Gpu>,
        config: &Config,
        form: Form,
        origin: &Origin<'_>,
        index: usize,
        scratch: &Scratch<'_>,
    ) -> Result<Self> {
        let (hidden, mlp, dim) = (config.hidden, config.mlp, config.head_dim());
        let mut layout = Layout::default();
        let linear1 = Linear::place(&mut layout, (hidden, 3 * hidden + mlp), form);
        let linear2 = Linear::place(&mut layout, (hidden + mlp, hidden), form);
        let norms = layout.place::<bf16>(1, 2 * dim);
        let memory = Buffer::new(gpu, layout.bytes(), "a single block")?;
        let block = Self { memory, linear1, linear2, norms, dim };
        let name = format!("single_blocks.{index}");
        block.linear1.fill(gpu, &block.memory, origin, &format!("{name}.linear1"), scratch)?;
        block.linear2.fill(gpu, &block.memory, origin, &format!("{name}.linear2"), scratch)?;
        fill_norms(gpu, block.norms(), origin, &format!("{name}.norm"))?;
        Ok(block)
    }

    /// The norms of queries and keys, `[1, 2 · dim]`.
    #[must_use]
    pub fn norms(&self) -> Matrix<'_, bf16> {
        self.memory.matrix(self.norms, 1, 2 * self.dim)
    }
}

/// Query's norm, then key's.
fn fill_norms(gpu: &Gpu, to: Matrix<'_, bf16>, origin: &Origin<'_>, prefix: &str) -> Result<()> {
    let dim = to.width() / 2;
    for (at, which) in ["query", "key"].iter().enumerate() {
        origin.bf16(gpu, to.slice_columns(at * dim, dim), &format!("{prefix}.{which}_norm.scale"), &[dim])?;
    }
    Ok(())
}
