//! Which steps of a picture something counts in: `0-60%`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::JobError;

/// A share of a picture's steps, in whole percent: from 0 to 100 it is all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    from: u8,
    to: u8,
}

impl Span {
    /// All steps.
    pub const WHOLE: Self = Self { from: 0, to: 100 };

    /// Whether it is all steps.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }

    /// Whether step number `step`, from 0, of `steps` is one of them: the step that begins at that share of the picture.
    #[must_use]
    pub fn has(self, step: u32, steps: u32) -> bool {
        let (at, steps) = (u64::from(step) * 100, u64::from(steps));
        u64::from(self.from) * steps <= at && at < u64::from(self.to) * steps
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}%", self.from, self.to)
    }
}

impl FromStr for Span {
    type Err = JobError;
    fn from_str(text: &str) -> Result<Self, JobError> {
        let wrong = || JobError::LoraSpan(text.chars().take(40).collect());
        let inside = text.trim().strip_suffix('%').ok_or_else(wrong)?;
        let (from, to) = inside.split_once('-').ok_or_else(wrong)?;
        let percent = |text: &str| text.trim().trim_end_matches('%').parse::<u8>().map_err(|_| wrong());
        let (from, to) = (percent(from)?, percent(to)?);
        if from < to && to <= 100 { Ok(Self { from, to }) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for Span {
    type Error = JobError;
    fn try_from(text: String) -> Result<Self, JobError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_of(span: &str, steps: u32) -> Vec<u32> {
        let span: Span = span.parse().expect("it is one");
        (0..steps).filter(|step| span.has(*step, steps)).collect()
    }

    #[test]
    fn a_span_has_the_steps_that_begin_in_it() {
        assert_eq!(steps_of("0-60%", 20), (0..12).collect::<Vec<_>>());
        assert_eq!(steps_of("60-100%", 20), (12..20).collect::<Vec<_>>());
        assert_eq!(steps_of("0%-50%", 3), [0, 1]);
        assert_eq!(steps_of("0-100%", 1), [0]);
        assert_eq!(steps_of("1-100%", 1), Vec::<u32>::new());
    }

    #[test]
    fn two_that_meet_have_every_step_once() {
        for steps in 1..=50 {
            for at in 1..100 {
                let (one, other) = (Span { from: 0, to: at }, Span { from: at, to: 100 });
                assert!(
                    (0..steps).all(|step| one.has(step, steps) != other.has(step, steps)),
                    "{at} of {steps}"
                );
            }
        }
    }

    #[test]
    fn what_is_none_is_refused_and_the_others_are_written_as_they_are_read() {
        for text in ["", "0-60", "60%", "60-0%", "0-0%", "0-101%", "-1-50%", "a-b%", "0-60%%-"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
        let span: Span = " 5 - 60 %".trim().replace(' ', "").parse().expect("it is one");
        assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        assert!(Span::default().is_whole() && !span.is_whole());
        assert_eq!(serde_json::to_string(&span).expect("JSON"), "\"5-60%\"");
    }
}
