//! A person's wildcards: `wildcards/NAME.txt` in the configuration's folder, a line each, `#` for comments, folders by `/`.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::job::{JobError, WILDCARDS_BYTES, Wildcards};

/// The longest file that is read: comments do not go along.
const FILE_BYTES: u64 = 4 * WILDCARDS_BYTES as u64;
/// As many names are told of those that there are.
const TOLD: usize = 30;
/// Folders in folders that are looked into.
const DEPTH: usize = 4;
/// Entries of folders that are looked at.
const LOOKED_AT: usize = 5_000;

/// Why the wildcards of a prompt cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum WildcardError {
    /// A prompt or lines that cannot be used.
    #[error(transparent)]
    Job(#[from] JobError),
    /// No such file.
    #[error("there is no wildcard __{name}__: {} is not there; {there}", path.display())]
    Missing {
        /// Its name.
        name: String,
        /// Where its file would be.
        path: PathBuf,
        /// Those that there are.
        there: String,
    },
    /// Too long a file.
    #[error("the wildcard {} has more than {FILE_BYTES} bytes: divide it", .0.display())]
    Long(PathBuf),
    /// Not UTF-8.
    #[error("the wildcard {} is not text in UTF-8: save it as such", .0.display())]
    NotText(PathBuf),
    /// Not to be read.
    #[error("the wildcard {} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// All lines that a prompt's wildcards need, from the files in the configuration's folder.
///
/// # Errors
/// [`WildcardError`], the first that is met.
pub fn gather(config: &Path, prompt: &str) -> Result<Wildcards, WildcardError> {
    Wildcards::gather(prompt, |name| read(config, name))
}

fn read(config: &Path, name: &str) -> Result<String, WildcardError> {
    let folder = config.join("wildcards");
    let path = folder.join(format!("{name}.txt"));
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => {
            WildcardError::Missing { name: name.to_owned(), path: path.clone(), there: there(&folder) }
        }
        _ => WildcardError::Read { path: path.clone(), source },
    };
    let file = File::open(&path).map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(fail(io::Error::other("it is no file")));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(WildcardError::Long(path));
    }
    String::from_utf8(bytes).map_err(|_| WildcardError::NotText(path))
}

/// The wildcards that there are, in a few words.
fn there(folder: &Path) -> String {
    let mut names = Vec::new();
    look_into(folder, "", 0, &mut names, &mut 0);
    names.sort();
    match names.len() {
        0 => "there are none yet".to_owned(),
        count if count > TOLD => format!("there are {} and {} more", names[..TOLD].join(", "), count - TOLD),
        1 => format!("there is {}", names[0]),
        _ => format!("there are {}", names.join(", ")),
    }
}

fn look_into(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>, looked: &mut usize) {
    // What cannot be looked into has none that could be read.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        *looked += 1;
        if *looked > LOOKED_AT {
            return;
        }
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if path.is_dir() && depth < DEPTH && !name.starts_with('.') {
            look_into(&path, &format!("{prefix}{name}/"), depth + 1, names, looked);
        } else if let Some(name) = name.strip_suffix(".txt") {
            names.push(format!("{prefix}{name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(root.path().join("wildcards/hair")).expect("it can be made");
        root
    }

    fn write(root: &tempfile::TempDir, name: &str, text: impl AsRef<[u8]>) {
        fs::write(root.path().join("wildcards").join(name), text).expect("there is room");
    }

    #[test]
    fn lines_come_from_files_in_folders_and_from_what_these_name() {
        let root = folder();
        write(&root, "animal.txt", "\u{feff}# animals\nfox\r\n\n  a __hair/colour__ cat\n");
        write(&root, "hair/colour.txt", "red\nblack\n");
        write(&root, "发色.txt", "金发\n黑发");
        let found = gather(root.path(), "a __animal__, __发色__, \\__not__").expect("they are there");
        assert_eq!(found.lines("animal"), Some(&["fox".to_owned(), "a __hair/colour__ cat".to_owned()][..]));
        assert_eq!(found.lines("hair/colour").map(<[String]>::len), Some(2));
        assert_eq!(found.lines("发色").map(<[String]>::len), Some(2));
        assert!(gather(root.path(), "a fox").expect("none is needed").is_empty());
    }

    #[test]
    fn what_cannot_be_had_is_named_with_what_there_is() {
        let root = folder();
        write(&root, "hair/colour.txt", "red");
        write(&root, "发色.txt", "金发");
        write(&root, "bytes.txt", b"\xff\xfe");
        write(&root, "none.txt", "# nothing\n\n");
        write(&root, "ring.txt", "a __other__");
        write(&root, "other.txt", "b __ring__");
        write(&root, "long.txt", "x".repeat(FILE_BYTES as usize + 1));
        write(&root, "much.txt", "x\n".repeat(WILDCARDS_BYTES + 1));
        let message = |prompt: &str| gather(root.path(), prompt).expect_err(prompt).to_string();
        let missing = message("a __animal__");
        assert!(missing.contains("__animal__") && missing.contains("hair/colour"), "{missing}");
        assert!(missing.contains("发色"), "{missing}");
        assert!(message("__bytes__").contains("UTF-8"));
        assert!(message("__none__").contains("no lines"));
        assert!(message("__ring__").contains("lead back"));
        assert!(message("__long__").contains("divide it"));
        assert!(message("__much__").contains("more than go along"));
        assert!(message("__hair__").contains("is not there"));
    }
}
