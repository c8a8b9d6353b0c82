//! What a person says of pictures: ratings, favourites, tags, the trash.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Library, LibraryError};
use crate::job::grid::GridId;
use crate::job::{JobError, MarkChange, Picture, PictureChange, PictureId, TAGS_MAX, Tag};

/// Why a picture stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// No such picture.
    #[error("there is no picture {0} in the library")]
    NoPicture(PictureId),
    /// No such grid.
    #[error("there is no grid {0} in the library")]
    NoGrid(GridId),
    /// A grid whose pictures are still being drawn.
    #[error("{left} pictures of grid {grid} are still to be drawn: cancel them, then it goes into the trash")]
    GridIsDrawn {
        /// Which.
        grid: GridId,
        /// How many.
        left: usize,
    },
    /// More tags than one can have.
    #[error(transparent)]
    Tags(JobError),
    /// The library could not be written.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// A picture that was changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// As it is now.
    pub picture: Picture,
    /// Whether it was in the trash before.
    pub was_trashed: bool,
}

impl Library {
    /// Changes what is said of a picture, and gives it as it is now. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// [`NotChanged`]; the picture is as it was then.
    pub fn change(&mut self, change: &PictureChange, now: i64) -> Result<Changed, NotChanged> {
        let PictureChange { picture: id, mark } = change;
        let fault = self.fault("changing a picture");
        let transaction = self.db.transaction().map_err(&fault)?;
        let was_trashed: bool = transaction
            .query_row("SELECT trashed_at IS NOT NULL FROM pictures WHERE id = ?1", [id.0], |row| row.get(0))
            .optional()
            .map_err(&fault)?
            .ok_or(NotChanged::NoPicture(*id))?;
        apply(&transaction, *id, mark, now).map_err(&fault)?;
        check_tags(&transaction, *id, &fault)?;
        transaction.commit().map_err(fault)?;
        let picture = self.picture(*id)?.ok_or(NotChanged::NoPicture(*id))?;
        Ok(Changed { picture, was_trashed })
    }
}

fn apply(change: &Connection, id: PictureId, mark: &MarkChange, now: i64) -> rusqlite::Result<()> {
    let set = |what: &str, value: Option<i64>| {
        change.execute(&format!("UPDATE pictures SET {what} WHERE id = ?1"), params![id.0, value]).map(drop)
    };
    match mark {
        MarkChange::Rate(rating) => set("rating = ?2", Some(rating.get().into())),
        MarkChange::Favourite(is) => set("favourite = ?2", Some((*is).into())),
        // Whoever puts it there again changes nothing.
        MarkChange::Trash(true) => set("trashed_at = COALESCE(trashed_at, ?2)", Some(now)),
        MarkChange::Trash(false) => set("trashed_at = ?2", None),
        MarkChange::Tag { add, remove } => tag(change, id, add, remove),
    }
}

/// That a picture has not too many tags.
pub(super) fn check_tags(
    change: &Connection,
    id: PictureId,
    fault: impl Fn(rusqlite::Error) -> LibraryError,
) -> Result<(), NotChanged> {
    let count = "SELECT COUNT(*) FROM tags WHERE picture = ?1";
    let tags: i64 = change.query_row(count, [id.0], |row| row.get(0)).map_err(fault)?;
    let tags = tags.cast_unsigned() as usize;
    if tags > TAGS_MAX { Err(NotChanged::Tags(JobError::Tags(tags))) } else { Ok(()) }
}

pub(super) fn tag(change: &Connection, id: PictureId, add: &[Tag], remove: &[Tag]) -> rusqlite::Result<()> {
    let mut away = change.prepare_cached("DELETE FROM tags WHERE picture = ?1 AND tag = ?2")?;
    for tag in remove {
        away.execute(params![id.0, tag.as_str()])?;
    }
    let mut there = change.prepare_cached("INSERT OR IGNORE INTO tags (picture, tag) VALUES (?1, ?2)")?;
    for tag in add {
        there.execute(params![id.0, tag.as_str()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Marks, PictureQuery, Rating};
    use crate::library::samples::Place;

    fn tags(words: &[&str]) -> Vec<Tag> {
        words.iter().map(|word| Tag::new(word).expect("it is one")).collect()
    }

    #[test]
    fn marks_are_kept_and_stay_after_the_library_was_closed() {
        let mut place = Place::new();
        let id = place.picture("a fox").id;
        let rating = Rating::try_from(4).expect("it is one");
        for mark in [
            MarkChange::Rate(rating),
            MarkChange::Favourite(true),
            MarkChange::Tag { add: tags(&["水墨", "Fox", "a"]), remove: tags(&["a", "none"]) },
            MarkChange::Tag { add: tags(&["fox"]), remove: tags(&["a"]) },
        ] {
            place.library.change(&PictureChange { picture: id, mark }, 5).expect("there is room");
        }
        let marks = Marks { rating, favourite: true, tags: tags(&["fox", "水墨"]), trashed_at: None };
        assert_eq!(place.reopen().picture(id).expect("it can be read").expect("it is there").marks, marks);
    }

    #[test]
    fn what_is_in_the_trash_is_in_no_list_but_its_own_and_comes_back_as_it_was() {
        let mut place = Place::new();
        let (first, second) = (place.picture("a fox").id, place.picture("a fox").id);
        let mut trash = |is, now| {
            let change = PictureChange { picture: first, mark: MarkChange::Trash(is) };
            place.library.change(&change, now).expect("there is room").picture.marks.trashed_at
        };
        assert_eq!((trash(true, 7), trash(true, 9)), (Some(7), Some(7)));
        let ids = |trashed| {
            let query = PictureQuery { trashed, ..PictureQuery::default() };
            let found = place.library.search(&query, 9).expect("it can be read");
            found.iter().map(|picture| picture.id).collect::<Vec<_>>()
        };
        assert_eq!((ids(false), ids(true)), (vec![second], vec![first]));
        assert_eq!(place.library.pictures().expect("it can be read"), 1);
        assert!(place.library.picture(first).expect("it can be read").is_some());
        let back = PictureChange { picture: first, mark: MarkChange::Trash(false) };
        place.library.change(&back, 10).expect("there is room");
        assert_eq!(place.library.pictures().expect("it can be read"), 2);
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let mut place = Place::new();
        let id = place.picture("a fox").id;
        let none = PictureChange { picture: PictureId(99), mark: MarkChange::Favourite(true) };
        assert!(matches!(place.library.change(&none, 0), Err(NotChanged::NoPicture(PictureId(99)))));
        let many: Vec<String> = (0..=TAGS_MAX).map(|number| number.to_string()).collect();
        let add = tags(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let many = PictureChange { picture: id, mark: MarkChange::Tag { add, remove: Vec::new() } };
        assert!(matches!(place.library.change(&many, 0), Err(NotChanged::Tags(JobError::Tags(33)))));
        let marks = place.library.picture(id).expect("it can be read").expect("it is there").marks;
        assert_eq!(marks, Marks::default());
    }
}
