//! A file that is not whole yet: its bytes, which of them are there, and what file they are of.
//!
//! Beside the part lies a record of the spans that are in it. It is written after the bytes, so a process that is
//! killed leaves a record that says no more than is true. (A machine that loses power may; the hash finds that.) A
//! record of another content than the hub has now is worth nothing, and the part begins anew.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::FetchError;
use super::spans::Spans;
use crate::catalog::Place;

/// How often the record is written.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Larger records are not ours.
const RECORD_MAX: u64 = 1 << 20;

/// The file while it grows.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    path: PathBuf,
    record: PathBuf,
    place: Place,
    etag: String,
    size: u64,
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug)]
struct State {
    have: Spans,
    saved: Instant,
    /// It will not become whole in this process.
    given_up: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Where the file is from; earlier releases did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    etag: String,
    size: u64,
    have: Vec<(u64, u64)>,
}

impl Part {
    /// Opens the part at `path` of the content `etag`, which is from `place`, or begins it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn open(path: &Path, place: &Place, etag: &str, size: u64) -> Result<Self, FetchError> {
        let record = record_of(path);
        let have = read_have(path, etag, size).unwrap_or_default();
        let fresh = have.len() == 0;
        let mut options = File::options();
        let file = options.create(true).truncate(fresh).read(true).write(true).open(path);
        let file = file.map_err(FetchError::io(path, "made"))?;
        let state = State { have, saved: Instant::now(), given_up: false };
        let (place, etag) = (place.clone(), etag.to_owned());
        let (state, grown) = (Mutex::new(state), Condvar::new());
        let part = Self { file, path: path.to_owned(), record, place, etag, size, state, grown };
        if fresh {
            // An older record must not come to lie beside other bytes.
            part.save()?;
        }
        Ok(part)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that are there.
    pub(super) fn have(&self) -> u64 {
        self.state().have.len()
    }

    /// What is not there, in order.
    pub(super) fn gaps(&self) -> Vec<Range<u64>> {
        self.state().have.gaps(self.size)
    }

    /// Puts bytes in their place.
    ///
    /// # Errors
    /// A full disk, above all.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all_at(bytes, at).map_err(FetchError::io(&self.path, "written"))?;
        let mut state = self.state();
        state.have.add(at..at + bytes.len() as u64);
        if state.saved.elapsed() >= SAVE_EVERY {
            self.save_locked(&mut state)?;
        }
        drop(state);
        self.grown.notify_all();
        Ok(())
    }

    /// Forgets all that is there, for a server that gives no ranges.
    ///
    /// # Errors
    /// When the file cannot be cut.
    pub(super) fn restart(&self) -> Result<(), FetchError> {
        let mut state = self.state();
        state.have = Spans::default();
        self.save_locked(&mut state)
    }

    /// Waits until the file is there without a gap beyond `at`; gives how far, or `None` once it is given up.
    pub(super) fn wait_beyond(&self, at: u64) -> Option<u64> {
        let state = self.state();
        let waiting = |state: &mut State| state.have.prefix() <= at && !state.given_up;
        let state = self.grown.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        (state.have.prefix() > at).then(|| state.have.prefix())
    }

    /// Lets those who wait go on without the rest.
    pub(super) fn give_up(&self) {
        self.state().given_up = true;
        self.grown.notify_all();
    }

    /// Writes the record.
    ///
    /// # Errors
    /// A full disk, above all.
    pub(super) fn save(&self) -> Result<(), FetchError> {
        let mut state = self.state();
        self.save_locked(&mut state)
    }

    fn save_locked(&self, state: &mut State) -> Result<(), FetchError> {
        let have = state.have.iter().map(|span| (span.start, span.end)).collect();
        let (place, etag) = (Some(self.place.clone()), self.etag.clone());
        let record = Record { place, etag, size: self.size, have };
        let text = serde_json::to_vec(&record).expect("a record has no map whose keys are not strings");
        write_whole(&self.record, &text).map_err(FetchError::io(&self.record, "written"))?;
        state.saved = Instant::now();
        Ok(())
    }

    /// Makes the part durable and gives it its name. Nobody ever sees a half file there.
    ///
    /// # Errors
    /// A full disk, above all.
    pub(super) fn finish(self, name: &Path) -> Result<(), FetchError> {
        self.file.set_len(self.size).map_err(FetchError::io(&self.path, "cut to its size"))?;
        self.file.sync_all().map_err(FetchError::io(&self.path, "written"))?;
        fs::rename(&self.path, name).map_err(FetchError::io(name, "put in place"))?;
        sync_folder(name);
        // Left behind, it says what nobody asks any more.
        let _ = fs::remove_file(&self.record);
        Ok(())
    }

    /// Removes the part and its record.
    pub(super) fn remove(self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.record);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is under the lock is right after every single statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many bytes of that content are already in the part at `path`.
