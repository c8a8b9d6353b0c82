//! What was put into the trash here and can be taken back, the latest first.

use crate::job::PictureId;
use crate::job::grid::GridId;

/// Deletions that can be taken back.
const UNDO_MAX: usize = 100;

/// What was put into the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trashed {
    /// A picture.
    Picture(PictureId),
    /// A grid with all its pictures; the first of them is where to look when it is back.
    Grid(GridId, PictureId),
}

/// Those of this run.
#[derive(Debug, Default)]
pub struct TrashedList(Vec<Trashed>);

impl TrashedList {
    /// Something was put there.
    pub fn note(&mut self, trashed: Trashed) {
        self.forget(trashed);
        self.0.push(trashed);
        if self.0.len() > UNDO_MAX {
            self.0.remove(0);
        }
    }

    /// What was put there last, which is no more to be taken back.
    pub fn take(&mut self) -> Option<Trashed> {
        self.0.pop()
    }

    /// How many can be taken back.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// It was taken out by other means, or never got there.
    pub fn forget(&mut self, trashed: Trashed) {
        let is_it = |known: &Trashed| match (known, trashed) {
            (Trashed::Grid(known, _), Trashed::Grid(grid, _)) => *known == grid,
            (known, trashed) => *known == trashed,
        };
        self.0.retain(|known| !is_it(known));
    }

    /// A grid never got there.
    pub fn forget_grid(&mut self, grid: GridId) {
        self.0.retain(|known| !matches!(known, Trashed::Grid(known, _) if *known == grid));
    }
}
