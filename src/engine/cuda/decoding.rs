//! A finished latent to pixels: on the card, or, where its memory has no room for any way, on the host.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::error::{CudaError, Result};
use super::flux::step::Watch;
use super::gpu::Gpu;
use super::memory::Matrix;
use super::pipeline::during;
use super::vae::{Before, Decoder};
use super::watching::Throttle;
use crate::engine::budget::Tile;
use crate::engine::vae::decoder::{self, Scaling};
use crate::engine::vae::on_host;
use crate::engine::weights::Weights;
use crate::engine::{EngineError, Observer, latent};
use crate::job::Size;
use crate::model::Source;

/// A VAE on the card, and its file for the host.
#[derive(Debug)]
pub struct Decoding {
    gpu: Arc<Gpu>,
    card: Decoder,
    scaling: Scaling,
    vae: Weights,
    /// Whether the host decodes where the card's memory turns out not to suffice; else that is the caller's to mend.
    last_resort: bool,
}

const STAGE: &str = "decoding";

impl Decoding {
    /// Brings a VAE onto the card.
    ///
    /// # Errors
    /// When a tensor or a factor is missing, or has another shape; when there is no memory.
    pub fn load(gpu: &Arc<Gpu>, vae: Weights, config: &Source, last_resort: bool) -> Result<Self> {
        let scaling = Scaling::read(config)?;
        let card = Decoder::load(gpu, &vae, scaling)?;
        Ok(Self { gpu: Arc::clone(gpu), card, scaling, vae, last_resort })
    }

    /// The way of the largest tiles that takes no more than so many bytes.
    #[must_use]
    pub fn tile(&self, grid: (usize, usize), left: u64) -> Tile {
        self.card.tiles(grid).into_iter().find(|tile| tile.bytes <= left).unwrap_or(Tile::ON_HOST)
    }

    /// 8-bit RGB of the sampler's tokens, by this way; which way it came to be.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`], [`EngineError::NotFinite`], [`EngineError::Stopped`]; what the driver says.
    pub fn picture(
        &self,
        tokens: Matrix<'_, f32>,
        size: Size,
        tile: Tile,
        observer: &mut dyn Observer,
    ) -> std::result::Result<(Vec<u8>, Tile), EngineError> {
        if tile.is_on_host() {
            return Ok((self.on_host(tokens, size, observer)?, tile));
        }
        match self.on_card(tokens, size, tile, observer) {
            Ok(Some(rgb)) => Ok((rgb, tile)),
            Ok(None) => Err(EngineError::NotFinite { stage: STAGE }),
            Err(error @ CudaError::OutOfMemory { .. }) if self.last_resort => {
                tracing::warn!(%error, "the picture is decoded on the CPU");
                Ok((self.on_host(tokens, size, observer)?, Tile::ON_HOST))
            }
            Err(error) => Err(during(STAGE)(error)),
        }
    }

    fn on_card(
        &self,
        tokens: Matrix<'_, f32>,
        size: Size,
        tile: Tile,
        observer: &mut dyn Observer,
    ) -> Result<Option<Vec<u8>>> {
        let observer = RefCell::new(observer);
        let throttle = RefCell::new(Throttle::new(&self.gpu, &observer, None));
        let before = || throttle.borrow_mut().before_block();
        self.card.picture(tokens, latent::grid(size), (tile.rows, tile.columns), Before(&before))
    }

    /// The weights are read anew: this is rare.
    fn on_host(
        &self,
        tokens: Matrix<'_, f32>,
        size: Size,
        observer: &mut dyn Observer,
    ) -> std::result::Result<Vec<u8>, EngineError> {
        let failed = |error: CudaError| during(STAGE)(error);
        let values = self.gpu.download(tokens).map_err(failed)?;
        let tokens = Tensor::from_vec(values, (tokens.rows(), tokens.width()), &Device::Cpu)
            .map_err(|error| failed(CudaError::Weights(error.into())))?;
        let decoder =
            decoder::Decoder::load(&self.vae, self.scaling).map_err(|error| failed(error.into()))?;
        // On a thread of the pool, as the CPU engine does.
        rayon::scope(move |_| on_host::picture(&decoder, &tokens, size, observer))
    }
}
