//! What a picture says of the grid that it is a cell of.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::GridId;
use crate::job::Rating;

/// The grid of a picture, and what a person says of that as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfGrid {
    /// Which.
    pub grid: GridId,
    /// Which of its cells the picture is, from 0, by rows.
    pub cell: u32,
    /// How many cells it has.
    pub cells: u32,
    /// How good it is as a whole; its pictures have their own ratings.
    pub rating: Rating,
    /// Whether it is a favourite as a whole.
    pub favourite: bool,
    /// Whether it went into the trash as a whole.
    pub trashed: bool,
    /// The contact sheet's PNG: where it is, or will be once all cells are over.
    pub sheet: PathBuf,
}
