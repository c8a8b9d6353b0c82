//! What a LoRA's file is, by its header alone: whose names it has, the kind of its changes, their rank, and what its maker
//! says of it (kohya's `ss_` keys, the ModelSpec, <https://github.com/Stability-AI/ModelSpec>). Nothing of it is trusted:
//! texts are cut, and what is no text is left out.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::LoraError;
use super::names::{self, Role};
use super::read::{NAME_MAX, TENSORS_MAX, nothing, open};
use crate::engine::weights::{Glimpse, glimpse};
use crate::job::LoraFacts;

/// The longest title, base and phrase, in characters.
const NOTE_MAX: usize = 200;
/// Longer tags are captions, not words.
const TAG_MAX: usize = 60;
/// Tags that are told.
const TAGS: usize = 12;
/// Longer lists of tags are passed over: those of thousands of pictures have less.
const TAGS_BYTES: usize = 8 << 20;
/// Where the ModelSpec has a picture, and the longest that is read, in characters.
const THUMBNAIL: &str = "modelspec.thumbnail";
const THUMBNAIL_BYTES: usize = 16 << 20;

/// What a file is, whatever the size of the model that it is for.
///
/// # Errors
/// As [`glance`](super::glance).
pub fn describe(path: &Path) -> Result<LoraFacts, LoraError> {
    if let Some(facts) = glimpse(path, quickly).flatten() {
        return Ok(facts);
    }
    let weights = open(path)?;
    let shape = |name| weights.shape(name).unwrap_or_default();
    let tensors = weights.names().map(|name| (name, shape(name)));
    told(tensors, |key| weights.note(key)).ok_or_else(|| nothing(&weights))
}

/// The same of a usual file, for a tenth of the work: `None` leaves it, and what is wrong with it, to the reader of all files.
fn quickly(seen: &Glimpse<'_>) -> Option<LoraFacts> {
    let usual = seen.len() <= TENSORS_MAX && seen.tensors().all(|(name, _)| name.len() <= NAME_MAX);
    usual.then(|| told(seen.tensors(), |key| seen.note(key))).flatten()
}

/// What these tensors are, in the order of their names; `None` where no layer of FLUX.1 is among them.
fn told<'f>(
    tensors: impl Iterator<Item = (&'f str, &'f [usize])>,
    note: impl Fn(&str) -> Option<&'f str>,
) -> Option<LoraFacts> {
    let mut form = None;
    let (mut kinds, mut rank) = ([false; KINDS.len()], None);
    for (name, shape) in tensors {
        let Some((stem, role)) = names::split(name) else { continue };
        form = form.or_else(|| names::target(stem).map(|target| target.form));
        kind(role).into_iter().for_each(|kind| kinds[kind] = true);
        rank = rank.max(rank_of(shape, role));
    }
    let kinds: Vec<_> = KINDS.into_iter().zip(kinds).filter_map(|(kind, has)| has.then_some(kind)).collect();
    let first = |keys: &[&str]| keys.iter().find_map(|key| note(key).and_then(|text| words(text, NOTE_MAX)));
    let architecture = first(&["modelspec.architecture"]);
    let architecture = architecture.map(|model| model.trim_end_matches("/lora").to_owned());
    Some(LoraFacts {
        form: form?.to_owned(),
        kind: kinds.join(" and "),
        rank: rank.and_then(|rank| u32::try_from(rank).ok()),
        title: first(&["modelspec.title", "ss_output_name"]),
        base: architecture.or_else(|| first(&["ss_base_model_version", "ss_sd_model_name"])),
        phrase: first(&["modelspec.trigger_phrase"]),
        tags: note("ss_tag_frequency").map(tags).unwrap_or_default(),
        thumbnail: note(THUMBNAIL).is_some_and(|said| said.starts_with("data:image/")),
    })
}

/// The picture in a file's header, as it was encoded: a data URI's bytes. `None` where there is none, or one that is too
/// large or not written so (<https://www.rfc-editor.org/rfc/rfc2397>).
#[must_use]
pub fn thumbnail(path: &Path) -> Option<Vec<u8>> {
    glimpse(path, |seen| {
        let said = seen.note(THUMBNAIL).filter(|said| said.len() <= THUMBNAIL_BYTES)?;
        let (about, data) = said.strip_prefix("data:image/")?.split_once(',')?;
        let is_base64 = about.rsplit(';').next() == Some("base64");
        is_base64.then(|| BASE64.decode(data.trim()).ok()).flatten()
    })
    .flatten()
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
fn rank_of(shape: &[usize], role: Role) -> Option<usize> {
    let has_it = matches!(role, Role::Down | Role::HadaW1B | Role::LokrW1B | Role::LokrW2B);
    shape.first().copied().filter(|_| has_it)
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
    fn a_picture_in_the_header_is_told_and_read() {
        let picture = |said: &str| {
            let (_root, path) = file(&[("modelspec.thumbnail", said)]);
            (describe(&path).expect("it is a LoRA").thumbnail, thumbnail(&path))
        };
        assert_eq!(picture("data:image/jpeg;base64,/9j/"), (true, Some(vec![0xff, 0xd8, 0xff])));
        assert_eq!(
            picture("data:image/png;charset=utf-8;base64, /9j/ "),
            (true, Some(vec![0xff, 0xd8, 0xff]))
        );
        for bad in ["data:image/png,%ff", "data:image/png;base64", "data:image/png;base64,\u{e9}"] {
            assert_eq!(picture(bad), (true, None), "{bad}");
        }
        for none in ["", "None", "https://example.org/a.png", "data:text/html;base64,/9j/"] {
            assert_eq!(picture(none), (false, None), "{none}");
        }
        let long = format!("data:image/png;base64,{}", "A".repeat(THUMBNAIL_BYTES));
        assert_eq!(picture(&long), (true, None));
    }

    #[test]
    fn the_quick_look_says_what_the_whole_reader_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lora/fixtures");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("the fixtures are there").flatten() {
            let path = entry.path();
            let Some(quick) = glimpse(&path, quickly).flatten() else { continue };
            let weights = open(&path).expect("what is whole can be opened");
            let tensors = weights.names().map(|name| (name, weights.shape(name).unwrap_or_default()));
            assert_eq!(told(tensors, |key| weights.note(key)), Some(quick), "{path:?}");
            seen += 1;
        }
        assert!(seen >= 14, "{seen} of the forms");
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
