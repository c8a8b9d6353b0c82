//! The transformer on a card against the same on the CPU in fp32.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use flux_tui::engine::budget::Residence;
use flux_tui::engine::cuda::Gpu;
use flux_tui::engine::cuda::flux::origin::Origin;
use flux_tui::engine::cuda::flux::precision::Precision;
use flux_tui::engine::cuda::flux::workspace::Workspace;
use flux_tui::engine::cuda::flux::{Conditions, Flux};
use flux_tui::engine::cuda::memory::Buffer;
use flux_tui::engine::dit::config::Config;
use flux_tui::engine::dit::model;
use flux_tui::engine::sample::noise::randn;
use flux_tui::engine::weights::Weights;
use half::bf16;

use super::{gpu, relative_error, weights};

pub const TIMES: [f32; 3] = [1.0, 0.7, 0.2];
const GUIDANCE: f32 = 3.0;
pub const TEXT: usize = 32;

struct Nobody;

impl model::Watch for Nobody {}

/// Inputs of one evaluation, in values that bf16 has exactly.
pub struct Inputs {
    grid: (usize, usize),
    text: Tensor,
    pooled: Tensor,
    latent: Tensor,
}

impl Inputs {
    pub fn new(config: &Config, text: usize, grid: (usize, usize)) -> Self {
        let random = |seed: u64, rows: usize, width: usize| {
            let values = randn(seed, rows * width).into_iter().map(|value| bf16::from_f32(value).to_f32());
            Tensor::from_vec(values.collect(), (rows, width), &Device::Cpu).expect("as many values")
        };
        Self {
            grid,
            text: random(1, text, config.context_dim),
            pooled: random(2, 1, config.vec_dim),
            latent: random(3, grid.0 * grid.1, config.in_channels),
        }
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("fp32")
}

fn on_card(gpu: &Arc<Gpu>, tensor: &Tensor) -> Buffer {
    let (rows, width) = tensor.dims2().expect("a matrix");
    let buffer = Buffer::of::<bf16>(gpu, rows, width, "a test").expect("there is memory");
    let narrow: Vec<bf16> = values(tensor).into_iter().map(bf16::from_f32).collect();
    gpu.upload(buffer.matrix(0, rows, width), &narrow).expect("it can be copied");
    buffer
}

pub fn on_cpu(config: &Config, flux: &model::Flux, inputs: &Inputs, step: usize) -> Vec<f32> {
    let conditions =
        flux.condition(&inputs.text, &inputs.pooled, inputs.grid, &TIMES, GUIDANCE).expect("the shapes fit");
    assert_eq!(&flux.config, config);
    values(&flux.forward(&inputs.latent, &conditions, step, &mut Nobody).expect("the shapes fit"))
}

pub struct OnCard {
    gpu: Arc<Gpu>,
    flux: Flux,
}

impl OnCard {
    pub fn new(gpu: &Arc<Gpu>, precision: Precision) -> Self {
        let file = weights("flux1-nano-fp8.safetensors");
        let config = Config::of(&file).expect("nano is a transformer");
        let whole = Residence::whole(config.double_blocks + config.single_blocks);
        Self::of(gpu, &file, precision, &whole)
    }

    /// Of another file.
    pub fn of(gpu: &Arc<Gpu>, file: &Weights, precision: Precision, plan: &Residence) -> Self {
        let config = Config::of(file).expect("it is a transformer");
        let flux =
            Flux::load(gpu, config, precision, &Origin::File(file), plan, |_| Ok(())).expect("it loads");
        Self { gpu: Arc::clone(gpu), flux }
    }

    pub fn flux(&mut self) -> &mut Flux {
        &mut self.flux
    }

    pub fn condition(&self, inputs: &Inputs, times: &[f32]) -> Conditions {
        let (text, pooled) = (on_card(&self.gpu, &inputs.text), on_card(&self.gpu, &inputs.pooled));
        let (rows, width) = inputs.text.dims2().expect("a matrix");
        let pooled = pooled.matrix(0, 1, self.flux.config.vec_dim);
        self.flux
            .condition(text.matrix(0, rows, width), pooled, inputs.grid, times, GUIDANCE)
            .expect("the shapes fit")
    }

    pub fn workspace(&self, inputs: &Inputs) -> Workspace {
        let (text, image) = (inputs.text.dim(0).expect("a matrix"), inputs.grid.0 * inputs.grid.1);
        let workspace = Workspace::new(&self.gpu, &self.flux.config, self.flux.precision, text, image)
            .expect("there is memory");
        let narrow: Vec<bf16> = values(&inputs.latent).into_iter().map(bf16::from_f32).collect();
        self.gpu.upload(workspace.input().slice_rows(0, image), &narrow).expect("it can be copied");
        workspace
    }

