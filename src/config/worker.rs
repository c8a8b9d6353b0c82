//! The section `[worker]`: how often a picture is kept while it is drawn, and what a worker without work does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What the worker is told. `None` where a person has not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerConfig {
    /// How often it is kept how far a picture is.
    pub checkpoint_every: Option<Lapse>,
    /// The device's memory is freed after so long without work.
    pub free_after: Option<Lapse>,
    /// The worker ends after so long without work and without clients.
    pub end_after: Option<Lapse>,
    /// Whether what a wide transformer becomes in fp8 is kept on disk.
    pub keep_converted: bool,
}

/// How long something is waited for: `500ms`, `10s`, `5m`, `8h`, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapse {
    /// So long.
    After(Duration),
    /// For ever.
    Never,
}

/// The longest: a year, so that moments can be counted with.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

impl Lapse {
    /// `None` for never.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::After(duration) => Some(duration),
            Self::Never => None,
        }
    }
}

/// Not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no time: it is a whole number with its unit, like 500ms, 10s, 5m or 8h (a year at most), or never"
)]
pub struct NoLapse(String);

impl FromStr for Lapse {
    type Err = NoLapse;
    fn from_str(text: &str) -> Result<Self, NoLapse> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let no = || NoLapse(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(no)?;
        let (number, unit) = text.split_at(digits);
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(no)?;
        let milliseconds =
            number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(no)?;
        let duration = Duration::from_millis(milliseconds);
        if duration > LONGEST { Err(no()) } else { Ok(Self::After(duration)) }
    }
}

impl fmt::Display for Lapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::After(duration) = self else { return f.write_str("never") };
        let milliseconds = duration.as_millis();
        let whole = |(_, unit): &&(&str, u64)| milliseconds.is_multiple_of(u128::from(*unit));
        let (name, unit) = UNITS.iter().rev().find(whole).unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", milliseconds / u128::from(*unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit_and_written_as_short_as_they_are() {
        for (text, milliseconds) in
            [("0s", 0), ("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("8 h", 28_800_000)]
        {
            assert_eq!(text.parse(), Ok(Lapse::After(Duration::from_millis(milliseconds))), "{text}");
        }
        assert_eq!("never".parse::<Lapse>().map(Lapse::duration), Ok(None));
        for (text, shown) in [("90s", "90s"), ("120s", "2m"), ("60m", "1h"), ("never", "never")] {
            assert_eq!(text.parse::<Lapse>().expect("a time").to_string(), shown);
        }
        for text in ["", "10", "s", "-1s", "1.5s", "1d", "9999999h", "99999999999999999999s", "Never"] {
            let error = text.parse::<Lapse>().expect_err(text).to_string();
            assert!(error.contains("10s") && error.contains("never"), "{error}");
        }
    }
}
