//! Where a picture is computed and in which numbers: the devices there are, and what a person asks
//! for. Nothing here knows how a device is found or used.

mod shares;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use shares::{Owner, Share};

/// One device that an engine can run on, written `cpu` or `cuda:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// All cores of the machine.
    Cpu,
    /// The card with this number, as CUDA counts them.
    Cuda(u32),
}

/// Which device a job is to be drawn on, written `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// A card where there is one, the CPU of a machine that has none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// Any card.
    Cuda,
    /// The card with this number.
    CudaAt(u32),
}

/// Which numbers the transformer is to compute with, written `auto`, `fp8`, `fp8-storage` or `bf16`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PrecisionChoice {
    /// What suits the device and the weights; what it came to is shown with every picture.
    #[default]
    Auto,
    /// Products on fp8 tensor cores. Needs compute capability 8.9 or later.
    Fp8,
    /// Weights kept in fp8 and widened to bf16 block by block, products in bf16.
    Fp8Storage,
    /// Weights and products in bf16.
    Bf16,
}

/// Where T5 reads the prompts of a model that is drawn on a card, written `auto`, `card` or `cpu`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum T5Choice {
    /// What is fastest: the card, onto which T5 is brought piece by piece where it cannot stay.
    #[default]
    Auto,
    /// The card.
    Card,
    /// The CPU, in fp32: nothing of T5 is ever on the card. Seconds a prompt.
    Cpu,
}

/// Whether LoRAs are merged into weights, written `never` or `resident`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MergeChoice {
    /// They are added beside weights that stay untouched: others are set in an instant, and each costs a little of every
    /// step.
    #[default]
    Never,
    /// Into weights that stay in memory, where these can take it; beside the others. Steps are as fast as without; other
    /// LoRAs take a part of a load.
    Resident,
}

/// How much of a card's memory may be held, in bytes; written `8GiB`, `7.9GB`, `800MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VramBudget(pub u64);

/// How a model is loaded. What was loaded one way is not drawn with where another is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoadOptions {
    /// The transformer's numbers.
    pub precision: PrecisionChoice,
    /// Device memory that may be held on a card; `None` is what is free there.
    #[serde(default)]
    pub vram_budget: Option<VramBudget>,
    /// Where T5 reads.
    #[serde(default)]
    pub t5: T5Choice,
    /// Whether LoRAs are merged.
    #[serde(default)]
    pub merge_loras: MergeChoice,
}

impl From<PrecisionChoice> for LoadOptions {
    fn from(precision: PrecisionChoice) -> Self {
        Self { precision, ..Self::default() }
    }
}

/// Units of a [`VramBudget`], the one that fits all first.
const UNITS: [(&str, f64); 4] =
    [("GiB", (1u64 << 30) as f64), ("MiB", (1u64 << 20) as f64), ("GB", 1e9), ("MB", 1e6)];

impl FromStr for VramBudget {
    type Err = DeviceError;
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let refused = || DeviceError::Budget(text.to_owned());
        let with_unit = |(unit, bytes)| text.strip_suffix(unit).map(|number| (number.trim_end(), bytes));
        let (number, unit) = UNITS.into_iter().find_map(with_unit).ok_or_else(refused)?;
        // What a float's own reader takes besides: signs, exponents, infinity.
        let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let bytes = number.parse::<f64>().ok().filter(|_| plain).ok_or_else(refused)? * unit;
        if (1.0..1e15).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(refused()) }
    }
}

/// A text that names no device or no precision: the text, and what would work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not the name of a device.
    #[error("{0:?} is no device: write cpu, or cuda:0 for the first card")]
    Device(String),
    /// Not a choice of one.
    #[error("{0:?} is no device: write auto, cpu, cuda for any card, or cuda:0 for the first one")]
    Choice(String),
    /// Not an amount of memory.
    #[error("{0:?} is no amount of memory: write a number and GiB, GB, MiB or MB, like 8GiB")]
    Budget(String),
    /// Not a place for T5.
    #[error("T5 cannot read on {0:?}: write auto, card or cpu")]
    T5(String),
    /// Not a way to add LoRAs.
    #[error("LoRAs cannot be merged {0:?}: write never, or resident for weights that stay in memory")]
    Merge(String),
    /// Not a precision.
    #[error("{0:?} is no precision: write auto, fp8, fp8-storage or bf16")]
    Precision(String),
}

