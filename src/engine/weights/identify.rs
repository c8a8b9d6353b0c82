//! What a file is, from its header alone: names, shapes and types, never its own name.

use std::collections::BTreeMap;
use std::path::Path;

use super::dtype::Dtype;
use super::error::WeightsError;
use super::files::Files;
use super::names::{self, Part};
use super::{Weights, complete};
use crate::engine::converted::converted_from;
use crate::engine::dit::config::Config;
use crate::engine::latent;
use crate::model::{Parts, Source};

/// What a file, or a folder, is.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Of which kind.
    pub kind: Kind,
    /// The parts of a FLUX.1 model that are in it.
    pub parts: Vec<Found>,
    /// Bytes of tensors by type, most first.
    pub precision: Vec<(String, u64)>,
    /// Whether fp8 weights have scales beside them.
    pub scaled: bool,
    /// The type that a transformer's blocks had before this program converted them.
    pub converted_from: Option<Dtype>,
}

/// Kinds of files.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// It has a transformer.
    Transformer {
        /// Which.
        variant: Variant,
        /// Its size.
        config: Config,
    },
    /// A transformer without the layers at its ends, which another can give it: why it is not whole.
    Blocks(String),
    /// A transformer whose size cannot be told, or with something missing.
    Incomplete(String),
    /// Other parts of a model, and no transformer.
    Parts,
    /// A low-rank change of a model, in whose names.
    Lora(&'static str),
    /// A model that is known by name.
    Other(String),
    /// None of these. The name of its first tensor.
    Unknown(Option<String>),
}

/// What a FLUX.1 transformer was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Text to picture, guidance embedded.
    Dev,
    /// Text to picture in a few steps, without guidance.
    Schnell,
    /// Changes a picture. Its tensors are dev's: only what the header says beside them tells.
    Kontext,
    /// Follows a map of depth or of edges.
    DepthCanny,
    /// Fills a part of a picture.
    Fill,
    /// Takes latents of so many channels, which no known one does.
    Unknown(usize),
}

/// A part that is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub part: Part,
    /// Whose names it has.
    pub form: &'static str,
    /// Bytes of its tensors.
    pub bytes: u64,
    /// Bytes that its weights take on the CPU, where a transformer's and T5's stay as they are if they are quantised or
    /// many ([`Weights::stay_stored`]) and all others become fp32.
    pub on_cpu: u64,
    /// … and on a card, where a transformer's fp8 and quantised ones stay so and all others become bf16.
    pub on_card: u64,
}

impl Variant {
    fn of(config: &Config, metadata: &BTreeMap<String, String>) -> Self {
        // Of what else is written there, a training's whole log for one, nothing says what the model is.
        let told = |key: &str| key.starts_with("modelspec.") || key == "general.name";
        let spec = |(key, value): (&String, &String)| told(key).then(|| value.to_lowercase());
        let says = |word: &str| metadata.iter().filter_map(spec).any(|value| value.contains(word));
        match (config.in_channels, config.guidance) {
            (64, true) if says("kontext") => Self::Kontext,
            (64, true) => Self::Dev,
            (64, false) => Self::Schnell,
            (128, _) => Self::DepthCanny,
            (384, _) => Self::Fill,
            (channels, _) => Self::Unknown(channels),
        }
    }

    /// In one word or two.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Schnell => "schnell",
            Self::Kontext => "Kontext",
            Self::DepthCanny => "Depth or Canny",
            Self::Fill => "Fill",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Why this program does not draw with it.
    ///
    /// # Errors
    /// The reason, if it does not.
    pub fn drawn(self) -> Result<(), String> {
        let needs = match self {
            Self::Dev | Self::Schnell => return Ok(()),
            Self::Kontext => "changes a picture that it is given".to_owned(),
            Self::DepthCanny => "follows a map of depth or of edges".to_owned(),
            Self::Fill => "fills a part of a picture that it is given".to_owned(),
            Self::Unknown(channels) => format!("takes latents of {channels} channels, where dev takes 64"),
        };
        Err(format!("a FLUX.1 transformer that {needs}: this program draws from text alone"))
    }
}

impl Identity {
    /// Why this program cannot draw with it.
    ///
    /// # Errors
    /// The reason, if it cannot.
    pub fn drawn(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Transformer { variant, .. } => variant.drawn(),
            Kind::Blocks(reason) | Kind::Incomplete(reason) => Err(reason.clone()),
            Kind::Parts => Err("it has no transformer".to_owned()),
            Kind::Lora(_) => Err("a LoRA changes a model and is none".to_owned()),
            Kind::Other(_) => Err("this program draws with FLUX.1".to_owned()),
            Kind::Unknown(_) => Err("it is no model that is known here".to_owned()),
        }
    }

    /// The parts that a picture needs and that are not in it.
    #[must_use]
    pub fn missing(&self) -> Vec<Part> {
        Part::ALL.into_iter().filter(|part| self.parts.iter().all(|found| found.part != *part)).collect()
    }
}

/// What a file or a folder is. Nothing but headers is read.
///
/// # Errors
/// When it is not a whole safetensors or GGUF file.
pub fn identify(path: &Path) -> Result<Identity, WeightsError> {
    identify_source(&Source::File(path.to_owned()))
}

