//! The commit that a set of files is of, written down from its first byte until all of it is there. It lies among the
//! locks of the repository, where the hub's own tools look for nothing else.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::cache;
use super::hubs::Hubs;
use super::part::write_whole;
use crate::catalog::{Hub, Place, is_plain_name};

/// What such a file's name ends in.
const SUFFIX: &str = ".flux-commit";
/// Longer ones are not ours.
const LENGTH_MAX: u64 = 256;

/// The commit that an earlier attempt began with; by the set's first place.
pub(super) fn read(hubs: &Hubs, place: &Place) -> Option<String> {
    let mut commit = String::new();
    File::open(path(hubs, place)?).ok()?.take(LENGTH_MAX).read_to_string(&mut commit).ok()?;
    let commit = commit.trim();
    is_plain_name(commit).then(|| commit.to_owned())
}

/// Writes it down. Where that fails a later attempt begins with the commit of its own day, which is as whole.
pub(super) fn write(hubs: &Hubs, place: &Place, commit: &str) {
    let Some(path) = path(hubs, place) else { return };
    let made = path.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok());
    if made {
        let _ = write_whole(&path, format!("{commit}\n").as_bytes());
    }
}

/// Forgets it.
pub(super) fn forget(hubs: &Hubs, place: &Place) {
    if let Some(path) = path(hubs, place) {
        let _ = fs::remove_file(path);
    }
}

/// Forgets all of a repository's, by the lock of one of its files.
pub(super) fn forget_beside(lock: &Path) {
    for entry in lock.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().ends_with(SUFFIX.as_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn path(hubs: &Hubs, place: &Place) -> Option<PathBuf> {
    let digest = Sha256::digest(place.to_string().as_bytes());
    let name: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let lock = cache::lock_of(hubs, place, &name);
    (place.hub == Hub::HuggingFace).then(|| lock.with_extension(&SUFFIX[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_kept_by_place_until_it_is_forgotten() {
        let home = tempfile::tempdir().expect("a directory");
        let hubs = Hubs::from_lookup(|name| (name == "HOME").then(|| home.path().into())).expect("a home");
        let place = |text: &str| text.parse::<Place>().expect("an address");
        let (one, other) = (place("hf:a/b/x"), place("hf:a/b@v2/x"));
        assert_eq!(read(&hubs, &one), None);
        write(&hubs, &one, "c0ffee");
        write(&hubs, &other, "beef");
        assert_eq!(read(&hubs, &one).as_deref(), Some("c0ffee"));
        forget(&hubs, &one);
        assert_eq!((read(&hubs, &one), read(&hubs, &other).as_deref()), (None, Some("beef")));
        write(&hubs, &other, "../../x");
        assert_eq!(read(&hubs, &other), None, "what is no commit is none");
        write(&hubs, &place("ms:a/b/x"), "c0ffee");
        assert_eq!(read(&hubs, &place("ms:a/b/x")), None, "ModelScope has none");
        forget_beside(&cache::lock_of(&hubs, &one, "e"));
        assert!(path(&hubs, &other).is_some_and(|path| !path.exists()));
    }
}
