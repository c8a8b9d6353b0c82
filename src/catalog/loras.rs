//! LoRAs by name: where they are kept, and which file a name means.
//!
//! A LoRA is called by its file's name without the ending, alone or behind the folders that it lies in:
//! `ink`, `styles/ink`. Other programs' folders are looked in as well ([`Places`](super::places::Places)).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What their files end in.
const ENDING: &str = "safetensors";
/// What pictures end in that other programs put beside a LoRA, the likeliest first.
const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// What may stand before such an ending: `ink.preview.png`.
const PREVIEW: &str = ".preview";
/// Folders further down are not entered.
const DEPTH_MAX: usize = 8;
/// After so many entries the search ends.
const ENTRIES_MAX: usize = 50_000;
/// Names that a message has.
const TOLD: usize = 8;

/// Why no file is meant by a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLora {
    /// A path, and nothing is there.
    #[error("there is no file {}", .0.display())]
    NoFile(PathBuf),
    /// No file of that name.
    #[error("there is no LoRA {name:?} in {folders}{}", likely(.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        folders: String,
        /// Names that there are.
        known: Vec<String>,
    },
}

fn likely(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; there is {}", known.join(", ")) }
}

/// A LoRA's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lora {
    /// The folders that it lies in and its name, without the ending: `styles/ink`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// A picture that is beside it under its name: `ink.png`, `ink.preview.jpg`.
    pub picture: Option<PathBuf>,
}

/// The LoRAs in these folders, by folder and name. What cannot be read is passed over, and a file that is there under two
/// names is told once.
#[must_use]
pub fn list(folders: &[PathBuf]) -> Vec<Lora> {
    list_telling(folders, &mut |_| {})
}

/// [`list`], which tells of each of the folders, whether it is there or not, and of each folder below them before it is
/// looked into: whoever watches it from then on misses nothing.
pub fn list_telling(folders: &[PathBuf], entering: &mut dyn FnMut(&Path)) -> Vec<Lora> {
    let (mut all, mut seen, mut entries) = (Vec::new(), HashSet::new(), 0);
    for folder in folders {
        entering(folder);
        let (first, mut pictures) = (all.len(), HashMap::new());
        let mut waiting = vec![(folder.clone(), 0)];
        while let Some((path, depth)) = waiting.pop() {
            if let Some((beside, rank)) = pictured(&path) {
                let kept = pictures.entry(beside).or_insert((rank, path.clone()));
                if rank < kept.0 {
                    *kept = (rank, path);
                }
                continue;
            }
            // Of a link, what it leads to.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let is_lora = metadata.is_file() && path.extension().is_some_and(|ending| ending == ENDING);
            if !(is_lora || metadata.is_dir()) || !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            if is_lora {
                all.extend(name(folder, &path).map(|name| Lora { name, path, picture: None }));
            } else if depth <= DEPTH_MAX {
                if depth > 0 {
                    entering(&path);
                }
                let children = fs::read_dir(&path).into_iter().flatten().flatten();
                let left = ENTRIES_MAX - entries;
                let before = waiting.len();
                waiting.extend(children.take(left).map(|child| (child.path(), depth + 1)));
                entries += waiting.len() - before;
            }
        }
        for lora in &mut all[first..] {
            lora.picture = pictures.remove(&lora.path.with_extension("")).map(|(_, picture)| picture);
        }
        all[first..].sort_by(|one, other| one.name.cmp(&other.name));
    }
    all
}

/// Whether a file of this name, were it in one of the folders, would be in the list or change what is told of another.
#[must_use]
pub fn concerns(name: &Path) -> bool {
    name.extension().is_some_and(|ending| ending == ENDING) || pictured(name).is_some()
}

/// The LoRA, without its ending, that a picture is of, and how likely it is among others; `None` of what is no picture.
fn pictured(path: &Path) -> Option<(PathBuf, usize)> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    let rank = PICTURES.iter().position(|known| *known == ending)?;
    let stem = path.with_extension("");
    let without = stem.to_str().and_then(|stem| stem.strip_suffix(PREVIEW)).map(PathBuf::from);
    Some(without.map_or((stem, rank), |stem| (stem, rank + PICTURES.len())))
}

fn name(folder: &Path, path: &Path) -> Option<String> {
    path.strip_prefix(folder).ok()?.with_extension("").to_str().map(str::to_owned)
}

