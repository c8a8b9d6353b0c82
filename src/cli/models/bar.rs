//! The bar on standard error while files come: how much, how fast, and how long it will still take. Without a
//! terminal only what a log should have: retries, waits, other hubs.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::catalog::{Bytes, Place};
use crate::cli::text;
use crate::fetch::{FetchError, Notice, Observer, Progress};

/// The bar. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let seen = std::io::stderr().is_terminal();
        let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("[{bar:30}] {msg}").expect("a test uses the template");
        bar.set_style(style.progress_chars("=> "));
        Self(bar)
    }

    /// How far the reading of something is.
    pub(super) fn read(&self, done: u64, total: u64, what: &str) {
        self.0.set_length(total);
        self.0.set_position(done);
        self.0.set_message(what.to_owned());
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Observer for Bar {
    fn progress(&self, progress: &Progress) {
        if progress.total > 0 {
            self.read(progress.done, progress.total, &line(progress));
        }
    }

    fn notice(&self, notice: &Notice) {
        if let Some(said) = notice.sentence() {
            self.0.suspend(|| text::complain("note", &said));
        }
    }
}

/// What stands beside the bar.
fn line(progress: &Progress) -> String {
    let Progress { done, total, speed, remaining, files } = progress;
    let name = |place: &Place| place.path.rsplit('/').next().unwrap_or_default().to_owned();
    let names: Vec<_> = files.iter().map(|file| name(&file.place)).collect();
    let names = text::one_line(&names.join(", "), 40);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a speed, shown with two decimals"
    )]
    let speed = Bytes(*speed as u64);
    let left =
        remaining.filter(|_| done < total).map_or_else(String::new, |left| format!(", {} left", time(left)));
    let checking = if done == total && !files.is_empty() { ", checking" } else { "" };
    format!("{} of {}, {speed}/s{left}{checking}  {names}", Bytes(*done), Bytes(*total))
}

/// `42 s`, `3 min 5 s`, `2 h 10 min`.
fn time(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// What a person reads when something long was stopped.
pub(super) fn stopped() -> FetchError {
    FetchError::Cancelled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::FileProgress;

    #[test]
    fn the_line_says_how_much_how_fast_and_how_long() {
        let place: Place = "hf:a/b/vae/ae.safetensors".parse().expect("an address");
        let files = vec![FileProgress { place, done: 1, total: 2 }];
        let progress = Progress {
            done: 500_000_000,
            total: 23_800_000_000,
            speed: 1.1e8,
            remaining: Some(211.8),
            files,
        };
        assert_eq!(line(&progress), "500.0 MB of 23.80 GB, 110.0 MB/s, 3 min 31 s left  ae.safetensors");
        assert_eq!((time(7_812.0), time(f64::INFINITY).ends_with("min")), ("2 h 10 min".to_owned(), true));
        let bar = Bar::new();
        bar.progress(&progress);
        bar.clear();
    }
}
