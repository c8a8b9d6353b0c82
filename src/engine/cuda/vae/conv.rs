//! 3×3 convolutions: one safe function for each kernel of `kernels/conv_sm80.cu` and `conv_sm90.cu`, and which of them a
//! shape runs by. What they compute and what bounds them is written there.

use cudarc::driver::sys::CUtensorMap;
use half::bf16;

use super::super::card::Card;
use super::super::error::{CudaError, Result};
use super::super::gpu::{Gpu, Grid, Kernel, Module, launch};
use super::super::memory::{Element, Matrix};
use super::super::tensor_map::Boxes;
use super::ops::{dense, vae};

/// Output channels that the kernel for few has room for.
const NARROW: usize = 8;
/// Height and width of a picture of pixels, and what a convolution does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Of the input.
    pub height: usize,
    /// Of the input.
    pub width: usize,
    /// Channels of the input.
    pub inner: usize,
    /// Channels of the output.
    pub out: usize,
    /// Of the picture doubled first.
    pub doubled: bool,
}

/// A kernel for a shape, and how it is launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    kernel: Kernel,
    grid: Grid,
    /// Rows of Hopper's tile; none for the kernels of every card.
    rows: Option<usize>,
}

impl ConvShape {
    fn phases(self) -> usize {
        if self.doubled { 4 } else { 1 }
    }

    /// Taps of a row of the kernel, as it is stored.
    fn side(self) -> usize {
        if self.doubled { 2 } else { 3 }
    }

    fn pixels(self) -> usize {
        self.height * self.width
    }

    /// The fastest kernel, by the number of tiles and what a tile leaves idle. `portable`: one for every card.
    fn way(self, card: &Card, portable: bool) -> Way {
        let multiprocessors = card.multiprocessors as usize;
        // Narrow layers would waste most of Hopper's tiles of 64 by 128 channels.
        if card.is_hopper() && !portable && self.inner > 32 && self.out > 64 {
            let waves = |rows| self.hopper_tiles(rows).div_ceil(multiprocessors);
            // A tile of 8 rows takes somewhat over half of one of 16.
            let rows = if 40 * waves(16) <= 23 * waves(8) { 16 } else { 8 };
            return self.hopper(rows, multiprocessors);
        }
        let blocks = |rows, columns: usize| self.blocks(rows, columns) * self.phases();
        let rest = self.out % 128;
        if self.out <= 32 || blocks(128, 64) < multiprocessors {
            self.every(64, 32)
        } else if blocks(128, 128) < multiprocessors || (1..=64).contains(&rest) {
            self.every(128, 64)
        } else {
            self.every(128, 128)
        }
    }

    fn blocks(self, rows: usize, columns: usize) -> usize {
        self.pixels().div_ceil(rows) * self.out.div_ceil(columns)
    }

    fn hopper_tiles(self, rows: usize) -> usize {
        self.width.div_ceil(16) * self.height.div_ceil(rows) * self.out.div_ceil(128) * self.phases()
    }

    fn every(self, rows: usize, columns: usize) -> Way {
        let name = match (rows, columns) {
            (128, 128) => "conv_sm80_128x128",
            (128, _) => "conv_sm80_128x64",
            _ => "conv_sm80_64x32",
        };
        let kernel = Kernel { module: Module::Conv, name, shared: (3 * (rows + columns) * 64) as u32 };
        let blocks = [self.blocks(rows, columns) as u32, 1, self.phases() as u32];
        Way { kernel, grid: Grid { blocks, threads: [128, 1] }, rows: None }
    }

    fn hopper(self, rows: usize, multiprocessors: usize) -> Way {
        let name = match (rows, self.doubled) {
            (16, false) => "conv_sm90_256",
            (_, false) => "conv_sm90_128",
            (16, true) => "conv_sm90_doubled_256",
            (_, true) => "conv_sm90_doubled_128",
        };
        let shared = 1280 + 3 * (rows + self.side() - 1) * 2048 + 6 * 16384;
        let kernel = Kernel { module: Module::ConvHopper, name, shared: shared as u32 };
        Way { kernel, grid: Grid::line(self.hopper_tiles(rows).min(multiprocessors), 384), rows: Some(rows) }
    }
}

