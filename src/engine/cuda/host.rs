//! Host memory that the card copies from by itself: pinned, so that copies run beside computations and at the bus's full
//! rate. Where the system lets no more be pinned, ordinary memory takes its place: right, but slower.
//!
//! Memory is mapped in large pages, touched by all threads and then registered: the driver's own allocator clears and
//! pins 8 GiB in five seconds, by one thread. Weights that a file holds as the card wants them are not copied at all: the
//! file's pages are registered where they are mapped ([`InPlace`]).

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::sys;
use cudarc::driver::{CudaContext, CudaStream, result};
use memmap2::{Advice, MmapMut};
use rayon::prelude::*;

use super::error::{CudaError, Result, driver};
use super::gpu::Gpu;
use super::in_place::{InPlace, addresses};
use super::memory::Matrix;

/// The system's pages, and what it begins larger ones at.
pub(super) const PAGE: usize = 4096;
pub(super) const LARGE_PAGE: usize = 2 << 20;

/// Host memory, pinned if the system allows it.
pub(super) struct Pages {
    context: Arc<CudaContext>,
    map: MmapMut,
    pinned: bool,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.pinned { "pinned" } else { "pageable" };
        write!(f, "Pages({} bytes, {kind})", self.map.len())
    }
}

impl Pages {
    /// `bytes` zeros.
    pub fn new(gpu: &Gpu, bytes: usize) -> Result<Self> {
        gpu.bind()?;
        let refused =
            |error: std::io::Error| CudaError::HostMemory { wanted: bytes as u64, reason: error.to_string() };
        let mut map = MmapMut::map_anon(bytes.max(1)).map_err(refused)?;
        // Only faster.
        let _ = map.advise(Advice::HugePage);
        map.par_chunks_mut(LARGE_PAGE)
            .for_each(|part| part.iter_mut().step_by(PAGE).for_each(|byte| *byte = 0));
        // SAFETY: the pages are mapped until this is dropped, which gives them back first.
        let registered = unsafe { sys::cuMemHostRegister_v2(map.as_mut_ptr().cast(), map.len(), 0) }.result();
        if let Err(error) = &registered {
            let reason = driver("pinning host memory")(*error).to_string();
            tracing::warn!(bytes, reason, "weights lie in pageable memory: their copies are slower");
        }
        Ok(Self { context: Arc::clone(gpu.context()), map, pinned: registered.is_ok() })
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.map
    }

    pub fn is_pinned(&self) -> bool {
        self.pinned
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.pinned {
            unregister(&self.context, self.map.as_ptr() as usize);
        }
    }
}

pub(super) fn unregister(context: &CudaContext, at: usize) {
    let given = context.bind_to_thread().and_then(|()| {
        // SAFETY: the address was registered, and is given back once.
        unsafe { sys::cuMemHostUnregister(at as *mut _) }.result()
    });
    if let Err(error) = given.map_err(driver("giving pinned memory back")) {
        tracing::error!(%error, "host memory stays pinned until the process ends");
    }
}

/// Bytes of a file, and where in a piece of device memory they go.
pub type Span<'w> = (usize, &'w [u8]);

/// The image of a piece of device memory: parts of files, and the rest in memory of its own.
#[derive(Debug)]
pub struct Image {
    own: Option<Pages>,
    segments: Vec<Segment>,
    bytes: usize,
    // Segments that lie in files do so as long as this is kept.
    files: Option<Arc<InPlace>>,
}

/// A span in parts that each lie in one piece of what is pinned.
fn parted<'w>((mut to, bytes): Span<'w>, files: &InPlace) -> Vec<Span<'w>> {
    let parts = files.cut(bytes).into_iter().map(|part| {
        let span = (to, part);
        to += part.len();
        span
    });
    parts.collect()
}

/// Bytes that go to one place.
#[derive(Debug, Clone, Copy)]
struct Segment {
    to: usize,
    bytes: usize,
    from: From,
}

