//! A grid: one job drawn again and again with one or two things changed, an [`Axis`] each. Pure: from what is asked to
//! the jobs of its cells, each of them checked.
//!
//! Cells are numbered by rows: the first axis goes across, the second down. All have the same seed unless it is on an
//! axis itself.

mod axis;
mod error;
mod of;
mod standing;
#[cfg(test)]
mod tests;
mod values;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Job;
pub use axis::{Axis, Parameter};
pub use error::{GridError, Unfit};
pub use of::OfGrid;
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
/// The most bytes of all values of an axis together.
pub const AXIS_BYTES: usize = 4 * VALUE_BYTES;

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
        match &axes[..] {
            [_] => {}
            [one, other] if one.parameter().meets(other.parameter()) => {
                return Err(GridError::Twice(other.parameter().clone()));
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
