//! The line to the terminal: how much it carries, and when the next of what can wait may be sent.
//!
//! Behind what may fill the line a question goes out that every terminal answers (DSR). The answer says when all of it has
//! arrived, however much of it lay in the buffers of a PTY or of ssh. Answers come in the order of the questions: what was
//! asked about began to arrive a trip after it was sent, or when what was before it had arrived, whichever is later. Where
//! no answers come there is only how long writing took.
//!
//! On a slow line what can wait (pictures, and what no key has changed) goes in pieces of some of its time, the next when the
//! line has had time for the last one and as much again: a key is behind one piece, and half of the line is free. Pieces are
//! short and long in turns: from two sizes can be told what the line takes and what the terminal does ([`Rate`]).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::rate::Rate;

/// The question: the terminal's status. Its answer is `ESC [ 0 n`.
pub const ASK: &str = "\x1b[5n";
/// Frames of so many bytes or more are asked about where the line may be slow, letters that are typed too: from small ones is
/// told what a terminal takes for itself.
const SMALL: usize = 32;
/// The same on a line that is known to be slow.
const SMALL_SLOW: usize = 192;
/// The same on this machine, and what is asked about behind a small one.
const LARGE: usize = 1024;
/// What may be on its way, beyond what a trip holds: a piece, and what comes late by chance.
const SLACK: Duration = Duration::from_millis(8);
/// How long a key may be behind a picture that cannot be divided and a long piece of text before it.
const KEY: Duration = Duration::from_millis(16);
/// What a preview that can be divided may take of the line's time: half of the line, twice a second.
const PREVIEW: Duration = Duration::from_millis(250);
/// No preview is made smaller than so many bytes.
pub const LEAST: usize = 1536;
/// Where no answers come: previews take at most one part of so many of the line's time.
const SHARE: u32 = 12;
/// An answer that is not there by then never comes: what it was to say is a guess no more.
const LOST: Duration = Duration::from_secs(10);
/// A write that took less says nothing of the line: it went into a buffer.
const BLOCKED: Duration = Duration::from_millis(20);
/// What waited behind something else and took less was looked at with it: the terminal was late for both.
const TOGETHER: Duration = Duration::from_millis(1);

/// Something that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its bytes.
    pub bytes: usize,
    /// Whether a question stands behind it.
    pub asks: bool,
    /// Whether more of what was drawn is still to be sent.
    pub behind: bool,
}

/// What is known of the line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The shortest time from a question to its answer: the round trip.
    trip: Option<Duration>,
    /// The terminal may be far away.
    far: bool,
    rate: Rate,
    /// The next piece is a long one.
    long: bool,
    /// What is asked about and not answered, the oldest first.
    asked: VecDeque<Asked>,
    last_answer: Option<Instant>,
    /// Bytes since the last question that was answered.
    unanswered: usize,
    /// When the line has carried what was sent, and has rested as long.
    free_at: Option<Instant>,
    behind: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Asked {
    at: Instant,
    /// Of what stood right before the question.
    bytes: usize,
    /// All that was sent since the question before.
    since: usize,
}

impl Line {
    /// To a terminal that may be far away, or is on this machine.
    #[must_use]
    pub fn new(far: bool) -> Self {
        Self {
            trip: None,
            far,
            rate: Rate::new(far),
            long: false,
            asked: VecDeque::new(),
            last_answer: None,
            unanswered: 0,
            free_at: None,
            behind: false,
        }
    }

    /// Something was written.
    pub fn sent(&mut self, sent: Sent, now: Instant) {
        self.behind = sent.behind;
        self.unanswered += sent.bytes;
        if sent.asks {
            let known: usize = self.asked.iter().map(|asked| asked.since).sum();
            let since = self.unanswered.saturating_sub(known);
            self.asked.push_back(Asked { at: now, bytes: sent.bytes, since });
        }
        if let Some(rate) = self.rate.slow().filter(|_| self.has_answers()) {
            self.long ^= sent.bytes >= SMALL_SLOW;
            let takes = Duration::from_secs_f64(sent.bytes as f64 / rate);
            self.free_at = Some(self.free_at.map_or(now, |free| free.max(now)) + takes * 2);
        }
    }

