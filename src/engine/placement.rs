//! Which devices there are, and which engine draws on each. Nothing falls back from one to another by itself.

use serde::Serialize;

use super::budget::{Limits, Plan, Speed};
use super::pipeline::Pipeline;
use super::{Draw, EngineError, Observer, Placement};
use crate::device::{Device, PrecisionChoice, Share};
use crate::job::costs::Planned as Expected;
use crate::model::{ModelName, Parts, TextLimits};

/// The devices that [`load`] can use, the best first: cards by their free memory, then the CPU.
#[must_use]
pub fn devices() -> Vec<Device> {
    let mut devices = cards::usable();
    devices.push(Device::Cpu);
    devices
}

/// A device, for a person: `CPU, 2 threads`. Where there are cards and none can be used, that of the CPU says so.
#[must_use]
pub fn describe(device: Device) -> String {
    match device {
        Device::Cpu => match cards::in_the_way() {
            Some(reason) => format!("{} ({reason})", describe_cpu()),
            None => describe_cpu(),
        },
        Device::Cuda(number) => cards::describe(number),
    }
}

/// What tells a card from all others, whatever its number is; `None` of the CPU.
#[must_use]
pub fn identity(device: Device) -> Option<String> {
    match device {
        Device::Cpu => None,
        Device::Cuda(number) => cards::identity(number),
    }
}

/// Who holds how much of a card's memory now, as this process has asked for it: without what the driver adds for itself.
/// Nothing of a card that nothing was drawn on, and of the CPU.
#[must_use]
pub fn held(device: Device) -> Vec<Share> {
    match device {
        Device::Cpu => Vec::new(),
        Device::Cuda(number) => cards::held(number),
    }
}

/// The CPU alone.
pub(super) fn describe_cpu() -> String {
    match rayon::current_num_threads() {
        1 => "CPU, 1 thread".to_owned(),
        threads => format!("CPU, {threads} threads"),
    }
}

/// Reads a model onto a device.
///
/// # Errors
/// [`EngineError::Placement`] for a device or a precision that cannot be had; [`EngineError::Load`]
/// names the part, the file and what is wrong; [`EngineError::Stopped`].
pub fn load(
    name: &ModelName,
    parts: &Parts,
    limits: TextLimits,
    on: &Placement,
    observer: &mut dyn Observer,
) -> Result<Box<dyn Draw>, EngineError> {
    match (on.device, on.options.precision) {
        (Device::Cpu, PrecisionChoice::Auto) => {
            let merge_loras = on.options.merge_loras;
            Ok(Box::new(Pipeline::load(name, parts, limits, merge_loras, observer)?))
        }
        (Device::Cpu, precision) => {
            let reason = "the CPU computes in fp32; precision auto works there";
            Err(refused(name, format!("precision {precision}"), reason))
        }
        (Device::Cuda(number), _) => cards::load(name, parts, limits, (number, on), observer),
    }
}

/// What a picture of a model that is not loaded will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// What computes, for a person, and why.
    pub precision: String,
    /// Whether T5 reads on the CPU.
    pub t5_on_cpu: bool,
    /// What may be held.
    pub limits: Limits,
    /// How fast bytes come and steps run: learned from earlier pictures, or tried now.
    pub speed: Speed,
    /// How the model is kept and what that takes.
    pub plan: Plan,
}

/// Plans a model on a card from the headers of its files; nothing is loaded.
///
/// # Errors
/// As [`load`].
pub fn plan(
    name: &ModelName,
    parts: &Parts,
    limits: TextLimits,
    on: &Placement,
) -> Result<Forecast, EngineError> {
    match on.device {
        Device::Cpu => Err(refused(name, "device cpu".to_owned(), ONLY_CARDS)),
        Device::Cuda(number) => cards::plan(name, parts, limits, (number, on)),
    }
}

