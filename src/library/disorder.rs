//! Rows that belong to nothing, and an index that is not what the prompts say: neither keeps the rest from being used,
//! and both are put right without a word being lost.

use std::path::Path;

use rusqlite::{Connection, Error, ErrorCode};

use super::adopt::insert_job;
use super::{Folder, Library, LibraryError, foreign};
use crate::job::{Content, Disorder, FoundPicture, JobId};

/// A file that is longer is no picture of ours.
const FILE_MAX: u64 = 256 << 20;

impl Library {
    /// Puts in order what is out of it, or with `dry` only says what is. A picture whose job is gone gets one again as its
    /// file says; where that cannot be read either, nothing is known of it any more, and its row goes.
    ///
    /// # Errors
    /// Everything is as it was then.
    pub fn put_in_order(&mut self, dry: bool) -> Result<Disorder, LibraryError> {
        let fault = self.fault("putting the library in order");
        let folder = self.folder.clone();
        let change = self.db.transaction().map_err(&fault)?;
        let mut disorder =
            Disorder { index: !index_is_sound(&change).map_err(&fault)?, ..Disorder::default() };
        if disorder.index {
            rebuild_index(&change).map_err(&fault)?;
        }
        put_rows_in_order(&change, &folder, &mut disorder).map_err(&fault)?;
        if !dry {
            change.commit().map_err(fault)?;
        }
        Ok(disorder)
    }
}

/// Whether the index of prompts is what the prompts say.
fn index_is_sound(db: &Connection) -> rusqlite::Result<bool> {
    match db.execute("INSERT INTO prompts (prompts, rank) VALUES ('integrity-check', 1)", []) {
        Err(error) if is_of_the_index(&error) => Ok(false),
        checked => checked.map(|_| true),
    }
}

/// Makes the index of prompts anew.
pub(super) fn rebuild_index(db: &Connection) -> rusqlite::Result<()> {
    db.execute("INSERT INTO prompts (prompts) VALUES ('rebuild')", []).map(drop)
}

/// Whether it is the index that is damaged, and not the database.
pub(super) fn is_of_the_index(error: &Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
        && extended == Some(rusqlite::ffi::SQLITE_CORRUPT_VTAB)
}

/// Rows that refer to rows that are not there.
pub(super) fn put_rows_in_order(
    change: &Connection,
    folder: &Folder,
    disorder: &mut Disorder,
) -> rusqlite::Result<()> {
    // What belongs to a picture may be in order again once the picture is.
    for table in ["pictures", "writing", "tags", "usage"] {
        for row in strays(change, table)? {
            if table == "pictures" && restore_job(change, folder, row)? {
                disorder.jobless += 1;
                continue;
            }
            change.execute(&format!("DELETE FROM {table} WHERE rowid = ?1"), [row])?;
            disorder.orphans += 1;
        }
    }
    Ok(())
}

fn strays(change: &Connection, table: &str) -> rusqlite::Result<Vec<i64>> {
    let mut query = change.prepare(&format!("PRAGMA foreign_key_check({table})"))?;
    query.query_map([], |row| row.get(1))?.collect()
}

/// Gives a picture the job that its file says it was drawn for. Whether that could be done.
fn restore_job(change: &Connection, folder: &Folder, picture: i64) -> rusqlite::Result<bool> {
    let row = "SELECT job, path, finished_at FROM pictures WHERE id = ?1";
    let (job, path, written_at) = change
        .query_row(row, [picture], |row| Ok((JobId(row.get(0)?), row.get::<_, String>(1)?, row.get(2)?)))?;
    let known = "SELECT COUNT(*) FROM jobs WHERE id = ?1";
    if change.query_row(known, [job.0], |row| row.get::<_, i64>(0))? > 0 {
        // Another picture of it has brought it back.
        let more = "UPDATE jobs SET count = MAX(count, (SELECT COUNT(*) FROM pictures WHERE job = ?1)) WHERE id = ?1";
        change.execute(more, [job.0])?;
        return Ok(true);
    }
    let path = folder.path(Path::new(&path));
    let readable = std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= FILE_MAX);
    let bytes = readable.then(|| std::fs::read(&path).ok()).flatten();
    let Some(bytes) = bytes else { return Ok(false) };
    let Ok((recipe, origin)) = foreign::examine(&bytes) else { return Ok(false) };
    let content = Some(Content::of(&bytes));
    insert_job(change, Some(job), &FoundPicture { path, content, written_at, recipe, origin })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{PictureQuery, SearchText};
    use crate::library::samples::{self, Place};

    #[test]
    fn what_belongs_to_nothing_goes_and_what_a_file_still_says_comes_back() {
        let mut place = Place::new();
        let kept = place.drawn("a red fox", 1).id;
        let gone = place.drawn("a blue fox", 2);
        std::fs::remove_file(&gone.path).expect("it is there");
        place.library.db.pragma_update(None, "foreign_keys", false).expect("it can be set");
        let stray =
            "INSERT INTO tags VALUES (99, 'stray'); INSERT INTO tags VALUES (1, 'mine'); DELETE FROM jobs;";
        place.library.db.execute_batch(stray).expect("nothing keeps it");
        place.library.db.pragma_update(None, "foreign_keys", true).expect("it can be set");
        let found = place.library.put_in_order(true).expect("it can be read");
        assert_eq!(found, Disorder { jobless: 1, orphans: 2, index: false });
        assert_eq!(place.library.history(None, 9).expect("it can be read"), [], "it was only said");
        assert_eq!(place.library.put_in_order(false).expect("there is room"), found);
        let history = place.library.history(None, 9).expect("it can be read");
        assert_eq!((history.len(), history[0].id, history[0].marks.tags[0].as_str()), (1, kept, "mine"));
        assert_eq!(history[0].recipe, samples::recipe(&samples::job("a red fox"), 1));
        assert!(place.library.put_in_order(false).expect("it can be read").is_none());
    }

    #[test]
    fn an_index_that_says_something_else_is_made_anew() {
        let mut place = Place::new();
        let id = place.picture("a red fox").id;
        let lie = "INSERT INTO prompts (prompts, rowid, prompt) VALUES ('delete', 1, 'a red fox')";
        place.library.db.execute(lie, []).expect("it takes it");
        let hits = |library: &Library| {
            let text = SearchText::new("fox").expect("it is short");
            library
                .search(&PictureQuery { text, ..PictureQuery::default() }, 9)
                .expect("it can be read")
                .len()
        };
        assert_eq!(hits(&place.library), 0);
        assert!(place.library.put_in_order(false).expect("there is room").index);
        assert_eq!(
            (hits(&place.library), place.library.picture(id).expect("it can be read").is_some()),
            (1, true)
        );
    }
}
