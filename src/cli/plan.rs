//! `flux-tui plan`: what a picture will take of a card, before anything is loaded.

mod past;

use serde::Serialize;

use super::failure::Failure;
use super::generate::{catalog, find, model_name, request};
use super::{load, stdout, text};
use crate::catalog::Role;
use crate::catalog::find::Lacking;
use crate::device::{Device, DeviceChoice, LoadOptions, VramBudget};
use crate::engine::budget::{Limits, Plan, Source};
use crate::engine::{self, Forecast, Placement, Planned};
use crate::job::{LoraChoice, Size};
use crate::library::{Glance, Kind};
use crate::model::{ModelName, Parts};
use crate::paths::Paths;
use crate::usage::Learned;
use crate::worker::{NoModel, Ready, lora_files};

/// Say what a picture will take of a card's memory, what stays there and what is streamed, and how long it will take.
///
/// Reads only the headers of the model's files. How fast the card and the copies to it are is known from the pictures
/// that were drawn on it, or tried now. A plan that cannot work says what would.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's name, or the path of a transformer [default: nano].
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Pixels across [default: the model's].
    #[arg(long, value_name = "W", value_parser = request::width, allow_negative_numbers = true)]
    width: Option<u32>,
    /// Pixels down [default: the model's].
    #[arg(long, value_name = "H", value_parser = request::height, allow_negative_numbers = true)]
    height: Option<u32>,
    /// Steps, 1 to 200 [default: the model's].
    #[arg(long, value_name = "N", value_parser = request::steps, allow_negative_numbers = true)]
    steps: Option<u32>,
    /// Draw with a LoRA: a file, or a name in a folder of LoRAs. May be given more than once.
    #[arg(long = "lora", value_name = "FILE[:STRENGTH]", value_parser = request::lora)]
    loras: Vec<LoraChoice>,
    /// On which card: auto, cuda for any, cuda:N for one.
    #[arg(long, value_name = "D")]
    device: Option<DeviceChoice>,
    #[command(flatten)]
    load: load::Flags,
    /// Say what the last N pictures took beside what was planned for them; nothing is planned.
    #[arg(long, value_name = "N", conflicts_with_all = ["model", "width", "height", "steps", "loras", "device"])]
    past: Option<u32>,
    /// Print one JSON object instead; memory in bytes, times in seconds.
    #[arg(long)]
    json: bool,
}

/// Everything that is told.
#[derive(Serialize)]
struct Told {
    version: &'static str,
    model: ModelName,
    /// Else the plan is for FLUX.1's own size.
    files_are_here: bool,
    device: String,
    width: u32,
    height: u32,
    steps: u32,
    /// Bytes of the LoRAs' files.
    loras: u64,
    #[serde(flatten)]
    forecast: Forecast,
    predicted: Predicted,
    /// What is known from earlier pictures.
    learned: Learned,
}

/// What the plan comes to.
#[derive(Serialize)]
struct Predicted {
    /// Bytes held at most, and in which stage.
    peak: u64,
    peak_stage: &'static str,
    step: f64,
    /// From Enter to the first preview, of a loaded model and a prompt that it has just read.
    first_preview: f64,
    /// Of a new prompt, but for the encoders' own computation.
    picture: f64,
}

/// What comes before the first step of a known prompt: tables, noise, the way to the screen.
const BEFORE_THE_FIRST_STEP: f64 = 0.05;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    if let Some(count) = args.past {
        return past::tell(&paths, count, args.json);
    }
    let name = args.model.as_deref().map_or_else(|| ModelName::new(ModelName::NANO), model_name);
    let (info, parts) = match find(&paths, &name) {
        Ok(Ready { info, parts }) => (info, Some(Parts { converted: Some(paths.converted()), ..parts })),
        Err(NoModel::Lacking(lacking)) if is_plain_flux(&lacking) => match catalog(&paths.config).find(&name)
        {
            Some(entry) => (entry.info, None),
            None => return Err(NoModel::Lacking(lacking).into()),
        },
        Err(other) => return Err(other.into()),
    };
    let usual = info.defaults;
    let size =
        Size::new(args.width.unwrap_or(usual.size.width()), args.height.unwrap_or(usual.size.height()))?;
    let loras = args.loras.iter().map(|lora| lora_bytes(&paths, lora)).sum::<Result<_, _>>()?;
    let picture = Planned { size, steps: args.steps.unwrap_or(usual.steps), loras };
    let (device, options) = args.load.placed(args.device, &paths);
    let device = device.best(&engine::devices())?;
    if !device.is_gpu() {
        return Err(Failure::NoCard);
    }
    let learned = learned(&paths, device, (&name, options, size))?;
    let on = Placement::new(device, options).for_pictures(picture).knowing(learned);
    let forecast = match &parts {
        Some(parts) => engine::plan(&name, parts, info.limits, &on)?,
        None => engine::plan_published(&name, usual.guidance > 0.0, info.limits, &on)?,
    };
    let told = Told {
        version: env!("CARGO_PKG_VERSION"),
        model: name,
        files_are_here: parts.is_some(),
        device: engine::describe(device),
        width: size.width(),
        height: size.height(),
        steps: picture.steps,
        loras: picture.loras,
        predicted: predicted(&forecast.plan),
        forecast,
        learned,
    };
    if args.json { stdout::json(&told) } else { stdout::write(&text::table(&rows(&told))) }
}

