//! What a picture is expected to take of a card, and what it took: [`Usage`], from which later plans learn.

use super::prepare::{Pace, Prepared};
use crate::engine::Planned;
use crate::engine::budget::{Plan, Source, Tile, granted};
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

    /// Whether so much may be taken while a prompt is read without any stage taking more than was planned.
    #[must_use]
    pub fn has_room_beside_t5(&self, bytes: u64) -> bool {
        bytes > 0 && self.plan.peaks.encode + bytes <= self.plan.peak()
    }

    /// What a picture will take: as planned, if it is one that the model was planned for. `held` are the engine's own
    /// bytes before it; `anew` says that its prompt is to be read, and with how many bytes of something else beside it.
    #[must_use]
    pub fn of(
        &self,
        config: &Config,
        picture: Planned,
        anew: Option<u64>,
        held: u64,
        stages: Stages,
    ) -> Foreseen {
        let Self { planned, plan, outside, pace } = self;
        let peaks = plan.peaks;
        let encode = anew.map_or(0, |beside| peaks.encode + beside);
        if picture == *planned {
            let peak = encode.max(peaks.condition).max(peaks.denoise).max(peaks.decode);
            return Foreseen { peak, context: *outside, step: plan.step };
        }
        let [latent, activations] = stages.decode.map(granted);
        let denoise = granted(stages.conditions) + granted(stages.workspace);
        let peak = encode.max(outside + held + denoise.max(latent + activations));
        let compute = pace.step(config, picture.size.image_tokens());
        // What is planned for another size streams as much.
        let step = if plan.streamed_bytes > 0 { compute.max(plan.step) } else { compute };
        Foreseen { peak, context: *outside, step }
    }

    /// Seconds that a step's copies take; out of files it is not known how long.
    fn copying(&self) -> f64 {
        let rate = match self.plan.transformer.source {
            Source::Pinned => self.pace.card.pinned,
            Source::File => 0.0,
        };
        if self.plan.streamed_bytes == 0 { 0.0 } else { self.plan.streamed_bytes as f64 / rate }
    }

    /// Bytes a second out of files, where a step waited for them.
    fn files(&self, step: Option<f64>) -> Option<f64> {
        let out_of_files = self.plan.transformer.source == Source::File && self.plan.streamed_bytes > 0;
        step.filter(|_| out_of_files).map(|step| self.plan.streamed_bytes as f64 / step)
    }

    /// What it took.
    #[must_use]
    pub fn usage(&self, foreseen: Foreseen, seen: Seen<'_>) -> Usage {
        let Seen { peak, held, steps, decode, tile } = seen;
        // The first also waits for what is made at its first use.
        let step = median(steps.get(1..).unwrap_or_default());
        let compute = step.filter(|step| self.copying() < HIDDEN * step);
        let decode = if tile.is_on_host() { 0.0 } else { decode / tile.work };
        let files = self.files(step);
        Usage { foreseen, peak, held, step, compute, decode, files, card: self.pace.card }
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
    use crate::engine::budget::{Peaks, Residence};
    use crate::engine::cuda::flux::precision::Precision;
    use crate::usage::{CardPace, Learned};

    /// Of a plan that streams 5.5 GB a step.
    fn foresight(source: Source) -> Foresight {
        let plan = Plan {
            transformer: Residence { source, ..Residence::nothing(57, 2) },
            t5_stays: false,
            clip_stays: false,
            tile: Tile { rows: 64, columns: 64, bytes: 3_000, work: 1.0 },
            peaks: Peaks { encode: 9_000, condition: 5_000, denoise: 7_000, decode: 8_000 },
            streamed_bytes: 5_500_000_000,
            step: 0.1,
            picture: 2.5,
            shares: Vec::new(),
        };
        let card = CardPace { bf16: 700.0, fp8: None, pinned: 55e9, mapped: 40e9 };
        let pace = Pace { card, learned: Learned::default(), precision: Precision::Fp8, text: 512 };
        Foresight { planned: Planned::default(), plan, outside: 600, pace }
    }

    fn seen(steps: &[f64]) -> Seen<'_> {
        let tile = Tile { rows: 22, columns: 64, bytes: 1, work: 4.0 };
        Seen { peak: 7_000, held: 5_000, steps, decode: 0.4, tile }
    }

    const STAGES: Stages = Stages { conditions: 1, workspace: 2, decode: [3, 4] };

    #[test]
    fn the_prompts_stage_counts_only_where_it_is_read() {
        let (foresight, config) = (foresight(Source::Pinned), Config::flux1_dev());
        let of = |anew| foresight.of(&config, Planned::default(), anew, 0, STAGES).peak;
        assert_eq!([of(Some(0)), of(Some(5)), of(None)], [9_000, 9_005, 8_000]);
    }

    #[test]
    fn what_is_made_beside_t5_takes_no_more_than_another_stage() {
        let mut foresight = foresight(Source::Pinned);
        assert!(!foresight.has_room_beside_t5(1), "reading the prompt takes the most");
        foresight.plan.peaks.decode = 9_500;
        assert_eq!([500, 501, 0].map(|bytes| foresight.has_room_beside_t5(bytes)), [true, false, false]);
    }

    #[test]
    fn another_size_is_foreseen_from_what_is_held_and_never_faster_than_its_copies() {
        let (foresight, config) = (foresight(Source::Pinned), Config::flux1_dev());
        let size = crate::job::Size::new(256, 256).expect("it is on the grid");
        let small = Planned { steps: 4, size, ..Planned::default() };
        let foreseen = foresight.of(&config, small, None, 5_000, STAGES);
        assert_eq!(foreseen.peak, 600 + 5_000 + 2 * granted(1));
        assert_eq!(foreseen.step, 0.1);
    }

    #[test]
    fn a_step_says_how_long_it_computes_only_where_copies_did_not_hold_it_up() {
        let usage = |source, steps: &[f64]| {
            let foresight = foresight(source);
            let foreseen = Foreseen { peak: 1, context: 0, step: 0.1 };
            foresight.usage(foreseen, seen(steps))
        };
        // The first does not count; 5.5 GB take 0.1 s.
        let slow = usage(Source::Pinned, &[9.0, 0.2, 0.2]);
        assert_eq!((slow.step, slow.compute, slow.files), (Some(0.2), Some(0.2), None));
        let held_up = usage(Source::Pinned, &[9.0, 0.105]);
        assert_eq!((held_up.step, held_up.compute), (Some(0.105), None));
        let by_the_host = usage(Source::File, &[9.0, 0.5]);
        assert_eq!((by_the_host.compute, by_the_host.files), (None, Some(11e9)));
        assert_eq!(usage(Source::Pinned, &[1.0]).step, None);
        assert!((slow.decode - 0.1).abs() < 1e-12);
    }

    #[test]
    fn the_median_of_none_is_none() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    }
}
