//! A file under another name until it is whole: one writer among all processes, and nothing left of what broke off.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::ConvertError;

/// What is written is made durable in portions of so many bytes, so that the end is not waited for at once.
const PORTION: u64 = 256 << 20;

/// The file while it is written; removed when it is dropped before [`Part::finish`].
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    path: PathBuf,
    unsynced: u64,
    whole: bool,
}

/// Bytes that this process may still write where a folder is.
fn free(folder: &Path) -> io::Result<u64> {
    let told = rustix::fs::statvfs(folder)?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

impl Part {
    /// Begins a file of so many bytes that will be at `to`. What a process that was killed left of it goes.
    ///
    /// # Errors
    /// When another process writes it, when there is not the room, and those of the file system.
    pub fn begin(to: &Path, bytes: u64) -> Result<Self, ConvertError> {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(ConvertError::file(folder, "made"))?;
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = to.with_file_name(name);
        let file = claim(&path)?;
        let part = Self { file, path, unsynced: 0, whole: false };
        part.file.set_len(0).map_err(ConvertError::file(&part.path, "emptied"))?;
        let free = free(folder).map_err(ConvertError::file(folder, "measured"))?;
        match free < bytes {
            true => Err(ConvertError::Space { folder: folder.to_owned(), needed: bytes, free }),
            false => Ok(part),
        }
    }

    /// Adds bytes at its end.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ConvertError> {
        self.file.write_all(bytes).map_err(ConvertError::file(&self.path, "written"))?;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= PORTION {
            self.file.sync_data().map_err(ConvertError::file(&self.path, "written"))?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Makes it durable and gives it its name.
    pub fn finish(mut self, to: &Path) -> Result<(), ConvertError> {
        self.file.sync_all().map_err(ConvertError::file(&self.path, "written"))?;
        fs::rename(&self.path, to).map_err(ConvertError::file(to, "put in place"))?;
        self.whole = true;
        // Not every file system can sync a folder; the file itself is there.
        if let Some(folder) = to.parent().and_then(|folder| File::open(folder).ok()) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // While it is still locked: nobody else can have begun it anew.
        if !self.whole
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "a part of a file could not be removed");
        }
    }
}

/// Opens and locks a file, without a change to it.
fn claim(path: &Path) -> Result<File, ConvertError> {
    loop {
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(path);
        let file = file.map_err(ConvertError::file(path, "made"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ConvertError::Busy(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(ConvertError::file(path, "locked")(source)),
        }
        // Whoever had it may have given it its name meanwhile, or removed it.
        let ours = file.metadata().map_err(ConvertError::file(path, "looked at"))?;
        if fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_under_its_name_when_it_is_whole_and_gone_when_it_broke_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path().join("not yet/a.safetensors");
        let names = || fs::read_dir(to.parent().expect("a folder")).expect("it is there").count();
        let mut part = Part::begin(&to, 5).expect("there is room");
        part.write(b"12").expect("room");
        assert!(matches!(Part::begin(&to, 5), Err(ConvertError::Busy(_))), "two write it");
        assert!(!to.exists());
        drop(part);
        assert_eq!(names(), 0);

        fs::write(to.with_file_name("a.safetensors.part"), b"left by one that was killed").expect("room");
        let mut part = Part::begin(&to, 5).expect("there is room");
        part.write(b"12345").expect("room");
        part.finish(&to).expect("it is whole");
        assert_eq!((fs::read(&to).expect("it is there"), names()), (b"12345".to_vec(), 1));
    }

    #[test]
    fn a_disk_without_the_room_is_told_before_anything_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let to = folder.path().join("a.safetensors");
        let refused = Part::begin(&to, u64::MAX).expect_err("no disk is so large");
        assert!(matches!(refused, ConvertError::Space { needed: u64::MAX, .. }), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
    }
}
