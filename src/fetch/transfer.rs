//! The bytes of one file: pieces of it over several connections where the server gives ranges, else one stream.
//!
//! Pieces are taken in order, so that the hash, which must be made from the beginning, follows closely. A piece that
//! breaks off goes on from where it was.

use std::collections::VecDeque;
use std::io::Read as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use ureq::http::Method;

use super::error::FetchError;
use super::http::{Answer, Ask, Client};
use super::hubs::Server;
use super::part::Part;
use super::patience::Patience;
use super::progress::Counter;
use super::remote::{Remote, refusal};
use crate::catalog::Place;

/// How much is taken from a connection at a time.
const BUFFER: usize = 256 * 1024;

/// One file's transfer.
pub(super) struct Transfer<'a> {
    client: &'a Client,
    server: &'a Server,
    remote: &'a Remote,
    part: &'a Part,
    counter: &'a Counter,
    patience: Patience<'a>,
    /// What is still to be asked for, in order. Pieces are cut off it one by one: a list of them would be as long as a
    /// server says that the file is.
    gaps: Mutex<VecDeque<Range<u64>>>,
    /// Where the hub sent us: asked directly from then on, until it refuses.
    direct: Mutex<Option<String>>,
    /// Set by the first connection that gives up; the others end then.
    failed: AtomicBool,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        (client, server, remote): (&'a Client, &'a Server, &'a Remote),
        part: &'a Part,
        counter: &'a Counter,
        patience: Patience<'a>,
    ) -> Self {
        let (gaps, direct) = (Mutex::new(part.gaps().into()), Mutex::new(None));
        Self { client, server, remote, part, counter, patience, gaps, direct, failed: AtomicBool::new(false) }
    }

    /// Fetches all that is missing.
    ///
    /// # Errors
    /// The first thing that trying again does not help against.
    pub(super) fn run(&self) -> Result<(), FetchError> {
        let Some(first) = self.next() else { return Ok(()) };
        let answer = self.open_patiently(&first)?;
        if answer.status == 200 {
            return self.whole(answer);
        }
        let others = self.left().min(self.patience.options.connections.saturating_sub(1));
        thread::scope(|scope| {
            let helpers: Vec<_> = (0..others).map(|_| scope.spawn(|| self.work(None))).collect();
            let mut result = self.work(Some((first, answer)));
            for helper in helpers {
                let other = helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = worse(result, other);
            }
            result
        })
    }

    /// Fetches piece after piece.
    fn work(&self, opened: Option<(Range<u64>, Answer)>) -> Result<(), FetchError> {
        let mut buffer = vec![0; BUFFER];
        let (mut piece, mut answer) = match opened {
            Some((piece, answer)) => (Some(piece), Some(answer)),
            None => (self.next(), None),
        };
        while let Some(range) = piece {
            let fetched = self.piece(range, answer.take(), &mut buffer);
            if fetched.is_err() {
                self.failed.store(true, Ordering::Relaxed);
                return fetched;
            }
            piece = self.next();
        }
        Ok(())
    }

    /// Fetches one piece, in as many requests as it takes.
    fn piece(
        &self,
        piece: Range<u64>,
        mut answer: Option<Answer>,
        buffer: &mut [u8],
    ) -> Result<(), FetchError> {
        let (mut at, mut failures) = (piece.start, 0);
        while at < piece.end {
            let before = at;
            let opened = match answer.take() {
                Some(answer) => Ok(answer),
                None => self.open(&(at..piece.end), true),
            };
            let came = opened.and_then(|answer| match answer.status {
                206 => self.stream(answer, &mut at, piece.end, buffer),
                _ => Err(self.unusable(&answer, "a whole file in answer to a range of it")),
            });
            let Err(error) = came else { continue };
            failures = if at > before { 1 } else { failures + 1 };
            self.patience.after(error, failures, self.patience.options.tries)?;
        }
        Ok(())
    }

    /// Fetches a file from a server that gives no ranges: all of it, from the beginning each time.
    fn whole(&self, first: Answer) -> Result<(), FetchError> {
        let (mut buffer, mut answer, mut failures) = (vec![0; BUFFER], Some(first), 0);
        let all = 0..self.part.size();
        loop {
            self.part.restart()?;
            self.counter.done.store(0, Ordering::Relaxed);
            let opened = match answer.take() {
                Some(answer) => Ok(answer),
                None => self.open(&all, false),
            };
            let mut at = 0;
            let came = opened.and_then(|answer| self.stream(answer, &mut at, all.end, &mut buffer));
            let Err(error) = came else { return Ok(()) };
            failures += 1;
            self.patience.after(error, failures, self.patience.options.tries)?;
        }
    }

    fn open_patiently(&self, range: &Range<u64>) -> Result<Answer, FetchError> {
        let mut failures = 0;
        loop {
            match self.open(range, true) {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    failures += 1;
                    self.patience.after(error, failures, self.patience.options.tries)?;
                }
            }
        }
    }

    /// Asks for bytes; the answer is 206 with exactly them, or 200 with the whole file.
    fn open(&self, range: &Range<u64>, ranged: bool) -> Result<Answer, FetchError> {
        self.check()?;
        let direct = self.direct().clone();
        let url = direct.as_deref().unwrap_or(&self.remote.url);
        let range_of = ranged.then(|| (range.start, range.end - 1));
        let (hub, server, method) = (self.remote.place.hub, self.server, Method::GET);
        let ask = Ask { hub, server, method, url, range: range_of, only_described: false };
        let answer = self.client.send(&ask)?;
        match answer.status {
            206 => self.check_range(&answer, range)?,
            200 => self.check_length(&answer, self.part.size())?,
            416 => {
                return Err(
                    self.wrong_length(content_range(&answer).and_then(|(_, total)| total).unwrap_or(0))
                );
            }
            // An address that the hub gave runs out after a while; it gives another.
            400..=410 if direct.is_some() => {
                *self.direct() = None;
                return Err(self.unusable(&answer, &format!("{} for an address that ran out", answer.status)));
            }
            _ => return Err(refusal(self.client, self.server, &self.remote.place, answer)),
        }
        if answer.url != self.remote.url {
            *self.direct() = Some(answer.url.clone());
        }
        Ok(answer)
    }

    /// That an answer of 206 has the bytes that were asked for, of a file of the right size.
    fn check_range(&self, answer: &Answer, range: &Range<u64>) -> Result<(), FetchError> {
        let told =
            content_range(answer).ok_or_else(|| self.unusable(answer, "206 without a Content-Range"))?;
        match told {
            (_, Some(total)) if total != self.part.size() => Err(self.wrong_length(total)),
            (Some((first, last)), _) if first == range.start && last == range.end - 1 => {
                self.check_length(answer, range.end - range.start)
            }
            _ => Err(self.unusable(answer, "another range than the one that was asked for")),
        }
    }

    fn check_length(&self, answer: &Answer, length: u64) -> Result<(), FetchError> {
        match answer.number("content-length") {
            Some(told) if told != length => {
                Err(FetchError::Length { place: self.place(), said: length, got: told })
            }
            _ => Ok(()),
        }
    }

    /// Puts what comes into the part, up to `end` and not a byte further.
    fn stream(&self, answer: Answer, at: &mut u64, end: u64, buffer: &mut [u8]) -> Result<(), FetchError> {
        let mut body = answer.body.into_reader();
        loop {
            self.check()?;
            let read = match body.read(buffer) {
                // All is there; how the connection ends does not matter.
                Err(_) if *at == end => return Ok(()),
                Err(error) => return Err(self.cut(error.to_string())),
                Ok(0) if *at == end => return Ok(()),
                Ok(0) => return Err(self.cut("the server closed it".to_owned())),
                Ok(read) => read,
            };
            if read as u64 > end - *at {
                return Err(self.wrong_length(self.part.size().saturating_add(read as u64 - (end - *at))));
            }
            self.part.write(*at, &buffer[..read])?;
            *at += read as u64;
            self.counter.done.fetch_add(read as u64, Ordering::Relaxed);
        }
    }

    /// Whether to go on at all.
    fn check(&self) -> Result<(), FetchError> {
        let stopped = self.failed.load(Ordering::Relaxed) || self.patience.cancel.is_stopped();
        if stopped { Err(FetchError::Cancelled) } else { Ok(()) }
    }

    fn cut(&self, why: String) -> FetchError {
        let (got, of) = (self.part.have(), self.part.size());
        FetchError::Cut { place: self.place(), got, of, tries: self.patience.options.tries, why }
    }

    fn wrong_length(&self, got: u64) -> FetchError {
        FetchError::Length { place: self.place(), said: self.part.size(), got }
    }

    fn place(&self) -> Box<Place> {
        Box::new(self.remote.place.clone())
    }

    fn unusable(&self, answer: &Answer, what: &str) -> FetchError {
        FetchError::Answer { host: answer.host(), what: what.to_owned() }
    }

    /// The next piece to ask for.
    fn next(&self) -> Option<Range<u64>> {
        take(&mut self.gaps(), self.patience.options.piece.max(1))
    }

    /// How many pieces are left.
    fn left(&self) -> usize {
        let bytes: u64 = self.gaps().iter().map(|gap| gap.end - gap.start).sum();
        let pieces = bytes.div_ceil(self.patience.options.piece.max(1));
        usize::try_from(pieces).unwrap_or(usize::MAX)
    }

    fn gaps(&self) -> MutexGuard<'_, VecDeque<Range<u64>>> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn direct(&self) -> MutexGuard<'_, Option<String>> {
        self.direct.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of two results the one that says more: a real failure before a connection that was told to end.
fn worse(one: Result<(), FetchError>, other: Result<(), FetchError>) -> Result<(), FetchError> {
    match (one, other) {
        (Err(FetchError::Cancelled) | Ok(()), Err(other)) => Err(other),
        (one, _) => one,
    }
}

/// Cuts a piece off the first gap.
fn take(gaps: &mut VecDeque<Range<u64>>, piece: u64) -> Option<Range<u64>> {
    let gap = gaps.pop_front()?;
    let end = gap.start.saturating_add(piece).min(gap.end);
    if end < gap.end {
        gaps.push_front(end..gap.end);
    }
    Some(gap.start..end)
}

/// First and last byte, and the size of the whole, of `bytes 0-9/100`; each may be unknown.
#[expect(clippy::type_complexity, reason = "two optional things that are told together")]
fn content_range(answer: &Answer) -> Option<(Option<(u64, u64)>, Option<u64>)> {
    let (range, total) = answer.header("content-range")?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let span =
        range.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    Some((span, total.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_gaps_once_and_in_order() {
        let mut gaps = VecDeque::from([5..12, 20..22]);
        let pieces: Vec<_> = std::iter::from_fn(|| take(&mut gaps, 3)).collect();
        assert_eq!(pieces, [5..8, 8..11, 11..12, 20..22]);
        let mut hostile = VecDeque::new();
        hostile.push_back(0..u64::MAX);
        assert_eq!((take(&mut hostile, 10), hostile.len()), (Some(0..10), 1));
    }
}
