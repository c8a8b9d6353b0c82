//! What a person says of a grid as a whole. Its rating and whether it is a favourite are its own; tags are those of all
//! its pictures; and into the trash they go together, and out of it those that went together.

use rusqlite::{Connection, OptionalExtension, params};

use super::marks::{NotChanged, check_tags, tag};
use super::{Changed, Library};
use crate::job::grid::GridId;
use crate::job::{MarkChange, PictureId};

/// The pictures of a grid.
const OF_IT: &str = "job IN (SELECT id FROM jobs WHERE grid = ?1)";

impl Library {
    /// Changes what is said of a grid, and gives all pictures of it as they are now, the oldest first: in a list that shows
    /// them as one they are where the newest is, until that is told. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// [`NotChanged`]; everything is as it was then. A grid whose cells are not over does not go into the trash.
    pub fn mark_grid(&mut self, id: GridId, mark: &MarkChange, now: i64) -> Result<Vec<Changed>, NotChanged> {
        let fault = self.fault("changing a grid");
        let transaction = self.db.transaction().map_err(&fault)?;
        let before = Before::read(&transaction, id).map_err(&fault)?.ok_or(NotChanged::NoGrid(id))?;
        if *mark == MarkChange::Trash(true) && before.open > 0 {
            return Err(NotChanged::GridIsDrawn { grid: id, left: before.open });
        }
        before.apply(&transaction, id, mark, now).map_err(&fault)?;
        if let MarkChange::Tag { .. } = mark {
            before.pictures.iter().try_for_each(|(picture, _)| check_tags(&transaction, *picture, &fault))?;
        }
        transaction.commit().map_err(&fault)?;
        let mut changed = Vec::with_capacity(before.pictures.len());
        for (picture, was_trashed) in before.pictures {
            changed.extend(self.picture(picture)?.map(|picture| Changed { picture, was_trashed }));
        }
        Ok(changed)
    }
}

/// A grid before something of it is changed.
struct Before {
    /// When it went into the trash.
    trashed_at: Option<i64>,
    /// Its pictures, and whether each is in the trash.
    pictures: Vec<(PictureId, bool)>,
    /// The latest moment at which one of them went there.
    last: Option<i64>,
    /// Cells that are not over.
    open: usize,
}

impl Before {
    fn read(change: &Connection, id: GridId) -> rusqlite::Result<Option<Self>> {
        let trashed_at =
            change.query_row("SELECT trashed_at FROM grids WHERE id = ?1", [id.0], |row| row.get(0));
        let Some(trashed_at) = trashed_at.optional()? else { return Ok(None) };
        let mut query = change.prepare(&format!(
            "SELECT id, trashed_at FROM pictures WHERE {OF_IT} ORDER BY finished_at, id"
        ))?;
        let rows = query.query_map([id.0], |row| Ok((PictureId(row.get(0)?), row.get(1)?)))?;
        let pictures: Vec<(PictureId, Option<i64>)> = rows.collect::<rusqlite::Result<_>>()?;
        let open = "SELECT COUNT(*) FROM jobs WHERE grid = ?1 AND state IN ('queued', 'running')";
        let open: i64 = change.query_row(open, [id.0], |row| row.get(0))?;
        let last = pictures.iter().filter_map(|(_, at)| *at).max();
        let pictures = pictures.into_iter().map(|(picture, at)| (picture, at.is_some())).collect();
        Ok(Some(Self { trashed_at, pictures, last, open: usize::try_from(open).unwrap_or(0) }))
    }

