//! Removing what was fetched: only files of the record, only in the hubs' caches, and only what nothing else needs.

use std::fs;
use std::path::{Path, PathBuf};

use super::cache;
use super::error::FetchError;
use super::hubs::Hubs;
use super::ledger::{Kept, Ledger};
use super::unfinished::Unfinished;
use crate::catalog::{Hub, Place};

/// What would go, and what would stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// What goes.
    pub files: Vec<Kept>,
    /// Parts of files that are not whole, which go too.
    pub unfinished: Vec<Unfinished>,
    /// Bytes that become free, as far as nothing else holds them.
    pub bytes: u64,
    /// What stays, and why.
    pub stays: Vec<(PathBuf, &'static str)>,
}

/// Says what removing the files at `places` means. `shared` are the places of files that other models need; of what is
/// not whole nothing is needed.
#[must_use]
pub fn plan(
    hubs: &Hubs,
    (kept, unfinished): (&[Kept], &[Unfinished]),
    places: &[Place],
    shared: &[Place],
) -> Removal {
    let mut removal = Removal::default();
    for file in kept.iter().filter(|file| places.contains(&file.place)) {
        let other = |other: &&Kept| other.blob == file.blob && shared.contains(&other.place);
        let why = if !is_in_cache(hubs, &file.file) {
            Some("it is not in a cache")
        } else if shared.contains(&file.place) || kept.iter().any(|one| other(&one)) {
            Some("another model needs it")
        } else {
            None
        };
        match why {
            Some(why) => removal.stays.push((file.file.clone(), why)),
            None => removal.files.push(file.clone()),
        }
    }
    let mut blobs: Vec<_> = removal.files.iter().map(|file| (&file.blob, file.bytes)).collect();
    blobs.sort();
    blobs.dedup();
    let of_files: u64 = blobs.iter().map(|(_, bytes)| bytes).sum();
    for part in unfinished.iter().filter(|part| places.contains(&part.place)) {
        match part.is_busy() {
            true => removal.stays.push((part.part.clone(), "another process is fetching it")),
            false => removal.unfinished.push(part.clone()),
        }
    }
    removal.bytes = of_files + removal.unfinished.iter().map(|part| part.have).sum::<u64>();
    removal
}

impl Removal {
    /// Carries it out; gives the bytes that became free.
    ///
    /// # Errors
    /// The first file that cannot be removed; those before it are gone and forgotten.
    pub fn carry_out(&self, hubs: &Hubs, ledger: &Ledger) -> Result<u64, FetchError> {
        let mut freed = 0;
        for part in &self.unfinished {
            // What another process has begun to fetch since then stays.
            freed += part.remove()?.unwrap_or(0);
        }
        for file in &self.files {
            freed += remove(hubs, file)?;
            ledger.forget(std::slice::from_ref(&file.file))?;
        }
        Ok(freed)
    }
}

/// Removes a file and, if that was a link, its content once nothing links to it any more.
fn remove(hubs: &Hubs, kept: &Kept) -> Result<u64, FetchError> {
    let Kept { file, place, .. } = kept;
    let root = root(hubs, place.hub);
    let blob = fs::canonicalize(file).ok().filter(|blob| blob != file && is_blob(root, file, blob));
    let direct =
        fs::symlink_metadata(file).map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 });
    unlink(file)?;
    prune(file, root);
    if place.hub == Hub::HuggingFace {
        drop_dead_refs(file);
    }
    let Some(blob) = blob.filter(|blob| !cache::is_linked(blob)) else { return Ok(direct) };
    let bytes = fs::metadata(&blob).map_or(0, |metadata| metadata.len());
    unlink(&blob)?;
    prune(&blob, root);
    Ok(bytes)
}

fn unlink(file: &Path) -> Result<(), FetchError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FetchError::io(file, "removed")(error))
        }
        _ => Ok(()),
    }
}

/// Whether a link's target is a content of the same repository, and not a file elsewhere that somebody linked to.
fn is_blob(root: &Path, file: &Path, blob: &Path) -> bool {
    let Some(repo) = file.strip_prefix(root).ok().and_then(|below| below.iter().next()) else { return false };
    let blobs = fs::canonicalize(root.join(repo).join("blobs"));
    blobs.is_ok_and(|blobs| blob.parent() == Some(&blobs))
}

