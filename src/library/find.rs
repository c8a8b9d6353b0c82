//! Which picture of the library a file is: by where it is, or else by what it holds.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::{Folder, Glance, Library, LibraryError};
use crate::job::{Content, PictureId};
use crate::usage::Compared;

/// What is being done, for messages.
const LOOKING: &str = "looking for a picture";

impl Folder {
    /// How the library keeps a path: relative to the folder where it is below it, and otherwise whole. `None` of one that
    /// is not UTF-8.
    #[must_use]
    pub fn kept(&self, path: &Path) -> Option<String> {
        let whole = |path: &Path| fs::canonicalize(path).ok();
        let root = self.path(Path::new(""));
        // A link may lead to either.
        let below = path.strip_prefix(&root).map(Path::to_owned).ok();
        let below = below.or_else(|| Some(whole(path)?.strip_prefix(whole(&root)?).ok()?.to_owned()));
        below.as_deref().unwrap_or(path).to_str().map(str::to_owned)
    }
}

impl Library {
    /// The picture whose file is there, or else the newest with this content.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn find(&self, path: &Path, content: Option<&Content>) -> Result<Option<PictureId>, LibraryError> {
        find(&self.db, &self.folder, path, content).map_err(self.fault(LOOKING))
    }

    /// What a picture's file holds; `None` where that was never looked at.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn content(&self, id: PictureId) -> Result<Option<Content>, LibraryError> {
        let row = self.db.query_row("SELECT bytes, sha256 FROM pictures WHERE id = ?1", [id.0], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<[u8; 32]>>(1)?))
        });
        let found = row.optional().map_err(self.fault(LOOKING))?;
        Ok(found.and_then(|(bytes, sha256)| Some(Content { bytes: bytes?.cast_unsigned(), sha256: sha256? })))
    }

    /// What a picture took of a card; `None` where it was not drawn on one.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn usage_of(&self, id: PictureId) -> Result<Option<Compared>, LibraryError> {
        let past = self.past_usage_of(id)?;
        Ok(past.map(|past| past.compared))
    }
}

impl Glance {
    /// As [`Library::find`], of the library with its pictures in this folder.
    ///
    /// # Errors
    /// As there.
    pub fn find(
        &self,
        folder: &Folder,
        path: &Path,
        content: &Content,
    ) -> Result<Option<PictureId>, LibraryError> {
        find(self.db(), folder, path, Some(content)).map_err(|error| self.fault(error))
    }
}

fn find(
    db: &Connection,
    folder: &Folder,
    path: &Path,
    content: Option<&Content>,
) -> rusqlite::Result<Option<PictureId>> {
    let paths: Vec<String> = [path.to_owned(), fs::canonicalize(path).unwrap_or_else(|_| PathBuf::new())]
        .iter()
        .filter_map(|path| folder.kept(path))
        .collect();
    for path in paths {
        let there = "SELECT id FROM pictures WHERE path = ?1";
        if let Some(id) = db.query_row(there, [path], |row| row.get(0)).optional()? {
            return Ok(Some(PictureId(id)));
        }
    }
    let Some(content) = content else { return Ok(None) };
    let same = "SELECT id FROM pictures WHERE sha256 = ?1 AND bytes = ?2 ORDER BY id DESC LIMIT 1";
    let key = (content.sha256, content.bytes.cast_signed());
    Ok(db.query_row(same, key, |row| row.get(0)).optional()?.map(PictureId))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::samples::Place;

    #[test]
    fn a_picture_is_found_by_its_path_through_links_and_as_a_copy() {
        let mut place = Place::new();
        let picture = place.picture("a fox");
        let bytes = fs::read(&picture.path).expect("it is there");
        let copy = place.root.path().join("copy.png");
        fs::write(&copy, &bytes).expect("it can be written");
        let link = place.root.path().join("link");
        std::os::unix::fs::symlink(place.root.path().join("pictures"), &link).expect("it can be made");
        let linked = link.join(place.library.folder().kept(&picture.path).expect("it is UTF-8"));
        let find = |path: &Path, content| place.library.find(path, content).expect("it can be read");
        assert_eq!(find(&picture.path, None), Some(picture.id));
        assert_eq!(find(&linked, None), Some(picture.id));
        assert_eq!(find(&copy, None), None);
        let content = Content::of(&bytes);
        assert_eq!(find(&copy, Some(&content)), Some(picture.id));
        assert_eq!(find(&copy, Some(&Content::of(b"another"))), None);
        assert_eq!(place.library.content(picture.id).expect("it can be read"), Some(content));
        let glance = Glance::at(&place.root.path().join("library.sqlite3")).expect("it can be read");
        let glance = glance.expect("it is of this version");
        let found = glance.find(place.library.folder(), &copy, &content).expect("it can be read");
        assert_eq!(found, Some(picture.id));
    }
}
