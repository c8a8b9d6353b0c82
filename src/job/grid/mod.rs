//! A grid: one job drawn again and again with one or two things changed, an [`Axis`] each. Pure: from what is asked to
//! the jobs of its cells, each of them checked.
//!
//! Cells are numbered by rows: the first axis goes across, the second down. All have the same seed unless it is on an
//! axis itself.

mod axis;
mod standing;
#[cfg(test)]
mod tests;
mod values;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Job, JobError};
pub use axis::{Axis, Parameter};
pub use standing::{Cell, Grid, GridCell, GridId, GridRecipe};
pub use words::choices;

/// The most cells of a grid.
pub const CELLS_MAX: usize = 256;
/// The most values of an axis.
pub const VALUES_MAX: usize = 64;
/// The most bytes of text that all cells have together.
pub const TEXT_MAX: usize = 8 << 20;
/// The longest value, in bytes.
pub const VALUE_BYTES: usize = 4096;

/// A grid as it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawOrder")]
pub struct GridOrder {
    /// What all cells have but for the axes; of one picture.
    pub job: Job,
    axes: Vec<Axis>,
}

/// An order as it is decoded, before it is checked.
#[derive(Deserialize)]
struct RawOrder {
    job: Job,
    axes: Vec<Axis>,
}

impl TryFrom<RawOrder> for GridOrder {
    type Error = GridError;
    fn try_from(raw: RawOrder) -> Result<Self, GridError> {
        Self::new(raw.job, raw.axes)
    }
}

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
    Twice(String),
    /// An axis without values, or with too many.
    #[error("the axis {axis} has {count} values; 1 to {VALUES_MAX} can be")]
    Values {
        /// Which.
        axis: String,
        /// How many.
        count: u64,
    },
    /// A value twice.
    #[error("the axis {axis} has {value} twice")]
    Repeated {
        /// Which axis.
        axis: String,
        /// Which value.
        value: String,
    },
    /// A value that is none of its axis.
    #[error("{value:?} cannot be on the axis {axis}: {reason}")]
    Value {
        /// Which axis.
        axis: String,
        /// What stands there.
        value: String,
        /// What is wrong with it, and what would work.
        reason: String,
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

impl Job {
    /// The same, of one picture.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { count: 1, ..self }
    }
}

impl GridOrder {
    /// # Errors
    /// What is wrong with the axes, or with the first cell that cannot be drawn.
    pub fn new(job: Job, axes: Vec<Axis>) -> Result<Self, GridError> {
        if job.count() != 1 {
            return Err(GridError::Count(job.count()));
        }
        let names: Vec<String> = axes.iter().map(|axis| axis.parameter().to_string()).collect();
        match &axes[..] {
            [_] => {}
            [one, other] if one.parameter().meets(other.parameter()) => {
                return Err(GridError::Twice(names[1].clone()));
            }
            [_, _] => {}
            _ => return Err(GridError::Axes(axes.len())),
        }
        let order = Self { job, axes };
        let (columns, rows) = (order.columns(), order.rows());
        if columns * rows > CELLS_MAX {
            return Err(GridError::Cells { columns, rows });
        }
        // Each cell is looked at whole.
        let bytes = order.cells() * order.job.text_len();
        if bytes > TEXT_MAX {
            return Err(GridError::Text { cells: order.cells(), bytes });
        }
        (0..order.cells()).try_for_each(|cell| order.cell(cell, 0).map(drop))?;
        Ok(order)
    }

    /// The axes: the first goes across, the second down.
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Cells across.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.axes.first().map_or(1, |axis| axis.values().len())
    }

    /// Cells down.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.axes.get(1).map_or(1, |axis| axis.values().len())
    }

    /// All cells.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.columns() * self.rows()
    }

    /// The job of a cell, of a grid whose seed is `seed`.
    ///
    /// # Errors
    /// Why it cannot be drawn.
    pub fn cell(&self, cell: usize, seed: u64) -> Result<Job, GridError> {
        let places = [cell % self.columns(), cell / self.columns()];
        let mut job = self.job.seeded(seed);
        for (axis, place) in self.axes.iter().zip(places) {
            job = axis.apply(job, place)?;
        }
        let checked = job.check_words().and_then(|()| job.at_seed(seed).map(drop));
        checked.map_err(|source| GridError::Cell { at: self.place(cell), source })?;
        Ok(job)
    }

    /// The cells in the order in which they are drawn: a model stays loaded for all that it draws, and within a model a
    /// size is kept.
    #[must_use]
    pub fn drawing_order(&self) -> Vec<usize> {
        let columns = self.columns();
        let place = |cell: usize, axis: usize| if axis == 0 { cell % columns } else { cell / columns };
        let slowest = (0..self.axes.len()).min_by_key(|axis| self.axes[*axis].parameter().haste());
        let mut cells: Vec<usize> = (0..self.cells()).collect();
        if let Some(slowest) = slowest {
            cells.sort_by_key(|cell| place(*cell, slowest));
        }
        cells
    }

    /// The values of a cell, for a person: `guidance 3.5, steps 20`.
    #[must_use]
    pub fn place(&self, cell: usize) -> String {
        let places = [cell % self.columns(), cell / self.columns()];
        let say = |(axis, place): (&Axis, usize)| axis.label(place);
        self.axes.iter().zip(places).map(say).collect::<Vec<_>>().join(", ")
    }

    /// Bytes of text in it that a person gives.
    #[must_use]
    pub fn text_len(&self) -> usize {
        let values = self.axes.iter().flat_map(Axis::values).map(String::len).sum::<usize>();
        self.job.text_len() + values
    }
}

/// The axes, for a person: `guidance × steps`.
impl fmt::Display for GridOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.axes.iter().map(|axis| axis.parameter().to_string()).collect();
        f.write_str(&names.join(" × "))
    }
}
