//! The text encoders on a card against those on the CPU in fp32; and how long the real sizes take.

use std::sync::Arc;

use candle_core::Tensor;
use flux_tui::engine::cuda::Gpu;
use flux_tui::engine::cuda::memory::Buffer;
use flux_tui::engine::cuda::text::{Clip, T5, clip, t5};
use flux_tui::engine::text::tokenize::{TextTokenizer, Tokens};
use flux_tui::engine::text::{encode, t5 as host};
use flux_tui::job::Encoder;
use half::bf16;

use super::{gpu, nano, relative_error, weights};

const PROMPTS: [&str; 4] =
    ["a red apple, 3d", "", "a green bird on a blue chair, watercolour, night", "红苹果"];

fn tokens(encoder: Encoder, file: &str, limit: usize) -> Vec<Tokens> {
    let tokenizer = TextTokenizer::load(encoder, &nano(file), limit).expect("nano's tokenizer");
    PROMPTS.iter().map(|prompt| tokenizer.tokenize(prompt).expect("tokens")).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("fp32")
}

/// Runs `encode` twice in memory full of NaN: the same bits, and these.
fn run_twice(gpu: &Arc<Gpu>, rows: usize, width: usize, encode: impl Fn(&Buffer)) -> Vec<f32> {
    let results = [(); 2].map(|()| {
        let out = Buffer::of::<bf16>(gpu, rows, width, "the test").expect("memory");
        out.fill(0xff).expect("filled");
        encode(&out);
        gpu.download(out.matrix::<bf16>(0, rows, width)).expect("a result")
    });
    assert!(results[0] == results[1], "two runs differ");
    results[0].iter().map(|value| value.to_f32()).collect()
}

#[test]
fn t5_on_the_card_is_t5_on_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let weights = weights("t5.safetensors");
    let cpu = host::T5::load(&weights, &nano("t5_config.json")).expect("the CPU's T5");
    let ours = T5::load(&gpu, &weights, &nano("t5_config.json"), |_| Ok(())).expect("the card's T5");
    // The model's own length, one tile of queries and a bit, and several.
    for limit in [32, 130, 300] {
        for tokens in tokens(Encoder::T5, "t5_tokenizer.json", limit) {
            let room = ours.room(&gpu, limit).expect("room");
            let result = run_twice(&gpu, limit, ours.width(), |out| {
                let out = out.matrix(0, limit, ours.width());
                ours.encode(&gpu, &tokens.ids, &room, out).expect("encoded");
            });
            let error = relative_error(&result, &values(&cpu.encode(&tokens).expect("the CPU's result")));
            eprintln!("T5, {limit} tokens: {error:.2e}");
            assert!(error <= 1e-2, "{limit} tokens: off by {error:.2e}");
        }
    }
}

#[test]
fn clip_on_the_card_is_clip_on_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let weights = weights("clip.safetensors");
    let cpu = encode::Clip::load(&weights, &nano("clip_config.json")).expect("the CPU's CLIP");
    let ours = Clip::load(&gpu, &weights, &nano("clip_config.json")).expect("the card's CLIP");
    let room = ours.room(&gpu, 77).expect("room");
    for tokens in tokens(Encoder::Clip, "clip_tokenizer.json", 77) {
        let result = run_twice(&gpu, 1, ours.width(), |out| {
            let out = out.matrix(0, 1, ours.width());
            ours.encode(&gpu, &tokens.ids, tokens.end, &room, out).expect("encoded");
        });
        let error = relative_error(&result, &values(&cpu.encode(&tokens).expect("the CPU's result")));
        eprintln!("CLIP: {error:.2e}");
        assert!(error <= 1e-2, "off by {error:.2e}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(gpu) = gpu() else { return };
    let t5 = T5::load(&gpu, &weights("t5.safetensors"), &nano("t5_config.json"), |_| Ok(()))
        .expect("the card's T5");
    let room = t5.room(&gpu, 8).expect("room");
    let out = Buffer::of::<bf16>(&gpu, 8, t5.width(), "the test").expect("memory");
    let encode = |ids: &[u32]| t5.encode(&gpu, ids, &room, out.matrix(0, 8, t5.width()));
    assert!(encode(&[1; 8]).is_ok());
    assert!(encode(&[1; 7]).is_err(), "a text of another length");
    assert!(encode(&[3072; 8]).is_err(), "a token beyond the vocabulary");
    assert!(t5.room(&gpu, 0).is_err());
    gpu.wait().expect("nothing went wrong on the card");
}

/// The median of nine, in milliseconds; the first call, which chooses the products' algorithms, does not count.
fn milliseconds(gpu: &Gpu, run: impl Fn()) -> f32 {
    run();
    let mut times = [(); 9].map(|()| {
        let start = gpu.mark(true).expect("a mark");
        run();
        let end = gpu.mark(true).expect("a mark");
        end.synchronize().expect("the run ends");
        start.elapsed_ms(&end).expect("both are timed")
    });
    times.sort_by(f32::total_cmp);
    times[4]
}

/// `cargo test --release --features cuda --test cuda real_sizes -- --ignored --nocapture`
#[test]
#[ignore = "takes 10 GB of device memory"]
fn real_sizes_take() {
    let Some(gpu) = gpu() else { return };
    for length in [512, 256] {
        let t5 = T5::random(&gpu, t5::Config::xxl(), 1, true).expect("memory for T5-XXL");
        let room = t5.room(&gpu, length).expect("room");
        let out = Buffer::of::<bf16>(&gpu, length, t5.width(), "the test").expect("memory");
        let ids: Vec<u32> = (0..length as u32).map(|index| index * 61 % 32128).collect();
        let run = || t5.encode(&gpu, &ids, &room, out.matrix(0, length, t5.width())).expect("encoded");
        let time = milliseconds(&gpu, run);
        let values = gpu.download(out.matrix::<bf16>(0, length, t5.width())).expect("a result");
        assert!(values.iter().all(|value| value.is_finite()));
        let (weights, room) = (t5.bytes() as f64 / 1e9, room.bytes() as f64 / 1e6);
        eprintln!("T5-XXL, {length} tokens: {time:.2} ms; {weights:.2} GB of weights, room of {room:.0} MB");
    }
    let clip = Clip::random(&gpu, clip::Config::large(), 1, true).expect("memory for CLIP-L");
    let room = clip.room(&gpu, 77).expect("room");
    let out = Buffer::of::<bf16>(&gpu, 1, clip.width(), "the test").expect("memory");
    let run = || clip.encode(&gpu, &[7; 77], 5, &room, out.matrix(0, 1, clip.width())).expect("encoded");
    eprintln!("CLIP-L, 77 tokens: {:.2} ms", milliseconds(&gpu, run));
}
