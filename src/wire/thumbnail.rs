//! A small copy of a picture, for a grid of many: made by the worker, so that a studio on another machine need not fetch
//! the whole files.

use serde::{Deserialize, Serialize};

use crate::job::PictureId;

/// The least side that can be asked for, in pixels.
pub const SIDE_MIN: u32 = 16;
/// The largest side that can be asked for: what is larger is the picture itself.
pub const SIDE_MAX: u32 = 512;

/// Which picture, and how small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ThumbnailRequest {
    /// The picture.
    pub picture: PictureId,
    /// The longer side in pixels, brought into [`SIDE_MIN`] to [`SIDE_MAX`]; a smaller picture keeps its size.
    pub side: u32,
}

impl ThumbnailRequest {
    /// The side that is made.
    #[must_use]
    pub fn bounded(self) -> u32 {
        bounded_side(self.side)
    }
}

/// The side that is made of one that is asked for.
#[must_use]
pub fn bounded_side(side: u32) -> u32 {
    side.clamp(SIDE_MIN, SIDE_MAX)
}