    pub fn velocity(&self, workspace: &Workspace, conditions: &Conditions, step: usize) -> Vec<f32> {
        self.flux.evaluate(workspace, conditions, step, &mut ()).expect("it can be evaluated");
        let image = workspace.tokens() - workspace.text();
        let velocity = workspace.velocity(self.flux.config.out_channels).slice_rows(0, image);
        self.gpu.download(velocity).expect("nothing went wrong").into_iter().map(bf16::to_f32).collect()
    }
}

#[test]
fn the_velocity_is_the_cpus_in_every_precision_and_at_odd_sizes() {
    let Some(gpu) = gpu() else { return };
    let file = weights("flux1-nano-fp8.safetensors");
    let cpu = model::Flux::load(&file, |_| Ok::<_, flux_tui::engine::weights::WeightsError>(()))
        .expect("nano loads");
    let config = cpu.config.clone();
    for (precision, most) in [(Precision::Bf16, 2e-2), (Precision::Fp8Storage, 2e-2), (Precision::Fp8, 8e-2)]
    {
        if precision == Precision::Fp8 && !gpu.card().has_fp8() {
            eprintln!("not run: fp8 on {}", gpu.card().name);
            continue;
        }
        let card = OnCard::new(&gpu, precision);
        for (text, grid) in [(TEXT, (8, 8)), (TEXT, (5, 7)), (77, (9, 13)), (TEXT, (24, 16))] {
            let inputs = Inputs::new(&config, text, grid);
            let (conditions, workspace) = (card.condition(&inputs, &TIMES), card.workspace(&inputs));
            for step in 0..TIMES.len() {
                let ours = card.velocity(&workspace, &conditions, step);
                let error = relative_error(&ours, &on_cpu(&config, &cpu, &inputs, step));
                eprintln!("{}, {text} + {grid:?} tokens, step {step}: {error:.2e}", precision.name());
                assert!(error < most, "{} at {grid:?}, step {step}: {error:e}", precision.name());
            }
        }
    }
}

#[test]
fn the_paths_of_older_cards_give_what_this_cards_give() {
    let Some(gpu) = gpu() else { return };
    let mut card = OnCard::new(&gpu, Precision::Fp8Storage);
    let inputs = Inputs::new(&card.flux.config, TEXT, (13, 11));
    let (conditions, workspace) = (card.condition(&inputs, &TIMES), card.workspace(&inputs));
    let own = card.velocity(&workspace, &conditions, 1);
    card.flux.use_portable_attention(true).expect("there is memory");
    let error = relative_error(&card.velocity(&workspace, &conditions, 1), &own);
    eprintln!("the attention kernel for every card: {error:.2e}");
    assert!(error < 1e-2, "{error:e}");
    if !gpu.card().has_fp8() {
        return;
    }
    // Quantising turns the last place of bf16 into that of fp8, so the two ways are not compared with one another but
    // each with what is not quantised.
    let card = OnCard::new(&gpu, Precision::Fp8);
    let workspace = card.workspace(&inputs);
    let error_here = relative_error(&card.velocity(&workspace, &conditions, 1), &own);
    gpu.do_without_row_scales(true);
    let error = relative_error(&card.velocity(&workspace, &conditions, 1), &own);
    gpu.do_without_row_scales(false);
    eprintln!("fp8, scales in the product: {error_here:.2e}, after it: {error:.2e}");
    assert!(error < 1.5 * error_here, "{error:e}, {error_here:e}");
}

#[test]
fn modulations_prepared_together_have_the_bits_of_those_prepared_alone() {
    let Some(gpu) = gpu() else { return };
    let card = OnCard::new(&gpu, Precision::Fp8Storage);
    let inputs = Inputs::new(&card.flux.config, TEXT, (4, 4));
    let times: Vec<f32> = (0..20).map(|step| 1.0 - step as f32 / 20.0).collect();
    let together = card.condition(&inputs, &times);
    for (step, &time) in times.iter().enumerate() {
        let alone = card.condition(&inputs, &[time]);
        let bits = |conditions: &Conditions, step| {
            gpu.download(conditions.tables.step(step)).expect("it can be copied")
        };
        assert_eq!(bits(&together, step), bits(&alone, 0), "step {step}");
    }
}

#[test]
fn two_hundred_evaluations_give_the_same_bits_and_take_no_more_memory() {
    let Some(gpu) = gpu() else { return };
    for precision in [Precision::Bf16, Precision::Fp8] {
        if precision == Precision::Fp8 && !gpu.card().has_fp8() {
            continue;
        }
        let card = OnCard::new(&gpu, precision);
        let inputs = Inputs::new(&card.flux.config, TEXT, (16, 16));
        let (conditions, workspace) = (card.condition(&inputs, &TIMES), card.workspace(&inputs));
        let first = card.velocity(&workspace, &conditions, 0);
        gpu.forget_peak();
        let held = gpu.peak();
        for _ in 0..200 {
            assert_eq!(card.velocity(&workspace, &conditions, 0), first);
        }
        assert_eq!(gpu.peak(), held);
    }
}