/// What pictures of a model that is not loaded are expected to take, for many at once: each as it is placed, all on one
/// card. Headers are read once.
///
/// # Errors
/// As [`load`], but for pictures that there is no room for.
pub fn foresee(
    name: &ModelName,
    parts: &Parts,
    limits: TextLimits,
    on: &[Placement],
) -> Result<Vec<Expected>, EngineError> {
    match on.first().map(|on| on.device) {
        None => Ok(Vec::new()),
        Some(Device::Cpu) => Err(refused(name, "device cpu".to_owned(), ONLY_CARDS)),
        Some(Device::Cuda(number)) => cards::foresee(name, parts, limits, (number, on)),
    }
}

/// Plans a model of FLUX.1's own size whose files are not here; `guidance` is whether it has that embedding.
///
/// # Errors
/// As [`plan`].
pub fn plan_published(
    name: &ModelName,
    guidance: bool,
    limits: TextLimits,
    on: &Placement,
) -> Result<Forecast, EngineError> {
    match on.device {
        Device::Cpu => Err(refused(name, "device cpu".to_owned(), ONLY_CARDS)),
        Device::Cuda(number) => cards::plan_published(name, guidance, limits, (number, on)),
    }
}

/// Why there is no plan for the CPU.
const ONLY_CARDS: &str = "a plan divides a card's memory; the CPU draws from the machine's";

fn refused(model: &ModelName, what: String, reason: impl Into<String>) -> EngineError {
    EngineError::Placement { model: model.clone(), what, reason: reason.into() }
}

/// Where the program has CUDA.
#[cfg(feature = "cuda")]
mod cards {
    use std::sync::Arc;

    use super::*;
    use crate::engine::cuda::prepare::Prepared;
    use crate::engine::cuda::{Gpu, pipeline};
    use crate::engine::cuda::{card, converted, tally};
    use crate::engine::files::Files;

    pub fn usable() -> Vec<Device> {
        card::usable().iter().map(|card| Device::Cuda(card.ordinal)).collect()
    }

    pub fn in_the_way() -> Option<String> {
        card::in_the_way()
    }

    pub fn describe(number: u32) -> String {
        let known = card::usable().iter().find(|card| card.ordinal == number);
        known.map_or_else(|| format!("cuda:{number}"), |card| format!("cuda:{number}, {}", card.name))
    }

    pub fn held(number: u32) -> Vec<Share> {
        tally::held(number)
    }

    pub fn identity(number: u32) -> Option<String> {
        card::usable().iter().find(|card| card.ordinal == number).map(|card| card.uuid.clone())
    }

    /// The card is opened for the model and closed with it, so that a freed model leaves nothing on it.
    pub fn load(
        name: &ModelName,
        parts: &Parts,
        limits: TextLimits,
        (number, on): (u32, &Placement),
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Draw>, EngineError> {
        let gpu = open(name, number)?;
        Ok(Box::new(pipeline::Pipeline::load(&gpu, name, parts, limits, on, observer)?))
    }

    fn open(name: &ModelName, number: u32) -> Result<Arc<Gpu>, EngineError> {
        Gpu::open(number).map_err(|error| refused(name, format!("device cuda:{number}"), error.to_string()))
    }

    pub fn plan(
        name: &ModelName,
        parts: &Parts,
        limits: TextLimits,
        (number, on): (u32, &Placement),
    ) -> Result<Forecast, EngineError> {
        let gpu = open(name, number)?;
        let mut files = Files::open(name, parts, limits)?;
        converted::instead(&mut files, parts, on.options);
        Prepared::new(&gpu, name, (&files, parts), limits, on).map(forecast)
    }

    pub fn foresee(
        name: &ModelName,
        parts: &Parts,
        limits: TextLimits,
        (number, on): (u32, &[Placement]),
    ) -> Result<Vec<Expected>, EngineError> {
        let gpu = open(name, number)?;
        let mut files = Files::open(name, parts, limits)?;
        // All are of one question, so all are loaded so.
        on.first().into_iter().for_each(|on| converted::instead(&mut files, parts, on.options));
        let mut expected = Vec::with_capacity(on.len());
        for on in on {
            expected.push(match Prepared::new(&gpu, name, (&files, parts), limits, on) {
                Ok(Prepared { plan, .. }) => {
                    Expected::Fits { seconds: plan.picture, peak: plan.peaks.highest().0 }
                }
                Err(EngineError::Placement { .. }) => Expected::TooLarge,
                Err(other) => return Err(other),
            });
        }
        Ok(expected)
    }

    pub fn plan_published(
        name: &ModelName,
        guidance: bool,
        limits: TextLimits,
        (number, on): (u32, &Placement),
    ) -> Result<Forecast, EngineError> {
        let gpu = open(name, number)?;
        Prepared::published(&gpu, name, guidance, limits, on).map(forecast)
    }

    fn forecast(prepared: Prepared) -> Forecast {
        let Prepared { choice, t5_on_host, limits, speed, plan, .. } = prepared;
        let precision = format!("{}, because {}", choice.precision.name(), choice.because);
        Forecast { precision, t5_on_cpu: t5_on_host, limits, speed, plan }
    }
}

/// Where it has not.
#[cfg(not(feature = "cuda"))]
mod cards {
    use super::*;

