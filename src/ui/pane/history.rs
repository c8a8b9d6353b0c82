//! The pictures that were drawn, newest first, as far as they have been asked for.

use crate::job::{Picture, PictureId};
use crate::ui::action::ListMove;
use crate::wire::message::HistoryPage;

/// Pictures asked for at a time.
const PAGE: u32 = 100;
/// Rows before the last known one at which older ones are asked for.
const AHEAD: usize = 20;

/// The history pane.
#[derive(Debug, Clone, Default)]
pub struct HistoryPane {
    pictures: Vec<Picture>,
    total: u64,
    chosen: Option<PictureId>,
    asked: bool,
    /// The worker has said that there is nothing older.
    complete: bool,
}

impl HistoryPane {
    /// Everything anew. What is chosen stays chosen if it is still there.
    pub fn replace(&mut self, pictures: Vec<Picture>, total: u64) {
        self.complete = pictures.len() as u64 >= total;
        *self = Self { pictures, total, chosen: self.chosen, asked: false, complete: self.complete };
    }

    /// Pictures, newest first.
    #[must_use]
    pub fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// How many there are in the library.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether there are no older ones.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The one that was drawn before this one.
    #[must_use]
    pub fn before(&self, id: PictureId) -> Option<&Picture> {
        let at = self.pictures.iter().position(|picture| picture.id == id)?;
        self.pictures.get(at + 1)
    }

    /// The chosen row.
    #[must_use]
    pub fn chosen(&self) -> usize {
        self.pictures.iter().position(|picture| Some(picture.id) == self.chosen).unwrap_or(0)
    }

    /// The chosen picture.
    #[must_use]
    pub fn chosen_picture(&self) -> Option<&Picture> {
        self.pictures.get(self.chosen())
    }

    /// A picture that is known here.
    #[must_use]
    pub fn find(&self, id: PictureId) -> Option<&Picture> {
        self.pictures.iter().find(|picture| picture.id == id)
    }

    /// Chooses another picture.
    pub fn choose(&mut self, by: ListMove, page: usize) {
        self.choose_row(super::moved(self.chosen(), self.pictures.len(), page, by));
    }

    /// Chooses the picture of a row.
    pub fn choose_row(&mut self, row: usize) {
        if let Some(picture) = self.pictures.get(row) {
            self.chosen = Some(picture.id);
        }
    }

    /// A picture is finished. Whoever stood on the newest stands on the new one.
    pub fn finished(&mut self, picture: Picture) {
        if self.find(picture.id).is_some() {
            return;
        }
        if self.chosen() == 0 {
            self.chosen = Some(picture.id);
        }
        let place = self.pictures.partition_point(|known| known.age() > picture.age());
        self.pictures.insert(place, picture);
        self.total += 1;
    }

    /// A picture is changed; it may have gone into the trash or come out of it. Whoever stood on one that went stands on
    /// the next.
    pub fn changed(&mut self, picture: Picture, was_trashed: bool) {
        let row = self.chosen();
        crate::wire::replay::picture_changed(&mut self.pictures, &mut self.total, picture, was_trashed);
        if self.chosen.is_some_and(|chosen| self.find(chosen).is_none()) {
            self.choose_row(row.min(self.pictures.len().saturating_sub(1)));
        }
    }

    /// The page to ask for now, if any.
    pub fn wants(&mut self) -> Option<HistoryPage> {
        let near_end = self.chosen() + AHEAD >= self.pictures.len();
        if self.asked || self.complete || !near_end {
            return None;
        }
        self.asked = true;
        Some(HistoryPage { before: self.pictures.last().map(|picture| picture.id), limit: PAGE })
    }

    /// Takes a page; `None` when it could not be had.
    pub fn older(&mut self, page: Option<Vec<Picture>>) {
        self.asked = false;
        let oldest = self.pictures.last().map(Picture::age);
        let page = page.unwrap_or_default();
        let fresh = page.into_iter().filter(|picture| oldest.is_none_or(|oldest| picture.age() < oldest));
        let before = self.pictures.len();
        self.pictures.extend(fresh);
        self.complete = self.pictures.len() == before || self.pictures.len() as u64 >= self.total;
    }
}
