//! A model held to a budget of memory draws what it draws without one, within that budget.

use std::sync::Arc;
use std::time::Duration;

use flux_tui::device::{Device, LoadOptions, PrecisionChoice, VramBudget};
use flux_tui::engine::budget::{Limits, Residence, Source, Speed, Tile};
use flux_tui::engine::cuda::budgeted::{Budgeted, plan_for};
use flux_tui::engine::cuda::decoding::Decoding;
use flux_tui::engine::cuda::flux::Flux;
use flux_tui::engine::cuda::flux::origin::{Origin, seed_of};
use flux_tui::engine::cuda::flux::precision::Precision;
use flux_tui::engine::cuda::flux::step::Watch;
use flux_tui::engine::cuda::flux::workspace::Workspace;
use flux_tui::engine::cuda::memory::Buffer;
use flux_tui::engine::cuda::pipeline::Pipeline;
use flux_tui::engine::cuda::text::{Clip, T5};
use flux_tui::engine::cuda::vae::{Before, Decoder};
use flux_tui::engine::cuda::{CudaError, Gpu, plan};
use flux_tui::engine::dit::config::Config;
use flux_tui::engine::vae::decoder::Scaling;
use flux_tui::engine::{Draw, EngineError, Observer, Placement, Planned, Report, latent};
use flux_tui::job::Size;
use flux_tui::model::ModelName;
use half::bf16;

use super::{gpu, nano, pictures, weights};

const TIMES: [f32; 3] = [1.0, 0.7, 0.2];
const TEXT: usize = 32;
const GRID: (usize, usize) = (12, 8);

/// Nano kept as planned, and an input.
struct Held {
    gpu: Arc<Gpu>,
    flux: Flux,
    workspace: Workspace,
}

impl Held {
    fn new(gpu: &Arc<Gpu>, precision: Precision, plan: &Residence) -> Self {
        let file = weights("flux1-nano-fp8.safetensors");
        let config = Config::of(&file).expect("nano is a transformer");
        let flux =
            Flux::load(gpu, config, precision, &Origin::File(&file), plan, |_| Ok(())).expect("nano loads");
        let image = GRID.0 * GRID.1;
        let workspace = Workspace::new(gpu, &flux.config, precision, TEXT, image).expect("there is memory");
        gpu.random(workspace.input().slice_rows(0, image), 7, 0.0, 1.0).expect("an input");
        Self { gpu: Arc::clone(gpu), flux, workspace }
    }

    fn random(&self, name: &str, rows: usize, width: usize) -> Buffer {
        let buffer = Buffer::of::<bf16>(&self.gpu, rows, width, "a test").expect("there is memory");
        self.gpu.random(buffer.matrix(0, rows, width), seed_of(0, name), 0.0, 1.0).expect("an input");
        buffer
    }

    /// The velocities of all steps, asked for `rounds` times one after another; a stop before block `stop` of a step
    /// comes between the rounds.
    fn velocities(&self, rounds: usize, stop: Option<usize>) -> Vec<Vec<bf16>> {
        let (config, image) = (&self.flux.config, GRID.0 * GRID.1);
        let (text, pooled) =
            (self.random("text", TEXT, config.context_dim), self.random("pooled", 1, config.vec_dim));
        let (text, pooled) = (text.matrix(0, TEXT, config.context_dim), pooled.matrix(0, 1, config.vec_dim));
        let conditions = self.flux.condition(text, pooled, GRID, &TIMES, 3.0).expect("the shapes fit");
        let mut velocities = Vec::new();
        for _ in 0..rounds {
            for step in 0..TIMES.len() {
                self.flux.evaluate(&self.workspace, &conditions, step, &mut ()).expect("it can be evaluated");
                let velocity = self.workspace.velocity(config.out_channels).slice_rows(0, image);
                velocities.push(self.gpu.download(velocity).expect("nothing went wrong"));
            }
            if let Some(blocks) = stop {
                let stopped = self.flux.evaluate(&self.workspace, &conditions, 0, &mut StopAt(blocks));
                assert!(matches!(stopped, Err(CudaError::Stopped)), "{stopped:?}");
            }
        }
        velocities
    }
}

