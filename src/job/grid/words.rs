//! The choices of a prompt as an axis: `{red|blue}` and `__name__`, as they stand there.

use super::axis::beginning;
use super::{GridError, Parameter, VALUES_MAX};
use crate::job::template::{Piece, Template, weight};
use crate::job::{JobError, Wildcards};

/// The choices of a prompt that can be an axis, each as it stands there and once.
#[must_use]
pub fn choices(prompt: &str) -> Vec<&str> {
    let Ok(template) = Template::parse(prompt) else { return Vec::new() };
    let mut found = Vec::new();
    for (index, piece) in template.pieces.iter().enumerate() {
        let at = match piece {
            Piece::Text { .. } => continue,
            Piece::Choice { at, .. } => *at,
            Piece::Wildcard { at, name } => {
                let whole = prompt.get(*at..*at + name.len() + 4);
                found.extend(whole.filter(|whole| is_choice(whole)));
                continue;
            }
        };
        // It ends where the next piece begins.
        let end = template.pieces.get(index + 1).map_or(prompt.len(), place);
        let whole = prompt.get(at..end).and_then(|rest| rest.rfind('}').map(|end| &rest[..=end]));
        found.extend(whole.filter(|whole| is_choice(whole)));
    }
    let mut once: Vec<&str> = Vec::new();
    for choice in found {
        if !once.contains(&choice) {
            once.push(choice);
        }
    }
    once
}

fn place(piece: &Piece<'_>) -> usize {
    match piece {
        Piece::Text { at, .. } | Piece::Choice { at, .. } | Piece::Wildcard { at, .. } => *at,
    }
}

/// Whether a text is one choice and nothing else.
pub(super) fn is_choice(text: &str) -> bool {
    let parsed = Template::parse(text);
    parsed.is_ok_and(|it| matches!(it.pieces[..], [Piece::Choice { .. } | Piece::Wildcard { .. }]))
}

/// What can be chosen, as it is written there: weights aside, and of what is there twice once.
///
/// # Errors
/// When it is no choice, has too much, or is a wildcard whose lines are not known.
pub(super) fn values(choice: &str, lines: &Wildcards) -> Result<Vec<String>, GridError> {
    let template = Template::parse(choice);
    let branches: Vec<&str> = match template.as_ref().map(|it| &it.pieces[..]) {
        Ok([Piece::Wildcard { name, .. }]) => {
            let known = lines.lines(name).ok_or_else(|| GridError::Value {
                axis: Parameter::Prompt(beginning(choice)),
                value: beginning(choice),
                reason: JobError::NoWildcard((*name).to_owned()).into(),
            })?;
            known.iter().map(String::as_str).collect()
        }
        Ok([Piece::Choice { .. }]) => branches(choice),
        _ => return Err(GridError::Axis(format!("prompt:{}", beginning(choice)))),
    };
    let mut values: Vec<String> = Vec::new();
    for branch in branches {
        let words = weight(branch).1.trim().to_owned();
        if !values.contains(&words) {
            values.push(words);
        }
        if values.len() > VALUES_MAX {
            let axis = Parameter::Prompt(beginning(choice));
            return Err(GridError::Values { axis, count: values.len() as u64 });
        }
    }
    Ok(values)
}

/// What stands between the outermost `|` of a choice.
fn branches(choice: &str) -> Vec<&str> {
    let inside = choice.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(choice);
    let (mut depth, mut begin, mut escaped, mut tag) = (0_usize, 0, false, false);
    let mut parts = Vec::new();
    for (at, letter) in inside.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match letter {
            '\\' => escaped = true,
            '<' if inside[at..].starts_with("<lora:") => tag = true,
            '>' => tag = false,
            _ if tag => {}
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                parts.push(&inside[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[begin..]);
    parts
}

/// The prompt with words in all places where the choice stands.
///
/// # Errors
/// [`GridError::NoChoice`].
pub(super) fn replaced(prompt: &str, choice: &str, words: &str) -> Result<String, GridError> {
    if !prompt.contains(choice) || choice.is_empty() {
        return Err(GridError::NoChoice(beginning(choice)));
    }
    Ok(prompt.replace(choice, words))
}
