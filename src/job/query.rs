//! What is looked for in the library, and what is found of a prompt's seeds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::grid::GridId;
use super::{JobError, Picture, PictureId, Rating, Size, Tag};
use crate::model::ModelName;

/// The longest text that is searched for, in bytes.
pub const SEARCH_BYTES: usize = 1024;
/// The most words of it.
pub const SEARCH_WORDS: usize = 32;

/// Words that a prompt must all have, each as a part of it: `fox` finds `foxes`. At most [`SEARCH_BYTES`] and
/// [`SEARCH_WORDS`]; without any, every prompt has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SearchText(String);

impl SearchText {
    /// # Errors
    /// [`JobError::Search`].
    pub fn new(text: impl Into<String>) -> Result<Self, JobError> {
        let text = text.into();
        if text.len() > SEARCH_BYTES || text.split_whitespace().count() > SEARCH_WORDS {
            return Err(JobError::Search { bytes: text.len(), words: text.split_whitespace().count() });
        }
        Ok(Self(text))
    }

    /// As it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split_whitespace()
    }
}

impl TryFrom<String> for SearchText {
    type Error = JobError;
    fn try_from(text: String) -> Result<Self, JobError> {
        Self::new(text)
    }
}

impl From<SearchText> for String {
    fn from(text: SearchText) -> Self {
        text.0
    }
}

/// Which pictures, newest first. What is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PictureQuery {
    /// What their prompts have.
    pub text: SearchText,
    /// Tags that they all have.
    pub tags: Vec<Tag>,
    /// At least so good, itself or its grid.
    pub rating: Rating,
    /// Only favourites, and those of favourite grids.
    pub favourite: bool,
    /// Of this model.
    pub model: Option<ModelName>,
    /// Iterated from this one.
    pub parent: Option<PictureId>,
    /// Cells of this grid.
    pub grid: Option<GridId>,
    /// Finished at this moment or later, in milliseconds since 1970 (UTC).
    pub since: Option<i64>,
    /// Finished before this moment.
    pub until: Option<i64>,
    /// Those in the trash, and no others.
    pub trashed: bool,
    /// Only pictures older than this one: the last of the page before.
    pub before: Option<PictureId>,
}

/// Which prompts, the last drawn first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptQuery {
    /// What they have.
    pub text: SearchText,
    /// Only prompts that were drawn last before this: the last of the page before.
    pub before: Option<LastDrawn>,
}

/// When a prompt was drawn last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LastDrawn {
    /// When its newest picture was finished, in milliseconds since 1970 (UTC).
    pub at: i64,
    /// That picture.
    pub picture: PictureId,
}

/// A prompt that there are pictures of, whatever its white space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrawnPrompt {
    /// The best of its pictures: a favourite, or else the best rated, or else the latest.
    pub best: Picture,
    /// How many there are, those in the trash aside.
    pub pictures: u64,
    /// When it was drawn last.
    pub last: LastDrawn,
}

/// A seed that was tried for a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriedSeed {
    /// The seed.
    pub seed: u64,
    /// How good its picture is.
    pub rating: Rating,
    /// Whether that is a favourite.
    pub favourite: bool,
    /// The picture.
    pub picture: PictureId,
    /// Its file.
    pub path: PathBuf,
    /// Whether that is not there.
    pub missing: bool,
    /// Whether the picture is in the trash.
    pub trashed: bool,
    /// With which model.
    pub model: ModelName,
    /// How large.
    pub size: Size,
    /// When, in milliseconds since 1970 (UTC).
    pub finished_at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_is_bounded() {
        let text = SearchText::new(" a  red\nfox ").expect("it is short");
        assert_eq!(text.words().collect::<Vec<_>>(), ["a", "red", "fox"]);
        let message = SearchText::new("a ".repeat(SEARCH_WORDS + 1)).expect_err("too many").to_string();
        assert!(message.contains("33 words"), "{message}");
        assert!(SearchText::new("x".repeat(SEARCH_BYTES + 1)).is_err());
    }
}
