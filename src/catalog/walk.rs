//! Files that may be weights, in folders of which nothing is known: links are followed, circles and huge trees end.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// FLUX.1's smallest part has 168 MB in bf16. Most LoRAs and all of a program's other files are below this.
const LEAST_BYTES: u64 = 64 << 20;
/// Folders further down are not entered.
const DEPTH_MAX: usize = 8;
/// After so many entries the walk ends.
const ENTRIES_MAX: usize = 50_000;
/// A walk is kept no longer.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// Times of files are as coarse as this on the file systems that models lie on.
const SETTLED: Duration = Duration::from_secs(2);
/// A file that was written to in that time may still grow.
const GROWING: Duration = Duration::from_secs(3600);
/// An index of shards is small, and is known by the only name that it has.
const INDEX: &str = ".safetensors.index.json";

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Files and their sizes, by path.
    pub files: Vec<(PathBuf, u64)>,
    /// Whether there was more than is looked at.
    pub cut: bool,
    /// What would show that something changed.
    stamps: Vec<(PathBuf, Stamp)>,
}

/// When something was last changed, and its size; `None` where there is nothing.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    fs::metadata(path).ok().and_then(|metadata| stamp_of(&metadata))
}

fn stamp_of(metadata: &fs::Metadata) -> Stamp {
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The last walk, kept until something changed: folders that many files lie in are slow to go through over a network.
///
/// A file that comes, goes or gets another name changes the time of its folder. One that grows where it is does not, so
/// files that were written to lately are looked at themselves, and after a while all is gone through again.
#[derive(Debug, Default)]
pub struct Walks(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    folders: Vec<PathBuf>,
    at: SystemTime,
    walk: Arc<Walk>,
}

impl Walks {
    /// What is in these folders at the time `now`.
    pub(super) fn of(&self, folders: &[PathBuf], now: SystemTime) -> Arc<Walk> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = last.as_ref().filter(|kept| kept.folders == folders && kept.holds(now)) {
            return Arc::clone(&kept.walk);
        }
        let walk = Arc::new(walk_at(folders, ENTRIES_MAX, now));
        *last = Some(Kept { folders: folders.to_owned(), at: now, walk: Arc::clone(&walk) });
        walk
    }
}

impl Kept {
    fn holds(&self, now: SystemTime) -> bool {
        let recent = now.duration_since(self.at).is_ok_and(|age| age < KEPT_FOR);
        // What changes in the same moment as it is looked at may have the same time before and after.
        let settled = |stamp: &Stamp| match stamp {
            Some((changed, _)) => self.at.duration_since(*changed).is_ok_and(|age| age >= SETTLED),
            None => true,
        };
        let same = |(path, known): &(PathBuf, Stamp)| settled(known) && stamp(path) == *known;
        recent && self.walk.stamps.iter().all(same)
    }
}

/// Goes through folders. What cannot be read is passed over.
pub(super) fn walk(folders: &[PathBuf]) -> Walk {
    walk_at(folders, ENTRIES_MAX, SystemTime::now())
}

