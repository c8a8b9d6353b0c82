//! The engine: text encoders, transformer, sampler and VAE, on one device.
//!
//! The only user of candle and tokenizers. It is handed a model's [`Parts`] and a [`Brief`], and
//! tells an [`Observer`] how far it is. It knows nothing of queues, sockets or the library.

pub mod budget;
pub mod converted;
mod files;
pub mod latent;
pub mod lora;
pub mod loras;
mod pipeline;
mod placement;
mod preview;
pub mod resume;

#[cfg(feature = "cuda")]
pub mod cuda;
pub mod dit;
pub mod examine;
pub mod ops;
pub mod sample;
pub mod text;
pub mod vae;
mod watch;
pub mod weights;

pub use placement::{Forecast, describe, devices, foresee, held, identity, load, plan, plan_published};
pub use resume::{LatentValues, StepLatent};
pub use text::tokenize::{Counter, TokenizeError, let_go as let_tokenizers_go};

use std::path::PathBuf;

use crate::device::{Device, LoadOptions, Share};
use crate::job::{LoraHash, Prompt, Size, Span, Times, TokenCount, Unapplied};
use crate::model::ModelName;
use crate::usage::{Learned, Usage};

/// Where and how a model is loaded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// One of [`devices`].
    pub device: Device,
    /// What was asked for is had as it is, or not at all. On the CPU only the precision and LoRAs' merging matter.
    pub options: LoadOptions,
    /// The picture that a card's memory is planned for.
    pub picture: Planned,
    /// Whether to leave more of a card's memory free than usual: it has run out once.
    pub cautious: bool,
    /// What earlier pictures on the device taught. What is not known is tried or guessed.
    pub learned: Learned,
}

/// Of which size and steps pictures are expected. Larger ones are drawn where there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// How large.
    pub size: Size,
    /// Evaluations of the transformer.
    pub steps: u32,
    /// Bytes that its LoRAs take of a card ([`lora::footprint`]): about those of their files.
    pub loras: u64,
}

impl Planned {
    /// For a picture that is drawn from this.
    #[must_use]
    pub fn of(brief: &Brief) -> Self {
        let loras = brief.loras.iter().map(|file| lora::footprint(&file.path)).sum();
        Self { size: brief.size, steps: brief.steps, loras }
    }

    /// Whether whatever has room for these pictures has room for that one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.size.image_tokens() <= self.size.image_tokens()
            && other.steps <= self.steps
            && other.loras <= self.loras
    }
}

impl Default for Planned {
    /// 1024² in 20 steps.
    fn default() -> Self {
        Self { size: Size::new(1024, 1024).expect("both are on the grid"), steps: 20, loras: 0 }
    }
}

impl Placement {
    /// There and so, for pictures of the usual size.
    #[must_use]
    pub fn new(device: Device, options: LoadOptions) -> Self {
        Self { device, options, picture: Planned::default(), cautious: false, learned: Learned::default() }
    }

    /// The same for these pictures.
    #[must_use]
    pub fn for_pictures(self, picture: Planned) -> Self {
        Self { picture, ..self }
    }

    /// The same with what earlier pictures taught.
    #[must_use]
    pub fn knowing(self, learned: Learned) -> Self {
        Self { learned, ..self }
    }
}

/// What one picture is drawn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Brief {
    /// What to draw.
    pub prompt: Prompt,
    /// How large.
    pub size: Size,
    /// Evaluations of the transformer.
    pub steps: u32,
    /// The embedded guidance; ignored by models without the embedding.
    pub guidance: f32,
    /// The seed of the noise, as torch's CPU generator reads it.
    pub seed: u64,
    /// The LoRAs that are added, in order.
    pub loras: Vec<LoraFile>,
}

/// A LoRA of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraFile {
    /// What a person calls it, for messages.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Of its content: the file is read once for each.
    pub hash: LoraHash,
    /// How much of it is added.
    pub strength: f32,
    /// In which steps; the encoders read with it in any case.
    pub steps: Span,
}

impl Brief {
    /// Its LoRAs at a step, from 0: those that do not count in it have no strength.
    #[must_use]
    pub fn loras_at(&self, step: u32) -> Vec<LoraFile> {
        let at = |lora: &LoraFile| {
            let strength = if lora.steps.has(step, self.steps) { lora.strength } else { 0.0 };
            LoraFile { strength, ..lora.clone() }
        };
        self.loras.iter().map(at).collect()
    }
}

/// A picture, and what drawing it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// `3 · width · height` bytes, 8-bit RGB, rows from the top.
    pub rgb: Vec<u8>,
    /// What the encoders did not read.
    pub cuts: Vec<TokenCount>,
    /// Where the time went; `load` is what was still waited for of the model, which may arrive while it is drawn with.
    pub times: Times,
    /// What it took of a card, beside what was planned.
    pub usage: Option<Usage>,
    /// What of each LoRA belongs to no layer of the model.
    pub unapplied: Vec<Unapplied>,
}

/// How far the engine is.
#[derive(Debug)]
pub enum Report<'a> {
    /// Bytes of weights read, of all there are.
    Loading {
        /// Read.
        done: u64,
        /// In all.
        total: u64,
    },
    /// The text encoders begin.
    Encoding,
    /// A step of the sampler is done. The first of these comes before any step: with `step` 0, or with that which the
    /// picture is gone on with from.
    Step(Step<'a>),
    /// The VAE begins.
    Decoding,
}

