//! How the transformer's weights come: by a thread, in a stream of its own, while the prompt is read and the first step
//! begins.
//!
//! First what the tables of modulations are made with, then what of the streamed blocks is not read where it lies (slots are
//! not used before all that goes through them is ready), then the blocks that stay, in the order of use. A step waits before
//! each block until the host has asked for its copy, and lets the card wait for the rest. The first step is streamed by the
//! host; from the second on, more and more of it is pinned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::CudaEvent;
use rayon::ThreadPoolBuilder;

use super::arrival::{Arrival, Bringing};
use super::block::{DoubleBlock, SingleBlock};
use super::forms::Forms;
use super::linear::{Filling, Scratch};
use super::modulation::Modulator;
use super::origin::Origin;
use super::precision::Precision;
use super::step::Watch;
use super::store::{Contents, Places};
use super::{Flux, in_place};
use crate::engine::budget::Residence;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::host::Span;
use crate::engine::cuda::in_place::InPlace;
use crate::engine::cuda::memory::Buffer;
use crate::engine::dit::config::Config;
use crate::engine::weights::Weights;

/// What arrives as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// What the tables are made with.
    Modulation,
    /// A block.
    Block(usize),
}

impl Part {
    fn number(self) -> usize {
        match self {
            Self::Modulation => 0,
            Self::Block(block) => 1 + block,
        }
    }
}

/// All that is needed to bring the weights.
pub(super) struct Load {
    pub config: Config,
    pub precision: Precision,
    pub origin: Owned,
    pub plan: Residence,
    pub double: Arc<[DoubleBlock]>,
    pub single: Arc<[SingleBlock]>,
    pub modulator: Arc<Modulator>,
    pub places: Arc<Places>,
    /// Holds a bf16 weight on its way to fp8.
    pub scratch: Arc<Buffer>,
}

/// Where weights come from, to be kept.
pub(super) enum Owned {
    File(Weights),
    Random(u64),
}

impl Owned {
    pub fn of(origin: &Origin<'_>) -> Self {
        match origin {
            Origin::File(weights) => Self::File((*weights).clone()),
            Origin::Random(seed) => Self::Random(*seed),
        }
    }

    fn lent(&self) -> Origin<'_> {
        match self {
            Self::File(weights) => Origin::File(weights),
            Self::Random(seed) => Origin::Random(*seed),
        }
    }
}

/// The blocks of a model on their way.
struct Blocks<'a> {
    load: &'a Load,
    filling: Filling<'a>,
}

impl Contents for Blocks<'_> {
    fn spans(&self, block: usize, files: &InPlace) -> Result<Vec<Span<'_>>> {
        let (double, single) = (&self.load.double, &self.load.single);
        match double.get(block) {
            Some(double) => double.spans(block, self.filling.origin, Some(files)),
            None => {
                let index = block - double.len();
                single[index].spans(index, self.filling.origin, Some(files))
            }
        }
    }

    fn fill(&self, block: usize, memory: &Buffer, files: Option<&InPlace>) -> Result<()> {
        let (double, single) = (&self.load.double, &self.load.single);
        let filling = Filling { in_place: files, ..self.filling };
        match double.get(block) {
            Some(double) => double.fill(memory, block, &filling),
            None => {
                let index = block - double.len();
                single[index].fill(memory, index, &filling)
            }
        }
    }
}

impl Load {
    /// Bytes that are brought.
    pub fn bytes(&self) -> u64 {
        self.modulator.all_bytes() + self.places.all_bytes()
    }

    /// Begins to bring all of it.
    pub fn start(self, gpu: &Arc<Gpu>) -> Result<Arrival<CudaEvent>> {
        let parts = Part::Block(self.double.len() + self.single.len()).number();
        let gpu = gpu.beside()?;
        Arrival::start(parts, move |bringing| {
            // Threads of its own: those of the pool may all be waiting for what is brought here.
            let pool = ThreadPoolBuilder::new().thread_name(|number| format!("weights {number}")).build();
            let pool = pool.map_err(|error| CudaError::Shape(format!("no threads to load with: {error}")))?;
            pool.install(|| {
                gpu.bind()?;
                let brought = self.bring(&gpu, bringing);
                // Stages and spare memory are in use until the stream has come to its end.
                brought.and(gpu.wait())
            })
        })
    }

