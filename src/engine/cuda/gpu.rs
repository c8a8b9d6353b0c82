//! An opened card: its context, its stream, and the kernels that the program carries.
//!
//! Everything that computes runs in one stream, so nothing needs to be waited for but what the host reads; copies of
//! streamed weights run beside it and are ordered by events ([`super::streaming`]), and so do weights that arrive while
//! the first step already runs ([`Gpu::beside`]).

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::result;
use cudarc::driver::sys::{CUevent_flags, CUfunction_attribute};
use cudarc::driver::{CudaContext, CudaEvent, CudaFunction, CudaModule, CudaStream};

use super::card::{self, Card};
use super::error::{CudaError, Result, driver};
use super::product::{LibraryMemory, Products};
use super::staging::Staging;
use super::tally::{self, Tally};
use crate::device::Share;

/// Carries the fat binary that `build.rs` made of `kernels/$name.cu`.
macro_rules! fat_binary {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".fatbin"))
    };
}

/// A file of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Module {
    /// Everything between the products of the transformer.
    Elementwise,
    /// Attention for every card.
    Attention,
    /// Attention for Hopper.
    AttentionHopper,
    /// The sampler's steps, embeddings, and random weights.
    Sampling,
    /// Convolutions for every card.
    Conv,
    /// Convolutions for Hopper.
    ConvHopper,
    /// The VAE between its convolutions and products.
    Vae,
    /// All of the text encoders but their products.
    Text,
    /// Quantised weights to bf16.
    Dequantize,
    /// What LoRAs add.
    Side,
    /// Layers and what LoRAs add, for Hopper.
    ProductHopper,
    /// LoKr's products.
    Kron,
    /// LoRAs into weights.
    Merge,
}

/// All of them.
pub const MODULES: &[Module] = &[
    Module::Elementwise,
    Module::Attention,
    Module::AttentionHopper,
    Module::Sampling,
    Module::Conv,
    Module::ConvHopper,
    Module::Vae,
    Module::Text,
    Module::Dequantize,
    Module::Side,
    Module::ProductHopper,
    Module::Kron,
    Module::Merge,
];

/// The version of CUDA whose nvcc compiled the kernels, or `none`.
pub const BUILT_WITH: &str = env!("FLUX_TUI_NVCC");

impl Module {
    /// Whether it is for Hopper only.
    fn is_hoppers(self) -> bool {
        matches!(self, Self::AttentionHopper | Self::ConvHopper | Self::ProductHopper)
    }

    fn fat_binary(self) -> &'static [u8] {
        match self {
            Self::Elementwise => fat_binary!("elementwise"),
            Self::Attention => fat_binary!("attention_sm80"),
            Self::AttentionHopper => fat_binary!("attention_sm90"),
            Self::Sampling => fat_binary!("sampling"),
            Self::Conv => fat_binary!("conv_sm80"),
            Self::ConvHopper => fat_binary!("conv_sm90"),
            Self::Vae => fat_binary!("vae"),
            Self::Text => fat_binary!("text"),
            Self::Dequantize => fat_binary!("dequantize"),
            Self::Side => fat_binary!("side"),
            Self::ProductHopper => fat_binary!("product_sm90"),
            Self::Kron => fat_binary!("kron"),
            Self::Merge => fat_binary!("merge"),
        }
    }
}

/// A kernel: its file, its name there, and the bytes of shared memory that it is launched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Its file.
    pub module: Module,
    /// Its name in the file.
    pub name: &'static str,
    /// Dynamic shared memory, in bytes.
    pub shared: u32,
}

/// How many threads a launch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Blocks, in three dimensions.
    pub blocks: [u32; 3],
    /// Threads of a block, in two.
    pub threads: [u32; 2],
}

impl Grid {
    /// `blocks` blocks of `threads` threads.
    #[must_use]
    pub fn line(blocks: usize, threads: u32) -> Self {
        Self { blocks: [blocks as u32, 1, 1], threads: [threads, 1] }
    }
}

