//! Readings of memory, load and temperature: NVML where there is a GPU, the host otherwise.
//! No CUDA context is made here.

use crate::device::{Owner, Share};
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// What was read at one moment, on the worker's machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Readings {
    /// The machine and the worker's process.
    pub host: Host,
    /// Every GPU that NVML lists; empty where there is none.
    pub gpus: Vec<Gpu>,
}

/// The machine and the worker's process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// RAM in bytes.
    pub total: u64,
    /// RAM in use by all, in bytes.
    pub used: u64,
    /// RAM of the worker's process, in bytes.
    pub ours: u64,
    /// The worker's share of all cores, 0 to 100.
    pub worker_load: f32,
    /// All processes' share of all cores, 0 to 100.
    pub load: f32,
    /// Logical cores.
    pub cores: u32,
}

/// One GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// NVML's index.
    pub index: u32,
    /// The product's name.
    pub name: String,
    /// Memory in bytes.
    pub total: u64,
    /// Memory in use by all, in bytes.
    pub used: u64,
    /// Memory of the worker's process, in bytes; `None` where NVML does not list processes.
    pub ours: Option<u64>,
    /// 0 to 100; `None` where the card does not say.
    pub utilisation: Option<u32>,
    /// °C; `None` where the card does not say.
    pub temperature: Option<u32>,
    /// Watts; `None` where the card does not say.
    pub power: Option<f32>,
    /// Who of the worker holds what of [`ours`](Self::ours), as it counts itself; empty where it has nothing on the card.
    #[serde(default)]
    pub owners: Vec<Share>,
}

impl Gpu {
    /// Who holds what, with what the driver says that the worker has beside what it counts: CUDA's context and the kernels.
    #[must_use]
    pub fn measured(&self) -> Vec<Share> {
        let counted: u64 = self.owners.iter().map(|share| share.bytes).sum();
        let beside = self.ours.unwrap_or(0).saturating_sub(counted);
        let mut all = self.owners.clone();
        let context = all.iter().position(|share| share.owner == Owner::Context);
        match context {
            Some(at) => all[at].bytes += beside,
            None if beside > 0 && !all.is_empty() => {
                all.push(Share { owner: Owner::Context, bytes: beside });
            }
            None => {}
        }
        all
    }
}

/// Takes [`Readings`] of this machine and this process. The first has no load: that is measured
/// between two.
#[derive(Debug)]
pub struct Sampler {
    system: System,
    process: Option<Pid>,
    nvml: Option<Nvml>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

impl Sampler {
    /// Opens NVML where the driver has one; where not, there are no GPUs.
    #[must_use]
    pub fn new() -> Self {
        let nvml = Nvml::init().inspect_err(|error| tracing::debug!(%error, "no NVML")).ok();
        Self { system: System::new(), process: sysinfo::get_current_pid().ok(), nvml }
    }

    /// Reads everything; a few milliseconds at most.
    pub fn sample(&mut self) -> Readings {
        Readings { host: self.host(), gpus: self.gpus() }
    }

    fn host(&mut self) -> Host {
        self.system.refresh_memory();
        self.system.refresh_cpu_usage();
        let cores = self.system.cpus().len();
        let (mut ours, mut worker_load) = (0, 0.0);
        if let Some(pid) = self.process {
            let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
            self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
            if let Some(process) = self.system.process(pid) {
                ours = process.memory();
                // sysinfo counts one busy core as 100.
                worker_load = (process.cpu_usage() / cores.max(1) as f32).clamp(0.0, 100.0);
            }
        }
        Host {
            total: self.system.total_memory(),
            used: self.system.used_memory(),
            ours,
            worker_load,
            load: self.system.global_cpu_usage().clamp(0.0, 100.0),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
        }
    }

    fn gpus(&self) -> Vec<Gpu> {
        let Some(nvml) = &self.nvml else { return Vec::new() };
        let count = nvml.device_count().unwrap_or(0);
        (0..count).filter_map(|index| gpu(&nvml.device_by_index(index).ok()?, index).ok()).collect()
    }
}

/// Reads how much memory of single cards is in use.
#[derive(Debug)]
pub struct CardMemory(Option<Nvml>);

/// Memory of one card that is in use, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// By all.
    pub used: u64,
    /// By this process; `None` where NVML does not list processes.
    pub ours: Option<u64>,
}

impl CardMemory {
    /// Opens NVML where the driver has one.
    #[must_use]
    pub fn open() -> Self {
        Self(Nvml::init().ok())
    }

    /// Of the card with this UUID, as NVML writes it; `None` where it cannot be read.
    #[must_use]
    pub fn of(&self, uuid: &str) -> Option<InUse> {
        let device = self.0.as_ref()?.device_by_uuid(uuid).ok()?;
        Some(InUse { used: device.memory_info().ok()?.used, ours: ours(&device) })
    }
}

/// A card whose memory cannot be read is left out; what else it does not say is `None`.
fn gpu(device: &Device<'_>, index: u32) -> Result<Gpu, NvmlError> {
    let memory = device.memory_info()?;
    Ok(Gpu {
        index,
        name: device.name().unwrap_or_else(|_| format!("GPU {index}")),
        total: memory.total,
        used: memory.used,
        ours: ours(device),
        utilisation: device.utilization_rates().ok().map(|rates| rates.gpu),
        temperature: device.temperature(TemperatureSensor::Gpu).ok(),
        power: device.power_usage().ok().map(|milliwatts| milliwatts as f32 / 1000.0),
        owners: Vec::new(),
    })
}

/// Memory of this process, or `None` where the driver does not list processes or hides what they use.
fn ours(device: &Device<'_>) -> Option<u64> {
    let ours = device.running_compute_processes().ok()?.into_iter().filter(|it| it.pid == std::process::id());
    let used = ours.map(|process| match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    });
    used.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_and_cores_and_we_use_some() {
        let host = Sampler::new().sample().host;
        assert!(host.cores > 0, "{host:?}");
        assert!(0 < host.ours && host.ours < host.used && host.used <= host.total, "{host:?}");
    }

    #[test]
    fn what_the_driver_has_beside_what_is_counted_is_the_contexts() {
        let share = |owner, bytes| Share { owner, bytes };
        let owners = vec![share(Owner::Vae, 100), share(Owner::Context, 20)];
        let gpu = Gpu { ours: Some(500), owners, ..Gpu::default() };
        assert_eq!(gpu.measured(), [share(Owner::Vae, 100), share(Owner::Context, 400)]);
        let first = Gpu { owners: vec![share(Owner::Vae, 100)], ..gpu };
        assert_eq!(first.measured(), [share(Owner::Vae, 100), share(Owner::Context, 400)]);
        let unlisted = Gpu { ours: None, ..first };
        assert_eq!(unlisted.measured(), [share(Owner::Vae, 100)]);
        assert_eq!(Gpu { ours: Some(500), ..Gpu::default() }.measured(), []);
    }

    #[test]
    fn a_card_that_is_not_there_uses_nothing() {
        assert_eq!(CardMemory::open().of("GPU-00000000-0000-0000-0000-000000000000"), None);
    }

    #[test]
    fn each_gpu_has_its_number_a_name_and_memory() {
        for (number, gpu) in Sampler::new().sample().gpus.iter().enumerate() {
            // With `--nocapture`: what a machine with a GPU says.
            eprintln!("{gpu:?}");
            assert_eq!(gpu.index as usize, number);
            assert!(!gpu.name.is_empty() && 0 < gpu.used && gpu.used <= gpu.total, "{gpu:?}");
        }
    }
}
