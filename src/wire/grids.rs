//! What is asked about grids, and what is answered.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::job::MarkChange;
use crate::job::grid::{Grid, GridId, GridOrder};

/// A question about grids, or a change of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GridRequest {
    /// Draw one. Answered once all its jobs are on disk.
    Draw(Box<GridOrder>),
    /// One, with what has become of its cells.
    Get(GridId),
    /// A page of them, newest first.
    List {
        /// Only those older than this one.
        before: Option<GridId>,
        /// At most this many; the worker gives at most 100, and none only when there are no more.
        limit: u32,
    },
    /// The contact sheet as it is now, cells that wait being grey.
    Sheet {
        /// Of which.
        grid: GridId,
        /// About how long its longer side is to be, in pixels; `None` as long as the file's.
        side: Option<u32>,
    },
    /// The same, as a small copy.
    Thumbnail {
        /// Of which.
        grid: GridId,
        /// The longer side in pixels, brought into [`SIDE_MIN`](super::thumbnail::SIDE_MIN) to
        /// [`SIDE_MAX`](super::thumbnail::SIDE_MAX).
        side: u32,
    },
    /// Stop drawing it: all cells that are not over.
    Cancel(GridId),
    /// Say something of it as a whole. Answered once it is on disk; every client hears of its pictures as events.
    Mark {
        /// Of which.
        grid: GridId,
        /// What.
        mark: MarkChange,
    },
}

/// What came of a [`GridRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GridResponse {
    /// To `Draw` and `Get`.
    Grid(Box<Grid>),
    /// To `List`.
    Grids(Vec<Grid>),
    /// To `Sheet`: a PNG.
    Sheet(Bytes),
    /// To `Thumbnail`: a JPEG.
    Thumbnail(Bytes),
    /// To `Cancel`: how many cells were.
    Cancelled(usize),
    /// To `Mark`: how many pictures it has.
    Marked(usize),
}
