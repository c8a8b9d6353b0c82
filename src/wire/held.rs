//! The files of a model as a client sees them: what and where they are, whether they are right, what removing them means.

use serde::{Deserialize, Serialize};

use crate::model::ModelName;

/// A model by its files, from their headers alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDetails {
    /// Which model.
    pub model: ModelName,
    /// Where each part is, or would come from: transformer, T5, CLIP, VAE.
    pub parts: Vec<PartPlace>,
    /// What is in the files that are here, each once.
    pub files: Vec<FileFacts>,
    /// Bytes that the weights of the parts take together.
    pub memory: MemoryNeed,
    /// Why it cannot be drawn with, if it cannot.
    pub why_not: Option<String>,
}

/// Where a part of a model is, or where it would come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartPlace {
    /// The part, by its key in `models.toml`.
    pub part: String,
    /// Where it is; absent when it is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Where it would come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PartOrigin>,
    /// Files in its place that are of no use, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
}

/// The published file that a part would come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartOrigin {
    /// What the file is called in the catalogue.
    pub id: String,
    /// The first place is asked first.
    pub places: Vec<String>,
    /// Its size, where that is known.
    pub bytes: Option<u64>,
    /// Its licence.
    pub license: String,
    /// The page of its terms, if they must be accepted first.
    pub gate: Option<String>,
}

/// What a weight file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its path.
    pub file: String,
    /// Of which kind, in one word.
    pub kind: String,
    /// The same in a sentence.
    pub what: String,
    /// What a transformer was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The parts of a model that are in it.
    pub parts: Vec<PartFacts>,
    /// Bytes of tensors by type, most first.
    pub precision: Vec<PrecisionBytes>,
    /// Whether fp8 weights have scales beside them.
    pub scaled: bool,
    /// The size of a transformer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<TransformerSize>,
    /// Parts of a model that are not in it.
    pub missing: Vec<String>,
    /// Whether its transformer can be drawn with.
    pub draws: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// Bytes that its weights take.
    pub memory: MemoryNeed,
}

/// A part that is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFacts {
    /// Which, by its key in `models.toml`.
    pub part: String,
    /// Whose names its tensors have.
    pub names: String,
    /// Bytes of its tensors.
    pub bytes: u64,
}

/// Bytes of tensors of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrecisionBytes {
    /// Which: `bf16`.
    pub r#type: String,
    /// How many bytes.
    pub bytes: u64,
}

/// The size of a transformer: widths in channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of FLUX.1's own configuration")]
pub struct TransformerSize {
    pub hidden: usize,
    pub heads: usize,
    pub double_blocks: usize,
    pub single_blocks: usize,
    pub in_channels: usize,
    pub context: usize,
    pub vector: usize,
    pub guidance: bool,
}

/// Bytes that weights take once they are loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryNeed {
    /// By the CPU's engine.
    pub cpu: u64,
    /// By a card's.
    pub card: u64,
}

impl FileFacts {
    /// For a person: what each line is about, and the line. `size` writes a number of bytes.
    pub fn rows(&self, size: impl Fn(u64) -> String) -> Vec<(&'static str, String)> {
        let mut rows = vec![("file", self.file.clone()), ("is", self.what.clone())];
        let part = |part: &PartFacts| format!("{} ({} names), {}", part.part, part.names, size(part.bytes));
        if !self.parts.is_empty() {
            rows.push(("parts", self.parts.iter().map(part).collect::<Vec<_>>().join("\n")));
        }
        if !self.precision.is_empty() {
            let one = |precision: &PrecisionBytes| format!("{} {}", precision.r#type, size(precision.bytes));
            let scaled = if self.scaled { ", fp8 with scales beside it" } else { "" };
            let all: Vec<_> = self.precision.iter().map(one).collect();
            rows.push(("precision", all.join(", ") + scaled));
        }
        if let Some(TransformerSize { hidden, heads, double_blocks, single_blocks, .. }) = self.size {
            let blocks = format!("{double_blocks} double and {single_blocks} single blocks");
            rows.push(("size", format!("{hidden} wide, {heads} heads, {blocks}")));
        }
        if self.memory.card > 0 {
            rows.push(("weights", self.memory.sentence(&size)));
        }
        if !self.parts.is_empty() && !self.missing.is_empty() {
            rows.push(("not in it", self.missing.join(", ")));
        }
        rows
    }
}

impl MemoryNeed {
    /// `11.9 GB on a card, 11.9 GB on the CPU`.
    pub fn sentence(self, size: impl Fn(u64) -> String) -> String {
        format!("{} on a card, {} on the CPU", size(self.card), size(self.cpu))
    }
}

/// A model whose files are checked, and how far that is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCheck {
    /// Which model.
    pub model: ModelName,
    /// How far.
    pub state: CheckState,
}

