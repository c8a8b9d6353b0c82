//! The VAE's decoder on a card against the one on the CPU.

use std::cell::Cell;

use candle_core::{Device, Tensor};
use flux_tui::engine::cuda::CudaError;
use flux_tui::engine::cuda::memory::Buffer;
use flux_tui::engine::cuda::vae::{Before, Decoder, Region};
use flux_tui::engine::latent;
use flux_tui::engine::sample::noise::randn;
use flux_tui::engine::vae::decoder::{self, Scaling};
use flux_tui::engine::weights::Weights;

use super::{gpu, nano};

fn weights() -> (Weights, Scaling) {
    let scaling = Scaling::read(&nano("vae_config.json")).expect("nano's VAE has a config");
    (super::weights("ae.safetensors"), scaling)
}

/// A latent of normal values and its tokens.
fn tokens((rows, columns): (usize, usize)) -> (Tensor, Vec<f32>) {
    let width = 4 * latent::CHANNELS;
    let values = randn(7, rows * columns * width);
    let tokens =
        Tensor::from_vec(values.clone(), (rows * columns, width), &Device::Cpu).expect("as many values");
    (tokens, values)
}

/// The CPU's picture of a region, flat.
fn on_the_cpu(decoder: &decoder::Decoder, tokens: &Tensor, grid: (usize, usize), region: Region) -> Vec<f32> {
    let latent = latent::unpack(tokens, grid)
        .and_then(|latent| latent.narrow(0, 2 * region.row, 2 * region.rows))
        .and_then(|latent| latent.narrow(1, 2 * region.column, 2 * region.columns))
        .and_then(|latent| latent.contiguous());
    let picture = latent.and_then(|latent| decoder.decode(&latent)?.flatten_all());
    picture.and_then(|picture| picture.to_vec1()).expect("the CPU decodes")
}

#[test]
fn pictures_are_the_cpus_to_within_bf16() {
    let Some(gpu) = gpu() else { return };
    let (weights, scaling) = weights();
    let cpu = decoder::Decoder::load(&weights, scaling).expect("nano's VAE loads");
    let mut ours = Decoder::load(&gpu, &weights, scaling).expect("nano's VAE loads onto the card");
    let parts = [
        ((8, 8), Region::whole((8, 8))),
        ((3, 5), Region::whole((3, 5))),
        ((1, 1), Region::whole((1, 1))),
        ((9, 7), Region { row: 2, column: 1, rows: 4, columns: 5 }),
    ];
    for portable in [false, true] {
        ours.use_portable_kernels(portable);
        for (grid, region) in parts {
            let (tensor, values) = tokens(grid);
            let buffer = Buffer::of::<f32>(&gpu, values.len() / 64, 64, "tokens").expect("memory");
            let on_card = buffer.matrix::<f32>(0, values.len() / 64, 64);
            gpu.upload(on_card, &values).expect("tokens can be copied");
            let activations = ours.activations((region.rows, region.columns)).expect("memory");
            ours.decode(&activations, on_card, grid, region).expect("the card decodes");
            let picture = gpu.download(activations.picture()).expect("the card has decoded");
            let rgb = gpu.download(activations.rgb()).expect("the card has decoded");
            assert_eq!(gpu.download(activations.not_finite()).expect("a flag"), [0]);

            let expected = on_the_cpu(&cpu, &tensor, grid, region);
            assert_eq!(picture.len(), expected.len());
            let square =
                |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x * x)).sum::<f64>();
            let difference = square(&mut picture.iter().zip(&expected).map(|(a, b)| a - b));
            let error = (difference / square(&mut expected.iter().copied())).sqrt();
            eprintln!("{grid:?} {region:?} portable {portable}: relative error {error:.2e}");
            assert!(error < 1.5e-2, "{grid:?} {region:?} portable {portable}: off by {error:.2e}");
            for (value, byte) in picture.iter().zip(&rgb) {
                let exact = (value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0;
                assert!((f32::from(*byte) - exact).abs() < 0.51, "{value} became {byte}");
            }
        }
    }
}

