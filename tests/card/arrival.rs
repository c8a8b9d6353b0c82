//! Weights that arrive while the first step already runs.

use std::sync::Arc;

use flux_tui::device::{Device, LoadOptions};
use flux_tui::engine::budget::{Residence, Source as From};
use flux_tui::engine::cuda::flux::Flux;
use flux_tui::engine::cuda::flux::origin::{Origin, seed_of};
use flux_tui::engine::cuda::flux::precision::Precision;
use flux_tui::engine::cuda::flux::workspace::Workspace;
use flux_tui::engine::cuda::memory::Buffer;
use flux_tui::engine::cuda::pipeline::Pipeline;
use flux_tui::engine::cuda::{CudaError, Gpu};
use flux_tui::engine::dit::config::Config;
use flux_tui::engine::weights::Weights;
use flux_tui::engine::{Draw, EngineError, Placement};
use flux_tui::model::{ModelName, Parts, Source};
use half::bf16;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::{Nobody, gpu, nano, pictures, weights};

const GRID: (usize, usize) = (12, 8);
const TEXT: usize = 32;

/// A velocity of a model, whether it has arrived or not.
fn velocity(gpu: &Arc<Gpu>, flux: &Flux) -> Result<Vec<bf16>, CudaError> {
    let (config, image) = (&flux.config, GRID.0 * GRID.1);
    let random = |name, rows, width| {
        let buffer = Buffer::of::<bf16>(gpu, rows, width, "a test").expect("there is memory");
        gpu.random(buffer.matrix(0, rows, width), seed_of(0, name), 0.0, 1.0).expect("an input");
        buffer
    };
    let (text, pooled) = (random("text", TEXT, config.context_dim), random("pooled", 1, config.vec_dim));
    let (text, pooled) = (text.matrix(0, TEXT, config.context_dim), pooled.matrix(0, 1, config.vec_dim));
    let workspace = Workspace::new(gpu, config, flux.precision, TEXT, image).expect("there is memory");
    gpu.random(workspace.input().slice_rows(0, image), 7, 0.0, 1.0).expect("an input");
    let conditions = flux.condition(text, pooled, GRID, &[0.7], 3.0)?;
    flux.evaluate(&workspace, &conditions, 0, &mut ())?;
    gpu.download(workspace.velocity(config.out_channels).slice_rows(0, image))
}

#[test]
fn a_step_that_begins_before_its_weights_are_there_gives_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    for (file, precision) in [
        ("flux1-nano-fp8.safetensors", Precision::Fp8Storage),
        ("flux1-nano-fp8.safetensors", Precision::Fp8),
        // Made on the way, in memory that steps use.
        ("flux1-nano-fp8.safetensors", Precision::Bf16),
    ] {
        if precision == Precision::Fp8 && !gpu.card().has_fp8() {
            eprintln!("not run: fp8 on {}", gpu.card().name);
            continue;
        }
        let file = weights(file);
        let config = Config::of(&file).expect("nano is a transformer");
        let blocks = config.double_blocks + config.single_blocks;
        let origin = Origin::File(&file);
        let whole = Residence::whole(blocks);
        let loaded = Flux::load(&gpu, config.clone(), precision, &origin, &whole, |_| Ok(()));
        let expected = velocity(&gpu, &loaded.expect("it loads")).expect("it can be evaluated");
        let every_second = (0..blocks).map(|block| block % 2 == 1).collect();
        let plans = [
            whole,
            Residence { modulation_stays: false, ..Residence::whole(blocks) },
            Residence { streamed: every_second, slots: 2, ..Residence::whole(blocks) },
            Residence::nothing(blocks, 2),
            Residence { source: From::File, ..Residence::nothing(blocks, 1) },
        ];
        for plan in plans {
            for round in 0..10 {
                let flux = Flux::begin(&gpu, config.clone(), precision, &origin, &plan).expect("it begins");
                let ours = velocity(&gpu, &flux).expect("it can be evaluated");
                assert!(ours == expected, "{precision:?}, {plan:?}, round {round}");
            }
        }
    }
}

#[test]
fn a_model_that_is_let_go_while_it_arrives_gives_its_memory_back() {
    let Some(gpu) = gpu() else { return };
    let file = weights("flux1-nano-fp8.safetensors");
    let config = Config::of(&file).expect("nano is a transformer");
    let blocks = config.double_blocks + config.single_blocks;
    let before = gpu.held();
    for plan in [Residence::whole(blocks), Residence::nothing(blocks, 2)] {
        for _ in 0..20 {
            let flux = Flux::begin(&gpu, config.clone(), Precision::Fp8Storage, &Origin::File(&file), &plan);
            drop(flux.expect("it begins"));
            assert_eq!(gpu.held(), before);
        }
    }
}

/// Nano's transformer without one of its last tensors.
fn without_a_tensor() -> (tempfile::TempDir, Source) {
    let Source::File(whole) = nano("flux1-nano-fp8.safetensors") else { panic!("it is a file") };
    let bytes = std::fs::read(whole).expect("it can be read");
    let tensors = SafeTensors::deserialize(&bytes).expect("it is one");
    let kept: Vec<(String, TensorView<'_>)> =
        tensors.tensors().into_iter().filter(|(name, _)| name != "single_blocks.4.linear2.weight").collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("short.safetensors");
    std::fs::write(&path, safetensors::serialize(kept, None).expect("it can be written")).expect("a file");
    (folder, Source::File(path))
}

#[test]
fn what_does_not_arrive_is_told_where_it_is_waited_for() {
    let Some(gpu) = gpu() else { return };
    let (_folder, short) = without_a_tensor();
    let file = Weights::open(&short).expect("it opens");
    let config = Config::of(&weights("flux1-nano-fp8.safetensors")).expect("nano is a transformer");
    let plan = Residence::whole(config.double_blocks + config.single_blocks);
    let flux = Flux::begin(&gpu, config, Precision::Fp8Storage, &Origin::File(&file), &plan);
    // Either here, before anything is begun, or when its block is waited for.
    let error = flux.and_then(|flux| velocity(&gpu, &flux)).expect_err("a tensor is missing");
    assert!(error.to_string().contains("single_blocks.4.linear2.weight"), "{error}");

    let parts = Parts { transformer: short, ..pictures::parts() };
    let on = Placement::new(Device::Cuda(0), LoadOptions::default());
    let name = ModelName::new(ModelName::NANO);
    let loaded = Pipeline::load(&gpu, &name, &parts, pictures::LIMITS, &on, &mut Nobody);
    let drawn = loaded.and_then(|mut engine| {
        engine.draw_from(&pictures::brief("a cat", (128, 128), 1), None, &mut Nobody).map(drop)
    });
    match drawn {
        Err(EngineError::Load { part: "the transformer", reason, .. }) => {
            assert!(reason.contains("single_blocks.4.linear2.weight"), "{reason}");
        }
        other => panic!("the transformer lacks a tensor, not {other:?}"),
    }
}
