//! Fetching a model: its files by [`crate::fetch`], and what a client is told meanwhile.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fetch::{
    self, Cancel, FetchError, Fetched, Hubs, Kept, Ledger, Notice, Observer, Options, Progress, Wanted,
};
use crate::wire::message::{FetchProgress, Refusal};

/// How often progress is told: a line over which a studio is shown need not carry more.
const EVERY: Duration = Duration::from_millis(250);

/// Is told how far a fetch is, a few times a second.
pub type Tell<'t> = dyn Fn(FetchProgress) + Sync + 't;

/// Why a model was not fetched. What has come of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum Unfetched {
    /// A person wanted no more, or the worker ends.
    #[error("it was stopped; what is there is kept")]
    Stopped,
    /// Files that did not come.
    #[error("{first}{}", more(*.others))]
    Files {
        /// Why the first of them did not.
        first: Box<FetchError>,
        /// How many others did not.
        others: usize,
    },
    /// There is nothing that could be fetched, or what came is not the model.
    #[error(transparent)]
    Model(#[from] Refusal),
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " (and one more file did not come)".to_owned(),
        others => format!(" (and {others} more files did not come)"),
    }
}

impl From<FetchError> for Unfetched {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Cancelled => Self::Stopped,
            first => Self::Files { first: Box::new(first), others: 0 },
        }
    }
}

/// Fetches the files of a model, until all are there or failed, and records those that are there. It blocks.
///
/// # Errors
/// [`Unfetched`]; a failure of one file does not keep the others from coming.
pub fn fetch_files(
    wanted: &[Wanted],
    hubs: &Hubs,
    options: &Options,
    record: PathBuf,
    tell: &Tell<'_>,
    cancel: &Cancel,
) -> Result<(), Unfetched> {
    let follower = Follower::new(wanted, tell);
    let results = fetch::pull(wanted, hubs, options, &follower, cancel)?;
    let kept: Vec<_> = results.iter().flatten().map(Kept::from).collect();
    if !kept.is_empty() {
        Ledger::at(record).add(&kept)?;
    }
    all_came(results)
}

fn all_came(results: Vec<Result<Fetched, FetchError>>) -> Result<(), Unfetched> {
    let mut failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    if failures.iter().any(|failure| matches!(failure, FetchError::Cancelled)) {
        return Err(Unfetched::Stopped);
    }
    if failures.is_empty() {
        return Ok(());
    }
    let first = Box::new(failures.remove(0));
    Err(Unfetched::Files { first, others: failures.len() })
}

/// Makes of what is told of files what a client is told of their model.
struct Follower<'t> {
    tell: &'t Tell<'t>,
    /// Bytes of the files whose size the catalogue knows: more is known only as each file begins.
    expected: u64,
    state: Mutex<Followed>,
}

#[derive(Debug, Default)]
struct Followed {
    progress: FetchProgress,
    /// Bytes of files that were there before.
    adopted: u64,
    told: Option<Instant>,
}

impl<'t> Follower<'t> {
    fn new(wanted: &[Wanted], tell: &'t Tell<'t>) -> Self {
        let expected = wanted.iter().filter_map(|file| file.bytes).sum();
        let progress = FetchProgress {
            total: expected,
            files: u32::try_from(wanted.len()).unwrap_or(u32::MAX),
            ..FetchProgress::default()
        };
        Self { tell, expected, state: Mutex::new(Followed { progress, ..Followed::default() }) }
    }
}

impl Observer for Follower<'_> {
    fn progress(&self, files: &Progress) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (adopted, before) = (state.adopted, state.progress.done);
        let progress = &mut state.progress;
        progress.done = files.done + adopted;
        progress.total = (files.total + adopted).max(self.expected).max(progress.done);
        progress.speed = files.speed;
        #[expect(clippy::cast_precision_loss, reason = "seconds left, shown whole")]
        let left = (progress.total - progress.done) as f64;
        progress.remaining = (files.speed > 0.0).then(|| left / files.speed);
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        progress.file = files.files.first().map(|file| name(&file.place.path));
        if progress.done > before {
            progress.waits = None;
        }
        if state.told.is_none_or(|told| told.elapsed() >= EVERY) {
            state.told = Some(Instant::now());
            (self.tell)(state.progress.clone());
        }
    }

    fn notice(&self, notice: &Notice) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match notice {
            Notice::Done { file, present, .. } => {
                state.progress.files_done += 1;
                if *present {
                    state.adopted += std::fs::metadata(file).map_or(0, |file| file.len());
                }
            }
            // Its own bytes say it.
            Notice::Resuming { .. } => {}
            other => state.progress.waits = other.sentence(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Place;
    use crate::fetch::FileProgress;

    fn place() -> Place {
        "hf:a/b/vae/x.bin".parse().expect("an address")
    }

    #[test]
    fn a_models_progress_counts_all_its_files_from_the_beginning() {
        let told = Mutex::new(Vec::new());
        let tell = |progress| told.lock().expect("no panic").push(progress);
        let sized = Wanted { bytes: Some(900), ..place().into() };
        let follower = Follower::new(&[sized, place().into()], &tell);
        follower.notice(&Notice::Waiting(place()));
        let file = FileProgress { place: place(), done: 0, total: 500 };
        let at = |done| Progress {
            done,
            total: 500,
            speed: 50.0,
            remaining: Some(1.0),
            files: vec![file.clone()],
        };
        follower.progress(&at(0));
        follower.progress(&at(10));
        follower.notice(&Notice::Done { place: place(), file: "/nowhere".into(), present: false });
        let told = told.lock().expect("no panic").clone();
        let [first] = &told[..] else { panic!("told at most so often: {told:?}") };
        assert_eq!((first.done, first.total, first.files, first.files_done), (0, 900, 2, 0));
        assert_eq!((first.remaining, first.file.as_deref()), (Some(18.0), Some("x.bin")));
        assert!(first.waits.as_ref().is_some_and(|why| why.contains("another process is fetching")));
        let now = follower.state.lock().expect("no panic").progress.clone();
        assert_eq!((now.done, now.files_done, now.waits), (10, 1, None));
    }

    #[test]
    fn a_failure_says_why_and_how_many_others_there_are() {
        let limited = || FetchError::Limited { host: "hub".to_owned(), seconds: 9 };
        let said = |results| all_came(results).expect_err("files failed").to_string();
        assert!(said(vec![Err(limited())]).ends_with("what is there is kept"));
        assert!(
            said(vec![Err(limited()), Err(limited()), Err(limited())])
                .ends_with("(and 2 more files did not come)")
        );
        let stopped = all_came(vec![Err(limited()), Err(FetchError::Cancelled)]);
        assert!(matches!(stopped, Err(Unfetched::Stopped)), "{stopped:?}");
        assert!(all_came(Vec::new()).is_ok());
    }
}