/// Bytes of a LoRA's file.
fn lora_bytes(paths: &Paths, lora: &LoraChoice) -> Result<u64, Failure> {
    let files = lora_files(&catalog(&paths.config), paths, lora.file()).map_err(Failure::Lora)?;
    // Of several that the name means, the largest.
    Ok(files.iter().map(|path| engine::lora::footprint(path)).max().unwrap_or(0))
}

/// Whether it is the transformer that is not here, and is one of FLUX.1's that are kept in fp8: quantised ones have other
/// sizes.
fn is_plain_flux(lacking: &Lacking) -> bool {
    let transformer = lacking.missing.iter().find(|missing| missing.role == Role::Transformer);
    let file = transformer.and_then(|missing| missing.files.first());
    file.is_some_and(|file| !file.file_name().ends_with(".gguf"))
}

/// What the pictures of this model on this card taught.
fn learned(
    paths: &Paths,
    device: Device,
    (model, load, size): (&ModelName, LoadOptions, Size),
) -> Result<Learned, Failure> {
    let (Some(card), Some(glance)) = (engine::identity(device), Glance::at(&paths.library())?) else {
        return Ok(Learned::default());
    };
    Ok(glance.learned(&Kind { card, model: model.clone(), load, size })?)
}

fn predicted(plan: &Plan) -> Predicted {
    let (peak, peak_stage) = plan.peaks.highest();
    Predicted {
        peak,
        peak_stage,
        step: plan.step,
        first_preview: plan.step + BEFORE_THE_FIRST_STEP,
        picture: plan.picture,
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

fn rows(told: &Told) -> Vec<(&'static str, String)> {
    let Told { forecast, predicted, .. } = told;
    let (plan, limits) = (&forecast.plan, forecast.limits);
    let peaks = plan.peaks;
    vec![
        ("model", model(told)),
        ("device", told.device.clone()),
        (
            "picture",
            format!(
                "{}x{} in {}{}",
                told.width,
                told.height,
                text::count(told.steps as usize, "step"),
                match told.loras {
                    0 => String::new(),
                    bytes => format!(", with {} of LoRAs", gigabytes(bytes)),
                }
            ),
        ),
        ("memory", memory(limits)),
        ("blocks", blocks(plan)),
        (
            "tables",
            if plan.transformer.modulation_stays {
                "their layers stay"
            } else {
                "their layers are brought for each picture"
            }
            .to_owned(),
        ),
        ("T5", encoder(plan.t5_stays, forecast.t5_on_cpu).to_owned()),
        ("CLIP", encoder(plan.clip_stays, false).to_owned()),
        ("VAE", decoder(plan)),
        (
            "peak",
            format!(
                "{} while {}\n{} reading the prompt, {} preparing, {} drawing, {} decoding",
                gigabytes(predicted.peak),
                predicted.peak_stage,
                gigabytes(peaks.encode),
                gigabytes(peaks.condition),
                gigabytes(peaks.denoise),
                gigabytes(peaks.decode),
            ),
        ),
        (
            "time",
            format!(
                "{:.3} s a step, {:.1} s a picture and what T5 takes to read a new prompt",
                predicted.step, predicted.picture
            ),
        ),
        ("known", known_from(&told.learned)),
    ]
}

/// What the times and the context's size are known from.
fn known_from(learned: &Learned) -> String {
    let of = |known: bool, what: &'static str| known.then_some(what);
    let known: Vec<_> = [
        of(learned.step.is_some(), "how long steps take"),
        of(learned.context.is_some(), "what the context takes"),
        of(learned.card.is_some(), "how fast the card is"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match &known[..] {
        [] => "by trying the card now: no picture of it is remembered".to_owned(),
        known => format!("from earlier pictures: {}", known.join(", ")),
    }
}

fn model(told: &Told) -> String {
    let Told { model, forecast, files_are_here, .. } = told;
    let planned_as = if *files_are_here {
        ""
    } else {
        "\nnot here yet: planned as FLUX.1 in fp8; `flux-tui models pull` fetches it"
    };
    format!("{model}: {}{planned_as}", forecast.precision)
}

fn memory(limits: Limits) -> String {
    if limits.budget <= limits.free {
        format!("a budget of {}; {} are free", VramBudget(limits.budget), gigabytes(limits.free))
    } else {
        format!("{}, which is what is free", gigabytes(limits.free))
    }
}

fn blocks(plan: &Plan) -> String {
    let (all, streamed) = (plan.transformer.streamed.len(), plan.transformer.streamed_blocks());
    match streamed {
        0 => format!("all {all} stay"),
        streamed => format!(
            "{} of {all} stay; {streamed} are streamed, {} a step {} through {} slots",
            all - streamed,
            gigabytes(plan.streamed_bytes),
            source(plan.transformer.source),
            plan.transformer.slots
        ),
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Pinned => "from pinned memory",
        Source::File => "out of the file, because the host's memory is short,",
    }
}

fn encoder(stays: bool, on_cpu: bool) -> &'static str {
    match (on_cpu, stays) {
        (true, _) => "reads on the CPU",
        (false, true) => "stays",
        (false, false) => "is brought for each new prompt",
    }
}

fn decoder(plan: &Plan) -> String {
    // A whole picture decodes each pixel once.
    if plan.tile.is_on_host() {
        "decodes on the CPU: there is no room on the card".to_owned()
    } else if plan.tile.work <= 1.0 {
        "decodes the picture at once".to_owned()
    } else {
        format!("decodes in strips of {} pixels", 16 * plan.tile.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::budget::{Peaks, Residence, Speed, Tile};

    fn told(streamed: usize, budget: u64) -> Told {
        let mut transformer = Residence::whole(57);
        transformer.streamed[..streamed].fill(true);
        transformer.slots = 3;
        let plan = Plan {
            transformer,
            t5_stays: false,
            clip_stays: true,
            tile: Tile { rows: 28, columns: 64, bytes: 1, work: 4.0 },
            peaks: Peaks { encode: 5, condition: 6, denoise: 7_900_000_000, decode: 3 },
            streamed_bytes: 2_500_000_000,
            step: 0.0787,
            picture: 2.6,
            shares: Vec::new(),
        };
        let forecast = Forecast {
            precision: "fp8 tensor cores, because they are there".to_owned(),
            t5_on_cpu: false,
            limits: Limits { budget, free: 11_000_000_000, host: 60_000_000_000 },
            speed: Speed { pinned: 5e10, mapped: 1e10, disk: 2e9, step: Some(0.07), decode: None },
            plan,
        };
        let predicted = predicted(&forecast.plan);
        let device = "cuda:0, a card".to_owned();
        let (model, version) = (ModelName::new("mine"), "0");
        let learned = Learned { context: Some(550_000_000), ..Learned::default() };
        Told {
            version,
            model,
            files_are_here: true,
            device,
            width: 1024,
            height: 1024,
            loras: 0,
            steps: 20,
            forecast,
            predicted,
            learned,
        }
    }

    #[test]
    fn a_plan_is_told_in_lines() {
        let page = text::table(&rows(&told(16, 8_000_000_000)));
        for line in [
            "picture  1024x1024 in 20 steps",
            "memory   a budget of 8 GB; 11.00 GB are free",
            "blocks   41 of 57 stay; 16 are streamed, 2.50 GB a step from pinned memory through 3 slots",
            "T5       is brought for each new prompt",
            "VAE      decodes in strips of 448 pixels",
            "peak     7.90 GB while denoising",
            "known    from earlier pictures: what the context takes",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
        let afar = Told { files_are_here: false, ..told(0, u64::MAX) };
        assert!(text::table(&rows(&afar)).contains("not here yet: planned as FLUX.1 in fp8"));
        let mut short = told(16, 8_000_000_000);
        short.forecast.plan.transformer.source = Source::File;
        let short = text::table(&rows(&short));
        assert!(short.contains("out of the file, because the host's memory is short, through 3"), "{short}");
        let free = text::table(&rows(&told(0, u64::MAX)));
        assert!(free.contains("11.00 GB, which is what is free") && free.contains("all 57 stay"), "{free}");
    }

    #[test]
    fn json_has_the_plan_and_what_it_comes_to() {
        let json = serde_json::to_value(told(16, 8_000_000_000)).expect("it can be written");
        assert_eq!(json["predicted"]["peak"], 7_900_000_000_u64);
        assert_eq!(json["predicted"]["peak_stage"], "denoising");
        assert_eq!(json["plan"]["transformer"]["slots"], 3);
        assert_eq!(json["limits"]["budget"], 8_000_000_000_u64);
        assert!(json["predicted"]["first_preview"].as_f64().expect("a number") > 0.12);
    }
}