/// The files that a name means, the likeliest first: never none. A path means itself.
///
/// # Errors
/// [`NoLora`].
pub fn find(folders: &[PathBuf], name: &str) -> Result<Vec<PathBuf>, NoLora> {
    if Path::new(name).is_absolute() {
        let path = PathBuf::from(name);
        return if path.is_file() { Ok(vec![path]) } else { Err(NoLora::NoFile(path)) };
    }
    let all = list(folders);
    let wanted = name.strip_suffix(&format!(".{ENDING}")).unwrap_or(name);
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let ways: [&dyn Fn(&Lora) -> bool; 3] =
        [&|lora| lora.name == wanted, &|lora| lora.name.ends_with(&format!("/{wanted}")), &|lora| {
            lora.name.to_lowercase() == wanted.to_lowercase()
                || last(&lora.name).to_lowercase() == wanted.to_lowercase()
        }];
    for way in ways {
        let found: Vec<PathBuf> = all.iter().filter(|lora| way(lora)).map(|lora| lora.path.clone()).collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let (small, mut known) = (wanted.to_lowercase(), Vec::new());
    let like = |lora: &&Lora| {
        let name = lora.name.to_lowercase();
        name.contains(&small) || small.contains(&last(&name))
    };
    known.extend(all.iter().filter(like).chain(&all).map(|lora| lora.name.clone()));
    let mut once = HashSet::new();
    known.retain(|name| once.insert(name.clone()));
    known.truncate(TOLD);
    let there: Vec<_> = folders.iter().filter(|folder| folder.is_dir()).collect();
    let told = if there.is_empty() { folders.iter().take(1).collect() } else { there };
    let folders = told.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
    Err(NoLora::Unknown { name: name.to_owned(), folders, known })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::Builder::new().prefix("测试 目录").tempdir().expect("a directory");
        let folder = root.path().join("loras");
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a directory");
            fs::write(path, "x").expect("it can be written");
        }
        (root, folder)
    }

    #[test]
    fn a_name_means_the_file_of_that_name_wherever_it_lies() {
        let (_root, folder) = place(&[
            "ink.safetensors",
            "styles/水墨 画.safetensors",
            "styles/Ghibli.safetensors",
            "a.txt",
            "b.pt",
        ]);
        let folders = [folder.clone()];
        let found = |name: &str| {
            find(&folders, name).map(|all| all[0].strip_prefix(&folder).expect("there").to_owned())
        };
        assert_eq!(found("ink"), Ok("ink.safetensors".into()));
        assert_eq!(found("ink.safetensors"), Ok("ink.safetensors".into()));
        assert_eq!(found("水墨 画"), Ok("styles/水墨 画.safetensors".into()));
        assert_eq!(found("styles/ghibli"), Ok("styles/Ghibli.safetensors".into()));
        let error = found("ghibly").expect_err("no such file").to_string();
        assert!(
            error.contains("ghibly") && error.contains("styles/Ghibli") && error.contains("loras"),
            "{error}"
        );
        let path = folder.join("ink.safetensors");
        assert_eq!(find(&[], path.to_str().expect("text")), Ok(vec![path.clone()]));
        fs::remove_file(&path).expect("it is ours");
        assert_eq!(find(&[], path.to_str().expect("text")), Err(NoLora::NoFile(path)));
    }

    #[test]
    fn files_of_one_name_are_all_told_in_the_order_of_the_folders() {
        let (_root, folder) = place(&["a/x.safetensors", "b/x.safetensors"]);
        let folders = [folder.join("b"), folder.join("a"), folder.clone()];
        let found = find(&folders, "x").expect("two");
        assert_eq!(found, [folder.join("b/x.safetensors"), folder.join("a/x.safetensors")]);
        assert_eq!(list(&folders).len(), 2, "what is in the third is in the others");
    }

    #[test]
    fn a_picture_beside_a_lora_is_its_own() {
        let (_root, folder) = place(&[
            "ink.safetensors",
            "ink.preview.png",
            "ink.jpg",
            "a.b/ink.safetensors",
            "a.b/ink.preview.JPEG",
            "v1.5.safetensors",
            "v1.webp",
            "soft.safetensors",
            "soft.txt",
        ]);
        let all = list(std::slice::from_ref(&folder));
        let told: Vec<_> = all
            .iter()
            .map(|lora| {
                let picture = lora.picture.as_deref().and_then(|path| path.strip_prefix(&folder).ok());
                (lora.name.as_str(), picture.and_then(Path::to_str))
            })
            .collect();
        let expected = [
            ("a.b/ink", Some("a.b/ink.preview.JPEG")),
            ("ink", Some("ink.jpg")),
            ("soft", None),
            ("v1.5", None),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn nowhere_is_told_with_where_it_would_be() {
        let error = find(&["/nowhere/loras".into()], "x").expect_err("nothing there").to_string();
        assert_eq!(error, "there is no LoRA \"x\" in /nowhere/loras");
    }
}
