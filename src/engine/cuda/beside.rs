//! Memory that a tensor comes to as it is stored while the last one that came there is still being widened: two halves,
//! and a stream of copies beside the one that computes.

use std::cell::Cell;
use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaStream};

use super::error::{Result, driver};
use super::gpu::Gpu;
use super::memory::Matrix;

/// Two halves of memory that nothing else is in.
pub struct Beside<'a> {
    memory: Matrix<'a, u8>,
    halves: [Half; 2],
    next: Cell<usize>,
}

/// A half, and what has to be waited for.
pub(super) struct Half {
    stream: Arc<CudaStream>,
    arrived: CudaEvent,
    /// What was there has been widened.
    free: CudaEvent,
}

impl<'a> Beside<'a> {
    /// In this memory. Whatever has been asked for so far may still use it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(gpu: &Gpu, memory: Matrix<'a, u8>) -> Result<Self> {
        let stream = gpu.another_stream()?;
        let half = || -> Result<Half> {
            Ok(Half { stream: Arc::clone(&stream), arrived: gpu.event()?, free: gpu.mark(false)? })
        };
        Ok(Self { memory, halves: [half()?, half()?], next: Cell::new(0) })
    }

    /// The next half, if so many bytes fit there and `to` lies before all of the memory.
    pub(super) fn half(&self, to: Matrix<'_, u8>, bytes: usize) -> Option<(&Half, Matrix<'a, u8>)> {
        /// Each begins on a multiple of this.
        const ALIGNED: usize = 256;
        let each = self.memory.width() / 2 / ALIGNED * ALIGNED;
        if bytes > each || to.at() + to.bytes() as u64 > self.memory.at() {
            return None;
        }
        let index = self.next.replace(1 - self.next.get());
        Some((&self.halves[index], self.memory.slice_columns(index * each, each)))
    }
}

impl Half {
    /// Brings bytes and has them used, in the order of everything that computes.
    ///
    /// # Errors
    /// What the driver says, and what `widen` gives.
    pub fn bring(
        &self,
        gpu: &Gpu,
        to: Matrix<'_, u8>,
        bytes: &[u8],
        widen: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let failed = driver("ordering copies");
        self.stream.wait(&self.free).map_err(&failed)?;
        gpu.upload_made(to, &self.stream, |at, made| made.copy_from_slice(&bytes[at..][..made.len()]))?;
        self.arrived.record(&self.stream).map_err(&failed)?;
        gpu.stream().wait(&self.arrived).map_err(&failed)?;
        widen()?;
        self.free.record(gpu.stream()).map_err(failed)
    }
}
