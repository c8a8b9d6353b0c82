//! Hashes of files: SHA-256, and git's name of a small file.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::part::Part;

/// How much is hashed at a time: large enough for the CPU, small enough for its cache.
const CHUNK: usize = 256 * 1024;

/// What a file's content must hash to. Hexadecimal in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    Sha256(String),
    /// Git's name of a blob: SHA-1 of a header with the size, and the content. Hugging Face names files by it that
    /// are not in LFS.
    GitBlob(String),
}

impl Expected {
    /// From a SHA-256 as text, if it is one.
    pub(super) fn sha256(text: &str) -> Option<Self> {
        is_hex(text, 64).then(|| Self::Sha256(text.to_ascii_lowercase()))
    }

    /// From what Hugging Face names a file by, if that is a hash.
    pub(super) fn from_etag(etag: &str) -> Option<Self> {
        Self::sha256(etag).or_else(|| is_hex(etag, 40).then(|| Self::GitBlob(etag.to_ascii_lowercase())))
    }

    /// The hash.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitBlob(hex) => hex,
        }
    }

    fn hasher(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::GitBlob(_) => Hasher::Git(Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => hex(&hasher.finalize()),
            Self::Git(hasher) => hex(&hasher.finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes a part while it grows, reading behind what was written, which is in memory then. `None` when the part will
/// not become whole.
pub(super) fn follow(part: &Part, expected: &Expected) -> io::Result<Option<String>> {
    let (mut hasher, mut at) = (expected.hasher(part.size()), 0);
    let mut chunk = vec![0; CHUNK];
    while at < part.size() {
        let Some(end) = part.wait_beyond(at) else { return Ok(None) };
        while at < end {
            let take = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
            part.file().read_exact_at(&mut chunk[..take], at)?;
            hasher.update(&chunk[..take]);
            at += take as u64;
        }
    }
    Ok(Some(hasher.finish()))
}

/// Hashes a file; `seen` is told the bytes as they are read and may end it (`None`).
pub(super) fn of_file(
    path: &Path,
    expected: &Expected,
    mut seen: impl FnMut(u64) -> bool,
) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let mut hasher = expected.hasher(file.metadata()?.len());
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(Some(hasher.finish()));
        }
        hasher.update(&chunk[..read]);
        if !seen(read as u64) {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256sum_and_of_git() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x");
        std::fs::write(&path, b"hello\n").expect("a file");
        let of = |text: &str| {
            let expected = Expected::from_etag(text).expect("a hash");
            of_file(&path, &expected, |_| true).expect("it is read").expect("nobody ends it")
        };
        // printf 'hello\n' | sha256sum; printf 'hello\n' | git hash-object --stdin
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(of(&sha256.to_uppercase()), sha256);
        assert_eq!(of(git), git);
        assert_eq!(Expected::from_etag("5891-2"), None);
    }
}
