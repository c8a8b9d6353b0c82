//! What can go wrong with a card, in words that say what to do.

use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

/// Why a card could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// The driver's library is not there.
    #[error(
        "libcuda.so.1 could not be opened: this machine has no NVIDIA driver, or it is not in the library path. Install \
         the driver (`nvidia-smi` shows whether it works), or draw on the CPU with --device cpu"
    )]
    NoDriver,
    /// cublasLt is not there.
    #[error(
        "libcublasLt.so.13 (or .12) could not be opened: it comes with the CUDA toolkit and with PyTorch. Install the \
         package libcublas, or add the directory that holds it to LD_LIBRARY_PATH"
    )]
    NoCublas,
    /// The kernels were left out when the program was built.
    #[error(
        "this program was built with FLUX_TUI_KERNELS=skip, without its CUDA kernels: build it where nvcc is"
    )]
    NoKernels,
    /// No such card.
    #[error("there is no cuda:{asked}: {}", count(*.there))]
    NoCard {
        /// Its number.
        asked: u32,
        /// How many there are.
        there: u32,
    },
    /// A card from before Ampere.
    #[error(
        "{card} has compute capability {}.{}; bf16 needs 8.0 (Ampere) or later. Draw on the CPU with --device cpu",
        .capability.0, .capability.1
    )]
    TooOld {
        /// Its name.
        card: String,
        /// Its compute capability.
        capability: (i32, i32),
    },
    /// The driver does not know the code that the program carries.
    #[error(
        "the kernels could not be loaded ({reason}): they were built by CUDA {}; update the driver to one that speaks \
         that version (`nvidia-smi` shows which it speaks), or build flux-tui with the toolkit that fits the driver",
        super::gpu::BUILT_WITH
    )]
    Kernels {
        /// What the driver said.
        reason: String,
    },
    /// Not enough device memory.
    #[error("{} of device memory are wanted for {purpose} and {} are free", gigabytes(*.wanted), gigabytes(*.free))]
    OutOfMemory {
        /// Bytes.
        wanted: u64,
        /// Bytes.
        free: u64,
        /// What they were wanted for.
        purpose: &'static str,
    },
    /// Not enough host memory.
    #[error(
        "{} of host memory are wanted for weights on their way to the card ({reason}): end what else uses it, raise the \
         VRAM budget so that less is streamed, or take a file in fp8, which is streamed from where it lies",
        gigabytes(*.wanted)
    )]
    HostMemory {
        /// Bytes.
        wanted: u64,
        /// What the system said.
        reason: String,
    },
    /// A precision that the card or the weights do not have.
    #[error("{asked} is not possible on {card}: {reason}")]
    Precision {
        /// What was asked.
        asked: String,
        /// The card's name.
        card: String,
        /// Why not, and what is.
        reason: String,
    },
    /// A call into the driver failed.
    #[error("{what}: {reason}")]
    Driver {
        /// What was being done.
        what: &'static str,
        /// The driver's name for it.
        reason: String,
        /// Whether the context is beyond repair: the process must end.
        sticky: bool,
    },
    /// cublasLt refused a product.
    #[error("cublasLt could not multiply {rows}×{inner} by {inner}×{columns} in {kind}: {reason}")]
    Product {
        /// Rows of the left side.
        rows: usize,
        /// What is summed over.
        inner: usize,
        /// Columns of the right side.
        columns: usize,
        /// bf16 or fp8.
        kind: &'static str,
        /// Its status.
        reason: String,
    },
    /// Sizes that do not fit one another, or that a kernel is not made for.
    #[error("{0}")]
    Shape(String),
    /// A weight file does not hold what is needed.
    #[error(transparent)]
    Weights(#[from] crate::engine::weights::WeightsError),
    /// Weights that were on their way did not come.
    #[error("{0}")]
    Arrival(std::sync::Arc<Self>),
    /// The observer asked for it.
    #[error("stopped")]
    Stopped,
}

/// What the functions of this module give.
pub type Result<T> = std::result::Result<T, CudaError>;

fn count(there: u32) -> String {
    match there {
        0 => "the driver shows no card (is CUDA_VISIBLE_DEVICES empty?)".to_owned(),
        1 => "the only card is cuda:0".to_owned(),
        there => format!("the cards are cuda:0 to cuda:{}", there - 1),
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// Names what was being done when the driver failed.
pub(super) fn driver(what: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| {
        let name = error
            .error_name()
            .map_or_else(|_| format!("{:?}", error.0), |name| name.to_string_lossy().into());
        let text = error.error_string().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
        CudaError::Driver { what, reason: format!("{name} ({text})"), sticky: is_sticky(error.0) }
    }
}

/// Errors after which every later call in the process fails too.
fn is_sticky(code: CUresult) -> bool {
    matches!(
        code,
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
            | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
            | CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | CUresult::CUDA_ERROR_INVALID_PC
            | CUresult::CUDA_ERROR_LAUNCH_FAILED
            | CUresult::CUDA_ERROR_LAUNCH_TIMEOUT
            | CUresult::CUDA_ERROR_ASSERT
            | CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR
            | CUresult::CUDA_ERROR_ECC_UNCORRECTABLE
            | CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_there_is_and_what_to_do() {
        let missing = CudaError::NoCard { asked: 3, there: 2 }.to_string();
        assert_eq!(missing, "there is no cuda:3: the cards are cuda:0 to cuda:1");
        let memory =
            CudaError::OutOfMemory { wanted: 12_000_000_000, free: 500_000_000, purpose: "the blocks" };
        assert_eq!(
            memory.to_string(),
            "12.00 GB of device memory are wanted for the blocks and 0.50 GB are free"
        );
        assert!(CudaError::NoDriver.to_string().contains("--device cpu"));
    }

    #[test]
    fn an_illegal_address_is_beyond_repair_and_no_memory_is_not() {
        assert!(is_sticky(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS));
        assert!(!is_sticky(CUresult::CUDA_ERROR_OUT_OF_MEMORY));
    }
}
