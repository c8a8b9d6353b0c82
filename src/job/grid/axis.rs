//! One axis of a grid: what it changes, and to which values.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AXIS_BYTES, GridError, Unfit, VALUE_BYTES, VALUES_MAX, values, words};
use crate::job::{
    Job, JobError, LoraChoice, Prompt, Seed, Size, Wildcards, check_guidance, check_steps, template,
};
use crate::model::ModelName;

/// What an axis changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Parameter {
    /// Steps.
    Steps,
    /// The embedded guidance.
    Guidance,
    /// The seed.
    Seed,
    /// Width and height, as `768x512`.
    Size,
    /// Pixels across.
    Width,
    /// Pixels down.
    Height,
    /// The model.
    Model,
    /// The strength of this LoRA.
    Lora(String),
    /// A choice of the prompt, `{a|b}` or `__name__`, as it stands there.
    Prompt(String),
}

impl Parameter {
    /// Whether an axis of the one and an axis of the other would change the same.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let sides = |it: &Self| matches!(it, Self::Width | Self::Height);
        let both = |one: &Self, other: &Self| *one == Self::Size && sides(other);
        self == other || both(self, other) || both(other, self)
    }

    /// The lower, the longer it takes to change it between two pictures.
    pub(super) fn haste(&self) -> u8 {
        match self {
            Self::Model => 0,
            Self::Size | Self::Width | Self::Height => 1,
            Self::Lora(_) => 2,
            Self::Prompt(_) => 3,
            Self::Steps | Self::Guidance | Self::Seed => 4,
        }
    }

    /// What it is called before the values, in a label.
    fn short(&self) -> String {
        match self {
            Self::Lora(file) => {
                LoraChoice::new(file.clone(), 1.0).map_or(file.clone(), |it| it.name().to_owned())
            }
            Self::Size | Self::Model | Self::Prompt(_) => String::new(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps => f.write_str("steps"),
            Self::Guidance => f.write_str("guidance"),
            Self::Seed => f.write_str("seed"),
            Self::Size => f.write_str("size"),
            Self::Width => f.write_str("width"),
            Self::Height => f.write_str("height"),
            Self::Model => f.write_str("model"),
            Self::Lora(file) => write!(f, "lora:{file}"),
            Self::Prompt(choice) => write!(f, "prompt:{choice}"),
        }
    }
}

/// What an axis changes, and to which values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawAxis")]
pub struct Axis {
    parameter: Parameter,
    values: Vec<String>,
}

/// An axis as it is decoded, before it is checked.
#[derive(Deserialize)]
struct RawAxis {
    parameter: Parameter,
    values: Vec<String>,
}

impl TryFrom<RawAxis> for Axis {
    type Error = GridError;
    fn try_from(raw: RawAxis) -> Result<Self, GridError> {
        Self::new(raw.parameter, raw.values)
    }
}

impl Axis {
    /// # Errors
    /// [`GridError::Values`], [`GridError::Repeated`], [`GridError::Value`].
    pub fn new(parameter: Parameter, values: Vec<String>) -> Result<Self, GridError> {
        let axis = || parameter.clone();
        if values.is_empty() || values.len() > VALUES_MAX {
            return Err(GridError::Values { axis: axis(), count: values.len() as u64 });
        }
        let unfit = |value: &str, reason| GridError::Value { axis: axis(), value: beginning(value), reason };
        if let Some(long) = values.iter().find(|value| value.len() > VALUE_BYTES) {
            return Err(unfit(long, Unfit::Long));
        }
        let bytes = values.iter().map(String::len).sum::<usize>();
        if bytes > AXIS_BYTES {
            return Err(unfit(&values[0], Unfit::Bytes { bytes }));
        }
        let twice = values.iter().enumerate().find(|(at, value)| values[..*at].contains(value));
        if let Some((_, value)) = twice {
            return Err(GridError::Repeated { axis: axis(), value: value.clone() });
        }
        Ok(Self { parameter, values })
    }

