//! The choice: of all ways to divide a model between the card and the host, the one that draws soonest within the
//! budget. All ways are looked at whatever the budget is, so more of it never makes a plan slower.

use serde::Serialize;

use super::sizes::{Limits, Sizes, Speed, Tile, granted};
use super::turns::{self, Use};
use crate::device::{Owner, Share};

/// What weights that do not stay on the card are copied from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Pinned host memory: pages of the file where they are as the card wants them, else memory of their own.
    Pinned,
    /// The mapped file, by threads of the host: from the disk, where so much cannot be kept in memory.
    File,
}

/// What of the transformer stays on the card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Residence {
    /// Of each block, in the order of use, whether it is streamed.
    pub streamed: Vec<bool>,
    /// How many slots streamed blocks take turns in; 0 where none is streamed.
    pub slots: usize,
    /// Whether the modulation layers stay; else they are brought for each picture.
    pub modulation_stays: bool,
    /// What those that do not stay are copied from.
    pub source: Source,
}

/// The most bytes that are held in each stage of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Peaks {
    /// While a new prompt is read.
    pub encode: u64,
    /// While the tables of modulations are made.
    pub condition: u64,
    /// While steps run.
    pub denoise: u64,
    /// While the picture is decoded.
    pub decode: u64,
}

/// How a model is kept and pictures of one size are drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The transformer.
    pub transformer: Residence,
    /// Whether T5 stays; else its blocks are brought one by one for each new prompt.
    pub t5_stays: bool,
    /// Whether CLIP stays; else it is brought for each new prompt.
    pub clip_stays: bool,
    /// How the picture is decoded.
    pub tile: Tile,
    /// Bytes held at most.
    pub peaks: Peaks,
    /// Bytes that each step streams.
    pub streamed_bytes: u64,
    /// Seconds of a step.
    pub step: f64,
    /// Seconds of a picture of a new prompt, but for the encoders' own computation.
    pub picture: f64,
    /// Who holds what while steps run; together [`Peaks::denoise`].
    pub shares: Vec<Share>,
}

/// Nothing fits: what would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "at least {} of device memory are needed ({stage} takes the most) and {}: {}",
    gigabytes(*.least), allowed(*.limits), advice(*.least, *.limits, stage)
)]
pub struct Unplannable {
    /// The smallest budget that would do.
    pub least: u64,
    /// What was allowed.
    pub limits: Limits,
    /// The stage that needs the most: `encoding`, `preparing`, `denoising`, `decoding`.
    pub stage: &'static str,
}

fn gigabytes(bytes: u64) -> String {
    // Rounded up: a budget that is typed as it is read here must do.
    format!("{:.2} GB", (bytes as f64 / 1e7).ceil() / 100.0)
}

fn allowed(limits: Limits) -> String {
    if limits.budget <= limits.free {
        format!("the budget is {:.2} GB", limits.budget as f64 / 1e9)
    } else {
        format!("{:.2} GB are free on the card", limits.free as f64 / 1e9)
    }
}

fn advice(least: u64, limits: Limits, stage: &str) -> String {
    let more = if least <= limits.free {
        "raise the budget to that"
    } else if least <= limits.budget {
        "end what else uses the card"
    } else {
        "raise the budget and end what else uses the card"
    };
    match stage {
        "denoising" | "decoding" => format!("{more}, or draw a smaller picture"),
        _ => more.to_owned(),
    }
}

impl Residence {
    /// Everything stays.
    #[must_use]
    pub fn whole(blocks: usize) -> Self {
        Self { streamed: vec![false; blocks], slots: 0, modulation_stays: true, source: Source::Pinned }
    }

    /// Every block is streamed, and the modulation layers are brought for each picture: for tests and for cards of
    /// almost no memory.
    #[must_use]
    pub fn nothing(blocks: usize, slots: usize) -> Self {
        Self { streamed: vec![true; blocks], slots, modulation_stays: false, source: Source::Pinned }
    }

    /// How many blocks are streamed.
    #[must_use]
    pub fn streamed_blocks(&self) -> usize {
        self.streamed.iter().filter(|&&streamed| streamed).count()
    }
}

impl Peaks {
    /// The most of all stages, and which it is.
    #[must_use]
    pub fn highest(&self) -> (u64, &'static str) {
        let stages = [
            (self.encode, "encoding"),
            (self.condition, "preparing"),
            (self.denoise, "denoising"),
            (self.decode, "decoding"),
        ];
        // There are four.
        stages.into_iter().max_by_key(|(bytes, _)| *bytes).unwrap_or_default()
    }
}

impl Plan {
    /// The most bytes held at any time.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peaks.highest().0
    }

    /// The plan in a few words, for a narrow line: `41 of 57 blocks, 7.9 GB`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let all = self.transformer.streamed.len();
        let stay = all - self.transformer.streamed_blocks();
        let blocks =
            if stay == all { format!("all {all} blocks") } else { format!("{stay} of {all} blocks") };
        format!("{blocks}, {:.1} GB", self.peak() as f64 / 1e9)
    }
}

/// Which things are kept besides the blocks; each lets go what the one before it does, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    t5: bool,
    clip: bool,
    modulation: bool,
}

