//! A finished [`Picture`] as the library keeps it, and what a person says of it: [`Marks`].

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::grid::OfGrid;
use super::{JobError, JobId, PictureId, Recipe};

/// The best rating.
pub const RATING_MAX: u8 = 5;
/// The longest tag, in bytes.
pub const TAG_BYTES: usize = 64;
/// The most tags of one picture.
pub const TAGS_MAX: usize = 32;

/// One finished picture, as the library keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Its number.
    pub id: PictureId,
    /// The job it was drawn for.
    pub job: JobId,
    /// Which picture of that job, from 0.
    pub index: u32,
    /// All that is needed to draw it again.
    pub recipe: Recipe,
    /// The PNG.
    pub path: PathBuf,
    /// When it was finished, in milliseconds since 1970 (UTC).
    pub finished_at: i64,
    /// What a person says of it.
    #[serde(default)]
    pub marks: Marks,
    /// The picture that it was iterated from.
    #[serde(default)]
    pub parent: Option<PictureId>,
    /// The grid that it is a cell of.
    #[serde(default)]
    pub grid: Option<OfGrid>,
    /// Which program drew it.
    #[serde(default)]
    pub origin: Origin,
    /// Whether its file was not where it should be when that was last looked for.
    #[serde(default)]
    pub missing: bool,
}

impl Picture {
    /// One that this program has just drawn: nothing is said of it yet.
    #[must_use]
    pub fn drawn(
        (id, job, index): (PictureId, JobId, u32),
        recipe: Recipe,
        path: PathBuf,
        finished_at: i64,
    ) -> Self {
        let (marks, origin) = (Marks::default(), Origin::default());
        Self {
            id,
            job,
            index,
            recipe,
            path,
            finished_at,
            marks,
            parent: None,
            grid: None,
            origin,
            missing: false,
        }
    }

    /// What pictures are ordered by, the newest being the greatest: the time, and of the same time the number. A picture
    /// that was imported has the number of today and the time of its file.
    #[must_use]
    pub fn age(&self) -> (i64, PictureId) {
        (self.finished_at, self.id)
    }

    /// Bytes of text in it that a person gives.
    #[must_use]
    pub fn text_len(&self) -> usize {
        self.recipe.text_len() + self.marks.tags.iter().map(|tag| tag.0.len()).sum::<usize>()
    }
}

/// What a person says of a picture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// How good it is.
    pub rating: Rating,
    /// Whether it is a favourite.
    pub favourite: bool,
    /// Words for it, in order.
    pub tags: Vec<Tag>,
    /// When it was put into the trash, in milliseconds since 1970 (UTC).
    pub trashed_at: Option<i64>,
}

/// How good a picture is: 1 to [`RATING_MAX`], 0 where nobody has said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Rating(u8);

impl Rating {
    /// As a number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Rating {
    type Error = JobError;
    fn try_from(number: u8) -> Result<Self, JobError> {
        if number <= RATING_MAX { Ok(Self(number)) } else { Err(JobError::Rating(number.to_string())) }
    }
}

impl From<Rating> for u8 {
    fn from(rating: Rating) -> Self {
        rating.0
    }
}

impl FromStr for Rating {
    type Err = JobError;
    fn from_str(text: &str) -> Result<Self, JobError> {
        let number = text.trim().parse::<u8>().map_err(|_| JobError::Rating(text.to_owned()))?;
        Self::try_from(number)
    }
}

impl fmt::Display for Rating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A word for pictures: in lower case, so that `Fox` and `fox` are one, without blanks around it, control characters and
/// commas, at most [`TAG_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

impl Tag {
    /// # Errors
    /// [`JobError::Tag`].
    pub fn new(text: &str) -> Result<Self, JobError> {
        let tag = text.trim().to_lowercase();
        let bad = |c: char| c.is_control() || c == ',';
        if tag.is_empty() || tag.len() > TAG_BYTES || tag.contains(bad) {
            return Err(JobError::Tag(text.chars().take(TAG_BYTES).collect()));
        }
        Ok(Self(tag))
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = JobError;
    fn try_from(text: String) -> Result<Self, JobError> {
        Self::new(&text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl FromStr for Tag {
    type Err = JobError;
    fn from_str(text: &str) -> Result<Self, JobError> {
        Self::new(text)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which program drew a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// This one.
    #[default]
    #[serde(rename = "flux-tui")]
    FluxTui,
    /// A1111, Forge, or another that writes `parameters` as they do.
    A1111,
    /// ComfyUI.
    ComfyUi,
}

impl Origin {
    /// Its name, as the library keeps it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FluxTui => "flux-tui",
            Self::A1111 => "a1111",
            Self::ComfyUi => "comfyui",
        }
    }

    /// The one of that name; a name that is not known is another program's.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        [Self::FluxTui, Self::ComfyUi].into_iter().find(|it| it.name() == name).unwrap_or(Self::A1111)
    }
}

/// What a person changes about a picture of the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureChange {
    /// Which.
    pub picture: PictureId,
    /// What.
    pub mark: MarkChange,
}

/// A change of [`Marks`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MarkChange {
    /// So good.
    Rate(Rating),
    /// A favourite, or not.
    Favourite(bool),
    /// Other words for it. One that is in both is added.
    Tag {
        /// Those that it gets.
        add: Vec<Tag>,
        /// Those that it loses.
        remove: Vec<Tag>,
    },
    /// Into the trash, where lists do not show it, or out of it. Its file stays where it is.
    Trash(bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_zero_to_five() {
        assert_eq!("5".parse::<Rating>().map(Rating::get), Ok(5));
        for bad in ["6", "-1", "256", "x", ""] {
            let message = bad.parse::<Rating>().expect_err("it is none").to_string();
            assert!(message.contains("0 to 5"), "{message}");
        }
    }

    #[test]
    fn tags_are_words_in_lower_case() {
        assert_eq!(Tag::new("  Red Fox ").map(String::from), Ok("red fox".to_owned()));
        assert_eq!(Tag::new("水墨").map(String::from), Ok("水墨".to_owned()));
        for bad in ["", "  ", "a,b", "a\nb", &"x".repeat(TAG_BYTES + 1)] {
            assert!(Tag::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_origin_is_kept_by_its_name() {
        for origin in [Origin::FluxTui, Origin::A1111, Origin::ComfyUi] {
            assert_eq!(Origin::of_name(origin.name()), origin);
            assert_eq!(serde_json::to_value(origin).expect("a word"), origin.name());
        }
    }
}