/// An opened card, and a stream of it.
pub struct Gpu {
    // What lives in the context goes before it.
    staging: Mutex<Option<Staging>>,
    library: Mutex<Option<LibraryMemory>>,
    stream: Arc<CudaStream>,
    shared: Arc<Shared>,
}

/// What all streams of a card have together.
struct Shared {
    products: Products,
    functions: Mutex<HashMap<Kernel, CudaFunction>>,
    modules: Mutex<HashMap<Module, Arc<CudaModule>>>,
    context: Arc<CudaContext>,
    card: Card,
    memory: Arc<Tally>,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shared { card, memory, .. } = &*self.shared;
        f.debug_struct("Gpu").field("card", card).field("memory", memory).finish_non_exhaustive()
    }
}

impl Gpu {
    /// Makes a context on a card and a stream in it.
    ///
    /// # Errors
    /// What is missing: the driver, the card, cublasLt, the kernels, or a card new enough.
    pub fn open(ordinal: u32) -> Result<Arc<Self>> {
        let card = card::card(ordinal)?;
        card.check()?;
        let failed = driver("opening the card");
        let context = CudaContext::new(ordinal as usize).map_err(&failed)?;
        let stream = context.new_stream().map_err(&failed)?;
        let products = Products::open()?;
        let shared = Shared {
            context,
            card,
            modules: Mutex::default(),
            functions: Mutex::default(),
            products,
            memory: tally::begin(ordinal),
        };
        Ok(Arc::new(Self::of(stream, Arc::new(shared))))
    }

    /// The same card with a stream of its own, and stages and the products' memory where it needs them: what is asked of it is ordered with the rest by events alone.
    ///
    /// # Errors
    /// What the driver says.
    pub(super) fn beside(&self) -> Result<Arc<Self>> {
        let stream = self.another_stream()?;
        Ok(Arc::new(Self::of(stream, Arc::clone(&self.shared))))
    }

    fn of(stream: Arc<CudaStream>, shared: Arc<Shared>) -> Self {
        Self { staging: Mutex::default(), library: Mutex::default(), stream, shared }
    }

    /// What is asked of this stream from now on waits for the event.
    ///
    /// # Errors
    /// What the driver says.
    pub(super) fn wait_for(&self, event: &CudaEvent) -> Result<()> {
        self.stream.wait(event).map_err(driver("ordering two streams"))
    }

