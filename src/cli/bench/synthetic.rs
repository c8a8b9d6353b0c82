//! `flux-tui bench --synthetic`: FLUX.1 of full size with random weights made on the card, no files.

use std::path::PathBuf;

use super::Failure;

/// The form of LoRAs that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LoraForm {
    /// B A.
    Lora,
    /// W₁ ⊗ W₂.
    Lokr,
    /// (B₁ A₁) ∘ (B₂ A₂).
    Loha,
}

/// What is asked of a synthetic measurement.
#[derive(Debug, clap::Args)]
#[group(skip)] // the name of its group would be that of `bench` itself
pub(super) struct Args {
    /// Measure a model of full size with random weights, made on the card: --model flux1-dev or flux1-schnell.
    #[arg(long)]
    pub synthetic: bool,
    /// Sizes, width and height in pixels.
    #[arg(
        long,
        value_name = "WxH,…",
        requires = "synthetic",
        value_delimiter = ',',
        default_values = ["512x512", "768x512", "768x768", "1024x1024"]
    )]
    sizes: Vec<String>,
    /// With --vram-budget, make each step so many milliseconds longer: a slower card, to see what streaming costs it.
    #[arg(long, value_name = "MS", requires = "synthetic", default_value_t = 0)]
    slower_step: u32,
    /// Measure each size also with so many LoRAs of rank 16 on every linear layer, and how long setting them takes; with
    /// --merge-loras, merged into the weights.
    #[arg(long, value_name = "N,…", requires = "synthetic", value_delimiter = ',')]
    loras: Vec<usize>,
    /// What they are: lora (of rank 16), lokr (its first factor 8×8) or loha (of rank 4).
    #[arg(long, value_name = "FORM", requires = "loras", default_value = "lora")]
    lora_form: LoraForm,
    /// Use the attention kernel for every card although this one has a better one.
    #[arg(long, requires = "synthetic", hide = true)]
    portable_attention: bool,
    /// Write each size's velocity there, as little-endian fp32, for comparisons with other programs.
    #[arg(long, value_name = "DIR", requires = "synthetic", hide = true)]
    velocity_to: Option<PathBuf>,
}

#[cfg(feature = "cuda")]
impl Args {
    /// What each step is made longer by.
    pub fn slower(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.slower_step.into())
    }
}

#[cfg(not(feature = "cuda"))]
pub(super) fn run(_args: &super::Args) -> Result<(), Failure> {
    Err(Failure::WithoutCuda("--synthetic"))
}

#[cfg(feature = "cuda")]
pub(super) use on_a_card::{run, used};

#[cfg(feature = "cuda")]
mod on_a_card {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use serde::Serialize;

    use super::super::{Args as Bench, budget};
    use super::{Args, Failure, LoraForm};
    use crate::cli::bench::measure::{Spread, spread};
    use crate::cli::stdout;
    use crate::device::{Device, MergeChoice, VramBudget};
    use crate::engine;
    use crate::engine::budget::Residence;
    use crate::engine::cuda::flux::precision::{self, Precision, Stored, asked};
    use crate::engine::cuda::synthetic::lora::{Form, random};
    use crate::engine::cuda::synthetic::{self, Step, Synthetic, TEXT};
    use crate::engine::cuda::vae::Decoder;
    use crate::engine::cuda::{Gpu, card};
    use crate::engine::dit::config::Config;
    use crate::engine::latent;
    use crate::gpu::Sampler;
    use crate::job::Size;

    /// Everything that is told. Times are in milliseconds, memory in bytes.
    #[derive(Serialize)]
    struct Told {
        version: &'static str,
        model: String,
        card: String,
        capability: String,
        driver: String,
        precision: &'static str,
        because: String,
        /// Seconds that making the weights took.
        made_in: f64,
        /// TFLOP/s of a large bf16 product on this card, just before.
        bf16_ceiling: f64,
        /// The same in fp8.
        fp8_ceiling: Option<f64>,
        /// T5-XXL over 512 tokens, in bf16.
        t5: f64,
        /// CLIP-L over 77.
        clip: f64,
        sizes: Vec<AtSize>,
    }

    /// What one size gave.
    #[derive(Serialize)]
    struct AtSize {
        width: u32,
        height: u32,
        tokens: usize,
        step: Spread,
        tflops: f64,
        /// What the step would take at the ceilings: products at that of the precision, attention at bf16's.
        floor: f64,
        /// floor / step.
        share_of_floor: f64,
        /// Modulation tables of 20 steps, and the rest of what is computed once a prompt.
        tables: f64,
        /// The VAE, in bf16.
        decode: f64,
        /// What decoding takes besides the VAE's weights.
        decode_memory: u64,
        /// Buffers of a step of this size.
        workspace: u64,
        /// The most that this program held at a time.
        held: u64,
        /// What the card had in use more than before the program opened it, by NVML.
        peak: Option<u64>,
        /// Whether all evaluations gave the same bits.
        repeats: bool,
        /// The same with LoRAs.
        loras: Vec<WithLoras>,
    }

