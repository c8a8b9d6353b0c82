//! What a picture is expected to take of a card, and what it took: [`Usage`], from which later plans learn.

use super::prepare::{Pace, Prepared};
use crate::engine::Planned;
use crate::engine::budget::{Plan, Tile, granted};
use crate::engine::dit::config::Config;
use crate::usage::{Foreseen, Usage};

/// Copies that take less of a step than this do not hold it up.
const HIDDEN: f64 = 0.9;

/// What a loaded model's pictures are expected to take.
#[derive(Debug, Clone)]
pub struct Foresight {
    /// What the model was planned for.
    planned: Planned,
    plan: Plan,
    /// Bytes held besides the engine's own.
    outside: u64,
    pace: Pace,
}

/// Bytes that the stages of a picture take besides what is held between pictures.
#[derive(Debug, Clone, Copy)]
pub struct Stages {
    /// Text, rotations, tables.
    pub conditions: u64,
    /// The activations of a step.
    pub workspace: u64,
    /// The finished latent, and the activations of the VAE.
    pub decode: [u64; 2],
}

/// What was seen while a picture was drawn.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Bytes held at most, the context aside.
    pub peak: u64,
    /// Bytes held between pictures.
    pub held: u64,
    /// Seconds of each step.
    pub steps: &'a [f64],
    /// Seconds of decoding.
    pub decode: f64,
    /// How it was decoded.
    pub tile: Tile,
}

impl Foresight {
    /// Of a model that was prepared for these pictures.
    #[must_use]
    pub fn new(prepared: &Prepared, planned: Planned) -> Self {
        let Prepared { plan, outside, pace, .. } = prepared;
        Self { planned, plan: plan.clone(), outside: *outside, pace: *pace }
    }

    /// Bytes that are taken to be held besides the engine's own.
    #[must_use]
    pub fn outside(&self) -> u64 {
        self.outside
    }

    /// What a picture will take: as planned, if it is one that the model was planned for. `held` are the engine's own
    /// bytes before it; `anew` says that its prompt is to be read.
    #[must_use]
    pub fn of(&self, config: &Config, picture: Planned, anew: bool, held: u64, stages: Stages) -> Foreseen {
        let Self { planned, plan, outside, pace } = self;
        let peaks = plan.peaks;
        let encode = if anew { peaks.encode } else { 0 };
        if picture == *planned {
            let peak = encode.max(peaks.condition).max(peaks.denoise).max(peaks.decode);
            return Foreseen { peak, context: *outside, step: plan.step };
        }
        let [latent, activations] = stages.decode.map(granted);
        let denoise = granted(stages.conditions) + granted(stages.workspace);
        let peak = encode.max(outside + held + denoise.max(latent + activations));
        let step = pace.step(config, picture.size.image_tokens()).max(self.copying());
        Foreseen { peak, context: *outside, step }
    }

    /// Seconds that a step's copies take.
    fn copying(&self) -> f64 {
        self.plan.streamed_bytes as f64 / self.pace.card.pinned
    }

    /// What it took.
    #[must_use]
    pub fn usage(&self, foreseen: Foreseen, seen: Seen<'_>) -> Usage {
        let Seen { peak, held, steps, decode, tile } = seen;
        // The first also waits for what is made at its first use.
        let step = median(steps.get(1..).unwrap_or_default());
        let compute = step.filter(|step| self.copying() < HIDDEN * step);
        let decode = if tile.is_on_host() { 0.0 } else { decode / tile.work };
        Usage { foreseen, peak, held, step, compute, decode, card: self.pace.card }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_none_is_none() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    }
}
