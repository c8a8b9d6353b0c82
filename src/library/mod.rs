//! The library: jobs, pictures and models that are wanted in SQLite, durable before they are acknowledged, and the PNG
//! files beside it. One worker has it open at a time and calls it from one thread.
//!
//! A picture is recorded in three moves: the name that it will have is noted ([`Library::intend`]),
//! its file is written by rename ([`Folder::write`]), and the note becomes the record
//! ([`Library::record`]). After a crash between any two of them [`Library::recover`] finds the note:
//! if the file is there it is whole and is recorded, otherwise the picture is drawn again. So no
//! picture is lost, none is there twice, and no directory is searched.
//!
//! What a picture has reached before it is finished is kept too, as files ([`Checkpoint`]); they go when it is
//! finished, or its job is over.

mod adopt;
mod checkpoint;
mod costs;
mod disorder;
mod error;
mod failures;
mod find;
mod folder;
pub mod foreign;
mod grid_marks;
mod grids;
mod jobs;
pub mod lock;
mod marks;
mod order;
mod pictures;
pub mod png;
mod prompts;
mod rebuild;
#[cfg(test)]
mod samples;
mod schema;
mod search;
pub mod sheet;
mod usage;
mod wanted;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

pub use adopt::RECORDS_MAX;
pub use checkpoint::{Checkpoint, CheckpointKey};
pub use error::LibraryError;
pub use folder::Folder;
pub use grids::GRIDS_MAX;
pub use marks::{Changed, NotChanged};
pub use pictures::PAGE_MAX;
pub use search::SEEDS_MAX;
pub use usage::{Glance, Kind, Past};

use crate::paths::Paths;
use checkpoint::Checkpoints;

/// How long another program that looks into the database is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// The open library.
#[derive(Debug)]
pub struct Library {
    db: Connection,
    path: PathBuf,
    folder: Folder,
    checkpoints: Checkpoints,
    /// Held for as long as the library is open.
    _lock: File,
}

impl Library {
    /// Opens the library, makes one where there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// [`LibraryError::InUse`], [`LibraryError::Newer`], [`LibraryError::Damaged`] and
    /// [`LibraryError::Foreign`] leave the file as it was.
    pub fn open(paths: &Paths) -> Result<Self, LibraryError> {
        Self::open_in(&paths.library(), Folder::new(paths.pictures()))
    }

    /// The same, with the pictures in a folder of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in(path: &Path, folder: Folder) -> Result<Self, LibraryError> {
        let lock = lock_beside(path)?;
        Self::open_locked(path, folder, lock)
    }

    fn open_locked(path: &Path, folder: Folder, lock: File) -> Result<Self, LibraryError> {
        let fault = |doing| move |source| fault(path, doing, source);
        let mut db = Connection::open(path).map_err(fault("opening"))?;
        db.busy_timeout(BUSY).map_err(fault("opening"))?;
        let version = examine(&db, path)?;
        // Readers never wait for a writer, and a commit is on disk when it returns.
        db.pragma_update(None, "journal_mode", "WAL").map_err(fault("opening"))?;
        db.pragma_update(None, "synchronous", "FULL").map_err(fault("opening"))?;
        db.pragma_update(None, "foreign_keys", true).map_err(fault("opening"))?;
        if version < schema::VERSION {
            schema::migrate(&mut db, version).map_err(fault("bringing it up to date"))?;
        }
        #[cfg(debug_assertions)]
        die_where_asked(&mut db).map_err(fault("opening"))?;
        let checkpoints = Checkpoints::beside(path);
        Ok(Self { db, path: path.to_owned(), folder, checkpoints, _lock: lock })
    }

    /// Where its pictures are.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Keeps the database from growing beyond so many pages: the tests' full disk.
    ///
    /// # Errors
    /// When SQLite refuses.
    #[doc(hidden)]
    pub fn limit_pages(&mut self, pages: u32) -> Result<(), LibraryError> {
        self.db
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .map_err(self.fault("limiting it"))
    }

    /// Turns SQLite's refusal into ours.
    fn fault(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> LibraryError + use<> {
        let path = self.path.clone();
        move |source| fault(&path, doing, source)
    }
}

/// Counts the changes from here on, for tests that ask for an end at one of them.
#[cfg(debug_assertions)]
fn die_where_asked(db: &mut Connection) -> rusqlite::Result<()> {
    use crate::faults::{Fault, VARIABLE, die_at};
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(());
    }
    let (mut before, mut after) = (0, 0);
    db.commit_hook(Some(move || {
        before += 1;
        die_at(Fault::Write(before));
        false
    }))?;
    db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, _| {
        after += 1;
        die_at(Fault::Written(after));
        Ok(())
    }))
}

/// Makes the directory of the database, and takes the lock beside it: two workers with different state directories may share it.
fn lock_beside(path: &Path) -> Result<File, LibraryError> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|source| LibraryError::File {
            path: path.to_owned(),
            what: "made",
            source,
        })?;
    }
    let lock = path.with_extension("lock");
    lock::take(&lock).map_err(|error| match error {
        TryLockError::WouldBlock => LibraryError::InUse(path.to_owned()),
        TryLockError::Error(source) => LibraryError::File { path: lock, what: "locked", source },
    })
}

/// Reads the version of a file without changing it, and whether it is sound and ours.
fn examine(db: &Connection, path: &Path) -> Result<i64, LibraryError> {
    let fault = |source| fault(path, "reading its version", source);
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(fault);
    let (version, application) = (number("user_version")?, number("application_id")?);
    let tables: i64 =
        db.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fault)?;
    let fresh = tables == 0 && application == 0 && version == 0;
    if !fresh && application != i64::from(schema::APPLICATION) {
        return Err(LibraryError::Foreign(path.to_owned()));
    }
    if version > schema::VERSION {
        let (found, known) = (version, schema::VERSION);
        return Err(LibraryError::Newer { path: path.to_owned(), found, known });
    }
    match damage(db).map_err(fault)? {
        None => Ok(version),
        Some(reason) => Err(LibraryError::Damaged { path: path.to_owned(), reason }),
    }
}

/// What is wrong with the pages of the tables and their indices. The index of prompts is not compared with the prompts, as
/// a check of everything would: that takes as long as making it, and it is made again when it is found to be wrong.
fn damage(db: &Connection) -> rusqlite::Result<Option<String>> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'";
    let mut tables = db.prepare(tables)?;
    let names = tables.query_map([], |row| row.get::<_, String>(0))?;
    for name in names.collect::<rusqlite::Result<Vec<_>>>()? {
        // One of somebody else's file may have any name.
        let check = format!("PRAGMA quick_check(\"{}\")", name.replace('"', "\"\""));
        let found: String = db.query_row(&check, [], |row| row.get(0))?;
        if found != "ok" {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn fault(path: &Path, doing: &'static str, source: rusqlite::Error) -> LibraryError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LibraryError::Full { path, needed: 1 << 20 },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) if !disorder::is_of_the_index(&source) => {
            LibraryError::Damaged { path, reason: source.to_string() }
        }
        _ => LibraryError::Sqlite { path, doing, source },
    }
}
