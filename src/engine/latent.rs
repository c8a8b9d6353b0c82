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
    let values = noise::randn(seed, CHANNELS * 4 * rows * columns);
    pack(&Tensor::from_vec(values, (CHANNELS, 2 * rows, 2 * columns), &Device::Cpu)?)
}

/// `[16, 2·rows, 2·columns]` to `[rows · columns, 64]`: a token's channels are (channel, row, column
/// within its 2×2 patch).
///
/// # Errors
/// When the shape does not fit.
pub fn pack(latent: &Tensor) -> Result<Tensor> {
    let (channels, height, width) = latent.dims3()?;
    let (rows, columns) = (height / 2, width / 2);
    let patches = latent.reshape((channels, rows, 2, columns, 2))?.permute((1, 3, 0, 2, 4))?;
    patches.contiguous()?.reshape((rows * columns, channels * 4))
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
        let latent = Tensor::arange(0f32, (16 * 4 * 6) as f32, &Device::Cpu)?.reshape((16, 4, 6))?;
        let tokens = pack(&latent)?;
        assert_eq!(tokens.dims(), [6, 64]);
        let pixels = unpack(&tokens, (2, 3))?;
        assert_eq!(pixels.to_vec3::<f32>()?, latent.permute((1, 2, 0))?.to_vec3::<f32>()?);
        Ok(())
    }
}