const RUNGS: [Kept; 4] = [
    Kept { t5: true, clip: true, modulation: true },
    Kept { t5: false, clip: true, modulation: true },
    Kept { t5: false, clip: false, modulation: true },
    Kept { t5: false, clip: false, modulation: false },
];

/// A way to divide the blocks, and what it takes.
struct Division {
    doubles: usize,
    singles: usize,
    slots: usize,
    /// On the card: resident blocks and slots.
    bytes: u64,
    streamed: u64,
}

impl Division {
    fn whole(sizes: &Sizes) -> Self {
        let bytes = sizes.double.count as u64 * granted(sizes.double.bytes)
            + sizes.single.count as u64 * granted(sizes.single.bytes);
        Self { doubles: 0, singles: 0, slots: 0, bytes, streamed: 0 }
    }

    fn of(sizes: &Sizes, (doubles, singles): (usize, usize), slots: usize) -> Self {
        let (double, single) = (&sizes.double, &sizes.single);
        let slot = granted(slot_bytes(sizes, doubles, singles));
        let resident = (double.count - doubles) as u64 * granted(double.bytes)
            + (single.count - singles) as u64 * granted(single.bytes);
        let streamed = doubles as u64 * double.bytes + singles as u64 * single.bytes;
        Self { doubles, singles, slots, bytes: resident + slots as u64 * slot, streamed }
    }

    /// Seconds of a step, by trying it with copies of so many bytes a second.
    fn step(&self, sizes: &Sizes, speed: &Speed, rate: f64) -> f64 {
        let least = speed.step.unwrap_or(0.0);
        if self.slots == 0 {
            return least;
        }
        // A double block's rows meet half of its weights each: both kinds compute about as long.
        let compute = least / sizes.blocks() as f64;
        let uses: Vec<Use> = spread(sizes, self.doubles, self.singles)
            .into_iter()
            .enumerate()
            .map(|(index, streamed)| {
                let bytes = if index < sizes.double.count { sizes.double.bytes } else { sizes.single.bytes };
                Use { compute, copy: streamed.then(|| bytes as f64 / rate) }
            })
            .collect();
        // The sum of the blocks' times is the step's but for rounding, which must not make streaming look faster.
        turns::steady(&uses, self.slots).max(least)
    }

    /// All that stream anything, with few enough slots that streaming saves memory.
    fn all(sizes: &Sizes) -> Vec<Self> {
        let mut all = Vec::new();
        for doubles in 0..=sizes.double.count {
            for singles in 0..=sizes.single.count {
                for slots in 2..=3usize {
                    if doubles + singles > slots {
                        all.push(Self::of(sizes, (doubles, singles), slots));
                    }
                }
            }
        }
        all
    }
}

/// Bytes of the largest block that is streamed.
fn slot_bytes(sizes: &Sizes, doubles: usize, singles: usize) -> u64 {
    let of = |count: usize, bytes| if count > 0 { bytes } else { 0 };
    of(doubles, sizes.double.bytes).max(of(singles, sizes.single.bytes))
}

/// Which blocks are streamed: so many of each kind, as evenly as can be, so that copies hide behind resident blocks.
fn spread(sizes: &Sizes, doubles: usize, singles: usize) -> Vec<bool> {
    let of = |count: usize, streamed: usize| {
        (0..count).map(move |index| (index + 1) * streamed / count > index * streamed / count)
    };
    of(sizes.double.count, doubles).chain(of(sizes.single.count, singles)).collect()
}

/// Bytes of each stage.
fn peaks(sizes: &Sizes, kept: Kept, division: &Division, tile: &Tile) -> Peaks {
    let keep = |stays: bool, bytes: u64| if stays { granted(bytes) } else { 0 };
    let held = sizes.outside
        + granted(sizes.ends)
        + granted(sizes.loras)
        + granted(sizes.modulation.embedders)
        + granted(sizes.vae)
        + keep(kept.modulation, sizes.modulation.layers)
        + keep(kept.t5, sizes.t5.weights)
        + keep(kept.clip, sizes.clip.weights)
        + division.bytes;
    let encoder =
        |encoder: &super::Encoder, stays: bool| keep(!stays, encoder.brought) + granted(encoder.room);
    let conditions = granted(sizes.conditions);
    Peaks {
        encode: held + encoder(&sizes.t5, kept.t5).max(encoder(&sizes.clip, kept.clip)),
        condition: held
            + conditions
            + granted(sizes.embeddings)
            + 2 * keep(!kept.modulation, sizes.modulation.largest),
        denoise: held + conditions + granted(sizes.workspace),
        decode: held + granted(sizes.latent) + granted(tile.bytes),
    }
}

