//! LoRAs merged into weights on a card against the same beside them: within what the weights' rounding allows, undone to
//! the bit, the same bits twice; and stochastic rounding itself.

use std::sync::Arc;

use flux_tui::device::{Device, LoadOptions, MergeChoice, PrecisionChoice};
use flux_tui::engine::budget::Residence;
use flux_tui::engine::cuda::Gpu;
use flux_tui::engine::cuda::flux::origin::Origin;
use flux_tui::engine::cuda::flux::precision::Precision;
use flux_tui::engine::cuda::memory::{Buffer, F8};
use flux_tui::engine::cuda::merge::Merging;
use flux_tui::engine::cuda::pipeline::Pipeline;
use flux_tui::engine::lora::{Changed, Of, Shelf};
use flux_tui::engine::sample::noise::randn;
use flux_tui::engine::{Brief, Draw, LoraFile, Placement};
use flux_tui::model::ModelName;

use super::pictures::{LIMITS, Looker, brief, draw, parts, psnr};
use super::transformer::{Inputs, OnCard, TEXT, TIMES, on_cpu};
use super::{gpu, relative_error, weights};
use crate::lora_model::{Nano, fixture, lora, shapes};

const STEP: usize = 1;

fn set(card: &mut OnCard, files: &[LoraFile], merge: bool) {
    let (loras, _) = Shelf::new(shapes()).take(files).expect("they are LoRAs of nano");
    let changed = Changed::by(&loras, Of::Transformer);
    let file = weights("flux1-nano-fp8.safetensors");
    let (origin, shapes) = (Origin::File(&file), shapes().transformer);
    let flux = card.flux();
    let set = if merge {
        flux.merge_loras(&origin, &shapes, &changed)
    } else {
        flux.set_loras(&origin, &shapes, &changed)
    };
    set.unwrap_or_else(|error| panic!("{error}"));
}

fn velocity(card: &OnCard, inputs: &Inputs) -> Vec<f32> {
    let (conditions, workspace) = (card.condition(inputs, &TIMES), card.workspace(inputs));
    card.velocity(&workspace, &conditions, STEP)
}

/// With how much what is merged may differ from the CPU's.
fn precisions(gpu: &Gpu) -> Vec<(Precision, f64)> {
    // Three bits of mantissa are off by 3.6 % each at most a step, and the sum of a row by less.
    let all = [(Precision::Bf16, 2e-2), (Precision::Fp8Storage, 8e-2), (Precision::Fp8, 1e-1)];
    let fp8 = gpu.card().has_fp8();
    all.into_iter().filter(|(precision, _)| fp8 || *precision != Precision::Fp8).collect()
}

#[test]
fn merged_is_beside_within_what_the_weights_are_rounded_by() {
    let Some(gpu) = gpu() else { return };
    let mut nano = Nano::new();
    let config = nano.flux.config.clone();
    let inputs = Inputs::new(&config, TEXT, (8, 8));
    for (precision, most) in precisions(&gpu) {
        let mut card = OnCard::new(&gpu, precision);
        let without = velocity(&card, &inputs);
        for name in ["kohya", "peft", "full", "loha", "lokr", "lycoris", "dora", "peft-dora", "xlabs"] {
            let files = [lora(&fixture(name), 0.75)];
            nano.set(&files);
            let expected = on_cpu(&config, &nano.flux, &inputs, STEP);
            set(&mut card, &files, false);
            let beside = velocity(&card, &inputs);
            set(&mut card, &files, true);
            let (merged, layers) = (velocity(&card, &inputs), card.flux().merged_layers());
            let [of_beside, of_merged] = [&beside, &merged].map(|ours| relative_error(ours, &expected));
            let changes = relative_error(&merged, &without);
            eprintln!(
                "{name} in {}: off by {of_beside:.1e} beside, {of_merged:.1e} merged into {layers} layers; \
                 changes {changes:.1e}",
                precision.name()
            );
            // What is as large as the weights and of full rank is rounded in every one of them.
            let most = if name == "full" && precision != Precision::Bf16 { 0.2 } else { most };
            assert!(of_merged < most, "{name} in {}: {of_merged:e}", precision.name());
            assert!(layers > 0, "{name} in {}: nothing was merged", precision.name());
        }
    }
}

