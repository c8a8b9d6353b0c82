//! `flux-tui bench --synthetic --vram-budget`: whole pictures of random weights within so much memory, and what the plan
//! promised beside what was measured.
//!
//! The peak is NVML's, read all the while by a thread of its own: what the card has in use more than before the program
//! opened it. Random text encoders are made anew for each prompt where they do not stay, so their memory is as it would
//! be with files, their time is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::measure::{Spread, spread};
use super::synthetic::used;
use super::{Args, Failure};
use crate::cli::stdout;
use crate::engine::budget::{Limits, Plan, Speed};
use crate::engine::cuda::budgeted::{Budgeted, plan_for};
use crate::engine::cuda::flux::precision::{self, Precision, Stored, asked};
use crate::engine::cuda::gpu::MODULES;
use crate::engine::cuda::prepare::step_seconds;
use crate::engine::cuda::synthetic::{self, SEED, TEXT};
use crate::engine::cuda::vae::Decoder;
use crate::engine::cuda::{CudaError, Gpu, plan};
use crate::engine::dit::config::Config;
use crate::engine::{Planned, latent};
use crate::gpu::Sampler;
use crate::job::Size;

/// Steps of each picture.
const STEPS: u32 = 20;
/// What libraries load onto the card when they are first used, over what they had loaded before the plan.
const LATER: u64 = 96 << 20;
/// Between two readings of NVML.
const READING: Duration = Duration::from_millis(3);

/// Everything that is told. Times are in milliseconds, memory in bytes.
#[derive(Serialize)]
struct Told {
    version: &'static str,
    model: String,
    card: String,
    precision: &'static str,
    budget: u64,
    /// What this process held on the card besides its own memory before the plan; `None` where NVML says nothing.
    context: Option<u64>,
    speed: Speed,
    sizes: Vec<AtSize>,
}

/// What one size gave.
#[derive(Serialize)]
struct AtSize {
    width: u32,
    height: u32,
    tokens: usize,
    /// Why it cannot be drawn; then nothing else is told.
    refused: Option<String>,
    plan: Option<Plan>,
    measured: Option<Measured>,
}

#[derive(Serialize)]
struct Measured {
    /// Seconds that making the weights took, into host memory where they are streamed.
    made_in: f64,
    /// What each step was made longer by, to stand for a slower card.
    slower: f64,
    /// Single steps, one right after another.
    step: Spread,
    /// What the plan said.
    predicted_step: f64,
    /// The larger of what a step computes, by the ceilings, and what its bytes take at the rate of copies.
    floor: f64,
    /// Bytes that a step brought.
    streamed: u64,
    /// Whether all evaluations gave the same bits.
    repeats: bool,
    /// Whole pictures, each of a new prompt.
    pictures: u32,
    picture: Spread,
    /// From the begin of the first step to its end.
    first_step: Spread,
    predicted_peak: u64,
    /// By NVML, over everything above.
    peak: Option<u64>,
    /// By NVML during the first picture and the last.
    peak_of_first: Option<u64>,
    peak_of_last: Option<u64>,
    /// The most that this program held of its own.
    held: u64,
    /// Host memory that streamed weights lie in.
    host: usize,
    /// Of that, what is pinned.
    pinned: usize,
}

pub(super) fn run(
    args: &Args,
    config: &Config,
    number: u32,
    sizes: &[Size],
    budget: u64,
) -> Result<(), Failure> {
    let mut readings = Sampler::new();
    let before = used(&mut readings, number);
    let gpu = Gpu::open(number)?;
    let choice = precision::choose(asked(args.load.precision.unwrap_or_default()), gpu.card(), Stored::FP8)?;
    MODULES.iter().try_for_each(|module| gpu.load_module(*module))?;
    let ceilings = synthetic::ceilings(&gpu)?;
    let speed = plan::speed(&gpu, None)?;
    let mut decoder = Some(Decoder::random(&gpu, SEED)?);
    let over = |now: Option<u64>| now.zip(before).map(|(now, before)| now.saturating_sub(before));
    let context = over(used(&mut readings, number)).map(|bytes| bytes.saturating_sub(gpu.held()));
    let mut told = Told {
        version: env!("CARGO_PKG_VERSION"),
        model: args.model.clone(),
        card: gpu.card().name.clone(),
        precision: choice.precision.name(),
        budget,
        context,
        speed,
        sizes: Vec::new(),
    };
    for &size in sizes {
        let slower = args.synthetic.slower();
        let step = step_seconds(config, choice.precision, size.image_tokens() + TEXT, ceilings)
            + slower.as_secs_f64();
        let speed = Speed { step: Some(step), ..speed };
        let (free, _) = gpu.free_and_total()?;
        let context = context.unwrap_or(plan::CONTEXT) + LATER;
        let limits = Limits { budget, free: free + gpu.held() + context, host: u64::MAX };
        let mut at_size = AtSize {
            width: size.width(),
            height: size.height(),
            tokens: size.image_tokens() + TEXT,
            refused: None,
            plan: None,
            measured: None,
        };
        let vae = match decoder.take() {
            Some(decoder) => decoder,
            None => Decoder::random(&gpu, SEED)?,
        };
        let model = (config, choice.precision);
        let picture = Planned { size, steps: STEPS, loras: 0 };
        match plan_for(model, &vae, picture, &speed, (limits, context)) {
            Err(none) => {
                at_size.refused = Some(none.to_string());
                decoder = Some(vae);
            }
            Ok(plan) => {
                at_size.plan = Some(plan.clone());
                gpu.forget_peak();
                let model = (config.clone(), choice.precision);
                let (measured, vae) = watched(number, before, |peak| {
                    measure(&gpu, model, plan, vae, (latent::grid(size), args.repeat), (&speed, slower), peak)
                })?;
                at_size.measured = Some(measured);
                decoder = Some(vae);
            }
        }
        told.sizes.push(at_size);
    }
    if args.json { stdout::json(&told) } else { stdout::write(&page(&told)) }
}

