//! The engine against diffusers, transformers and torch: every intermediate of one forward pass,
//! whole pictures, noise, schedules and tokens. `tests/reference/README.md` says how those were made.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use flux_tui::device::{self, LoadOptions};
use flux_tui::engine::dit::model::{Flux, Watch};
use flux_tui::engine::sample::noise::{Mt19937, randn};
use flux_tui::engine::sample::schedule::{Shift, mu, sigmas};
use flux_tui::engine::text::encode::Clip;
use flux_tui::engine::text::t5::T5;
use flux_tui::engine::vae::decoder::{Decoder, Scaling};
use flux_tui::engine::weights::{Weights, WeightsError};
use flux_tui::engine::{self, Brief, Counter, Observer, Placement, Report, latent};
use flux_tui::job::{Prompt, Size};
use flux_tui::model::{ModelName, Parts, Source, TextLimits};
use serde::Deserialize;

const LIMITS: TextLimits = TextLimits { t5: 32, clip: 77 };

fn on_cpu() -> Placement {
    Placement::new(device::Device::Cpu, LoadOptions::default())
}

fn nano(file: &str) -> Source {
    Source::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file))
}

fn parts() -> Parts {
    Parts {
        transformer: nano("flux1-nano-fp8.safetensors"),
        complete_from: None,
        encoded: None,
        converted: None,
        products: None,
        vae: nano("ae.safetensors"),
        vae_config: nano("vae_config.json"),
        clip: nano("clip.safetensors"),
        clip_config: nano("clip_config.json"),
        clip_tokenizer: nano("clip_tokenizer.json"),
        t5: nano("t5.safetensors"),
        t5_config: nano("t5_config.json"),
        t5_tokenizer: nano("t5_tokenizer.json"),
        preview: nano("preview.json"),
    }
}

fn reference(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(file)
}

fn tensors(file: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(reference(file), &Device::Cpu).expect("the reference is whole")
}

fn json<T: for<'de> Deserialize<'de>>(file: &str) -> T {
    let text = std::fs::read_to_string(reference(file)).expect("the reference is there");
    serde_json::from_str(&text).expect("the reference is JSON of this form")
}

/// ‖ours − theirs‖ / ‖theirs‖, shapes apart from leading ones.
fn relative_error(ours: &Tensor, theirs: &Tensor) -> f64 {
    let flat = |tensor: &Tensor| tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("fp32");
    let (ours, theirs) = (flat(ours), flat(theirs));
    assert_eq!(ours.len(), theirs.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let difference = square(&mut ours.iter().zip(&theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / square(&mut theirs.iter().map(|x| f64::from(*x)))
}

fn flux() -> Flux {
    let weights = Weights::open(&parts().transformer).expect("nano's transformer opens");
    Flux::load::<WeightsError>(&weights, |_| Ok(())).expect("nano's transformer loads")
}

/// Compares the streams after each block as they go by.
struct Compare<'r> {
    reference: &'r HashMap<String, Tensor>,
    seen: usize,
}

impl Compare<'_> {
    fn check(&mut self, name: &str, ours: &Tensor) {
        let error = relative_error(ours, &self.reference[name]);
        assert!(error < 1e-4, "{name} is off by {error:.2e}");
        self.seen += 1;
    }
}

impl Watch for Compare<'_> {
    fn after_double(&mut self, index: usize, img: &Tensor, txt: &Tensor) {
        self.check(&format!("double.{index}.img"), img);
        self.check(&format!("double.{index}.txt"), txt);
    }
    fn after_single(&mut self, index: usize, x: &Tensor) {
        self.check(&format!("single.{index}"), x);
    }
}

#[test]
fn every_intermediate_of_the_transformer_is_diffusers() {
    let reference = tensors("intermediates.safetensors");
    let flux = flux();
    let scalar = |name: &str| reference[name].to_vec1::<f32>().expect("a scalar")[0];
    let text = reference["t5_out"].squeeze(0).expect("a batch of one");
    let (time, guidance) = (scalar("timestep"), scalar("guidance"));
    let conditions =
        flux.condition(&text, &reference["clip_pooled"], (8, 8), &[time], guidance).expect("conditions");
    let mut compare = Compare { reference: &reference, seen: 0 };
    compare.check("vec", &conditions.modulations.vec);
    let noise = reference["noise"].squeeze(0).expect("a batch of one");
    let velocity = flux.forward(&noise, &conditions, 0, &mut compare).expect("a velocity");
    compare.check("velocity", &velocity);
    assert_eq!(compare.seen, 2 + 2 * 3 + 5);
}

