//! Large copies to the card: all threads fill a piece of pinned host memory, and the card takes it from there by itself
//! while they fill the next.
//!
//! The driver copies from ordinary memory by one thread, at 9 GB/s where the bus gives 55; a mapped file that nobody has
//! read yet makes that 3. Sixteen threads read such a file at 55 to 86 GB/s (`benches/PERFORMANCE.md`).

use std::sync::PoisonError;

use cudarc::driver::{CudaEvent, CudaStream, result};
use rayon::prelude::*;

use super::error::{CudaError, Result, driver};
use super::gpu::Gpu;
use super::host::Pages;
use super::memory::Matrix;

/// Bytes of a stage: long enough that the threads are not waited for at its end, short enough that the first copy soon
/// begins.
const STAGE: usize = 16 << 20;
/// Stages: one is filled, one is copied, and one is ready.
const STAGES: usize = 3;
/// Bytes that a thread fills at a time: they stay in its cache, whatever they are made of.
pub const PART: usize = 128 << 10;
/// What is shorter goes the driver's way: it keeps so much itself and returns at once.
const SMALL: usize = 64 << 10;

/// The stages of a card.
#[derive(Debug)]
pub(super) struct Staging {
    stages: Vec<Stage>,
    next: usize,
}

#[derive(Debug)]
struct Stage {
    /// The last copy out of it is done.
    copied: CudaEvent,
    pages: Pages,
}

impl Staging {
    fn new(gpu: &Gpu) -> Result<Self> {
        let stage = |_| Ok(Stage { copied: gpu.event()?, pages: Pages::new(gpu, STAGE)? });
        Ok(Self { stages: (0..STAGES).map(stage).collect::<Result<_>>()?, next: 0 })
    }
}

impl Gpu {
    /// Fills `to`, which has no gaps, with what `fill` makes: it is called by all threads, each time with the number of a
    /// part's first byte and room for up to [`PART`] bytes; parts begin at multiples of that. In the order of `stream`;
    /// returns when all is made, which may be before it is copied.
    ///
    /// # Errors
    /// What the driver says.
    pub(super) fn upload_made(
        &self,
        to: Matrix<'_, u8>,
        stream: &CudaStream,
        fill: impl Fn(usize, &mut [u8]) + Sync,
    ) -> Result<()> {
        let to = to.as_row();
        let failed = driver("copying to the card");
        if to.width() <= SMALL {
            let mut made = vec![0; to.width()];
            fill(0, &mut made);
            // SAFETY: the lengths are equal; the driver takes so little into its own memory before it returns.
            return match made.is_empty() {
                true => Ok(()),
                false => {
                    unsafe { result::memcpy_htod_async(to.at(), &made, stream.cu_stream()) }.map_err(failed)
                }
            };
        }
        // A panic of `fill` leaves stages that are whole: each is waited for before it is written.
        let mut staging = self.staging().lock().unwrap_or_else(PoisonError::into_inner);
        let Staging { stages, next } = match &mut *staging {
            Some(staging) => staging,
            none => none.insert(Staging::new(self)?),
        };
        for at in (0..to.width()).step_by(STAGE) {
            let bytes = (to.width() - at).min(STAGE);
            let Stage { copied, pages } = &mut stages[*next];
            *next = (*next + 1) % STAGES;
            copied.synchronize().map_err(&failed)?;
            let made = &mut pages.as_mut_slice()[..bytes];
            let parts = made.par_chunks_mut(PART).enumerate();
            parts.for_each(|(part, made)| fill(at + part * PART, made));
            let to = to.slice_columns(at, bytes);
            // SAFETY: the stage is `bytes` long, is kept as long as the card, and is not written before `copied`.
            unsafe { result::memcpy_htod_async(to.at(), &*made, stream.cu_stream()) }.map_err(&failed)?;
            copied.record(stream).map_err(&failed)?;
        }
        Ok(())
    }

    /// The same in the order of everything that computes.
    ///
    /// # Errors
    /// As [`Gpu::upload_made`].
    pub(super) fn make(&self, to: Matrix<'_, u8>, fill: impl Fn(usize, &mut [u8]) + Sync) -> Result<()> {
        self.upload_made(to, self.stream(), fill)
    }

    /// Copies bytes that lie anywhere in host memory, a mapped file above all.
    ///
    /// # Errors
    /// When the lengths differ; what the driver says.
    pub fn upload_bytes(&self, to: Matrix<'_, u8>, bytes: &[u8]) -> Result<()> {
        if to.bytes() != bytes.len() {
            return Err(CudaError::Shape(format!("{} bytes cannot fill {}", bytes.len(), to.bytes())));
        }
        self.make(to, |at, made| made.copy_from_slice(&bytes[at..][..made.len()]))
    }
}
