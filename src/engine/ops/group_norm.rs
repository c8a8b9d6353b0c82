//! Group norm over `[height, width, channels]`, with or without SiLU behind it: the VAE's.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::rows::contiguous;
use super::threads::over_rows;
use super::vector;

const EPSILON: f64 = 1e-6;

/// `x` is `[height, width, channels]`, `weight` and `bias` are `[channels]`; every group of
/// `channels / groups` neighbouring channels is normalised over the whole picture (eps 1e-6).
///
/// # Errors
/// When the shapes do not fit.
pub fn group_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, silu: bool) -> Result<Tensor> {
    x.apply_op3_no_bwd(weight, bias, &GroupNorm { groups, silu })
}

struct GroupNorm {
    groups: usize,
    silu: bool,
}

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
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
        let (height, width, channels) = x_layout.shape().dims3()?;
        let x = contiguous(self.name(), x, x_layout)?;
        let weight = contiguous(self.name(), weight, weight_layout)?;
        let bias = contiguous(self.name(), bias, bias_layout)?;
        let fits = self.groups > 0 && channels.is_multiple_of(self.groups);
        if !fits || weight.len() != channels || bias.len() != channels || x.is_empty() {
            let (dims, groups) = (x_layout.dims(), self.groups);
            bail!("group_norm: x {dims:?}, {groups} groups, weight {}, bias {}", weight.len(), bias.len());
        }
        let (scale, shift) = self.affine(x, weight, bias);
        let mut out = vec![0.0; x.len()];
        over_rows(&mut out, width * channels, |first, rows| {
            let x = &x[first * width * channels..][..rows.len()];
            for (out, x) in rows.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(&scale).zip(&shift) {
                    *out = x * scale + shift;
                }
            }
            if self.silu {
                vector::silu_in_place(rows);
            }
        });
        Ok((CpuStorage::F32(out), (height, width, channels).into()))
    }
}

impl GroupNorm {
    /// What each channel is multiplied by and what is added, from the groups' mean and variance.
    fn affine(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let channels = weight.len();
        let (sums, squares) = channel_sums(x, channels);
        let each = channels / self.groups;
        let count = (x.len() / channels * each) as f64;
        let group = |channel: usize, sums: &[f64]| -> f64 {
            sums[channel / each * each..][..each].iter().sum::<f64>() / count
        };
        (0..channels)
            .map(|channel| {
                let mean = group(channel, &sums);
                let variance = (group(channel, &squares) - mean * mean).max(0.0);
                let scale = f64::from(weight[channel]) / (variance + EPSILON).sqrt();
                (scale as f32, (f64::from(bias[channel]) - mean * scale) as f32)
            })
            .unzip()
    }
}

/// Sum and sum of squares of each channel: fp32 over a short run of pixels, fp64 over the runs.
fn channel_sums(x: &[f32], channels: usize) -> (Vec<f64>, Vec<f64>) {
    const RUN: usize = 64;
    let (mut sums, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
    let (mut sum, mut square) = (vec![0.0f32; channels], vec![0.0f32; channels]);
    for run in x.chunks(RUN * channels) {
        sum.fill(0.0);
        square.fill(0.0);
        for pixel in run.chunks_exact(channels) {
            for ((sum, square), x) in sum.iter_mut().zip(&mut square).zip(pixel) {
                *sum += x;
                *square += x * x;
            }
        }
        for channel in 0..channels {
            sums[channel] += f64::from(sum[channel]);
            squares[channel] += f64::from(square[channel]);
        }
    }
    (sums, squares)
}
