//! Weights that a file holds as the card wants them are not copied in host memory: the card reads the file's pages where
//! they are mapped, once they are registered. That takes as long as to copy them twice, and holds up whoever else wants the
//! driver; so the first step is brought by threads of the host, and pieces are pinned one by one while later steps run
//! ([`super::pinning`]). Where so much may not be pinned, threads go on to copy them from there.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cudarc::driver::sys::{self, CUdevice_attribute};

use super::error::{Result, driver};
use super::gpu::Gpu;
use super::host::{PAGE, unregister};
use crate::engine::weights::Mapping;

/// Bytes that are pinned at a time: the driver serves nobody else meanwhile, for half a millisecond.
const PIECE: usize = 16 << 20;
/// What others are let have the driver for, between two pieces, at most: one that had to be read from a slow disk says
/// nothing of the driver.
const LONGEST: Duration = Duration::from_millis(2);

/// Parts of mapped files that the card reads where they are, or that threads of the host copy from there.
pub struct InPlace {
    gpu: Arc<Gpu>,
    /// Addresses, in order. What may be pinned is in pieces of at most [`PIECE`]: a copy lies in one of them.
    pieces: Vec<Range<usize>>,
    /// Of each piece; none goes back from it. Empty where nothing may be.
    pinned: Vec<AtomicBool>,
    // The pages stay mapped until they are given back.
    _files: Mapping,
}

impl std::fmt::Debug for InPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: usize = self.pieces.iter().map(Range::len).sum();
        let pinned = self.pinned.iter().filter(|pinned| pinned.load(Ordering::Relaxed)).count();
        write!(f, "InPlace({bytes} bytes, {pinned} of {} pieces pinned)", self.pieces.len())
    }
}

impl InPlace {
    /// The pages that these bytes of `files` lie on, to be pinned later: the first piece at once, to see whether that can
    /// be done. Where it cannot, nothing is covered, and that is said in the log.
    ///
    /// # Errors
    /// What the driver says of the card.
    pub fn to_pin<'b>(gpu: &Arc<Gpu>, files: Mapping, bytes: impl Iterator<Item = &'b [u8]>) -> Result<Self> {
        gpu.bind()?;
        let can = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED;
        let can = gpu.context().attribute(can).map_err(driver("asking what the card can do"))? != 0;
        let pieces = if can { pieces_of(pages_of(bytes)) } else { Vec::new() };
        let pinned = pieces.iter().map(|_| AtomicBool::new(false)).collect();
        let mut all = Self { gpu: Arc::clone(gpu), pieces, pinned, _files: files };
        if !all.pinned.is_empty() && !all.pin_piece(0) {
            (all.pieces, all.pinned) = (Vec::new(), Vec::new());
        }
        Ok(all)
    }

    /// Nothing will be pinned: threads copy what is brought, and the system reads from the disk what it had to let go.
    pub fn mapped<'b>(gpu: &Arc<Gpu>, files: Mapping, bytes: impl Iterator<Item = &'b [u8]>) -> Self {
        Self { gpu: Arc::clone(gpu), pieces: pages_of(bytes), pinned: Vec::new(), _files: files }
    }

    /// Pins piece after piece, as long as that is `wanted`, and lets others have the driver for as long as each took. What
    /// cannot be pinned goes on to be copied by the host, and that is said in the log. True when all of it is pinned.
    ///
    /// # Errors
    /// What the driver says of the card.
    pub fn pin(&self, wanted: &dyn Fn() -> bool) -> Result<bool> {
        self.gpu.bind()?;
        for piece in 0..self.pinned.len() {
            if self.pinned[piece].load(Ordering::Relaxed) {
                continue;
            }
            let begun = Instant::now();
            if !wanted() || !self.pin_piece(piece) {
                return Ok(false);
            }
            // The driver serves whoever asks again first, which would be this loop: steps would wait for all of it.
            std::thread::sleep(begun.elapsed().min(LONGEST));
        }
        Ok(true)
    }

    /// Whether it could be.
    fn pin_piece(&self, piece: usize) -> bool {
        let range = &self.pieces[piece];
        // SAFETY: the range lies within pages of mapped files, which are kept until it has been given back. The card only
        // reads them.
        let registered = unsafe {
            sys::cuMemHostRegister_v2(range.start as *mut _, range.len(), sys::CU_MEMHOSTREGISTER_READ_ONLY)
        };
        let registered = registered.result().map_err(driver("pinning a part of a file"));
        match registered {
            // What follows may let the card read it.
            Ok(()) => self.pinned[piece].store(true, Ordering::Release),
            Err(error) => {
                let bytes: usize = self.pieces[piece..].iter().map(Range::len).sum();
                tracing::info!(%error, bytes, "parts of files are copied to be streamed");
                return false;
            }
        }
        true
    }

    /// Whether these bytes are among them.
    #[must_use]
    pub fn covers(&self, bytes: &[u8]) -> bool {
        covered(&self.pieces, bytes)
    }

    /// The parts of these bytes, which are covered, that each lie in one piece.
    #[must_use]
    pub fn cut<'b>(&self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        cut(&self.pieces, bytes)
    }

    /// Whether the card reads these bytes by itself, which lie in one piece. From then on it always does.
    #[must_use]
    pub fn is_pinned(&self, bytes: &[u8]) -> bool {
        let after = self.pieces.partition_point(|piece| piece.start <= addresses(bytes).start);
        let pinned = after.checked_sub(1).and_then(|piece| self.pinned.get(piece));
        pinned.is_some_and(|pinned| pinned.load(Ordering::Acquire))
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        for (piece, pinned) in self.pieces.iter().zip(&self.pinned) {
            if pinned.load(Ordering::Acquire) {
                unregister(self.gpu.context(), piece.start);
            }
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
