//! What is asked and what came of it: a [`Job`], how it stands, and the [`Picture`]s drawn for it.
//!
//! Every field is validated when it is built and again when it is decoded, so whoever holds a
//! `Job` holds a drawable one. Nothing here does I/O.

mod content;
pub mod costs;
mod error;
mod found;
pub mod grid;
mod lora;
mod lora_facts;
mod picture;
mod query;
pub mod shape;
mod span;
pub mod template;
mod tokens;
mod wildcards;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::device::{DeviceChoice, LoadOptions};
use crate::model::ModelName;
pub use content::{Content, prompt_key};
pub use error::JobError;
pub use found::{Adoption, Disorder, FileRecord, FoundPicture, Purpose, Rebuilt};
pub use lora::{LORAS_MAX, LoraChoice, LoraHash, STRENGTH_MAX, Tagged, Unapplied, UsedLora, check_loras};
pub use lora_facts::LoraFacts;
pub use picture::{
    MarkChange, Marks, Origin, Picture, PictureChange, RATING_MAX, Rating, TAG_BYTES, TAGS_MAX, Tag,
};
pub use query::{
    DrawnPrompt, LastDrawn, PictureQuery, PromptQuery, SEARCH_BYTES, SEARCH_WORDS, SearchText, TriedSeed,
};
pub use span::Span;
pub use tokens::{Encoder, TokenCount};
pub use wildcards::{WILDCARDS_BYTES, WILDCARDS_MAX, Wildcards};

/// The longest prompt accepted, in bytes. The encoders read a few hundred tokens of it.
pub const PROMPT_BYTES: usize = 1 << 20;
/// Width and height are multiples of this: 8 for the VAE times 2 for the transformer's patches.
pub const SIZE_MULTIPLE: u32 = 16;
/// The largest width or height.
pub const SIZE_MAX: u32 = 2048;
/// The most steps.
pub const STEPS_MAX: u32 = 200;
/// The largest guidance.
pub const GUIDANCE_MAX: f32 = 100.0;
/// The most pictures of one job.
pub const COUNT_MAX: u32 = 1000;

/// A prompt: some text that is not only white space, at most [`PROMPT_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prompt(String);

impl Prompt {
    /// # Errors
    /// [`JobError::EmptyPrompt`] or [`JobError::LongPrompt`].
    pub fn new(text: impl Into<String>) -> Result<Self, JobError> {
        let text = text.into();
        if text.trim().is_empty() {
            return Err(JobError::EmptyPrompt);
        }
        if text.len() > PROMPT_BYTES {
            return Err(JobError::LongPrompt { bytes: text.len() });
        }
        Ok(Self(text))
    }

    /// The text as it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Prompt {
    type Error = JobError;
    fn try_from(text: String) -> Result<Self, JobError> {
        Self::new(text)
    }
}

impl From<Prompt> for String {
    fn from(prompt: Prompt) -> Self {
        prompt.0
    }
}

/// Width and height of a picture in pixels, each a multiple of [`SIZE_MULTIPLE`] up to [`SIZE_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct Size {
    width: u32,
    height: u32,
}

impl Size {
    /// # Errors
    /// [`JobError::Size`] names the side that cannot be drawn and the nearest that can.
    pub fn new(width: u32, height: u32) -> Result<Self, JobError> {
        for (side, value) in [("width", width), ("height", height)] {
            let nearest = Self::nearest(value);
            if value != nearest {
                return Err(JobError::Size { side, value, nearest });
            }
        }
        Ok(Self { width, height })
    }

    /// The nearest width or height that can be drawn.
    #[must_use]
    pub fn nearest(value: u32) -> u32 {
        let value = value.clamp(SIZE_MULTIPLE, SIZE_MAX);
        (value + SIZE_MULTIPLE / 2) / SIZE_MULTIPLE * SIZE_MULTIPLE
    }

    /// Pixels across.
    #[must_use]
    pub fn width(self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub fn height(self) -> u32 {
        self.height
    }

    /// Tokens the transformer sees: one for each 16×16 pixels.
    #[must_use]
    pub fn image_tokens(self) -> usize {
        (self.width / SIZE_MULTIPLE) as usize * (self.height / SIZE_MULTIPLE) as usize
    }
}

impl TryFrom<(u32, u32)> for Size {
    type Error = JobError;
    fn try_from((width, height): (u32, u32)) -> Result<Self, JobError> {
        Self::new(width, height)
    }
}

impl From<Size> for (u32, u32) {
    fn from(size: Size) -> Self {
        (size.width, size.height)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.width, self.height)
    }
}