#[test]
fn tables_that_were_kept_are_those_that_were_made() {
    let Some(gpu) = gpu() else { return };
    let held = Held::new(&gpu, Precision::Bf16, &Residence::nothing(8, 2));
    let resident = Held::new(&gpu, Precision::Bf16, &Residence::whole(8));
    let rows = |held: &Held, guidance, pooled: &str| {
        let config = &held.flux.config;
        let (text, pooled) =
            (held.random("text", TEXT, config.context_dim), held.random(pooled, 1, config.vec_dim));
        let (text, pooled) = (text.matrix(0, TEXT, config.context_dim), pooled.matrix(0, 1, config.vec_dim));
        let conditions = held.flux.condition(text, pooled, GRID, &TIMES, guidance).expect("the shapes fit");
        let rows =
            (0..TIMES.len()).map(|step| gpu.download(conditions.tables.step(step)).expect("it is there"));
        let rows = rows.collect::<Vec<_>>();
        held.flux.keep_tables(&conditions).expect("they are there");
        rows
    };
    // Made, kept, made for another guidance and another prompt, made again.
    let asked = [(3.0, "a"), (3.0, "a"), (4.0, "a"), (3.0, "b"), (3.0, "a"), (3.0, "a")];
    for (guidance, pooled) in asked {
        assert!(rows(&held, guidance, pooled) == rows(&resident, guidance, pooled), "{guidance}, {pooled}");
    }
    assert!(rows(&held, 3.0, "a") != rows(&held, 3.0, "b"));
}

#[test]
fn tables_begun_from_clips_vector_alone_are_those_that_are_made_later() {
    let Some(gpu) = gpu() else { return };
    for precision in [Precision::Fp8Storage, Precision::Fp8] {
        if precision == Precision::Fp8 && !gpu.card().has_fp8() {
            eprintln!("not run: fp8 on {}", gpu.card().name);
            continue;
        }
        let resident = Held::new(&gpu, precision, &Residence::whole(8));
        let held = Held::new(&gpu, precision, &Residence::nothing(8, 2));
        let config = &held.flux.config;
        let text = held.random("text", TEXT, config.context_dim);
        let text = text.matrix(0, TEXT, config.context_dim);
        // The library takes its memory at the first product.
        assert_eq!(held.velocities(1, None), resident.velocities(1, None));
        let before = gpu.held();
        let tables = |held: &Held, name: &str, ahead: bool| {
            let pooled = held.random(name, 1, config.vec_dim);
            let pooled = pooled.matrix(0, 1, config.vec_dim);
            let begun = ahead.then(|| {
                let vector = gpu.download(pooled).expect("it is there");
                let begun = held.flux.tables_ahead(&vector, (&TIMES, 3.0), &mut ()).expect("it begins");
                // The card computes something else meanwhile, by the same library.
                assert_eq!(held.velocities(2, None).len(), 2 * TIMES.len());
                begun.expect("the layers do not stay")
            });
            let conditions = held.flux.condition_watched((text, pooled), GRID, (&TIMES, 3.0), begun, &mut ());
            let conditions = conditions.expect("the shapes fit");
            held.flux.keep_tables(&conditions).expect("they are there");
            let rows = (0..TIMES.len()).map(|step| gpu.download(conditions.tables.step(step)));
            rows.collect::<Result<Vec<_>, _>>().expect("they are there")
        };
        for name in ["a", "b", "c"] {
            assert!(tables(&held, name, true) == tables(&resident, name, false), "{precision:?} {name}");
            // Nothing is begun for what was kept.
            let pooled = held.random(name, 1, config.vec_dim);
            let vector = gpu.download(pooled.matrix(0, 1, config.vec_dim)).expect("it is there");
            let again = held.flux.tables_ahead(&vector, (&TIMES, 3.0), &mut ()).expect("it looks");
            assert!(again.is_none());
        }
        // One that nobody takes.
        let nobodys = held.flux.tables_ahead(&vec![bf16::ONE; config.vec_dim], (&TIMES, 3.0), &mut ());
        drop(nobodys.expect("it begins").expect("the layers do not stay"));
        gpu.wait().expect("nothing went wrong");
        assert_eq!(gpu.held(), before, "memory is given back");
    }
}

