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
/// Stages of a line: one is filled, one is copied.
const STAGES: usize = 2;
/// Lines, each with a half of what is copied: when some threads are done with a stage of one, they go on with the other's.
const LINES: usize = 2;
/// Bytes that a thread fills at a time: they stay in its cache, whatever they are made of.
pub const PART: usize = 128 << 10;
/// What is shorter goes the driver's way: it keeps so much itself and returns at once.
const SMALL: usize = 64 << 10;

/// The stages of a card.
#[derive(Debug)]
pub(super) struct Staging {
    lines: [Line; LINES],
}

#[derive(Debug)]
struct Line {
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
        Ok(Self { lines: [Line::new(gpu)?, Line::new(gpu)?] })
    }
}

impl Line {
    fn new(gpu: &Gpu) -> Result<Self> {
        let stage = |_| Ok(Stage { copied: gpu.event()?, pages: Pages::new(gpu, STAGE)? });
        Ok(Self { stages: (0..STAGES).map(stage).collect::<Result<_>>()?, next: 0 })
    }

    /// Fills `to` with what `fill` makes from byte `from` on, which is a multiple of [`PART`].
    fn run(
        &mut self,
        (to, from): (Matrix<'_, u8>, usize),
        stream: &CudaStream,
        fill: &(impl Fn(usize, &mut [u8]) + Sync),
    ) -> Result<()> {
        let failed = driver("copying to the card");
        for at in (0..to.width()).step_by(STAGE) {
            let bytes = (to.width() - at).min(STAGE);
            let Stage { copied, pages } = &mut self.stages[self.next];
            self.next = (self.next + 1) % STAGES;
            copied.synchronize().map_err(&failed)?;
            let made = &mut pages.as_mut_slice()[..bytes];
            let parts = made.par_chunks_mut(PART).enumerate();
            parts.for_each(|(part, made)| fill(from + at + part * PART, made));
            let to = to.slice_columns(at, bytes);
            // SAFETY: the stage is `bytes` long, is kept as long as the card, and is not written before `copied`.
            unsafe { result::memcpy_htod_async(to.at(), &*made, stream.cu_stream()) }.map_err(&failed)?;
            copied.record(stream).map_err(&failed)?;
        }
        Ok(())
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
        let Staging { lines } = match &mut *staging {
            Some(staging) => staging,
            none => none.insert(Staging::new(self)?),
        };
        // What fits one stage goes by either in turn.
        lines.swap(0, 1);
        let [one, other] = lines;
        let half = (to.width() / LINES).next_multiple_of(STAGE).min(to.width());
        let (first, second) = (to.slice_columns(0, half), to.slice_columns(half, to.width() - half));
        // Whichever thread of the pool takes a half.
        let (first, second) = rayon::join(
            || self.bind().and_then(|()| one.run((first, 0), stream, &fill)),
            || self.bind().and_then(|()| other.run((second, half), stream, &fill)),
        );
        first.and(second)
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
