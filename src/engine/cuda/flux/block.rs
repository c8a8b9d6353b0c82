//! Where the weights of a block lie. They are in one piece of memory each, which is handed in: a block's own, or the slot
//! that it has been brought into.

use half::bf16;

use super::forms::Forms;
use super::linear::{Filling, Linear};
use super::origin::Origin;
use crate::engine::cuda::error::Result;
use crate::engine::cuda::host::Span;
use crate::engine::cuda::in_place::InPlace;
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
    /// Bytes of its weights.
    pub bytes: usize,
    /// The text's half, then the image's: the order of the rows.
    pub streams: [Stream; 2],
    norms: usize,
    dim: usize,
}

/// BFL's `SingleStreamBlock`.
#[derive(Debug)]
pub struct SingleBlock {
    /// Bytes of its weights.
    pub bytes: usize,
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
    /// Lays out the weights of `double_blocks.{index}`.
    #[must_use]
    pub fn place(config: &Config, forms: &Forms<'_>, index: usize) -> Self {
        let (hidden, mlp, dim) = (config.hidden, config.mlp, config.head_dim());
        let mut layout = Layout::default();
        let streams = STREAMS.map(|stream| {
            let mut linear = |rest: &str, (inner, out)| {
                let form = forms.of(&format!("double_blocks.{index}.{stream}_{rest}"), inner);
                Linear::place(&mut layout, (inner, out), form)
            };
            Stream {
                qkv: linear("attn.qkv", (hidden, 3 * hidden)),
                proj: linear("attn.proj", (hidden, hidden)),
                mlp_in: linear("mlp.0", (hidden, mlp)),
                mlp_out: linear("mlp.2", (mlp, hidden)),
            }
        });
        let norms = layout.place::<bf16>(1, 4 * dim);
        Self { bytes: layout.bytes(), streams, norms, dim }
    }

    /// Its layers and their names in `double_blocks.{index}`.
    pub fn layers(&self, index: usize) -> impl Iterator<Item = (String, &Linear)> {
        STREAMS.iter().zip(&self.streams).flat_map(move |(name, stream)| {
            let (attn, mlp) =
                (format!("double_blocks.{index}.{name}_attn"), format!("double_blocks.{index}.{name}_mlp"));
            [
                (format!("{attn}.qkv"), &stream.qkv),
                (format!("{attn}.proj"), &stream.proj),
                (format!("{mlp}.0"), &stream.mlp_in),
                (format!("{mlp}.2"), &stream.mlp_out),
            ]
        })
    }

    /// Brings `double_blocks.{index}` into `memory`, but for what is read where it lies.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn fill(&self, memory: &Buffer, index: usize, from: &Filling<'_>) -> Result<()> {
        self.layers(index).try_for_each(|(name, layer)| layer.fill(memory, &name, from))?;
        for (at, name) in STREAMS.iter().enumerate() {
            let norms = self.norms(memory).slice_columns(2 * self.dim * at, 2 * self.dim);
            fill_norms(norms, &format!("double_blocks.{index}.{name}_attn.norm"), from)?;
        }
        Ok(())
    }

    /// Weights that lie in their file as the card wants them, and where they go; of `files` alone, if there are any.
    ///
    /// # Errors
    /// As [`DoubleBlock::fill`].
    pub fn spans<'w>(
        &self,
        index: usize,
        origin: &Origin<'w>,
        files: Option<&InPlace>,
    ) -> Result<Vec<Span<'w>>> {
        spans(self.layers(index), origin, files)
    }

    /// The norms of queries and keys, text's then image's: `[1, 4 · dim]`.
    #[must_use]
    pub fn norms<'a>(&self, memory: &'a Buffer) -> Matrix<'a, bf16> {
        memory.matrix(self.norms, 1, 4 * self.dim)
    }
}

impl SingleBlock {
    /// Lays out the weights of `single_blocks.{index}`.
    #[must_use]
    pub fn place(config: &Config, forms: &Forms<'_>, index: usize) -> Self {
        let (hidden, mlp, dim) = (config.hidden, config.mlp, config.head_dim());
        let mut layout = Layout::default();
        let mut linear = |layer: &str, (inner, out)| {
            let form = forms.of(&format!("single_blocks.{index}.{layer}"), inner);
            Linear::place(&mut layout, (inner, out), form)
        };
        let linear1 = linear("linear1", (hidden, 3 * hidden + mlp));
        let linear2 = linear("linear2", (hidden + mlp, hidden));
        let norms = layout.place::<bf16>(1, 2 * dim);
        Self { bytes: layout.bytes(), linear1, linear2, norms, dim }
    }

    /// Its layers and their names in `single_blocks.{index}`.
    pub fn layers(&self, index: usize) -> impl Iterator<Item = (String, &Linear)> {
        let name = |layer: &str| format!("single_blocks.{index}.{layer}");
        [(name("linear1"), &self.linear1), (name("linear2"), &self.linear2)].into_iter()
    }

    /// Brings `single_blocks.{index}` into `memory`, but for what is read where it lies.
    ///
    /// # Errors
    /// As [`DoubleBlock::fill`].
    pub fn fill(&self, memory: &Buffer, index: usize, from: &Filling<'_>) -> Result<()> {
        self.layers(index).try_for_each(|(name, layer)| layer.fill(memory, &name, from))?;
        fill_norms(self.norms(memory), &format!("single_blocks.{index}.norm"), from)
    }

    /// As [`DoubleBlock::spans`].
    ///
    /// # Errors
    /// As [`DoubleBlock::fill`].
    pub fn spans<'w>(
        &self,
        index: usize,
        origin: &Origin<'w>,
        files: Option<&InPlace>,
    ) -> Result<Vec<Span<'w>>> {
        spans(self.layers(index), origin, files)
    }

    /// The norms of queries and keys, `[1, 2 · dim]`.
    #[must_use]
    pub fn norms<'a>(&self, memory: &'a Buffer) -> Matrix<'a, bf16> {
        memory.matrix(self.norms, 1, 2 * self.dim)
    }
}

fn spans<'w, 'l>(
    layers: impl Iterator<Item = (String, &'l Linear)>,
    origin: &Origin<'w>,
    files: Option<&InPlace>,
) -> Result<Vec<Span<'w>>> {
    let mut spans = Vec::new();
    for (name, layer) in layers {
        spans.extend(match files {
            Some(files) => layer.in_place(&name, origin, files)?,
            None => layer.as_stored(&name, origin)?,
        });
    }
    Ok(spans)
}

/// Query's norm, then key's.
fn fill_norms(to: Matrix<'_, bf16>, prefix: &str, Filling { gpu, origin, .. }: &Filling<'_>) -> Result<()> {
    let dim = to.width() / 2;
    for (at, which) in ["query", "key"].iter().enumerate() {
        origin.bf16(gpu, to.slice_columns(at * dim, dim), &format!("{prefix}.{which}_norm.scale"), &[dim])?;
    }
    Ok(())
}
