//! How a model is loaded, as flags: the same of every command that draws.

use super::text;
use crate::config::{Config, JobDefaults};
use crate::device::{DeviceChoice, LoadOptions, MergeChoice, PrecisionChoice, T5Choice, VramBudget};
use crate::paths::Paths;

/// What is not said is the configuration's.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[group(skip)] // flattened into the flags of a command
pub(super) struct Flags {
    /// The transformer's numbers: auto, fp8, fp8-storage, bf16.
    #[arg(long, value_name = "P")]
    pub precision: Option<PrecisionChoice>,
    /// How much of a card's memory may be held, the CUDA context included: 8GiB, 7.9GB [default: what is free].
    #[arg(long, value_name = "SIZE")]
    pub vram_budget: Option<VramBudget>,
    /// Where T5 reads the prompts of a model on a card: auto, card, cpu.
    #[arg(long, value_name = "WHERE")]
    pub t5: Option<T5Choice>,
    /// Whether LoRAs are merged into weights that stay in memory: never, resident. Then steps with many are as fast as
    /// without any, and other LoRAs take a part of a load to set.
    #[arg(long, value_name = "WHAT")]
    pub merge_loras: Option<MergeChoice>,
}

impl Flags {
    /// Where and how jobs are drawn: what was not said is the configuration's, and what is wrong there is told.
    pub fn placed(self, device: Option<DeviceChoice>, paths: &Paths) -> (DeviceChoice, LoadOptions) {
        let (config, problems) = Config::load(&paths.config);
        problems.iter().for_each(|problem| text::complain("warning", &problem.to_string()));
        let defaults = JobDefaults { device, ..self.defaults() }.or(config.defaults);
        (defaults.device.unwrap_or_default(), defaults.load())
    }

    /// As the configuration would say it.
    pub fn defaults(self) -> JobDefaults {
        let Self { precision, vram_budget, t5, merge_loras } = self;
        JobDefaults { precision, vram_budget, t5, merge_loras, ..JobDefaults::default() }
    }
}