    pub fn usable() -> Vec<Device> {
        Vec::new()
    }

    pub fn in_the_way() -> Option<String> {
        None
    }

    pub fn describe(number: u32) -> String {
        format!("cuda:{number}")
    }

    pub fn held(_: u32) -> Vec<Share> {
        Vec::new()
    }

    pub fn identity(_: u32) -> Option<String> {
        None
    }

    pub fn load(
        name: &ModelName,
        _parts: &Parts,
        _limits: TextLimits,
        (number, _on): (u32, &Placement),
        _observer: &mut dyn Observer,
    ) -> Result<Box<dyn Draw>, EngineError> {
        Err(without_cuda(name, number))
    }

    pub fn plan(
        name: &ModelName,
        _parts: &Parts,
        _limits: TextLimits,
        (number, _on): (u32, &Placement),
    ) -> Result<Forecast, EngineError> {
        Err(without_cuda(name, number))
    }

    pub fn foresee(
        name: &ModelName,
        _parts: &Parts,
        _limits: TextLimits,
        (number, _on): (u32, &[Placement]),
    ) -> Result<Vec<Expected>, EngineError> {
        Err(without_cuda(name, number))
    }

    pub fn plan_published(
        name: &ModelName,
        _guidance: bool,
        _limits: TextLimits,
        (number, _on): (u32, &Placement),
    ) -> Result<Forecast, EngineError> {
        Err(without_cuda(name, number))
    }

    fn without_cuda(name: &ModelName, number: u32) -> EngineError {
        let reason = "this program was built without CUDA; device cpu works";
        refused(name, format!("device cuda:{number}"), reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Observer for Nobody {
        fn report(&mut self, _: crate::engine::Report<'_>) {}

        fn wants_stop(&self) -> bool {
            false
        }
    }

    fn refusal(device: Device, precision: PrecisionChoice) -> String {
        let (name, limits) = (ModelName::new(ModelName::NANO), TextLimits { t5: 32, clip: 77 });
        let on = Placement::new(device, precision.into());
        match load(&name, &Parts::nano(), limits, &on, &mut Nobody) {
            Ok(engine) => panic!("it was loaded: {}", engine.precision()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_precision_that_the_cpu_has_not_is_refused_with_what_works() {
        for precision in [PrecisionChoice::Fp8, PrecisionChoice::Fp8Storage, PrecisionChoice::Bf16] {
            let error = refusal(Device::Cpu, precision);
            assert!(error.contains(&format!("precision {precision}: the CPU computes in fp32")), "{error}");
            assert!(error.contains("auto works"), "{error}");
        }
    }

    #[test]
    fn a_card_that_is_not_there_is_refused_with_what_works() {
        let error = refusal(Device::Cuda(99), PrecisionChoice::Auto);
        assert!(error.contains("device cuda:99") && error.contains("cpu"), "{error}");
    }

    #[test]
    fn the_cpu_is_always_there_and_comes_last() {
        assert_eq!(devices().last(), Some(&Device::Cpu));
        assert!(describe(Device::Cpu).starts_with("CPU, "), "{}", describe(Device::Cpu));
    }
}