#[derive(Debug, Clone, Copy)]
enum From {
    /// From this byte of the image's own memory on.
    Own(usize),
    /// At this address in a file.
    File(usize),
}

impl Image {
    /// Of what is in device memory now, after what was asked of the card before; waits for it. What `spans` say of it lies
    /// in `files`, and is not looked at.
    ///
    /// # Errors
    /// When the spans overlap, reach past the end or lie elsewhere; when there is no memory; what went wrong on the card.
    pub fn new(
        gpu: &Arc<Gpu>,
        from: Matrix<'_, u8>,
        mut spans: Vec<Span<'_>>,
        files: Option<&Arc<InPlace>>,
    ) -> Result<Self> {
        gpu.bind()?;
        let bytes = from.bytes();
        if !from.is_dense() || bytes == 0 {
            return Err(CudaError::Shape(format!("{from:?} bytes have no image in host memory")));
        }
        spans.sort_unstable_by_key(|span| span.0);
        let covered = |span: &Span<'_>| files.is_some_and(|files| files.covers(span.1));
        if !spans.iter().all(covered) {
            return Err(CudaError::Shape("a part of an image lies in no file that is kept".to_owned()));
        }
        let spans: Vec<Span<'_>> = match files {
            Some(files) => spans.into_iter().flat_map(|span| parted(span, files)).collect(),
            None => spans,
        };
        let segments = segments(bytes, &spans)?;
        let beside =
            segments.iter().map(|segment| if let From::Own(_) = segment.from { segment.bytes } else { 0 });
        let beside: usize = beside.sum();
        let mut own = if beside > 0 { Some(Pages::new(gpu, beside)?) } else { None };
        if let Some(own) = &mut own {
            for Segment { to, bytes, from: at } in &segments {
                let From::Own(at) = at else { continue };
                let own = &mut own.as_mut_slice()[*at..][..*bytes];
                let from = from.as_row().slice_columns(*to, *bytes).at();
                // SAFETY: both sides are `bytes` long, and the host's is not touched before the stream is waited for.
                unsafe { result::memcpy_dtoh_async(own, from, gpu.stream().cu_stream()) }
                    .map_err(driver("copying a block to host memory"))?;
            }
            gpu.wait()?;
        }
        let files = files.filter(|_| !spans.is_empty()).cloned();
        Ok(Self { own, segments, bytes, files })
    }

    /// Its size on the card.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of host memory beside the files.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.own.as_ref().map_or(0, |own| own.map.len())
    }

    /// Bytes of it that the card copies by itself, by now.
    #[must_use]
    pub fn pinned_bytes(&self) -> usize {
        let own = self.own.as_ref().is_some_and(Pages::is_pinned);
        let pinned = |segment: &&Segment| match segment.from {
            From::Own(_) => own,
            From::File(_) => self.is_pinned(segment),
        };
        self.segments.iter().filter(pinned).map(|segment| segment.bytes).sum()
    }

    /// Whether threads of the host still copy any of it: whoever brings it waits for them.
    #[must_use]
    pub fn is_copied_by_host(&self) -> bool {
        let by_host = |segment: &Segment| matches!(segment.from, From::File(_)) && !self.is_pinned(segment);
        self.segments.iter().any(by_host)
    }

    /// Whether a segment that lies in a file is pinned there.
    fn is_pinned(&self, segment: &Segment) -> bool {
        self.files.as_ref().is_some_and(|files| files.is_pinned(self.of(segment)))
    }

    /// Copies it to the begin of `to`, in that stream's order.
    ///
    /// # Errors
    /// When it does not fit; what the driver says.
    ///
    /// # Safety
    /// `self` outlives the copy: the stream is waited for before it is dropped.
    pub(super) unsafe fn bring(&self, gpu: &Gpu, to: Matrix<'_, u8>, stream: &CudaStream) -> Result<()> {
        if !to.is_dense() || to.bytes() < self.bytes {
            return Err(CudaError::Shape(format!(
                "{} bytes do not fit a slot of {}",
                self.bytes,
                to.bytes()
            )));
        }
        let to = to.as_row();
        for segment in &self.segments {
            let (to, from) = (to.slice_columns(segment.to, segment.bytes), self.of(segment));
            if matches!(segment.from, From::File(_)) && !self.is_pinned(segment) {
                gpu.upload_made(to, stream, |at, made| made.copy_from_slice(&from[at..][..made.len()]))?;
            } else {
                // SAFETY: the slot is long enough; the image lives on, by the caller's word.
                unsafe { result::memcpy_htod_async(to.at(), from, stream.cu_stream()) }
                    .map_err(driver("bringing a block to the card"))?;
            }
        }
        Ok(())
    }

    /// Asks the system to read from the disk what of it lies in files and has been let go.
    pub fn read_ahead(&self) {
        let files = self.segments.iter().filter(|segment| matches!(segment.from, From::File(_)));
        for segment in files {
            let Range { start, end } = addresses(self.of(segment));
            let start = start / PAGE * PAGE;
            // SAFETY: the pages are mapped as long as the image; to be read ahead changes nothing in them. Only faster.
            let _ =
                unsafe { rustix::mm::madvise(start as *mut _, end - start, rustix::mm::Advice::WillNeed) };
        }
    }

    fn of(&self, segment: &Segment) -> &[u8] {
        match (segment.from, &self.own) {
            (From::Own(at), Some(own)) => &own.map[at..][..segment.bytes],
            (From::Own(_), None) => unreachable!("an image has memory of its own for what lies in no file"),
            // SAFETY: the bytes were a slice of a file that `files` keeps mapped.
            (From::File(at), _) => unsafe { std::slice::from_raw_parts(at as *const u8, segment.bytes) },
        }
    }
}

