//! Files of pictures below a directory, and what each says of itself. Nothing is followed out of it, and nothing is read
//! that is longer than any picture.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::cli::failure::Failure;
use crate::cli::show;
use crate::job::{Content, FoundPicture};
use crate::library::{Folder, foreign};

/// Directories that lie deeper are not looked into.
const DEPTH_MAX: usize = 32;

/// What was found below a directory.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// PNG files by their names, in order.
    pub pictures: Vec<PathBuf>,
    /// Files of other names.
    pub others: usize,
    /// What could not be looked into, and why.
    pub unread: Vec<(PathBuf, String)>,
}

impl Scan {
    /// Looks for pictures below a directory, or takes the one file.
    ///
    /// # Errors
    /// When there is no such directory or file. What is unreadable below it is only noted.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let unreadable = |source| Failure::Read { path: path.to_owned(), source };
        let whole = std::path::absolute(path).map_err(unreadable)?;
        let mut scan = Self::default();
        if fs::metadata(&whole).map_err(unreadable)?.is_dir() {
            scan.look_into(&whole, 0);
        } else {
            scan.pictures.push(whole);
        }
        scan.pictures.sort();
        Ok(scan)
    }

    fn look_into(&mut self, directory: &Path, depth: usize) {
        if depth > DEPTH_MAX {
            return self.unread.push((directory.to_owned(), format!("it lies {depth} directories deep")));
        }
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return self.unread.push((directory.to_owned(), error.to_string())),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.unread.push((directory.to_owned(), error.to_string())),
            };
            let (path, name) = (entry.path(), entry.file_name());
            // Hidden files are half written ones, too.
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match entry.file_type() {
                // A link may lead out of the directory, and in circles.
                Ok(kind) if kind.is_symlink() => self.others += 1,
                Ok(kind) if kind.is_dir() => self.look_into(&path, depth + 1),
                Ok(kind) if kind.is_file() && is_png(&path) && !Folder::is_sheet(&path) => {
                    self.pictures.push(path);
                }
                Ok(_) => self.others += 1,
                Err(error) => self.unread.push((path, error.to_string())),
            }
        }
    }
}

fn is_png(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
}

/// What a file is, of its bytes.
///
/// # Errors
/// Why it is no picture that the library could have.
pub(super) fn examine(path: &Path) -> Result<FoundPicture, String> {
    let bytes = show::read(path).map_err(|failure| match failure {
        Failure::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    })?;
    let (recipe, origin) = foreign::examine(&bytes).map_err(|error| error.to_string())?;
    let written_at = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let written_at = written_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let written_at = written_at.map_or(0, |since| since.as_millis().min(i64::MAX as u128) as i64);
    let content = Some(Content::of(&bytes));
    Ok(FoundPicture { path: path.to_owned(), content, written_at, recipe, origin })
}
