//! Which bytes of a file are there: spans in order, without overlaps.

use std::ops::Range;

/// Spans of bytes; they never touch each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Range<u64>>);

impl Spans {
    /// From spans in any order, as far as they lie within `size`; overlapping ones become one.
    pub(super) fn within(spans: impl IntoIterator<Item = Range<u64>>, size: u64) -> Self {
        let mut all = Self::default();
        for span in spans {
            all.add(span.start.min(size)..span.end.min(size));
        }
        all
    }

    /// Adds a span.
    pub(super) fn add(&mut self, span: Range<u64>) {
        if span.is_empty() {
            return;
        }
        let first = self.0.partition_point(|have| have.end < span.start);
        let last = self.0.partition_point(|have| have.start <= span.end);
        let joined = match self.0.get(first..last) {
            Some([left, .., right]) => left.start.min(span.start)..right.end.max(span.end),
            Some([one]) => one.start.min(span.start)..one.end.max(span.end),
            _ => span,
        };
        self.0.splice(first..last, [joined]);
    }

    /// How many bytes from the beginning are there without a gap.
    pub(super) fn prefix(&self) -> u64 {
        self.0.first().filter(|span| span.start == 0).map_or(0, |span| span.end)
    }

    /// How many bytes are there.
    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|span| span.end - span.start).sum()
    }

    /// Where the last span ends.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |span| span.end)
    }

    /// What is not there of a file of `size` bytes, in order.
    pub(super) fn gaps(&self, size: u64) -> Vec<Range<u64>> {
        let ends = std::iter::once(0).chain(self.0.iter().map(|span| span.end));
        let starts = self.0.iter().map(|span| span.start).chain([size]);
        ends.zip(starts).map(|(end, start)| end..start).filter(|gap| !gap.is_empty()).collect()
    }

    /// The spans, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_say_what_a_map_of_every_byte_says(
            all in proptest::collection::vec((0_u64..64, 0_u64..16), 0..12)
        ) {
            let mut map = [false; 64];
            let mut spans = Spans::default();
            for (start, length) in all {
                let end = (start + length).min(64);
                spans.add(start..end);
                for byte in start..end {
                    map[usize::try_from(byte).expect("under 64")] = true;
                }
            }
            prop_assert_eq!(spans.len(), map.iter().filter(|&&have| have).count() as u64);
            prop_assert_eq!(spans.prefix(), map.iter().take_while(|&&have| have).count() as u64);
            let missing: u64 = spans.gaps(64).iter().map(|gap| gap.end - gap.start).sum();
            prop_assert_eq!(missing + spans.len(), 64);
            prop_assert!(spans.gaps(64).iter().all(|gap| gap.clone().all(|byte| !map[usize::try_from(byte).expect("under 64")])));
            prop_assert!(spans.0.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

    #[test]
    fn spans_beyond_the_file_are_cut() {
        let spans = Spans::within([90..u64::MAX, 5..10, 0..5], 100);
        assert_eq!(spans.iter().cloned().collect::<Vec<_>>(), [0..10, 90..100]);
        assert_eq!(spans.gaps(100), vec![10..90]);
    }
}