/// A choice that none of the devices that there are is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("there is no device {choice} here; there is {}, and auto takes the best", Names(.known))]
pub struct NoDevice {
    /// What was asked for.
    pub choice: DeviceChoice,
    /// The devices that there are, the best first.
    pub known: Vec<Device>,
}

struct Names<'d>(&'d [Device]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(", "))
    }
}

impl Device {
    /// Whether it is a card.
    #[must_use]
    pub fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda(_))
    }
}

impl DeviceChoice {
    /// Whether a device of those that there are may be used. `Auto` takes the CPU only where there
    /// is no card, so that nothing is silently a hundred times slower.
    #[must_use]
    pub fn admits(self, device: Device, of: &[Device]) -> bool {
        match self {
            Self::Auto => device.is_gpu() || !of.iter().any(|device| device.is_gpu()),
            Self::Cpu => device == Device::Cpu,
            Self::Cuda => device.is_gpu(),
            Self::CudaAt(number) => device == Device::Cuda(number),
        }
    }

    /// The best device of those that there are.
    ///
    /// # Errors
    /// [`NoDevice`] when none of them is admitted.
    pub fn best(self, of: &[Device]) -> Result<Device, NoDevice> {
        let best = of.iter().copied().find(|device| self.admits(*device, of));
        best.ok_or_else(|| NoDevice { choice: self, known: of.to_vec() })
    }
}

/// The number behind `cuda:`, in digits only.
fn card(text: &str) -> Option<u32> {
    let number = text.strip_prefix("cuda:")?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok()).flatten()
}

impl FromStr for Device {
    type Err = DeviceError;
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text.trim() {
            "cpu" => Ok(Self::Cpu),
            name => card(name).map(Self::Cuda).ok_or_else(|| DeviceError::Device(text.to_owned())),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("cpu"),
            Self::Cuda(number) => f.pad(&format!("cuda:{number}")),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            name => card(name).map(Self::CudaAt).ok_or_else(|| DeviceError::Choice(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Cpu => f.pad("cpu"),
            Self::Cuda => f.pad("cuda"),
            Self::CudaAt(number) => f.pad(&format!("cuda:{number}")),
        }
    }
}

impl FromStr for PrecisionChoice {
    type Err = DeviceError;
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "fp8" => Ok(Self::Fp8),
            "fp8-storage" => Ok(Self::Fp8Storage),
            "bf16" => Ok(Self::Bf16),
            _ => Err(DeviceError::Precision(text.to_owned())),
        }
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Fp8 => "fp8",
            Self::Fp8Storage => "fp8-storage",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for T5Choice {
    type Err = DeviceError;
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "card" => Ok(Self::Card),
            "cpu" => Ok(Self::Cpu),
            _ => Err(DeviceError::T5(text.to_owned())),
        }
    }
}

impl fmt::Display for T5Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Card => "card",
            Self::Cpu => "cpu",
        })
    }
}

impl FromStr for MergeChoice {
    type Err = DeviceError;
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text.trim() {
            "never" => Ok(Self::Never),
            "resident" => Ok(Self::Resident),
            _ => Err(DeviceError::Merge(text.to_owned())),
        }
    }
}

impl fmt::Display for MergeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Never => "never",
            Self::Resident => "resident",
        })
    }
}

impl fmt::Display for VramBudget {
    /// For a person, in two decimals: `8 GiB`, `7.9 GB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HALF_GIB: u64 = 1 << 29;
        let (unit, bytes) = if self.0.is_multiple_of(HALF_GIB) { ("GiB", UNITS[0].1) } else { ("GB", 1e9) };
        let number = format!("{:.2}", self.0 as f64 / bytes);
        f.pad(&format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.')))
    }
}

/// In messages and records each of them is its name.
macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = DeviceError;
            fn try_from(text: String) -> Result<Self, DeviceError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}
