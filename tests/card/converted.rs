//! A converted transformer on a card: what the host rounds has the bits of what the card rounds.

use std::path::Path;

use flux_tui::device::{Device, LoadOptions, PrecisionChoice};
use flux_tui::engine::budget::Residence;
use flux_tui::engine::converted::{self, Conversion};
use flux_tui::engine::cuda::flux::precision::Precision;
use flux_tui::engine::dit::config::Config;
use flux_tui::engine::weights::{Part, Weights};
use flux_tui::engine::{self, Brief, Placement};
use flux_tui::job::{Prompt, Size};
use flux_tui::model::{ModelName, Parts, Source};

use super::pictures::{LIMITS, parts};
use super::transformer::{Inputs, OnCard, TEXT, TIMES};
use super::{Nobody, gpu};
use crate::make;

/// nano's transformer in bf16 and what it is converted to, in the folder where that is looked for.
fn both(folder: &Path) -> (Weights, Weights) {
    let wide = make::wide(&make::tensors("flux1-nano-fp8.safetensors"));
    let path = make::write(&folder.join("wide.safetensors"), &wide);
    let source = Weights::open_part(&Source::File(path), Part::Transformer).expect("it is whole");
    let to = converted::place(&folder.join("converted"), &source);
    Conversion::new(&source).expect("it is wide").write(&to, &mut Nobody).expect("there is room");
    let made = converted::find(&folder.join("converted"), &source).expect("it is there");
    (source, made)
}

#[test]
fn a_converted_transformer_has_the_velocity_of_the_wide_one_bit_for_bit_streamed_too() {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (source, made) = both(folder.path());
    let config = Config::of(&source).expect("it is whole");
    let blocks = config.double_blocks + config.single_blocks;
    let precisions = if gpu.card().has_fp8() {
        &[Precision::Fp8, Precision::Fp8Storage][..]
    } else {
        &[Precision::Fp8Storage]
    };
    for &precision in precisions {
        for plan in [Residence::whole(blocks), Residence::nothing(blocks, 2)] {
            let [wide, narrow] = [&source, &made].map(|weights| OnCard::of(&gpu, weights, precision, &plan));
            let inputs = Inputs::new(&config, TEXT, (5, 7));
            for step in 0..TIMES.len() {
                let of = |card: &OnCard| {
                    card.velocity(&card.workspace(&inputs), &card.condition(&inputs, &TIMES), step)
                };
                assert!(of(&wide) == of(&narrow), "{} at step {step}: other bits", precision.name());
            }
        }
    }
}

#[test]
fn a_converted_transformer_is_loaded_in_its_sources_place_and_draws_the_same_picture() {
    let Some(gpu) = gpu() else { return };
    drop(gpu);
    let folder = tempfile::tempdir().expect("a temporary directory");
    drop(both(folder.path()));
    let wide = Parts { transformer: Source::File(folder.path().join("wide.safetensors")), ..parts() };
    let kept = Parts { converted: Some(folder.path().join("converted")), ..wide.clone() };
    let prompt = Prompt::new("a red apple, 3d").expect("text");
    let size = Size::new(64, 64).expect("a size");
    let brief = Brief { prompt, size, steps: 4, guidance: 3.0, seed: 7, loras: Vec::new() };
    let options = LoadOptions { precision: PrecisionChoice::Fp8Storage, ..LoadOptions::default() };
    let on = Placement::new(Device::Cuda(0), options);
    let [before, after] = [&wide, &kept].map(|parts| {
        let model = engine::load(&ModelName::new("nano"), parts, LIMITS, &on, &mut Nobody);
        let mut model = model.expect("it loads");
        let drawn = model.draw(&brief, &mut Nobody).expect("it draws");
        (drawn.rgb, model.numerics(&brief), model.precision(), model.rounded())
    });
    assert!(before.0 == after.0, "another picture");
    assert_eq!(before.1, after.1, "a picture of one is not gone on with by the other");
    assert!(before.2.contains("are rounded to fp8 e4m3 as they are loaded"), "{}", before.2);
    assert!(after.2.contains("are rounded to fp8 e4m3; converted before"), "{}", after.2);
    assert_eq!((before.3, after.3), (true, false));
    // Where fp8 is not asked for, the wide one is what is loaded.
    let on = Placement::new(Device::Cuda(0), LoadOptions::default());
    let model = engine::load(&ModelName::new("nano"), &kept, LIMITS, &on, &mut Nobody).expect("it loads");
    assert!(model.precision().starts_with("bf16, because the weights are bf16"), "{}", model.precision());
}
