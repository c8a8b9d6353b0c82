//! Locks that a process holds for as long as it lives, whatever way it ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How often a taken lock is tried again, and after how long: somebody may only look whether it is
/// taken, and a program that is just being started may still have its parent's files.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// Opens a file, making it if there is none, and takes its lock; it is held until the file is
/// closed. What is in the file stays. Nobody removes it: a lock on a removed file keeps nobody out.
///
/// # Errors
/// [`TryLockError::WouldBlock`] when another process has it.
pub fn take(path: &Path) -> Result<File, TryLockError> {
    let file = open(path).map_err(TryLockError::Error)?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(error) => return Err(error),
            Ok(()) => return Ok(file),
        }
    }
    Err(TryLockError::WouldBlock)
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}
