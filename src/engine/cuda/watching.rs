//! A picture on a card as whoever follows it sees it: its previews, its latent, and the wish to end it.

use std::cell::RefCell;
use std::collections::VecDeque;

use cudarc::driver::CudaEvent;

use super::error::{CudaError, Result, driver};
use super::flux::Flux;
use super::flux::step::Watch;
use super::gpu::Gpu;
use super::memory::Matrix;
use super::pipeline::during;
use crate::engine::preview::Projection;
use crate::engine::{EngineError, LatentPreview, LatentValues, Observer, Report, StepLatent, latent};

/// Lets the host ask for a few blocks, or layers of the VAE, ahead of the card and no more: what is asked for cannot be
/// taken back, and cancelling is to take effect within a block or two.
pub struct Throttle<'a, 'o> {
    gpu: &'a Gpu,
    observer: &'a RefCell<&'o mut dyn Observer>,
    arriving: Option<Arriving>,
    ahead: VecDeque<CudaEvent>,
}

/// A transformer that may still be on its way, in bytes of files.
#[derive(Debug, Clone, Copy)]
pub struct Arriving {
    /// All that is there before it is.
    pub before: u64,
    /// Its own.
    pub bytes: u64,
}

impl Arriving {
    /// Bytes of it that are there, where this share is.
    #[must_use]
    pub fn here(self, share: f64) -> u64 {
        (share.clamp(0.0, 1.0) * self.bytes as f64) as u64
    }
}

/// Blocks that the host is ahead.
const AHEAD: usize = 3;

impl<'a, 'o> Throttle<'a, 'o> {
    /// Of one step, which may have to wait for the transformer; or of decoding.
    pub fn new(
        gpu: &'a Gpu,
        observer: &'a RefCell<&'o mut dyn Observer>,
        arriving: Option<Arriving>,
    ) -> Self {
        Self { gpu, observer, arriving, ahead: VecDeque::new() }
    }
}

impl Watch for Throttle<'_, '_> {
    fn before_block(&mut self) -> Result<()> {
        if self.observer.borrow().wants_stop() {
            return Err(CudaError::Stopped);
        }
        self.ahead.push_back(self.gpu.mark(false)?);
        if self.ahead.len() > AHEAD
            && let Some(oldest) = self.ahead.pop_front()
        {
            oldest.synchronize().map_err(driver("waiting for a block"))?;
        }
        Ok(())
    }

    fn arriving(&mut self, share: f64) -> Result<()> {
        let mut observer = self.observer.borrow_mut();
        if observer.wants_stop() {
            return Err(CudaError::Stopped);
        }
        if let Some(arriving @ Arriving { before, bytes }) = self.arriving {
            observer.report(Report::Loading { done: before + arriving.here(share), total: before + bytes });
        }
        Ok(())
    }
}

/// Waits for a transformer that may still be on its way.
pub fn arrive_whole(flux: &Flux, gpu: &Gpu, observer: &mut dyn Observer, arriving: Arriving) -> Result<()> {
    let observer = RefCell::new(observer);
    flux.arrive_whole(&mut Throttle::new(gpu, &observer, Some(arriving)))
}

/// The estimate where it is; it is copied only if somebody wants to see it.
pub struct OnCard<'a> {
    pub gpu: &'a Gpu,
    pub projection: &'a Projection,
    pub estimate: Matrix<'a, f32>,
    pub grid: (usize, usize),
}

impl std::fmt::Debug for OnCard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnCard").field("estimate", &self.estimate).finish_non_exhaustive()
    }
}

impl LatentPreview for OnCard<'_> {
    fn size(&self) -> (u32, u32) {
        (2 * self.grid.1 as u32, 2 * self.grid.0 as u32)
    }

    fn rgb(&self) -> Vec<u8> {
        match self.gpu.download(self.estimate) {
            Ok(tokens) => self.projection.picture(&latent::unpacked(&tokens, self.grid)),
            Err(error) => {
                // The next call into the card fails too, and that one has somewhere to say it.
                tracing::error!(%error, "no preview");
                let (width, height) = self.size();
                vec![0; 3 * (width * height) as usize]
            }
        }
    }
}

/// The latent where it is.
pub struct LatentOnCard<'a> {
    pub gpu: &'a Gpu,
    pub latent: Matrix<'a, f32>,
    pub step: u32,
}

impl std::fmt::Debug for LatentOnCard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LatentOnCard")
            .field("latent", &self.latent)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl LatentValues for LatentOnCard<'_> {
    fn copy(&self) -> std::result::Result<StepLatent, EngineError> {
        let (step, tokens, channels) = (self.step, self.latent.rows(), self.latent.width());
        let values = self.gpu.download(self.latent).map_err(during("keeping the latent"))?;
        Ok(StepLatent { step, tokens, channels, values })
    }
}