    fn apply(&self, change: &Connection, id: GridId, mark: &MarkChange, now: i64) -> rusqlite::Result<()> {
        let set = |what: &str, value: Option<i64>| {
            change
                .execute(&format!("UPDATE grids SET {what} = ?2 WHERE id = ?1"), params![id.0, value])
                .map(drop)
        };
        match mark {
            MarkChange::Rate(rating) => set("rating", Some(rating.get().into())),
            MarkChange::Favourite(is) => set("favourite", Some((*is).into())),
            MarkChange::Tag { add, remove } => {
                self.pictures.iter().try_for_each(|(picture, _)| tag(change, *picture, add, remove))
            }
            MarkChange::Trash(true) => {
                // A moment of its own: it tells what went with the grid from what was there before.
                let moment = self.last.map_or(now, |last| now.max(last.saturating_add(1)));
                set("trashed_at", Some(moment))?;
                let go = format!(
                    "UPDATE pictures SET trashed_at = ?2 WHERE {OF_IT} AND (trashed_at IS NULL OR trashed_at = ?3)"
                );
                change.execute(&go, params![id.0, moment, self.trashed_at]).map(drop)
            }
            MarkChange::Trash(false) => {
                let back = format!("UPDATE pictures SET trashed_at = NULL WHERE {OF_IT} AND trashed_at = ?2");
                change.execute(&back, params![id.0, self.trashed_at])?;
                set("trashed_at", None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::grid::{Axis, GridOrder, OfGrid};
    use crate::job::{
        JobError, JobId, JobState, PictureChange, PictureQuery, Rating, TAGS_MAX, Tag, Wildcards,
    };
    use crate::library::grids::sheet_name;
    use crate::library::samples::{Place, job, recipe, write};

    /// A grid of four cells, of which three are drawn and one has failed; and a picture beside it.
    fn place() -> (Place, GridId, Vec<PictureId>, JobId) {
        let mut place = Place::new();
        place.picture("beside it");
        let axis = |text: &str| Axis::parse(text, &Wildcards::default()).expect("an axis");
        let order =
            GridOrder::new(job("a fox"), vec![axis("steps=1,2"), axis("seed=5,6")]).expect("drawable");
        let jobs: Vec<_> =
            (0..4).map(|cell| (cell, order.cell(cell as usize, 7).expect("drawable"))).collect();
        let (grid, statuses) = place.library.accept_grid(&order, 7, jobs, 0).expect("there is room");
        let mut drawn = Vec::new();
        for status in &statuses[..3] {
            let picture = write(&mut place.library, status.id, 0, &recipe(&status.job, status.first_seed));
            drawn.push(picture.id);
        }
        let last = statuses[3].id;
        (place, grid, drawn, last)
    }

    fn end(place: &mut Place, job: JobId) {
        let failed = JobState::Failed { reason: "no memory".to_owned() };
        place.library.set_state(job, &failed, 1).expect("there is room");
    }

    fn ids(place: &Place, query: PictureQuery) -> Vec<PictureId> {
        let mut ids: Vec<_> =
            place.library.search(&query, 99).expect("it can be read").iter().map(|it| it.id).collect();
        ids.sort_unstable();
        ids
    }

    fn trashed(place: &Place) -> Vec<PictureId> {
        ids(place, PictureQuery { trashed: true, ..PictureQuery::default() })
    }

    fn of(place: &Place, picture: PictureId) -> OfGrid {
        place.library.picture(picture).expect("it can be read").expect("there").grid.expect("a cell")
    }

    #[test]
    fn a_picture_says_of_which_grid_it_is() {
        let (place, grid, drawn, _) = place();
        for (cell, picture) in (0..).zip(&drawn) {
            let of = of(&place, *picture);
            assert_eq!((of.grid, of.cell, of.cells), (grid, cell, 4));
            assert!(of.sheet.ends_with(sheet_name(grid, 0)), "where it will be: {}", of.sheet.display());
        }
        let beside = ids(&place, PictureQuery::default())[0];
        assert_eq!(place.library.picture(beside).expect("it can be read").expect("there").grid, None);
        assert_eq!(ids(&place, PictureQuery { grid: Some(grid), ..PictureQuery::default() }), drawn);
    }

    #[test]
    fn a_grid_has_a_rating_of_its_own_and_its_pictures_keep_theirs() {
        let (mut place, grid, drawn, _) = place();
        let rating = |number: u8| Rating::try_from(number).expect("it is one");
        let own = PictureChange { picture: drawn[1], mark: MarkChange::Rate(rating(2)) };
        place.library.change(&own, 0).expect("there is room");
        for mark in [MarkChange::Rate(rating(4)), MarkChange::Favourite(true)] {
            let changed = place.library.mark_grid(grid, &mark, 0).expect("there is room");
            assert_eq!(changed.iter().map(|it| it.picture.id).collect::<Vec<_>>(), drawn);
        }
        let picture = place.library.picture(drawn[1]).expect("it can be read").expect("there");
        assert_eq!((picture.marks.rating, picture.marks.favourite), (rating(2), false));
        assert_eq!((of(&place, drawn[1]).rating, of(&place, drawn[1]).favourite), (rating(4), true));
        // Whoever looks for the good ones finds those of a good grid.
        let least = |number| PictureQuery { rating: rating(number), ..PictureQuery::default() };
        assert_eq!((ids(&place, least(4)), ids(&place, least(5))), (drawn.clone(), Vec::new()));
        assert_eq!(ids(&place, PictureQuery { favourite: true, ..PictureQuery::default() }), drawn);
    }

    #[test]
    fn it_goes_into_the_trash_together_and_what_was_there_before_stays() {
        let (mut place, grid, drawn, last) = place();
        let refused = place.library.mark_grid(grid, &MarkChange::Trash(true), 5);
        assert!(matches!(refused, Err(NotChanged::GridIsDrawn { left: 1, .. })), "{refused:?}");
        assert_eq!(trashed(&place), []);
        end(&mut place, last);
        let alone = PictureChange { picture: drawn[0], mark: MarkChange::Trash(true) };
        place.library.change(&alone, 5).expect("there is room");
        // The same moment by the clock.
        let changed = place.library.mark_grid(grid, &MarkChange::Trash(true), 5).expect("there is room");
        let was: Vec<bool> = changed.iter().map(|it| it.was_trashed).collect();
        assert_eq!((trashed(&place), was), (drawn.clone(), vec![true, false, false]));
        assert!(of(&place, drawn[1]).trashed);
        assert_eq!(place.library.grids(None, 9).expect("it can be read"), [], "it is in no list");
        assert!(place.library.grid(grid).expect("it can be read").is_some());
        let changed = place.library.mark_grid(grid, &MarkChange::Trash(false), 6).expect("there is room");
        assert_eq!((changed.len(), trashed(&place)), (3, vec![drawn[0]]));
        assert_eq!(place.library.grids(None, 9).expect("it can be read").len(), 1);
        // Once more changes nothing.
        place.library.mark_grid(grid, &MarkChange::Trash(false), 7).expect("there is room");
        assert_eq!(trashed(&place), [drawn[0]]);
    }

    #[test]
    fn one_that_was_taken_out_alone_goes_again_with_the_others() {
        let (mut place, grid, drawn, last) = place();
        end(&mut place, last);
        place.library.mark_grid(grid, &MarkChange::Trash(true), 5).expect("there is room");
        let alone = PictureChange { picture: drawn[2], mark: MarkChange::Trash(false) };
        place.library.change(&alone, 6).expect("there is room");
        assert_eq!(trashed(&place), drawn[..2]);
        assert_eq!(
            place.library.grids(None, 9).expect("it can be read").len(),
            1,
            "there is something of it"
        );
        place.library.mark_grid(grid, &MarkChange::Trash(true), 7).expect("there is room");
        place.library.mark_grid(grid, &MarkChange::Trash(false), 8).expect("there is room");
        assert_eq!(trashed(&place), []);
    }

    #[test]
    fn tags_are_those_of_all_or_of_none() {
        let (mut place, grid, drawn, _) = place();
        let tags = |count: usize| -> Vec<Tag> {
            (0..count).map(|number| Tag::new(&format!("t{number}")).expect("one")).collect()
        };
        let add = |add| MarkChange::Tag { add, remove: Vec::new() };
        let full = PictureChange { picture: drawn[2], mark: add(tags(TAGS_MAX)) };
        place.library.change(&full, 0).expect("there is room");
        let ink = || vec![Tag::new("ink").expect("one")];
        let refused = place.library.mark_grid(grid, &add(ink()), 0);
        assert!(matches!(refused, Err(NotChanged::Tags(JobError::Tags(33)))), "{refused:?}");
        let tagged = |place: &Place| ids(place, PictureQuery { tags: ink(), ..PictureQuery::default() });
        assert_eq!(tagged(&place), []);
        let swap = MarkChange::Tag { add: ink(), remove: tags(1) };
        place.library.mark_grid(grid, &swap, 0).expect("there is room");
        assert_eq!(tagged(&place), drawn);
        let none = place.library.mark_grid(GridId(99), &MarkChange::Favourite(true), 0);
        assert!(matches!(none, Err(NotChanged::NoGrid(GridId(99)))), "{none:?}");
    }
}
