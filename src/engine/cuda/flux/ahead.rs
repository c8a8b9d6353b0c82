//! Tables of modulations that are made while T5 still reads the prompt: CLIP's vector is all they need of it.
//!
//! Where the layers that make them are brought for each picture, that is 3.3 GB for FLUX.1-dev: after T5 they would hold up
//! the first step by as long as they are copied. A thread of its own brings them, in a stream of its own, and computes there;
//! whoever wants the tables is ordered behind them.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use cudarc::driver::CudaEvent;
use half::bf16;
use rayon::ThreadPoolBuilder;

use super::Flux;
use super::bring::Part;
use super::linear::{SCRATCH, Scratch};
use super::modulation::{Key, Modulator, Tables};
use super::step::Watch;
use crate::engine::budget::granted;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::Buffer;
use crate::engine::cuda::product::WORKSPACE;

/// Tables on their way.
#[derive(Debug)]
pub struct Ahead {
    made: Receiver<Result<(Tables, CudaEvent)>>,
    thread: Option<JoinHandle<()>>,
    of: Key,
}

/// What they are made of.
struct Making {
    gpu: Arc<Gpu>,
    /// Whose they are in the end.
    owner: Arc<Gpu>,
    modulator: Arc<Modulator>,
    times: Vec<f32>,
    guidance: f32,
    pooled: Vec<bf16>,
}

impl Making {
    fn make(&self) -> Result<(Tables, CudaEvent)> {
        let Self { gpu, modulator, times, guidance, pooled, .. } = self;
        let begun = Instant::now();
        gpu.bind()?;
        let scratch = Buffer::new(gpu, SCRATCH, "a piece of a weight")?;
        let vector = Buffer::of::<bf16>(gpu, 1, pooled.len(), "an encoded prompt")?;
        let vector = vector.matrix(0, 1, pooled.len());
        gpu.upload(vector, pooled)?;
        let tables = modulator.prepare(gpu, (times, *guidance), vector, None, &Scratch(&scratch))?;
        let mark = gpu.mark(false)?;
        // What they were made in goes when this ends.
        gpu.wait()?;
        tracing::info!(seconds = begun.elapsed().as_secs_f64(), "tables were made beside the prompt");
        Ok((tables.for_stream_of(&self.owner), mark))
    }
}

impl Ahead {
    /// Waits for the tables, and orders what is asked of the card from now on behind them. `None` where there was no memory
    /// for them beside T5.
    fn take(mut self, gpu: &Gpu) -> Result<Option<Tables>> {
        let made = self.made.recv().unwrap_or_else(|_| {
            Err(CudaError::Shape("making the tables of modulations broke down".to_owned()))
        });
        // Nothing that it does lasts.
        self.thread.take().map(JoinHandle::join);
        match made {
            Ok((tables, mark)) => {
                gpu.wait_for(&mark)?;
                Ok(Some(tables.kept_by(self.of.clone())))
            }
            Err(CudaError::OutOfMemory { wanted, free, .. }) => {
                tracing::info!(wanted, free, "no memory for tables beside T5: they are made after it");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // Its memory is given back before anybody counts what is held.
        self.thread.take().map(JoinHandle::join);
    }
}

impl Flux {
    /// Begins to make the tables of a prompt from CLIP's vector alone; `None` where that is not worth a thread: the layers
    /// stay on the card or have to be made where steps are, LoRAs change them, or the tables were kept. `watch` is told while the layers are waited for.
    ///
    /// # Errors
    /// When weights do not arrive; what `watch` gives; when there is no stream or no thread.
    pub fn tables_ahead(
        &self,
        pooled: &[bf16],
        (times, guidance): (&[f32], f32),
        watch: &mut dyn Watch,
    ) -> Result<Option<Ahead>> {
        let of = Key::new((times, guidance), pooled, self.sides.as_ref());
        if !self.modulator.is_streamed() || self.made || self.sides.is_some() || self.tables.has(&of) {
            return Ok(None);
        }
        self.arrive(Part::Modulation, watch)?;
        self.tables.forget();
        let gpu = self.gpu.beside()?;
        gpu.wait_for(&self.gpu.mark(false)?)?;
        let making = Making {
            gpu,
            owner: Arc::clone(&self.gpu),
            modulator: Arc::clone(&self.modulator),
            times: times.to_vec(),
            guidance,
            pooled: pooled.to_vec(),
        };
        let (send, made) = mpsc::channel();
        let act = move || {
            // Threads of its own: those of the pool read T5.
            let pool = ThreadPoolBuilder::new().thread_name(|number| format!("tables {number}")).build();
            let pool =
                pool.map_err(|error| CudaError::Shape(format!("no threads to make tables with: {error}")));
            // Nobody waits for them any more where that fails.
            let _ = send.send(pool.and_then(|pool| pool.install(|| making.make())));
        };
        let thread = thread::Builder::new().name("tables".to_owned()).spawn(act);
        let thread =
            thread.map_err(|error| CudaError::Shape(format!("no thread to make tables with: {error}")))?;
        Ok(Some(Ahead { made, thread: Some(thread), of }))
    }

    /// The tables that were begun, if they came to anything.
    pub(super) fn taken(&self, ahead: Option<Ahead>) -> Result<Option<Tables>> {
        ahead.map_or(Ok(None), |ahead| ahead.take(&self.gpu))
    }

    /// Bytes of the card that [`Flux::tables_ahead`] takes beside T5 for so many steps, or none where the layers stay.
    #[must_use]
    pub fn ahead_bytes(&self, steps: usize) -> u64 {
        if !self.modulator.is_streamed() {
            return 0;
        }
        let config = &self.config;
        let (tables, embeddings) =
            (Tables::bytes_for(config, steps), Modulator::embedding_bytes(config, steps));
        let slots = 2 * granted(self.modulator.largest() as u64);
        slots + granted(tables as u64) + granted(embeddings as u64) + (SCRATCH + WORKSPACE) as u64
    }
}