    /// The oldest question is answered.
    pub fn answered(&mut self, now: Instant) {
        let Some(asked) = self.asked.pop_front() else { return };
        let took = now.saturating_duration_since(asked.at);
        // The first answer of all is the round trip and what was sent with it, which nobody can tell apart.
        let known = self.trip.is_some();
        let trip = self.trip.map_or(took, |trip| trip.min(took));
        self.trip = Some(trip);
        let arrives = asked.at + trip;
        let began = self.last_answer.map_or(arrives, |last| last.max(arrives));
        let drained = now.saturating_duration_since(began);
        if known && asked.bytes >= SMALL && (began == arrives || drained > TOGETHER) {
            self.rate.learn(asked.bytes, drained);
        }
        self.last_answer = Some(now);
        self.unanswered = self.unanswered.saturating_sub(asked.since);
    }

    /// Writing so many bytes took so long.
    pub fn written(&mut self, bytes: usize, took: Duration, now: Instant) {
        // Answers say it better.
        if self.has_answers() || took < BLOCKED || bytes < LARGE {
            return;
        }
        self.rate.held_up(bytes, took);
        self.free_at = self.free_at.max(Some(now + took * SHARE));
    }

    /// Whether the terminal answers this question at all.
    #[must_use]
    pub fn has_answers(&self) -> bool {
        self.trip.is_some()
    }

    /// Whether so many bytes are to be asked about, with a question of which the answer tells something.
    #[must_use]
    pub fn asks_about(&self, bytes: usize, now: Instant) -> bool {
        if self.is_slow() {
            return bytes >= SMALL_SLOW;
        }
        let small = self.far && bytes >= SMALL && !self.answer_is_due(now);
        self.has_answers() && (small || (bytes >= LARGE && !self.large_is_due(now)))
    }

    /// Whether an answer is due. Of a terminal that has never answered none is.
    #[must_use]
    pub fn answer_is_due(&self, now: Instant) -> bool {
        self.has_answers() && self.asked.back().is_some_and(|asked| now < asked.at + LOST)
    }

    /// Whether so much is on its way that nothing which can wait is to be sent.
    fn is_full(&self, now: Instant) -> bool {
        let (Some(rate), Some(trip)) = (self.rate.slow(), self.trip) else { return self.large_is_due(now) };
        let most = (rate * (trip + self.rate.late() + SLACK).as_secs_f64()) as usize;
        self.answer_is_due(now) && self.unanswered > most
    }

    /// Whether the answer to a large one is due.
    fn large_is_due(&self, now: Instant) -> bool {
        self.answer_is_due(now) && self.asked.iter().any(|asked| asked.bytes >= LARGE)
    }

    /// When the next of what can wait may be sent, as far as only time is in the way: an answer may come before.
    #[must_use]
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        let answered = self.asked.back().filter(|_| self.is_slow() && self.is_full(now));
        answered.map(|asked| asked.at + LOST).max(self.free_at)
    }

    /// Whether the next of what can wait may be sent.
    #[must_use]
    pub fn is_ready(&self, now: Instant) -> bool {
        self.ready_at(now).is_none_or(|ready| ready <= now)
    }

    /// The bytes of a piece of what can wait; `None` for any number, at once.
    #[must_use]
    pub fn piece(&self) -> Option<usize> {
        let pieces = self.rate.pieces().filter(|_| self.has_answers())?;
        Some(pieces[usize::from(self.long)])
    }

    /// When the next preview may be ordered, as far as only time is in the way; `None` while what was drawn before is
    /// still to be sent.
    #[must_use]
    pub fn preview_at(&self, now: Instant) -> Option<Instant> {
        if self.behind {
            return None;
        }
        let answered = self.asked.back().filter(|_| self.is_full(now)).map(|asked| asked.at + LOST);
        let rested = self.free_at.filter(|_| !self.has_answers());
        Some(answered.max(rested).unwrap_or(now))
    }

    /// Whether the line is so slow that previews have to be made for it.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.rate.slow().is_some()
    }

    /// The bytes that a preview may have; `None` for any number. One that cannot be divided has what a key may wait for, less
    /// a piece of text that may stand before it.
    #[must_use]
    pub fn budget(&self, divides: bool) -> Option<usize> {
        let time = if divides && self.has_answers() { PREVIEW } else { KEY / 2 };
        self.rate.slow().map(|rate| ((rate * time.as_secs_f64()) as usize).max(LEAST))
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