/// Which seed a job starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Seed {
    /// Drawn when the job is accepted, and shown from then on. Typed as `-1`.
    Random,
    /// This one. torch's CPU generator, which the noise follows, reads its low 32 bits.
    Fixed(u64),
}

impl std::str::FromStr for Seed {
    type Err = JobError;
    fn from_str(text: &str) -> Result<Self, JobError> {
        match text.trim() {
            "-1" => Ok(Self::Random),
            text => text.parse().map(Self::Fixed).map_err(|_| JobError::Seed(text.to_owned())),
        }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("-1"),
            Self::Fixed(seed) => write!(f, "{seed}"),
        }
    }
}

/// A request for one or more pictures.
///
/// Picture `i` of a job whose first seed is `s` is drawn with seed `s + i` (wrapping).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawJob")]
pub struct Job {
    /// What to draw.
    pub prompt: Prompt,
    /// With which model.
    pub model: ModelName,
    /// How large.
    pub size: Size,
    steps: u32,
    guidance: f32,
    /// From which noise.
    pub seed: Seed,
    count: u32,
    /// Where.
    pub device: DeviceChoice,
    /// From a model that is loaded so.
    pub load: LoadOptions,
    loras: Vec<LoraChoice>,
    wildcards: Wildcards,
    /// The picture that it is iterated from, if it is from one.
    pub parent: Option<PictureId>,
    /// The cell of a grid that it is drawn for, if it is for one; the worker's to say.
    pub cell: Option<grid::GridCell>,
}

/// A job as it is decoded, before it is checked.
#[derive(Deserialize)]
struct RawJob {
    prompt: Prompt,
    model: ModelName,
    size: Size,
    steps: u32,
    guidance: f32,
    seed: Seed,
    count: u32,
    #[serde(default)]
    device: DeviceChoice,
    #[serde(default)]
    load: LoadOptions,
    #[serde(default)]
    loras: Vec<LoraChoice>,
    #[serde(default)]
    wildcards: Wildcards,
    #[serde(default)]
    parent: Option<PictureId>,
    #[serde(default)]
    cell: Option<grid::GridCell>,
}

impl TryFrom<RawJob> for Job {
    type Error = JobError;
    fn try_from(raw: RawJob) -> Result<Self, JobError> {
        let job = Self::new(raw.prompt, raw.model, raw.size, raw.steps, raw.guidance, raw.seed, raw.count)?;
        let job = job.placed(raw.device, raw.load).iterated_from(raw.parent).with_wildcards(raw.wildcards);
        job.of_cell(raw.cell).with_loras(raw.loras)
    }
}

impl Job {
    /// A job for whichever device and precision suit, within the memory that is free; see [`Self::placed`].
    ///
    /// # Errors
    /// The first field whose value cannot be drawn.
    pub fn new(
        prompt: Prompt,
        model: ModelName,
        size: Size,
        steps: u32,
        guidance: f32,
        seed: Seed,
        count: u32,
    ) -> Result<Self, JobError> {
        check_steps(steps)?;
        check_guidance(guidance)?;
        check_count(count)?;
        check_tags(&prompt)?;
        let (device, load, loras) = (DeviceChoice::default(), LoadOptions::default(), Vec::new());
        let (wildcards, parent, cell) = (Wildcards::default(), None, None);
        Ok(Self {
            prompt,
            model,
            size,
            steps,
            guidance,
            seed,
            count,
            device,
            load,
            loras,
            wildcards,
            parent,
            cell,
        })
    }

    /// The same with these LoRAs beside those that the prompt's tags name.
    ///
    /// # Errors
    /// [`JobError::Loras`] when they are too many together.
    pub fn with_loras(self, loras: Vec<LoraChoice>) -> Result<Self, JobError> {
        check_loras(loras.len() + self.tagged().loras.len())?;
        Ok(Self { loras, ..self })
    }

    /// The LoRAs beside those of the prompt's tags.
    #[must_use]
    pub fn loras(&self) -> &[LoraChoice] {
        &self.loras
    }

    /// The same with the lines of its prompt's wildcards.
    #[must_use]
    pub fn with_wildcards(self, wildcards: Wildcards) -> Self {
        Self { wildcards, ..self }
    }

    /// The lines of its prompt's wildcards.
    #[must_use]
    pub fn wildcards(&self) -> &Wildcards {
        &self.wildcards
    }

