//! LoRAs on a card against the same on the CPU, in every form and precision.

use flux_tui::device::{Device, LoadOptions, PrecisionChoice};
use flux_tui::engine::budget::Residence;
use flux_tui::engine::cuda::flux::origin::Origin;
use flux_tui::engine::cuda::flux::precision::Precision;
use flux_tui::engine::cuda::pipeline::Pipeline;
use flux_tui::engine::lora::{Changed, Of, Shelf, footprint};
use flux_tui::engine::{LoraFile, Placement};
use flux_tui::model::ModelName;

use super::pictures::{LIMITS, Looker, brief, draw, parts, psnr};
use super::transformer::{Inputs, OnCard, TEXT, TIMES, on_cpu};
use super::{gpu, load_on_cpu, relative_error, weights};
use crate::lora_model::{Nano, STRENGTH, fixture, lora, shapes};

const FORMS: [&str; 14] = [
    "comfy",
    "diffusers-old",
    "dora",
    "full",
    "kohya",
    "kohya-fp8",
    "loha",
    "lokr",
    "lycoris",
    "onetrainer",
    "peft",
    "peft-configured",
    "peft-dora",
    "xlabs",
];
const STEP: usize = 1;

fn set(card: &mut OnCard, files: &[LoraFile]) {
    let (loras, _) = Shelf::new(shapes()).take(files).expect("they are LoRAs of nano");
    let changed = Changed::by(&loras, Of::Transformer);
    let file = weights("flux1-nano-fp8.safetensors");
    card.flux()
        .set_loras(&Origin::File(&file), &shapes().transformer, &changed)
        .unwrap_or_else(|error| panic!("{error}"));
}

fn velocity(card: &OnCard, inputs: &Inputs) -> Vec<f32> {
    let (conditions, workspace) = (card.condition(inputs, &TIMES), card.workspace(inputs));
    card.velocity(&workspace, &conditions, STEP)
}

/// What a LoRA changes on the card by what it changes on the CPU: 1 where it is as much, in the same direction. Rounding
/// is in no direction, so it hardly shows.
fn share(card: [&[f32]; 2], cpu: [&[f32]; 2]) -> f64 {
    let (mut along, mut all) = (0.0, 0.0);
    for at in 0..cpu[0].len() {
        let ours = f64::from(card[1][at]) - f64::from(card[0][at]);
        let theirs = f64::from(cpu[1][at]) - f64::from(cpu[0][at]);
        along += ours * theirs;
        all += theirs * theirs;
    }
    along / all
}

fn precisions(fp8: bool) -> Vec<(Precision, f64)> {
    let all = [(Precision::Bf16, 2e-2), (Precision::Fp8Storage, 2e-2), (Precision::Fp8, 8e-2)];
    all.into_iter().filter(|(precision, _)| fp8 || *precision != Precision::Fp8).collect()
}

#[test]
fn every_form_of_lora_adds_what_it_adds_on_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let mut nano = Nano::new();
    let config = nano.flux.config.clone();
    let mut worst = 0.0f64;
    for (text, grid) in [(TEXT, (8, 8)), (77, (5, 7))] {
        let inputs = Inputs::new(&config, text, grid);
        nano.set(&[]);
        let none = on_cpu(&config, &nano.flux, &inputs, STEP);
        for (precision, most) in precisions(gpu.card().has_fp8()) {
            let mut card = OnCard::new(&gpu, precision);
            let without = velocity(&card, &inputs);
            for name in FORMS {
                let files = [lora(&fixture(name), STRENGTH)];
                nano.set(&files);
                let expected = on_cpu(&config, &nano.flux, &inputs, STEP);
                set(&mut card, &files);
                let ours = velocity(&card, &inputs);
                let error = relative_error(&ours, &expected);
                let share = share([&without, &ours], [&none, &expected]);
                eprintln!(
                    "{name}, {}, {text} + {grid:?}: off by {error:.1e}, changes {share:.3}",
                    precision.name()
                );
                assert!(error < most, "{name} in {}: off by {error:e}", precision.name());
                // In fp8 the rounding of a few rows is not small beside a small change.
                let near = if precision == Precision::Fp8 { 0.2 } else { 0.05 };
                assert!((share - 1.0).abs() < near, "{name} in {}: {share}", precision.name());
                worst = worst.max((share - 1.0).abs());
            }
        }
    }
    eprintln!("changes are within {worst:.3} of the CPU's");
}