#[test]
fn a_latent_that_is_not_finite_raises_the_flag() {
    let Some(gpu) = gpu() else { return };
    let (weights, scaling) = weights();
    let decoder = Decoder::load(&gpu, &weights, scaling).expect("nano's VAE loads onto the card");
    let (_, mut values) = tokens((4, 4));
    values[77] = f32::NAN;
    let buffer = Buffer::of::<f32>(&gpu, 16, 64, "tokens").expect("memory");
    gpu.upload(buffer.matrix(0, 16, 64), &values).expect("tokens can be copied");
    let activations = decoder.activations((4, 4)).expect("memory");
    decoder
        .decode(&activations, buffer.matrix(0, 16, 64), (4, 4), Region::whole((4, 4)))
        .expect("the card decodes");
    assert_eq!(gpu.download(activations.not_finite()).expect("a flag"), [1]);
}

#[test]
fn decoding_is_left_at_any_layer_and_gives_the_same_bits_again() {
    let Some(gpu) = gpu() else { return };
    let (weights, scaling) = weights();
    let decoder = Decoder::load(&gpu, &weights, scaling).expect("nano's VAE loads onto the card");
    let grid = (24, 16);
    let (_, values) = tokens(grid);
    let buffer = Buffer::of::<f32>(&gpu, values.len() / 64, 64, "tokens").expect("memory");
    let tokens = buffer.matrix::<f32>(0, values.len() / 64, 64);
    gpu.upload(tokens, &values).expect("tokens can be copied");
    for tile in decoder.tiles(grid).into_iter().filter(|tile| !tile.is_on_host()) {
        let asked = Cell::new(0);
        let decode = |most: usize| {
            asked.set(0);
            let before = || {
                asked.set(asked.get() + 1);
                if asked.get() > most { Err(CudaError::Stopped) } else { Ok(()) }
            };
            decoder.picture(tokens, grid, (tile.rows, tile.columns), Before(&before))
        };
        let whole = decode(usize::MAX).expect("it decodes").expect("it is finite");
        let layers = asked.get();
        assert!(layers > 20, "{tile:?}: asked {layers} times");
        for most in [0, 1, layers / 2, layers - 1] {
            assert!(matches!(decode(most), Err(CudaError::Stopped)), "{tile:?}, {most} of {layers}");
            assert_eq!(asked.get(), most + 1, "{tile:?}: nothing is asked for after that");
        }
        assert!(decode(layers).expect("it decodes") == Some(whole), "{tile:?}");
    }
}

#[test]
fn flux_of_random_weights_decodes_the_same_bits_twice() {
    let Some(gpu) = gpu() else { return };
    let decoder = Decoder::random(&gpu, 1).expect("random weights fit");
    let grid = (24, 40);
    let (_, values) = tokens(grid);
    let buffer = Buffer::of::<f32>(&gpu, values.len() / 64, 64, "tokens").expect("memory");
    let tokens = buffer.matrix::<f32>(0, values.len() / 64, 64);
    gpu.upload(tokens, &values).expect("tokens can be copied");
    let activations = decoder.activations(grid).expect("memory");
    assert_eq!(activations.bytes(), decoder.activation_bytes(grid));
    let decode = || {
        decoder.decode(&activations, tokens, grid, Region::whole(grid)).expect("the card decodes");
        assert_eq!(gpu.download(activations.not_finite()).expect("a flag"), [0]);
        gpu.download(activations.picture()).expect("the card has decoded")
    };
    let first = decode();
    assert!(first.iter().any(|value| value.abs() > 0.01), "the picture is blank");
    assert_eq!(first, decode());
    let start = gpu.mark(true).expect("an event");
    decoder.decode(&activations, tokens, grid, Region::whole(grid)).expect("the card decodes");
    let end = gpu.mark(true).expect("an event");
    end.synchronize().expect("the card has decoded");
    eprintln!("{grid:?}: {:.2} ms", start.elapsed_ms(&end).expect("both are timed"));
}
