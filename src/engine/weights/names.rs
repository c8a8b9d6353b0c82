//! From the names of any form to this program's: the rules are data, `names.toml`, and this applies them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::entry::{Entry, ScaleTensor, Slice};
use super::error::WeightsError;
use super::files::{Files, Located, Tensors};

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    toml::from_str(include_str!("names.toml")).expect("names.toml is part of the program and a test reads it")
});

/// A part of a model that has weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The diffusion transformer.
    Transformer,
    /// The VAE.
    Vae,
    /// CLIP's text model.
    Clip,
    /// T5's encoder.
    T5,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Transformer, Self::T5, Self::Clip, Self::Vae];

    /// Its folder in a pipeline of diffusers.
    #[must_use]
    pub fn folder(self) -> &'static str {
        &self.names().folder
    }

    /// For a person: `a FLUX.1 transformer`.
    #[must_use]
    pub fn wanted(self) -> &'static str {
        &self.names().wanted
    }

    fn names(self) -> &'static PartNames {
        match self {
            Self::Transformer => &NAMES.transformer,
            Self::Vae => &NAMES.vae,
            Self::Clip => &NAMES.clip,
            Self::T5 => &NAMES.t5,
        }
    }
}

/// `names.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    scales: Vec<String>,
    notes: Vec<String>,
    unsaid: Vec<String>,
    transformer: PartNames,
    vae: PartNames,
    clip: PartNames,
    t5: PartNames,
    other: Vec<Other>,
    lora: Vec<Lora>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartNames {
    folder: String,
    wanted: String,
    prefixes: Vec<String>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    ends: Vec<String>,
    form: Vec<Form>,
}

/// One way to name a part's tensors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    /// Whose names they are.
    pub name: String,
    has: Vec<String>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    from: OneOrMore,
    to: String,
    #[serde(default)]
    swap: bool,
    #[serde(default)]
    conv: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    name: String,
    prefixes: Vec<String>,
    has: Vec<String>,
    columns: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lora {
    name: String,
    begins: String,
    has: String,
    #[serde(default)]
    also: String,
}

/// Which prefix all of `has` are behind.
fn behind<'p>(tensors: &Tensors, prefixes: &'p [String], has: &[String]) -> Option<&'p str> {
    let fits = |prefix: &&String| has.iter().all(|name| tensors.contains_key(&format!("{prefix}{name}")));
    prefixes.iter().find(fits).map(String::as_str)
}

/// The form and the prefix of a part, if it is among these tensors.
pub(super) fn find(tensors: &Tensors, part: Part) -> Option<(&'static Form, &'static str)> {
    let PartNames { prefixes, form, .. } = part.names();
    form.iter().find_map(|form| Some((form, behind(tensors, prefixes, &form.has)?)))
}

/// What is known by name and not drawn with: another model, or a LoRA.
pub(super) fn other(tensors: &Tensors) -> Option<String> {
    let is = |other: &&Other| {
        behind(tensors, &other.prefixes, &other.has).is_some_and(|prefix| {
            let last = other.has.last().and_then(|name| tensors.get(&format!("{prefix}{name}")));
            let width = last.and_then(|tensor| tensor.shape.get(1).copied());
            other.columns.is_none() || other.columns == width
        })
    };
    NAMES.other.iter().find(is).map(|other| other.name.clone())
}

/// Whether a GGUF file that says it is this may have a part of ours in it.
pub(super) fn is_architecture(said: &str) -> bool {
    let ours = Part::ALL.into_iter().flat_map(|part| &part.names().architectures);
    ours.chain(&NAMES.unsaid).any(|known| known == said)
}

/// The layers at both ends of a transformer, which some fine-tunes leave out, by the begins of their names.
pub(super) fn ends() -> &'static [String] {
    &NAMES.transformer.ends
}

/// A layer of the transformer under diffusers' name, and what it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamedLayer {
    /// diffusers' name; `{n}` is the block's number.
    pub from: String,
    /// The name here.
    pub to: String,
    /// Of `count` layers that are the rows of one here, which it is.
    pub at: usize,
    /// See `at`.
    pub count: usize,
    /// Whether the halves of its rows change places.
    pub swap: bool,
}