/// Ends a step before a block.
struct StopAt(usize);

impl Watch for StopAt {
    fn before_block(&mut self) -> Result<(), CudaError> {
        self.0 = self.0.checked_sub(1).ok_or(CudaError::Stopped)?;
        Ok(())
    }
}

/// Everything streamed through 1 to 3 slots, from pinned memory and out of the file by the host, every second block, and
/// the modulation layers alone.
fn plans(blocks: usize) -> Vec<(&'static str, Residence)> {
    let every_second = (0..blocks).map(|block| block % 2 == 1).collect();
    let by_the_host = |slots| Residence { source: Source::File, ..Residence::nothing(blocks, slots) };
    vec![
        ("everything, 2 slots", Residence::nothing(blocks, 2)),
        ("everything, 3 slots", Residence::nothing(blocks, 3)),
        ("everything, 1 slot", Residence::nothing(blocks, 1)),
        ("everything, 1 slot, by the host", by_the_host(1)),
        ("everything, 2 slots, by the host", by_the_host(2)),
        ("everything, 3 slots, by the host", by_the_host(3)),
        ("every second block", Residence { streamed: every_second, slots: 2, ..Residence::whole(blocks) }),
        ("modulation", Residence { modulation_stays: false, ..Residence::whole(blocks) }),
    ]
}

#[test]
fn streamed_weights_give_the_bits_of_resident_ones() {
    let Some(gpu) = gpu() else { return };
    let config = Config::of(&weights("flux1-nano-fp8.safetensors")).expect("nano is a transformer");
    let blocks = config.double_blocks + config.single_blocks;
    for precision in [Precision::Bf16, Precision::Fp8Storage, Precision::Fp8] {
        if precision == Precision::Fp8 && !gpu.card().has_fp8() {
            eprintln!("not run: fp8 on {}", gpu.card().name);
            continue;
        }
        let resident = Held::new(&gpu, precision, &Residence::whole(blocks)).velocities(2, None);
        assert!(resident.iter().flatten().all(|value| value.is_finite()));
        for (what, plan) in plans(blocks) {
            let held = Held::new(&gpu, precision, &plan);
            assert!(held.velocities(2, None) == resident, "{}, {what}", precision.name());
            let brought = held.flux.store().brought();
            assert_eq!(brought > 0, plan.streamed_blocks() > 0, "{what}");
            // Wherever a step is broken off, the next begins as if nothing had been.
            for stop in 0..blocks {
                assert!(held.velocities(2, Some(stop)) == resident, "{}, {what}, {stop}", precision.name());
            }
            let [bytes, pinned, own] = held.flux.store().host_bytes();
            // What is streamed as the file has it is not kept a second time.
            if plan.source == Source::File && precision != Precision::Bf16 {
                assert!(own < bytes / 4 && pinned <= own, "{what}: {own} of {bytes}, {pinned} pinned");
            }
            eprintln!(
                "{}, {what}: {bytes} bytes streamed, {pinned} pinned, {own} beside the file",
                precision.name()
            );
        }
    }
}

#[test]
fn what_is_streamed_is_not_on_the_card() {
    let Some(gpu) = gpu() else { return };
    let nano = weights("flux1-nano-fp8.safetensors");
    let config = Config::of(&nano).expect("nano is a transformer");
    let blocks = config.double_blocks + config.single_blocks;
    let (_, modulation, [double, single]) = Flux::sizes(&config, Precision::Fp8Storage, &Origin::File(&nano));
    let body = double.count as u64 * double.bytes + single.count as u64 * single.bytes;
    let held = |plan: &Residence| {
        let before = gpu.held();
        let flux = Held::new(&gpu, Precision::Fp8Storage, plan);
        assert!(flux.velocities(1, None).len() == TIMES.len());
        gpu.held() - before
    };
    // What products work in is taken at the first, and stays.
    held(&Residence::whole(blocks));
    let (whole, nothing) = (held(&Residence::whole(blocks)), held(&Residence::nothing(blocks, 2)));
    assert_eq!(whole - nothing, modulation.layers + body - 2 * double.bytes.max(single.bytes));
}

