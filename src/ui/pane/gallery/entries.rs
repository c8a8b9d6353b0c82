//! What pictures become in the gallery: one by one, and those of a grid as one.

use std::collections::HashMap;

use crate::job::grid::{GridId, OfGrid};
use crate::job::{Picture, Tag};

/// What is seen at one place, by the places of its pictures among those that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A picture.
    Picture(usize),
    /// A grid: its pictures that are known, by cells. There is at least one.
    Grid(GridId, Vec<usize>),
}

impl Entry {
    /// The picture that it begins with.
    #[must_use]
    pub fn first(&self) -> usize {
        match self {
            Self::Picture(at) => *at,
            Self::Grid(_, cells) => cells.first().copied().unwrap_or(0),
        }
    }
}

/// Puts grids together, each where its newest picture is. Of an open grid all is one by one, by cells.
pub(super) fn group(pictures: &[Picture], opened: bool) -> Vec<Entry> {
    let cell = |at: &usize| pictures[*at].grid.as_ref().map_or(0, |of| of.cell);
    if opened {
        let mut places: Vec<usize> = (0..pictures.len()).collect();
        places.sort_by_key(cell);
        return places.into_iter().map(Entry::Picture).collect();
    }
    let (mut entries, mut known) = (Vec::new(), HashMap::new());
    for (at, picture) in pictures.iter().enumerate() {
        let Some(of) = &picture.grid else {
            entries.push(Entry::Picture(at));
            continue;
        };
        let place = *known.entry(of.grid).or_insert(entries.len());
        match entries.get_mut(place) {
            Some(Entry::Grid(_, cells)) => cells.push(at),
            _ => entries.push(Entry::Grid(of.grid, vec![at])),
        }
    }
    for entry in &mut entries {
        if let Entry::Grid(_, cells) = entry {
            cells.sort_by_key(cell);
        }
    }
    entries
}

/// A grid as it is seen in the gallery.
#[derive(Debug, Clone, Copy)]
pub struct SeenGrid<'a> {
    /// What is said of it.
    pub of: &'a OfGrid,
    /// The first of its pictures.
    pub first: &'a Picture,
    /// All that are known.
    pictures: &'a [Picture],
    cells: &'a [usize],
}

impl<'a> SeenGrid<'a> {
    /// What an entry is, if it is a grid.
    #[must_use]
    pub fn of(entry: &'a Entry, pictures: &'a [Picture]) -> Option<Self> {
        let Entry::Grid(_, cells) = entry else { return None };
        let first = pictures.get(entry.first())?;
        Some(Self { of: first.grid.as_ref()?, first, pictures, cells })
    }

    /// Its pictures that are known, by cells.
    pub fn cells(self) -> impl Iterator<Item = &'a Picture> {
        self.cells.iter().filter_map(move |at| self.pictures.get(*at))
    }

    /// How many that are, and how many cells it has: `9`, or `7/9` where some are not there.
    #[must_use]
    pub fn count(self) -> String {
        let (known, all) = (self.cells.len(), self.of.cells as usize);
        if known == all { all.to_string() } else { format!("{known}/{all}") }
    }

    /// Whether what is seen of it is in the trash.
    #[must_use]
    pub fn is_trashed(self) -> bool {
        self.first.marks.trashed_at.is_some()
    }

    /// Tags that all its pictures have.
    #[must_use]
    pub fn tags(self) -> Vec<Tag> {
        let all_have = |tag: &&Tag| self.cells().all(|picture| picture.marks.tags.contains(tag));
        self.first.marks.tags.iter().filter(all_have).cloned().collect()
    }
}
