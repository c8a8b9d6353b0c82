//! The pictures' folder, where the database does not tell of it any more. Of each file only the beginning is read: a
//! worker that starts is waited for.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rusqlite::{OptionalExtension, Transaction};

use super::super::Folder;
use super::super::adopt::Adopter;
use super::super::png::recipe_of_beginning;
use crate::job::{Adoption, FoundPicture, Origin, Purpose};

/// Where our text is: before this, unless the prompt is a book.
const BEGINNING: u64 = 64 << 10;
/// No text of ours is longer: a prompt of 1 MiB, twice, with six characters for one.
const TEXT_MAX: u64 = 16 << 20;
/// Directories of days lie in the folder; deeper ones are a person's.
const DEPTH_MAX: usize = 8;

/// Whether there is any picture in the folder.
pub(super) fn any(folder: &Folder) -> bool {
    let mut files = Vec::new();
    look_into(&folder.path(Path::new("")), 0, &mut files);
    !files.is_empty()
}

/// Takes in the pictures of the folder that are of ours and that the library does not have; how many. One whose number is
/// still known by its path gets it again.
pub(super) fn take_in(
    change: &Transaction<'_>,
    folder: &Folder,
    numbers: &HashMap<String, i64>,
) -> rusqlite::Result<usize> {
    let mut files = Vec::new();
    look_into(&folder.path(Path::new("")), 0, &mut files);
    // By their names, which sort by time: so numbers do too.
    files.sort();
    let adopter = Adopter { change, folder, purpose: Purpose::Repair };
    let mut taken = 0;
    for path in files {
        if is_known(change, folder, &path)? {
            continue;
        }
        let Ok(Some(found)) = found(&path) else { continue };
        let Adoption::Taken(id) = adopter.adopt(&found)? else { continue };
        taken += 1;
        if let Some(number) = folder.kept(&path).and_then(|path| numbers.get(&path).copied()) {
            // Another may have it by now.
            change.execute("UPDATE OR IGNORE pictures SET id = ?2 WHERE id = ?1", [id.0, number])?;
        }
    }
    Ok(taken)
}

fn is_known(change: &Transaction<'_>, folder: &Folder, path: &Path) -> rusqlite::Result<bool> {
    let known = "SELECT 1 FROM pictures WHERE path = ?1";
    let found = change.query_row(known, [folder.kept(path)], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

/// What cannot be looked into holds no picture that could be read.
fn look_into(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        match kind {
            Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => look_into(&path, depth + 1, files),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|extension| extension == "png") => {
                files.push(path);
            }
            _ => {}
        }
    }
}

fn found(path: &Path) -> io::Result<Option<FoundPicture>> {
    let recipe = match recipe_of_beginning(&beginning(path, BEGINNING)?) {
        None => recipe_of_beginning(&beginning(path, TEXT_MAX)?),
        recipe => recipe,
    };
    let written = fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let written_at = written.as_millis().min(i64::MAX as u128) as i64;
    let path = path.to_owned();
    Ok(recipe.map(|recipe| FoundPicture { path, content: None, written_at, recipe, origin: Origin::FluxTui }))
}

fn beginning(path: &Path, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
