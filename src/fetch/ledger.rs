//! The record of what we fetched or found while fetching: the only files that we ever remove, and what they must be.
//!
//! One JSON file, written by rename under a lock, so that two processes that fetch at once both end up in it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::FetchError;
use super::lock;
use super::part::write_whole;
use super::progress::Cancel;
use super::pull::Fetched;
use crate::catalog::Place;

/// Larger records are not ours.
const RECORD_MAX: u64 = 64 << 20;

/// One file that was fetched or found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where it is from.
    pub place: Place,
    /// What to open.
    pub file: PathBuf,
    /// The content, where that is another file.
    pub blob: PathBuf,
    /// Bytes.
    pub bytes: u64,
    /// What its content hashes to, SHA-256 or git's name of it, where that is known.
    pub hash: Option<String>,
}

impl From<&Fetched> for Kept {
    fn from(fetched: &Fetched) -> Self {
        let Fetched { place, file, blob, bytes, hash, .. } = fetched.clone();
        Self { place, file, blob, bytes, hash }
    }
}

/// The record.
#[derive(Debug, Clone)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    /// The record in that file, which need not exist.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// All that is in it. A record that cannot be read counts as empty: it only keeps us from removing.
    #[must_use]
    pub fn read(&self) -> Vec<Kept> {
        let mut text = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(RECORD_MAX).read_to_end(&mut text));
        let kept = read.ok().and_then(|_| serde_json::from_slice(&text).ok());
        kept.unwrap_or_default()
    }

    /// Adds files; a file that is in it already is renewed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&self, new: &[Kept]) -> Result<(), FetchError> {
        self.change(|kept| {
            kept.retain(|old| !new.iter().any(|new| new.file == old.file));
            kept.extend_from_slice(new);
        })
    }

    /// Takes files out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget(&self, files: &[PathBuf]) -> Result<(), FetchError> {
        self.change(|kept| kept.retain(|old| !files.contains(&old.file)))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Kept>)) -> Result<(), FetchError> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".lock");
        let _lock = lock::take(Path::new(&name), &Cancel::default(), || ())?;
        let mut kept = self.read();
        change(&mut kept);
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(FetchError::io(folder, "made"))?;
        }
        let text = serde_json::to_vec_pretty(&kept).expect("a record has no map whose keys are not strings");
        write_whole(&self.path, &text).map_err(FetchError::io(&self.path, "written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_renewed_and_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::at(directory.path().join("not yet/fetched.json"));
        assert_eq!(ledger.read(), []);
        let kept = |file: &str, bytes| Kept {
            place: format!("hf:a/b/{file}").parse().expect("an address"),
            file: file.into(),
            blob: file.into(),
            bytes,
            hash: None,
        };
        ledger.add(&[kept("x", 1), kept("y", 2)]).expect("room");
        ledger.add(&[kept("x", 3)]).expect("room");
        assert_eq!(ledger.read(), [kept("y", 2), kept("x", 3)]);
        ledger.forget(&["y".into()]).expect("room");
        assert_eq!(ledger.read(), [kept("x", 3)]);
    }
}
