//! Readings of memory, load and temperature: NVML where there is a GPU, the host otherwise.
//! No CUDA context is made here.

use serde::{Deserialize, Serialize};

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
}
