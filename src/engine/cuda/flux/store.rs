//! The blocks' weights: each in memory of its own, or in host memory and streamed through slots.

use std::sync::Arc;

use crate::engine::budget::Residence;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::host::{Image, InPlace, Span};
use crate::engine::cuda::memory::Buffer;
use crate::engine::cuda::streaming::{Images, Slots};

/// Where a block's weights are.
#[derive(Debug)]
enum Held {
    Resident(Buffer),
    /// The number of its image.
    Streamed(usize),
}

/// The weights of all blocks, in the order of use.
#[derive(Debug)]
pub struct Store {
    gpu: Arc<Gpu>,
    blocks: Vec<Held>,
    // The slots wait for their copies before the images go.
    slots: Option<Slots>,
    images: Images,
    /// Where images lie in files.
    files: Option<Arc<InPlace>>,
    streamed: Vec<bool>,
}

impl Store {
    /// Makes the slots. `bytes` are those of each block; what of those that are streamed lies in `files` stays there.
    ///
    /// # Errors
    /// When the plan is for another model or has no slots for what it streams; when there is no memory.
    pub fn new(
        gpu: &Arc<Gpu>,
        plan: &Residence,
        bytes: &[usize],
        files: Option<Arc<InPlace>>,
    ) -> Result<Self> {
        if plan.streamed.len() != bytes.len() {
            let (planned, there) = (plan.streamed.len(), bytes.len());
            return Err(CudaError::Shape(format!("a plan for {planned} blocks of a model of {there}")));
        }
        let streamed = bytes.iter().zip(&plan.streamed).filter(|(_, streamed)| **streamed);
        let largest = streamed.clone().map(|(bytes, _)| *bytes).max();
        let slots = match (largest, plan.slots) {
            (None, _) => None,
            (Some(_), 0) => {
                return Err(CudaError::Shape("a plan that streams blocks through no slot".to_owned()));
            }
            (Some(largest), slots) => Some(Slots::new(gpu, streamed.count(), slots, largest, true)?),
        };
        Ok(Self {
            gpu: Arc::clone(gpu),
            blocks: Vec::with_capacity(bytes.len()),
            slots,
            images: Images::new(),
            files,
            streamed: plan.streamed.clone(),
        })
    }

    /// Takes the next block, of `bytes`, which `fill` brings into the memory it is given, but for what lies in the files
    /// that are handed to it: that is what `spans` say of them.
    ///
    /// # Errors
    /// What `fill` gives; when there is no memory.
    ///
    /// # Panics
    /// When there are more blocks than planned for: a bug of the caller.
    pub fn add<'w>(
        &mut self,
        bytes: usize,
        purpose: &'static str,
        spans: impl FnOnce(&InPlace) -> Result<Vec<Span<'w>>>,
        fill: impl FnOnce(&Buffer, Option<&InPlace>) -> Result<()>,
    ) -> Result<()> {
        let held = match &self.slots {
            Some(slots) if self.streamed[self.blocks.len()] => {
                let files = self.files.as_ref();
                let spans = files.map_or_else(|| Ok(Vec::new()), |files| spans(files))?;
                let image =
                    slots.image(bytes, (spans, files), |slot| fill(slot, files.map(|files| &**files)))?;
                self.images.push(image);
                Held::Streamed(self.images.len() - 1)
            }
            _ => {
                let memory = Buffer::new(&self.gpu, bytes, purpose)?;
                fill(&memory, None)?;
                Held::Resident(memory)
            }
        };
        self.blocks.push(held);
        Ok(())
    }

    /// Asks for what `run` asks of the card with block `number` in the memory it is given.
    ///
    /// # Errors
    /// What `run` gives; what the driver says of a copy.
    pub fn with(&self, number: usize, run: impl FnOnce(&Buffer) -> Result<()>) -> Result<()> {
        match (&self.blocks[number], &self.slots) {
            (Held::Resident(memory), _) => run(memory),
            (Held::Streamed(image), Some(slots)) => slots.with(&self.images, *image, run),
            (Held::Streamed(_), None) => unreachable!("a block is streamed only where there are slots"),
        }
    }

    /// Bytes of device memory: resident blocks and slots.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let resident = self.blocks.iter().map(|held| match held {
            Held::Resident(memory) => memory.bytes(),
            Held::Streamed(_) => 0,
        });
        resident.sum::<usize>() + self.slots.as_ref().map_or(0, Slots::bytes)
    }

    /// Bytes that copies of streamed blocks were asked for so far.
    #[must_use]
    pub fn brought(&self) -> u64 {
        self.slots.as_ref().map_or(0, Slots::brought)
    }

    /// Bytes of all images in host memory and in files; of them, those that the card copies by itself; of them, those
    /// that take host memory beside the files.
    #[must_use]
    pub fn host_bytes(&self) -> [usize; 3] {
        let of = |bytes: fn(&Image) -> usize| self.images.iter().map(bytes).sum();
        [
            of(Image::bytes),
            of(|image| if image.is_pinned() { image.bytes() } else { 0 }),
            of(Image::own_bytes),
        ]
    }
}