#[test]
fn what_was_merged_is_undone_to_the_bit_and_comes_back_to_the_bit() {
    let Some(gpu) = gpu() else { return };
    let config = Nano::new().flux.config;
    let inputs = Inputs::new(&config, TEXT, (8, 8));
    let (one, other) =
        ([lora(&fixture("kohya"), 0.8)], ["dora", "lokr"].map(|name| lora(&fixture(name), 0.5)));
    for (precision, _) in precisions(&gpu) {
        let mut card = OnCard::new(&gpu, precision);
        let (before, held) = (velocity(&card, &inputs), gpu.held());
        set(&mut card, &one, true);
        let merged = velocity(&card, &inputs);
        assert!(merged != before, "{}: it changes nothing", precision.name());
        for between in [&other[..], &[], &one[..]] {
            set(&mut card, between, true);
            let bits = velocity(&card, &inputs);
            assert_eq!(bits == before, between.is_empty(), "{}", precision.name());
            set(&mut card, &one, true);
            assert!(velocity(&card, &inputs) == merged, "{}: the same again", precision.name());
        }
        // Another card, another time.
        let mut fresh = OnCard::new(&gpu, precision);
        set(&mut fresh, &one, true);
        assert!(velocity(&fresh, &inputs) == merged, "{}: a model that was just loaded", precision.name());
        drop(fresh);
        set(&mut card, &one, false);
        let beside = velocity(&card, &inputs);
        let mut never = OnCard::new(&gpu, precision);
        set(&mut never, &one, false);
        assert!(velocity(&never, &inputs) == beside, "{}: beside what was undone", precision.name());
        drop(never);
        set(&mut card, &[], false);
        assert!(velocity(&card, &inputs) == before, "{}: none", precision.name());
        assert_eq!(gpu.held(), held);
    }
}

#[test]
fn streamed_blocks_keep_what_is_beside_them() {
    let Some(gpu) = gpu() else { return };
    let file = weights("flux1-nano-fp8.safetensors");
    let config = Nano::new().flux.config;
    let inputs = Inputs::new(&config, TEXT, (8, 8));
    let files = [lora(&fixture("kohya"), 0.8)];
    let blocks = config.double_blocks + config.single_blocks;
    let layers = |plan: &Residence| {
        let mut card = OnCard::of(&gpu, &file, Precision::Bf16, plan);
        set(&mut card, &files, true);
        let ours = velocity(&card, &inputs);
        set(&mut card, &files, false);
        let beside = velocity(&card, &inputs);
        set(&mut card, &files, true);
        (card.flux().merged_layers(), relative_error(&ours, &beside), ours == beside)
    };
    let mut half = Residence::nothing(blocks, 2);
    half.streamed.iter_mut().step_by(2).for_each(|streamed| *streamed = false);
    let [none, some, all] =
        [Residence::nothing(blocks, 2), half, Residence::whole(blocks)].map(|plan| layers(&plan));
    eprintln!("streamed {none:?}, every second {some:?}, resident {all:?}");
    assert!(none == (0, 0.0, true), "{none:?}");
    assert!(0 < some.0 && some.0 < all.0, "{some:?} of {all:?}");
    assert!(some.1 < 2e-2 && all.1 < 2e-2, "{some:?}, {all:?}");
}

