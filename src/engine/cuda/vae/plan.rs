//! Where the pictures between the layers lie. A walk without a card writes down when each is made and last read; from
//! that every one gets its offset into one piece of memory, the largest first, and the size of that is known beforehand.

use std::ops::Range;

use super::super::memory::aligned;

/// What a walk has made so far.
#[derive(Debug, Default)]
pub struct Log {
    pieces: Vec<Piece>,
    now: usize,
}

#[derive(Debug, Clone)]
struct Piece {
    bytes: usize,
    /// From its making to its giving back.
    life: Range<usize>,
}

/// An offset for each piece, in the order of their making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    places: Vec<usize>,
    /// Bytes of all.
    pub bytes: usize,
}

impl Log {
    /// A piece of so many bytes is made: its number.
    pub fn take(&mut self, bytes: usize) -> usize {
        self.now += 1;
        self.pieces.push(Piece { bytes: aligned(bytes), life: self.now..usize::MAX });
        self.pieces.len() - 1
    }

    /// Nobody reads it any more.
    pub fn give(&mut self, number: usize) {
        self.now += 1;
        self.pieces[number].life.end = self.now;
    }

    /// Gives each piece the lowest place, from byte `begin` on, that is free for all of its life; the largest first.
    pub fn plan(&self, begin: usize) -> Plan {
        let mut order: Vec<usize> = (0..self.pieces.len()).collect();
        order.sort_by_key(|&number| std::cmp::Reverse(self.pieces[number].bytes));
        let mut plan = Plan { places: vec![begin; order.len()], bytes: begin };
        for (done, &number) in order.iter().enumerate() {
            let Piece { bytes, life } = &self.pieces[number];
            let meets = |other: &Range<usize>| other.start < life.end && life.start < other.end;
            let mut beside: Vec<Range<usize>> = order[..done]
                .iter()
                .filter(|&&other| meets(&self.pieces[other].life))
                .map(|&other| plan.places[other]..plan.places[other] + self.pieces[other].bytes)
                .collect();
            beside.sort_by_key(|taken| taken.start);
            let mut at = begin;
            for taken in beside {
                if at + bytes <= taken.start {
                    break;
                }
                at = at.max(taken.end);
            }
            plan.places[number] = at;
            plan.bytes = plan.bytes.max(at + bytes);
        }
        plan
    }
}

impl Plan {
    /// The offset of a piece.
    pub fn place(&self, number: usize) -> usize {
        self.places[number]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_given_back_is_used_again() {
        let mut log = Log::default();
        let (a, b) = (log.take(1000), log.take(256));
        log.give(a);
        let c = log.take(1024);
        log.give(b);
        let d = log.take(200);
        let plan = log.plan(512);
        assert_eq!([a, b, c, d].map(|number| plan.place(number)), [512, 1536, 512, 1536]);
        assert_eq!(plan.bytes, 1792);
    }

    proptest! {
        #[test]
        fn no_two_living_pieces_overlap(steps in prop::collection::vec((any::<bool>(), 1usize..5000), 1..100)) {
            let mut log = Log::default();
            let mut out = Vec::new();
            for (back, bytes) in steps {
                if back && !out.is_empty() {
                    log.give(out.swap_remove(bytes % out.len()));
                } else {
                    out.push(log.take(bytes));
                }
            }
            let plan = log.plan(256);
            let pieces = || log.pieces.iter().zip(&plan.places);
            for (a, &at) in pieces() {
                prop_assert!(at >= 256 && at + a.bytes <= plan.bytes);
                let beside = pieces().filter(|(b, _)| a.life.contains(&b.life.start) && a.life != b.life);
                for (b, &other) in beside {
                    prop_assert!(at + a.bytes <= other || other + b.bytes <= at);
                }
            }
        }
    }
}