/// The sampler after a step.
#[derive(Debug)]
pub struct Step<'a> {
    /// Steps done.
    pub step: u32,
    /// Steps in all.
    pub steps: u32,
    /// The noise level reached, 1 to 0.
    pub sigma: f32,
    /// How the picture looks by the model's linear preview: an estimate of the finished latent.
    pub preview: &'a dyn LatentPreview,
    /// Where the sampler is: what [`Draw::draw_from`] goes on from.
    pub latent: &'a dyn LatentValues,
}

/// A preview that is computed only if somebody wants it.
pub trait LatentPreview: std::fmt::Debug {
    /// Width and height: an eighth of the picture's.
    fn size(&self) -> (u32, u32);
    /// `3 · width · height` bytes, 8-bit RGB, rows from the top.
    fn rgb(&self) -> Vec<u8>;
}

/// Whoever follows a picture being drawn. It is called on a thread of the engine's pool.
pub trait Observer: Send {
    /// Called at each [`Report`]; must return soon.
    fn report(&mut self, report: Report<'_>);
    /// Asked before every block of the transformer, of T5 and the VAE on the CPU, and every part of a load; `true`
    /// ends the work with [`EngineError::Stopped`].
    fn wants_stop(&self) -> bool;
}

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The observer asked for it.
    #[error("stopped")]
    Stopped,
    /// A part of the model could not be read.
    #[error("{part} of {model} could not be loaded from {from}: {reason}")]
    Load {
        /// Which model.
        model: ModelName,
        /// Which part.
        part: &'static str,
        /// The file.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A LoRA that the model cannot be drawn with.
    #[error("the LoRA {name} ({from}) cannot be used: {reason}")]
    Lora {
        /// What a person calls it.
        name: String,
        /// The file.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A device or a precision that cannot be had: nothing falls back to another by itself.
    #[error("{model} cannot be drawn with {what}: {reason}")]
    Placement {
        /// Which model.
        model: ModelName,
        /// What was asked for: `device cuda:1`, `precision fp8`.
        what: String,
        /// Why not, and what would work.
        reason: String,
    },
    /// A card's memory does not suffice for what was begun, or is not what it was when the model was loaded: loading the
    /// model again, for a picture of this size, may help.
    #[error("{stage} failed: {reason}")]
    OutOfMemory {
        /// What was being done.
        stage: &'static str,
        /// What was wanted and what was there.
        reason: String,
    },
    /// The device is beyond repair for this process, as after an illegal address or when a card falls off the bus: another
    /// process may find it well.
    #[error("{stage} failed because the device did: {reason}")]
    Device {
        /// What was being done.
        stage: &'static str,
        /// What the driver said.
        reason: String,
    },
    /// The latent that a picture was to be gone on with from is not one of this picture.
    #[error("drawing cannot go on from step {step}: {reason}")]
    Resume {
        /// Steps that it says were done.
        step: u32,
        /// What does not fit.
        reason: String,
    },
    /// A computation failed: a bug, or no memory.
    #[error("{stage} failed: {source}")]
    Compute {
        /// What was being computed.
        stage: &'static str,
        /// What candle said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The picture came out as NaN or infinite.
    #[error("{stage} gave numbers that are not finite; the weights or the settings are unusable")]
    NotFinite {
        /// After what.
        stage: &'static str,
    },
}

/// Draws pictures with one model. The worker's engine thread owns one; tests own a scripted one.
pub trait Draw: Send {
    /// Draws one picture.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] when the observer wants it; otherwise what failed.
    fn draw(&mut self, brief: &Brief, observer: &mut dyn Observer) -> Result<Drawn, EngineError> {
        self.draw_from(brief, None, observer)
    }
    /// The same, going on from a latent that a [`Step`] of the same picture had, if there is one.
    ///
    /// # Errors
    /// [`EngineError::Resume`] when the latent does not fit the brief; otherwise as [`draw`](Self::draw).
    fn draw_from(
        &mut self,
        brief: &Brief,
        begun: Option<&StepLatent>,
        observer: &mut dyn Observer,
    ) -> Result<Drawn, EngineError>;
    /// What the numbers of a picture depend on besides its brief, on one line: weights, what computes, schedule. A
    /// latent is gone on with only where this is the same.
    fn numerics(&self, brief: &Brief) -> String;
    /// What computes, for a person: `fp32 from fp8 e4m3 weights`.
    fn precision(&self) -> String;
    /// Whether wide weights were rounded to fp8 as they were loaded, which [`converted`] ones would have spared.
    fn rounded(&self) -> bool {
        false
    }
    /// How the model is kept on a card, in a few words; `None` where there is nothing to divide.
    fn memory(&self) -> Option<String> {
        None
    }
    /// Who is to hold what of a card's memory while steps run; empty where there is nothing to divide.
    fn shares(&self) -> Vec<Share> {
        Vec::new()
    }

    /// Bytes of a card's memory that the LoRAs of the last picture hold beside the model.
    fn lora_bytes(&self) -> u64 {
        0
    }
}

impl From<candle_core::Error> for EngineError {
    /// The sampler's own arithmetic.
    fn from(error: candle_core::Error) -> Self {
        Self::Compute { stage: "sampling", source: Box::new(error) }
    }
}
