//! What a plan is made from: bytes of each part, bytes that may be held, and how fast bytes come.

use serde::Serialize;

/// What a person and the card allow, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Device memory that this process may hold, its CUDA context included.
    pub budget: u64,
    /// Device memory that nobody else holds: what is free, and what this process has already.
    pub free: u64,
    /// Host memory that can be pinned for what is streamed.
    pub host: u64,
}

/// Blocks of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// How many.
    pub count: usize,
    /// Bytes of each.
    pub bytes: u64,
}

/// The modulation layers, which are read once a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Modulation {
    /// Bytes of all that can be let go.
    pub layers: u64,
    /// Bytes of the largest layer.
    pub largest: u64,
    /// Bytes of what always stays: the embedders.
    pub embedders: u64,
}

/// A text encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Encoder {
    /// Bytes of its weights where they stay.
    pub weights: u64,
    /// Bytes on the card at a time where they are brought for a prompt.
    pub brought: u64,
    /// Bytes that it works in, its result included.
    pub room: u64,
}

/// A way to decode: in tiles of so many tokens, and what that takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tile {
    /// Rows of tokens; 0 where the host decodes.
    pub rows: usize,
    /// Columns of tokens.
    pub columns: usize,
    /// Bytes of its activations.
    pub bytes: u64,
    /// Pixels that are decoded for each pixel of the picture: 1 where one tile is all of it. On the host, how many could
    /// be on the card meanwhile.
    pub work: f64,
}

impl Tile {
    /// On the host, where no other way has room: minutes where a card takes a moment.
    pub const ON_HOST: Self = Self { rows: 0, columns: 0, bytes: 0, work: 2000.0 };

    /// Whether it is [`Tile::ON_HOST`].
    #[must_use]
    pub fn is_on_host(&self) -> bool {
        self.rows == 0
    }
}

/// Bytes of a model's parts, and of what a picture of one size takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sizes {
    /// Held from first to last and not divided further: the context, the kernels, what products work in.
    pub outside: u64,
    /// The first and last layers.
    pub ends: u64,
    /// What LoRAs add.
    pub loras: u64,
    /// The modulation layers.
    pub modulation: Modulation,
    /// The double blocks, used first.
    pub double: Kind,
    /// The single blocks, used after them.
    pub single: Kind,
    /// T5.
    pub t5: Encoder,
    /// CLIP.
    pub clip: Encoder,
    /// The VAE's weights.
    pub vae: u64,
    /// The ways to decode; at least one.
    pub tiles: Vec<Tile>,
    /// What a prompt and a schedule give: text, rotations, tables.
    pub conditions: u64,
    /// What making the tables takes besides.
    pub embeddings: u64,
    /// Whether all that can be streamed lies in its files as the card wants it, and can be copied from there.
    pub in_files: bool,
    /// The activations of a step.
    pub workspace: u64,
    /// The finished latent.
    pub latent: u64,
    /// Steps of a picture.
    pub steps: u32,
}

/// How fast bytes come and steps run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speed {
    /// Bytes a second from pinned host memory.
    pub pinned: f64,
    /// Bytes a second from a mapped file in the page cache, by threads of the host.
    pub mapped: f64,
    /// Bytes a second from the disk.
    pub disk: f64,
    /// Seconds of a step with everything resident; `None` where no step of this size has been seen: then nothing is
    /// taken to hide behind it.
    pub step: Option<f64>,
    /// Seconds of decoding in one piece; `None` is a quarter of a step.
    pub decode: Option<f64>,
}

/// Device memory comes in pages of this many bytes.
const PAGE: u64 = 2 << 20;

/// What the driver takes for a piece of so many bytes.
#[must_use]
pub fn granted(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

impl Sizes {
    /// Bytes of all blocks.
    #[must_use]
    pub fn body(&self) -> u64 {
        self.double.count as u64 * self.double.bytes + self.single.count as u64 * self.single.bytes
    }

    /// Blocks of both kinds.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.double.count + self.single.count
    }
}
