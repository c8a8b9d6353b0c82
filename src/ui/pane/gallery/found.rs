//! The pictures that a query means, as far as they have been asked for, newest first; what they are seen as, and which
//! is chosen.

use super::entries::{Entry, SeenGrid, group};
use crate::job::{Picture, PictureId, PictureQuery, Rating};
use crate::ui::action::ListMove;

/// Pictures before the last known one at which more are asked for: two pages of the largest grid.
const AHEAD: usize = 120;
/// The most that are held.
const HELD_MAX: usize = 20_000;

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    query: PictureQuery,
    pictures: Vec<Picture>,
    /// What is seen of them.
    entries: Vec<Entry>,
    chosen: Option<PictureId>,
    asked: Option<PictureQuery>,
    complete: bool,
    /// Why there are no more.
    failed: Option<String>,
}

impl Found {
    /// For a query, of which some are known.
    #[must_use]
    pub fn new(query: PictureQuery, pictures: Vec<Picture>, complete: bool) -> Self {
        let mut found = Self { query, pictures, complete, ..Self::default() };
        found.regroup();
        found
    }

    fn regroup(&mut self) {
        self.entries = group(&self.pictures, self.query.grid.is_some());
    }

    /// The same with this picture chosen, if it is there.
    #[must_use]
    pub fn choosing(mut self, picture: Option<PictureId>) -> Self {
        self.chosen = picture;
        self
    }

    /// What was asked for.
    #[must_use]
    pub fn query(&self) -> &PictureQuery {
        &self.query
    }

    /// Those that are known.
    #[must_use]
    pub fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// What is seen of them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The picture that stands for what is seen.
    #[must_use]
    pub fn first_of(&self, entry: &Entry) -> Option<&Picture> {
        self.pictures.get(entry.first())
    }

    /// What is seen as a grid.
    #[must_use]
    pub fn grid_of<'a>(&'a self, entry: &'a Entry) -> Option<SeenGrid<'a>> {
        SeenGrid::of(entry, &self.pictures)
    }

