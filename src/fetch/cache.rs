//! The hubs' caches: where a file is looked for, where it comes to, and what is made around it, so that the hubs' own
//! tools find what we fetched and we find what they did.
//!
//! ```text
//! Hugging Face   models--ORG--NAME/blobs/ETAG                     the content
//!                models--ORG--NAME/snapshots/COMMIT/PATH          a link to it
//!                models--ORG--NAME/refs/main                      the commit
//! ModelScope     models/ORG/NAME/PATH                             the content; dots of NAME are written ___
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use hf_hub::{CacheRepo, Repo, RepoType};
use sha2::{Digest as _, Sha256};

use super::error::FetchError;
use super::hubs::{Hubs, Server};
use super::remote::Remote;
use crate::catalog::{Hub, Place};

/// Where one file comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The content.
    pub blob: PathBuf,
    /// What a person and other programs open: the content, or a link to it.
    pub file: PathBuf,
    /// The content while it is not whole.
    pub part: PathBuf,
    /// Taken by the one that writes it.
    pub lock: PathBuf,
}

/// The variable that moves a hub's cache.
pub(super) fn variable(hub: Hub) -> &'static str {
    match hub {
        Hub::HuggingFace => "HF_HUB_CACHE",
        Hub::ModelScope => "MODELSCOPE_CACHE",
    }
}

/// The file in its hub's cache, if it is there: of the place's own revision.
pub(super) fn find(hubs: &Hubs, place: &Place) -> Option<PathBuf> {
    let found = match place.hub {
        Hub::HuggingFace => {
            let repo = repo(&hubs.huggingface, place);
            let of_commit = repo.pointer_path(&place.revision).join(&place.path);
            repo.get(&place.path).unwrap_or(of_commit)
        }
        Hub::ModelScope => {
            let folders = modelscope_folders(&hubs.modelscope, place);
            folders.iter().map(|folder| folder.join(&place.path)).find(|file| file.is_file())?
        }
    };
    found.is_file().then_some(found)
}

/// Where a described file comes to.
pub(super) fn target(hubs: &Hubs, remote: &Remote) -> Target {
    let place = &remote.place;
    let server = hubs.server(place.hub);
    match place.hub {
        Hub::HuggingFace => {
            let repo = repo(server, place);
            let blob = repo.blob_path(&remote.etag);
            let commit = remote.commit.as_deref().unwrap_or(&place.revision);
            Target {
                file: repo.pointer_path(commit).join(&place.path),
                part: with_suffix(&blob, ".flux-part"),
                lock: lock_of(hubs, place, &remote.etag),
                blob,
            }
        }
        Hub::ModelScope => {
            let folders = modelscope_folders(server, place);
            let used = folders.iter().find(|folder| folder.is_dir());
            let file = used.unwrap_or(&folders[0]).join(&place.path);
            let part = with_suffix(&file, ".flux-part");
            Target { blob: file.clone(), part, lock: lock_of(hubs, place, &remote.etag), file }
        }
    }
}

/// The part of a file whose hash is known, where its hub names contents by that: Hugging Face does.
pub(super) fn part_of(hubs: &Hubs, place: &Place, sha256: &str) -> Option<PathBuf> {
    let named_by_hash = place.hub == Hub::HuggingFace;
    named_by_hash.then(|| with_suffix(&repo(&hubs.huggingface, place).blob_path(sha256), ".flux-part"))
}

/// The lock that is taken by whoever writes a content, as the hub's own tools take it.
pub(super) fn lock_of(hubs: &Hubs, place: &Place, etag: &str) -> PathBuf {
    let server = hubs.server(place.hub);
    match place.hub {
        Hub::HuggingFace => {
            let locks = server.cache.join(".locks").join(hf_repo(place).folder_name());
            locks.join(format!("{etag}.lock"))
        }
        Hub::ModelScope => modelscope_lock(server, place),
    }
}

/// Makes what is around a content that is in place. May be done again.
///
/// # Errors
/// When a folder or link cannot be made.
pub(super) fn publish(hubs: &Hubs, remote: &Remote, target: &Target) -> Result<(), FetchError> {
    let (Hub::HuggingFace, Some(commit)) = (remote.place.hub, &remote.commit) else { return Ok(()) };
    link(target, &remote.place).map_err(FetchError::io(&target.file, "linked"))?;
    if remote.place.revision != *commit {
        let repo = repo(&hubs.huggingface, &remote.place);
        repo.create_ref(commit).map_err(FetchError::io(&hubs.huggingface.cache, "written to"))?;
    }
    Ok(())
}

