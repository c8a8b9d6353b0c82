//! Whether the disks have room, before anything is fetched.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::FetchError;

/// Tells the bytes that are free where a folder is; replaced in tests.
pub type Free = fn(&Path) -> io::Result<u64>;

/// What this process may still write on the file system of an existing folder. Bytes.
///
/// # Errors
/// Those of the system call.
pub fn free(folder: &Path) -> io::Result<u64> {
    let told = rustix::fs::statvfs(folder)?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

/// Bytes to come at a place, and the variable that would put them elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub folder: PathBuf,
    pub bytes: u64,
    pub variable: &'static str,
}

/// That every disk has room for all that is to come to it.
///
/// # Errors
/// The first disk that has not.
pub(super) fn check(needs: &[Need], free: Free) -> Result<(), FetchError> {
    let mut disks: BTreeMap<u64, (Need, PathBuf)> = BTreeMap::new();
    for need in needs.iter().filter(|need| need.bytes > 0) {
        let existing = existing(&need.folder);
        let device = fs::metadata(&existing).map_err(FetchError::io(&existing, "looked at"))?.dev();
        disks
            .entry(device)
            .and_modify(|(all, _)| all.bytes = all.bytes.saturating_add(need.bytes))
            .or_insert_with(|| (need.clone(), existing));
    }
    for (Need { folder, bytes, variable }, existing) in disks.into_values() {
        let free = free(&existing).map_err(FetchError::io(&existing, "measured"))?;
        if bytes > free {
            return Err(FetchError::Space { folder, needed: bytes, free, variable });
        }
    }
    Ok(())
}

/// The nearest folder above that exists.
fn existing(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|folder| folder.is_dir());
    found.unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_on_one_disk_add_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let need = |bytes| Need { folder: directory.path().join("not/yet"), bytes, variable: "HF_HUB_CACHE" };
        let hundred: Free = |_| Ok(100);
        assert!(check(&[need(60), need(40)], hundred).is_ok());
        let refused = check(&[need(60), need(41)], hundred);
        assert!(matches!(refused, Err(FetchError::Space { needed: 101, free: 100, .. })), "{refused:?}");
        let hostile = check(&[need(u64::MAX), need(u64::MAX)], hundred);
        assert!(matches!(hostile, Err(FetchError::Space { needed: u64::MAX, .. })), "{hostile:?}");
        assert!(free(directory.path()).expect("it is there") > 0);
    }
}
