//! The form of a grid: what is on each axis and to which values, and what it comes to, as it is typed.

use crate::job::grid::{Axis, Grid, GridError, GridOrder, Parameter, choices};
use crate::job::{Job, Picture};
use crate::ui::action::ListMove;

/// The longest text of values that can be typed, in bytes.
const TYPED_MAX: usize = 4096;

/// A grid that is being asked for.
#[derive(Debug, Clone)]
pub struct GridForm {
    /// What all its pictures have but for the axes.
    job: Job,
    /// What can be on an axis; nothing is the first.
    offered: Vec<Option<Parameter>>,
    axes: [AxisField; 2],
    row: usize,
}

/// One axis as it is typed.
#[derive(Debug, Clone, Default)]
struct AxisField {
    /// Its place among those that are offered.
    parameter: usize,
    values: String,
}

/// A row of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// What is on this axis.
    Parameter(usize),
    /// Its values.
    Values(usize),
}

impl GridForm {
    /// Rows of the form.
    pub const ROWS: [Row; 4] = [Row::Parameter(0), Row::Values(0), Row::Parameter(1), Row::Values(1)];

    /// For a job of one picture: its first choice is offered first, and else guidance.
    #[must_use]
    pub fn new(job: Job) -> Self {
        let words =
            choices(job.prompt.as_str()).into_iter().map(|choice| Parameter::Prompt(choice.to_owned()));
        let mut offered: Vec<Option<Parameter>> = vec![None];
        offered.extend(words.map(Some));
        let plain = [
            Parameter::Guidance,
            Parameter::Steps,
            Parameter::Seed,
            Parameter::Size,
            Parameter::Width,
            Parameter::Height,
            Parameter::Model,
        ];
        offered.extend(plain.map(Some));
        offered.extend(job.loras().iter().map(|lora| Some(Parameter::Lora(lora.file().to_owned()))));
        let mut form = Self { job, offered, axes: <[AxisField; 2]>::default(), row: 1 };
        form.set(0, 1);
        form
    }

    fn set(&mut self, axis: usize, parameter: usize) {
        let usual = match self.offered.get(parameter).and_then(Option::as_ref) {
            Some(Parameter::Guidance) => "2,3.5,5".to_owned(),
            Some(Parameter::Steps) => "4..20/4".to_owned(),
            Some(Parameter::Seed) => "1..4".to_owned(),
            Some(Parameter::Size) => {
                format!("{}x{}", self.job.size.width(), self.job.size.height())
            }
            Some(Parameter::Width) => self.job.size.width().to_string(),
            Some(Parameter::Height) => self.job.size.height().to_string(),
            Some(Parameter::Model) => self.job.model.to_string(),
            Some(Parameter::Lora(_)) => "0,0.5,1".to_owned(),
            Some(Parameter::Prompt(_)) | None => String::new(),
        };
        self.axes[axis] = AxisField { parameter, values: usual };
    }

    /// The chosen row.
    #[must_use]
    pub fn row(&self) -> usize {
        self.row
    }

    /// Chooses another.
    pub fn choose(&mut self, by: ListMove, page: usize) {
        self.row = super::moved(self.row, Self::ROWS.len(), page, by);
    }

    /// Chooses a row.
    pub fn choose_row(&mut self, row: usize) {
        self.row = row.min(Self::ROWS.len() - 1);
    }

    /// The next parameter for the axis of the chosen row, or the one before.
    pub fn turn(&mut self, forwards: bool) {
        let (Row::Parameter(axis) | Row::Values(axis)) = Self::ROWS[self.row];
        let count = self.offered.len();
        let step = if forwards { 1 } else { count - 1 };
        self.set(axis, (self.axes[axis].parameter + step) % count);
    }

    /// Types into the values of the chosen row's axis.
    pub fn type_character(&mut self, typed: char) {
        let (Row::Parameter(axis) | Row::Values(axis)) = Self::ROWS[self.row];
        let field = &mut self.axes[axis];
        if !typed.is_control() && field.values.len() + typed.len_utf8() <= TYPED_MAX {
            field.values.push(typed);
        }
    }

    /// Takes the last letter of them back.
    pub fn backspace(&mut self) {
        let (Row::Parameter(axis) | Row::Values(axis)) = Self::ROWS[self.row];
        self.axes[axis].values.pop();
    }

    /// What is on an axis.
    #[must_use]
    pub fn parameter(&self, axis: usize) -> Option<&Parameter> {
        self.offered.get(self.axes[axis].parameter).and_then(Option::as_ref)
    }

    /// The values of an axis as they are typed; those of a choice are its own.
    #[must_use]
    pub fn values(&self, axis: usize) -> String {
        match self.parameter(axis) {
            Some(parameter @ Parameter::Prompt(_)) => {
                Axis::written(parameter.clone(), "", self.job.wildcards())
                    .map_or_else(|_| String::new(), |axis| axis.values().join(" | "))
            }
            _ => self.axes[axis].values.clone(),
        }
    }

    /// What is asked for.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn order(&self) -> Result<GridOrder, GridError> {
        let mut axes = Vec::new();
        for (axis, field) in self.axes.iter().enumerate() {
            if let Some(parameter) = self.parameter(axis) {
                axes.push(Axis::written(parameter.clone(), &field.values, self.job.wildcards())?);
            }
        }
        GridOrder::new(self.job.clone(), axes)
    }
}

/// Seconds that a grid will take, by the latest pictures of the same models and sizes; `None` where one of its cells is of
/// a kind that was not drawn yet. Loading models is not counted.
#[must_use]
pub fn expected<'p>(order: &GridOrder, drawn: impl Iterator<Item = &'p Picture> + Clone) -> Option<f64> {
    let of = |cell: usize| -> Option<f64> {
        let job = order.cell(cell, 0).ok()?;
        let like = drawn.clone().find(|picture| {
            (&picture.recipe.model, picture.recipe.size) == (&job.model, job.size) && picture.recipe.steps > 0
        })?;
        let times = like.recipe.times;
        let step = times.denoise / f64::from(like.recipe.steps);
        Some(times.encode + step * f64::from(job.steps()) + times.decode)
    };
    (0..order.cells()).map(of).sum()
}

/// The contact sheet that is seen in the preview.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenSheet {
    /// The grid, as it was last told.
    pub grid: Grid,
    /// As it looked when it was last asked for.
    pub png: Option<bytes::Bytes>,
    /// Raised with each.
    pub version: u32,
    /// It has changed since it was asked for.
    pub stale: bool,
    /// It was asked for and is not here yet.
    pub asked: bool,
}

impl SeenSheet {
    /// Of a grid, before anything of it is here.
    #[must_use]
    pub fn of(grid: Grid) -> Self {
        Self { grid, png: None, version: 0, stale: true, asked: false }
    }
}