#[test]
fn a_plan_for_another_model_is_refused() {
    let Some(gpu) = gpu() else { return };
    let file = weights("flux1-nano-fp8.safetensors");
    let config = Config::of(&file).expect("nano is a transformer");
    let load = |plan: &Residence| {
        Flux::load(&gpu, config.clone(), Precision::Bf16, &Origin::File(&file), plan, |_| Ok(()))
    };
    let error = load(&Residence::whole(57)).expect_err("nano has fewer blocks");
    assert!(error.to_string().contains("a plan for 57 blocks"), "{error}");
    let blocks = config.double_blocks + config.single_blocks;
    assert!(load(&Residence::nothing(blocks, 0)).is_err(), "there is no slot");
}

fn nano_within(gpu: &Arc<Gpu>, budget: Option<u64>) -> Result<Pipeline, EngineError> {
    let name = ModelName::new(ModelName::NANO);
    let precision = PrecisionChoice::Fp8Storage;
    let options = LoadOptions { precision, vram_budget: budget.map(VramBudget), ..LoadOptions::default() };
    Pipeline::load(
        gpu,
        &name,
        &pictures::parts(),
        pictures::LIMITS,
        &Placement::new(Device::Cuda(0), options),
        &mut pictures::Looker::default(),
    )
}

/// The smallest budget that nano can be drawn in, to a megabyte.
fn least(gpu: &Arc<Gpu>) -> u64 {
    let (mut refused, mut enough) = (0, nano_within(gpu, None).expect("nano loads").plan().peak());
    while enough - refused > 1 << 20 {
        let budget = refused.midpoint(enough);
        match nano_within(gpu, Some(budget)) {
            Ok(_) => enough = budget,
            Err(EngineError::Placement { reason, .. }) => {
                assert!(reason.contains("at least") && reason.contains("the budget is"), "{reason}");
                refused = budget;
            }
            Err(error) => panic!("{error}"),
        }
    }
    enough
}

#[test]
fn pictures_within_the_least_budget_are_those_without_one_and_hold_no_more_after_twenty() {
    let Some(gpu) = gpu() else { return };
    let brief = |seed| pictures::brief(&format!("a red apple, {seed}"), (128, 128), seed);
    let mut whole = nano_within(&gpu, None).expect("nano loads");
    let expected: Vec<_> = (0..20).map(|seed| pictures::draw(&mut whole, &brief(seed))).collect();
    drop(whole);
    let budget = least(&gpu);
    let mut held = nano_within(&gpu, Some(budget)).expect("it was loaded before");
    let plan = held.plan().clone();
    eprintln!("{} MB: {:?}", budget >> 20, plan.transformer);
    assert!(plan.transformer.streamed_blocks() > 0 && !plan.t5_stays && !plan.clip_stays, "{plan:?}");
    assert!(pictures::draw(&mut held, &brief(0)) == expected[0]);
    gpu.forget_peak();
    let between = gpu.held();
    for (seed, expected) in expected.iter().enumerate() {
        assert!(pictures::draw(&mut held, &brief(seed as u64)) == *expected, "picture {seed}");
        assert_eq!(gpu.held(), between, "after picture {seed}");
        assert!(plan::CONTEXT + gpu.peak() <= budget, "{} of {budget} after picture {seed}", gpu.peak());
    }
    // A larger picture than the plan was for is drawn within the budget, or refused before anything is computed.
    let mut looker = pictures::Looker::default();
    match held.draw(&pictures::brief("a house", (2048, 2048), 1), &mut looker) {
        Ok(_) => assert!(plan::CONTEXT + gpu.peak() <= budget, "{} of {budget}", gpu.peak()),
        Err(error) => {
            assert!(error.to_string().contains("a picture of this size"), "{error}");
            assert_eq!(gpu.held(), between);
        }
    }
}

