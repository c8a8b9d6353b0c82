//! Latents in their three shapes: the noise torch draws, the transformer's tokens, the VAE's pixels.

use candle_core::{Device, Result, Tensor};

use super::sample::noise;
use crate::job::Size;

/// Channels of a latent pixel.
pub const CHANNELS: usize = 16;

/// Rows and columns of the transformer's tokens: one for each 16×16 pixels.
#[must_use]
pub fn grid(size: Size) -> (usize, usize) {
    (size.height() as usize / 16, size.width() as usize / 16)
}

/// The noise for a seed as tokens, `[rows · columns, 64]`: drawn as `[1, 16, height/8, width/8]`,
/// then packed.
///
/// # Errors
/// Only if the tensor cannot be made.
pub fn noise(seed: u64, size: Size) -> Result<Tensor> {
    let (rows, columns) = grid(size);
    let values = packed(&noise::randn(seed, CHANNELS * 4 * rows * columns), (rows, columns));
    Tensor::from_vec(values, (rows * columns, CHANNELS * 4), &Device::Cpu)
}

/// `[16, 2·rows, 2·columns]` to `[rows · columns, 64]`: a token's channels are (channel, row, column
/// within its 2×2 patch).
///
/// # Panics
/// When their number is not that of the grid's latent.
#[must_use]
pub fn packed(latent: &[f32], (rows, columns): (usize, usize)) -> Vec<f32> {
    assert_eq!(latent.len(), CHANNELS * 4 * rows * columns, "a latent of {rows}×{columns} tokens");
    let mut tokens = vec![0.0; latent.len()];
    each_pixel((rows, columns), |token, pixel, channel| {
        tokens[token] = latent[channel * 4 * rows * columns + pixel];
    });
    tokens
}

/// [`unpack`] of plain values.
///
/// # Panics
/// As [`packed`].
#[must_use]
pub fn unpacked(tokens: &[f32], (rows, columns): (usize, usize)) -> Vec<f32> {
    assert_eq!(tokens.len(), CHANNELS * 4 * rows * columns, "a latent of {rows}×{columns} tokens");
    let mut pixels = vec![0.0; tokens.len()];
    each_pixel((rows, columns), |token, pixel, channel| pixels[pixel * CHANNELS + channel] = tokens[token]);
    pixels
}

/// Calls with each value's index among the tokens, its pixel and its channel.
fn each_pixel((rows, columns): (usize, usize), mut call: impl FnMut(usize, usize, usize)) {
    for row in 0..2 * rows {
        for column in 0..2 * columns {
            let token = (row / 2 * columns + column / 2) * CHANNELS * 4 + row % 2 * 2 + column % 2;
            for channel in 0..CHANNELS {
                call(token + channel * 4, row * 2 * columns + column, channel);
            }
        }
    }
}

/// `[rows · columns, 64]` to the VAE's `[2·rows, 2·columns, 16]`.
///
/// # Errors
/// When the shape does not fit.
pub fn unpack(tokens: &Tensor, (rows, columns): (usize, usize)) -> Result<Tensor> {
    let channels = tokens.dim(1)? / 4;
    let patches = tokens.reshape((rows, columns, channels, 2, 2))?.permute((0, 3, 1, 4, 2))?;
    patches.contiguous()?.reshape((2 * rows, 2 * columns, channels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_and_unpacking_keep_every_pixel_in_its_place() -> Result<()> {
        let latent: Vec<f32> = (0..16 * 4 * 6).map(|i| i as f32).collect();
        let tokens = packed(&latent, (2, 3));
        // Channel 5 of the pixel in row 3 and column 4 is in the last token of the second row.
        assert_eq!(tokens[(3 + 2) * 64 + 5 * 4 + 2], latent[5 * 24 + 3 * 6 + 4]);
        let pixels = unpacked(&tokens, (2, 3));
        let whole = Tensor::from_vec(latent, (16, 4, 6), &Device::Cpu)?;
        assert_eq!(pixels, whole.permute((1, 2, 0))?.flatten_all()?.to_vec1::<f32>()?);
        let tokens = Tensor::from_vec(tokens, (6, 64), &Device::Cpu)?;
        assert_eq!(pixels, unpack(&tokens, (2, 3))?.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }
}