fn walk_at(folders: &[PathBuf], most: usize, now: SystemTime) -> Walk {
    let mut walk = Walk::default();
    let mut seen = HashSet::new();
    let mut entries = 0;
    let mut waiting: Vec<(PathBuf, usize)> = folders.iter().rev().map(|folder| (folder.clone(), 0)).collect();
    while let Some((path, depth)) = waiting.pop() {
        // Of a link, what it leads to.
        let Ok(metadata) = fs::metadata(&path) else {
            walk.stamps.push((path, None));
            continue;
        };
        if !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        let settled =
            |(changed, _): (SystemTime, u64)| now.duration_since(changed).is_ok_and(|age| age > GROWING);
        if metadata.is_dir() || !stamp_of(&metadata).is_some_and(settled) {
            walk.stamps.push((path.clone(), stamp_of(&metadata)));
        }
        if metadata.is_file() {
            if metadata.len() >= LEAST_BYTES || is_index(&path) {
                walk.files.push((path, metadata.len()));
            }
            continue;
        }
        if !metadata.is_dir() {
            continue;
        }
        if depth > DEPTH_MAX {
            walk.cut = true;
            continue;
        }
        let Ok(children) = fs::read_dir(&path) else { continue };
        let mut children: Vec<_> =
            children.flatten().map(|child| child.path()).take(most - entries + 1).collect();
        if children.len() > most - entries {
            walk.cut = true;
            children.pop();
        }
        entries += children.len();
        // The last that goes in comes out first.
        children.sort_unstable_by(|a, b| b.cmp(a));
        waiting
            .extend(children.into_iter().filter(|child| !is_hidden(child)).map(|child| (child, depth + 1)));
    }
    walk.files.sort_unstable();
    walk
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_index(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(INDEX.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    fn large(path: &Path) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a directory");
        File::create(path).and_then(|file| file.set_len(LEAST_BYTES)).expect("a hole costs nothing");
    }

    fn names(walk: &Walk) -> Vec<String> {
        walk.files
            .iter()
            .map(|(path, _)| path.file_name().expect("a name").to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn links_are_followed_and_a_circle_ends() {
        let root = tempfile::tempdir().expect("a directory");
        let (models, other) = (root.path().join("模型 库"), root.path().join("other disk"));
        large(&models.join("unet/a"));
        large(&other.join("b"));
        fs::write(models.join("unet/small"), "x").expect("it can be written");
        fs::write(models.join("unet/m.safetensors.index.json"), "{}").expect("it can be written");
        symlink(&other, models.join("linked")).expect("a link");
        symlink(&models, models.join("unet/circle")).expect("a link");
        symlink(models.join("unet/a"), models.join("again")).expect("a link");
        symlink(root.path().join("nowhere"), models.join("broken")).expect("a link");
        let walk = walk(&[models, root.path().join("none")]);
        assert_eq!(names(&walk), ["again", "b", "m.safetensors.index.json"]);
        assert!(!walk.cut);
    }

    #[test]
    fn a_huge_tree_and_a_deep_one_are_cut() {
        let root = tempfile::tempdir().expect("a directory");
        for number in 0..50 {
            fs::write(root.path().join(number.to_string()), "").expect("it can be written");
        }
        assert!(walk_at(&[root.path().to_owned()], 20, SystemTime::now()).cut);
        assert!(!walk_at(&[root.path().to_owned()], 50, SystemTime::now()).cut);
        let deep = (0..DEPTH_MAX + 2).fold(root.path().to_owned(), |path, _| path.join("d"));
        large(&deep.join("a"));
        let walk = walk(&[root.path().to_owned()]);
        assert!(walk.cut && walk.files.is_empty());
    }

    /// As if they were last changed long ago: a file system's clock may stand still between two lines of a test.
    fn age(paths: &[&Path], minutes: u64) {
        let then = SystemTime::now() - Duration::from_secs(60 * minutes);
        for path in paths {
            File::open(path).and_then(|file| file.set_modified(then)).expect("its time can be set");
        }
    }

    #[test]
    fn a_walk_is_kept_until_something_changes() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |path: &str| root.path().join(path);
        let (models, unet, a, d) =
            (at("models"), at("models/unet"), at("models/unet/a"), at("models/unet/d"));
        large(&a);
        let (walks, folders) = (Walks::default(), [models.clone(), at("later")]);
        let look = || walks.of(&folders, SystemTime::now());
        let settle = |more: &[&Path]| {
            age(&[&models, &unet, &a], 120);
            age(more, 120);
            look()
        };
        let first = settle(&[]);
        assert!(Arc::ptr_eq(&first, &look()), "nothing changed");
        assert!(!Arc::ptr_eq(&first, &walks.of(&folders[..1], SystemTime::now())), "other folders");
        settle(&[]);
        large(&unet.join("b"));
        assert_eq!(names(&look()), ["a", "b"], "a file came");
        settle(&[&unet.join("b")]);
        fs::rename(unet.join("b"), models.join("c")).expect("it can be moved");
        assert_eq!(names(&look()), ["c", "a"], "a file was moved");
        fs::write(&d, "x").expect("it can be written");
        age(&[&d], 30);
        let before = settle(&[&models.join("c")]);
        assert!(Arc::ptr_eq(&before, &look()) && names(&before) == ["c", "a"]);
        File::options().write(true).open(&d).and_then(|file| file.set_len(LEAST_BYTES)).expect("it can grow");
        assert_eq!(names(&look()), ["c", "a", "d"], "a file grew");
        settle(&[&models.join("c"), &d]);
        large(&at("later/e"));
        assert_eq!(names(&look()), ["e", "c", "a", "d"], "a folder came");
    }

    #[test]
    fn a_walk_of_a_moment_ago_or_long_ago_is_not_kept() {
        let root = tempfile::tempdir().expect("a directory");
        large(&root.path().join("a"));
        let (walks, folders) = (Walks::default(), [root.path().to_owned()]);
        let now = SystemTime::now();
        let first = walks.of(&folders, now);
        let second = walks.of(&folders, now + Duration::from_secs(10));
        assert!(!Arc::ptr_eq(&first, &second), "it may have changed in the same moment");
        let at = |seconds| walks.of(&folders, now + Duration::from_secs(seconds));
        assert!(Arc::ptr_eq(&second, &at(10 + 299)));
        assert!(!Arc::ptr_eq(&second, &at(10 + 300)));
    }
}