#[test]
fn encoders_brought_for_a_prompt_give_the_bits_of_those_that_stay() {
    let Some(gpu) = gpu() else { return };
    let (config, ids) = (nano("t5_config.json"), [5, 9, 100, 7, 1, 0, 0, 0]);
    let of_t5 = |t5: &T5| {
        let out = Buffer::of::<bf16>(&gpu, ids.len(), t5.width(), "a test").expect("memory");
        let room = t5.room(&gpu, ids.len()).expect("room");
        let matrix = out.matrix(0, ids.len(), t5.width());
        t5.encode(&gpu, &ids, &room, matrix).expect("encoded");
        gpu.download(matrix).expect("a result")
    };
    let stays = T5::load(&gpu, &weights("t5.safetensors"), &config, |_| Ok(())).expect("T5 loads");
    let expected = of_t5(&stays);
    // What cublasLt works in has been taken by now.
    let before = gpu.held();
    let brought = T5::brought(weights("t5.safetensors"), &config).expect("T5 can be brought");
    assert!(of_t5(&brought) == expected);
    assert_eq!((brought.bytes(), gpu.held()), (0, before));
    let config = nano("clip_config.json");
    let of_clip = |clip: &Clip| {
        let out = Buffer::of::<bf16>(&gpu, 1, clip.width(), "a test").expect("memory");
        let room = clip.room(&gpu, ids.len()).expect("room");
        let matrix = out.matrix(0, 1, clip.width());
        clip.encode(&gpu, &ids, 4, &room, matrix).expect("encoded");
        gpu.download(matrix).expect("a result")
    };
    let stays = Clip::load(&gpu, &weights("clip.safetensors"), &config).expect("CLIP loads");
    let brought = Clip::brought(weights("clip.safetensors"), &config).expect("CLIP can be brought");
    assert!(of_clip(&brought) == of_clip(&stays));
}

/// A whole picture, and one in strips: their difference in dB over all, and the worst of any row of pixels.
fn strips_against_whole(gpu: &Arc<Gpu>, decoder: &Decoder, grid: (usize, usize)) -> Vec<(usize, f64, f64)> {
    let tokens = Buffer::of::<f32>(gpu, grid.0 * grid.1, 64, "tokens").expect("memory");
    let matrix = tokens.matrix::<f32>(0, grid.0 * grid.1, 64);
    // Smooth over the picture, as latents are, and unlike in its parts.
    let values = (0..grid.0 * grid.1 * 64).map(|at| {
        let (row, column, channel) = (at / 64 / grid.1, at / 64 % grid.1, at % 64);
        let wave =
            (row as f32 * 0.31 + channel as f32).sin() + (column as f32 * 0.23 + channel as f32 * 0.7).cos();
        wave * (0.3 + row as f32 / grid.0 as f32)
    });
    gpu.upload(matrix, &values.collect::<Vec<_>>()).expect("tokens can be copied");
    let picture = |tile| {
        decoder.picture(matrix, grid, tile, Before::NOTHING).expect("it decodes").expect("it is finite")
    };
    let whole = picture(grid);
    let tiles = decoder.tiles(grid);
    let row = 3 * 16 * grid.1;
    let in_strips = tiles.iter().skip(1).filter(|tile| !tile.is_on_host()).map(|tile| {
        gpu.forget_peak();
        let held = gpu.held();
        let strips = picture((tile.rows, tile.columns));
        assert_eq!(gpu.peak() - held, tile.bytes, "{tile:?}");
        let rows = strips.chunks_exact(row).zip(whole.chunks_exact(row));
        let worst = rows.map(|(ours, theirs)| pictures::psnr(ours, theirs)).fold(f64::INFINITY, f64::min);
        (tile.rows, pictures::psnr(&strips, &whole), worst)
    });
    in_strips.collect()
}

