//! Tells when the LoRAs in the folders may be others, by inotify: it sleeps until the system says so. Folders that are not
//! there yet are waited for in the nearest one that is. What is on a network file system is changed by machines of which
//! this one hears nothing: such a folder counts as not watched, and clients ask for its list every so often
//! ([`crate::wire::loras`]).

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::Shared;
use crate::catalog::loras;

/// More folders are not watched: the system has a number of watches for all of a person's programs.
const FOLDERS_MAX: usize = 4096;
/// After the first change, others that belong to it are waited for so long: a picture comes beside its LoRA.
const TOGETHER: Duration = Duration::from_millis(150);
/// File systems that other machines write to, by the magic numbers of `statfs(2)`: NFS, CIFS, SMB2, FUSE (sshfs and many
/// others), 9P, Ceph, AFS, Coda, Lustre, GPFS.
const FAR: [u64; 10] = [
    0x6969,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x7375_7245,
    0x0bd0_0bd0,
    0x4750_4653,
];

/// Watches folders of LoRAs. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct LoraWatch {
    /// `None` where the system has none to give.
    inotify: Option<Arc<OwnedFd>>,
    watched: Arc<Mutex<HashMap<i32, Watched>>>,
}

/// A folder that is watched.
#[derive(Debug, Default)]
struct Watched {
    path: PathBuf,
    /// Whether LoRAs in it count.
    within: bool,
    /// Folders that may come to be in it.
    awaited: BTreeSet<OsString>,
}

impl LoraWatch {
    /// One that watches nothing yet.
    pub fn start() -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let inotify = inotify
            .inspect_err(|error| tracing::warn!(%error, "folders of LoRAs cannot be watched"))
            .ok()
            .map(Arc::new);
        Self { inotify, watched: Arc::default() }
    }

    /// Watches a folder from now on. Whether all changes of it will be heard of.
    pub fn enter(&self, folder: &Path) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let Some(there) = folder.ancestors().find(|folder| folder.is_dir()) else { return true };
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let mut all = self.lock();
        if all.len() >= FOLDERS_MAX && !all.values().any(|watched| watched.path == there) {
            return false;
        }
        let number = match inotify::add_watch(inotify, there, flags) {
            Ok(number) => number,
            Err(error) => {
                tracing::debug!(%error, folder = %there.display(), "a folder of LoRAs is not watched");
                return false;
            }
        };
        let watched = all.entry(number).or_default();
        watched.path = there.to_owned();
        match folder.strip_prefix(there).ok().and_then(|rest| rest.components().next()) {
            Some(next) => drop(watched.awaited.insert(next.as_os_str().to_owned())),
            None => watched.within = true,
        }
        !is_far(there)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the system tells; whether LoRAs may have come, changed or gone.
    fn take(&self, inotify: &OwnedFd) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        let mut changed = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    changed |= self.concerns(event.wd(), event.events(), name);
                }
                Err(Errno::WOULDBLOCK) => return Ok(changed),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn concerns(&self, number: i32, events: ReadFlags, name: Option<&OsStr>) -> bool {
        // Some were lost.
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            return true;
        }
        let mut all = self.lock();
        if events.contains(ReadFlags::IGNORED) {
            all.remove(&number);
            return false;
        }
        let Some(watched) = all.get(&number) else { return false };
        // The folder itself.
        let Some(name) = name else { return true };
        if watched.awaited.contains(name) {
            return true;
        }
        if !watched.within {
            return false;
        }
        if events.contains(ReadFlags::ISDIR) {
            return true;
        }
        let path = watched.path.join(name);
        if events.contains(ReadFlags::CREATE) {
            // Of a file that is being written its end is told; a link has all at once, and may be to a folder.
            let made = path.symlink_metadata();
            return made.is_ok_and(|made| made.is_symlink() || made.nlink() > 1 && loras::concerns(&path));
        }
        // A link to a folder that has gone has any name.
        loras::concerns(&path) || events.contains(ReadFlags::DELETE) && path.extension().is_none()
    }
}

/// Whether a folder is on a file system that other machines write to.
fn is_far(folder: &Path) -> bool {
    // The type of the number differs from one system to another.
    rustix::fs::statfs(folder).is_ok_and(|system| FAR.contains(&(system.f_type as u64 & 0xffff_ffff)))
}