as_text!(Device, DeviceChoice, PrecisionChoice, T5Choice, MergeChoice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_numbers_with_a_unit() {
        let read = |text: &str| text.parse().map(|VramBudget(bytes)| bytes);
        assert_eq!(read("8GiB"), Ok(8 << 30));
        assert_eq!(read("7.9 GB"), Ok(7_900_000_000));
        assert_eq!(read("800MiB"), Ok(800 << 20));
        for wrong in ["8", "GiB", "-1GB", "1e3GB", "infGB", "8gb", "0GB", "nanGB", "9999999999GB", ""] {
            assert_eq!(read(wrong), Err(DeviceError::Budget(wrong.to_owned())), "{wrong}");
        }
    }

    #[test]
    fn budgets_are_told_as_they_are_typed() {
        for text in ["8 GiB", "7.5 GiB", "7.9 GB", "12 GB", "0.8 GB"] {
            assert_eq!(text.parse::<VramBudget>().map(|budget| budget.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn every_name_is_read_as_it_is_written() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(u32::MAX)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for name in ["auto", "cpu", "cuda", "cuda:0", "cuda:15"] {
            assert_eq!(name.parse::<DeviceChoice>().map(|choice| choice.to_string()), Ok(name.to_owned()));
        }
        for name in ["auto", "fp8", "fp8-storage", "bf16"] {
            assert_eq!(name.parse::<PrecisionChoice>().map(|choice| choice.to_string()), Ok(name.to_owned()));
        }
        for name in ["auto", "card", "cpu"] {
            assert_eq!(name.parse::<T5Choice>().map(|choice| choice.to_string()), Ok(name.to_owned()));
        }
        for name in ["never", "resident"] {
            assert_eq!(name.parse::<MergeChoice>().map(|choice| choice.to_string()), Ok(name.to_owned()));
        }
        assert!("gpu".parse::<T5Choice>().expect_err("no such place").to_string().contains("card or cpu"));
        let choice: DeviceChoice = serde_json::from_str("\"cuda:1\"").expect("it is a choice");
        assert_eq!(
            (choice, serde_json::to_string(&choice).expect("text")),
            (DeviceChoice::CudaAt(1), "\"cuda:1\"".into())
        );
    }

    #[test]
    fn what_is_no_name_is_answered_with_what_would_work() {
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:1x", "cuda:99999999999", "CPU", "rocm"] {
            let error = text.parse::<DeviceChoice>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("cuda:0"), "{error}");
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
        for text in ["", "fp16", "fp8 storage", "int8"] {
            let error = text.parse::<PrecisionChoice>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("fp8-storage"), "{error}");
        }
        assert!("auto".parse::<Device>().is_err(), "a choice is no device");
        assert!(serde_json::from_str::<DeviceChoice>("\"gpu\"").is_err());
    }

    #[test]
    fn auto_takes_the_cpu_only_where_there_is_no_card() {
        use Device::{Cpu, Cuda};
        let cards = [Cuda(1), Cuda(0), Cpu];
        let admitted = |choice: DeviceChoice, of: &[Device]| -> Vec<Device> {
            of.iter().copied().filter(|device| choice.admits(*device, of)).collect()
        };
        assert_eq!(admitted(DeviceChoice::Auto, &cards), [Cuda(1), Cuda(0)]);
        assert_eq!(admitted(DeviceChoice::Auto, &[Cpu]), [Cpu]);
        assert_eq!(admitted(DeviceChoice::Cuda, &cards), [Cuda(1), Cuda(0)]);
        assert_eq!(admitted(DeviceChoice::Cuda, &[Cpu]), []);
        assert_eq!(admitted(DeviceChoice::CudaAt(0), &cards), [Cuda(0)]);
        assert_eq!(admitted(DeviceChoice::CudaAt(2), &cards), []);
        assert_eq!(admitted(DeviceChoice::Cpu, &cards), [Cpu]);
        assert_eq!(DeviceChoice::Auto.best(&cards), Ok(Cuda(1)));
        let error = DeviceChoice::CudaAt(2).best(&cards).expect_err("there are two").to_string();
        assert_eq!(
            error,
            "there is no device cuda:2 here; there is cuda:1, cuda:0, cpu, and auto takes the best"
        );
    }
}