/// Who holds what while steps run; nothing of who holds nothing.
fn shares(sizes: &Sizes, kept: Kept, division: &Division) -> Vec<Share> {
    let keep = |stays: bool, bytes: u64| if stays { granted(bytes) } else { 0 };
    let slots = division.slots as u64 * granted(slot_bytes(sizes, division.doubles, division.singles));
    let body = division.bytes - slots;
    let layers = granted(sizes.modulation.embedders) + keep(kept.modulation, sizes.modulation.layers);
    let bytes = |owner| match owner {
        Owner::Transformer => body + granted(sizes.ends) + layers,
        Owner::Streamed => slots,
        Owner::Encoders => keep(kept.t5, sizes.t5.weights) + keep(kept.clip, sizes.clip.weights),
        Owner::Vae => granted(sizes.vae),
        Owner::Activations => granted(sizes.conditions) + granted(sizes.workspace),
        Owner::Loras => granted(sizes.loras),
        Owner::Context => sizes.outside,
    };
    let all = Owner::ALL.map(|owner| Share { owner, bytes: bytes(owner) });
    all.into_iter().filter(|share| share.bytes > 0).collect()
}

fn picture_seconds(sizes: &Sizes, (speed, rate): (&Speed, f64), kept: Kept, step: f64, tile: &Tile) -> f64 {
    let bring = |stays: bool, bytes: u64, rate: f64| if stays { 0.0 } else { bytes as f64 / rate };
    let decode = speed.decode.or(speed.step.map(|step| step / 4.0)).unwrap_or(0.0);
    bring(kept.t5, sizes.t5.weights, speed.mapped)
        + bring(kept.clip, sizes.clip.weights, speed.mapped)
        + bring(kept.modulation, sizes.modulation.layers, rate)
        + f64::from(sizes.steps) * step
        + decode * tile.work
}

/// The plan that draws a picture soonest within the limits; of two that take as long, the one that streams less, then
/// the one that decodes in larger tiles.
///
/// # Errors
/// [`Unplannable`] when nothing fits.
pub fn plan(sizes: &Sizes, speed: &Speed, limits: Limits) -> Result<Plan, Unplannable> {
    let allowed = limits.budget.min(limits.free);
    let mut best: Option<Plan> = None;
    let mut least: Option<(u64, &'static str)> = None;
    for way in ways(sizes, speed, limits.host) {
        let picture = |step, tile| picture_seconds(sizes, (speed, way.rate), way.kept, step, tile);
        let is_best = |best: &Option<Plan>, picture: f64, tile: &Tile| {
            let order = (picture, way.division.streamed, tile.work);
            best.as_ref().is_none_or(|best| order < (best.picture, best.streamed_bytes, best.tile.work))
        };
        // Trying a step takes a hundred times as long as all else here: only where it could be the best.
        let mut tried = None;
        for tile in &sizes.tiles {
            let peaks = peaks(sizes, way.kept, &way.division, tile);
            let (peak, stage) = peaks.highest();
            if least.is_none_or(|(bytes, _)| peak < bytes) {
                least = Some((peak, stage));
            }
            if peak > allowed || !is_best(&best, picture(speed.step.unwrap_or(0.0), tile), tile) {
                continue;
            }
            let step = *tried.get_or_insert_with(|| way.division.step(sizes, speed, way.rate));
            let picture = picture(step, tile);
            if is_best(&best, picture, tile) {
                best = Some(way.plan(sizes, *tile, peaks, (step, picture)));
            }
        }
    }
    best.ok_or_else(|| {
        let (least, stage) = least.unwrap_or((u64::MAX, "decoding"));
        Unplannable { least, limits, stage }
    })
}

/// A way to keep a model.
struct Way {
    kept: Kept,
    division: Division,
    source: Source,
    /// Bytes a second from there.
    rate: f64,
}

/// All ways that the host has memory for: from pinned memory, and from files where too much would have to be pinned.
fn ways(sizes: &Sizes, speed: &Speed, host: u64) -> impl Iterator<Item = Way> {
    let sources = [(Source::Pinned, speed.pinned), (Source::File, speed.disk)];
    let sources = sources.into_iter().filter(|(source, _)| *source == Source::Pinned || sizes.in_files);
    let all = sources.flat_map(move |(source, rate)| {
        RUNGS.into_iter().flat_map(move |kept| {
            // Blocks are streamed only where all else has gone: copies of theirs recur with every step.
            let streaming = if kept.modulation { Vec::new() } else { Division::all(sizes) };
            let all = std::iter::once(Division::whole(sizes)).chain(streaming);
            all.map(move |division| Way { kept, division, source, rate })
        })
    });
    all.filter(move |way| (way.on_host(sizes) <= host) == (way.source == Source::Pinned))
}

impl Way {
    /// Bytes that are copied again and again.
    fn on_host(&self, sizes: &Sizes) -> u64 {
        self.division.streamed + if self.kept.modulation { 0 } else { sizes.modulation.layers }
    }

    fn plan(&self, sizes: &Sizes, tile: Tile, peaks: Peaks, (step, picture): (f64, f64)) -> Plan {
        let Self { kept, division, source, .. } = self;
        Plan {
            transformer: Residence {
                streamed: spread(sizes, division.doubles, division.singles),
                slots: division.slots,
                modulation_stays: kept.modulation,
                source: *source,
            },
            t5_stays: kept.t5,
            clip_stays: kept.clip,
            tile,
            peaks,
            streamed_bytes: division.streamed,
            step,
            picture,
            shares: shares(sizes, *kept, division),
        }
    }
}
