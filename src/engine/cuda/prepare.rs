//! What a model will take on a card, planned from the headers of its files before anything of it is there.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use sysinfo::System;

use super::error::{CudaError, Result};
use super::flux::origin::Origin;
use super::flux::precision::{self, Choice, Precision, Stored, asked};
use super::gpu::Gpu;
use super::pipeline::during;
use super::plan;
use super::prompts::T5_ON_HOST;
use super::synthetic;
use super::tally;
use super::text::{Clip, T5, clip, t5};
use super::vae::{Decoder, Widths};
use crate::device::{T5Choice, VramBudget};
use crate::engine::budget::{self, Encoder, Limits, Plan, Speed, Tile};
use crate::engine::dit::config::Config;
use crate::engine::files::Files;
use crate::engine::{EngineError, Placement, latent};
use crate::model::{ModelName, Parts, TextLimits};
use crate::usage::{CardPace, Learned};

/// What is left to the desktop where nobody has set a budget.
const MARGIN: u64 = 256 << 20;
/// What a step takes by what its products and its attention would at the card's ceilings: so many times that, for so many
/// tokens more than it has. The tokens stand for what does not depend on their number, the weights that are read and
/// widened above all. Measured on an H200 at 512² to 1024² (`benches/results/h200-*.json`): within 3 %.
fn over_ceilings(precision: Precision) -> (f64, usize) {
    match precision {
        Precision::Fp8 => (1.24, 220),
        Precision::Bf16 => (1.19, 0),
        Precision::Fp8Storage | Precision::Quantised(_) => (1.19, 500),
    }
}

/// A model before it is loaded.
#[derive(Debug)]
pub struct Prepared {
    /// The transformer's size.
    pub config: Config,
    /// What its blocks compute in, and why.
    pub choice: Choice,
    /// Whether T5 reads on the CPU.
    pub t5_on_host: bool,
    /// What may be held.
    pub limits: Limits,
    /// How fast bytes come and steps run.
    pub speed: Speed,
    /// How it is to be kept.
    pub plan: Plan,
    /// Bytes that are taken to be held besides the engine's own: the context, and what plans fell short by.
    pub outside: u64,
    /// How long pictures of any size are taken to compute.
    pub pace: Pace,
}

/// How long steps and decoding are taken to compute.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// What the card can do.
    pub card: CardPace,
    pub(super) learned: Learned,
    pub(super) precision: Precision,
    /// Tokens of text.
    pub(super) text: usize,
}

impl Pace {
    /// Seconds of a step with everything resident: what the step that was seen took, by the share of its work, or what
    /// the card's ceilings give.
    #[must_use]
    pub fn step(&self, config: &Config, image: usize) -> f64 {
        let CardPace { bf16, fp8, .. } = self.card;
        let by_ceilings = |image: usize| step_seconds(config, self.precision, image + self.text, (bf16, fp8));
        let seen = self.learned.step.map_or(1.0, |seen| seen.seconds / by_ceilings(seen.tokens));
        by_ceilings(image) * seen
    }

    /// Seconds of decoding in one piece, where it has been seen.
    fn decode(&self, image: usize) -> Option<f64> {
        self.learned.decode.map(|seen| seen.seconds * image as f64 / seen.tokens as f64)
    }

    /// For the planner.
    fn speed(&self, config: &Config, image: usize) -> Speed {
        let CardPace { pinned, mapped, .. } = self.card;
        let (step, decode) = (Some(self.step(config, image)), self.decode(image));
        let usual = plan::copying(pinned, mapped);
        Speed {
            step,
            decode,
            disk: self.learned.files.map_or(usual.disk, |files| files.min(pinned)),
            ..usual
        }
    }
}

/// What a plan is made from besides the card.
struct Facts<'a> {
    config: Config,
    origin: Origin<'a>,
    stored: Stored,
    t5: Encoder,
    clip: Encoder,
    /// Bytes of the VAE's weights, and the ways to decode.
    vae: (u64, Vec<Tile>),
}

