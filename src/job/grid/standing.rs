//! How a grid stands: what has become of each cell.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::GridOrder;
use crate::job::{JobId, JobState, PictureId};

/// A grid's number in the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GridId(pub i64);

impl fmt::Display for GridId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which cell of which grid a job is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GridCell {
    /// The grid.
    pub grid: GridId,
    /// The cell, from 0, by rows.
    pub cell: u32,
}

/// A grid of the library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Its number.
    pub id: GridId,
    /// What was asked.
    pub order: GridOrder,
    /// The seed of all cells, unless it is on an axis.
    pub seed: u64,
    /// When it was asked, in milliseconds since 1970 (UTC).
    pub asked_at: i64,
    /// What has become of each cell, by rows.
    pub cells: Vec<Cell>,
    /// The contact sheet's PNG, once all cells are over.
    pub sheet: Option<PathBuf>,
}

/// What has become of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Its job.
    pub job: JobId,
    /// How far that is.
    pub state: JobState,
    /// Its picture, once there is one.
    pub picture: Option<PictureId>,
    /// That picture's PNG.
    pub path: Option<PathBuf>,
}

impl Grid {
    /// Whether nothing more happens to it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.cells.iter().all(|cell| cell.state.is_over())
    }

    /// Cells that are drawn.
    #[must_use]
    pub fn drawn(&self) -> usize {
        self.cells.iter().filter(|cell| cell.picture.is_some()).count()
    }

    /// Cells that failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.cells.iter().filter(|cell| matches!(cell.state, JobState::Failed { .. })).count()
    }

    /// What its contact sheet says of itself.
    #[must_use]
    pub fn recipe(&self) -> GridRecipe {
        let word = |cell: &Cell| match (&cell.state, cell.picture) {
            (_, Some(_)) => "drawn".to_owned(),
            (JobState::Failed { reason }, None) => format!("failed: {reason}"),
            (JobState::Cancelled, None) => "cancelled".to_owned(),
            _ => "waits".to_owned(),
        };
        let cells = self.cells.iter().map(word).collect();
        GridRecipe { grid: self.id, order: self.order.clone(), seed: self.seed, cells }
    }
}

/// What a contact sheet says of itself: all that is needed to draw it again, and what became of the cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridRecipe {
    /// Its number in the library that it is from.
    pub grid: GridId,
    /// What was asked.
    pub order: GridOrder,
    /// The seed of all cells, unless it is on an axis.
    pub seed: u64,
    /// What became of each cell, by rows.
    pub cells: Vec<String>,
}