/// Rounds the same value so often by the kernel, under a scale of 1; gives the mean of what came of it, and how many
/// different numbers that were.
fn mean_of(gpu: &Arc<Gpu>, value: f32, key: u64) -> (f64, usize) {
    let (rows, width) = (64, 4096);
    let memory = Buffer::new(gpu, rows * width * 5 + 4096, "a test").expect("memory");
    let w = memory.matrix::<f32>(0, rows, width);
    let out = memory.matrix::<F8>(rows * width * 4, rows, width);
    let scales = memory.matrix::<f32>(rows * width * 5, rows, 1);
    // The first of each row holds the scale where it is.
    let all: Vec<f32> = (0..rows * width).map(|at| if at % width == 0 { 448.0 } else { value }).collect();
    gpu.upload(w, &all).expect("it runs");
    gpu.fill(scales, 1.0).expect("it runs");
    gpu.merge_end(w, Merging::Fp8(out, scales), key, 0).expect("it runs");
    let wide = Buffer::of::<half::bf16>(gpu, rows, width, "a test").expect("memory");
    let wide = wide.matrix::<half::bf16>(0, rows, width);
    gpu.widen(out, scales, wide).expect("it runs");
    assert_eq!(gpu.download(scales).expect("they are there"), [1.0; 64]);
    let values = gpu.download(wide.slice_columns(1, width - 1)).expect("it is there");
    let mut kinds: Vec<u16> = values.iter().map(|value| value.to_bits()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    (values.iter().map(|value| value.to_f64()).sum::<f64>() / values.len() as f64, kinds.len())
}

#[test]
fn stochastic_rounding_is_right_in_the_mean_and_leaves_numbers_of_e4m3_alone() {
    let Some(gpu) = gpu() else { return };
    let mut worst = 0.0f64;
    for (at, value) in randn(11, 40).into_iter().enumerate() {
        let value = value * 2.0f32.powi(at as i32 % 14 - 9);
        let (mean, kinds) = mean_of(&gpu, value, 100 + at as u64);
        let step = f64::from(value.abs().log2().floor().max(-6.0) - 3.0).exp2();
        // In deviations of a mean of so many that are each off by half a step at most.
        let off = (mean - f64::from(value)).abs() / (step / 2.0 / (64.0 * 4096.0f64).sqrt());
        worst = worst.max(off);
        assert!(off < 6.0 && kinds <= 2, "{value}: a mean of {mean}, {off:.1} deviations, {kinds} kinds");
    }
    eprintln!("means of 262,144 are {worst:.1} of their deviations off at most");
    for value in [0.0, 1.0, -448.0, 0.017_578_125, 0.001_953_125, 3.25, -240.0] {
        assert_eq!(mean_of(&gpu, value, 3), (f64::from(value), 1), "{value}");
    }
}

#[test]
fn pictures_of_a_pipeline_that_merges() {
    let Some(gpu) = gpu() else { return };
    let load = |merge_loras| {
        let options = LoadOptions { precision: PrecisionChoice::Bf16, merge_loras, ..LoadOptions::default() };
        let (name, on) = (ModelName::new(ModelName::NANO), Placement::new(Device::Cuda(0), options));
        Pipeline::load(&gpu, &name, &parts(), LIMITS, &on, &mut Looker::default()).expect("nano loads")
    };
    let (mut merging, mut beside) = (load(MergeChoice::Resident), load(MergeChoice::Never));
    let plain = brief("a red apple", (128, 128), 42);
    let ink = Brief { loras: vec![lora(&fixture("ink"), 1.0)], ..plain.clone() };
    // The first picture merges into a model that may still be on its way.
    let merged = draw(&mut merging, &ink);
    let (without, with) = (draw(&mut beside, &plain), draw(&mut beside, &ink));
    let (near, far) = (psnr(&merged, &with), psnr(&merged, &without));
    eprintln!("ink merged: {near:.1} dB of ink beside, {far:.1} dB of none; {}", merging.precision());
    assert!(near > 35.0 && far < near - 6.0, "{near:.1}, {far:.1}");
    assert!(merging.precision().contains("LoRAs merged into "), "{}", merging.precision());
    assert_ne!(merging.numerics(&ink), beside.numerics(&ink));
    assert!(draw(&mut merging, &plain) == without, "taken out");
    assert!(draw(&mut merging, &ink) == merged, "the same again");
}