/// Every layer of the transformer that diffusers calls otherwise, its norms too.
pub(in crate::engine) fn renamed_layers() -> Vec<RenamedLayer> {
    let layer = |name: &str| {
        let ends = [".*", ".weight", ".scale"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let rules = NAMES.transformer.form.iter().flat_map(|form| &form.rules);
    let layers = rules.flat_map(|rule| {
        let (from, count, swap) = (rule.from.all(), rule.from.all().len(), rule.swap);
        let one = move |(at, from): (usize, &String)| RenamedLayer {
            from: layer(from),
            to: layer(&rule.to),
            at,
            count,
            swap,
        };
        from.iter().enumerate().map(one)
    });
    layers.collect()
}

/// Whose names a LoRA has, if it is one.
pub(super) fn lora(tensors: &Tensors) -> Option<&'static str> {
    let is = |lora: &&Lora| {
        let fits = |name: &String| {
            name.starts_with(&lora.begins) && name.contains(&lora.has) && name.contains(&lora.also)
        };
        tensors.keys().any(fits)
    };
    NAMES.lora.iter().find(is).map(|lora| lora.name.as_str())
}

/// Whether it belongs to a weight and is none.
pub(super) fn is_beside(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    NAMES.scales.iter().chain(&NAMES.notes).any(|beside| beside == last)
}

/// Every weight under the name that it is stored with.
pub(super) fn as_stored(files: &Files) -> BTreeMap<String, Entry> {
    let weights = files.tensors.iter().filter(|(name, _)| !is_beside(name));
    weights.map(|(name, at)| (name.clone(), Entry::of(at, whole(&files.tensors, name, at)))).collect()
}

/// A part's weights under our names, from this form of it behind this prefix.
pub(super) fn renamed(
    files: &Files,
    form: &Form,
    prefix: &str,
) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let tensors = &files.tensors;
    let stored = tensors
        .iter()
        .filter_map(|(name, at)| Some((name.strip_prefix(prefix)?, name, at)))
        .filter(|(name, ..)| !is_beside(name));
    let mut entries = BTreeMap::new();
    if form.rules.is_empty() {
        for (name, full, at) in stored {
            entries.insert(name.to_owned(), Entry::of(at, whole(tensors, full, at)));
        }
        return Ok(entries);
    }
    let last: Vec<usize> = form.rules.iter().map(|rule| rule.last(tensors, prefix)).collect();
    for (name, ..) in stored {
        let matching = form.rules.iter().zip(&last).find_map(|(rule, last)| {
            let captured = rule.from.all().iter().find_map(|pattern| captured(pattern, name))?;
            Some((rule, captured, *last))
        });
        let Some((rule, captured, last)) = matching else { continue };
        // The first of several parts has brought all of them.
        if let Place::Vacant(place) = entries.entry(filled(&rule.to, &captured, last)) {
            place.insert(rule.entry(tensors, prefix, &captured)?);
        }
    }
    Ok(entries)
}

fn whole(tensors: &Tensors, name: &str, at: &Located) -> Slice {
    let beside = |scale: &String| Some(format!("{}.{scale}", name.strip_suffix(".weight")?));
    let scale = NAMES.scales.iter().filter_map(beside).find_map(|name| {
        let at = tensors.get(&name)?.clone();
        Some(Arc::new(ScaleTensor { name, at }))
    });
    Slice::whole(at, scale)
}

impl Rule {
    /// The highest number at `{n}`.
    fn last(&self, tensors: &Tensors, prefix: &str) -> usize {
        let stem = self.from.all().first().and_then(|from| from.split_once("{n}")).map(|(stem, _)| stem);
        let Some(stem) = stem.map(|stem| format!("{prefix}{stem}")) else { return 0 };
        let number = |name: &String| name.strip_prefix(&stem)?.split('.').next()?.parse::<usize>().ok();
        tensors.keys().filter_map(number).max().unwrap_or(0)
    }

