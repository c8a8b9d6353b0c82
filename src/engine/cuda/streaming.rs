//! Weights that are streamed: their images lie in host memory and take [`Turns`] in a few slots of the card's.
//!
//! Copies run in a stream of their own. A copy waits, by an event, for all computations that had been asked for when its
//! slot was given to it, the slot's last use among them; a computation waits for the copy of what it reads. Nothing
//! waits on the host, so copies run as far ahead as there are slots. Only what the host must copy itself, out of a file
//! that is not pinned, keeps it: that is begun when the card has the next computation to go on with.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaStream};

use super::error::{Result, driver};
use super::gpu::Gpu;
use super::host::{Image, Span};
use super::in_place::InPlace;
use super::memory::Buffer;
use crate::engine::budget::turns::{Bring, Turns};

/// The images of all pieces, in the order of use.
pub type Images = Vec<Image>;

/// Makes the image of a piece of `bytes` that `fill` writes to the begin of `memory`, but for what `spans` say of it: that
/// lies in `files`.
///
/// # Errors
/// What `fill` gives; as [`Image::new`].
pub fn image(
    gpu: &Arc<Gpu>,
    (memory, bytes): (&Buffer, usize),
    (spans, files): (Vec<Span<'_>>, Option<&Arc<InPlace>>),
    fill: impl FnOnce(&Buffer) -> Result<()>,
) -> Result<Image> {
    fill(memory)?;
    Image::new(gpu, memory.matrix(0, 1, bytes), spans, files)
}

/// Slots of device memory, and what is in them.
#[derive(Debug)]
pub struct Slots {
    gpu: Arc<Gpu>,
    copies: Arc<CudaStream>,
    slots: Vec<Slot>,
    turns: RefCell<Turns>,
    /// What the host will copy once the next computation has been asked for.
    pending: Cell<Option<Bring>>,
    brought: Cell<u64>,
}

#[derive(Debug)]
struct Slot {
    memory: Arc<Buffer>,
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
            let memory = Arc::new(Buffer::new(gpu, bytes, "a slot for streamed weights")?);
            Ok(Slot { memory, left: gpu.event()?, arrived: gpu.event()? })
        };
        Ok(Self {
            gpu: Arc::clone(gpu),
            copies: gpu.another_stream()?,
            slots: (0..slots).map(slot).collect::<Result<_>>()?,
            turns: RefCell::new(Turns::new(pieces, slots, around)),
            pending: Cell::new(None),
            brought: Cell::new(0),
        })
    }

    /// The memory of the first slot: whoever makes images has it until the first piece is used.
    #[must_use]
    pub fn first(&self) -> Option<Arc<Buffer>> {
        self.slots.first().map(|slot| Arc::clone(&slot.memory))
    }

    /// Asks for what `run` asks of the card with a piece in the memory it is given, and for the copies that may follow.
    /// `images` are the same at each call, and live until this is dropped.
    ///
    /// # Errors
    /// What `run` gives; what the driver says.
    pub fn with(&self, images: &Images, piece: usize, run: impl FnOnce(&Buffer) -> Result<()>) -> Result<()> {
        let (slot, bring) = self.turns.borrow_mut().begin(piece);
        if !bring.is_empty() {
            // All slots begin anew.
            self.pending.set(None);
        }
        for one in bring {
            self.order(one)?;
            self.bring(images, one)?;
        }
        if self.pending.get().is_some_and(|pending| pending.piece == piece) {
            self.bring_pending(images)?;
        }
        let slot = &self.slots[slot];
        self.gpu.stream().wait(&slot.arrived).map_err(driver("waiting for a block's copy"))?;
        run(&slot.memory)?;
        self.bring_pending(images)?;
        let Some(next) = self.turns.borrow_mut().end(piece) else { return Ok(()) };
        self.order(next)?;
        if images[next.piece].is_copied_by_host() {
            self.pending.set(Some(next));
            return Ok(());
        }
        self.bring(images, next)
    }

    fn bring_pending(&self, images: &Images) -> Result<()> {
        let Some(one) = self.pending.take() else { return Ok(()) };
        images[(one.piece + 1) % images.len()].read_ahead();
        self.bring(images, one)
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

    /// Marks what a copy into a slot has to wait for: all computations that have been asked for so far.
    fn order(&self, Bring { slot, .. }: Bring) -> Result<()> {
        let left = self.slots[slot].left.record(self.gpu.stream());
        left.map_err(driver("ordering a block's copy")).inspect_err(|_| self.forget())
    }

    /// Asks for a copy that has been ordered.
    fn bring(&self, images: &Images, Bring { piece, slot }: Bring) -> Result<()> {
        let Slot { memory, left, arrived } = &self.slots[slot];
        let image = &images[piece];
        let asked = || {
            let failed = driver("ordering a block's copy");
            self.copies.wait(left).map_err(&failed)?;
            // SAFETY: images outlive this, which waits for its copies before it goes.
            unsafe { image.bring(&self.gpu, memory.matrix(0, 1, memory.bytes()), &self.copies) }?;
            arrived.record(&self.copies).map_err(failed)
        };
        self.brought.set(self.brought.get() + image.bytes() as u64);
        asked().inspect_err(|_| self.forget())
    }

    /// What was not copied must not be taken for what is there.
    fn forget(&self) {
        self.pending.set(None);
        self.turns.borrow_mut().forget();
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if let Err(error) = self.copies.synchronize() {
            tracing::error!(%error, "copies of streamed blocks did not end");
        }
    }
}