/// The most that NVML has shown since the last reset; `None` where it shows nothing.
struct Peak {
    bytes: AtomicU64,
    known: bool,
}

impl Peak {
    /// The peak since the last call.
    fn take(&self) -> Option<u64> {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.known.then_some(bytes)
    }
}

/// Runs `work` while a thread reads what the card has in use.
fn watched<T>(
    card: u32,
    before: Option<u64>,
    work: impl FnOnce(&Peak) -> Result<T, CudaError>,
) -> Result<T, Failure> {
    let (peak, done) = (Peak { bytes: AtomicU64::new(0), known: before.is_some() }, AtomicBool::new(false));
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            let mut readings = Sampler::new();
            while !done.load(Ordering::Relaxed) {
                if let (Some(now), Some(before)) = (used(&mut readings, card), before) {
                    peak.bytes.fetch_max(now.saturating_sub(before), Ordering::Relaxed);
                }
                thread::sleep(READING);
            }
        });
        let result = work(&peak);
        done.store(true, Ordering::Relaxed);
        result
    });
    Ok(result?)
}

fn measure(
    gpu: &Arc<Gpu>,
    model: (Config, Precision),
    plan: Plan,
    decoder: Decoder,
    (grid, pictures): ((usize, usize), u32),
    (speed, slower): (&Speed, Duration),
    peak: &Peak,
) -> Result<(Measured, Decoder), CudaError> {
    let begun = Instant::now();
    let budgeted = Budgeted::new(gpu, model, plan, decoder, (grid, STEPS))?;
    let made_in = begun.elapsed().as_secs_f64();
    let step = budgeted.measure(pictures as usize, slower)?;
    let mut highest = peak.take();
    let (mut times, mut firsts, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pictures {
        let begun = Instant::now();
        let mut marks = Vec::new();
        budgeted.picture(slower, || marks.push(Instant::now()))?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        if let [begin, first, ..] = marks[..] {
            firsts.push((first - begin).as_secs_f64() * 1e3);
        }
        peaks.push(peak.take());
    }
    highest = peaks.iter().copied().chain([highest]).max().flatten();
    let plan = &budgeted.plan;
    let floor = (plan.streamed_bytes as f64 / speed.pinned).max(speed.step.unwrap_or(0.0));
    let [host, pinned, _] = budgeted.host_bytes();
    let measured = Measured {
        made_in,
        slower: slower.as_secs_f64() * 1e3,
        step: spread(&step.milliseconds),
        predicted_step: plan.step * 1e3,
        floor: floor * 1e3,
        streamed: step.streamed,
        repeats: step.repeats,
        pictures,
        picture: spread(&times),
        first_step: spread(&firsts),
        predicted_peak: plan.peak(),
        peak: highest,
        peak_of_first: peaks.first().copied().flatten(),
        peak_of_last: peaks.last().copied().flatten(),
        held: gpu.peak(),
        host,
        pinned,
    };
    Ok((measured, budgeted.into_decoder()))
}

fn page(told: &Told) -> String {
    let gb = |bytes: u64| bytes as f64 / 1e9;
    let mut page = format!(
        "flux-tui {}: {}, random weights, {} on {}, within {:.2} GB; copies at {:.1} GB/s\n\n",
        told.version,
        told.model,
        told.precision,
        told.card,
        gb(told.budget),
        told.speed.pinned / 1e9,
    );
    page += "size        blocks  streamed  step ms  said  floor  picture ms   peak GB  said   last\n";
    for size in &told.sizes {
        let name = format!("{}x{}", size.width, size.height);
        let (Some(plan), Some(measured)) = (&size.plan, &size.measured) else {
            page += &format!("{name:11} {}\n", size.refused.as_deref().unwrap_or("not measured"));
            continue;
        };
        let peak =
            |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |bytes| format!("{:.2}", gb(bytes)));
        page += &format!(
            "{name:11} {:6} {:6.2} GB {:8.1} {:5.1} {:6.1} {:11.0} {:>9} {:5.2} {:>6}{}\n",
            plan.transformer.streamed_blocks(),
            gb(measured.streamed),
            measured.step.median,
            measured.predicted_step,
            measured.floor,
            measured.picture.median,
            peak(measured.peak),
            gb(measured.predicted_peak),
            peak(measured.peak_of_last),
            if measured.repeats { "" } else { "  the bits differ from run to run" },
        );
    }
    page
}
