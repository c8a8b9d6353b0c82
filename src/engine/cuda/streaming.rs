//! Weights that are streamed: their images lie in host memory and take [`Turns`] in a few slots of the card's.
//!
//! Copies run in a stream of their own. A copy waits, by an event, for all computations that had been asked for when its
//! slot was given to it, the slot's last use among them; a computation waits for the copy of what it reads. Nothing
//! waits on the host, so copies run as far ahead as there are slots.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaStream};

use super::error::{Result, driver};
use super::gpu::Gpu;
use super::host::HostMemory;
use super::memory::Buffer;
use crate::engine::budget::turns::{Bring, Turns};

/// The images of all pieces, in the order of use.
pub type Images = Vec<HostMemory>;

/// Slots of device memory, and what is in them.
#[derive(Debug)]
pub struct Slots {
    gpu: Arc<Gpu>,
    copies: Arc<CudaStream>,
    slots: Vec<Slot>,
    turns: RefCell<Turns>,
    brought: Cell<u64>,
}

#[derive(Debug)]
struct Slot {
    memory: Buffer,
    /// All computations before its next copy are done.
    left: CudaEvent,
    /// The copy is done.
    arrived: CudaEvent,
}

impl Slots {
    /// `slots` slots of `bytes` each, for `pieces` pieces; with `around`, the first follows the last.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(gpu: &Arc<Gpu>, pieces: usize, slots: usize, bytes: usize, around: bool) -> Result<Self> {
        let slot = |_| {
            let memory = Buffer::new(gpu, bytes, "a slot for streamed weights")?;
            Ok(Slot { memory, left: gpu.event()?, arrived: gpu.event()? })
        };
        Ok(Self {
            gpu: Arc::clone(gpu),
            copies: gpu.another_stream()?,
            slots: (0..slots).map(slot).collect::<Result<_>>()?,
            turns: RefCell::new(Turns::new(pieces, slots, around)),
            brought: Cell::new(0),
        })
    }

    /// Makes the image of a piece of `bytes` that `fill` writes into the first slot. Before anything is used.
    ///
    /// # Errors
    /// What `fill` gives; what went wrong on the card.
    pub fn image(&self, bytes: usize, fill: impl FnOnce(&Buffer) -> Result<()>) -> Result<HostMemory> {
        let memory = &self.slots[0].memory;
        fill(memory)?;
        HostMemory::image_of(&self.gpu, memory.matrix(0, 1, bytes))
    }

    /// Asks for what `run` asks of the card with a piece in the memory it is given, and for the copies that may follow.
    /// `images` are the same at each call, and live until this is dropped.
    ///
    /// # Errors
    /// What `run` gives; what the driver says.
    pub fn with(&self, images: &Images, piece: usize, run: impl FnOnce(&Buffer) -> Result<()>) -> Result<()> {
        let (slot, bring) = self.turns.borrow_mut().begin(piece);
        bring.into_iter().try_for_each(|one| self.bring(images, one))?;
        let slot = &self.slots[slot];
        self.gpu.stream().wait(&slot.arrived).map_err(driver("waiting for a block's copy"))?;
        run(&slot.memory)?;
        let next = self.turns.borrow_mut().end(piece);
        next.map_or(Ok(()), |one| self.bring(images, one))
    }

    /// Bytes of device memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.memory.bytes()).sum()
    }

    /// Bytes that copies were asked for so far.
    #[must_use]
    pub fn brought(&self) -> u64 {
        self.brought.get()
    }

    fn bring(&self, images: &Images, Bring { piece, slot }: Bring) -> Result<()> {
        let Slot { memory, left, arrived } = &self.slots[slot];
        let image = &images[piece];
        let asked = || {
            let failed = driver("ordering a block's copy");
            left.record(self.gpu.stream()).map_err(&failed)?;
            self.copies.wait(left).map_err(&failed)?;
            // SAFETY: images outlive this, which waits for its copies before it goes.
            unsafe { image.bring(memory.matrix(0, 1, memory.bytes()), self.copies.cu_stream()) }?;
            arrived.record(&self.copies).map_err(failed)
        };
        self.brought.set(self.brought.get() + image.bytes() as u64);
        // What was not copied must not be taken for what is there.
        asked().inspect_err(|_| self.turns.borrow_mut().forget())
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if let Err(error) = self.copies.synchronize() {
            tracing::error!(%error, "copies of streamed blocks did not end");
        }
    }
}