/// Tables for a whole schedule hold what the same times give one by one.
#[test]
fn modulations_prepared_together_equal_those_prepared_alone() {
    let reference = tensors("intermediates.safetensors");
    let (flux, pooled) = (flux(), &reference["clip_pooled"]);
    let times = [1.0, 0.83, 0.4, 0.01];
    let together = flux.modulator.prepare(&times, 3.5, pooled).expect("tables");
    for (step, time) in times.iter().enumerate() {
        let alone = flux.modulator.prepare(&[*time], 3.5, pooled).expect("tables");
        for block in 0..flux.config.single_blocks {
            let (a, b) =
                (together.single(block, step).expect("in range"), alone.single(block, 0).expect("in range"));
            assert!(relative_error(&a.shift_scale, &b.shift_scale) < 1e-6);
            assert!(relative_error(&a.gate, &b.gate) < 1e-6);
        }
    }
}

#[test]
fn both_text_encoders_are_transformers() {
    let reference = tensors("intermediates.safetensors");
    let Parts { t5_tokenizer, clip_tokenizer, .. } = parts();
    let counter = Counter::load(&t5_tokenizer, &clip_tokenizer, LIMITS).expect("nano's tokenizers load");
    let prompt = "a red apple, 3d";
    let t5 = counter.t5.tokenize(prompt).expect("tokens");
    let model = T5::load(&Weights::open(&parts().t5).expect("opens"), &parts().t5_config).expect("loads");
    let error = relative_error(&model.encode(&t5).expect("encodes"), &reference["t5_out"]);
    assert!(error < 1e-4, "T5 is off by {error:.2e}");
    let clip = counter.clip.tokenize(prompt).expect("tokens");
    let model =
        Clip::load(&Weights::open(&parts().clip).expect("opens"), &parts().clip_config).expect("loads");
    let error = relative_error(&model.encode(&clip).expect("encodes"), &reference["clip_pooled"]);
    assert!(error < 1e-4, "CLIP is off by {error:.2e}");
}

#[test]
fn the_vae_is_diffusers() {
    let reference = tensors("intermediates.safetensors");
    let scaling = Scaling::read(&parts().vae_config).expect("nano's scaling");
    let decoder = Decoder::load(&Weights::open(&parts().vae).expect("opens"), scaling).expect("loads");
    // The reference decodes the noise itself, as if it were a latent.
    let tokens = reference["noise"].squeeze(0).expect("a batch of one");
    let picture = decoder.decode(&latent::unpack(&tokens, (8, 8)).expect("64 tokens")).expect("decodes");
    let picture = picture.permute((2, 0, 1)).expect("three dimensions");
    let error = relative_error(&picture, &reference["vae_decode"]);
    assert!(error < 1e-4, "the VAE is off by {error:.2e}");
}

#[derive(Deserialize)]
struct Case {
    name: String,
    prompt: String,
    seed: u64,
    width: u32,
    height: u32,
    steps: u32,
    guidance: f32,
    file: String,
}

/// Keeps the steps that it was told of.
#[derive(Default)]
struct Steps(Vec<u32>);

impl Observer for Steps {
    fn report(&mut self, report: Report<'_>) {
        if let Report::Step(step) = report {
            assert_eq!(step.preview.rgb().len() as u32, 3 * step.preview.size().0 * step.preview.size().1);
            self.0.push(step.step);
        }
    }
    fn wants_stop(&self) -> bool {
        false
    }
}

fn psnr(ours: &[u8], theirs: &[u8]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let squares: f64 = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0f64.powi(2) / (squares / ours.len() as f64)).log10()
}

#[test]
fn whole_pictures_are_diffusers() {
    let mut model = engine::load(&ModelName::new("nano"), &parts(), LIMITS, &on_cpu(), &mut Steps::default())
        .expect("loads");
    let mut drawn = 0;
    for case in json::<Vec<Case>>("pictures/cases.json") {
        let Ok(prompt) = Prompt::new(case.prompt) else { continue }; // an empty one is refused here
        let size = Size::new(case.width, case.height).expect("a size that can be drawn");
        let brief = Brief {
            prompt,
            size,
            steps: case.steps,
            guidance: case.guidance,
            seed: case.seed,
            loras: Vec::new(),
        };
        let mut steps = Steps::default();
        let ours = model.draw(&brief, &mut steps).expect("draws");
        assert_eq!(steps.0, (0..=case.steps).collect::<Vec<_>>());
        let theirs = image::open(reference("pictures").join(&case.file)).expect("a PNG").to_rgb8();
        let psnr = psnr(&ours.rgb, theirs.as_raw());
        assert!(psnr >= 45.0, "{}: {psnr:.1} dB", case.name);
        drawn += 1;
    }
    assert!(drawn >= 8);
}

