//! One safe function for each kernel of `kernels/text.cu`: shapes are checked here, launches are as the kernels' own
//! comments ask.

use half::bf16;

use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::{Gpu, Grid, Kernel, Module, launch};
use crate::engine::cuda::memory::{Element, Matrix};
use crate::engine::cuda::ops::{check_row, row_grid, stride};

/// Values that a thread of the norms holds: `kNormChunks` of 8.
const NORM_CHUNK: usize = 2 * 8;
/// Queries of a block of attention, and keys that it reads at a time.
const QUERIES: usize = 128;
const KEYS: usize = 64;

const fn text(name: &'static str) -> Kernel {
    Kernel { module: Module::Text, name, shared: 0 }
}

/// What a norm multiplies by and, for CLIP's, adds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Norm<'a> {
    /// x / rms(x) · weight
    Rms(Matrix<'a, bf16>),
    /// (x - mean) / deviation · weight + bias
    Layer(Matrix<'a, bf16>, Matrix<'a, bf16>),
}

/// What a query sees.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sight<'a> {
    /// Every key, with `[heads, 2 · tokens - 1]` biases by distance added to the scores, which are not scaled: T5.
    Distances(Matrix<'a, f32>),
    /// The keys up to itself, scores divided by √dim: CLIP, with so many heads.
    Causal(usize),
}

/// A chunk of a row for each thread.
fn chunk_grid(rows: usize, width: usize) -> Grid {
    let threads = (width / 8).next_multiple_of(32).min(256);
    Grid { blocks: [(width / 8).div_ceil(threads) as u32, rows as u32, 1], threads: [threads as u32, 1] }
}

/// Sizes that [`Gpu::attend`] has kernels for.
pub(super) fn check_heads(heads: usize, dim: usize, causal: bool) -> Result<()> {
    if heads > 0 && (dim == 64 || dim == 32 && !causal) {
        return Ok(());
    }
    let sizes = if causal { "64" } else { "32 and 64" };
    Err(CudaError::Shape(format!("{heads} heads of {dim} channels: there are kernels for {sizes}")))
}

