//! The blocks' weights: each in memory of its own, or in host memory and streamed through slots.

use std::sync::{Arc, OnceLock};

use crate::engine::budget::Residence;
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::host::{Image, Span};
use crate::engine::cuda::in_place::InPlace;
use crate::engine::cuda::memory::Buffer;
use crate::engine::cuda::streaming::{Images, Slots, image};

/// Where a block's weights are.
#[derive(Debug)]
enum Held {
    Resident(Buffer),
    /// The number of its image.
    Streamed(usize),
}

/// Room for the weights of all blocks, in the order of use: what whoever brings them shares with whoever reads them.
#[derive(Debug)]
pub struct Places {
    blocks: Vec<Held>,
    bytes: Vec<usize>,
    images: OnceLock<Images>,
    /// Where what is streamed lies as the card wants it.
    files: OnceLock<Arc<InPlace>>,
    /// The first slot's, until images are there.
    slot: Option<Arc<Buffer>>,
}

/// The weights of all blocks, in the order of use.
#[derive(Debug)]
pub struct Store {
    // The slots wait for their copies before the images go.
    slots: Option<Slots>,
    places: Arc<Places>,
}

/// What a block is made of, to be brought.
pub trait Contents {
    /// What of it lies in these files.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    fn spans(&self, block: usize, files: &InPlace) -> Result<Vec<Span<'_>>>;

    /// Brings the rest into this memory.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    fn fill(&self, block: usize, memory: &Buffer, files: Option<&InPlace>) -> Result<()>;
}