impl Gpu {
    /// `out = conv3x3(x) + bias (+ residual)`: x `[height · width, inner]`, weight as `kernels/conv.cuh` has it, bias
    /// `[1, out]`, residual and out `[pixels, out]`, four times as many where doubled. The residual may be `out`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn conv3x3(
        &self,
        shape: ConvShape,
        x: Matrix<'_, bf16>,
        (weight, bias): (Matrix<'_, bf16>, Matrix<'_, f32>),
        residual: Option<Matrix<'_, bf16>>,
        out: Matrix<'_, bf16>,
        portable: bool,
    ) -> Result<()> {
        let ConvShape { height, width, inner, out: channels, doubled } = shape;
        let side = shape.side();
        let outputs = shape.pixels() * shape.phases();
        dense("a convolution's input", x, shape.pixels(), inner)?;
        dense("a convolution's output", out, outputs, channels)?;
        dense("a convolution's weight", weight, shape.phases() * channels, side * side * inner)?;
        bias.expect("a convolution's bias", 1, channels)?;
        if !inner.is_multiple_of(8) || !channels.is_multiple_of(8) || shape.pixels() == 0 {
            return Err(CudaError::Shape(format!("a convolution {shape:?}: channels are multiples of 8")));
        }
        let residual = match residual {
            Some(residual) => dense("a convolution's residual", residual, outputs, channels)?.at(),
            None => 0,
        };
        let way = shape.way(self.card(), portable);
        let sizes = [height as i32, width as i32, inner as i32, channels as i32];
        let [h, w, i, o] = sizes;
        let Some(rows) = way.rows else {
            let doubled = i32::from(doubled);
            // SAFETY: the arguments are those of the kernels' declarations; extents were checked above.
            return unsafe {
                launch!(
                    self,
                    way.kernel,
                    way.grid,
                    x.at(),
                    weight.at(),
                    bias.at(),
                    residual,
                    out.at(),
                    h,
                    w,
                    i,
                    o,
                    doubled
                )
            };
        };
        let x_map = tensor_map(x, [inner, width, height], [64, 16, rows + side - 1])?;
        let weight_map = tensor_map(weight, [inner, side * side, shape.phases() * channels], [64, 1, 128])?;
        // SAFETY: as above.
        unsafe {
            launch!(self, way.kernel, way.grid, x_map, weight_map, bias.at(), residual, out.at(), h, w, i, o)
        }
    }

    /// A convolution to at most eight channels, fp32 out.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn conv3x3_narrow(
        &self,
        shape: ConvShape,
        x: Matrix<'_, bf16>,
        (weight, bias): (Matrix<'_, bf16>, Matrix<'_, f32>),
        out: Matrix<'_, f32>,
    ) -> Result<()> {
        let ConvShape { height, width, inner, out: channels, doubled } = shape;
        dense("the last layer's input", x, shape.pixels(), inner)?;
        dense("the last layer's output", out, shape.pixels(), channels)?;
        dense("the last layer's weight", weight, channels, 9 * inner)?;
        bias.expect("the last layer's bias", 1, channels)?;
        if doubled || !inner.is_multiple_of(8) || channels > NARROW || shape.pixels() == 0 {
            return Err(CudaError::Shape(format!("a narrow convolution {shape:?}")));
        }
        let blocks = [width.div_ceil(16) as u32, height.div_ceil(16) as u32, 1];
        let kernel = Kernel { module: Module::Conv, name: "conv_sm80_narrow", shared: 0 };
        let (h, w, i, o) = (height as i32, width as i32, inner as i32, channels as i32);
        // SAFETY: as in `conv3x3`.
        unsafe {
            launch!(
                self,
                kernel,
                Grid { blocks, threads: [256, 1] },
                x.at(),
                weight.at(),
                bias.at(),
                out.at(),
                h,
                w,
                i,
                o
            )
        }
    }

    /// Weights `[out, inner, 3, 3]` in the order that [`Gpu::conv3x3`] wants.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn pack_conv(
        &self,
        weight: Matrix<'_, f32>,
        packed: Matrix<'_, bf16>,
        (inner, out): (usize, usize),
        doubled: bool,
    ) -> Result<()> {
        dense("a convolution's weight", weight, out, 9 * inner)?;
        let (rows, width) = if doubled { (4 * out, 4 * inner) } else { (out, 9 * inner) };
        dense("a convolution's packed weight", packed, rows, width)?;
        let name = if doubled { "pack_doubled" } else { "pack_conv" };
        let grid = Grid::line((rows * width).div_ceil(256), 256);
        let (out, inner) = (out as i32, inner as i32);
        // SAFETY: as in `conv3x3`.
        unsafe { launch!(self, vae(name), grid, weight.at(), packed.at(), out, inner) }
    }
}

