//! Why a grid cannot be: the axis, the value, and what would work.

use super::{CELLS_MAX, Parameter, TEXT_MAX, VALUE_BYTES, VALUES_MAX};
use crate::job::JobError;

/// Why a grid cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GridError {
    /// An axis that is not written as one.
    #[error(
        "{0:?} is no axis: write NAME=VALUES, as in guidance=2,3.5,5 or steps=4..20/4; NAME is steps, guidance, seed, \
         size, width, height, model or lora:FILE; or prompt:{{red|blue}} or prompt:__name__, as it stands in the prompt"
    )]
    Axis(String),
    /// None, or more than two.
    #[error("a grid has one axis or two, not {0}")]
    Axes(usize),
    /// Both change the same.
    #[error("both axes are {0}: choose another for one of them")]
    Twice(Parameter),
    /// An axis without values, or with too many.
    #[error("the axis {axis} has {count} values; 1 to {VALUES_MAX} can be")]
    Values {
        /// Which.
        axis: Parameter,
        /// How many.
        count: u64,
    },
    /// A value twice.
    #[error("the axis {axis} has {value} twice")]
    Repeated {
        /// Which axis.
        axis: Parameter,
        /// Which value.
        value: String,
    },
    /// A value that is none of its axis.
    #[error("{value:?} cannot be on the axis {axis}: {reason}")]
    Value {
        /// Which axis.
        axis: Parameter,
        /// What stands there.
        value: String,
        /// What is wrong with it, and what would work.
        reason: Unfit,
    },
    /// More cells than a grid may have.
    #[error("{columns} times {rows} are {count} pictures; a grid has at most {CELLS_MAX}", count = columns * rows)]
    Cells {
        /// Values of the first axis.
        columns: usize,
        /// Values of the second.
        rows: usize,
    },
    /// A long prompt in many cells.
    #[error(
        "{cells} pictures with such a long prompt are {bytes} bytes of text; a grid has at most {TEXT_MAX}"
    )]
    Text {
        /// Cells.
        cells: usize,
        /// Bytes of all of them.
        bytes: usize,
    },
    /// The words of an axis are not in the prompt.
    #[error("the prompt has no {0}: the choice of an axis stands in the prompt just so")]
    NoChoice(String),
    /// The LoRA of an axis has a tag in the prompt.
    #[error("the prompt has a tag for the LoRA {0}: take it out, and the axis says how strong it is")]
    Tagged(String),
    /// A job of several pictures.
    #[error("a grid has one picture a cell: leave the count of {0} away, or put seeds on an axis")]
    Count(u32),
    /// What a cell asks for cannot be drawn.
    #[error("the picture at {at} cannot be drawn: {source}")]
    Cell {
        /// Its values.
        at: String,
        /// What is wrong.
        source: JobError,
    },
}

/// Why a value cannot be on an axis.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// Too long a value.
    #[error("it is longer than {VALUE_BYTES} bytes")]
    Long,
    /// Too much text in all values together.
    #[error("all values together have {bytes} bytes; {} can be", super::AXIS_BYTES)]
    Bytes {
        /// Of all values.
        bytes: usize,
    },
    /// A range that is not written as one.
    #[error("a range has two numbers and maybe a step, as in 2..6/2")]
    Range,
    /// A range that ends before it begins, or does not move.
    #[error("a range goes up, as in 2..6/2")]
    Falling,
    /// Not a whole number.
    #[error("it is no whole number")]
    Fraction,
    /// Not a number.
    #[error("it is no number")]
    NoNumber,
    /// A random seed.
    #[error("a seed of a grid is a number, or it could not be found again")]
    RandomSeed,
    /// Not a size.
    #[error("a size is written as 768x512")]
    Size,
    /// No job can have it.
    #[error(transparent)]
    Job(#[from] JobError),
}
