//! One writer for one file, among all processes: the lock files are those that the hubs' own tools take.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::error::FetchError;
use super::progress::Cancel;

/// How often a taken lock is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes the lock; waits for whoever has it, after `waiting` was called. Held until the file is closed. The lock file
/// stays: a lock on a removed file keeps nobody out.
///
/// # Errors
/// When the file cannot be made, or a person does not want to wait.
pub(super) fn take(path: &Path, cancel: &Cancel, waiting: impl FnOnce()) -> Result<File, FetchError> {
    let file = open(path)?;
    let mut waiting = Some(waiting);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(FetchError::io(path, "locked")(source)),
            Err(TryLockError::WouldBlock) => {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                cancel.pause(PAUSE)?;
            }
        }
    }
}

/// Takes the lock if nobody has it.
///
/// # Errors
/// When the file cannot be made.
pub(super) fn try_take(path: &Path) -> Result<Option<File>, FetchError> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(FetchError::io(path, "locked")(source)),
    }
}

fn open(path: &Path) -> Result<File, FetchError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(FetchError::io(folder, "made"))?;
    }
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).open(path);
    file.map_err(FetchError::io(path, "made"))
}
