//! What is wrong with a parameter, and how it is said.

use super::parameters::FieldName;
use crate::job::{JobError, SIZE_MAX, SIZE_MULTIPLE};
use crate::ui::language::Language;

/// What is wrong with a field, and the nearest value that works.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The field.
    pub field: FieldName,
    /// What is wrong.
    pub why: Why,
    /// What to write instead.
    pub nearest: Option<String>,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// Nothing is there.
    Missing,
    /// More than any number here.
    TooLarge(String),
    /// No number.
    NoNumber(String),
    /// No such model; these there are.
    NoModel {
        /// What is there.
        text: String,
        /// The models.
        known: Vec<String>,
    },
    /// A side that is off the grid.
    Side(u32),
    /// A value that no job may have.
    Job(JobError),
}

impl Problem {
    /// What is wrong, for a person.
    #[must_use]
    pub fn message(&self, language: Language) -> String {
        match &self.why {
            Why::Missing => language.wrong_missing().to_owned(),
            Why::TooLarge(text) => language.wrong_large(text),
            Why::NoNumber(text) => language.wrong_number(format_args!("{text:?}")),
            Why::NoModel { text, known } => language.wrong_model(format_args!("{text:?}"), known.join(", ")),
            Why::Side(pixels) => language.wrong_side(pixels, SIZE_MULTIPLE, SIZE_MAX),
            Why::Job(error) => language.job_error(error),
        }
    }
}
