//! What pictures of some sizes are expected to take.

use serde::{Deserialize, Serialize};

use super::Size;
use crate::device::LoadOptions;
use crate::model::ModelName;

/// The most sizes of one question.
pub const SIZES_MAX: usize = 64;

/// What is asked: pictures of these sizes, from a model that is loaded so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostsRequest {
    /// Which model.
    pub model: ModelName,
    /// Loaded so; a budget does not matter.
    pub load: LoadOptions,
    /// Steps of a picture.
    pub steps: u32,
    /// How large, at most [`SIZES_MAX`].
    pub sizes: Vec<Size>,
}

/// What a picture of one size is expected to take, by pictures that were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// How large.
    pub size: Size,
    /// Seconds, loading the model aside; `None` where nothing like it was drawn.
    pub seconds: Option<f64>,
    /// Whether pictures of this very size were drawn: else it is reckoned from other sizes.
    pub seen: bool,
    /// The most bytes of a card's memory that a picture of this size took; `None` where none was drawn on a card.
    pub peak: Option<u64>,
}