/// The same of weights that may be in the program itself.
///
/// # Errors
/// As [`identify`].
pub fn identify_source(source: &Source) -> Result<Identity, WeightsError> {
    let has = |part: &Part| match source {
        Source::File(path) => path.is_dir() && path.join(part.folder()).is_dir(),
        Source::Embedded { .. } => false,
    };
    if Part::ALL.iter().any(has) {
        let parts = Part::ALL
            .into_iter()
            .filter(has)
            .map(|part| Ok((part, Weights::open_part(source, part)?)))
            .collect::<Result<Vec<_>, WeightsError>>()?;
        return Ok(of_parts(parts));
    }
    let files = Files::open(source, None)?;
    let kind = if let Some(lora) = names::lora(&files.tensors) {
        Kind::Lora(lora)
    } else if let Some(other) = files.foreign() {
        Kind::Other(other)
    } else {
        let there = Part::ALL.into_iter().filter(|part| names::find(&files.tensors, *part).is_some());
        // The same files again, once for each part: they are mapped, and a header is read in a millisecond.
        let parts = there
            .map(|part| Ok((part, Weights::open_part(source, part)?)))
            .collect::<Result<Vec<_>, WeightsError>>();
        match parts {
            Ok(parts) if parts.is_empty() => Kind::Unknown(files.tensors.keys().next().cloned()),
            Ok(parts) => return Ok(of_parts(parts)),
            Err(error) => Kind::Incomplete(error.to_string()),
        }
    };
    let mut precision: BTreeMap<String, u64> = BTreeMap::new();
    for tensor in files.tensors.values() {
        *precision.entry(tensor.dtype.name()).or_default() += tensor.range.len() as u64;
    }
    let precision = sorted(precision);
    Ok(Identity { kind, parts: Vec::new(), precision, scaled: false, converted_from: None })
}

fn of_parts(parts: Vec<(Part, Weights)>) -> Identity {
    let mut precision: BTreeMap<String, u64> = BTreeMap::new();
    for (dtype, bytes) in parts.iter().flat_map(|(_, weights)| weights.bytes_by_dtype()) {
        *precision.entry(dtype.name()).or_default() += bytes;
    }
    let transformer = parts.iter().find(|(part, _)| *part == Part::Transformer);
    let kind = transformer.map_or(Kind::Parts, |(_, weights)| kind_of(weights));
    let converted_from = transformer.and_then(|(_, weights)| converted_from(weights));
    let scaled = parts.iter().any(|(_, weights)| weights.scaled());
    let parts = parts.iter().map(|(part, weights)| found(*part, weights)).collect();
    Identity { kind, parts, precision: sorted(precision), scaled, converted_from }
}

fn kind_of(weights: &Weights) -> Kind {
    if let Err(lacks) = complete::check(weights) {
        return Kind::Blocks(lacks.to_string());
    }
    let checked = Config::of(weights).and_then(|config| config.check(weights).map(|()| config));
    match checked {
        Ok(config) => Kind::Transformer { variant: Variant::of(&config, &weights.files.metadata), config },
        Err(error) => Kind::Incomplete(error.to_string()),
    }
}

fn found(part: Part, weights: &Weights) -> Found {
    let transformer = part == Part::Transformer;
    let kept = transformer || part == Part::T5;
    let large = weights.stay_stored();
    let on_cpu = |dtype: Dtype, values, bytes| match kept && (large || dtype.is_quantised()) {
        true => bytes,
        false => 4 * values,
    };
    let on_card = |dtype: Dtype, values, bytes| match dtype {
        Dtype::F8E4M3 if transformer => values,
        dtype if dtype.is_quantised() && transformer => bytes,
        _ => 2 * values,
    };
    Found {
        part,
        form: weights.form().unwrap_or_default(),
        bytes: weights.size(),
        on_cpu: weights.size_where(on_cpu),
        on_card: weights.size_where(on_card),
    }
}

fn sorted(totals: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut totals: Vec<_> = totals.into_iter().collect();
    totals.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    totals
}

/// That the parts of a model belong together: the transformer takes what the encoders give and gives what the VAE
/// takes, and is one that this program draws with.
///
/// # Errors
/// What does not fit, or the part that could not be opened.
pub fn fits(parts: &Parts) -> Result<(), String> {
    let open = |source: &Source, part: Part| {
        Weights::open_part(source, part).map_err(|error| format!("{source}: {error}"))
    };
    let transformer = Weights::open_transformer(&parts.transformer, parts.complete_from.as_ref())
        .map_err(|error| format!("{}: {error}", parts.transformer))?;
    let (t5, clip) = (open(&parts.t5, Part::T5)?, open(&parts.clip, Part::Clip)?);
    fit(&transformer, &t5, &clip, &open(&parts.vae, Part::Vae)?)
}

/// [`fits`], of parts that are open.
pub(in crate::engine) fn fit(
    transformer: &Weights,
    t5: &Weights,
    clip: &Weights,
    vae: &Weights,
) -> Result<(), String> {
    let said = |error: WeightsError| error.to_string();
    let config = Config::of(transformer).map_err(said)?;
    config.check(transformer).map_err(said)?;
    Variant::of(&config, &transformer.files.metadata).drawn()?;
    let t5 = t5.shape("encoder.final_layer_norm.weight").map_err(said)?;
    let clip = clip.shape("embeddings.token_embedding.weight").map_err(said)?;
    let vae = vae.shape("decoder.conv_in.weight").map_err(said)?;
    let widths = [
        ("T5's tokens of", t5.first(), config.context_dim),
        ("a vector from CLIP of", clip.get(1), config.vec_dim),
        ("latents in the VAE of", vae.get(1), latent::CHANNELS),
    ];
    for (what, there, wanted) in widths {
        if there != Some(&wanted) {
            let there = there.copied().unwrap_or_default();
            return Err(format!("the transformer wants {what} {wanted} channels, and there are {there}"));
        }
    }
    Ok(())
}
