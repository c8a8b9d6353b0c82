//! The text `parameters` of A1111, Forge and their kin: the prompt, perhaps a line `Negative prompt: …`, and last a line
//! `Steps: 20, Sampler: Euler, …` of names and values. A value with a comma, a colon or a line end in it is a JSON string.

use super::{Said, Unusable};

pub(super) const WHAT: &str = "parameters";
const NEGATIVE: &str = "Negative prompt:";
/// A name of a value is a few words.
const NAME_BYTES: usize = 64;

/// # Errors
/// [`Unusable::Text`] when there is no line of values.
pub(super) fn read(text: &str) -> Result<Said, Unusable> {
    let wrong = |why| Unusable::Text { what: WHAT, why };
    let text = text.trim_end();
    // The prompt may have such a line itself: the last one counts.
    let begin = text.rfind("\nSteps: ").map(|at| at + 1).or(text.starts_with("Steps: ").then_some(0));
    let begin = begin.ok_or(wrong("there is no line that begins with Steps:"))?;
    let (prompt, values) = text.split_at(begin);
    let values = values_of(values);
    let find = |name: &str| values.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let negative = match prompt.starts_with(NEGATIVE) {
        true => Some(0),
        false => prompt.find(&format!("\n{NEGATIVE}")),
    };
    // FLUX.1 has no negative prompt: what it says is not part of the recipe.
    let prompt = negative.map_or(prompt, |at| &prompt[..at]);
    Ok(Said {
        prompt: prompt.trim().to_owned(),
        model: find("Model").or_else(|| find("Model hash")).map(str::to_owned),
        steps: number(find("Steps")),
        // The guidance that is embedded, or else that of classifier-free guidance.
        guidance: number(find("Distilled CFG Scale").or_else(|| find("CFG scale"))),
        seed: number(find("Seed")),
        size: find("Size").and_then(size),
        by: find("Version").map(|version| version.chars().take(40).collect()),
    })
}

fn number<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text?.trim().parse().ok()
}

fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
}

/// Names and values, in order. What is no name and no value is passed over up to the next comma.
fn values_of(line: &str) -> Vec<(String, String)> {
    let mut values = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let Some((name, behind)) = rest.split_once(':') else { break };
        // Something without a value came before.
        let name = name.rsplit(',').next().unwrap_or(name).trim();
        let (value, more) = value_of(behind.trim_start_matches(' '));
        if !name.is_empty() && name.len() <= NAME_BYTES {
            values.push((name.to_owned(), value));
        }
        rest = more;
    }
    values
}

/// The value that a text begins with, and what comes behind its comma.
fn value_of(text: &str) -> (String, &str) {
    if text.starts_with('"') {
        let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
        if let Some(Ok(value)) = strings.next() {
            let behind = &text[strings.byte_offset()..];
            return (value, behind.split_once(',').map_or("", |(_, more)| more));
        }
    }
    let end = text.find([',', '\n']).unwrap_or(text.len());
    (text[..end].trim().to_owned(), text.get(end + 1..).unwrap_or(""))
}
