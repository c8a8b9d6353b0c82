//! A database that is damaged is set aside and made anew: from what can still be read of it, and then from the pictures.
//!
//! The new one is whole before the damaged one is touched, and takes its place by two renames. A crash before them leaves
//! everything as it was, and one between them is gone on from:
//!
//! ```text
//! library.sqlite3            damaged
//! library.rebuilding         being made
//! library.rebuilt            whole
//! library.sqlite3.broken-…   the damaged one, with its -wal, for whoever knows more
//! ```

mod pictures;
mod salvage;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use jiff::Zoned;
use rusqlite::Connection;

use super::disorder::put_rows_in_order;
use super::{Folder, Library, LibraryError, fault, schema};
use crate::job::{Disorder, Rebuilt};
use crate::paths::Paths;

/// A disk that damages one library after the other is no place for a new one: so many a day.
const A_DAY: usize = 5;
/// What SQLite adds to a name.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

impl Library {
    /// As [`open`](Self::open), and where the library is damaged, a new one made of what can be read of it and of its
    /// pictures. What a person has to be told then.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_or_rebuild(paths: &Paths) -> Result<(Self, Option<Rebuilt>), LibraryError> {
        Self::open_or_rebuild_in(&paths.library(), Folder::new(paths.pictures()))
    }

    /// The same, with the pictures in a folder of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_or_rebuild_in(path: &Path, folder: Folder) -> Result<(Self, Option<Rebuilt>), LibraryError> {
        let lock = super::lock_beside(path)?;
        take_place(path, &Zoned::now())?;
        let reason = match found_damaged(path, &folder) {
            Some(reason) => reason,
            None => match Self::open_locked(path, folder.clone(), lock.try_clone().map_err(cloned(path))?) {
                Err(LibraryError::Damaged { reason, .. }) => reason,
                opened => return opened.map(|library| (library, None)),
            },
        };
        tracing::error!(path = %path.display(), reason, "the library is damaged; it is made anew");
        let now = Zoned::now();
        if set_aside_on(path, &now) >= A_DAY {
            return Err(LibraryError::Damaged { path: path.to_owned(), reason });
        }
        let rebuilt = make(path, &folder, reason, &now)?;
        let library = Self::open_locked(path, folder, lock)?;
        tracing::warn!(%rebuilt, "the library is made anew");
        Ok((library, Some(rebuilt)))
    }

    /// Notes that the database turned out to be damaged while it was used: whoever opens it next makes it anew, even if
    /// it looks sound at first.
    pub fn note_damage(&self, reason: &str) {
        // Without the note it is found when it is opened, or when it is used again.
        let _ = fs::write(note(&self.path), reason);
    }
}

fn cloned(path: &Path) -> impl FnOnce(io::Error) -> LibraryError {
    let path = path.to_owned();
    move |source| LibraryError::File { path, what: "locked", source }
}

fn note(path: &Path) -> PathBuf {
    path.with_extension("damaged")
}

/// What is known to be wrong with a database before it is opened.
fn found_damaged(path: &Path, folder: &Folder) -> Option<String> {
    if !path.exists() {
        return None;
    }
    if let Ok(reason) = fs::read_to_string(note(path)) {
        return Some(reason.chars().take(200).collect());
    }
    // SQLite takes an empty file for a new database.
    let is_empty = fs::metadata(path).is_ok_and(|meta| meta.len() == 0);
    (is_empty && pictures::any(folder)).then(|| "the file is empty".to_owned())
}

/// Makes the new library and lets it take the place of the damaged one.
fn make(path: &Path, folder: &Folder, reason: String, now: &Zoned) -> Result<Rebuilt, LibraryError> {
    let new = path.with_extension("rebuilding");
    for ending in ["", "-journal", "-wal", "-shm"] {
        remove(&with_ending(&new, ending))?;
    }
    let fault = |source| fault(&new, "making it anew", source);
    let mut db = Connection::open(&new).map_err(fault)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    // Rows come before those that they belong to.
    db.pragma_update(None, "foreign_keys", false).map_err(fault)?;
    schema::migrate(&mut db, 0).map_err(fault)?;
    let aside = aside(path, now);
    let mut rebuilt = Rebuilt { reason, aside, jobs: 0, waiting: 0, pictures: 0, from_files: 0, lost: 0 };
    let change = db.transaction().map_err(fault)?;
    rebuilt.lost = salvage::copy_from(path, &change).map_err(fault)?;
    schema::fill_prompt_keys(&change).map_err(fault)?;
    let count = |what: &str| -> rusqlite::Result<usize> {
        let count = format!("SELECT COUNT(*) FROM {what}");
        change.query_row(&count, [], |row| row.get::<_, i64>(0)).map(|count| count.cast_unsigned() as usize)
    };
    let jobs = count("jobs").map_err(fault)?;
    rebuilt.from_files = pictures::take_in(&change, folder, &salvage::numbers(path)).map_err(fault)?;
    let mut disorder = Disorder::default();
    put_rows_in_order(&change, folder, &mut disorder).map_err(fault)?;
    rebuilt.lost += disorder.orphans;
    rebuilt.jobs = jobs;
    rebuilt.waiting = count("jobs WHERE state IN ('queued', 'running')").map_err(fault)?;
    rebuilt.pictures = count("pictures").map_err(fault)? - rebuilt.from_files;
    change.commit().map_err(fault)?;
    db.close().map_err(|(_, source)| fault(source))?;
    rename(&new, &path.with_extension("rebuilt"))?;
    take_place(path, now)?;
    Ok(rebuilt)
}

/// Lets a library that was made anew and is whole take its place, if there is one.
fn take_place(path: &Path, now: &Zoned) -> Result<(), LibraryError> {
    let rebuilt = path.with_extension("rebuilt");
    if !rebuilt.exists() {
        return Ok(());
    }
    if path.exists() {
        let aside = aside(path, now);
        // The log first: a database whose log is gone is less than it was.
        for ending in BESIDE.iter().rev() {
            let beside = with_ending(path, ending);
            if beside.exists() {
                rename(&beside, &with_ending(&aside, ending))?;
            }
        }
    }
    remove(&note(path))?;
    rename(&rebuilt, path)
}

/// What the damaged database is called from now on.
fn aside(path: &Path, now: &Zoned) -> PathBuf {
    with_ending(path, &format!(".broken-{}", now.strftime("%Y-%m-%d-%H%M%S")))
}

/// How many were set aside on the same day.
fn set_aside_on(path: &Path, now: &Zoned) -> usize {
    let day = with_ending(path, &format!(".broken-{}", now.strftime("%Y-%m-%d")));
    let begins = day.file_name().unwrap_or_default().as_encoded_bytes().to_owned();
    let is_one = |name: OsString| {
        let name = name.as_encoded_bytes();
        name.starts_with(&begins) && !name.ends_with(b"-wal") && !name.ends_with(b"-shm")
    };
    let entries = path.parent().and_then(|directory| fs::read_dir(directory).ok());
    entries.into_iter().flatten().flatten().filter(|entry| is_one(entry.file_name())).count()
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn remove(path: &Path) -> Result<(), LibraryError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(LibraryError::File { path: path.to_owned(), what: "removed", source })
        }
        _ => Ok(()),
    }
}

/// Renames, and makes that durable where the file system can.
fn rename(from: &Path, to: &Path) -> Result<(), LibraryError> {
    fs::rename(from, to).map_err(|source| LibraryError::File {
        path: from.to_owned(),
        what: "renamed",
        source,
    })?;
    if let Some(directory) = to.parent() {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
