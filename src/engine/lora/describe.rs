//! What a LoRA's file is, by its header alone: whose names it has, the kind of its changes, their rank, and what its maker
//! says of it (kohya's `ss_` keys, the ModelSpec, <https://github.com/Stability-AI/ModelSpec>). Nothing of it is trusted:
//! texts are cut, and what is no text is left out.

use std::collections::HashMap;
use std::path::Path;

use super::LoraError;
use super::names::{self, Role};
use super::read::{nothing, open};
use crate::engine::weights::Weights;
use crate::job::LoraFacts;

/// The longest title, base and phrase, in characters.
const NOTE_MAX: usize = 200;
/// Longer tags are captions, not words.
const TAG_MAX: usize = 60;
/// Tags that are told.
const TAGS: usize = 12;
/// Longer lists of tags are passed over: those of thousands of pictures have less.
const TAGS_BYTES: usize = 8 << 20;

/// What a file is, whatever the size of the model that it is for.
///
/// # Errors
/// As [`glance`](super::glance).
pub fn describe(path: &Path) -> Result<LoraFacts, LoraError> {
    let weights = open(path)?;
    let mut form = None;
    let (mut kinds, mut rank) = ([false; KINDS.len()], None);
    for (name, stem, role) in
        weights.names().filter_map(|name| names::split(name).map(|(stem, role)| (name, stem, role)))
    {
        form = form.or_else(|| names::target(stem).map(|target| target.form));
        kind(role).into_iter().for_each(|kind| kinds[kind] = true);
        rank = rank.max(rank_of(&weights, name, role));
    }
    let form = form.ok_or_else(|| nothing(&weights))?;
    let kinds: Vec<_> = KINDS.into_iter().zip(kinds).filter_map(|(kind, has)| has.then_some(kind)).collect();
    Ok(LoraFacts {
        form: form.to_owned(),
        kind: kinds.join(" and "),
        rank: rank.and_then(|rank| u32::try_from(rank).ok()),
        title: note(&weights, &["modelspec.title", "ss_output_name"]),
        base: base(&weights),
        phrase: note(&weights, &["modelspec.trigger_phrase"]),
        tags: weights.note("ss_tag_frequency").map(tags).unwrap_or_default(),
    })
}

/// The kinds of changes that there are.
const KINDS: [&str; 5] = ["LoRA", "DoRA", "LoHa", "LoKr", "whole differences"];

/// Which of [`KINDS`] a tensor tells of.
fn kind(role: Role) -> Option<usize> {
    match role {
        Role::Down | Role::Up => Some(0),
        Role::Magnitude => Some(1),
        Role::HadaW1A | Role::HadaW1B | Role::HadaW2A | Role::HadaW2B => Some(2),
        Role::LokrW1 | Role::LokrW1A | Role::LokrW1B => Some(3),
        Role::LokrW2 | Role::LokrW2A | Role::LokrW2B => Some(3),
        Role::Diff | Role::Bias => Some(4),
        Role::UpBias | Role::Alpha => None,
    }
}

/// The rank, by the matrix that has it as its rows.
fn rank_of(weights: &Weights, name: &str, role: Role) -> Option<usize> {
    let has_it = matches!(role, Role::Down | Role::HadaW1B | Role::LokrW1B | Role::LokrW2B);
    weights.shape(name).ok().filter(|_| has_it).and_then(|shape| shape.first().copied())
}

/// The first of these keys that has words.
fn note(weights: &Weights, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| weights.note(key).and_then(|text| words(text, NOTE_MAX)))
}

/// What it was trained on. Of an architecture, as in `flux-1-dev/lora`, the model.
fn base(weights: &Weights) -> Option<String> {
    let of = |architecture: String| architecture.trim_end_matches("/lora").to_owned();
    note(weights, &["modelspec.architecture"])
        .map(of)
        .or_else(|| note(weights, &["ss_base_model_version", "ss_sd_model_name"]))
}

/// A text on one line and not too long; none where it says nothing. Tools write `None` where they have none.
fn words(text: &str, most: usize) -> Option<String> {
    let one_line: String =
        text.chars().take(most).map(|found| if found.is_control() { ' ' } else { found }).collect();
    let one_line = one_line.trim();
    let says = !one_line.is_empty() && one_line != "None" && one_line != "null";
    says.then(|| one_line.to_owned())
}