    fn entry(&self, tensors: &Tensors, prefix: &str, captured: &Captured<'_>) -> Result<Entry, WeightsError> {
        let mut entry: Option<Entry> = None;
        for from in self.from.all() {
            let name = format!("{prefix}{}", filled(from, captured, 0));
            let at = tensors.get(&name).ok_or_else(|| WeightsError::Missing(name.clone()))?;
            let slice = whole(tensors, &name, at);
            match &mut entry {
                None => entry = Some(Entry::of(at, slice)),
                Some(entry) => entry.append(&name, at, slice)?,
            }
        }
        let mut entry = entry.ok_or_else(|| WeightsError::Config("a rule names no tensor".to_owned()))?;
        if self.swap {
            entry.swap_halves(&filled(&self.to, captured, 0))?;
        }
        if self.conv && entry.shape.len() == 2 {
            entry.shape.extend([1, 1]);
        }
        Ok(entry)
    }
}

/// What stands where a pattern leaves room.
#[derive(Debug, Default, PartialEq, Eq)]
struct Captured<'n> {
    n: Option<usize>,
    m: Option<usize>,
    rest: &'n str,
}

fn captured<'n>(pattern: &str, name: &'n str) -> Option<Captured<'n>> {
    let mut captured = Captured::default();
    let mut rest = Some(name);
    for part in pattern.split('.') {
        let left = rest.take()?;
        if part == "*" {
            captured.rest = left;
            return Some(captured);
        }
        let (first, more) = left.split_once('.').map_or((left, None), |(first, more)| (first, Some(more)));
        match part {
            "{n}" => captured.n = Some(first.parse().ok()?),
            "{m}" => captured.m = Some(first.parse().ok()?),
            part if part != first => return None,
            _ => {}
        }
        rest = more;
    }
    rest.is_none().then_some(captured)
}

fn filled(pattern: &str, captured: &Captured<'_>, last: usize) -> String {
    let number = |number: Option<usize>| Cow::Owned(number.unwrap_or_default().to_string());
    let part = |part| match part {
        "{n}" => number(captured.n),
        "{last-n}" => number(captured.n.map(|n| last.saturating_sub(n))),
        "{m}" => number(captured.m),
        "*" => Cow::Borrowed(captured.rest),
        part => Cow::Borrowed(part),
    };
    pattern.split('.').map(part).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_capture_numbers_and_the_rest() {
        let pattern = "decoder.up_blocks.{n}.resnets.{m}.*";
        let name = "decoder.up_blocks.3.resnets.12.conv1.weight";
        let found = captured(pattern, name).expect("it fits");
        assert_eq!(found, Captured { n: Some(3), m: Some(12), rest: "conv1.weight" });
        assert_eq!(filled("up.{last-n}.block.{m}.*", &found, 3), "up.0.block.12.conv1.weight");
        assert_eq!(filled(pattern, &found, 0), name);
        for other in ["decoder.up_blocks.x.resnets.0.weight", "decoder.up_blocks.3.resnets.1", "decoder"] {
            assert_eq!(captured(pattern, other), None, "{other}");
        }
        assert_eq!(captured("a.weight", "a.weight.more"), None);
        assert_eq!(captured("a.*", "a"), None);
    }

    /// A rule that leaves out a number, or a `swap` that nothing reads, is a mistake in the table.
    #[test]
    fn every_rule_carries_over_what_it_captures() {
        for part in Part::ALL {
            for rule in part.names().form.iter().flat_map(|form| &form.rules) {
                for from in rule.from.all() {
                    for (hole, also) in [("{n}", "{last-n}"), ("{m}", "{m}"), (".*", ".*")] {
                        let carried = rule.to.contains(hole) || rule.to.contains(also);
                        assert_eq!(from.contains(hole), carried, "{from} to {}", rule.to);
                    }
                }
            }
        }
    }

    #[test]
    fn scales_and_notes_are_no_weights() {
        for name in [
            "a.b.scale_weight",
            "a.weight_scale",
            "a.input_scale",
            "a.comfy_quant",
            "scaled_fp8",
            "a.weight.absmax",
        ] {
            assert!(is_beside(name), "{name}");
        }
        assert!(!is_beside("single_blocks.0.norm.key_norm.scale"));
    }
}
