//! What is told while files come, to whoever shows it, and how they are stopped.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::FetchError;
use crate::catalog::{Bytes, Place};

/// Speed is that of the last seconds.
const WINDOW: Duration = Duration::from_secs(6);

/// Told while files come. Calls come from several threads and should not take long.
pub trait Observer: Sync {
    /// How far all of them are, some times a second.
    fn progress(&self, progress: &Progress);
    /// Something that a person may want to know.
    fn notice(&self, notice: &Notice);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn progress(&self, _: &Progress) {}
    fn notice(&self, _: &Notice) {}
}

/// How far all files are together.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Bytes that are there, with those from earlier attempts.
    pub done: u64,
    /// Bytes of all files whose size is known.
    pub total: u64,
    /// Bytes a second over the last seconds.
    pub speed: f64,
    /// Seconds left at that speed; `None` while nothing comes.
    pub remaining: Option<f64>,
    /// Files that are being fetched, in the order they were asked for.
    pub files: Vec<FileProgress>,
}

/// How far one file is.
#[derive(Debug, Clone, PartialEq)]
pub struct FileProgress {
    /// Which.
    pub place: Place,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes of the file.
    pub total: u64,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Another process is fetching the same file; its end is awaited.
    Waiting(Place),
    /// A request failed and is sent again.
    Retrying {
        /// Which file.
        place: Place,
        /// In how many seconds.
        seconds: f64,
        /// What happened.
        why: String,
    },
    /// One hub failed, another is asked.
    Elsewhere {
        /// Where it is looked for now.
        place: Place,
        /// What happened at the place before.
        why: String,
    },
    /// A part of an earlier attempt is gone on with.
    Resuming {
        /// Which file.
        place: Place,
        /// Bytes that are there.
        have: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// A file is in place.
    Done {
        /// Which.
        place: Place,
        /// Where.
        file: PathBuf,
        /// Whether it was there before.
        present: bool,
    },
}

impl Notice {
    /// What a person is told of it, if anything.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        match self {
            Self::Waiting(place) => Some(format!("another process is fetching {place}; waiting for it")),
            Self::Retrying { seconds, why, .. } => Some(format!("{why}; trying again in {seconds:.1} s")),
            Self::Elsewhere { place, why } => Some(format!("{why}; trying {place}")),
            Self::Resuming { place, have, size } => {
                Some(format!("going on with {place}: {} of {} are there", Bytes(*have), Bytes(*size)))
            }
            Self::Done { .. } => None,
        }
    }
}

/// Stops transfers from another thread. Clones stop together.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<(Mutex<bool>, Condvar)>);

impl Cancel {
    /// Stops everything: at once, with what is there kept.
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits that long.
    ///
    /// # Errors
    /// [`FetchError::Cancelled`] as soon as it is stopped.
    pub(super) fn pause(&self, time: Duration) -> Result<(), FetchError> {
        let stopped = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(stopped, time, |stopped| !*stopped);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 { Err(FetchError::Cancelled) } else { Ok(()) }
    }
}

/// One file's counter, shared between its transfer and those who show it.
#[derive(Debug)]
pub(super) struct Counter {
    pub place: Place,
    pub total: u64,
    pub done: AtomicU64,
    pub running: std::sync::atomic::AtomicBool,
}

/// All counters, and the speed over them.
#[derive(Debug, Default)]
pub(super) struct Meter {
    counters: Mutex<Vec<Arc<Counter>>>,
    /// When, and how many bytes were there.
    samples: Mutex<VecDeque<(Instant, u64)>>,
}

impl Meter {
    /// Counts a file, of which `done` bytes are there; anew if it was counted before.
    pub(super) fn add(&self, place: &Place, done: u64, total: u64) -> Arc<Counter> {
        let (done, running) = (AtomicU64::new(done), false.into());
        let counter = Arc::new(Counter { place: place.clone(), total, done, running });
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.retain(|other| other.place != *place);
        counters.push(Arc::clone(&counter));
        drop(counters);
        // What was there already is no speed.
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clear();
        counter
    }

    /// How far everything is at `now`.
    pub(super) fn read(&self, now: Instant) -> Progress {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |counter: &Counter| counter.done.load(Ordering::Relaxed);
        let done: u64 = counters.iter().map(|counter| of(counter)).sum();
        let total: u64 = counters.iter().map(|counter| counter.total).sum();
        let running = counters.iter().filter(|counter| counter.running.load(Ordering::Relaxed));
        let files = running.map(|counter| FileProgress {
            place: counter.place.clone(),
            done: of(counter),
            total: counter.total,
        });
        let speed = speed(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner), now, done);
        #[expect(clippy::cast_precision_loss, reason = "seconds left, shown whole")]
        let remaining = (speed > 0.0).then(|| total.saturating_sub(done) as f64 / speed);
        Progress { done, total, speed, remaining, files: files.collect() }
    }
}

/// Bytes a second over the window that ends now.
fn speed(samples: &mut VecDeque<(Instant, u64)>, now: Instant, done: u64) -> f64 {
    samples.push_back((now, done));
    while samples.len() > 2 && now.duration_since(samples[0].0) > WINDOW {
        samples.pop_front();
    }
    let (since, before) = samples[0];
    let seconds = now.duration_since(since).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a speed, shown with three digits")]
    let bytes = done.saturating_sub(before) as f64;
    if seconds > 0.0 { bytes / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_that_of_the_last_seconds_and_not_of_what_was_there() {
        let meter = Meter::default();
        let place: Place = "hf:a/b/c".parse().expect("an address");
        let counter = meter.add(&place, 500, 2_000);
        let start = Instant::now();
        assert_eq!(meter.read(start).speed, 0.0);
        for second in 1..=10_u64 {
            counter.done.store(500 + second * 100, Ordering::Relaxed);
            let progress = meter.read(start + Duration::from_secs(second));
            assert!((progress.speed - 100.0).abs() < 1e-6, "{progress:?}");
        }
        let progress = meter.read(start + Duration::from_secs(30));
        assert!(progress.speed < 10.0, "nothing came for long: {progress:?}");
        assert_eq!((progress.done, progress.total), (1_500, 2_000));
    }

    #[test]
    fn a_pause_ends_when_it_is_stopped() {
        let cancel = Cancel::default();
        let other = cancel.clone();
        let waiter = std::thread::spawn(move || other.pause(Duration::from_secs(600)));
        cancel.stop();
        assert!(matches!(waiter.join().expect("no panic"), Err(FetchError::Cancelled)));
    }
}