/// All of `bytes`: the spans, which are in order, and what lies between them.
fn segments(bytes: usize, spans: &[Span<'_>]) -> Result<Vec<Segment>> {
    let (mut segments, mut at, mut own) = (Vec::new(), 0, 0);
    let end: Span<'_> = (bytes, &[]);
    for &(to, file) in spans.iter().chain([&end]) {
        if to < at || to + file.len() > bytes {
            return Err(CudaError::Shape(format!("{} bytes at {to} of an image of {bytes}", file.len())));
        }
        if to > at {
            segments.push(Segment { to: at, bytes: to - at, from: From::Own(own) });
            own += to - at;
        }
        if !file.is_empty() {
            segments.push(Segment { to, bytes: file.len(), from: From::File(file.as_ptr() as usize) });
        }
        at = to + file.len();
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_an_image_without_overlap() {
        let file = [0u8; 64];
        let of = |spans: &[Span<'_>]| {
            let segments = segments(100, spans).expect("they fit");
            segments
                .iter()
                .map(|one| (one.to, one.bytes, matches!(one.from, From::File(_))))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), [(0, 100, false)]);
        assert_eq!(
            of(&[(0, &file[..10]), (30, &file[10..])]),
            [(0, 10, true), (10, 20, false), (30, 54, true), (84, 16, false)]
        );
        assert_eq!(of(&[(36, &file)]), [(0, 36, false), (36, 64, true)]);
        assert!(
            segments(100, &[(40, &file)]).is_err() && segments(100, &[(0, &file), (60, &file[..8])]).is_err()
        );
    }

    #[test]
    fn own_parts_follow_one_another() {
        let file = [0u8; 8];
        let segments = segments(40, &[(4, &file), (20, &file)]).expect("they fit");
        let own: Vec<usize> = segments
            .iter()
            .filter_map(|one| if let From::Own(at) = one.from { Some(at) } else { None })
            .collect();
        assert_eq!(own, [0, 4, 12]);
    }
}
