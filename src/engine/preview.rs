//! A picture of a latent for nothing: one 16×3 projection, fitted by least squares to a VAE's
//! latents.

use candle_core::Tensor;
use serde::Deserialize;

use super::LatentPreview;
use super::latent;
use super::weights::WeightsError;
use crate::model::Source;

/// From a latent pixel to a colour, -1 to 1.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Fitted")]
pub struct Projection {
    weight: [[f32; latent::CHANNELS]; 3],
    bias: [f32; 3],
}

/// The file, before its lengths are checked.
#[derive(Deserialize)]
struct Fitted {
    weight: Vec<Vec<f32>>,
    bias: Vec<f32>,
}

impl TryFrom<Fitted> for Projection {
    type Error = String;
    fn try_from(fitted: Fitted) -> Result<Self, String> {
        let rows: Option<Vec<[f32; latent::CHANNELS]>> =
            fitted.weight.into_iter().map(|row| row.try_into().ok()).collect();
        let weight = rows.and_then(|rows| rows.try_into().ok());
        match (weight, fitted.bias.try_into()) {
            (Some(weight), Ok(bias)) => Ok(Self { weight, bias }),
            _ => Err("a preview projection has three rows of 16 weights and three biases".to_owned()),
        }
    }
}

impl Projection {
    /// # Errors
    /// When the file is no projection.
    pub fn read(source: &Source) -> Result<Self, WeightsError> {
        let bytes = source.read()?;
        serde_json::from_slice(&bytes).map_err(|error| WeightsError::Config(format!("{source}: {error}")))
    }

    /// The colours of pixels of 16 channels each.
    pub(super) fn picture(&self, pixels: &[f32]) -> Vec<u8> {
        pixels.chunks_exact(latent::CHANNELS).flat_map(|pixel| self.colour(pixel)).collect()
    }

    fn colour(&self, pixel: &[f32]) -> [u8; 3] {
        std::array::from_fn(|channel| {
            let sum: f32 = self.weight[channel].iter().zip(pixel).map(|(weight, x)| weight * x).sum();
            ((sum + self.bias[channel] + 1.0) * 127.5).round() as u8
        })
    }
}

/// A latent that can be looked at.
#[derive(Debug)]
pub(super) struct Preview<'a> {
    projection: &'a Projection,
    /// Rows of 16 channels.
    pixels: Vec<f32>,
    size: (u32, u32),
}

impl<'a> Preview<'a> {
    /// `tokens` is `[rows · columns, 64]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn new(
        projection: &'a Projection,
        tokens: &Tensor,
        grid: (usize, usize),
    ) -> candle_core::Result<Self> {
        let pixels = latent::unpack(tokens, grid)?.flatten_all()?.to_vec1()?;
        Ok(Self { projection, pixels, size: (2 * grid.1 as u32, 2 * grid.0 as u32) })
    }
}

impl LatentPreview for Preview<'_> {
    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn rgb(&self) -> Vec<u8> {
        self.projection.picture(&self.pixels)
    }
}
