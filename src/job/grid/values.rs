//! The values of an axis as they are written: `2,3.5,5`, and ranges, `2..6/2`.

use super::axis::{Parameter, beginning};
use super::{GridError, Unfit, VALUES_MAX};
use crate::job::Size;

/// Decimals of the values of a range.
const DECIMALS: usize = 6;

/// Reads values between commas, each a value or a range with both ends: `4..20/4`, by one where no step is said.
///
/// # Errors
/// What is wrong with them.
pub(super) fn read(parameter: &Parameter, text: &str) -> Result<Vec<String>, GridError> {
    let axis = || parameter.clone();
    let has_ranges = !matches!(parameter, Parameter::Size | Parameter::Model | Parameter::Prompt(_));
    let mut values = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once("..").filter(|_| has_ranges) {
            None => values.push(part.to_owned()),
            Some((from, rest)) => {
                let wrong = |reason| GridError::Value { axis: axis(), value: beginning(part), reason };
                let (to, step) = rest.split_once('/').unwrap_or((rest, "1"));
                let many = |count| GridError::Values { axis: axis(), count };
                values.extend(range(from.trim(), to.trim(), step.trim(), wrong, many)?);
            }
        }
        if values.len() > VALUES_MAX {
            return Err(GridError::Values { axis: axis(), count: values.len() as u64 });
        }
    }
    Ok(values)
}

fn range(
    from: &str,
    to: &str,
    step: &str,
    wrong: impl Fn(Unfit) -> GridError,
    many: impl Fn(u64) -> GridError,
) -> Result<Vec<String>, GridError> {
    // Seeds are larger than what a float holds exactly.
    if let (Ok(from), Ok(to), Ok(step)) = (from.parse::<u64>(), to.parse::<u64>(), step.parse::<u64>()) {
        if to < from || step == 0 {
            return Err(wrong(Unfit::Falling));
        }
        let count = (to - from) / step;
        return match usize::try_from(count) {
            Ok(last) if last < VALUES_MAX => {
                Ok((0..=count).map(|at| (from + at * step).to_string()).collect())
            }
            _ => Err(many(count.saturating_add(1))),
        };
    }
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let (Some(from), Some(to), Some(step)) = (number(from), number(to), number(step)) else {
        return Err(wrong(Unfit::Range));
    };
    if to < from || step <= 0.0 {
        return Err(wrong(Unfit::Falling));
    }
    // 0.1 is no binary fraction: the last is not lost for that.
    let last = ((to - from) / step + 1e-9).floor();
    if last >= VALUES_MAX as f64 {
        return Err(many(last.min(1e15) as u64 + 1));
    }
    Ok((0..=last as usize).map(|at| plain(from + at as f64 * step)).collect())
}

/// A number without zeros that say nothing.
fn plain(number: f64) -> String {
    let text = format!("{number:.DECIMALS$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A size as it is written: `768x512`.
///
/// # Errors
/// What is wrong with it, and what would work.
pub(super) fn size(text: &str) -> Result<Size, Unfit> {
    let sides = text.split_once(['x', 'X', '×']);
    let number = |side: &str| side.trim().parse::<u32>().ok();
    match sides.and_then(|(width, height)| Some((number(width)?, number(height)?))) {
        Some((width, height)) => Ok(Size::new(width, height)?),
        None => Err(Unfit::Size),
    }
}