impl<'a> Facts<'a> {
    /// From the headers of files.
    fn of_files(
        name: &ModelName,
        (files, parts): (&'a Files, &Parts),
        text: TextLimits,
        on: &Placement,
    ) -> std::result::Result<Self, EngineError> {
        let failed = |part, from| move |error: CudaError| Files::failed(name, part, from)(error);
        let config = Config::of(&files.transformer)
            .map_err(|error| failed("the transformer", &parts.transformer)(error.into()))?;
        let t5 = match on.options.t5 {
            T5Choice::Cpu => T5_ON_HOST,
            _ => T5::sizes_of(&parts.t5_config, text.t5).map_err(failed("the T5 encoder", &parts.t5))?,
        };
        let clip =
            Clip::sizes_of(&parts.clip_config, text.clip).map_err(failed("the CLIP encoder", &parts.clip))?;
        let grid = latent::grid(on.picture.size);
        let vae = Decoder::sizes_of(&files.vae, grid).map_err(failed("the VAE", &parts.vae))?;
        let origin = Origin::File(&files.transformer);
        Ok(Self { config, origin, stored: Stored::of(&origin), t5, clip, vae })
    }

    /// FLUX.1's own, of files that are not here. In fp8: published bf16 becomes that too.
    fn published(guidance: bool, text: TextLimits, on: &Placement) -> Result<Self> {
        let config = Config { guidance, ..Config::flux1_dev() };
        let t5 = match on.options.t5 {
            T5Choice::Cpu => T5_ON_HOST,
            _ => T5::sizes(&t5::Config::xxl(), text.t5),
        };
        let clip = Clip::sizes(&clip::Config::large(), text.clip);
        let vae = Decoder::sizes(&Widths::flux(), latent::grid(on.picture.size))?;
        Ok(Self { config, origin: Origin::Random(0), stored: Stored::FP8, t5, clip, vae })
    }
}

impl Prepared {
    /// Plans for the pictures that `on` names.
    ///
    /// # Errors
    /// [`EngineError::Load`] names the part, the file and what is wrong; [`EngineError::Placement`] when it cannot be
    /// drawn within the budget, and what could.
    pub(in crate::engine) fn new(
        gpu: &Arc<Gpu>,
        name: &ModelName,
        (files, parts): (&Files, &Parts),
        text: TextLimits,
        on: &Placement,
    ) -> std::result::Result<Self, EngineError> {
        let on_card = Files::failed(name, "the transformer", &parts.transformer);
        Self::of(gpu, name, Facts::of_files(name, (files, parts), text, on)?, text, on, on_card)
    }

    /// Plans a model of FLUX.1's own size whose files are not here.
    ///
    /// # Errors
    /// [`EngineError::Placement`], as [`Prepared::new`].
    pub(in crate::engine) fn published(
        gpu: &Arc<Gpu>,
        name: &ModelName,
        guidance: bool,
        text: TextLimits,
        on: &Placement,
    ) -> std::result::Result<Self, EngineError> {
        let facts = Facts::published(guidance, text, on).map_err(during("planning"))?;
        Self::of(gpu, name, facts, text, on, during("planning"))
    }

