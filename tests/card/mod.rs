//! What the tests on a card share: the card, the built-in model's parts, and errors between two sets of numbers.

mod arrival;
mod budget;
mod converted;
mod loading;
mod loras;
mod merging;
mod owners;
mod pictures;
mod products;
mod quantised;
mod text;
mod transformer;
mod vae;

use std::path::Path;
use std::sync::Arc;

use flux_tui::device::{Device, LoadOptions};
use flux_tui::engine::cuda::{CudaError, Gpu};
use flux_tui::engine::weights::Weights;
use flux_tui::engine::{self, Draw, Observer, Placement, Report};
use flux_tui::model::{ModelName, Parts, Source, TextLimits};

/// A card of this machine; `None`, with the reason printed, where there is none to use.
pub fn gpu() -> Option<Arc<Gpu>> {
    match Gpu::open(0) {
        Ok(gpu) => Some(gpu),
        Err(
            error @ (CudaError::NoDriver
            | CudaError::NoCard { .. }
            | CudaError::NoCublas
            | CudaError::NoKernels),
        ) => {
            eprintln!("not run: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A file of the built-in model.
pub fn nano(file: &str) -> Source {
    Source::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file))
}

/// … opened.
pub fn weights(file: &str) -> Weights {
    Weights::open(&nano(file)).expect("the built-in model is whole")
}

/// ‖ours − theirs‖ / ‖theirs‖.
pub fn relative_error(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut theirs.iter().map(|x| f64::from(*x)))
}

/// The same model on the CPU.
pub fn load_on_cpu(name: &ModelName, parts: &Parts, limits: TextLimits) -> Box<dyn Draw> {
    let on = Placement::new(Device::Cpu, LoadOptions::default());
    engine::load(name, parts, limits, &on, &mut Nobody).expect("nano loads")
}

/// Follows nothing and stops nothing.
struct Nobody;

impl Observer for Nobody {
    fn report(&mut self, _: Report<'_>) {}

    fn wants_stop(&self) -> bool {
        false
    }
}
