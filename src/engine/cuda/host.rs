//! Host memory that the card copies from by itself: pinned, so that copies run beside computations and at the bus's full
//! rate. Where the system lets no more be pinned, ordinary memory takes its place: right, but slower.
//!
//! Memory is mapped in large pages, touched by all threads and then registered: the driver's own allocator clears and
//! pins 8 GiB in five seconds, by one thread. Weights that a file holds as the card wants them are not copied at all: the
//! file's pages are registered where they are mapped ([`InPlace`]).

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute};
use cudarc::driver::{CudaContext, CudaStream, result};
use memmap2::{Advice, MmapMut};
use rayon::prelude::*;

use super::error::{CudaError, Result, driver};
use super::gpu::Gpu;
use super::memory::Matrix;
use crate::engine::weights::Mapping;

/// The system's pages, and what it begins larger ones at.
const PAGE: usize = 4096;
const LARGE_PAGE: usize = 2 << 20;

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

fn unregister(context: &CudaContext, at: usize) {
    let given = context.bind_to_thread().and_then(|()| {
        // SAFETY: the address was registered, and is given back once.
        unsafe { sys::cuMemHostUnregister(at as *mut _) }.result()
    });
    if let Err(error) = given.map_err(driver("giving pinned memory back")) {
        tracing::error!(%error, "host memory stays pinned until the process ends");
    }
}

/// Bytes that are pinned at a time: several threads do it side by side.
const PIECE: usize = 64 << 20;

/// Parts of mapped files that the card reads where they are.
pub struct InPlace {
    gpu: Arc<Gpu>,
    /// Addresses, in order, each of at most [`PIECE`] where they are pinned: a copy lies in one of them.
    ranges: Vec<Range<usize>>,
    pinned: bool,
    // The pages stay mapped until they are given back.
    _files: Mapping,
}

impl std::fmt::Debug for InPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: usize = self.ranges.iter().map(Range::len).sum();
        write!(f, "InPlace({bytes} bytes, {})", if self.pinned { "pinned" } else { "mapped" })
    }
}

impl InPlace {
    /// Registers the pages that these bytes of `files` lie on; what cannot be is left out, and said in the log.
    ///
    /// # Errors
    /// What the driver says of the card.
    pub fn pinned<'b>(gpu: &Arc<Gpu>, files: Mapping, bytes: impl Iterator<Item = &'b [u8]>) -> Result<Self> {
        gpu.bind()?;
        let can = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED;
        let can = gpu.context().attribute(can).map_err(driver("asking what the card can do"))? != 0;
        let ranges = if can { pieces_of(pages_of(bytes)) } else { Vec::new() };
        let pinned = |range: &Range<usize>| {
            visit(range);
            if gpu.bind().is_err() {
                return false;
            }
            // SAFETY: the range lies within pages of mapped files, which are kept until it has been given back. The card
            // only reads them.
            let registered = unsafe {
                sys::cuMemHostRegister_v2(
                    range.start as *mut _,
                    range.len(),
                    sys::CU_MEMHOSTREGISTER_READ_ONLY,
                )
            };
            let registered = registered.result().map_err(driver("pinning a part of a file"));
            if let Err(error) = &registered {
                tracing::info!(%error, bytes = range.len(), "a part of a file is copied to be streamed");
            }
            registered.is_ok()
        };
        let ranges = ranges.into_par_iter().filter(pinned).collect();
        Ok(Self { gpu: Arc::clone(gpu), ranges, pinned: true, _files: files })
    }

    /// Nothing is pinned: threads copy what is brought, and the system reads from the disk what it had to let go.
    pub fn mapped<'b>(gpu: &Arc<Gpu>, files: Mapping, bytes: impl Iterator<Item = &'b [u8]>) -> Self {
        Self { gpu: Arc::clone(gpu), ranges: pages_of(bytes), pinned: false, _files: files }
    }

    /// Whether these bytes are among them.
    #[must_use]
    pub fn covers(&self, bytes: &[u8]) -> bool {
        covered(&self.ranges, bytes)
    }

    /// Whether the card reads them by itself.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        if self.pinned {
            self.ranges.iter().for_each(|range| unregister(self.gpu.context(), range.start));
        }
    }
}

fn addresses(bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr() as usize;
    start..start + bytes.len()
}

/// The pages that bytes lie on, joined where they touch: a page is registered once.
fn pages_of<'b>(bytes: impl Iterator<Item = &'b [u8]>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = bytes
        .filter(|bytes| !bytes.is_empty())
        .map(|bytes| {
            let Range { start, end } = addresses(bytes);
            start / PAGE * PAGE..end.next_multiple_of(PAGE)
        })
        .collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// Whether ranges, in order, hold all of these bytes, from one to the next where they touch.
