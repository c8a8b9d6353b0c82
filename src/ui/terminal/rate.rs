//! What the line to the terminal carries, told from how long what was sent took to arrive.
//!
//! An answer comes late for two reasons: the line had to carry what stood before the question, and the terminal was drawing
//! and looked at it afterwards. Only the first grows with the bytes. So one answer says little, but for one that is later than
//! any terminal draws; what tells is how much later answers to more bytes are than answers to fewer, and of each kind the
//! earlier ones: whatever happens by chance makes an answer late, never early.

use std::collections::VecDeque;
use std::time::Duration;

/// At so many bytes a second it is a line as any at home: 64 KiB in the time of a key.
const FAST: f64 = 4_096_000.0;
/// What is known of the line is from so many answers about few bytes, and as many about many.
const SAMPLES: usize = 12;
/// Fewer say nothing.
const SAMPLES_MIN: usize = 3;
/// What is known of a slow line is looked at again after so many: one that is late by chance counts a few times at most.
const EACH: usize = 4;
/// Many are so many times as many as few, or they cannot be told apart.
const APART: f64 = 1.5;
/// The most that what is known of a slow line is taken to be wrong by at a time.
const STEP: f64 = 4.0;
/// A difference below this is none.
const NOISE: Duration = Duration::from_millis(2);
/// So many times what the middle half of the answers about few bytes differ by, a difference is none by chance.
const SURE: f64 = 2.0;
/// Below so many times that, it may be chance.
const CHANCE: f64 = 0.5;

/// What every second piece takes of a slow line's time.
const SHORT: Duration = Duration::from_millis(3);
/// What the others take.
const LONG: Duration = Duration::from_millis(8);
/// No short piece has fewer bytes: what stands around them would be more.
const SHORT_MIN: f64 = 256.0;
/// No long piece: the two have to be told apart by how long they take.
const LONG_MIN: f64 = 768.0;
/// No line is taken for a slower one: 128 kbit/s.
const SLOWEST: f64 = 16_000.0;

/// What is concluded from while nothing is known to be slow.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Patience {
    /// So many bytes are many.
    many: f64,
    /// How much later many bytes arrive than few where the line is called slow.
    difference: Duration,
    /// How late one answer about many bytes may be.
    one: Duration,
}

/// The terminal may be far away.
const FAR: Patience =
    Patience { many: 1024.0, difference: Duration::from_millis(12), one: Duration::from_millis(150) };
/// It is on this machine as far as can be told: what is late is its drawing.
const NEAR: Patience =
    Patience { many: 8192.0, difference: Duration::from_millis(100), one: Duration::from_millis(400) };

/// Bytes, and the seconds that they took beyond a round trip.
type Sample = (f64, f64);

/// Bytes a second, as far as they are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rate {
    patience: Patience,
    few: VecDeque<Sample>,
    many: VecDeque<Sample>,
    /// Answers since the last look at a slow line.
    since: usize,
    /// While the line is slow.
    known: Option<f64>,
}

/// What answers about few and about many bytes say.
struct Both {
    /// An early one of each.
    early: [Sample; 2],
    /// What the middle half of those about few differ by, in seconds.
    spread: f64,
}

impl Rate {
    /// Nothing is known yet of a terminal that may be far away, or is not.
    pub(super) fn new(far: bool) -> Self {
        let patience = if far { FAR } else { NEAR };
        Self { patience, few: VecDeque::new(), many: VecDeque::new(), since: 0, known: None }
    }

    /// Bytes a second, where the line is slow.
    pub(super) fn slow(&self) -> Option<f64> {
        self.known
    }

    /// Bytes of a short piece and of a long one, where the line is slow: sent in turns, they keep telling what it carries.
    pub(super) fn pieces(&self) -> Option<[usize; 2]> {
        let of = |known: f64, time: Duration, least: f64| (known * time.as_secs_f64()).max(least) as usize;
        self.known.map(|known| [of(known, SHORT, SHORT_MIN), of(known, LONG, LONG_MIN)])
    }

    /// So many bytes took so long beyond a round trip.
    pub(super) fn learn(&mut self, bytes: usize, took: Duration) {
        let sample @ (bytes, _) = (bytes as f64, took.as_secs_f64());
        let many = self.pieces().map_or(self.patience.many, |[short, long]| ((short * long) as f64).sqrt());
        let samples = if bytes < many { &mut self.few } else { &mut self.many };
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
        self.since += 1;
        let known = match self.known {
            None if took >= self.patience.one && bytes >= many => Some(bytes / took.as_secs_f64()),
            None => self.both().and_then(|both| both.rate(self.patience.difference, SURE)),
            Some(known) if self.since >= EACH => Some(self.looked_at_again(known)),
            known => known,
        };
        self.known = known.filter(|rate| *rate < FAST).map(|rate| rate.max(SLOWEST));
    }

    /// What was slow may have been the terminal, and the line may be another by now: found out step by step.
    fn looked_at_again(&mut self, known: f64) -> f64 {
        self.since = 0;
        let Some(both) = self.both() else { return known };
        let rate = both.rate(NOISE, CHANCE).unwrap_or(f64::INFINITY).clamp(known / STEP, known * STEP);
        (known * rate).sqrt()
    }

    /// Without answers: writing so many bytes was held up for so long.
    pub(super) fn held_up(&mut self, bytes: usize, took: Duration) {
        let rate = bytes as f64 / took.as_secs_f64();
        self.known = Some(self.known.map_or(rate, |known| (known + rate) / 2.0)).filter(|rate| *rate < FAST);
    }

    /// What the terminal takes for itself before it answers, and a short piece takes of the line.
    pub(super) fn late(&self) -> Duration {
        self.both().map_or(Duration::ZERO, |both| Duration::from_secs_f64(both.early[0].1))
    }

    fn both(&self) -> Option<Both> {
        if self.few.len().min(self.many.len()) < SAMPLES_MIN {
            return None;
        }
        let (early, spread) = quarters(&self.few);
        let early = [early, quarters(&self.many).0];
        (early[1].0 > early[0].0 * APART).then_some(Both { early, spread })
    }
}

/// The sample that a quarter of all were earlier than, and how much later the one is that a quarter were later than.
fn quarters(samples: &VecDeque<Sample>) -> (Sample, f64) {
    let mut samples = Vec::from_iter(samples.iter().copied());
    samples.sort_by(|one, other| one.1.total_cmp(&other.1));
    let (early, late) = (samples[samples.len() / 4], samples[samples.len() * 3 / 4]);
    (early, late.1 - early.1)
}

impl Both {
    /// Bytes a second, where more of them take at least so much longer, and so many times the spread.
    fn rate(&self, difference: Duration, spreads: f64) -> Option<f64> {
        let [(few, early), (many, late)] = self.early;
        let seconds = late - early;
        (seconds >= difference.as_secs_f64().max(self.spread * spreads)).then(|| (many - few) / seconds)
    }
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;