    /// What LoRAs beside the model or in it cost.
    #[derive(Serialize)]
    struct WithLoras {
        count: usize,
        form: &'static str,
        rank: usize,
        /// Layers that they were merged into.
        merged: usize,
        step: Spread,
        /// By the medians, of the step without any.
        ratio: f64,
        /// Setting them in place of others, whose files were read before.
        set: Spread,
        /// What they take on the card.
        bytes: u64,
        /// What the program held after the first time they were set, and after the last.
        held: [u64; 2],
        repeats: bool,
    }

    /// The LoRAs that are measured: their rank (of LoKr the sides of the first factor), and how they are called.
    fn form(args: &Args) -> (Form, usize, &'static str) {
        match args.lora_form {
            LoraForm::Lora => (Form::LowRank(16), 16, "LoRAs"),
            LoraForm::Lokr => (Form::Kronecker(8), 8, "LoKrs"),
            LoraForm::Loha => (Form::Hadamard(4), 4, "LoHas"),
        }
    }

    pub(in crate::cli::bench) fn run(bench: &Bench) -> Result<(), Failure> {
        let args = &bench.synthetic;
        let config = config(&bench.model)?;
        let Device::Cuda(number) = bench.device.best(&engine::devices())? else {
            let (value, works) =
                (bench.device.to_string(), "--synthetic wants a card: see `flux-tui doctor`");
            return Err(Failure::Unmeasurable { what: "--device", value, works });
        };
        let sizes = args.sizes.iter().map(|size| parse(size)).collect::<Result<Vec<_>, _>>()?;
        if let Some(VramBudget(bytes)) = bench.load.vram_budget {
            return budget::run(bench, &config, number, &sizes, bytes);
        }
        let mut readings = Sampler::new();
        let before = used(&mut readings, number);
        let gpu = Gpu::open(number)?;
        let choice =
            precision::choose(asked(bench.load.precision.unwrap_or_default()), gpu.card(), Stored::FP8)?;
        let (bf16_ceiling, fp8_ceiling) = synthetic::ceilings(&gpu)?;
        let (t5, clip) = synthetic::encoders(&gpu, bench.repeat as usize)?;
        let decoder = Decoder::random(&gpu, synthetic::SEED)?;
        let whole = Residence::whole(config.double_blocks + config.single_blocks);
        let mut model_of_it = Synthetic::new(&gpu, config.clone(), choice.precision, &whole, |_| Ok(()))?;
        model_of_it.flux().use_portable_attention(args.portable_attention)?;
        let (major, minor) = gpu.card().capability;
        let driver = card::driver_version()?;
        let mut told = Told {
            version: env!("CARGO_PKG_VERSION"),
            model: bench.model.clone(),
            card: gpu.card().name.clone(),
            capability: format!("{major}.{minor}"),
            driver: format!("CUDA {}.{}", driver.0, driver.1),
            precision: choice.precision.name(),
            because: choice.because,
            made_in: model_of_it.made_in,
            bf16_ceiling,
            fp8_ceiling,
            t5,
            clip,
            sizes: Vec::new(),
        };
        for size in sizes {
            gpu.forget_peak();
            let step = model_of_it.measure(latent::grid(size), bench.repeat as usize, Duration::ZERO)?;
            let peak =
                used(&mut readings, number).zip(before).map(|(now, before)| now.saturating_sub(before));
            if let Some(folder) = &args.velocity_to {
                write_velocity(folder, size, &step.velocity)?;
            }
            let ceilings = match (choice.precision, fp8_ceiling) {
                (Precision::Fp8, Some(fp8)) => (fp8, bf16_ceiling),
                _ => (bf16_ceiling, bf16_ceiling),
            };
            let held = gpu.peak();
            let decoded = synthetic::decode(&gpu, &decoder, latent::grid(size), bench.repeat as usize)?;
            let mut at_size = at_size(&config, size, &step, decoded, ceilings, (held, peak));
            for &count in &args.loras {
                at_size.loras.push(with_loras(&mut model_of_it, &gpu, (size, &step), count, bench)?);
            }
            told.sizes.push(at_size);
        }
        if bench.json { stdout::json(&told) } else { stdout::write(&page(&told)) }
    }

    fn with_loras(
        model: &mut Synthetic,
        gpu: &Gpu,
        (size, without): (Size, &Step),
        count: usize,
        bench: &Bench,
    ) -> Result<WithLoras, Failure> {
        let (config, repeat) = (model.transformer().config.clone(), bench.repeat);
        let (merge, (of, rank, form)) =
            (bench.load.merge_loras == Some(MergeChoice::Resident), form(&bench.synthetic));
        let loras: Vec<_> = (0..count as u64).map(|number| Arc::new(random(&config, of, number))).collect();
        let (_, bytes) = model.set_loras(&loras, merge)?;
        let first = gpu.held();
        let mut set = Vec::new();
        for turn in 0..repeat as usize {
            // In another order they are others.
            let mut turned = loras.clone();
            turned.rotate_left(turn % count.max(1));
            set.push(model.set_loras(&turned, merge)?.0 * 1e3);
        }
        let (_, last) = (model.set_loras(&loras, merge)?, gpu.held());
        let merged = model.transformer().merged_layers();
        let step = model.measure(latent::grid(size), repeat as usize, Duration::ZERO)?;
        model.set_loras(&[], false)?;
        let times = spread(&step.milliseconds);
        Ok(WithLoras {
            count,
            form,
            rank,
            merged,
            ratio: times.median / spread(&without.milliseconds).median,
            step: times,
            set: spread(&set),
            bytes,
            held: [first, last],
            repeats: step.repeats,
        })
    }

