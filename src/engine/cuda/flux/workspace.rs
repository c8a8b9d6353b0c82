//! The buffers of a step, laid out once for a size of picture: one piece of device memory.

use std::sync::Arc;

use half::bf16;

use super::linear::Input;
use super::precision::Precision;
use crate::engine::cuda::error::Result;
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Buffer, F8, Layout, Matrix};
use crate::engine::cuda::ops::Out;
use crate::engine::cuda::product::GRAIN;
use crate::engine::dit::config::Config;

/// Everything that a step writes. Rows are tokens, text first; a few rows behind the last round the image's up to what
/// fp8 products want. What they hold means nothing and meets nothing: only products read them.
#[derive(Debug)]
pub struct Workspace {
    memory: Buffer,
    places: Places,
    text: usize,
    image: usize,
    hidden: usize,
    mlp: usize,
    channels: usize,
    quantises: bool,
}

/// Where each buffer begins.
#[derive(Debug, Clone, Copy)]
struct Places {
    latent: usize,
    estimate: usize,
    input: usize,
    velocity: usize,
    x: usize,
    fused: usize,
    branch: usize,
    attended: usize,
    narrow: usize,
    narrow_scales: usize,
    wide: usize,
    wide_scales: usize,
}

impl Places {
    fn lay(layout: &mut Layout, config: &Config, precision: Precision, text: usize, image: usize) -> Self {
        let (hidden, mlp) = (config.hidden, config.mlp);
        let rows = padded(text, image);
        let picture = image.next_multiple_of(GRAIN);
        let mut rows_of = |width: usize| {
            if precision.quantises() {
                layout.place::<F8>(rows, width)
            } else {
                layout.place::<bf16>(rows, width)
            }
        };
        let (narrow, wide) = (rows_of(hidden), rows_of(hidden + mlp));
        Self {
            narrow,
            wide,
            narrow_scales: layout.place::<f32>(rows, 1),
            wide_scales: layout.place::<f32>(rows, 1),
            latent: layout.place::<f32>(image, config.in_channels),
            estimate: layout.place::<f32>(image, config.in_channels),
            input: layout.place::<bf16>(picture, config.in_channels),
            velocity: layout.place::<bf16>(picture, config.out_channels),
            x: layout.place::<bf16>(rows, hidden),
            fused: layout.place::<bf16>(rows, 3 * hidden + mlp),
            branch: layout.place::<bf16>(rows, hidden),
            attended: layout.place::<bf16>(rows, hidden),
        }
    }
}

/// Rows of all buffers: text, image, and what rounds the image up.
fn padded(text: usize, image: usize) -> usize {
    text + image.next_multiple_of(GRAIN).max((text + image).next_multiple_of(GRAIN) - text)
}

impl Workspace {
    /// Bytes that a picture of so many tokens needs.
    #[must_use]
    pub fn bytes_for(config: &Config, precision: Precision, text: usize, image: usize) -> usize {
        let mut layout = Layout::default();
        Places::lay(&mut layout, config, precision, text, image);
        layout.bytes()
    }

    /// Takes the memory.
    ///
    /// # Errors
    /// When there is not enough.
    pub fn new(
        gpu: &Arc<Gpu>,
        config: &Config,
        precision: Precision,
        text: usize,
        image: usize,
    ) -> Result<Self> {
        let mut layout = Layout::default();
        let places = Places::lay(&mut layout, config, precision, text, image);
        let memory = Buffer::new(gpu, layout.bytes(), "the activations of a step")?;
        // The rows that round up are multiplied too: let them be finite.
        memory.fill(0)?;
        Ok(Self {
            memory,
            places,
            text,
            image,
            hidden: config.hidden,
            mlp: config.mlp,
            channels: config.in_channels,
            quantises: precision.quantises(),
        })
    }

    /// Whether it is laid out for so many tokens.
    #[must_use]
    pub fn fits(&self, text: usize, image: usize) -> bool {
        (self.text, self.image) == (text, image)
    }

    /// Bytes of device memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Text tokens.
    #[must_use]
    pub fn text(&self) -> usize {
        self.text
    }