#[test]
fn strips_are_the_whole_picture_at_45_db_without_a_seam() {
    let Some(gpu) = gpu() else { return };
    let scaling = Scaling::read(&nano("vae_config.json")).expect("nano's VAE has a config");
    let nano = Decoder::load(&gpu, &weights("ae.safetensors"), scaling).expect("nano's VAE loads");
    let full = Decoder::random(&gpu, 1).expect("random weights fit");
    for (what, decoder, grid) in
        [("nano", &nano, (24, 16)), ("nano", &nano, (45, 12)), ("FLUX.1", &full, (40, 24))]
    {
        let qualities = strips_against_whole(&gpu, decoder, grid);
        assert!(!qualities.is_empty(), "{what}, {grid:?}");
        for (rows, quality, worst) in qualities {
            eprintln!(
                "{what}, {grid:?} in strips of {rows} rows: {quality:.1} dB, the worst row {worst:.1} dB"
            );
            assert!(
                quality >= 45.0 && worst >= 40.0,
                "{what}, {grid:?}, {rows}: {quality:.1}, {worst:.1} dB"
            );
        }
    }
}

#[test]
fn a_picture_that_the_card_has_no_room_for_is_decoded_on_the_host() {
    struct Nobody;
    impl Observer for Nobody {
        fn report(&mut self, _: Report<'_>) {}
        fn wants_stop(&self) -> bool {
            false
        }
    }
    let Some(gpu) = gpu() else { return };
    let config = nano("vae_config.json");
    let decoding = Decoding::load(&gpu, weights("ae.safetensors"), &config, true).expect("nano's VAE loads");
    let size = Size::new(256, 384).expect("it is on the grid");
    let tokens = size.image_tokens();
    let latent = Buffer::of::<f32>(&gpu, tokens, 64, "a latent").expect("there is memory");
    gpu.fill(latent.matrix(0, tokens, 64), 0.25).expect("a latent");
    let grid = latent::grid(size);
    assert!(decoding.tile(grid, 0).is_on_host());
    let whole = decoding.tile(grid, u64::MAX);
    assert_eq!(whole.work, 1.0);
    let picture =
        |tile| decoding.picture(latent.matrix(0, tokens, 64), size, tile, &mut Nobody).expect("it decodes").0;
    let quality = pictures::psnr(&picture(Tile::ON_HOST), &picture(whole));
    eprintln!("decoded on the host: {quality:.1} dB of the card's");
    assert!(quality >= 45.0, "{quality:.1} dB");
}

/// `cargo test --release --features cuda --test cuda the_real_size_within -- --ignored --nocapture`
#[test]
#[ignore = "takes 10 GB of device memory and of pinned host memory"]
fn the_real_size_within_its_plan() {
    let Some(gpu) = gpu() else { return };
    let precision = if gpu.card().has_fp8() { Precision::Fp8 } else { Precision::Fp8Storage };
    let model = || (Config::flux1_dev(), precision);
    let speed = Speed { step: Some(0.1), ..plan::speed(&gpu, None).expect("copies") };
    let grid = (64, 64);
    for gigabytes in [12, 8, 6, 4] {
        let limits = Limits { budget: gigabytes * 1_000_000_000, free: 80_000_000_000, host: u64::MAX };
        let decoder = Decoder::random(&gpu, 1).expect("memory");
        let (config, precision) = model();
        let picture = Planned { steps: 2, ..Planned::default() };
        let plan = plan_for((&config, precision), &decoder, picture, &speed, (limits, plan::CONTEXT))
            .expect("a plan");
        gpu.forget_peak();
        let held = Budgeted::new(&gpu, model(), plan, decoder, (grid, 2)).expect("memory");
        (0..3).for_each(|_| held.picture(Duration::ZERO, || ()).expect("a picture"));
        let (peak, said) = (plan::CONTEXT + gpu.peak(), held.plan.peak());
        eprintln!("{gigabytes} GB: {} MB held at most, {} MB said", peak >> 20, said >> 20);
        assert!(peak <= said && peak as f64 > 0.95 * said as f64, "{peak} of {said}");
    }
}
