//! Why a job cannot be: the field, the value, and what would work.

use super::template::{CHOICES_MAX, DEPTH_MAX};
use super::{
    COUNT_MAX, GUIDANCE_MAX, LORAS_MAX, PROMPT_BYTES, RATING_MAX, SEARCH_BYTES, SEARCH_WORDS, SIZE_MAX,
    SIZE_MULTIPLE, STEPS_MAX, STRENGTH_MAX, TAG_BYTES, TAGS_MAX, WILDCARDS_BYTES, WILDCARDS_MAX,
};

/// Why a value cannot be part of a job: the field, the value, and what would work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JobError {
    /// Nothing but white space.
    #[error("the prompt is empty: type what to draw")]
    EmptyPrompt,
    /// Longer than [`PROMPT_BYTES`].
    #[error("the prompt has {bytes} bytes; at most {PROMPT_BYTES} are accepted")]
    LongPrompt {
        /// Its length.
        bytes: usize,
    },
    /// A width or height outside its range or off the grid.
    #[error(
        "{side} {value} cannot be drawn: it must be a multiple of {SIZE_MULTIPLE} from \
         {SIZE_MULTIPLE} to {SIZE_MAX}; the nearest is {nearest}"
    )]
    Size {
        /// `width` or `height`.
        side: &'static str,
        /// What was asked.
        value: u32,
        /// The nearest value that works.
        nearest: u32,
    },
    /// Not a shape.
    #[error("{0:?} is no ratio: two whole numbers from 1 to 100 are, as in 3:2")]
    Ratio(String),
    /// Too few of them, or too many.
    #[error("{0} megapixels cannot be drawn: 0.01 to 4 can, 1 being 1024×1024")]
    Megapixels(String),
    /// No steps, or too many.
    #[error("steps {0} is out of range: 1 to {STEPS_MAX}")]
    Steps(u32),
    /// Not a finite number from 0 to [`GUIDANCE_MAX`].
    #[error("guidance {0} is out of range: 0 to {GUIDANCE_MAX}")]
    Guidance(f32),
    /// No pictures, or too many.
    #[error("count {0} is out of range: 1 to {COUNT_MAX}")]
    Count(u32),
    /// Not a whole number from 0 to 2⁶⁴−1, nor -1.
    #[error("seed {0:?} is not a whole number from 0 to {max}, nor -1 for a random one", max = u64::MAX)]
    Seed(String),
    /// A tag in the prompt that is like one of a LoRA.
    #[error("the prompt's {tag:?} is no tag of a LoRA: {reason}")]
    LoraTag {
        /// The tag.
        tag: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing but tags.
    #[error("the prompt has only tags of LoRAs: type also what to draw")]
    OnlyTags,
    /// No name, or too long a one.
    #[error("{0:?} names no LoRA: give its name or its file")]
    LoraName(String),
    /// Not a number from -[`STRENGTH_MAX`] to [`STRENGTH_MAX`].
    #[error(
        "the LoRA {name} cannot have strength {strength}: -{STRENGTH_MAX} to {STRENGTH_MAX}; 1 is usual, 0 is none"
    )]
    LoraStrength {
        /// Which.
        name: String,
        /// What was asked.
        strength: f32,
    },
    /// Steps that are none.
    #[error("{0:?} are no steps for a LoRA: two whole numbers from 0 to 100 are, as in 0-60%")]
    LoraSpan(String),
    /// Too many.
    #[error("{0} LoRAs are more than a picture can have: {LORAS_MAX}")]
    Loras(usize),
    /// Not SHA-256 in lower case.
    #[error("{0:?} is not the hash of a LoRA: 64 hexadecimal digits")]
    LoraHash(String),
    /// Not a whole number from 0 to [`RATING_MAX`].
    #[error("{0:?} is no rating: it is 0 to {RATING_MAX}, and 0 is none")]
    Rating(String),
    /// Not a tag.
    #[error("{0:?} is no tag: a tag is a word or a few, without commas, at most {TAG_BYTES} bytes")]
    Tag(String),
    /// Too many of them.
    #[error("a picture can have {TAGS_MAX} tags, not {0}")]
    Tags(usize),
    /// Too much to search for.
    #[error(
        "{words} words in {bytes} bytes are too much to search for: {SEARCH_WORDS} words in {SEARCH_BYTES} bytes"
    )]
    Search {
        /// Its length.
        bytes: usize,
        /// Its words.
        words: usize,
    },
    /// More choices within choices than are followed.
    #[error(
        "the prompt's choices lie deeper than {DEPTH_MAX} in one another: {{a|b}} within {{a|b}} and so on"
    )]
    DeepTemplate,
    /// Too many choices for one picture.
    #[error("the prompt has more than {CHOICES_MAX} choices for one picture")]
    ManyChoices,
    /// Choices that may leave nothing.
    #[error("some choice in the prompt leaves nothing to draw: {{a|}} alone may be empty")]
    BlankTemplate,
    /// A wildcard whose lines did not come along.
    #[error(
        "the lines of the wildcard __{0}__ are not known to this job: ask for it again where its file is"
    )]
    NoWildcard(String),
    /// A wildcard without lines.
    #[error(
        "the wildcard __{0}__ has no lines: each line of its file is one, but for those that begin with #"
    )]
    EmptyWildcard(String),
    /// Wildcards that name one another in a ring.
    #[error("the lines of the wildcard __{0}__ lead back to itself")]
    WildcardRing(String),
    /// Too many wildcards, or too much in them.
    #[error(
        "{count} wildcards with {bytes} bytes are more than go along with a job: {WILDCARDS_MAX} with {WILDCARDS_BYTES}"
    )]
    Wildcards {
        /// How many.
        count: usize,
        /// Bytes of their lines.
        bytes: usize,
    },
    /// Not SHA-256 in hexadecimal.
    #[error("{0:?} is not the hash of a file: 64 hexadecimal digits")]
    ContentHash(String),
}