#[test]
fn loras_add_where_the_library_has_no_scales_a_row() {
    let Some(gpu) = gpu() else { return };
    if !gpu.card().has_fp8() {
        eprintln!("not run: fp8 on {}", gpu.card().name);
        return;
    }
    let mut nano = Nano::new();
    let config = nano.flux.config.clone();
    let inputs = Inputs::new(&config, TEXT, (8, 8));
    let files = ["kohya", "peft", "lokr"].map(|name| lora(&fixture(name), 0.5));
    nano.set(&files);
    let expected = on_cpu(&config, &nano.flux, &inputs, STEP);
    let mut card = OnCard::new(&gpu, Precision::Fp8);
    set(&mut card, &files);
    let with_scales = velocity(&card, &inputs);
    gpu.do_without_row_scales(true);
    let without = velocity(&card, &inputs);
    gpu.do_without_row_scales(false);
    for (way, ours) in [("with", with_scales), ("without", without)] {
        let error = relative_error(&ours, &expected);
        eprintln!("three LoRAs {way} scales a row: off by {error:.1e}");
        assert!(error < 8e-2, "{way} scales a row: {error:e}");
    }
}

#[test]
fn layers_and_loras_in_one_kernel_add_what_two_products_add() {
    let Some(gpu) = gpu() else { return };
    if !gpu.card().is_hopper() {
        eprintln!("not run: no kernel for {}", gpu.card().name);
        return;
    }
    let mut nano = Nano::new();
    let config = nano.flux.config.clone();
    for (text, grid) in [(TEXT, (8, 8)), (77, (5, 7))] {
        let inputs = Inputs::new(&config, text, grid);
        for name in ["kohya", "comfy", "xlabs", "peft"] {
            let files = [lora(&fixture(name), STRENGTH)];
            nano.set(&files);
            let expected = on_cpu(&config, &nano.flux, &inputs, STEP);
            let mut card = OnCard::new(&gpu, Precision::Fp8);
            set(&mut card, &files);
            let two = velocity(&card, &inputs);
            gpu.always_with_ranks(true);
            let one = velocity(&card, &inputs);
            let again = velocity(&card, &inputs);
            gpu.always_with_ranks(false);
            let [off, others] = [&one, &two].map(|ours| relative_error(ours, &expected));
            eprintln!("{name}, {text} + {grid:?}: off by {off:.2e}, two products by {others:.2e}");
            assert!(one == again, "{name}: other bits");
            assert!(one != two, "{name}: another kernel has other bits");
            // What fp8 rounds away is the same, and falls otherwise.
            assert!(off < 8e-2 && off < 1.3 * others, "{name}: {off:e} and {others:e}");
        }
    }
}

#[test]
fn without_loras_and_at_strength_0_a_card_has_the_bits_of_before_and_its_memory() {
    let Some(gpu) = gpu() else { return };
    let config = Nano::new().flux.config;
    let inputs = Inputs::new(&config, TEXT, (8, 8));
    for (precision, _) in precisions(gpu.card().has_fp8()) {
        let mut card = OnCard::new(&gpu, precision);
        let before = velocity(&card, &inputs);
        let held = gpu.held();
        let one = [lora(&fixture("kohya"), 1.0)];
        set(&mut card, &one);
        let with = velocity(&card, &inputs);
        assert!(with != before && gpu.held() > held);
        set(&mut card, &[lora(&fixture("peft"), 0.0)]);
        assert!(velocity(&card, &inputs) == before, "{}: strength 0", precision.name());
        set(&mut card, &one);
        assert!(velocity(&card, &inputs) == with, "{}: the same again", precision.name());
        set(&mut card, &[]);
        assert!(velocity(&card, &inputs) == before, "{}: none", precision.name());
        assert_eq!(gpu.held(), held);
    }
}

#[test]
fn the_order_of_two_loras_hardly_matters_and_their_sum_is_both() {
    let Some(gpu) = gpu() else { return };
    let mut nano = Nano::new();
    let config = nano.flux.config.clone();
    let inputs = Inputs::new(&config, TEXT, (8, 8));
    let [one, other] = ["kohya", "xlabs"].map(|name| lora(&fixture(name), 0.6));
    let mut card = OnCard::new(&gpu, Precision::Bf16);
    set(&mut card, &[one.clone(), other.clone()]);
    let ours = velocity(&card, &inputs);
    set(&mut card, &[other.clone(), one.clone()]);
    let turned = relative_error(&velocity(&card, &inputs), &ours);
    nano.set(&[one, other]);
    let error = relative_error(&ours, &on_cpu(&config, &nano.flux, &inputs, STEP));
    eprintln!("two LoRAs: off by {error:.1e}, by {turned:.1e} in the other order");
    assert!(error < 2e-2 && turned < 2e-2, "{error:e}, {turned:e}");
}

