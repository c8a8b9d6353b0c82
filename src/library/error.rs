//! What can go wrong with the library: which file, and what to do.

use std::io;
use std::path::PathBuf;

use super::png::PngError;

/// Why the library could not be opened, read or written. What was in it stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A directory or file could not be made or opened.
    #[error("{} could not be {what}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// `made`, `opened` …
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No room for what was to be written.
    #[error(
        "no space is left for {}: {} more are needed; free some space there and draw again",
        path.display(), mebibytes(*needed)
    )]
    Full {
        /// What was being written.
        path: PathBuf,
        /// Bytes that it takes.
        needed: u64,
    },
    /// Another worker has the library open.
    #[error("{} is in use by another worker, or by a command that changes it; end that one first", .0.display())]
    InUse(PathBuf),
    /// Written by a newer flux-tui.
    #[error(
        "{} was written by a newer flux-tui (its version is {found}, this program knows {known}): \
         use that one, or move the file away to begin a new library",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A database of some other program.
    #[error("{} is not a library of flux-tui: move it away to begin a new one", .0.display())]
    Foreign(PathBuf),
    /// Not readable as a database.
    #[error(
        "{} is damaged ({reason}): move it away to begin a new library; the pictures keep their \
         parameters in their own files",
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite found.
        reason: String,
    },
    /// SQLite refused for another reason.
    #[error("{}: {doing} failed: {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A picture could not be made into a PNG.
    #[error("the picture could not be made into a PNG: {0}")]
    Png(#[from] PngError),
    /// The thread that owns the library has ended.
    #[error("the library is closed: the worker is ending, or its log says why")]
    Closed,
}

fn mebibytes(bytes: u64) -> String {
    // Rounded up: this is what a person is asked to free.
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