pub(super) fn already(path: &Path, etag: &str, size: u64) -> u64 {
    read_have(path, etag, size).map_or(0, |have| have.len())
}

/// The record beside a part.
pub(super) fn record_of(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

/// Writes a file by rename: whole, or not at all.
pub(super) fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

/// Makes the names in a file's folder durable, where the file system can.
fn sync_folder(file: &Path) {
    if let Some(folder) = file.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
}

/// What a part is of and how much of it is there, by its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub place: Option<Place>,
    pub etag: String,
    pub have: u64,
    pub size: u64,
}

/// The same of the part at `path`, if its record can be true.
pub(super) fn said(part: &Path) -> Option<Said> {
    let Record { place, etag, size, .. } = read_record(part)?;
    let have = already(part, &etag, size);
    Some(Said { place, etag, have, size })
}

fn read_record(part: &Path) -> Option<Record> {
    let mut text = Vec::new();
    File::open(record_of(part)).ok()?.take(RECORD_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// What the record says, if it is of that content and can be true.
fn read_have(part: &Path, etag: &str, size: u64) -> Option<Spans> {
    let record = read_record(part)?;
    if record.etag != etag || record.size != size {
        return None;
    }
    let have = Spans::within(record.have.into_iter().map(|(start, end)| start..end), size);
    (fs::metadata(part).ok()?.len() >= have.end()).then_some(have)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, etag: &str, size: u64) -> Part {
        let place = "hf:a/b/x".parse().expect("an address");
        Part::open(path, &place, etag, size).expect("a part")
    }

    #[test]
    fn what_was_saved_is_there_again_and_only_for_the_same_content() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.flux-part");
        let part = open(&path, "e1", 10);
        part.write(4, b"456").expect("room");
        part.write(0, b"01").expect("room");
        part.save().expect("room");
        drop(part);
        assert_eq!(already(&path, "e1", 10), 5);
        assert_eq!(open(&path, "e1", 10).gaps(), [2..4, 7..10]);
        assert_eq!((already(&path, "e2", 10), already(&path, "e1", 11)), (0, 0));
        assert_eq!(open(&path, "e2", 10).have(), 0);
        assert_eq!(fs::metadata(&path).expect("it is there").len(), 0, "another content begins anew");
    }

    #[test]
    fn a_full_disk_is_told_as_such() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.flux-part");
        std::os::unix::fs::symlink("/dev/full", &path).expect("room");
        let part = open(&path, "e", 10);
        let error = part.write(0, b"0123456789").expect_err("it is always full");
        assert!(matches!(&error, FetchError::DiskFull { path: full } if *full == path), "{error:?}");
        assert_eq!(part.have(), 0, "what was not written is not there");
    }

    #[test]
    fn a_record_that_cannot_be_true_is_worth_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x");
        fs::write(&path, b"short").expect("room");
        fs::write(record_of(&path), r#"{"etag":"e","size":99,"have":[[0,50]]}"#).expect("room");
        assert_eq!(already(&path, "e", 99), 0);
    }
}