    /// Text and image tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.text + self.image
    }

    /// First row and rows of both streams' products, text's first. Rounded up they reach into what comes behind: the
    /// text's product runs first, so the image's overwrites that.
    #[must_use]
    pub fn streams(&self) -> [(usize, usize); 2] {
        [(0, self.text.next_multiple_of(GRAIN)), (self.text, self.image.next_multiple_of(GRAIN))]
    }

    /// Rows of a product over both streams.
    #[must_use]
    pub fn together(&self) -> usize {
        self.tokens().next_multiple_of(GRAIN)
    }

    fn rows(&self) -> usize {
        padded(self.text, self.image)
    }

    fn of<T: crate::engine::cuda::memory::Element>(
        &self,
        at: usize,
        rows: usize,
        width: usize,
    ) -> Matrix<'_, T> {
        self.memory.matrix(at, rows, width)
    }

    /// The latent, `[image, channels]`.
    #[must_use]
    pub fn latent(&self) -> Matrix<'_, f32> {
        self.of(self.places.latent, self.image, self.channels)
    }

    /// What the latent would be at σ = 0.
    #[must_use]
    pub fn estimate(&self) -> Matrix<'_, f32> {
        self.of(self.places.estimate, self.image, self.channels)
    }

    /// The latent as `img_in` reads it, rounded up.
    #[must_use]
    pub fn input(&self) -> Matrix<'_, bf16> {
        self.of(self.places.input, self.image.next_multiple_of(GRAIN), self.channels)
    }

    /// The last layer's output, rounded up.
    #[must_use]
    pub fn velocity(&self, channels: usize) -> Matrix<'_, bf16> {
        self.of(self.places.velocity, self.image.next_multiple_of(GRAIN), channels)
    }

    /// The residual stream.
    #[must_use]
    pub fn x(&self) -> Matrix<'_, bf16> {
        self.of(self.places.x, self.rows(), self.hidden)
    }

    /// What the first products of a block give, in rows of `width`.
    #[must_use]
    pub fn fused(&self, width: usize) -> Matrix<'_, bf16> {
        self.of(self.places.fused, self.rows(), width)
    }

    /// What a branch gives, before it joins.
    #[must_use]
    pub fn branch(&self) -> Matrix<'_, bf16> {
        self.of(self.places.branch, self.rows(), self.hidden)
    }

    /// What attention gives. Where nothing is quantised, a single block's goes beside its MLP: [`Self::wide_bf16`].
    #[must_use]
    pub fn attended(&self) -> Matrix<'_, bf16> {
        self.of(self.places.attended, self.rows(), self.hidden)
    }

    /// The input of products of `hidden` channels: where it is written …
    #[must_use]
    pub fn narrow_out(&self) -> Out<'_> {
        self.out(self.places.narrow, self.places.narrow_scales, self.hidden)
    }

    /// … and rows of it to be read.
    #[must_use]
    pub fn narrow_in(&self, first: usize, count: usize) -> Input<'_> {
        self.input_rows(self.places.narrow, self.places.narrow_scales, self.hidden, first, count)
    }

    /// The input of the MLP's second layer (`width` is `mlp`) or of a single block's (`hidden + mlp`): where it is
    /// written …
    #[must_use]
    pub fn wide_out(&self, width: usize) -> Out<'_> {
        self.out(self.places.wide, self.places.wide_scales, width)
    }

    /// … and rows of it to be read.
    #[must_use]
    pub fn wide_in(&self, width: usize, first: usize, count: usize) -> Input<'_> {
        self.input_rows(self.places.wide, self.places.wide_scales, width, first, count)
    }

    /// The same as one matrix, where nothing is quantised.
    ///
    /// # Panics
    /// Where it is.
    #[must_use]
    pub fn wide_bf16(&self) -> Matrix<'_, bf16> {
        assert!(!self.quantises, "asked only where nothing is quantised");
        self.of(self.places.wide, self.rows(), self.hidden + self.mlp)
    }

    fn out(&self, at: usize, scales: usize, width: usize) -> Out<'_> {
        let tokens = self.tokens();
        if self.quantises {
            Out::Fp8(self.of(at, tokens, width), self.of(scales, tokens, 1))
        } else {
            Out::Bf16(self.of(at, tokens, width))
        }
    }

    fn input_rows(&self, at: usize, scales: usize, width: usize, first: usize, count: usize) -> Input<'_> {
        let rows = self.rows();
        if self.quantises {
            let (x, scales) = (self.of::<F8>(at, rows, width), self.of::<f32>(scales, rows, 1));
            Input::Fp8(x.slice_rows(first, count), scales.slice_rows(first, count))
        } else {
            Input::Bf16(self.of::<bf16>(at, rows, width).slice_rows(first, count))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_up_rows_stay_inside() {
        for (text, image) in [(512, 1024), (32, 64), (512, 33 * 47), (77, 5), (1, 1), (30, 63)] {
            let rows = padded(text, image);
            assert!(text + image.next_multiple_of(GRAIN) <= rows, "{text} + {image}");
            assert!((text + image).next_multiple_of(GRAIN) <= rows, "{text} + {image}");
            assert!(text.next_multiple_of(GRAIN) <= rows, "{text} + {image}");
        }
    }
}