    fn at_size(
        config: &Config,
        size: Size,
        step: &Step,
        (decode, decode_memory): (f64, u64),
        (products_rate, attention_rate): (f64, f64),
        (held, peak): (u64, Option<u64>),
    ) -> AtSize {
        let tokens = size.image_tokens() + TEXT;
        let (products, attention) = config.flop(tokens);
        let floor = (products / products_rate + attention / attention_rate) / 1e9;
        let times = spread(&step.milliseconds);
        AtSize {
            width: size.width(),
            height: size.height(),
            tokens,
            step: times,
            tflops: (products + attention) / times.median / 1e9,
            floor,
            share_of_floor: floor / times.median,
            tables: step.tables,
            decode,
            decode_memory,
            workspace: step.workspace,
            held,
            peak,
            repeats: step.repeats,
            loras: Vec::new(),
        }
    }

    fn config(model: &str) -> Result<Config, Failure> {
        match model {
            "flux1-dev" => Ok(Config::flux1_dev()),
            "flux1-schnell" => Ok(Config::flux1_schnell()),
            other => Err(Failure::Unmeasurable {
                what: "--model",
                value: other.to_owned(),
                works: "with --synthetic it is flux1-dev or flux1-schnell",
            }),
        }
    }

    fn parse(size: &str) -> Result<Size, Failure> {
        let sides = size.split_once(['x', '×']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let Some((width, height)) = sides else {
            let works = "sizes are like 768x512";
            return Err(Failure::Unmeasurable { what: "--sizes", value: size.to_owned(), works });
        };
        Ok(Size::new(width, height)?)
    }

    /// Bytes in use on the card by all, by NVML. Its numbers and the driver's agree where CUDA_DEVICE_ORDER and
    /// CUDA_VISIBLE_DEVICES do not reorder the cards.
    pub(in crate::cli::bench) fn used(readings: &mut Sampler, card: u32) -> Option<u64> {
        readings.sample().gpus.iter().find(|gpu| gpu.index == card).map(|gpu| gpu.used)
    }

    fn write_velocity(folder: &Path, size: Size, velocity: &[f32]) -> Result<(), Failure> {
        let path = folder.join(format!("{}x{}.f32", size.width(), size.height()));
        let bytes: Vec<u8> = velocity.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&path, bytes).map_err(|source| Failure::Read { path, source })
    }

    fn page(told: &Told) -> String {
        let fp8 = told.fp8_ceiling.map_or_else(|| "no fp8".to_owned(), |rate| format!("fp8 {rate:.0}"));
        let mut page = format!(
            "flux-tui {}: {}, random weights, {} ({})\n{}, compute capability {}, {}; large products: bf16 {:.0}, {} \
             TFLOP/s\n\n",
            told.version,
            told.model,
            told.precision,
            told.because,
            told.card,
            told.capability,
            told.driver,
            told.bf16_ceiling,
            fp8,
        );
        page += "size        tokens   step ms      min      max  TFLOP/s  floor ms  share  tables ms  decode ms  peak GB\n";
        for size in &told.sizes {
            let peak = size.peak.unwrap_or(size.held) as f64 / 1e9;
            page += &format!(
                "{:11} {:6} {:9.2} {:8.2} {:8.2} {:8.0} {:9.2} {:5.0}% {:10.2} {:10.2} {:8.2}{}\n",
                format!("{}x{}", size.width, size.height),
                size.tokens,
                size.step.median,
                size.step.min,
                size.step.max,
                size.tflops,
                size.floor,
                size.share_of_floor * 100.0,
                size.tables,
                size.decode,
                peak,
                if size.repeats { "" } else { "  the bits differ from run to run" },
            );
            for with in &size.loras {
                page += &format!(
                    "{:>11} {:>16.2} {:8.2} {:8.2}  {:.3} of the step without; set in {:.1} ms, {:.3} GB{}\n",
                    format!("+ {} {}", with.count, with.form),
                    with.step.median,
                    with.step.min,
                    with.step.max,
                    with.ratio,
                    with.set.median,
                    with.bytes as f64 / 1e9,
                    match (with.merged, with.held[0] == with.held[1]) {
                        (0, true) => String::new(),
                        (layers, true) => format!("; merged into {layers} layers"),
                        (_, false) => "; memory has grown".to_owned(),
                    },
                );
            }
        }
        page + &format!("\nT5-XXL, 512 tokens: {:.2} ms; CLIP-L: {:.2} ms\n", told.t5, told.clip)
    }
}