fn covered(ranges: &[Range<usize>], bytes: &[u8]) -> bool {
    let Range { start, end } = addresses(bytes);
    let Some(first) = ranges.partition_point(|range| range.start <= start).checked_sub(1) else {
        return false;
    };
    let mut to = ranges[first].end;
    for range in &ranges[first + 1..] {
        if to >= end || range.start != to {
            break;
        }
        to = range.end;
    }
    end <= to
}

/// The parts of bytes that are covered, each of which lies in one range.
fn cut<'b>(ranges: &[Range<usize>], mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let Range { start, end } = addresses(bytes);
        let after = ranges.partition_point(|range| range.start <= start);
        let to = after.checked_sub(1).map_or(end, |at| ranges[at].end.clamp(start + 1, end));
        let (part, rest) = bytes.split_at(to - start);
        parts.push(part);
        bytes = rest;
    }
    parts
}

/// Ranges of pages in pieces.
fn pieces_of(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let pieces = |range: Range<usize>| {
        range.clone().step_by(PIECE).map(move |start| start..range.end.min(start + PIECE))
    };
    ranges.into_iter().flat_map(pieces).collect()
}

/// Has all threads look at every page: one after the other, the system would find them at 3 GB/s, or read a disk with one
/// request at a time.
fn visit(pages: &Range<usize>) {
    // SAFETY: the caller keeps the file mapped; its last page ends with zeros.
    let pages = unsafe { std::slice::from_raw_parts(pages.start as *const u8, pages.len()) };
    pages.par_chunks(LARGE_PAGE).for_each(|part| {
        std::hint::black_box(part.iter().step_by(PAGE).fold(0, |sum, byte| sum ^ byte));
    });
}

/// Bytes of a file, and where in a piece of device memory they go.
pub type Span<'w> = (usize, &'w [u8]);

/// The image of a piece of device memory: parts of files, and the rest in memory of its own.
#[derive(Debug)]
pub struct Image {
    own: Option<Pages>,
    segments: Vec<Segment>,
    bytes: usize,
    pinned: bool,
    // Segments that lie in files do so as long as this is kept.
    files: Option<Arc<InPlace>>,
}

/// A span in parts that each lie in one piece of what is pinned.
fn parted<'w>((mut to, bytes): Span<'w>, files: &InPlace) -> Vec<Span<'w>> {
    let parts = cut(&files.ranges, bytes).into_iter().map(|part| {
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
        let pinned =
            own.as_ref().is_none_or(Pages::is_pinned) && files.as_ref().is_none_or(|files| files.is_pinned());
        Ok(Self { own, segments, bytes, pinned, files })
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

    /// Whether the card copies all of it by itself.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Whether threads of the host copy it: whoever brings it waits for them.
    #[must_use]
    pub fn is_copied_by_host(&self) -> bool {
        self.files.as_ref().is_some_and(|files| !files.is_pinned())
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
            if self.is_copied_by_host() {
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

    #[test]
    fn bytes_are_covered_across_pieces_that_touch_and_cut_where_they_do() {
        let bytes = [0u8; 100];
        let at = |from: usize, to: usize| &bytes[from..to];
        let start = bytes.as_ptr() as usize;
        let ranges: Vec<_> = [10..30, 30..50, 60..80]
            .into_iter()
            .map(|part: Range<usize>| start + part.start..start + part.end)
            .collect();
        let lengths = |bytes| cut(&ranges, bytes).into_iter().map(<[u8]>::len).collect::<Vec<_>>();
        for (from, to, parts) in [
            (10, 30, vec![20]),
            (10, 50, vec![20, 20]),
            (15, 31, vec![15, 1]),
            (29, 50, vec![1, 20]),
            (60, 80, vec![20]),
            (12, 12, vec![]),
        ] {
            assert!(covered(&ranges, at(from, to)), "{from}..{to}");
            assert_eq!(lengths(at(from, to)), parts, "{from}..{to}");
        }
        for (from, to) in [(9, 20), (40, 51), (40, 70), (55, 58), (60, 81)] {
            assert!(!covered(&ranges, at(from, to)), "{from}..{to}");
        }
        assert_eq!(
            pieces_of(vec![0..PIECE + 5, 3 * PIECE..3 * PIECE + 1]),
            [0..PIECE, PIECE..PIECE + 5, 3 * PIECE..3 * PIECE + 1]
        );
    }

    #[test]
    fn pages_that_touch_are_joined_and_none_is_named_twice() {
        let bytes = vec![0u8; 10 * PAGE];
        let from = (bytes.as_ptr() as usize).next_multiple_of(PAGE) - bytes.as_ptr() as usize;
        let bytes = &bytes[from..];
        let parts =
            [&bytes[5 * PAGE..5 * PAGE + 1], &bytes[10..20], &bytes[PAGE - 1..PAGE + 1], &bytes[0..0]];
        let start = bytes.as_ptr() as usize;
        let pages: Vec<_> = pages_of(parts.into_iter())
            .into_iter()
            .map(|range| (range.start - start) / PAGE..(range.end - start) / PAGE)
            .collect();
        assert_eq!(pages, [0..2, 5..6]);
    }
}
