//! What a LoRA's file says of itself, for a person who chooses one.

use serde::{Deserialize, Serialize};

/// What a LoRA is, by its file's header alone. What the file says in words is cut to a length and has no control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoraFacts {
    /// Whose names its tensors have: `kohya`, `diffusers`.
    pub form: String,
    /// What kind of change it is: `LoRA`, `LoKr`, `LoRA and DoRA`.
    pub kind: String,
    /// The largest rank of its branches; `None` where it has none.
    pub rank: Option<u32>,
    /// What its maker calls it.
    pub title: Option<String>,
    /// What it was trained on.
    pub base: Option<String>,
    /// What its maker says is to be written in a prompt.
    pub phrase: Option<String>,
    /// The words of the pictures that it was trained on, the most frequent first.
    pub tags: Vec<String>,
    /// Whether there is a picture in its header.
    #[serde(default)]
    pub thumbnail: bool,
}

impl LoraFacts {
    /// In a few words: `kohya LoRA of rank 16 for flux-1-dev`.
    #[must_use]
    pub fn what(&self) -> String {
        let rank = self.rank.map_or_else(String::new, |rank| format!(" of rank {rank}"));
        let base = self.base.as_ref().map_or_else(String::new, |base| format!(" for {base}"));
        format!("{} {}{rank}{base}", self.form, self.kind)
    }

    /// What may be written in a prompt to have what it was trained for, the likeliest first.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let tags = self.tags.iter().filter(|tag| self.phrase.as_ref() != Some(tag));
        self.phrase.iter().chain(tags).map(String::as_str)
    }
}
