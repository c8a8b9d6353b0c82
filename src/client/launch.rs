//! Starting a worker and waiting until it answers.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::{Client, ClientError, Events};
use crate::paths::Paths;

/// How long a worker may take until it answers. It loads no model before that.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is tried meanwhile: first, and at most.
const TRY_EVERY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// How often one is started: the first may have found another worker that was just ending.
const STARTS: u32 = 2;
/// How much of what a worker said last is shown when it did not start, in bytes.
const LAST_WORDS: u64 = 2048;

/// What is run to start a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program; it is run with `worker run`.
    pub program: PathBuf,
    /// Set in its environment beside ours.
    pub environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// This program itself.
    ///
    /// # Errors
    /// When the system does not say which file that is.
    pub fn this_program() -> Result<Self, ClientError> {
        let mut program = std::env::current_exe().map_err(|source| ClientError::Io {
            what: "looking for this program's own file, to start a worker with it".to_owned(),
            source,
        })?;
        // Replaced by a newer one while it runs: the worker is to be of our version all the same.
        if !program.exists() {
            program = PathBuf::from("/proc/self/exe");
        }
        Ok(Self { program, environment: Vec::new() })
    }
}

/// Starts a worker and connects to it, or to one that somebody else has started meanwhile.
pub(super) async fn start(paths: &Paths, launch: &Launch) -> Result<(Client, Events), ClientError> {
    let not_started =
        |reason: String| ClientError::NotStarted { reason, log: paths.log().display().to_string() };
    let begun = Instant::now();
    let (mut pause, mut child, mut left) = (TRY_EVERY.0, None, STARTS);
    loop {
        match Client::connect(paths).await {
            // The last two: it is just ending.
            Err(ClientError::NoWorker | ClientError::Lost | ClientError::Ended) => {}
            connected => return connected,
        }
        let claimed = is_claimed(&paths.lock());
        match child.as_mut().map(Child::try_wait) {
            // Another worker starts or ends: it will answer, or make room.
            None | Some(Ok(Some(_))) if claimed => {}
            None => child = Some(spawn(launch).map_err(|error| not_started(error.to_string()))?),
            Some(Ok(Some(status))) => {
                left -= 1;
                let ended = child.take();
                if left == 0 {
                    return Err(not_started(last_words(ended, status, &paths.log()).await));
                }
                continue;
            }
            Some(Ok(None) | Err(_)) => {}
        }
        if begun.elapsed() > PATIENCE {
            return Err(not_started(format!("it did not answer within {} s", PATIENCE.as_secs())));
        }
        sleep(pause).await;
        pause = (pause * 2).min(TRY_EVERY.1);
    }
}

fn spawn(launch: &Launch) -> io::Result<Child> {
    Command::new(&launch.program)
        .args(["worker", "run"])
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // The worker lets go of it once it serves.
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("{} could not be run: {error}", launch.program.display()))
        })
}

/// Whether some worker has the lock.
fn is_claimed(lock: &Path) -> bool {
    // Taken only for a moment, and a worker that starts just then tries again.
    File::open(lock)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// What an ended worker said: on stderr, or else at the end of its log.
async fn last_words(child: Option<Child>, status: ExitStatus, log: &Path) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = child.and_then(|child| child.stderr) {
        // What cannot be read is not said.
        let _ = stderr.take(LAST_WORDS).read_to_end(&mut said).await;
    }
    if said.trim_ascii().is_empty() {
        said = tail(log).unwrap_or_default();
    }
    let said = String::from_utf8_lossy(&said);
    match said.trim() {
        "" => format!("it ended at once ({status})"),
        said => said.to_owned(),
    }
}

/// The last lines of a file.
fn tail(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
    let mut end = Vec::new();
    file.take(LAST_WORDS).read_to_end(&mut end)?;
    if length > LAST_WORDS {
        let whole = end.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        end.drain(..whole);
    }
    Ok(end)
}