/// How far a check is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CheckState {
    /// Another model is checked first.
    Waiting,
    /// Its files are read.
    Running(CheckProgress),
    /// What was found of each file.
    Done(Vec<FileCheck>),
    /// It could not be done.
    Failed {
        /// Why, for a person.
        reason: String,
    },
    /// A person wanted no more.
    Cancelled,
}

impl CheckState {
    /// Whether nothing more will come of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running(_))
    }
}

/// How far the files of a model have been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckProgress {
    /// Bytes that were read.
    pub done: u64,
    /// Bytes of all files.
    pub total: u64,
    /// Bytes a second since the beginning.
    pub speed: f64,
    /// Files that were read to the end.
    pub files_done: u32,
    /// Files in all.
    pub files: u32,
    /// The name of the one that is read now.
    pub file: Option<String>,
}

/// What was found of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCheck {
    /// Its path.
    pub file: String,
    /// Bytes of it.
    pub bytes: u64,
    /// What was found.
    pub found: Soundness,
}

/// Whether a file is what was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Soundness {
    /// Its size and its hash are right.
    Right,
    /// No hash of it is known.
    NoHash,
    /// It is not.
    Bad {
        /// What is wrong, and what to do.
        what: String,
    },
}

/// The most results of checks that a snapshot holds, one a model.
pub const CHECKS_MAX: usize = 20;

/// Brings a list of checks up to date: those that run and wait in their order, then the results, the latest first. One
/// that was cancelled leaves.
pub fn note(checks: &mut Vec<ModelCheck>, check: ModelCheck) {
    let open = |checks: &[ModelCheck]| checks.iter().take_while(|known| !known.state.is_over()).count();
    let place = checks.iter().position(|known| known.model == check.model);
    match (place, check.state.is_over()) {
        (Some(place), false) if !checks[place].state.is_over() => checks[place] = check,
        (place, _) => {
            place.map(|place| checks.remove(place));
            if check.state != CheckState::Cancelled {
                checks.insert(open(checks), check);
            }
        }
    }
    checks.truncate(open(checks) + CHECKS_MAX);
}

/// What removing a model would free, and what would stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalPlan {
    /// Which model.
    pub model: ModelName,
    /// The files that go, unfinished ones with what has come of them.
    pub goes: Vec<GoingFile>,
    /// Bytes that become free.
    pub bytes: u64,
    /// The files that stay.
    pub stays: Vec<StayingFile>,
}

/// A file that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoingFile {
    /// Its path.
    pub file: String,
    /// Bytes of it.
    pub bytes: u64,
}

/// A file that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StayingFile {
    /// Its path.
    pub file: String,
    /// Why.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(model: &str, state: CheckState) -> ModelCheck {
        ModelCheck { model: ModelName::new(model), state }
    }

    #[test]
    fn results_stay_behind_those_that_are_open_and_a_cancelled_one_leaves() {
        let running = || CheckState::Running(CheckProgress::default());
        let done = || CheckState::Done(Vec::new());
        let mut list = Vec::new();
        for model in ["a", "b", "c"] {
            note(&mut list, check(model, CheckState::Waiting));
        }
        note(&mut list, check("a", running()));
        note(&mut list, check("a", done()));
        note(&mut list, check("b", running()));
        assert_eq!(list, [check("b", running()), check("c", CheckState::Waiting), check("a", done())]);
        note(&mut list, check("a", CheckState::Waiting));
        assert_eq!(list[2], check("a", CheckState::Waiting), "checked again, its result is old");
        note(&mut list, check("b", CheckState::Cancelled));
        assert_eq!(list, [check("c", CheckState::Waiting), check("a", CheckState::Waiting)]);
        for number in 0..100 {
            note(&mut list, check(&number.to_string(), done()));
        }
        assert_eq!((list.len(), &list[2]), (2 + CHECKS_MAX, &check("99", done())));
    }
}