impl Store {
    /// Takes the memory of all blocks, each of so many bytes and for this purpose.
    ///
    /// # Errors
    /// When the plan is for another model or has no slots for what it streams; when there is no memory.
    pub fn new(gpu: &Arc<Gpu>, plan: &Residence, blocks: &[(usize, &'static str)]) -> Result<Self> {
        if plan.streamed.len() != blocks.len() {
            let (planned, there) = (plan.streamed.len(), blocks.len());
            return Err(CudaError::Shape(format!("a plan for {planned} blocks of a model of {there}")));
        }
        let streamed = blocks.iter().zip(&plan.streamed).filter(|(_, streamed)| **streamed);
        let largest = streamed.clone().map(|((bytes, _), _)| *bytes).max();
        let slots = match (largest, plan.slots) {
            (None, _) => None,
            (Some(_), 0) => {
                return Err(CudaError::Shape("a plan that streams blocks through no slot".to_owned()));
            }
            (Some(largest), slots) => Some(Slots::new(gpu, streamed.count(), slots, largest, true)?),
        };
        let mut images = 0..;
        let held = blocks.iter().zip(&plan.streamed).map(|((bytes, purpose), streamed)| {
            let image = if *streamed { images.next() } else { None };
            Ok(match image {
                Some(image) => Held::Streamed(image),
                None => Held::Resident(Buffer::new(gpu, *bytes, purpose)?),
            })
        });
        let blocks_held = held.collect::<Result<_>>()?;
        let places = Places {
            blocks: blocks_held,
            bytes: blocks.iter().map(|(bytes, _)| *bytes).collect(),
            images: OnceLock::new(),
            files: OnceLock::new(),
            slot: slots.as_ref().and_then(Slots::first),
        };
        Ok(Self { slots, places: Arc::new(places) })
    }

    /// The room, for whoever brings the weights.
    #[must_use]
    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Asks for what `run` asks of the card with block `number`, which has been brought, in the memory it is given.
    ///
    /// # Errors
    /// What `run` gives; what the driver says of a copy.
    pub fn with(&self, number: usize, run: impl FnOnce(&Buffer) -> Result<()>) -> Result<()> {
        match (&self.places.blocks[number], &self.slots) {
            (Held::Resident(memory), _) => run(memory),
            (Held::Streamed(image), Some(slots)) => slots.with(self.places.images()?, *image, run),
            (Held::Streamed(_), None) => unreachable!("a block is streamed only where there are slots"),
        }
    }

    /// Bytes of device memory: resident blocks and slots.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let resident = self.places.blocks.iter().map(|held| match held {
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

    /// Bytes of all images in host memory and in files; of them, those that the card copies by itself by now; of them, those
    /// that take host memory beside the files. None before they have been brought.
    #[must_use]
    pub fn host_bytes(&self) -> [usize; 3] {
        let images = self.places.images.get().map_or(&[][..], Vec::as_slice);
        let of = |bytes: fn(&Image) -> usize| images.iter().map(bytes).sum();
        [of(Image::bytes), of(Image::pinned_bytes), of(Image::own_bytes)]
    }
}

impl Places {
    fn images(&self) -> Result<&Images> {
        let missing = || CudaError::Shape("a streamed block is read before it was brought".to_owned());
        self.images.get().ok_or_else(missing)
    }

    /// Where what is streamed lies as the card wants it, once that is known.
    #[must_use]
    pub fn files(&self) -> Option<&Arc<InPlace>> {
        self.files.get()
    }

    /// Says where that is, once.
    pub fn set_files(&self, files: Arc<InPlace>) {
        // Nobody else sets them.
        let _ = self.files.set(files);
    }

    /// The memory of a block that stays on the card.
    #[must_use]
    pub fn resident(&self, block: usize) -> Option<&Buffer> {
        match &self.blocks[block] {
            Held::Resident(memory) => Some(memory),
            Held::Streamed(_) => None,
        }
    }

    /// Bytes of all blocks on the card, were they all there.
    #[must_use]
    pub fn all_bytes(&self) -> u64 {
        self.bytes.iter().map(|bytes| *bytes as u64).sum()
    }

    /// Memory for whoever has something to lay down until all blocks have been brought: the first slot, or the last
    /// resident block's, with its number. That one is brought last, then.
    #[must_use]
    pub fn spare(&self) -> Option<(&Buffer, Option<usize>)> {
        if let Some(slot) = &self.slot {
            return Some((&**slot, None));
        }
        self.blocks.iter().enumerate().rev().find_map(|(block, held)| match held {
            Held::Resident(memory) => Some((memory, Some(block))),
            Held::Streamed(_) => None,
        })
    }

    /// Brings all that is streamed into host memory, but for what lies in `files`: to its end, because slots are not used
    /// before. `each` is told of each block with its bytes.
    ///
    /// # Errors
    /// What `contents` and `each` give; when there is no memory.
    pub fn bring_streamed(
        &self,
        gpu: &Arc<Gpu>,
        contents: &dyn Contents,
        files: Option<&Arc<InPlace>>,
        mut each: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<usize>> {
        let Some(slot) = &self.slot else { return Ok(Vec::new()) };
        let (mut images, mut blocks) = (Images::new(), Vec::new());
        for (block, bytes) in self.bytes.iter().enumerate() {
            let Held::Streamed(_) = self.blocks[block] else { continue };
            let spans = files.map_or_else(|| Ok(Vec::new()), |files| contents.spans(block, files))?;
            let fill = |slot: &Buffer| contents.fill(block, slot, files.map(|files| &**files));
            images.push(image(gpu, (slot, *bytes), (spans, files), fill)?);
            blocks.push(block);
            each(*bytes)?;
        }
        gpu.wait()?;
        // Nobody else sets them.
        let _ = self.images.set(images);
        Ok(blocks)
    }

    /// Brings those that are `wanted` of the blocks that stay on the card, in the order of use; `each` is told of each with
    /// its bytes.
    ///
    /// # Errors
    /// What `contents` and `each` give.
    pub fn bring_resident(
        &self,
        contents: &dyn Contents,
        wanted: &dyn Fn(usize) -> bool,
        mut each: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        for (block, held) in self.blocks.iter().enumerate().filter(|(block, _)| wanted(*block)) {
            let Held::Resident(memory) = held else { continue };
            contents.fill(block, memory, None)?;
            each(block, memory.bytes())?;
        }
        Ok(())
    }
}
