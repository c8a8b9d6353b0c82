//! Files that may be weights, in folders of which nothing is known: links are followed, circles and huge trees end.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// FLUX.1's smallest part has 168 MB in bf16. Most LoRAs and all of a program's other files are below this.
const LEAST_BYTES: u64 = 64 << 20;
/// Folders further down are not entered.
const DEPTH_MAX: usize = 8;
/// After so many entries the walk ends.
const ENTRIES_MAX: usize = 50_000;
/// An index of shards is small, and is known by the only name that it has.
const INDEX: &str = ".safetensors.index.json";

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Files and their sizes, by path.
    pub files: Vec<(PathBuf, u64)>,
    /// Whether there was more than is looked at.
    pub cut: bool,
}

/// Goes through folders. What cannot be read is passed over.
pub(super) fn walk(folders: &[PathBuf]) -> Walk {
    walk_at_most(folders, ENTRIES_MAX)
}

fn walk_at_most(folders: &[PathBuf], most: usize) -> Walk {
    let mut walk = Walk::default();
    let mut seen = HashSet::new();
    let mut entries = 0;
    let mut waiting: Vec<(PathBuf, usize)> = folders.iter().rev().map(|folder| (folder.clone(), 0)).collect();
    while let Some((path, depth)) = waiting.pop() {
        // Of a link, what it leads to.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
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
        assert!(walk_at_most(&[root.path().to_owned()], 20).cut);
        assert!(!walk_at_most(&[root.path().to_owned()], 50).cut);
        let deep = (0..DEPTH_MAX + 2).fold(root.path().to_owned(), |path, _| path.join("d"));
        large(&deep.join("a"));
        let walk = walk(&[root.path().to_owned()]);
        assert!(walk.cut && walk.files.is_empty());
    }
}
