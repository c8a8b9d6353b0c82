//! Quantised weights on a card: each kernel against the CPU's values, and transformers that stay quantised.

use std::path::Path;

use flux_tui::engine::budget::Residence;
use flux_tui::engine::cuda::beside::Beside;
use flux_tui::engine::cuda::flux::Flux;
use flux_tui::engine::cuda::flux::origin::Origin;
use flux_tui::engine::cuda::flux::precision::{Precision, Stored};
use flux_tui::engine::cuda::memory::Buffer;
use flux_tui::engine::cuda::weights::{as_bf16, block_on_card, blocks_on_card};
use flux_tui::engine::dit::model;
use flux_tui::engine::weights::{Dtype, Part, Piece, Scale, Weights, WeightsError, narrow};
use flux_tui::model::Source;
use half::bf16;

use super::transformer::{Inputs, OnCard, TEXT, TIMES, on_cpu};
use super::{gpu, relative_error};
use crate::make_gguf;

fn fixture(name: &str) -> Source {
    Source::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forms/fixtures").join(name))
}

#[test]
fn every_quantised_type_is_widened_to_the_cpus_values_rounded_to_bf16() {
    let Some(gpu) = gpu() else { return };
    let blocks = Weights::open(&fixture("blocks.gguf")).expect("it opens");
    let nf4 = Weights::open_part(&fixture("tiny-nf4.safetensors"), Part::Transformer).expect("it opens");
    let mut seen = 0;
    for weights in [&blocks, &nf4] {
        for name in weights.names() {
            let (dtype, shape) =
                (weights.dtype(name).expect("it is there"), weights.shape(name).expect("so"));
            let [rows, columns] = *shape else { continue };
            if !dtype.is_quantised() {
                continue;
            }
            let stored = weights.stored(name, shape).expect("it is a weight");
            let bytes = blocks_on_card(&stored.pieces[0]);
            let width = columns / dtype.block().values * block_on_card(dtype).bytes;
            let from = Buffer::of::<u8>(&gpu, rows, width, "a test").expect("there is memory");
            let to = Buffer::of::<bf16>(&gpu, rows, columns, "a test").expect("there is memory");
            to.fill(0xff).expect("it can be filled");
            let (from, to) = (from.matrix(0, rows, width), to.matrix(0, rows, columns));
            gpu.upload(from.as_row(), &bytes).expect("it can be copied");
            gpu.dequantize(dtype, from, to).expect("the shapes fit");
            let found = gpu.download(to).expect("nothing went wrong");
            let wanted = weights.widened(name, shape).expect("it is a weight");
            let wrong = found.iter().zip(&wanted).filter(|(a, b)| **a != bf16::from_f32(**b)).count();
            assert_eq!(wrong, 0, "{dtype}, {name}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} matrices");
}

#[test]
fn values_widened_on_the_card_are_those_that_the_host_makes() {
    let Some(gpu) = gpu() else { return };
    // 5 and a third of what is worth a kernel, and a tail that is none.
    let count: usize = (16 << 20) / 3 / 256 * 256 + 512;
    // Where values begin within a row, and where a row is no whole chunks, the host makes them.
    let by_row = |columns: usize| {
        let factors = (0..count.div_ceil(columns)).map(|row| 0.37 + row as f32 / 64.0).collect();
        Some(Scale::Rows { factors, columns })
    };
    for (dtype, scale) in [
        (Dtype::F8E4M3, None),
        (Dtype::F8E4M3, Some(Scale::One(0.37))),
        (Dtype::F8E4M3, by_row(256)),
        (Dtype::F8E4M3, by_row(3072)),
        (Dtype::F8E4M3, by_row(250)),
        (Dtype::Q8_0, None),
        (Dtype::Q4K, None),
    ] {
        let block = dtype.block();
        // Any bytes but infinities and NaN: of fp8 and of the blocks' fp16 scales.
        let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8 & 0x3b;
        let bytes: Vec<u8> = (0..count / block.values * block.bytes).map(byte).collect();
        let piece = Piece { bytes: &bytes, scale: scale.clone(), magnitudes: None };
        for first in [0, 256] {
            let to = Buffer::of::<bf16>(&gpu, 1, count - first, "a test").expect("there is memory");
            to.fill(0xff).expect("it can be filled");
            let to = to.matrix::<bf16>(0, 1, count - first);
            gpu.load_values(to.as_bytes(), &piece, dtype, first).expect("it can be brought");
            let found = gpu.download(to).expect("nothing went wrong");
            let mut wanted = vec![0; 2 * (count - first)];
            narrow(&piece, dtype, first, &mut wanted);
            assert!(found == as_bf16(&wanted), "{dtype}, {scale:?}, from {first}");
        }
    }
}

#[test]
fn what_is_widened_beside_what_comes_is_not_overwritten_by_it() {
    const EACH: usize = 3 << 20;
    const TENSORS: usize = 7;
    let Some(gpu) = gpu() else { return };
    let bytes = |seed: usize| -> Vec<u8> {
        (0..EACH).map(|at| ((at + seed).wrapping_mul(2_654_435_761) >> 9) as u8 & 0x3b).collect()
    };
    let buffer = Buffer::of::<bf16>(&gpu, TENSORS, EACH, "a test").expect("there is memory");
    // Room for two as they are stored; those that go there themselves come another way.
    let room = 2 * EACH + (8 << 10);
    // Rounds follow one another without a pause, as the parts of an encoder do in their slot.
    for round in 0..3 {
        let end = buffer.matrix::<u8>(buffer.bytes() - room, 1, room);
        let beside = Beside::new(&gpu, end).expect("there is a stream");
        for tensor in 0..TENSORS {
            let stored = bytes(TENSORS * round + tensor);
            let piece =
                Piece { bytes: &stored, scale: Some(Scale::One(0.5 + tensor as f32)), magnitudes: None };
            let to = buffer.matrix::<bf16>(2 * EACH * tensor, 1, EACH).as_bytes();
            gpu.load_piece(to, Some(&beside), &piece, Dtype::F8E4M3, 0).expect("it can be brought");
        }
    }
    for tensor in 0..TENSORS {
        let stored = bytes(2 * TENSORS + tensor);
        let piece = Piece { bytes: &stored, scale: Some(Scale::One(0.5 + tensor as f32)), magnitudes: None };
        let mut wanted = vec![0; 2 * EACH];
        narrow(&piece, Dtype::F8E4M3, 0, &mut wanted);
        let found =
            gpu.download(buffer.matrix::<bf16>(2 * EACH * tensor, 1, EACH)).expect("nothing went wrong");
        assert!(found == as_bf16(&wanted), "tensor {tensor}");
    }
}

#[test]
fn a_quantised_transformer_gives_the_cpus_velocity_and_stays_quantised_streamed_too() {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    for dtypes in [
        &[Dtype::Q8_0][..],
        &[Dtype::Q2K],
        &[Dtype::Q3K],
        &[Dtype::Q6K, Dtype::Q5_0],
        &[Dtype::Q4K, Dtype::Q5K, Dtype::Q4_0, Dtype::Q4_1, Dtype::Q5_1],
    ] {
        let path = make_gguf::write(&folder.path().join("it.gguf"), "flux", &make_gguf::nano_of(dtypes));
        let file = Weights::open_part(&Source::File(path), Part::Transformer).expect("it opens");
        let cpu = model::Flux::load::<WeightsError>(&file, |_| Ok(())).expect("it loads");
        let config = cpu.config.clone();
        let precision = Precision::Quantised(Stored::of(&Origin::File(&file)).dtype);
        let blocks = config.double_blocks + config.single_blocks;
        let card = OnCard::of(&gpu, &file, precision, &Residence::whole(blocks));
        let streamed = OnCard::of(&gpu, &file, precision, &Residence::nothing(blocks, 2));
        for grid in [(8, 8), (5, 7)] {
            let inputs = Inputs::new(&config, TEXT, grid);
            let of = |card: &OnCard, step| {
                card.velocity(&card.workspace(&inputs), &card.condition(&inputs, &TIMES), step)
            };
            for step in 0..TIMES.len() {
                let ours = of(&card, step);
                let error = relative_error(&ours, &on_cpu(&config, &cpu, &inputs, step));
                eprintln!("{}, {grid:?} tokens, step {step}: {error:.2e}", precision.name());
                assert!(error < 2e-2, "{} at {grid:?}, step {step}: {error:e}", precision.name());
                assert!(of(&streamed, step) == ours, "{}: other bits streamed", precision.name());
            }
        }
        let sizes = |precision| {
            let (_, modulation, [double, single]) = Flux::sizes(&config, precision, &Origin::File(&file));
            modulation.layers + double.count as u64 * double.bytes + single.count as u64 * single.bytes
        };
        let (kept, wide) = (sizes(precision), sizes(Precision::Bf16));
        assert!(kept * 3 < wide * 2, "{kept} bytes of {wide} in bf16");
    }
}
