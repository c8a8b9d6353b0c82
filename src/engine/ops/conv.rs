//! 3×3 convolution, stride 1, zero padding 1, over `[height, width, channels]`: the VAE's.
//!
//! With channels last, the inputs of one kernel row for neighbouring pixels are overlapping runs of
//! 3·channels, one pixel apart. So each kernel row is one matrix product whose left side has a row
//! stride shorter than its rows: nothing is unfolded. Three products accumulate into the output.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::product::{View, multiply};
use super::rows::contiguous;

/// Output pixels computed by one product: enough to repay packing the weights, few enough to share.
const BAND: usize = 512;

/// `x` is `[height, width, in]`, `weight` is `[3, 3·in, out]` (kernel row; kernel column and input
/// channel; output channel), `bias` is `[out]`. Gives `[height, width, out]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv3x3(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.apply_op3_no_bwd(weight, bias, &Conv3x3)
}

struct Conv3x3;

impl CustomOp3 for Conv3x3 {
    fn name(&self) -> &'static str {
        "conv3x3"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (height, width, inner) = x_layout.shape().dims3()?;
        let (kernel_rows, run, columns) = weight_layout.shape().dims3()?;
        let x = contiguous(self.name(), x, x_layout)?;
        let weight = contiguous(self.name(), weight, weight_layout)?;
        let bias = contiguous(self.name(), bias, bias_layout)?;
        if kernel_rows != 3 || run != 3 * inner || bias.len() != columns || x.is_empty() || columns == 0 {
            let (x, weight) = (x_layout.dims(), weight_layout.dims());
            bail!("conv3x3: x {x:?}, weight {weight:?}, bias {}", bias.len());
        }
        let padded = pad(x, width, inner);
        let mut out = vec![0.0; height * width * columns];
        let rows = BAND.div_ceil(width).min(height.div_ceil(rayon::current_num_threads())).max(1);
        out.par_chunks_mut(rows * width * columns).enumerate().for_each(|(band, out)| {
            let padded = &padded[band * rows * (width + 2) * inner..];
            convolve(out, padded, weight, bias, (width, inner, columns));
        });
        Ok((CpuStorage::F32(out), (height, width, columns).into()))
    }
}

/// A frame of one zero pixel around the picture.
fn pad(x: &[f32], width: usize, channels: usize) -> Vec<f32> {
    let height = x.len() / (width * channels);
    let stride = (width + 2) * channels;
    let mut padded = vec![0.0; (height + 2) * stride];
    for (row, x) in x.chunks_exact(width * channels).enumerate() {
        padded[(row + 1) * stride + channels..][..x.len()].copy_from_slice(x);
    }
    padded
}

/// Some rows of the output. Products run over whole padded rows, so two pixels at the end of each
/// row are computed for nothing; they are left out when the rows are copied together.
fn convolve(
    out: &mut [f32],
    padded: &[f32],
    weight: &[f32],
    bias: &[f32],
    (width, inner, columns): (usize, usize, usize),
) {
    let rows = out.len() / (width * columns);
    let pixels = rows * (width + 2) - 2;
    let mut wide = bias.repeat(rows * (width + 2));
    for kernel_row in 0..3 {
        let left = View { data: &padded[kernel_row * (width + 2) * inner..], row: inner, column: 1 };
        let right = View { data: &weight[kernel_row * 3 * inner * columns..], row: columns, column: 1 };
        multiply((pixels, 3 * inner, columns), &mut wide, columns, true, left, right, 1.0);
    }
    let wide = wide.chunks_exact((width + 2) * columns);
    for (out, wide) in out.chunks_exact_mut(width * columns).zip(wide) {
        out.copy_from_slice(&wide[..width * columns]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn it_matches_candle_at_odd_sizes() -> Result<()> {
        for (height, width, inner, columns) in [(1, 1, 3, 5), (5, 3, 16, 7), (19, 33, 8, 32), (40, 40, 4, 3)]
        {
            let x = Tensor::randn(0.0f32, 1.0, (1, inner, height, width), &Device::Cpu)?;
            let kernel = Tensor::randn(0.0f32, 1.0, (columns, inner, 3, 3), &Device::Cpu)?;
            let bias = Tensor::randn(0.0f32, 1.0, columns, &Device::Cpu)?;
            let plain = x.conv2d(&kernel, 1, 1, 1, 1)?.broadcast_add(&bias.reshape((1, columns, 1, 1))?)?;
            let last = x.squeeze(0)?.permute((1, 2, 0))?.contiguous()?;
            let weight = kernel.permute((2, 3, 1, 0))?.reshape((3, 3 * inner, columns))?;
            let ours = conv3x3(&last, &weight, &bias)?.permute((2, 0, 1))?.unsqueeze(0)?;
            let error = (ours - plain)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(error < 1e-4, "{height}×{width}: off by {error}");
        }
        Ok(())
    }
}
