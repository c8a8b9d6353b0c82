//! Host memory that the card copies from by itself: pinned, so that copies run beside computations and at the bus's full
//! rate. Where the system lets no more be pinned, ordinary memory takes its place: right, but slower.

use std::ptr::NonNull;
use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys::CUstream;

use super::error::{CudaError, Result, driver};
use super::gpu::Gpu;
use super::memory::Matrix;

/// The image of a piece of device memory.
pub struct HostMemory {
    gpu: Arc<Gpu>,
    place: Place,
    bytes: usize,
}

enum Place {
    Pinned(NonNull<u8>),
    Pageable(Box<[u8]>),
}

// SAFETY: the pointer is this struct's alone, and the driver takes it from any thread.
unsafe impl Send for HostMemory {}

impl std::fmt::Debug for HostMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_pinned() { "pinned" } else { "pageable" };
        write!(f, "HostMemory({} bytes, {kind})", self.bytes)
    }
}

impl HostMemory {
    /// Copies what is in device memory now, after what was asked of the card before; waits for it.
    ///
    /// # Errors
    /// What went wrong on the card.
    pub fn image_of(gpu: &Arc<Gpu>, from: Matrix<'_, u8>) -> Result<Self> {
        gpu.bind()?;
        let bytes = from.bytes();
        if !from.is_dense() || bytes == 0 {
            return Err(CudaError::Shape(format!("{from:?} bytes have no image in host memory")));
        }
        let mut image = Self { gpu: Arc::clone(gpu), place: place(bytes), bytes };
        let stream = gpu.stream().cu_stream();
        // SAFETY: both sides are `bytes` long, and the host's is not touched before the stream is waited for.
        unsafe { result::memcpy_dtoh_async(image.as_mut_slice(), from.at(), stream) }
            .map_err(driver("copying a block to host memory"))?;
        gpu.wait()?;
        Ok(image)
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the card copies from it by itself.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        matches!(self.place, Place::Pinned(_))
    }

    /// Copies it to the begin of `to`, in that stream's order.
    ///
    /// # Errors
    /// When it does not fit.
    ///
    /// # Safety
    /// `self` outlives the copy: the stream is waited for before it is dropped.
    pub(super) unsafe fn bring(&self, to: Matrix<'_, u8>, stream: CUstream) -> Result<()> {
        if !to.is_dense() || to.bytes() < self.bytes {
            return Err(CudaError::Shape(format!(
                "{} bytes do not fit a slot of {}",
                self.bytes,
                to.bytes()
            )));
        }
        // SAFETY: the slot is long enough; the image lives on, by the caller's word.
        unsafe { result::memcpy_htod_async(to.at(), self.as_slice(), stream) }
            .map_err(driver("bringing a block to the card"))
    }

    fn as_slice(&self) -> &[u8] {
        match &self.place {
            // SAFETY: `bytes` bytes were taken there, and filled before anybody has the image.
            Place::Pinned(at) => unsafe { std::slice::from_raw_parts(at.as_ptr(), self.bytes) },
            Place::Pageable(bytes) => bytes,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.place {
            // SAFETY: as above, and nobody else has the pointer; any bytes are bytes.
            Place::Pinned(at) => unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), self.bytes) },
            Place::Pageable(bytes) => bytes,
        }
    }
}

fn place(bytes: usize) -> Place {
    // SAFETY: the context is current; the address is given back once, when the image is dropped.
    let taken = unsafe { result::malloc_host(bytes, 0) }.map_err(driver("pinning host memory"));
    match taken.map(|at| NonNull::new(at.cast::<u8>())) {
        Ok(Some(at)) => Place::Pinned(at),
        refused => {
            let reason =
                refused.err().map_or_else(|| "no address was given".to_owned(), |error| error.to_string());
            tracing::warn!(bytes, reason, "a streamed block lies in pageable memory: its copies are slower");
            Place::Pageable(vec![0; bytes].into_boxed_slice())
        }
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        let Place::Pinned(at) = self.place else { return };
        let freed = self.gpu.bind().and_then(|()| {
            // SAFETY: the address came from `malloc_host` and is given back here only.
            unsafe { result::free_host(at.as_ptr().cast()) }.map_err(driver("giving host memory back"))
        });
        if let Err(error) = freed {
            tracing::error!(%error, bytes = self.bytes, "host memory is lost until the process ends");
        }
    }
}