impl Gpu {
    /// `x = table[ids] (+ positions)`: x `[tokens, width]`; `room` takes the ids to the card.
    ///
    /// # Errors
    /// When the shapes do not fit or an id is beyond the table.
    pub(super) fn embed_rows(
        &self,
        ids: &[u32],
        room: Matrix<'_, u32>,
        table: Matrix<'_, bf16>,
        positions: Option<Matrix<'_, bf16>>,
        x: Matrix<'_, f32>,
    ) -> Result<()> {
        let (tokens, width) = (ids.len(), x.width());
        x.expect("the residual stream", tokens, width)?;
        table.expect("the embeddings", table.rows(), width)?;
        check_row("embed_rows", width, NORM_CHUNK, &[x.stride()])?;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= table.rows()) {
            return Err(CudaError::Shape(format!("token {id} of a vocabulary of {}", table.rows())));
        }
        let mut dense = table.is_dense();
        let positions = match positions {
            Some(positions) => {
                if positions.rows() < tokens {
                    let rows = positions.rows();
                    return Err(CudaError::Shape(format!("{tokens} tokens in a text model of {rows}")));
                }
                dense &= positions.is_dense();
                positions.expect("the positions", positions.rows(), width)?.at()
            }
            None => 0,
        };
        if !dense {
            return Err(CudaError::Shape("embeddings with gaps between them".to_owned()));
        }
        self.upload(room.expect("room for the ids", 1, tokens)?, ids)?;
        let (count, columns) = (tokens as i32, width as i32);
        let threads = (width / 8).next_multiple_of(32).min(256) as u32;
        // SAFETY: the arguments are those of the kernel's declaration; extents and ids were checked above.
        unsafe {
            launch!(
                self,
                text("embed_rows"),
                Grid::line(tokens, threads),
                room.at(),
                table.at(),
                positions,
                count,
                x.at(),
                stride(x),
                columns,
            )
        }
    }

    /// `out = norm(x)`; with a branch, `x += y` first, in place.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(super) fn add_norm(
        &self,
        x: Matrix<'_, f32>,
        y: Option<Matrix<'_, bf16>>,
        norm: Norm<'_>,
        epsilon: f32,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        let (y_at, y_stride) = match y {
            Some(y) => (y.expect("the branch", x.rows(), x.width())?.at(), stride(y)),
            None => (0, 0),
        };
        out.expect("the output", x.rows(), x.width())?;
        check_row("add_norm", x.width(), NORM_CHUNK, &[x.stride(), y_stride as usize, out.stride()])?;
        let grid = row_grid(x.rows(), x.width(), NORM_CHUNK);
        let (rows, width) = (x.rows() as i32, x.width() as i32);
        match norm {
            Norm::Rms(weight) => {
                weight.expect("the norm's weight", 1, x.width())?;
                // SAFETY: as in `embed_rows`.
                unsafe {
                    launch!(
                        self,
                        text("add_rms_norm"),
                        grid,
                        x.at(),
                        stride(x),
                        y_at,
                        y_stride,
                        weight.at(),
                        out.at(),
                        stride(out),
                        rows,
                        width,
                        epsilon,
                    )
                }
            }
            Norm::Layer(weight, bias) => {
                weight.expect("the norm's weight", 1, x.width())?;
                bias.expect("the norm's bias", 1, x.width())?;
                // SAFETY: as in `embed_rows`.
                unsafe {
                    launch!(
                        self,
                        text("add_layer_norm"),
                        grid,
                        x.at(),
                        stride(x),
                        y_at,
                        y_stride,
                        weight.at(),
                        bias.at(),
                        out.at(),
                        stride(out),
                        rows,
                        width,
                        epsilon,
                    )
                }
            }
        }
    }

    /// Attention of one text: qkv `[tokens, 3 · heads · dim]`, all queries, all keys, all values of a token, head after
    /// head; out `[tokens, heads · dim]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(super) fn attend(
        &self,
        qkv: Matrix<'_, bf16>,
        sight: Sight<'_>,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        let (tokens, inner) = (qkv.rows(), out.width());
        out.expect("attention's output", tokens, inner)?;
        qkv.expect("queries, keys and values", tokens, 3 * inner)?;
        check_row("attention", inner, NORM_CHUNK, &[qkv.stride(), out.stride()])?;
        let (heads, causal) = match sight {
            Sight::Distances(bias) => (bias.rows(), false),
            Sight::Causal(heads) => (heads, true),
        };
        let dim = inner / heads.max(1);
        check_heads(heads, dim, causal)?;
        if heads * dim != inner || tokens == 0 {
            return Err(CudaError::Shape(format!("{tokens} tokens of {inner} channels in {heads} heads")));
        }
        let tiles = (QUERIES + 2 * KEYS) * dim * bf16::BYTES;
        let grid =
            Grid { blocks: [tokens.div_ceil(QUERIES) as u32, heads as u32, 1], threads: [QUERIES as u32, 1] };
        let (q, part) = (qkv.at(), (inner * bf16::BYTES) as u64);
        let (k, v) = (q + part, q + 2 * part);
        let (row, item) = (stride(qkv), stride(qkv) * tokens as i64);
        let (out_row, out_item) = (stride(out), stride(out) * tokens as i64);
        let length = tokens as i32;
        match sight {
            Sight::Distances(bias) => {
                bias.expect("the biases", heads, 2 * tokens - 1)?;
                if !bias.is_dense() {
                    return Err(CudaError::Shape("biases with gaps between the heads".to_owned()));
                }
                let name = if dim == 64 { "attention_bias_d64" } else { "attention_bias_d32" };
                let shared = (tiles + (tokens.next_multiple_of(KEYS) + QUERIES) * f32::BYTES) as u32;
                let scale = std::f32::consts::LOG2_E;
                // SAFETY: as in `embed_rows`.
                unsafe {
                    launch!(
                        self,
                        Kernel { shared, ..text(name) },
                        grid,
                        q,
                        k,
                        v,
                        row,
                        item,
                        out.at(),
                        out_row,
                        out_item,
                        length,
                        bias.at(),
                        scale,
                    )
                }
            }
            Sight::Causal(_) => {
                let scale = std::f32::consts::LOG2_E / (dim as f32).sqrt();
                // SAFETY: as in `embed_rows`.
                unsafe {
                    launch!(
                        self,
                        Kernel { shared: tiles as u32, ..text("attention_causal_d64") },
                        grid,
                        q,
                        k,
                        v,
                        row,
                        item,
                        out.at(),
                        out_row,
                        out_item,
                        length,
                        scale,
                    )
                }
            }
        }
    }

    /// `out = gelu(a) · b` of rows `[a, b]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(super) fn gated_gelu(&self, x: Matrix<'_, bf16>, out: Matrix<'_, bf16>) -> Result<()> {
        x.expect("the gated rows", out.rows(), 2 * out.width())?;
        self.activate("gated_gelu", x, out)
    }

    /// `out = x · sigmoid(1.702 x)`; both may be one matrix.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(super) fn quick_gelu(&self, x: Matrix<'_, bf16>, out: Matrix<'_, bf16>) -> Result<()> {
        x.expect("the rows", out.rows(), out.width())?;
        self.activate("quick_gelu", x, out)
    }

    /// Shapes were checked but for what every kernel asks.
    fn activate(&self, name: &'static str, x: Matrix<'_, bf16>, out: Matrix<'_, bf16>) -> Result<()> {
        let aligned = [out.width(), x.stride(), out.stride()].iter().all(|columns| columns.is_multiple_of(8));
        if !aligned || out.rows() > usize::from(u16::MAX) {
            return Err(CudaError::Shape(format!("{name} of {x:?} into {out:?}")));
        }
        let width = out.width() as i32;
        let grid = chunk_grid(out.rows(), out.width());
        // SAFETY: as in `embed_rows`.
        unsafe { launch!(self, text(name), grid, x.at(), stride(x), out.at(), stride(out), width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_has_a_thread() {
        for width in [8, 128, 320, 3072, 10240] {
            let Grid { blocks, threads } = chunk_grid(7, width);
            assert_eq!(blocks[1], 7);
            let covered = (blocks[0] * threads[0]) as usize;
            assert!(covered >= width / 8 && covered < width / 8 + 256, "{width}: {covered}");
        }
    }

    #[test]
    fn heads_without_a_kernel_are_refused() {
        assert!(check_heads(64, 64, false).is_ok() && check_heads(4, 32, false).is_ok());
        assert!(check_heads(12, 64, true).is_ok());
        assert!(check_heads(4, 32, true).is_err() && check_heads(4, 96, false).is_err());
        assert!(check_heads(0, 64, true).is_err());
    }
}
