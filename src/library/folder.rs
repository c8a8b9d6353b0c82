//! The directory of pictures: how they are named, and how they get there whole or not at all.
//! Which pictures there are is the database's to say, not the directory's.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use jiff::Zoned;

use super::LibraryError;
use crate::job::{JobId, Size};

/// Room asked for beside a picture: the database's own growth, and text in the PNG.
const SLACK: u64 = 4 << 20;

/// The directory of pictures.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    create: fn(&Path) -> io::Result<File>,
}

impl Folder {
    /// Pictures under `root`. Nothing is made until one is written.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, create: |path| File::create(path) }
    }

    /// The same, with another way to open a file for writing: tests give one that is always full.
    #[must_use]
    pub fn with_create(mut self, create: fn(&Path) -> io::Result<File>) -> Self {
        self.create = create;
        self
    }

    /// Where a picture of the library is.
    #[must_use]
    pub fn path(&self, relative: &Path) -> PathBuf {
        self.root.join(relative)
    }

    /// A name that no file has yet, relative to the root: `DATE/HHMMSS-JOB-INDEX-SEED.png`. Names
    /// sort by time, and within a second by job and index.
    #[must_use]
    pub fn name(&self, at: &Zoned, job: JobId, index: u32, seed: u64) -> PathBuf {
        let day = PathBuf::from(at.strftime("%Y-%m-%d").to_string());
        let stem = format!("{}-{:06}-{index:04}-{seed}", at.strftime("%H%M%S"), job.0);
        let named = |number: u32| match number {
            0 => day.join(format!("{stem}.png")),
            again => day.join(format!("{stem}-{again}.png")),
        };
        // A file is in the way only when an earlier library was moved away and its pictures not.
        (0..).map(named).find(|name| !self.path(name).exists()).unwrap_or_else(|| named(0))
    }

    /// The job and the picture of it that a [`name`](Self::name) says.
    #[must_use]
    pub fn job_of(relative: &Path) -> Option<(JobId, u32)> {
        let mut parts = relative.file_stem()?.to_str()?.split('-').skip(1);
        let (job, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (job > 0).then_some((JobId(job), index))
    }

    /// Makes sure, before anything is drawn, that a picture of this size can be kept today.
    ///
    /// # Errors
    /// [`LibraryError::File`] for a directory that cannot be made or written to,
    /// [`LibraryError::Full`] where there is no room.
    pub fn prepare(&self, at: &Zoned, size: Size) -> Result<(), LibraryError> {
        let day = self.root.join(at.strftime("%Y-%m-%d").to_string());
        make_directory(&day)?;
        let needed = u64::from(size.width()) * u64::from(size.height()) * 3 + SLACK;
        // A file system that cannot say how much is free is tried all the same.
        match rustix::fs::statvfs(&day) {
            Ok(room) if room.f_blocks > 0 && room.f_bavail.saturating_mul(room.f_frsize) < needed => {
                Err(LibraryError::Full { path: day, needed })
            }
            _ => Ok(()),
        }
    }

    /// Writes a picture under its name: a temporary file beside it, made durable, then renamed.
    ///
    /// # Errors
    /// [`LibraryError::File`] or [`LibraryError::Full`]; no file of that name is there then.
    pub fn write(&self, relative: &Path, bytes: &[u8]) -> Result<(), LibraryError> {
        let path = self.path(relative);
        let directory = path.parent().unwrap_or(&self.root);
        make_directory(directory)?;
        let temporary = self.temporary(relative);
        let failed = |source| failure(&path, "written", bytes.len() as u64, source);
        let written = (self.create)(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(source) = written.and_then(|()| fs::rename(&temporary, &path)) {
            let _ = fs::remove_file(&temporary);
            return Err(failed(source));
        }
        sync_directory(directory).map_err(failed)
    }

    /// Removes what an interrupted [`write`](Self::write) may have left.
    pub(super) fn clear(&self, relative: &Path) {
        let _ = fs::remove_file(self.temporary(relative));
    }

    fn temporary(&self, relative: &Path) -> PathBuf {
        let name = relative.file_name().unwrap_or_default().to_string_lossy();
        self.path(relative).with_file_name(format!(".{name}.part"))
    }
}

/// Makes a directory and makes its name durable.
pub(super) fn make_directory(path: &Path) -> Result<(), LibraryError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(|source| failure(path, "made", SLACK, source))?;
    // Not every file system can sync a directory; the picture itself is synced where it can be.
    if let Some(parent) = path.parent() {
        let _ = sync_directory(parent);
    }
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

pub(super) fn failure(path: &Path, what: &'static str, needed: u64, source: io::Error) -> LibraryError {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            LibraryError::Full { path: path.to_owned(), needed }
        }
        _ => LibraryError::File { path: path.to_owned(), what, source },
    }
}