    fn bring(&self, gpu: &Arc<Gpu>, bringing: &Bringing<CudaEvent>) -> Result<()> {
        let begun = Instant::now();
        let origin = self.origin.lent();
        let forms = Forms { precision: self.precision, origin };
        let scratch = Scratch(&self.scratch);
        let filling = Filling { gpu, origin: &origin, scratch: &scratch, in_place: None };
        let blocks = Blocks { load: self, filling };
        let resident = |wanted: &(dyn Fn(usize) -> bool + Sync)| {
            self.places.bring_resident(&blocks, wanted, |block, bytes| {
                bringing.here(Part::Block(block).number(), Arc::new(gpu.mark(false)?));
                bringing.brought(bytes)
            })
        };
        let files = in_place(gpu, &self.config, &forms, &self.plan, (&self.double, &self.single))?;
        let (spare, kept) =
            if self.plan.modulation_stays { (None, None) } else { self.places.spare().unzip() };
        let is_kept = |block: usize| kept == Some(Some(block));
        self.modulator.fill(gpu, &filling, files.as_ref(), spare, |bytes| bringing.brought(bytes))?;
        bringing.here(Part::Modulation.number(), Arc::new(gpu.mark(false)?));
        let tables = begun.elapsed().as_secs_f64();
        let brought = |bytes| bringing.brought(bytes);
        let streamed = self.places.bring_streamed(gpu, &blocks, files.as_ref(), brought)?;
        let mark = Arc::new(gpu.mark(false)?);
        streamed.into_iter().for_each(|block| bringing.here(Part::Block(block).number(), Arc::clone(&mark)));
        resident(&|block| !is_kept(block))?;
        resident(&is_kept)?;
        if let Some(files) = files {
            self.places.set_files(files);
        }
        let (seconds, gigabytes) = (begun.elapsed().as_secs_f64(), self.bytes() as f64 / 1e9);
        tracing::info!(part = "the transformer", tables, seconds, gigabytes, "read");
        Ok(())
    }
}

impl Flux {
    /// Lets what is asked of the card from now on find a part there.
    pub(super) fn arrive(&self, part: Part, watch: &mut dyn Watch) -> Result<()> {
        // What has to be made is made in the memory that steps use: then all of it is waited for.
        let last = if self.made { self.double.len() + self.single.len() } else { part.number() };
        if last < self.here.get() {
            return Ok(());
        }
        let begun = Instant::now();
        let share = |bytes: u64| bytes as f64 / self.arriving.max(1) as f64;
        // Parts do not come in the order of their numbers, so each is asked for.
        for number in self.here.get()..=last {
            let mark = self.arrival.wait_for(number, &mut |bytes| watch.arriving(share(bytes)))?;
            self.gpu.wait_for(&mark)?;
            self.here.set(number + 1);
        }
        self.waited.set(self.waited.get() + begun.elapsed());
        Ok(())
    }

    /// Waits until all weights are there.
    ///
    /// # Errors
    /// When one is missing or has another shape; when there is no host memory; what `watch` gives.
    pub fn arrive_whole(&self, watch: &mut dyn Watch) -> Result<()> {
        let blocks = self.double.len() + self.single.len();
        self.arrive(Part::Modulation, watch)?;
        (0..blocks).try_for_each(|block| self.arrive(Part::Block(block), watch))
    }

    /// Lets what is streamed be pinned beside the steps that follow the first.
    pub(super) fn pin_from_the_second_step_on(&self) {
        if self.begun.replace(true)
            && let Some(files) = self.store.places().files()
        {
            self.pinning.begin(files);
        }
    }

    /// How long weights that were on their way have been waited for since this was last asked.
    #[must_use]
    pub fn take_waited(&self) -> Duration {
        self.waited.take()
    }

    /// The share of the weights that is there.
    #[must_use]
    pub fn share_here(&self) -> f64 {
        self.arrival.bytes() as f64 / self.arriving.max(1) as f64
    }
}