#[test]
fn noise_is_torchs() {
    let reference = tensors("noise.safetensors");
    let (mut integers, mut normals) = (0, 0);
    for (name, tensor) in &reference {
        let parts: Vec<&str> = name.split('.').collect();
        let seed: u64 = parts[1].parse().expect("a seed");
        if parts[0] == "mt19937" {
            let mut generator = Mt19937::new(seed);
            let theirs = tensor.to_vec1::<i64>().expect("integers");
            let ours: Vec<i64> = theirs.iter().map(|_| i64::from(generator.next_u32())).collect();
            assert_eq!(ours, theirs, "{name}");
            integers += 1;
        } else {
            let theirs = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("fp32");
            for (ours, theirs) in randn(seed, theirs.len()).iter().zip(&theirs) {
                // 3e-7 of values around 1; in proportion where a larger value's own spacing is wider.
                let error = (ours - theirs).abs() / theirs.abs().max(1.0);
                assert!(error <= 3e-7, "{name}: {ours} is not {theirs}");
            }
            normals += 1;
        }
    }
    assert!(integers >= 5 && normals >= 90, "{integers} and {normals}");
}

#[test]
fn packed_noise_is_the_pipelines() {
    let reference = tensors("noise.safetensors");
    let theirs = reference["randn.42.latent"].flatten_all().and_then(|t| t.to_vec1()).expect("fp32");
    let theirs =
        Tensor::from_vec(latent::packed(&theirs, (8, 8)), (64, 64), &Device::Cpu).expect("64 tokens");
    let ours = latent::noise(42, Size::new(128, 128).expect("a size")).expect("noise");
    assert!(relative_error(&ours, &theirs) < 1e-7);
}

#[derive(Deserialize)]
struct Schedule {
    model: String,
    steps: u32,
    tokens: usize,
    mu: Option<f64>,
    sigmas: Vec<f32>,
}

#[test]
fn schedules_are_diffusers() {
    for theirs in json::<Vec<Schedule>>("schedules.json") {
        let shift = if theirs.model == "schnell" { Shift::None } else { Shift::BySize };
        let ours = sigmas(theirs.steps, theirs.tokens, shift);
        assert_eq!(ours.len(), theirs.sigmas.len());
        for (a, b) in ours.iter().zip(&theirs.sigmas) {
            assert!((a - b).abs() < 1e-6, "{} {}: {a} is not {b}", theirs.model, theirs.steps);
        }
        if let (Shift::BySize, Some(expected)) = (shift, theirs.mu) {
            assert!((mu(theirs.tokens) - expected).abs() < 1e-9);
        }
    }
}

#[derive(Deserialize)]
struct TokenCase {
    prompt: String,
    clip: Ids,
    t5: Ids,
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<u32>,
    all: Vec<u32>,
}

#[test]
fn tokens_are_transformers_in_every_script() {
    let Parts { t5_tokenizer, clip_tokenizer, .. } = parts();
    let counter = Counter::load(&t5_tokenizer, &clip_tokenizer, LIMITS).expect("nano's tokenizers load");
    let cases: Vec<TokenCase> = json("tokens.json");
    assert!(cases.len() >= 80);
    for case in cases {
        for (tokenizer, theirs) in [(&counter.t5, &case.t5), (&counter.clip, &case.clip)] {
            let ours = tokenizer.tokenize(&case.prompt).expect("tokens");
            assert_eq!(ours.ids, theirs.ids, "{:?}", case.prompt);
            assert_eq!(ours.count.tokens, theirs.all.len(), "{:?}", case.prompt);
            let is_cut = theirs.all.len() > theirs.ids.len();
            assert_eq!(ours.count.cut_at.is_some(), is_cut, "{:?}", case.prompt);
            assert_eq!(ours.count.cut(&case.prompt).is_empty(), !is_cut, "{:?}", case.prompt);
        }
    }
}