    fn of(
        gpu: &Arc<Gpu>,
        name: &ModelName,
        facts: Facts<'_>,
        text: TextLimits,
        on: &Placement,
        failed: impl Fn(CudaError) -> EngineError,
    ) -> std::result::Result<Self, EngineError> {
        gpu.bind().map_err(&failed)?;
        let Facts { config, origin, stored, t5, clip, vae: (vae, tiles) } = facts;
        let choice = precision::choose(asked(on.options.precision), gpu.card(), stored).map_err(&failed)?;
        let text = text.t5;
        let model = plan::Model { config: &config, precision: choice.precision, origin, text, t5, clip, vae };
        let context = on.learned.context.unwrap_or(plan::CONTEXT);
        let outside = context + on.learned.short;
        let sizes = model.sizes(on.picture, tiles, outside);
        let limits = limits(gpu, on, context).map_err(&failed)?;
        let card = on.learned.card.map_or_else(|| pace(gpu), Ok).map_err(&failed)?;
        let pace = Pace { card, learned: on.learned, precision: choice.precision, text };
        let speed = pace.speed(&config, on.picture.size.image_tokens());
        let plan = budget::plan(&sizes, &speed, limits).map_err(|none| EngineError::Placement {
            model: name.clone(),
            what: format!("precision {}", choice.precision.name()),
            reason: none.to_string(),
        })?;
        tracing::debug!(?plan, "planned");
        let t5_on_host = on.options.t5 == T5Choice::Cpu;
        Ok(Self { config, choice, t5_on_host, limits, speed, plan, outside, pace })
    }
}

fn limits(gpu: &Gpu, on: &Placement, context: u64) -> Result<Limits> {
    let (before, _) = gpu.free_and_total()?;
    // Of this process too: what is loaded makes room, wherever the plan is made.
    let held: u64 = tally::held(gpu.card().ordinal).iter().map(|share| share.bytes).sum();
    let free = (before + held + context).saturating_sub(MARGIN);
    // It has run out once: of memory that others took meanwhile, or by more than was planned for.
    let free = if on.cautious { free / 10 * 9 } else { free };
    let budget = on.options.vram_budget.map_or(u64::MAX, |VramBudget(bytes)| bytes);
    Ok(Limits { budget, free, host: host_memory() })
}

/// Says how much host memory may be pinned: `4GB`.
const HOST_MEMORY: &str = "FLUX_TUI_HOST_MEMORY";

/// Host memory that could be pinned: what a person has said, or what is available, the page cache included, less what the
/// system and its programs will want meanwhile; within a container, what it is allowed.
fn host_memory() -> u64 {
    const LEFT: u64 = 2 << 30;
    match std::env::var(HOST_MEMORY).map(|said| said.parse::<VramBudget>()) {
        Ok(Ok(VramBudget(bytes))) => return bytes,
        Ok(Err(error)) => tracing::warn!(%error, "{HOST_MEMORY} is passed over"),
        Err(_) => {}
    }
    let mut system = System::new();
    system.refresh_memory();
    let allowed = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(allowed).saturating_sub(LEFT)
}

/// Seconds that a step of so many tokens, text and image, is taken to compute on a card of these TFLOP/s in bf16 and
/// fp8.
#[must_use]
pub fn step_seconds(
    config: &Config,
    precision: Precision,
    tokens: usize,
    (bf16, fp8): (f64, Option<f64>),
) -> f64 {
    let (products, attention) = config.flop(tokens);
    let (times, more) = over_ceilings(precision);
    let rate = if precision == Precision::Fp8 { fp8.unwrap_or(bf16) } else { bf16 };
    let of_more = products / tokens.max(1) as f64 * more as f64;
    (times * (products / rate + attention / bf16) + of_more / rate) / 1e12
}

/// How fast a card is, where nobody has kept it; tried once a process.
fn pace(gpu: &Arc<Gpu>) -> Result<CardPace> {
    static KNOWN: LazyLock<Mutex<HashMap<u32, CardPace>>> = LazyLock::new(Mutex::default);
    // Nothing panics while it is held. Two cards' threads wait for one another here, once.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pace) = known.get(&gpu.card().ordinal) {
        return Ok(*pace);
    }
    let (bf16, fp8) = synthetic::ceilings(gpu)?;
    let (pinned, mapped) = plan::try_copies(gpu)?;
    let found = CardPace { bf16, fp8, pinned, mapped };
    known.insert(gpu.card().ordinal, found);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_foreseen_from_the_ceilings_within_4_percent() {
        // Milliseconds on an H200 and its TFLOP/s then: `benches/results/h200-fp8.json` and its neighbours.
        let tokens = [1536, 2048, 2816, 4608];
        for (precision, file) in [
            (Precision::Fp8, include_str!("../../../benches/results/h200-fp8.json")),
            (Precision::Bf16, include_str!("../../../benches/results/h200-bf16.json")),
            (Precision::Fp8Storage, include_str!("../../../benches/results/h200-fp8-storage.json")),
        ] {
            let told: serde_json::Value = serde_json::from_str(file).expect("it is JSON");
            let rates = (told["bf16_ceiling"].as_f64().expect("a rate"), told["fp8_ceiling"].as_f64());
            for (tokens, size) in tokens.into_iter().zip(told["sizes"].as_array().expect("sizes")) {
                assert_eq!(size["tokens"], tokens);
                let measured = size["step"]["median"].as_f64().expect("a time") / 1e3;
                let foreseen = step_seconds(&Config::flux1_dev(), precision, tokens, rates);
                let off = foreseen / measured - 1.0;
                assert!(off.abs() < 0.04, "{} at {tokens} tokens: {off:+.3}", precision.name());
            }
        }
    }
}
