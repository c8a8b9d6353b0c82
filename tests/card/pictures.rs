//! Whole pictures of the built-in model on a card against those of the CPU, and what a session of them leaves behind.

use flux_tui::device::{Device, LoadOptions, PrecisionChoice, T5Choice};
use flux_tui::engine::cuda::pipeline::Pipeline;
use flux_tui::engine::{self, Brief, Draw, EngineError, Observer, Placement, Report, StepLatent};
use flux_tui::job::{Prompt, Size};
use flux_tui::model::{ModelName, Parts, TextLimits};

use super::{gpu, nano};

pub const LIMITS: TextLimits = TextLimits { t5: 32, clip: 77 };

pub fn parts() -> Parts {
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

pub fn brief(prompt: &str, (width, height): (u32, u32), seed: u64) -> Brief {
    Brief {
        prompt: Prompt::new(prompt).expect("a prompt"),
        size: Size::new(width, height).expect("a size"),
        steps: 20,
        guidance: 3.0,
        seed,
        loras: Vec::new(),
    }
}

/// Looks at every preview, and may stop at a step.
#[derive(Default)]
pub struct Looker {
    stop_at: Option<u32>,
    reached: u32,
    previews: usize,
}

impl Observer for Looker {
    fn report(&mut self, report: Report<'_>) {
        if let Report::Step(step) = report {
            self.reached = step.step;
            let (width, height) = step.preview.size();
            assert_eq!(step.preview.rgb().len(), 3 * (width * height) as usize);
            self.previews += 1;
        }
    }

    fn wants_stop(&self) -> bool {
        self.stop_at.is_some_and(|step| self.reached >= step)
    }
}

pub fn psnr(ours: &[u8], theirs: &[u8]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let mean = ours.iter().zip(theirs).map(square).sum::<f64>() / ours.len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}

fn on_card(gpu: &std::sync::Arc<engine::cuda::Gpu>, precision: PrecisionChoice) -> Pipeline {
    load(gpu, LoadOptions { precision, ..LoadOptions::default() })
}

pub fn load(gpu: &std::sync::Arc<engine::cuda::Gpu>, options: LoadOptions) -> Pipeline {
    let (name, on) = (ModelName::new(ModelName::NANO), Placement::new(Device::Cuda(0), options));
    Pipeline::load(gpu, &name, &parts(), LIMITS, &on, &mut Looker::default()).expect("nano loads")
}

pub fn draw(engine: &mut dyn Draw, brief: &Brief) -> Vec<u8> {
    engine.draw(brief, &mut Looker::default()).expect("it draws").rgb
}

#[test]
fn pictures_in_bf16_are_the_cpus_at_40_db() {
    let Some(gpu) = gpu() else { return };
    let name = ModelName::new(ModelName::NANO);
    let mut cpu = super::load_on_cpu(&name, &parts(), LIMITS);
    for precision in [PrecisionChoice::Bf16, PrecisionChoice::Fp8Storage] {
        let mut card = on_card(&gpu, precision);
        for (prompt, size, seed) in [
            ("a red apple", (128, 128), 42),
            ("a blue car, flat", (128, 128), 7),
            ("a rocket, cartoon", (192, 128), 1 << 40),
            ("红色的苹果", (80, 112), 3),
        ] {
            let brief = brief(prompt, size, seed);
            let quality = psnr(&draw(&mut card, &brief), &draw(cpu.as_mut(), &brief));
            eprintln!("{precision}, {prompt:?} at {size:?}: {quality:.1} dB");
            assert!(quality > 40.0, "{precision}, {prompt:?} at {size:?}: {quality:.1} dB");
        }
    }
}

#[test]
fn t5_reads_on_the_cpu_what_it_reads_on_the_card() {
    let Some(gpu) = gpu() else { return };
    let options = |t5| LoadOptions { precision: PrecisionChoice::Bf16, t5, ..LoadOptions::default() };
    let before = gpu.held();
    let mut card = load(&gpu, options(T5Choice::Card));
    let with_t5 = gpu.held() - before;
    let mut host = load(&gpu, options(T5Choice::Cpu));
    let without = gpu.held() - before - with_t5;
    assert!(without < with_t5, "{without} bytes without T5, {with_t5} with it");
    assert!(host.precision().ends_with("T5 on the CPU in fp32"), "{}", host.precision());
    for (prompt, seed) in [("a red apple", 42), ("a blue car, flat", 7)] {
        let brief = brief(prompt, (128, 128), seed);
        let quality = psnr(&draw(&mut host, &brief), &draw(&mut card, &brief));
        eprintln!("T5 on the CPU and on the card, {prompt:?}: {quality:.1} dB");
        assert!(quality > 40.0, "{prompt:?}: {quality:.1} dB");
    }
}

#[test]
fn pictures_in_fp8_are_near_those_in_bf16_over_64_prompts() {
    let Some(gpu) = gpu() else { return };
    if !gpu.card().has_fp8() {
        eprintln!("not run: fp8 on {}", gpu.card().name);
        return;
    }
    let (mut narrow, mut wide) = (on_card(&gpu, PrecisionChoice::Fp8), on_card(&gpu, PrecisionChoice::Bf16));
    let colours = ["red", "blue", "green", "yellow", "purple", "orange", "black", "white"];
    let things = ["apple", "car", "house", "cat", "tree", "rocket", "flower", "fish"];
    let mut qualities = Vec::new();
    for colour in colours {
        for thing in things {
            let brief = brief(&format!("a {colour} {thing}"), (128, 128), qualities.len() as u64);
            qualities.push((psnr(&draw(&mut narrow, &brief), &draw(&mut wide, &brief)), brief.prompt));
        }
    }
    qualities.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mean = qualities.iter().map(|(quality, _)| quality).sum::<f64>() / qualities.len() as f64;
    let (worst, median) = (&qualities[0], qualities[qualities.len() / 2].0);
    eprintln!("fp8 against bf16: mean {mean:.1} dB, median {median:.1} dB, worst {:.1} dB", worst.0);
    eprintln!("the worst is {:?}", worst.1.as_str());
    assert!(mean > 20.0, "{mean:.1} dB");
}

#[test]
fn a_stop_takes_effect_within_a_step_and_gives_the_memory_back() {
    let Some(gpu) = gpu() else { return };
    let mut card = on_card(&gpu, PrecisionChoice::Bf16);
    let brief = brief("a red apple", (256, 256), 1);
    draw(&mut card, &brief);
    let held = gpu.held();
    let mut looker = Looker { stop_at: Some(3), ..Looker::default() };
    let stopped = card.draw(&brief, &mut looker);
    assert!(matches!(stopped, Err(EngineError::Stopped)), "{stopped:?}");
    assert_eq!((looker.reached, gpu.held()), (3, held));
}

#[test]
fn fifty_pictures_in_a_row_are_the_same_and_leave_no_memory_behind() {
    let Some(gpu) = gpu() else { return };
    let before = gpu.held();
    let mut card = on_card(&gpu, PrecisionChoice::Fp8Storage);
    let brief = brief("a green tree, 3d", (128, 128), 5);
    let first = draw(&mut card, &brief);
    let held = gpu.held();
    for _ in 0..50 {
        assert_eq!(draw(&mut card, &brief), first);
        assert_eq!(gpu.held(), held);
    }
    drop(card);
    // What cublasLt works in stays.
    assert!(gpu.held() <= before + (64 << 20), "{} bytes are still held", gpu.held() - before);
}

/// Keeps the latent of every step.
#[derive(Default)]
struct Keeper(Vec<StepLatent>);

impl Observer for Keeper {
    fn report(&mut self, report: Report<'_>) {
        if let Report::Step(step) = report {
            self.0.push(step.latent.copy().expect("it can be brought from the card"));
        }
    }

    fn wants_stop(&self) -> bool {
        false
    }
}

#[test]
fn a_picture_gone_on_with_from_any_step_is_the_same_picture() {
    let Some(gpu) = gpu() else { return };
    for precision in [PrecisionChoice::Bf16, PrecisionChoice::Fp8Storage] {
        let (mut card, brief) = (on_card(&gpu, precision), brief("a red apple", (192, 128), 42));
        let mut all = Keeper::default();
        let whole = card.draw(&brief, &mut all).expect("it draws").rgb;
        for begun in [&all.0[1], &all.0[9], &all.0[19], &all.0[20]] {
            let mut rest = Keeper::default();
            let drawn = card.draw_from(&brief, Some(begun), &mut rest).expect("it goes on").rgb;
            assert_eq!(rest.0, all.0[begun.step as usize..], "{precision}, from step {}", begun.step);
            assert!(drawn == whole, "{precision}, from step {}", begun.step);
        }
        let other = StepLatent { tokens: 64, ..all.0[1].clone() };
        let refused = card.draw_from(&brief, Some(&other), &mut Keeper::default());
        assert!(matches!(refused, Err(EngineError::Resume { step: 1, .. })), "{refused:?}");
    }
}