/// Removes folders that became empty, below the cache.
fn prune(file: &Path, root: &Path) {
    for folder in file.ancestors().skip(1).take_while(|folder| *folder != root && folder.starts_with(root)) {
        // It fails on the first that is not empty.
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// Removes the references to a snapshot that is gone: Hugging Face's tools take a cache with one for broken.
fn drop_dead_refs(file: &Path) {
    let Some(snapshots) = file.ancestors().find(|folder| folder.ends_with("snapshots")) else { return };
    let (Some(commit), Some(repo)) =
        (file.strip_prefix(snapshots).ok().and_then(|p| p.iter().next()), snapshots.parent())
    else {
        return;
    };
    if snapshots.join(commit).exists() {
        return;
    }
    drop_refs_to(&repo.join("refs"), &commit.to_string_lossy());
    let _ = fs::remove_dir(repo.join("refs"));
}

fn drop_refs_to(folder: &Path, commit: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            drop_refs_to(&path, commit);
        } else if fs::read_to_string(&path).is_ok_and(|text| text.trim() == commit) {
            let _ = fs::remove_file(&path);
        }
    }
}

fn root(hubs: &Hubs, hub: Hub) -> &Path {
    &hubs.server(hub).cache
}

fn is_in_cache(hubs: &Hubs, file: &Path) -> bool {
    let below = |root: &Path| file.starts_with(root) && !file.iter().any(|name| name == "..");
    below(&hubs.huggingface.cache) || below(&hubs.modelscope.cache)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn kept(root: &Path, path: &str, blob: &str) -> Kept {
        let repo = root.join(".cache/huggingface/hub/models--a--b");
        let place = format!("hf:a/b/{path}").parse().expect("an address");
        let (file, blob) = (repo.join("snapshots/c1").join(path), repo.join("blobs").join(blob));
        fs::create_dir_all(blob.parent().expect("a folder")).expect("room");
        fs::create_dir_all(file.parent().expect("a folder")).expect("room");
        fs::create_dir_all(repo.join("refs")).expect("room");
        fs::write(repo.join("refs/main"), "c1").expect("room");
        fs::write(&blob, b"12345").expect("room");
        let _ = symlink(&blob, &file);
        Kept { place, file, blob, bytes: 5, hash: None }
    }

    fn hubs(root: &Path) -> Hubs {
        Hubs::from_lookup(|name| (name == "HOME").then(|| root.as_os_str().to_owned())).expect("a home")
    }

    #[test]
    fn what_others_need_stays_and_the_rest_goes_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        let hubs = hubs(root);
        let ledger = Ledger::at(root.join("fetched.json"));
        let all = [kept(root, "x", "b1"), kept(root, "y", "b2"), kept(root, "z", "b2")];
        ledger.add(&all).expect("room");
        let places: Vec<_> = all.iter().map(|kept| kept.place.clone()).collect();
        let removal = plan(&hubs, (&all, &[]), &places[..2], &places[2..]);
        assert_eq!((removal.bytes, removal.files.len()), (5, 1), "y's content is z's too: {removal:?}");
        assert_eq!(removal.stays, [(all[1].file.clone(), "another model needs it")]);
        assert_eq!(removal.carry_out(&hubs, &ledger).expect("it goes"), 5);
        assert!(!all[0].blob.exists() && all[1].file.exists() && ledger.read().len() == 2);
        let rest = plan(&hubs, (&all[1..], &[]), &places, &[]);
        assert_eq!(rest.bytes, 5, "one content counts once");
        assert_eq!(rest.carry_out(&hubs, &ledger).expect("they go"), 5);
        assert!(
            !root.join(".cache/huggingface/hub/models--a--b").exists(),
            "nothing is left of the repository"
        );
        assert!(root.join(".cache/huggingface/hub").exists());
    }

    #[test]
    fn a_persons_own_file_behind_a_link_is_not_touched() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        let mut kept = kept(root, "x", "b1");
        let own = root.join("ComfyUI/models/x");
        fs::create_dir_all(own.parent().expect("a folder")).expect("room");
        fs::write(&own, b"mine!").expect("room");
        fs::remove_file(&kept.file).expect("it is there");
        symlink(&own, &kept.file).expect("room");
        kept.blob.clone_from(&own);
        let hubs = hubs(root);
        let removal = plan(&hubs, (std::slice::from_ref(&kept), &[]), std::slice::from_ref(&kept.place), &[]);
        removal.carry_out(&hubs, &Ledger::at(root.join("fetched.json"))).expect("it goes");
        assert!(own.exists() && !kept.file.exists());
        let outside = Kept { file: own.clone(), blob: own.clone(), ..kept };
        let removal =
            plan(&hubs, (std::slice::from_ref(&outside), &[]), std::slice::from_ref(&outside.place), &[]);
        assert_eq!(removal.stays, [(own, "it is not in a cache")]);
    }
}