/// The most frequent tags of `{"folder": {"tag": count}}`; of equally frequent ones the first by their letters.
fn tags(text: &str) -> Vec<String> {
    if text.len() > TAGS_BYTES {
        return Vec::new();
    }
    let folders: HashMap<String, HashMap<String, f64>> = serde_json::from_str(text).unwrap_or_default();
    let mut counts: HashMap<String, f64> = HashMap::new();
    for (tag, count) in folders.into_values().flatten() {
        // One character more than is let through: what is longer is seen to be.
        let short = words(&tag, TAG_MAX + 1).filter(|tag| tag.chars().count() <= TAG_MAX);
        short.into_iter().for_each(|tag| *counts.entry(tag).or_default() += count);
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(one, a), (other, b)| b.total_cmp(a).then_with(|| one.cmp(other)));
    counts.into_iter().take(TAGS).map(|(tag, _)| tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two tensors of rank 4 with this beside them.
    fn file(metadata: &[(&str, &str)]) -> (tempfile::TempDir, std::path::PathBuf) {
        let stem = "lora_unet_double_blocks_0_img_attn_qkv";
        let header = serde_json::json!({
            "__metadata__": metadata.iter().copied().collect::<HashMap<_, _>>(),
            format!("{stem}.lora_down.weight"): { "dtype": "F16", "shape": [4, 2], "data_offsets": [0, 16] },
            format!("{stem}.lora_up.weight"): { "dtype": "F16", "shape": [6, 4], "data_offsets": [16, 64] },
        })
        .to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + 64, 0);
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("a.safetensors");
        std::fs::write(&path, bytes).expect("it can be written");
        (root, path)
    }

    fn facts(metadata: &[(&str, &str)]) -> LoraFacts {
        let (_root, path) = file(metadata);
        describe(&path).expect("it is a LoRA")
    }

    #[test]
    fn what_a_file_says_of_itself_is_told() {
        let tags =
            r#"{"10_ink": {"inkwash": 20, "a fox": 3}, "5_more": {"a fox": 30, " ": 99, "\u001b[2J": 1}}"#;
        let told = facts(&[
            ("modelspec.title", "Ink\nwash"),
            ("modelspec.architecture", "flux-1-dev/lora"),
            ("modelspec.trigger_phrase", "inkwash"),
            ("ss_base_model_version", "flux1"),
            ("ss_tag_frequency", tags),
        ]);
        assert_eq!((told.form.as_str(), told.kind.as_str(), told.rank), ("kohya", "LoRA", Some(4)));
        assert_eq!(told.title.as_deref(), Some("Ink wash"));
        assert_eq!(told.base.as_deref(), Some("flux-1-dev"));
        assert_eq!(told.tags, ["a fox", "inkwash", "[2J"]);
        assert_eq!(told.words().collect::<Vec<_>>(), ["inkwash", "a fox", "[2J"]);
    }

    #[test]
    fn what_says_nothing_lies_or_is_too_long_is_cut_or_left_out() {
        let long = "long ".repeat(10_000);
        let tags = format!(r#"{{"a": {{"{long}": 9, "x": 1e400}}}}"#);
        let told = facts(&[
            ("modelspec.title", "None"),
            ("ss_output_name", &long),
            ("ss_base_model_version", " "),
            ("ss_tag_frequency", &tags),
        ]);
        assert!(told.title.is_some_and(|title| title.chars().count() <= NOTE_MAX));
        assert_eq!((told.base, told.phrase, told.tags.len()), (None, None, 0));
        for tags in ["[]", "{", r#"{"a": 1}"#, r#"{"a": {"b": "c"}}"#] {
            assert_eq!(facts(&[("ss_tag_frequency", tags)]).tags, [] as [&str; 0], "{tags}");
        }
        let many: HashMap<String, u32> = (0..1000).map(|number| (number.to_string(), number)).collect();
        let many = serde_json::json!({ "a": many }).to_string();
        let told = facts(&[("ss_tag_frequency", &many)]).tags;
        assert_eq!((told.len(), told[0].as_str()), (TAGS, "999"));
    }
}
