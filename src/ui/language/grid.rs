//! What is wrong with a grid, as the studio says it. In English it is as the command line says it.

use super::Language;
use crate::job::grid::{
    AXIS_BYTES, CELLS_MAX, GridError, Parameter, TEXT_MAX, Unfit, VALUE_BYTES, VALUES_MAX,
};

impl Language {
    /// Why a grid cannot be.
    pub(in crate::ui) fn grid_error(self, error: &GridError) -> String {
        match error {
            GridError::Axis(text) => self.grid_no_axis(format_args!("{text:?}"), "{red|blue}"),
            GridError::Axes(count) => self.grid_axes(count),
            GridError::Twice(axis) => self.grid_twice(self.axis(axis)),
            GridError::Values { axis, count } => self.grid_many_values(self.axis(axis), count, VALUES_MAX),
            GridError::Repeated { axis, value } => self.grid_repeated(self.axis(axis), value),
            GridError::Value { axis, value, reason } => {
                self.grid_unfit(format_args!("{value:?}"), self.axis(axis), self.unfit(reason))
            }
            GridError::Cells { columns, rows } => {
                self.grid_many_cells(columns, rows, columns * rows, CELLS_MAX)
            }
            GridError::Text { cells, bytes } => self.grid_long_text(cells, bytes, TEXT_MAX),
            GridError::NoChoice(choice) => self.grid_no_choice(choice),
            GridError::Tagged(name) => self.grid_tagged(name),
            GridError::Count(count) => self.grid_alone(count),
            GridError::Cell { at, source } => self.grid_cell(at, self.job_error(source)),
        }
    }

    /// What an axis changes.
    pub(in crate::ui) fn axis(self, parameter: &Parameter) -> String {
        match parameter {
            Parameter::Steps => self.field_steps().to_owned(),
            Parameter::Guidance => self.field_guidance().to_owned(),
            Parameter::Seed => self.field_seed().to_owned(),
            Parameter::Size => self.grid_size().to_owned(),
            Parameter::Width => self.field_width().to_owned(),
            Parameter::Height => self.field_height().to_owned(),
            Parameter::Model => self.field_model().to_owned(),
            Parameter::Lora(file) => self.grid_lora(file),
            Parameter::Prompt(choice) => self.grid_prompt(choice),
        }
    }

    fn unfit(self, why: &Unfit) -> String {
        match why {
            Unfit::Long => self.unfit_long(VALUE_BYTES),
            Unfit::Bytes { bytes } => self.unfit_bytes(bytes, AXIS_BYTES),
            Unfit::Range => self.unfit_range().to_owned(),
            Unfit::Falling => self.unfit_falling().to_owned(),
            Unfit::Fraction => self.unfit_fraction().to_owned(),
            Unfit::NoNumber => self.unfit_no_number().to_owned(),
            Unfit::RandomSeed => self.unfit_random_seed().to_owned(),
            Unfit::Size => self.unfit_size().to_owned(),
            Unfit::Job(error) => self.job_error(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobError;

    fn all() -> Vec<GridError> {
        let unfit = |axis, reason| GridError::Value { axis, value: "4.5, 红".to_owned(), reason };
        let choice = || Parameter::Prompt("{红|blue}".to_owned());
        let reasons = [
            Unfit::Long,
            Unfit::Bytes { bytes: 99_999 },
            Unfit::Range,
            Unfit::Falling,
            Unfit::Fraction,
            Unfit::NoNumber,
            Unfit::RandomSeed,
            Unfit::Size,
            Unfit::Job(JobError::Steps(0)),
        ];
        let mut errors: Vec<GridError> = reasons.map(|reason| unfit(Parameter::Steps, reason)).into();
        let parameters = [
            Parameter::Guidance,
            Parameter::Seed,
            Parameter::Size,
            Parameter::Width,
            Parameter::Height,
            Parameter::Model,
            Parameter::Lora("ink".to_owned()),
            choice(),
        ];
        errors.extend(parameters.map(GridError::Twice));
        errors.extend([
            GridError::Axis("cfg=2".to_owned()),
            GridError::Axes(3),
            GridError::Values { axis: choice(), count: 65 },
            GridError::Repeated { axis: Parameter::Steps, value: "4".to_owned() },
            GridError::Cells { columns: 20, rows: 20 },
            GridError::Text { cells: 9, bytes: 9_000_000 },
            GridError::NoChoice("{a|b}".to_owned()),
            GridError::Tagged("ink".to_owned()),
            GridError::Count(4),
            GridError::Cell { at: "steps 4".to_owned(), source: JobError::BlankTemplate },
        ]);
        errors
    }

    #[test]
    fn in_english_they_are_the_words_of_the_command_line() {
        for error in all() {
            assert_eq!(Language::English.grid_error(&error), error.to_string());
        }
    }

    #[test]
    fn in_chinese_no_english_sentence_is_left() {
        // What a person typed, names, and what is written so in both.
        let same = [
            "4.5", "blue", "ink", "cfg", "a|b", "LoRA", "guidance", "steps", "seed", "size", "width",
            "height", "model", "lora", "prompt", "red", "__name__", "768x512", "a|",
        ];
        for error in all() {
            let mut said = Language::Chinese.grid_error(&error);
            for word in same {
                said = said.replace(word, "");
            }
            assert!(!said.contains(|letter: char| letter.is_ascii_alphabetic()), "{said}");
        }
    }
}
