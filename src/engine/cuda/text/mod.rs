//! T5's encoder and CLIP's text model on the card: bf16 products, the residual stream in fp32.
//!
//! Its weights stay on the card, or are brought for each prompt: T5's block by block, so that it takes 0.4 GB at a time.
//! An encoder is its weights, and a [`Room`] what it works in: the room is needed only while a prompt is read, so it
//! can go before the transformer starts. T5-XXL is 4.76 G parameters, 9.5 GB; 512 tokens are 4.74 TFLOP in products and
//! 0.10 in attention, in a room of 65 MB.

pub mod clip;
mod ops;
mod place;
pub mod t5;

use half::bf16;
use std::sync::Arc;

pub use clip::Clip;
pub use t5::T5;

use super::error::Result;
use super::gpu::Gpu;
use super::memory::{Buffer, Layout};
use place::Place;

/// The columns of what an encoder computes for each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Widths {
    /// The residual stream.
    model: usize,
    /// All heads together.
    inner: usize,
    /// Before the MLP's activation.
    hidden: usize,
    /// After it.
    activated: usize,
}

/// What an encoder works in, for one length of text.
#[derive(Debug)]
pub struct Room {
    buffer: Buffer,
    places: Places,
}

#[derive(Debug, Clone, Copy)]
struct Places {
    tokens: usize,
    ids: Place<u32>,
    /// The residual stream.
    x: Place<f32>,
    normed: Place<bf16>,
    qkv: Place<bf16>,
    attended: Place<bf16>,
    hidden: Place<bf16>,
    activated: Place<bf16>,
    /// What a branch adds to the stream.
    y: Place<bf16>,
    /// T5's biases by distance.
    bias: Place<f32>,
}

impl Places {
    /// `heads`: of biases by distance; 0 where there are none.
    fn new(tokens: usize, widths: Widths, heads: usize) -> (Self, Layout) {
        let mut layout = Layout::default();
        let at = &mut layout;
        let places = Self {
            tokens,
            ids: Place::new(at, 1, tokens),
            x: Place::new(at, tokens, widths.model),
            normed: Place::new(at, tokens, widths.model),
            qkv: Place::new(at, tokens, 3 * widths.inner),
            attended: Place::new(at, tokens, widths.inner),
            hidden: Place::new(at, tokens, widths.hidden),
            activated: Place::new(at, tokens, widths.activated),
            y: Place::new(at, tokens, widths.model),
            bias: Place::new(at, heads, 2 * tokens - 1),
        };
        (places, layout)
    }
}

impl Room {
    fn new(gpu: &Arc<Gpu>, (places, layout): (Places, Layout)) -> Result<Self> {
        Ok(Self { buffer: Buffer::new(gpu, layout.bytes(), "reading the prompt")?, places })
    }

    /// How many tokens it is for.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.places.tokens
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.bytes()
    }
}