/// A link from the snapshot to the content, relative, so that a cache may be moved. Where the file system has no
/// links, the content itself goes there.
fn link(target: &Target, place: &Place) -> io::Result<()> {
    if let Some(folder) = target.file.parent() {
        fs::create_dir_all(folder)?;
    }
    let name = target.blob.file_name().unwrap_or_default();
    let up = "../".repeat(2 + place.path.matches('/').count());
    let to = Path::new(&up).join("blobs").join(name);
    if fs::read_link(&target.file).is_ok_and(|have| have == to) {
        return Ok(());
    }
    let new = with_suffix(&target.file, ".flux-new");
    let _ = fs::remove_file(&new);
    match symlink(&to, &new) {
        Ok(()) => fs::rename(&new, &target.file),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) =>
        {
            fs::rename(&target.blob, &target.file)
        }
        Err(error) => Err(error),
    }
}

/// Whether any snapshot of the repository still links to the content.
pub(super) fn is_linked(blob: &Path) -> bool {
    let Some(repo) = blob.parent().and_then(Path::parent) else { return false };
    let Ok(wanted) = fs::canonicalize(blob) else { return false };
    any_file(&repo.join("snapshots"), &mut |path| fs::canonicalize(path).is_ok_and(|to| to == wanted))
}

fn any_file(folder: &Path, wanted: &mut impl FnMut(&Path) -> bool) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => any_file(&entry.path(), wanted),
        Ok(_) => wanted(&entry.path()),
        Err(_) => false,
    })
}

fn hf_repo(place: &Place) -> Repo {
    Repo::with_revision(place.repo.clone(), RepoType::Model, place.revision.clone())
}

fn repo(server: &Server, place: &Place) -> CacheRepo {
    hf_hub::Cache::new(server.cache.clone()).repo(hf_repo(place))
}

/// Where ModelScope's tools keep a repository: first where it goes now, then where it went.
fn modelscope_folders(server: &Server, place: &Place) -> [PathBuf; 3] {
    let (owner, name) = place.repo.split_once('/').unwrap_or((&place.repo, ""));
    let (models, masked) = (&server.models, name.replace('.', "___"));
    let other = server.cache.join(if models.ends_with("hub/models") { "models" } else { "hub/models" });
    [models.join(owner).join(&masked), other.join(owner).join(&masked), models.join(owner).join(name)]
}

/// The lock that ModelScope's own client takes for a file.
fn modelscope_lock(server: &Server, place: &Place) -> PathBuf {
    let key = ["modelscope-hub-download-lock-v2", "file", "model", &place.repo, &place.path].join("\0");
    let digest = Sha256::digest(key.as_bytes());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    server.cache.join(".lock").join(format!("file_{digest}.lock"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hubs(home: &Path) -> Hubs {
        Hubs::from_lookup(|name| (name == "HOME").then(|| home.as_os_str().to_owned())).expect("a home")
    }

    fn remote(address: &str) -> Remote {
        let place: Place = address.parse().expect("an address");
        let commit = (place.hub == Hub::HuggingFace).then(|| "c0ffee".to_owned());
        Remote { place, url: String::new(), size: 3, etag: "e7a9".to_owned(), commit, hash: None }
    }

    #[test]
    fn a_snapshot_links_to_its_content_from_any_depth() {
        let directory = tempfile::tempdir().expect("a directory");
        let hubs = hubs(directory.path());
        let remote = remote("hf:org/name.1/a/b/c.bin");
        let target = target(&hubs, &remote);
        assert!(find(&hubs, &remote.place).is_none());
        fs::create_dir_all(target.blob.parent().expect("it has a folder")).expect("room");
        fs::write(&target.blob, b"abc").expect("room");
        for _ in 0..2 {
            publish(&hubs, &remote, &target).expect("room");
            assert_eq!(fs::read(&target.file).expect("the link leads to it"), b"abc");
        }
        assert_eq!(find(&hubs, &remote.place).as_ref(), Some(&target.file));
        assert!(target.file.ends_with("models--org--name.1/snapshots/c0ffee/a/b/c.bin"));
        assert!(is_linked(&target.blob));
        fs::remove_file(&target.file).expect("it is there");
        assert!(!is_linked(&target.blob));
    }

    #[test]
    fn modelscope_keeps_one_folder_whoever_made_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let hubs = hubs(directory.path());
        let remote = remote("ms:org/FLUX.1-dev/vae/x.bin");
        let root = directory.path().join(".cache/modelscope");
        let first = root.join("hub/models/org/FLUX___1-dev/vae/x.bin");
        assert_eq!(target(&hubs, &remote).file, first);
        let newer = root.join("models/org/FLUX___1-dev");
        fs::create_dir_all(&newer).expect("room");
        assert_eq!(target(&hubs, &remote).file, newer.join("vae/x.bin"));
    }
}
