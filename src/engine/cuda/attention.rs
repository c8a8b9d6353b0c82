//! softmax(Q·Kᵀ / √dim) · V for every head, without a mask: Hopper's kernel where the card is one, the one for every
//! card otherwise. Tilings and times: the kernels' own comments and `benches/PERFORMANCE.md`.

use cudarc::driver::sys::CUtensorMap;
use half::bf16;
use std::sync::Arc;

use super::error::{CudaError, Result};
use super::gpu::{Gpu, Grid, Kernel, Module, launch};
use super::memory::{Buffer, Element, Matrix};
use super::tensor_map::Boxes;

/// Attention of one number and size of heads, with the memory that its kernel needs between its blocks.
#[derive(Debug)]
pub struct Attention {
    heads: usize,
    dim: usize,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// One block a multiprocessor; what a block leaves to another goes through `partials` and `flags`.
    Hopper { kernel: Kernel, partials: Buffer, flags: Buffer, blocks: usize },
    /// A block for each 128 queries of a head.
    Every { kernel: Kernel },
}

/// Hopper's tiling: key rows of a block, and consumer warpgroups of 64 query rows.
const BLOCK: usize = 128;
const GROUPS: usize = 3;

impl Attention {
    /// # Errors
    /// When there is no kernel for heads of this size, or no memory.
    pub fn new(gpu: &Arc<Gpu>, heads: usize, dim: usize) -> Result<Self> {
        if dim != 64 && dim != 128 {
            return Err(CudaError::Shape(format!(
                "heads of {dim} channels: attention has kernels for 64 and 128"
            )));
        }
        let way = if gpu.card().is_hopper() { Way::hopper(gpu, dim)? } else { Way::every(gpu, dim) };
        Ok(Self { heads, dim, way })
    }

    /// The kernel for every card, whatever the card is: what an Ampere card runs, to be tested on a newer one.
    #[must_use]
    pub fn portable(gpu: &Arc<Gpu>, heads: usize, dim: usize) -> Self {
        Self { heads, dim, way: Way::every(gpu, dim) }
    }

    /// qkv is `[tokens, ≥ 3 · heads · dim]`: all queries, all keys, all values of a token, head after head; out is
    /// `[tokens, heads · dim]`. Either may be columns of something wider.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn run(&self, gpu: &Gpu, qkv: Matrix<'_, bf16>, out: Matrix<'_, bf16>) -> Result<()> {
        let width = self.heads * self.dim;
        out.expect("attention's output", qkv.rows(), width)?;
        let strides = qkv.stride().is_multiple_of(8) && out.stride().is_multiple_of(8);
        if qkv.width() < 3 * width || !strides || qkv.rows() == 0 {
            let shape = format!("{}×{}", qkv.rows(), qkv.width());
            return Err(CudaError::Shape(format!(
                "attention of {} heads of {} over {shape}",
                self.heads, self.dim
            )));
        }
        let scale = std::f32::consts::LOG2_E / (self.dim as f32).sqrt();
        match &self.way {
            Way::Hopper { kernel, partials, flags, blocks } => {
                let rows = 64 * GROUPS;
                let pairs = qkv.rows().div_ceil(rows) * self.heads * qkv.rows().div_ceil(BLOCK);
                let grid = Grid::line(pairs.min(*blocks), 128 * (GROUPS as u32 + 1));
                let map = |part: usize, rows| self.map(qkv.slice_columns(part * width, width), rows);
                let (q, k, v) = (map(0, 64)?, map(1, BLOCK)?, map(2, BLOCK)?);
                let (row, head, batch) =
                    (out.stride() as i64, self.dim as i64, (out.stride() * out.rows()) as i64);
                let (tokens, heads, items) = (qkv.rows() as i32, self.heads as i32, 1i32);
                let (partials, flags) =
                    (partials.matrix::<u8>(0, 1, 1).at(), flags.matrix::<u8>(0, 1, 1).at());
                // SAFETY: the arguments are those of the kernel's declaration; extents were checked above.
                unsafe {
                    launch!(
                        gpu,
                        *kernel,
                        grid,
                        q,
                        k,
                        v,
                        out.at(),
                        row,
                        head,
                        batch,
                        tokens,
                        tokens,
                        heads,
                        items,
                        scale,
                        partials,
                        flags,
                    )
                }
            }
            Way::Every { kernel } => {
                let (at, part) = (qkv.at(), (width * bf16::BYTES) as u64);
                let (row, head, batch) =
                    (qkv.stride() as i64, self.dim as i64, (qkv.stride() * qkv.rows()) as i64);
                let (out_row, out_batch) = (out.stride() as i64, (out.stride() * out.rows()) as i64);
                let (tokens, heads) = (qkv.rows() as i32, self.heads as i32);
                let blocks = [qkv.rows().div_ceil(128) as u32, self.heads as u32, 1];
                // SAFETY: as above.
                unsafe {
                    launch!(
                        gpu,
                        *kernel,
                        Grid { blocks, threads: [128, 1] },
                        at,
                        row,
                        head,
                        batch,
                        at + part,
                        row,
                        head,
                        batch,
                        at + 2 * part,
                        row,
                        head,
                        batch,
                        out.at(),
                        out_row,
                        head,
                        out_batch,
                        tokens,
                        tokens,
                        heads,
                        scale,
                    )
                }
            }
        }
    }

    /// The description by which Hopper's copy engine reads `rows` rows of one head at a time.
    fn map(&self, part: Matrix<'_, bf16>, rows: usize) -> Result<CUtensorMap> {
        let boxes = Boxes {
            at: part.at(),
            bytes: bf16::BYTES,
            sizes: &[64, part.rows(), self.dim / 64, self.heads, 1],
            strides: &[part.stride(), 64, self.dim, part.stride() * part.rows()],
            boxes: &[64, rows, self.dim / 64, 1, 1],
        };
        boxes.describe("describing queries, keys and values to the copy engine")
    }
}

impl Way {
    fn hopper(gpu: &Arc<Gpu>, dim: usize) -> Result<Self> {
        let (name, stages) = if dim == 128 { ("attention_sm90_d128", 2) } else { ("attention_sm90_d64", 3) };
        let shared = 1280 + GROUPS * 64 * dim * 2 + 2 * stages * BLOCK * dim * 2;
        let kernel = Kernel { module: Module::AttentionHopper, name, shared: shared as u32 };
        let blocks = gpu.card().multiprocessors as usize;
        let purpose = "attention's partial results";
        let partials = Buffer::of::<f32>(gpu, blocks * GROUPS * 64, dim + 2, purpose)?;
        let flags = Buffer::of::<u32>(gpu, blocks, GROUPS, purpose)?;
        flags.fill(0)?;
        Ok(Self::Hopper { kernel, partials, flags, blocks })
    }

    fn every(gpu: &Gpu, dim: usize) -> Self {
        // Two blocks of 64 KB fit a multiprocessor of 8.0 but not of 8.6 and 8.9 (100 KB): there the smaller tiles.
        let small = dim == 128 && gpu.card().shared < 128 << 10;
        let (name, block) = match (dim, small) {
            (128, true) => ("attention_sm80_d128_small", 32),
            (128, false) => ("attention_sm80_d128", 64),
            _ => ("attention_sm80_d64", 64),
        };
        let shared = (128 + 2 * block) * dim * bf16::BYTES;
        Self::Every { kernel: Kernel { module: Module::Attention, name, shared: shared as u32 } }
    }
}
