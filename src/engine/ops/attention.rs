//! softmax(Q·Kᵀ / √dim) · V for every head, without a mask.
//!
//! On the CPU: for each head and each block of queries one product, a softmax in place, one product;
//! the scores of one block are all that is held.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::product::{View, multiply};
use super::rows::Rows;
use super::vector;

/// Queries whose scores are held at once.
const BLOCK: usize = 64;

/// `qkv` is `[tokens, 3 · heads · dim]`: all queries, all keys, all values of a token, head after
/// head. Gives `[tokens, heads · dim]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    qkv.apply_op1_no_bwd(&Attention { heads })
}

struct Attention {
    heads: usize,
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = Rows::of(self.name(), qkv, layout)?;
        if self.heads == 0 || !qkv.width.is_multiple_of(3 * self.heads) {
            bail!("attention: qkv {:?} cannot be divided among {} heads", layout.dims(), self.heads);
        }
        let channels = qkv.width / 3;
        let dim = channels / self.heads;
        let blocks = qkv.count.div_ceil(BLOCK);
        let tiles: Vec<Vec<f32>> = (0..self.heads * blocks)
            .into_par_iter()
            .map(|tile| {
                let (head, block) = (tile / blocks, tile % blocks);
                let queries = block * BLOCK..((block + 1) * BLOCK).min(qkv.count);
                attend(&qkv, channels, dim, head * dim, queries)
            })
            .collect();
        let mut out = vec![0.0; qkv.count * channels];
        for (tile, values) in tiles.iter().enumerate() {
            let (head, block) = (tile / blocks, tile % blocks);
            for (index, row) in values.chunks_exact(dim).enumerate() {
                out[(block * BLOCK + index) * channels + head * dim..][..dim].copy_from_slice(row);
            }
        }
        Ok((CpuStorage::F32(out), (qkv.count, channels).into()))
    }
}

/// One head's block of queries: `[queries, dim]`.
fn attend(
    qkv: &Rows<'_>,
    channels: usize,
    dim: usize,
    offset: usize,
    queries: std::ops::Range<usize>,
) -> Vec<f32> {
    let (rows, tokens, span) = (queries.len(), qkv.count, qkv.span());
    let query = View { data: &span[queries.start * qkv.stride + offset..], row: qkv.stride, column: 1 };
    let key_transposed = View { data: &span[channels + offset..], row: 1, column: qkv.stride };
    let value = View { data: &span[2 * channels + offset..], row: qkv.stride, column: 1 };
    let mut scores = vec![0.0; rows * tokens];
    multiply((rows, dim, tokens), &mut scores, tokens, false, query, key_transposed, 1.0);
    let scale = 1.0 / (dim as f32).sqrt();
    scores.chunks_exact_mut(tokens).for_each(|row| vector::softmax_in_place(row, scale));
    let mut out = vec![0.0; rows * dim];
    let scores = View { data: &scores, row: tokens, column: 1 };
    multiply((rows, tokens, dim), &mut out, dim, false, scores, value, 1.0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn it_matches_the_formula_at_odd_lengths() -> Result<()> {
        for (tokens, heads, dim) in [(1, 1, 8), (77, 2, 64), (130, 3, 16)] {
            let qkv = Tensor::randn(0.0f32, 1.0, (tokens, 3 * heads * dim), &Device::Cpu)?;
            let split = qkv.reshape((tokens, 3, heads, dim))?.permute((1, 2, 0, 3))?.contiguous()?;
            let (q, k, v) = (split.get(0)?, split.get(1)?, split.get(2)?);
            let scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? / (dim as f64).sqrt())?;
            let plain = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&v)?;
            let plain = plain.transpose(0, 1)?.reshape((tokens, heads * dim))?;
            let error = (attention(&qkv, heads)? - plain)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(error < 1e-5, "{tokens} tokens: off by {error}");
        }
        Ok(())
    }
}
