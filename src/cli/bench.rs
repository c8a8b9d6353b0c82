//! `flux-tui bench`: where the time of a picture goes, measured in this process.
//!
//! What is measured is in [`measure`]; here is what is asked and how it is told. [`synthetic`] measures FLUX.1 of full
//! size on a card, without any file; `budget` draws whole pictures of that within a budget of memory.

#[cfg(feature = "cuda")]
mod budget;
mod measure;
mod synthetic;

use serde::Serialize;

use super::failure::Failure;
use super::generate::{find, model_name};
use super::{load, stdout, text};
use crate::device::DeviceChoice;
use crate::engine::{self, Placement, Planned};
use crate::model::ModelName;
use crate::paths::Paths;
use measure::{Measured, Spread};

/// Measure the engine: load, encode, step, decode and the whole picture.
///
/// The model draws at its own size and steps, in this process and without a worker: first once that
/// does not count, then --repeat times. The model is read as often. End a worker that is drawing
/// before measuring.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's name, or the path of a transformer.
    #[arg(long, value_name = "M", default_value = ModelName::NANO)]
    model: String,
    /// On which device: auto, cpu, cuda for any card, cuda:N for one.
    #[arg(long, value_name = "D", default_value = "auto")]
    device: DeviceChoice,
    /// With --synthetic, --vram-budget draws whole pictures and tells the plan, its predictions and what was measured.
    #[command(flatten)]
    load: load::Flags,
    /// How many pictures are measured, 1 to 1000.
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Print one JSON object instead; times are in seconds, with --synthetic in milliseconds.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    synthetic: synthetic::Args,
}

/// Everything that is told.
#[derive(Serialize)]
struct Told {
    version: &'static str,
    model: String,
    precision: String,
    device: String,
    cpu: String,
    cores: usize,
    width: u32,
    height: u32,
    steps: u32,
    repeat: u32,
    seconds: Measured,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.synthetic.synthetic {
        return synthetic::run(args);
    }
    let name = model_name(&args.model);
    let entry = find(&Paths::from_env()?, &name)?;
    let defaults = entry.info.defaults;
    let on = Placement::new(args.device.best(&engine::devices())?, args.load.defaults().load())
        .for_pictures(Planned { size: defaults.size, steps: defaults.steps, loras: 0 });
    let load = |observer: &mut dyn engine::Observer| {
        engine::load(&name, &entry.parts, entry.info.limits, &on, observer)
    };
    let (seconds, precision) = measure::measure(load, defaults, args.repeat)?;
    let (cpu, cores) = cpu();
    let told = Told {
        version: env!("CARGO_PKG_VERSION"),
        model: name.to_string(),
        precision,
        device: engine::describe(on.device),
        cpu,
        cores,
        width: defaults.size.width(),
        height: defaults.size.height(),
        steps: defaults.steps,
        repeat: args.repeat,
        seconds,
    };
    if args.json { stdout::json(&told) } else { stdout::write(&page(&told)) }
}

/// The processor's name and how many logical cores there are.
fn cpu() -> (String, usize) {
    let refresh = sysinfo::RefreshKind::nothing().with_cpu(sysinfo::CpuRefreshKind::nothing());
    let system = sysinfo::System::new_with_specifics(refresh);
    let name = system.cpus().first().map_or("", |cpu| cpu.brand().trim());
    let name = if name.is_empty() { "an unnamed processor" } else { name };
    (name.to_owned(), system.cpus().len())
}

fn page(told: &Told) -> String {
    let mut page = format!(
        "flux-tui {}: {}, {}×{}, {} steps, {}\n{} on {}, {}\n\n",
        told.version,
        told.model,
        told.width,
        told.height,
        told.steps,
        told.precision,
        told.device,
        told.cpu,
        text::count(told.cores, "core"),
    );
    page += &format!("{:9} {:>9} {:>9} {:>9}  seconds, of {}\n", "", "median", "min", "max", told.repeat);
    let Measured { load, encode, step, denoise, decode, picture } = &told.seconds;
    let rows = [
        ("load", load),
        ("encode", encode),
        ("step", step),
        ("denoise", denoise),
        ("decode", decode),
        ("picture", picture),
    ];
    for (name, Spread { median, min, max }) in rows {
        page += &format!("{name:9} {median:9.4} {min:9.4} {max:9.4}\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_what_was_measured_on_what() {
        let spread = Spread { median: 0.25, min: 0.125, max: 0.5 };
        let told = Told {
            version: "0.1.0",
            model: "nano".to_owned(),
            precision: "fp32".to_owned(),
            device: "CPU, 2 threads".to_owned(),
            cpu: "A Processor".to_owned(),
            cores: 2,
            width: 128,
            height: 128,
            steps: 20,
            repeat: 5,
            seconds: Measured {
                load: spread,
                encode: spread,
                step: spread,
                denoise: spread,
                decode: spread,
                picture: spread,
            },
        };
        let page = page(&told);
        assert!(page.contains("CPU, 2 threads on A Processor, 2 cores"), "{page}");
        assert!(page.contains("picture      0.2500    0.1250    0.5000"), "{page}");
    }
}