    /// What the card is.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.shared.card
    }

    /// Free and total device memory, in bytes, as the driver sees them.
    ///
    /// # Errors
    /// What the driver says.
    pub fn free_and_total(&self) -> Result<(u64, u64)> {
        let (free, total) = self.shared.context.mem_get_info().map_err(driver("reading free memory"))?;
        Ok((free as u64, total as u64))
    }

    /// Bytes of device memory that this program holds.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.shared.memory.held()
    }

    /// Who holds how much of them now.
    #[must_use]
    pub fn owners(&self) -> Vec<Share> {
        tally::shares(&[Arc::clone(&self.shared.memory)])
    }

    /// The most bytes that this program has held at a time since [`Gpu::forget_peak`].
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.shared.memory.peak()
    }

    /// Starts the peak again from what is held now.
    pub fn forget_peak(&self) {
        self.shared.memory.forget_peak();
    }

    /// Makes the context this thread's. Whoever calls from a new thread does so first.
    ///
    /// # Errors
    /// What the driver says.
    pub fn bind(&self) -> Result<()> {
        self.shared.context.bind_to_thread().map_err(driver("taking the card to this thread"))
    }

    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    /// What went wrong in any kernel since.
    pub fn wait(&self) -> Result<()> {
        self.stream.synchronize().map_err(driver("waiting for the card"))
    }

    /// A mark in the stream, with the time if it is to be measured by.
    ///
    /// # Errors
    /// What the driver says.
    pub fn mark(&self, timed: bool) -> Result<CudaEvent> {
        let flags =
            if timed { CUevent_flags::CU_EVENT_DEFAULT } else { CUevent_flags::CU_EVENT_DISABLE_TIMING };
        let failed = driver("marking a place in the stream");
        let event = self.shared.context.new_event(Some(flags)).map_err(&failed)?;
        event.record(&self.stream).map_err(failed)?;
        Ok(event)
    }

    /// An event that is yet to be recorded, without the time.
    pub(super) fn event(&self) -> Result<CudaEvent> {
        let flags = CUevent_flags::CU_EVENT_DISABLE_TIMING;
        self.shared.context.new_event(Some(flags)).map_err(driver("making an event"))
    }

    /// A stream beside the one that computes: what is asked of it is ordered with the rest by events only.
    pub(super) fn another_stream(&self) -> Result<Arc<CudaStream>> {
        self.shared.context.new_stream().map_err(driver("making a stream for copies"))
    }

    pub(super) fn stream(&self) -> &CudaStream {
        &self.stream
    }

    pub(super) fn context(&self) -> &Arc<CudaContext> {
        &self.shared.context
    }

    pub(super) fn staging(&self) -> &Mutex<Option<Staging>> {
        &self.staging
    }

    /// What products of this stream work in.
    pub(super) fn library(&self) -> &Mutex<Option<LibraryMemory>> {
        &self.library
    }

    pub(super) fn products(&self) -> &Products {
        &self.shared.products
    }

    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.shared.memory
    }

    /// Launches a kernel with the addresses of its arguments.
    ///
    /// # Errors
    /// What the driver says of the launch; what goes wrong inside shows at [`Gpu::wait`].
    ///
    /// # Safety
    /// `arguments` point to values of the kernel's parameter types, in order, and every device address among them
    /// covers what the kernel touches.
    pub(super) unsafe fn launch(
        &self,
        kernel: Kernel,
        grid: Grid,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        let function = self.function(kernel)?;
        let [x, y, z] = grid.blocks;
        let [threads, rows] = grid.threads;
        // SAFETY: the function is loaded; the rest is the caller's word.
        unsafe {
            result::launch_kernel(
                function.cu_function(),
                (x, y, z),
                (threads, rows, 1),
                kernel.shared,
                self.stream.cu_stream(),
                arguments,
            )
        }
        .map_err(driver(kernel.name))
    }

    /// The kernel, loaded at its first use.
    pub(super) fn function(&self, kernel: Kernel) -> Result<CudaFunction> {
        let mut functions = self.shared.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(&kernel) {
            return Ok(function.clone());
        }
        let failed = driver(kernel.name);
        let function = self.module(kernel.module)?.load_function(kernel.name).map_err(&failed)?;
        if kernel.shared > 48 << 10 {
            let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, kernel.shared as i32).map_err(failed)?;
        }
        functions.insert(kernel, function.clone());
        Ok(function)
    }

    /// Loads a file of kernels, if the card is one that it is for.
    ///
    /// # Errors
    /// [`CudaError::Kernels`].
    pub fn load_module(&self, module: Module) -> Result<()> {
        let is_for_it = !module.is_hoppers() || self.shared.card.is_hopper();
        if is_for_it { self.module(module).map(drop) } else { Ok(()) }
    }

    fn module(&self, module: Module) -> Result<Arc<CudaModule>> {
        let mut modules = self.shared.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&module) {
            return Ok(Arc::clone(module));
        }
        let image = cudarc::nvrtc::Ptx::from_binary(module.fat_binary().to_vec());
        let loaded = self.shared.context.load_module(image).map_err(|error| match driver("")(error) {
            CudaError::Driver { reason, .. } => CudaError::Kernels { reason },
            other => other,
        })?;
        modules.insert(module, Arc::clone(&loaded));
        Ok(loaded)
    }
}

/// [`Gpu::launch`] with the arguments as values: each must have the type of the kernel's parameter.
macro_rules! launch {
    ($gpu:expr, $kernel:expr, $grid:expr, $($argument:expr),+ $(,)?) => {
        $gpu.launch(
            $kernel,
            $grid,
            &mut [$(std::ptr::from_ref(&$argument).cast_mut().cast::<std::ffi::c_void>()),+],
        )
    };
}
pub(super) use launch;
