//! Weights that a file holds as the card wants them are not copied in host memory: the file's pages are registered where
//! they are mapped, in pieces, by all threads. Where so much cannot be pinned, threads copy them from there.

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute};
use rayon::prelude::*;

use super::error::{Result, driver};
use super::gpu::Gpu;
use super::host::{LARGE_PAGE, PAGE, unregister};
use crate::engine::weights::Mapping;

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

    /// The parts of these bytes, which are covered, that each lie in one piece.
    #[must_use]
    pub fn cut<'b>(&self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        cut(&self.ranges, bytes)
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

pub(super) fn addresses(bytes: &[u8]) -> Range<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
