//! Files that began to come and are not whole: found in the hubs' caches by the record beside each part.

use std::fs;
use std::path::{Path, PathBuf};

use super::cache;
use super::error::FetchError;
use super::hubs::Hubs;
use super::lock;
use super::part::{self, Said};
use super::pin;
use crate::catalog::Place;

/// Folders further down in a cache are not entered.
const DEPTH_MAX: usize = 8;
/// After so many entries the search ends.
const ENTRIES_MAX: usize = 50_000;

/// A file of which some bytes are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Where it is from.
    pub place: Place,
    /// The part.
    pub part: PathBuf,
    /// Bytes that are here.
    pub have: u64,
    /// Bytes of the whole file.
    pub size: u64,
    /// Taken by the one that writes it.
    lock: PathBuf,
}

/// The unfinished files in the hubs' caches, by path. What has no record, or one of an earlier kind that does not say
/// where the file is from, is nobody's.
#[must_use]
pub fn find(hubs: &Hubs) -> Vec<Unfinished> {
    let roots = [&hubs.huggingface.cache, &hubs.modelscope.cache];
    let mut found = Vec::new();
    for root in roots {
        let mut left = ENTRIES_MAX;
        parts(root, DEPTH_MAX, &mut left, &mut |path| found.extend(one(hubs, path)));
    }
    found.sort_by(|a, b| a.part.cmp(&b.part));
    found.dedup();
    found
}

fn one(hubs: &Hubs, path: &Path) -> Option<Unfinished> {
    let Said { place, etag, have, size } = part::said(path)?;
    let place = place?;
    let lock = cache::lock_of(hubs, &place, &etag);
    Some(Unfinished { place, part: path.to_owned(), have, size, lock })
}

/// Calls `found` with every part below a folder. Links are not followed: a cache's lead to whole files.
fn parts(folder: &Path, depth: usize, left: &mut usize, found: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some(fewer) = left.checked_sub(1) else { return };
        *left = fewer;
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => parts(&path, depth - 1, left, found),
            Ok(kind) if kind.is_file() && path.as_os_str().as_encoded_bytes().ends_with(b".flux-part") => {
                found(&path);
            }
            _ => {}
        }
    }
}

impl Unfinished {
    /// Whether another process is fetching it now.
    pub(super) fn is_busy(&self) -> bool {
        matches!(lock::try_take(&self.lock), Ok(None))
    }

    /// Removes the part and its record; gives the bytes that became free, or `None` while another process fetches it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self) -> Result<Option<u64>, FetchError> {
        let Some(_lock) = lock::try_take(&self.lock)? else { return Ok(None) };
        for path in [&self.part, &part::record_of(&self.part)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FetchError::io(path, "removed")(error));
                }
                _ => {}
            }
        }
        // Whoever fetches it again begins with the commit of that day.
        pin::forget_beside(&self.lock);
        Ok(Some(self.have))
    }
}
