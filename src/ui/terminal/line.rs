//! The line to the terminal: how much it carries, told from how long what was written takes to arrive.
//!
//! Behind whatever may fill the line a question goes out that every terminal answers (DSR), so that the answer says when
//! all of it has arrived, however much of it lay in the buffers of a PTY or of ssh. Where no answers come there is only
//! how long writing took.

use std::time::{Duration, Instant};

/// The question: the terminal's status. Its answer is `ESC [ 0 n`.
pub const ASK: &str = "\x1b[5n";
/// Frames of so many bytes or more are asked about.
pub const LARGE: usize = 1024;
/// Between two previews of a running picture, however fast the line is.
const PAUSE: Duration = Duration::from_millis(250);
/// Previews take at most one part of so many of the line's time.
const SHARE: u32 = 12;
/// How long a key may be behind a preview.
const KEY: Duration = Duration::from_millis(16);
/// An answer that is not there by then never comes: what it was to say is a guess no more.
const LOST: Duration = Duration::from_secs(10);
/// A write that took less says nothing of the line: it went into a buffer.
const BLOCKED: Duration = Duration::from_millis(20);
/// Differences of arrival below this are chance.
const NOISE: Duration = Duration::from_millis(5);
/// No preview is made smaller than so many bytes.
const LEAST: usize = 1536;

/// What is known of the line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Line {
    /// The shortest time from a question to its answer: the round trip.
    trip: Option<Duration>,
    /// Bytes a second; `None` while nothing was slow.
    rate: Option<f64>,
    /// What was written and is not answered: when, and how many bytes.
    waits: Option<(Instant, usize)>,
    /// When the line has had its share of what was sent last.
    rests_until: Option<Instant>,
}

impl Line {
    /// Something was written with a question behind it.
    pub fn sent(&mut self, bytes: usize, now: Instant) {
        self.waits = Some((now, bytes));
        self.rests_until = Some(now + PAUSE);
    }

    /// The answer is there.
    pub fn answered(&mut self, now: Instant) {
        let Some((since, bytes)) = self.waits.take() else { return };
        let took = now.saturating_duration_since(since);
        let trip = self.trip.map_or(took, |trip| trip.min(took));
        // The first answer of all is the round trip and what was sent with it, which nobody can tell apart.
        let known = self.trip.is_some();
        self.trip = Some(trip);
        let drained = took.saturating_sub(trip);
        if known && drained > NOISE && bytes >= LARGE {
            self.learn(bytes as f64 / drained.as_secs_f64());
        } else if known && bytes >= LARGE {
            // Fast again: what was slow may have been something else.
            self.rate = self.rate.map(|rate| rate * 2.0).filter(|rate| *rate < 1e8);
        }
        self.rest(drained, now);
    }

    /// Writing so many bytes took so long.
    pub fn written(&mut self, bytes: usize, took: Duration, now: Instant) {
        if took < BLOCKED || bytes < LARGE {
            return;
        }
        self.learn(bytes as f64 / took.as_secs_f64());
        self.rest(took, now);
    }

    fn learn(&mut self, rate: f64) {
        // Half of what was known: one answer may be late by chance.
        self.rate = Some(self.rate.map_or(rate, |known| (known + rate) / 2.0));
    }

    fn rest(&mut self, busy: Duration, now: Instant) {
        self.rests_until = self.rests_until.max(Some(now + busy * SHARE));
    }

    /// Whether the terminal answers this question at all.
    #[must_use]
    pub fn has_answers(&self) -> bool {
        self.trip.is_some()
    }

    /// Whether an answer is due: nothing that may fill the line is to be begun. Of a terminal that has never answered none
    /// is.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.has_answers() && self.waits.is_some_and(|(since, _)| now < since + LOST)
    }

    /// When the next preview may be begun, if only time is in the way.
    #[must_use]
    pub fn free_at(&self) -> Option<Instant> {
        let answered = self.waits.filter(|_| self.has_answers()).map(|(since, _)| since + LOST);
        answered.max(self.rests_until)
    }

    /// Whether the line is so slow that previews have to be made for it.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.budget().is_some()
    }

    /// The bytes that a preview may have, so that a key is not behind it for long; `None` for any number.
    #[must_use]
    pub fn budget(&self) -> Option<usize> {
        let bytes = self.rate? * KEY.as_secs_f64();
        // At 64 KiB in the time of a key it is a line as any at home.
        (bytes < 65_536.0).then(|| (bytes as usize).max(LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: u64 = 40;

    /// What is learned over a line that carries so many bytes a second, previews of so many bytes, as often as it allows.
    fn over(rate: f64, bytes: usize, seconds: u64) -> (Line, usize) {
        let (mut line, begun) = (Line::default(), Instant::now());
        let mut now = begun;
        line.sent(4, now);
        now += Duration::from_millis(TRIP);
        line.answered(now);
        let mut previews = 0;
        while now < begun + Duration::from_secs(seconds) {
            now = now.max(line.free_at().unwrap_or(now));
            assert!(!line.is_full(now));
            line.sent(bytes, now);
            assert!(line.is_full(now), "one at a time");
            now += Duration::from_millis(TRIP) + Duration::from_secs_f64(bytes as f64 / rate);
            line.answered(now);
            previews += 1;
        }
        (line, previews)
    }

    #[test]
    fn a_fast_line_has_four_previews_a_second_of_any_size() {
        let (line, previews) = over(100e6, 60_000, 10);
        assert!((36..=41).contains(&previews), "{previews}");
        assert_eq!(line.budget(), None);
    }

    #[test]
    fn a_slow_line_has_fewer_and_smaller_ones() {
        let (line, previews) = over(125e3, 10_000, 10);
        let budget = line.budget().expect("it is slow");
        assert!((1900..2200).contains(&budget), "{budget}");
        // 80 ms each, at most a twelfth of the time.
        assert!((8..=11).contains(&previews), "{previews}");
        let (_, small) = over(125e3, budget, 10);
        assert!((25..=41).contains(&small), "{small}");
    }

    #[test]
    fn an_answer_that_never_comes_is_not_waited_for_for_ever() {
        let (mut line, now) = (Line::default(), Instant::now());
        line.sent(4, now);
        assert!(!line.is_full(now) && line.free_at() < Some(now + LOST), "it may never answer");
        line.answered(now);
        line.sent(5000, now);
        assert!(line.is_full(now + Duration::from_secs(9)));
        assert_eq!(line.free_at(), Some(now + LOST));
        assert!(!line.is_full(now + LOST));
    }

    #[test]
    fn without_answers_the_time_that_writing_takes_counts() {
        let (mut line, now) = (Line::default(), Instant::now());
        line.written(50_000, Duration::from_millis(1), now);
        assert_eq!((line.budget(), line.free_at()), (None, None));
        line.written(50_000, Duration::from_millis(400), now);
        assert_eq!(line.budget(), Some(2000));
        assert_eq!(line.free_at(), Some(now + Duration::from_millis(4800)));
    }
}