/// The description by which Hopper's copy engine reads boxes of an array: sizes and boxes in values, innermost first.
fn tensor_map(matrix: Matrix<'_, bf16>, sizes: [usize; 3], boxes: [usize; 3]) -> Result<CUtensorMap> {
    let strides = [sizes[0], sizes[0] * sizes[1]];
    let boxes =
        Boxes { at: matrix.at(), bytes: bf16::BYTES, sizes: &sizes, strides: &strides, boxes: &boxes };
    boxes.describe("describing a picture to the copy engine")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(capability: (i32, i32), multiprocessors: u32) -> Card {
        let name = "a card".to_owned();
        Card { ordinal: 0, name, uuid: String::new(), capability, multiprocessors, memory: 0, shared: 0 }
    }

    fn shape(side: usize, inner: usize, out: usize, doubled: bool) -> ConvShape {
        ConvShape { height: side, width: side, inner, out, doubled }
    }

    fn name(shape: ConvShape, card: &Card) -> &'static str {
        shape.way(card, false).kernel.name
    }

    #[test]
    fn tiles_fit_the_picture_and_the_card() {
        let (h200, ampere) = (card((9, 0), 132), card((8, 0), 108));
        assert_eq!(name(shape(1024, 128, 128, false), &h200), "conv_sm90_256");
        assert_eq!(name(shape(128, 512, 512, false), &h200), "conv_sm90_256");
        assert_eq!(name(shape(64, 512, 512, false), &h200), "conv_sm90_128", "128 tiles instead of 64");
        assert_eq!(name(shape(512, 256, 256, true), &h200), "conv_sm90_doubled_256");
        assert_eq!(name(shape(128, 16, 512, false), &h200), "conv_sm80_128x128", "16 of 64 channels");
        assert_eq!(name(shape(128, 512, 512, false), &ampere), "conv_sm80_128x128");
        assert_eq!(name(shape(64, 64, 64, false), &ampere), "conv_sm80_64x32");
        assert_eq!(name(shape(128, 32, 32, false), &h200), "conv_sm80_64x32");
        assert!(shape(1024, 128, 128, false).way(&h200, true).rows.is_none());
    }

    #[test]
    fn launches_are_what_the_kernels_ask_for() {
        let way = shape(130, 512, 512, true).way(&card((9, 0), 132), false);
        assert_eq!((way.grid.blocks, way.grid.threads), ([132, 1, 1], [384, 1]));
        assert_eq!(way.kernel.shared, 1280 + 3 * 17 * 2048 + 6 * 16384);
        let way = shape(130, 512, 200, true).every(128, 128);
        assert_eq!((way.grid.blocks, way.kernel.shared), ([133 * 2, 1, 4], 49152));
    }
}