/// tokio deprecates this constructor because it takes types that may swap their descriptor; an `OwnedFd` keeps its own.
#[expect(deprecated, reason = "sound for an OwnedFd, see above")]
fn registered(inotify: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(inotify)
}

/// Tells all clients of changes, for as long as the worker lives.
pub(super) async fn tell_of_changes(shared: Rc<Shared>) {
    let watch = shared.lora_watch.clone();
    let Some(inotify) = &watch.inotify else { return };
    let ready = match inotify.try_clone().and_then(registered) {
        Ok(ready) => ready,
        Err(error) => return tracing::warn!(%error, "folders of LoRAs are not watched"),
    };
    loop {
        let Ok(mut told) = ready.readable().await else { return };
        told.clear_ready();
        match watch.take(inotify) {
            Ok(false) => {}
            Ok(true) => {
                sleep(TOGETHER).await;
                if let Err(error) = watch.take(inotify) {
                    tracing::warn!(%error, "folders of LoRAs are no longer watched");
                }
                shared.hub.loras_changed();
            }
            Err(error) => return tracing::warn!(%error, "folders of LoRAs are no longer watched"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What the watch says of one change of the files.
    fn seen(watch: &LoraWatch, change: impl FnOnce()) -> bool {
        change();
        // What the system tells of a change is there when the change is.
        watch.take(watch.inotify.as_ref().expect("there are watches")).expect("it can be read")
    }

    #[test]
    fn loras_and_their_pictures_count_and_nothing_else_does() {
        let root = tempfile::tempdir().expect("a directory");
        let (folder, elsewhere) = (root.path().join("loras"), root.path().join("elsewhere"));
        [&folder, &elsewhere].into_iter().for_each(|folder| fs::create_dir(folder).expect("a folder"));
        let watch = LoraWatch::start();
        assert!(watch.enter(&folder));
        let write = |name: &str| fs::write(folder.join(name), "x").expect("it can be written");
        assert!(seen(&watch, || write("ink.safetensors")));
        assert!(seen(&watch, || write("ink.preview.png")));
        assert!(!seen(&watch, || write("notes.txt")));
        assert!(!seen(&watch, || fs::write(elsewhere.join("a.safetensors"), "x").expect("a file")));
        let begun = || fs::File::create(folder.join("half.safetensors")).expect("a file");
        let mut half = None;
        assert!(!seen(&watch, || half = Some(begun())), "it is being written");
        assert!(seen(&watch, || drop(half.take())));
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.join(name)).expect("a link");
        assert!(seen(&watch, || link(&elsewhere.join("a.safetensors"), "b.safetensors")));
        assert!(seen(&watch, || link(&elsewhere, "more")));
        assert!(seen(&watch, || fs::remove_file(folder.join("more")).expect("it is ours")));
        assert!(seen(&watch, || fs::remove_file(folder.join("ink.safetensors")).expect("it is ours")));
        assert!(seen(&watch, || fs::rename(&folder, root.path().join("away")).expect("it is ours")));
    }

    #[test]
    fn folders_that_come_later_are_waited_for() {
        let root = tempfile::tempdir().expect("a directory");
        let folder = root.path().join("a/b/loras");
        let watch = LoraWatch::start();
        assert!(watch.enter(&folder));
        assert!(!seen(&watch, || fs::create_dir(root.path().join("other")).expect("a folder")));
        assert!(!seen(&watch, || fs::write(root.path().join("x.safetensors"), "x").expect("a file")));
        assert!(seen(&watch, || fs::create_dir_all(&folder).expect("a folder")));
        assert!(watch.enter(&folder));
        assert!(seen(&watch, || fs::write(folder.join("x.safetensors"), "x").expect("a file")));
        assert!(seen(&watch, || fs::remove_dir_all(root.path().join("a")).expect("it is ours")));
        assert!(!seen(&watch, || ()), "what is gone is not watched: nothing more comes of it");
    }

    #[test]
    fn a_machine_without_watches_says_so() {
        assert!(!LoraWatch::default().enter(Path::new("/")), "clients look again by themselves");
    }
}
