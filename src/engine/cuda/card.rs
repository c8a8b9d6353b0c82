//! Which cards there are and what each can do. Asking makes no context.

use std::cmp::Reverse;
use std::sync::LazyLock;

use cudarc::driver::CudaContext;
use cudarc::driver::result::device;
use cudarc::driver::sys::{self, CUdevice_attribute};

use super::error::{CudaError, Result, driver};

/// One card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The driver's number for it.
    pub ordinal: u32,
    /// The product's name.
    pub name: String,
    /// What tells it from all other cards, as NVML writes it: `GPU-` and a UUID.
    pub uuid: String,
    /// Compute capability: 8.6 is `(8, 6)`.
    pub capability: (i32, i32),
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Device memory, in bytes.
    pub memory: u64,
    /// The most shared memory that a block may have, in bytes.
    pub shared: u32,
}

impl Card {
    /// Whether its tensor cores multiply fp8: Ada (8.9), Hopper (9.0) and what came after.
    #[must_use]
    pub fn has_fp8(&self) -> bool {
        self.capability >= (8, 9)
    }

    /// Whether it runs the code written for Hopper only.
    #[must_use]
    pub fn is_hopper(&self) -> bool {
        self.capability == (9, 0)
    }

    /// Whether this program can run on it.
    ///
    /// # Errors
    /// What is missing: a card new enough, the kernels, cublasLt.
    pub fn check(&self) -> Result<()> {
        if self.capability < (8, 0) {
            return Err(CudaError::TooOld { card: self.name.clone(), capability: self.capability });
        }
        if super::gpu::BUILT_WITH == "none" {
            return Err(CudaError::NoKernels);
        }
        super::product::check_library()
    }

    fn read(ordinal: u32) -> Result<Self> {
        let failed = driver("asking what a card can do");
        let handle = device::get(ordinal as i32).map_err(&failed)?;
        // SAFETY: the handle is the driver's own, and outlives nothing.
        let attribute = |which| unsafe { device::get_attribute(handle, which) }.map_err(&failed);
        Ok(Self {
            ordinal,
            name: device::get_name(handle).map_err(&failed)?,
            uuid: uuid(device::get_uuid(handle).map_err(&failed)?.bytes.map(|byte| byte as u8)),
            capability: (
                attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            multiprocessors: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32,
            // SAFETY: as above.
            memory: unsafe { device::total_mem(handle) }.map_err(&failed)? as u64,
            shared: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?
                as u32,
        })
    }
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts = [0..4, 4..6, 6..8, 8..10, 10..16].map(|part| hex(&bytes[part]));
    format!("GPU-{}", parts.join("-"))
}

/// All cards that the driver shows.
///
/// # Errors
/// [`CudaError::NoDriver`], or what the driver says.
pub fn cards() -> Result<Vec<Card>> {
    (0..open_driver()?).map(Card::read).collect()
}

/// The card of that number.
///
/// # Errors
/// [`CudaError::NoCard`] says which there are.
pub fn card(ordinal: u32) -> Result<Card> {
    let there = open_driver()?;
    if ordinal < there { Card::read(ordinal) } else { Err(CudaError::NoCard { asked: ordinal, there }) }
}

/// The version of CUDA that the driver speaks: `(13, 0)`.
///
/// # Errors
/// [`CudaError::NoDriver`].
pub fn driver_version() -> Result<(i32, i32)> {
    open_driver()?;
    let mut version = 0;
    // SAFETY: writes one integer.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }
        .result()
        .map_err(driver("asking the driver's version"))?;
    Ok((version / 1000, version % 1000 / 10))
}

/// What was found when somebody first asked: cards do not come and go while a program runs.
struct Found {
    usable: Vec<Card>,
    in_the_way: Option<String>,
}

static FOUND: LazyLock<Found> = LazyLock::new(|| {
    let (mut usable, mut in_the_way) = (Vec::new(), None);
    match cards() {
        Ok(cards) => {
            for card in cards {
                match card.check() {
                    Ok(()) => usable.push(card),
                    Err(error) => in_the_way = Some(format!("cuda:{} cannot be used: {error}", card.ordinal)),
                }
            }
        }
        // A machine without a driver is no machine with a broken card.
        Err(CudaError::NoDriver) => {}
        Err(error) => in_the_way = Some(format!("no card can be used: {error}")),
    }
    if let Some(reason) = &in_the_way {
        tracing::warn!("{reason}");
    }
    if usable.len() > 1 {
        usable.sort_by_cached_key(|card| Reverse(free_memory(card.ordinal)));
    }
    let in_the_way = in_the_way.filter(|_| usable.is_empty());
    Found { usable, in_the_way }
});

/// The cards that can be drawn on, the one with the most free memory first.
#[must_use]
pub fn usable() -> &'static [Card] {
    &FOUND.usable
}

/// Why no card can be drawn on although there is one.
#[must_use]
pub fn in_the_way() -> Option<String> {
    FOUND.in_the_way.clone()
}

/// Only a context knows; 0 where none can be made.
fn free_memory(ordinal: u32) -> u64 {
    CudaContext::new(ordinal as usize)
        .and_then(|context| context.mem_get_info())
        .map_or(0, |(free, _total)| free as u64)
}

/// Opens the driver's library; how many cards it shows.
fn open_driver() -> Result<u32> {
    // SAFETY: loading the library runs its constructors, as for every user of CUDA.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    if let Err(error) = cudarc::driver::result::init() {
        return match error.0 {
            sys::CUresult::CUDA_ERROR_NO_DEVICE => Ok(0),
            _ => Err(driver("starting the driver")(error)),
        };
    }
    Ok(device::get_count().map_err(driver("counting cards"))?.max(0) as u32)
}