    /// The prompt with its tags taken out, and the LoRAs that they name.
    #[must_use]
    pub fn tagged(&self) -> Tagged {
        Tagged::read(self.prompt.as_str()).unwrap_or_default()
    }

    /// The same, there and from a model that is loaded so.
    #[must_use]
    pub fn placed(self, device: DeviceChoice, load: impl Into<LoadOptions>) -> Self {
        Self { device, load: load.into(), ..self }
    }

    /// The same, iterated from this picture.
    #[must_use]
    pub fn iterated_from(self, parent: Option<PictureId>) -> Self {
        Self { parent, ..self }
    }

    /// The same, drawn for this cell of a grid.
    #[must_use]
    pub fn of_cell(self, cell: Option<grid::GridCell>) -> Self {
        Self { cell, ..self }
    }

    /// The same, from this seed.
    #[must_use]
    pub fn seeded(&self, seed: u64) -> Self {
        Self { seed: Seed::Fixed(seed), ..self.clone() }
    }

    /// Evaluations of the transformer, 1 to [`STEPS_MAX`].
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The guidance that is embedded, 0 to [`GUIDANCE_MAX`]. Models without the embedding ignore it.
    #[must_use]
    pub fn guidance(&self) -> f32 {
        self.guidance
    }

    /// Pictures asked for, 1 to [`COUNT_MAX`].
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }
}

/// Whether a prompt's tags can be understood, and leave something to draw.
///
/// # Errors
/// [`JobError::LoraTag`] and what else is wrong with one; [`JobError::Loras`], [`JobError::OnlyTags`].
pub fn check_tags(prompt: &Prompt) -> Result<(), JobError> {
    let tagged = Tagged::read(prompt.as_str())?;
    check_loras(tagged.loras.len())?;
    if tagged.text.trim().is_empty() { Err(JobError::OnlyTags) } else { Ok(()) }
}

/// # Errors
/// [`JobError::Steps`] outside 1 to [`STEPS_MAX`].
pub fn check_steps(steps: u32) -> Result<u32, JobError> {
    if (1..=STEPS_MAX).contains(&steps) { Ok(steps) } else { Err(JobError::Steps(steps)) }
}

/// # Errors
/// [`JobError::Guidance`] outside 0 to [`GUIDANCE_MAX`], NaN included.
pub fn check_guidance(guidance: f32) -> Result<f32, JobError> {
    if (0.0..=GUIDANCE_MAX).contains(&guidance) { Ok(guidance) } else { Err(JobError::Guidance(guidance)) }
}

/// # Errors
/// [`JobError::Count`] outside 1 to [`COUNT_MAX`].
pub fn check_count(count: u32) -> Result<u32, JobError> {
    if (1..=COUNT_MAX).contains(&count) { Ok(count) } else { Err(JobError::Count(count)) }
}

/// A job's number in the library, given when it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// A picture's number in the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PictureId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PictureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its number.
    pub id: JobId,
    /// What was asked.
    pub job: Job,
    /// The seed of its first picture: drawn when it was accepted, if it was random.
    pub first_seed: u64,
    /// How far it is.
    pub state: JobState,
    /// Pictures finished.
    pub done: u32,
    /// When it was accepted, in milliseconds since 1970 (UTC).
    pub accepted_at: i64,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// Waiting.
    Queued,
    /// Being drawn.
    Running,
    /// All its pictures are in the library.
    Done,
    /// Given up.
    Failed {
        /// What went wrong, with what and what would work.
        reason: String,
    },
    /// Taken back by a person.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen to the job.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// Where the time of one picture went, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Reading the model; zero when it was loaded already.
    pub load: f64,
    /// Both text encoders.
    pub encode: f64,
    /// All steps of the transformer.
    pub denoise: f64,
    /// The VAE.
    pub decode: f64,
}

/// All that is needed to draw one picture again, and what drawing it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The whole prompt that it was drawn from.
    pub prompt: Prompt,
    /// The prompt as it was written, where that has choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Prompt>,
    /// The model's name.
    pub model: ModelName,
    /// Width and height.
    pub size: Size,
    /// Evaluations of the transformer.
    pub steps: u32,
    /// The embedded guidance.
    pub guidance: f32,
    /// The seed of the noise.
    pub seed: u64,
    /// What computed it, for a person: `fp32 from fp8 e4m3 weights, CPU`.
    pub precision: String,
    /// What the encoders did not read; empty when they read all.
    pub cuts: Vec<TokenCount>,
    /// Where the time went.
    pub times: Times,
    /// The LoRAs, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<UsedLora>,
}
