//! Why a LoRA cannot be used: the tensor, the value, and what would work.

use crate::engine::weights::WeightsError;

/// Why a file is no LoRA that this model can be drawn with.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    /// The file could not be read, or a tensor of it.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A folder, or an index of several files.
    #[error("a LoRA is one safetensors file")]
    NoFile,
    /// More tensors than any LoRA has.
    #[error("it has {found} tensors; a LoRA of FLUX.1 has {most} at most, in all forms")]
    Many {
        /// How many it has.
        found: usize,
        /// How many are read.
        most: usize,
    },
    /// A name that no layer has.
    #[error("a tensor's name has {bytes} bytes; those of LoRAs have {most} at most")]
    LongName {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// It is for another kind of model.
    #[error("it is a LoRA of {0}, not of FLUX.1")]
    Foreign(String),
    /// Not one of its tensors is called as a layer of the model.
    #[error(
        "none of its {tensors} tensors belongs to a layer of this model (its first is {first:?}); the names of kohya, \
         ComfyUI, OneTrainer, diffusers, PEFT, ai-toolkit and XLabs are known"
    )]
    NothingMatches {
        /// How many it has.
        tensors: usize,
        /// The first of them.
        first: String,
    },
    /// Depth and canny as LoRAs.
    #[error(
        "it is a control LoRA, FLUX.1-Depth's or -Canny's: it widens {layer} to {found} columns for a control picture \
         where this model has {expected}; what draws without one is a LoRA of a style or a subject"
    )]
    Control {
        /// The layer that it widens.
        layer: String,
        /// Columns that it is for.
        found: usize,
        /// Columns that the model has.
        expected: usize,
    },
    /// The layer has another shape in the model.
    #[error(
        "the tensor {name:?} is of a change of shape {found:?} and the model's layer {layer} is {expected}: the LoRA is \
         of a model of another width"
    )]
    Shape {
        /// Which tensor.
        name: String,
        /// The change's shape, or its own.
        found: Vec<usize>,
        /// The layer that it belongs to.
        layer: String,
        /// What the layer has.
        expected: String,
    },
    /// Two matrices that are multiplied do not fit each other.
    #[error("the tensors {first:?} of shape {left:?} and {second:?} of shape {right:?} have different ranks")]
    Rank {
        /// The left one.
        first: String,
        /// Its shape.
        left: Vec<usize>,
        /// The right one.
        second: String,
        /// Its shape.
        right: Vec<usize>,
    },
    /// One of two that belong together.
    #[error("the tensor {name:?} is there and the {lacks} that belongs to it is not: the file is not whole")]
    Half {
        /// Which is there.
        name: String,
        /// What it lacks.
        lacks: &'static str,
    },
    /// A weight that is not finite.
    #[error(
        "the tensor {name:?} has a value that is {value}: the LoRA's training went wrong, and no picture comes of it"
    )]
    NotFinite {
        /// Which.
        name: String,
        /// What it has.
        value: f32,
    },
}
