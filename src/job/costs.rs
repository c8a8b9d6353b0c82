//! What pictures of some sizes are expected to take.

use serde::{Deserialize, Serialize};

use super::Size;
use crate::device::{DeviceChoice, LoadOptions};
use crate::model::ModelName;

/// The most sizes of one question.
pub const SIZES_MAX: usize = 64;

/// What is asked: pictures of these sizes, from a model that is loaded so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostsRequest {
    /// Which model.
    pub model: ModelName,
    /// Where. Of several cards the best one is meant.
    #[serde(default)]
    pub device: DeviceChoice,
    /// Loaded so. What was drawn counts whatever its budget; what is planned keeps within it.
    pub load: LoadOptions,
    /// Steps of a picture.
    pub steps: u32,
    /// The LoRAs that it is drawn with, as a job names them: their files take about as much of a card. At most
    /// [`LORAS_MAX`](super::LORAS_MAX) count.
    #[serde(default)]
    pub loras: Vec<String>,
    /// How large, at most [`SIZES_MAX`].
    pub sizes: Vec<Size>,
}

/// What a picture of one size is expected to take: by pictures of that size that were drawn on the device, else by the plan
/// for a card, else reckoned from other sizes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// How large.
    pub size: Size,
    /// Seconds, loading the model aside; `None` where nothing like it was drawn or planned.
    pub seconds: Option<f64>,
    /// Whether pictures of this very size were drawn.
    pub seen: bool,
    /// The most bytes of a card's memory that a picture of this size took or is planned to take; `None` where neither is
    /// known.
    pub peak: Option<u64>,
    /// Whether there is no way to draw it within the memory that the card has or is allowed.
    #[serde(default)]
    pub too_large: bool,
}

/// What the planner expects of a picture on a card.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Planned {
    /// It can be drawn.
    Fits {
        /// Seconds, loading the model aside.
        seconds: f64,
        /// Bytes held at most, the context included.
        peak: u64,
    },
    /// It cannot, within the memory that there is.
    TooLarge,
}

impl Cost {
    /// The same with what is planned, unless pictures of this size have shown it.
    #[must_use]
    pub fn or_planned(self, planned: Option<Planned>) -> Self {
        match planned {
            Some(Planned::Fits { seconds, peak }) if !self.seen => {
                Self { seconds: Some(seconds), peak: Some(peak), ..self }
            }
            Some(Planned::TooLarge) if !self.seen => {
                Self { seconds: None, peak: None, too_large: true, ..self }
            }
            _ => self,
        }
    }
}
