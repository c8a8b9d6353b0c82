//! Whether files are what they should be: their size, and the hash of all their bytes.

use std::fs;
use std::path::{Path, PathBuf};

use super::digest::{self, Expected};
use super::ledger::Kept;
use super::progress::Cancel;

/// A file and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which.
    pub file: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// What was found.
    pub verdict: Verdict,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its hash is right.
    Right {
        /// The hash.
        hash: String,
    },
    /// No hash of it is known; its size is right, as far as that is known.
    Unknown,
    /// It is not there.
    Missing,
    /// Its size is another.
    Size {
        /// Bytes that it should have.
        wanted: u64,
    },
    /// Its content is another.
    Wrong {
        /// The hash that it should have.
        wanted: String,
        /// The hash that it has.
        got: String,
    },
    /// It could not be read.
    Unreadable {
        /// Why not.
        why: String,
    },
    /// A person had enough.
    Cancelled,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Right { .. } | Self::Unknown)
    }
}

/// Checks a file. With `kept` against what is known of it; else against the name that Hugging Face's cache gives its
/// content. `seen` is told the bytes as they are read.
pub fn check(file: &Path, kept: Option<&Kept>, cancel: &Cancel, mut seen: impl FnMut(u64)) -> Checked {
    let told = |bytes, verdict| Checked { file: file.to_owned(), bytes, verdict };
    let bytes = match fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return told(0, Verdict::Missing),
        Err(error) => return told(0, Verdict::Unreadable { why: error.to_string() }),
    };
    if let Some(kept) = kept.filter(|kept| kept.bytes != bytes) {
        return told(bytes, Verdict::Size { wanted: kept.bytes });
    }
    let known = kept.and_then(|kept| kept.hash.as_deref()).and_then(Expected::from_etag);
    let Some(expected) = known.or_else(|| by_name(file)) else { return told(bytes, Verdict::Unknown) };
    let verdict = match digest::of_file(file, &expected, |read| {
        seen(read);
        !cancel.is_stopped()
    }) {
        Ok(Some(got)) if got == expected.as_str() => Verdict::Right { hash: got },
        Ok(Some(got)) => Verdict::Wrong { wanted: expected.as_str().to_owned(), got },
        Ok(None) => Verdict::Cancelled,
        Err(error) => Verdict::Unreadable { why: error.to_string() },
    };
    told(bytes, verdict)
}

/// The hash that a content in Hugging Face's cache is named by.
fn by_name(file: &Path) -> Option<Expected> {
    let blob = fs::canonicalize(file).ok()?;
    let folder = blob.parent()?.file_name()?;
    let etag = blob.file_name()?.to_str()?;
    (folder == "blobs").then(|| Expected::from_etag(etag)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_in_the_cache_is_checked_by_its_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let blobs = directory.path().join("models--a--b/blobs");
        fs::create_dir_all(&blobs).expect("room");
        let file = blobs.join("ce013625030ba8dba906f756967f9e9ca394464a");
        let verdict = || check(&file, None, &Cancel::default(), |_| ()).verdict;
        assert_eq!(verdict(), Verdict::Missing);
        fs::write(&file, b"hello\n").expect("room");
        assert!(matches!(verdict(), Verdict::Right { .. }));
        fs::write(&file, b"hellp\n").expect("room");
        assert!(matches!(verdict(), Verdict::Wrong { .. }));
    }

    #[test]
    fn a_file_that_nobody_knows_is_told_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("x.safetensors");
        fs::write(&file, b"hello\n").expect("room");
        let verdict = |kept| check(&file, kept, &Cancel::default(), |_| ()).verdict;
        assert_eq!(verdict(None), Verdict::Unknown);
        let place = "ms:a/b/x.safetensors".parse().expect("an address");
        let kept = Kept { place, file: file.clone(), blob: file.clone(), bytes: 7, hash: None };
        assert_eq!(verdict(Some(&kept)), Verdict::Size { wanted: 7 });
    }
}