#[test]
fn loras_beside_streamed_blocks_have_the_bits_of_those_beside_resident_ones() {
    let Some(gpu) = gpu() else { return };
    let file = weights("flux1-nano-fp8.safetensors");
    let config = Nano::new().flux.config;
    let inputs = Inputs::new(&config, TEXT, (8, 8));
    let files = ["kohya", "dora", "lokr"].map(|name| lora(&fixture(name), 0.8));
    let blocks = config.double_blocks + config.single_blocks;
    for (precision, _) in precisions(gpu.card().has_fp8()) {
        let [whole, streamed] = [Residence::whole(blocks), Residence::nothing(blocks, 2)].map(|plan| {
            let mut card = OnCard::of(&gpu, &file, precision, &plan);
            set(&mut card, &files);
            // Twice: tables that were kept belong to these LoRAs.
            velocity(&card, &inputs);
            velocity(&card, &inputs)
        });
        assert!(whole == streamed, "{}", precision.name());
    }
}

#[test]
fn lokr_and_loha_hold_what_their_files_foretell_and_no_whole_matrices() {
    let Some(gpu) = gpu() else { return };
    for (precision, _) in precisions(gpu.card().has_fp8()) {
        let mut card = OnCard::new(&gpu, precision);
        for name in ["lokr", "loha", "lycoris", "kohya"] {
            let before = gpu.held();
            set(&mut card, &[lora(&fixture(name), 1.0)]);
            let (held, foretold) = (gpu.held() - before, footprint(&fixture(name)));
            eprintln!("{name} in {}: {held} bytes of {foretold} foretold", precision.name());
            // What lies between small matrices is not small beside them.
            assert!(held <= foretold + 256 * 100, "{name}: {held} of {foretold}");
            set(&mut card, &[]);
            assert_eq!(gpu.held(), before);
        }
    }
}

#[test]
fn a_thousand_switches_leave_no_memory_behind() {
    let Some(gpu) = gpu() else { return };
    let mut card = OnCard::new(&gpu, Precision::Bf16);
    let files = ["kohya", "peft", "loha", "dora"].map(|name| lora(&fixture(name), 0.7));
    let shapes = shapes();
    let (loras, _) = Shelf::new(shapes.clone()).take(&files).expect("they are LoRAs of nano");
    let file = weights("flux1-nano-fp8.safetensors");
    let (mut held, mut free) = (Vec::new(), Vec::new());
    for turn in 0..1000 {
        let mut now = loras[turn % 4..].to_vec();
        now.iter_mut().for_each(|lora| lora.1 = (turn % 10) as f32 / 10.0 + 0.1);
        let changed = Changed::by(&now, Of::Transformer);
        card.flux().set_loras(&Origin::File(&file), &shapes.transformer, &changed).expect("there is memory");
        if turn % 4 == 0 {
            held.push(gpu.held());
            free.push(gpu.free_and_total().expect("the driver says").0);
        }
    }
    assert!(held.iter().all(|bytes| *bytes == held[0]), "{held:?}");
    let gone = free[1].saturating_sub(free[free.len() - 1]);
    eprintln!("a thousand switches: {gone} bytes of the card are not free any more");
    assert!(gone < 4 << 20, "{gone} bytes");
}

fn pipeline(gpu: &std::sync::Arc<flux_tui::engine::cuda::Gpu>, precision: PrecisionChoice) -> Pipeline {
    let options = LoadOptions { precision, ..LoadOptions::default() };
    let (name, on) = (ModelName::new(ModelName::NANO), Placement::new(Device::Cuda(0), options));
    Pipeline::load(gpu, &name, &parts(), LIMITS, &on, &mut Looker::default()).expect("nano loads")
}

#[test]
fn pictures_with_loras_are_the_cpus_those_of_the_encoders_too() {
    let Some(gpu) = gpu() else { return };
    let mut cpu = load_on_cpu(&ModelName::new(ModelName::NANO), &parts(), LIMITS);
    let mut card = pipeline(&gpu, PrecisionChoice::Bf16);
    let plain = brief("a red apple", (128, 128), 42);
    let before = draw(&mut card, &plain);
    for (what, names) in [("ink", &["ink"][..]), ("both encoders", &["text-kohya", "text-peft"][..])] {
        let loras = names.iter().map(|name| lora(&fixture(name), 1.0)).collect();
        let with = flux_tui::engine::Brief { loras, ..plain.clone() };
        let (ours, theirs) = (draw(&mut card, &with), draw(cpu.as_mut(), &with));
        let (quality, changed) = (psnr(&ours, &theirs), psnr(&ours, &before));
        eprintln!("{what}: {quality:.1} dB of the CPU's, {changed:.1} dB of the picture without");
        assert!(quality > 40.0, "{what}: {quality:.1} dB");
        assert!(changed < quality - 6.0, "{what} would not be missed: {changed:.1} dB");
        assert!(draw(&mut card, &plain) == before, "{what} was taken away");
    }
}
