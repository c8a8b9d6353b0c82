//! Where the time of a load goes: a measurement.

use std::time::Instant;

use flux_tui::engine::cuda::Gpu;
use flux_tui::engine::cuda::gpu::MODULES;
use flux_tui::engine::cuda::memory::Buffer;

use super::gpu;

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = act();
    eprintln!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    done
}

/// `cargo test --release --features cuda --test cuda parts_of_a_load -- --ignored --nocapture`
#[test]
#[ignore = "a measurement; takes 22 GB of device memory"]
fn parts_of_a_load_take() {
    if gpu().is_none() {
        return;
    }
    for round in 0..3 {
        eprintln!("round {round}");
        let gpu = timed("opening the card", || Gpu::open(0).expect("it was there"));
        for module in MODULES {
            timed(&format!("{module:?}"), || gpu.load_module(*module).expect("it loads"));
        }
        let take = |bytes| Buffer::new(&gpu, bytes, "a test").expect("there is memory");
        let blocks: Vec<_> = timed("57 blocks of 210 MB", || (0..57).map(|_| take(210 << 20)).collect());
        let t5 = timed("T5's 9.5 GB", || take(9_500 << 20));
        timed("giving the blocks back", || drop(blocks));
        let source = vec![1u8; 1 << 30];
        let to = t5.matrix::<u8>(0, 1, 1 << 30);
        for piece in [1 << 30, 64 << 20, 28 << 20, 16 << 20, 9 << 20, 1 << 20] {
            let begun = Instant::now();
            for at in (0..source.len()).step_by(piece) {
                let bytes = piece.min(source.len() - at);
                gpu.upload_bytes(to.slice_columns(at, bytes), &source[at..][..bytes]).expect("it copies");
            }
            gpu.wait().expect("it is there");
            let rate = source.len() as f64 / 1e9 / begun.elapsed().as_secs_f64();
            eprintln!("1 GiB in pieces of {} MiB: {rate:.1} GB/s", piece >> 20);
        }
        timed("giving T5's back", || drop(t5));
        timed("closing the card", || drop(gpu));
    }
}