    /// An axis of the values that are written, `2,3.5,5` or `2..6/2`; those of a choice of the prompt are the choice's
    /// own, and nothing is written.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn written(parameter: Parameter, text: &str, lines: &Wildcards) -> Result<Self, GridError> {
        let values = match &parameter {
            Parameter::Prompt(choice) => words::values(choice, lines)?,
            other => values::read(other, text)?,
        };
        Self::new(parameter, values)
    }

    /// An axis as it is written on a command line: `guidance=2,3.5,5`, `prompt:{red|blue}`. `lines` are those of the
    /// prompt's wildcards.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, lines: &Wildcards) -> Result<Self, GridError> {
        let wrong = || GridError::Axis(beginning(text));
        if let Some(choice) = text.strip_prefix("prompt:").or_else(|| text.strip_prefix("prompt=")) {
            return Self::written(Parameter::Prompt(choice.trim().to_owned()), "", lines);
        }
        let (name, values) = text.rsplit_once('=').ok_or_else(wrong)?;
        Self::written(name.parse().map_err(|_| wrong())?, values, lines)
    }

    /// What it changes.
    #[must_use]
    pub fn parameter(&self) -> &Parameter {
        &self.parameter
    }

    /// To what, in order.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// A value with what it is a value of, for a person: `guidance 3.5`; sizes, models and words speak for themselves.
    #[must_use]
    pub fn label(&self, place: usize) -> String {
        let value = self.values.get(place).map_or("", String::as_str);
        match (&self.parameter, value) {
            (Parameter::Prompt(_), "") => "–".to_owned(),
            (Parameter::Model, path) => path.rsplit('/').next().unwrap_or(path).to_owned(),
            (parameter, value) => format!("{} {value}", parameter.short()).trim().to_owned(),
        }
    }

    /// The job with the value at a place.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(super) fn apply(&self, job: Job, place: usize) -> Result<Job, GridError> {
        let value = self.values.get(place).map_or("", String::as_str);
        let wrong = |reason: Unfit| GridError::Value {
            axis: self.parameter.clone(),
            value: beginning(value),
            reason,
        };
        let job_error = |error: JobError| wrong(error.into());
        let number = || value.parse::<u32>().map_err(|_| wrong(Unfit::Fraction));
        match &self.parameter {
            Parameter::Steps => Ok(Job { steps: check_steps(number()?).map_err(job_error)?, ..job }),
            Parameter::Guidance => {
                let guidance = value.parse().map_err(|_| wrong(Unfit::NoNumber))?;
                Ok(Job { guidance: check_guidance(guidance).map_err(job_error)?, ..job })
            }
            Parameter::Seed => match value.parse().map_err(job_error)? {
                Seed::Random => Err(wrong(Unfit::RandomSeed)),
                seed => Ok(Job { seed, ..job }),
            },
            Parameter::Size => Ok(Job { size: values::size(value).map_err(wrong)?, ..job }),
            Parameter::Width => {
                let size = Size::new(number()?, job.size.height()).map_err(job_error)?;
                Ok(Job { size, ..job })
            }
            Parameter::Height => {
                let size = Size::new(job.size.width(), number()?).map_err(job_error)?;
                Ok(Job { size, ..job })
            }
            Parameter::Model => Ok(Job { model: ModelName::new(value), ..job }),
            Parameter::Lora(file) => {
                let strength = value.parse().map_err(|_| wrong(Unfit::NoNumber))?;
                with_lora(job, file, strength, job_error)
            }
            Parameter::Prompt(choice) => with_words(job, choice, value, job_error),
        }
    }
}

/// The job with a LoRA at a strength, whether it had it or not.
fn with_lora(
    job: Job,
    file: &str,
    strength: f32,
    wrong: impl Fn(JobError) -> GridError,
) -> Result<Job, GridError> {
    let new = LoraChoice::new(file, strength).map_err(&wrong)?;
    if job.tagged().loras.iter().any(|tagged| tagged.file() == file || tagged.name() == new.name()) {
        return Err(GridError::Tagged(new.name().to_owned()));
    }
    let mut loras = job.loras.clone();
    // By its file, or by the name that is all that was said of it.
    let known = loras.iter().position(|lora| lora.file() == file);
    let known =
        known.or_else(|| loras.iter().position(|lora| new.as_path().is_none() && lora.name() == file));
    match known.and_then(|known| loras.get_mut(known)) {
        Some(lora) => *lora = lora.clone().at(strength).map_err(&wrong)?,
        None => loras.push(new),
    }
    job.with_loras(loras).map_err(wrong)
}

/// The job with these words where the choice stood.
fn with_words(
    job: Job,
    choice: &str,
    value: &str,
    wrong: impl Fn(JobError) -> GridError,
) -> Result<Job, GridError> {
    let text = words::replaced(job.prompt.as_str(), choice, value)?;
    let prompt = Prompt::new(text).map_err(&wrong)?;
    crate::job::check_tags(&prompt).map_err(&wrong)?;
    let lines = job.wildcards.clone();
    let read = |name: &str| match lines.lines(name) {
        Some(lines) => Ok(lines.join("\n")),
        None => Err(JobError::NoWildcard(name.to_owned())),
    };
    // Only those that are still named: each cell takes its own along.
    let wildcards = Wildcards::gather(prompt.as_str(), read).map_err(wrong)?;
    Ok(Job { prompt, wildcards, ..job })
}

impl FromStr for Parameter {
    type Err = GridError;
    fn from_str(text: &str) -> Result<Self, GridError> {
        Ok(match text.trim() {
            "steps" => Self::Steps,
            "guidance" => Self::Guidance,
            "seed" => Self::Seed,
            "size" => Self::Size,
            "width" => Self::Width,
            "height" => Self::Height,
            "model" => Self::Model,
            other => match (other.strip_prefix("lora:"), other.strip_prefix("prompt:")) {
                (Some(file), _) if !file.trim().is_empty() => Self::Lora(file.trim().to_owned()),
                (_, Some(choice)) if words::is_choice(choice.trim()) => {
                    Self::Prompt(choice.trim().to_owned())
                }
                _ => return Err(GridError::Axis(beginning(text))),
            },
        })
    }
}

/// As much of a text as a message has room for.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(template::NAME_BYTES).collect()
}