    /// The chosen one, if a grid is chosen.
    #[must_use]
    pub fn chosen_grid(&self) -> Option<SeenGrid<'_>> {
        self.grid_of(self.entries.get(self.chosen())?)
    }

    /// Whether there are no others.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Why the worker has said nothing.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// The place of the chosen one among what is seen.
    #[must_use]
    pub fn chosen(&self) -> usize {
        let Some(at) = self.chosen_at() else { return 0 };
        let has = |entry: &Entry| match entry {
            Entry::Picture(picture) => *picture == at,
            Entry::Grid(_, cells) => cells.contains(&at),
        };
        self.entries.iter().position(has).unwrap_or(0)
    }

    fn chosen_at(&self) -> Option<usize> {
        self.pictures.iter().position(|picture| Some(picture.id) == self.chosen)
    }

    /// The chosen picture: of a grid the one that was looked at, or its first.
    #[must_use]
    pub fn chosen_picture(&self) -> Option<&Picture> {
        let at = self.chosen_at().or_else(|| self.entries.first().map(Entry::first))?;
        self.pictures.get(at)
    }

    /// One that is known.
    #[must_use]
    pub fn find(&self, id: PictureId) -> Option<&Picture> {
        self.pictures.iter().find(|picture| picture.id == id)
    }

    /// The one that was drawn before this one.
    #[must_use]
    pub fn before(&self, id: PictureId) -> Option<&Picture> {
        let at = self.pictures.iter().position(|picture| picture.id == id)?;
        self.pictures.get(at + 1)
    }

    /// Chooses what is seen at a place.
    pub fn choose_place(&mut self, place: usize) {
        if let Some(picture) = self.entries.get(place).and_then(|entry| self.first_of(entry)) {
            self.chosen = Some(picture.id);
        }
    }

    /// The next one, or the one before. Whether there is one.
    pub fn step(&mut self, forwards: bool) -> bool {
        let before = self.chosen();
        let place = if forwards { before + 1 } else { before.saturating_sub(1) };
        self.choose_place(place);
        self.chosen() != before
    }

    /// The next picture, or the one before, whatever grid it is of. Whether there is one.
    pub fn step_picture(&mut self, forwards: bool) -> bool {
        if self.query.grid.is_some() {
            return self.step(forwards);
        }
        let before = self.chosen_at().unwrap_or(0);
        let place = if forwards { before + 1 } else { before.saturating_sub(1) };
        let Some(picture) = self.pictures.get(place).filter(|_| place != before) else { return false };
        self.chosen = Some(picture.id);
        true
    }

    /// Moves in a grid of so many columns and rows.
    pub fn choose(&mut self, by: ListMove, columns: usize, rows: usize) {
        let (columns, last) = (columns.max(1), self.entries.len().saturating_sub(1));
        let (at, page) = (self.chosen(), columns * rows.max(1));
        let place = match by {
            ListMove::Up if at < columns => at,
            ListMove::Up => at - columns,
            // Into the last row, also where it has nothing below this column.
            ListMove::Down if at / columns == last / columns => at,
            ListMove::Down => (at + columns).min(last),
            ListMove::PageUp => at.saturating_sub(page),
            ListMove::PageDown => (at + page).min(last),
            ListMove::First => 0,
            ListMove::Last => last,
        };
        self.choose_place(place);
    }

    /// What to ask the worker for, if anything.
    pub fn wants(&mut self) -> Option<PictureQuery> {
        let near = self.chosen() + AHEAD >= self.entries.len();
        let full = self.pictures.len() >= HELD_MAX;
        if self.complete || self.asked.is_some() || self.failed.is_some() || !near || full {
            return None;
        }
        let before = self.pictures.last().map(|picture| picture.id);
        let query = PictureQuery { before, ..self.query.clone() };
        self.asked = Some(query.clone());
        Some(query)
    }

    /// Takes what the worker says, if it was asked here.
    pub fn answered(&mut self, query: &PictureQuery, result: Result<Vec<Picture>, String>) {
        if self.asked.as_ref() != Some(query) {
            return;
        }
        self.asked = None;
        match result {
            Ok(page) if page.is_empty() => self.complete = true,
            Ok(page) => {
                let oldest = self.pictures.last().map(Picture::age);
                let is_new = |picture: &Picture| oldest.is_none_or(|oldest| picture.age() < oldest);
                self.pictures.extend(page.into_iter().filter(is_new));
                self.regroup();
            }
            Err(reason) => self.failed = Some(reason),
        }
    }

    /// What was asked will not be answered; what failed may work.
    pub fn unanswered(&mut self) {
        (self.asked, self.failed) = (None, None);
    }

    /// A picture is new or changed: it comes, stays or goes by the query. Whoever stood on one that goes stands on the
    /// next.
    pub fn changed(&mut self, picture: &Picture) {
        let known = self.pictures.iter().position(|other| other.id == picture.id);
        match (known, matches(&self.query, picture)) {
            (Some(at), true) => self.pictures[at] = picture.clone(),
            (Some(at), false) => self.remove(at),
            (None, true) => self.insert(picture),
            (None, false) => {}
        }
    }

    fn remove(&mut self, at: usize) {
        let stood = self.chosen_picture().is_some_and(|chosen| chosen.id == self.pictures[at].id);
        let place = self.chosen();
        let gone = self.pictures.remove(at);
        self.regroup();
        if stood {
            let of_it = |entry: &Entry| match (entry, &gone.grid) {
                (Entry::Grid(grid, _), Some(of)) => *grid == of.grid,
                _ => false,
            };
            let rest = self.entries.iter().position(of_it);
            self.choose_place(rest.unwrap_or(place).min(self.entries.len().saturating_sub(1)));
        }
    }

    fn insert(&mut self, picture: &Picture) {
        let at = self.pictures.partition_point(|known| known.age() > picture.age());
        // What is older than all that is known comes with its page.
        if at < self.pictures.len() || self.complete {
            // Whoever looks at the newest goes on looking at that picture.
            self.chosen = self.chosen.or_else(|| self.pictures.first().map(|first| first.id));
            self.pictures.insert(at, picture.clone());
            self.regroup();
        }
    }
}

/// Whether a query means a picture: as the library decides it, by the words as they are written.
fn matches(query: &PictureQuery, picture: &Picture) -> bool {
    let marks = &picture.marks;
    let texts = [picture.recipe.written().as_str(), picture.recipe.prompt.as_str()].map(str::to_lowercase);
    let has = |word: &str| texts.iter().any(|text| text.contains(&word.to_lowercase()));
    let of = picture.grid.as_ref();
    let rating = of.map_or(marks.rating, |of| of.rating.max(marks.rating));
    let favourite = marks.favourite || of.is_some_and(|of| of.favourite);
    query.trashed == marks.trashed_at.is_some()
        && query.text.words().all(has)
        && query.tags.iter().all(|tag| marks.tags.contains(tag))
        && (query.rating == Rating::default() || rating >= query.rating)
        && (!query.favourite || favourite)
        && query.model.as_ref().is_none_or(|model| *model == picture.recipe.model)
        && query.grid.is_none_or(|grid| picture.grid.as_ref().is_some_and(|of| of.grid == grid))
        && query.parent.is_none_or(|parent| picture.parent == Some(parent))
        && query.since.is_none_or(|since| picture.finished_at >= since)
        && query.until.is_none_or(|until| picture.finished_at < until)
}
