//! One safe function for each kernel of `kernels/vae.cu`, `conv_sm80.cu` and `conv_sm90.cu`: shapes are checked here,
//! launches are as the kernels' own comments ask. What they compute and what bounds them is written there.

use cudarc::driver::sys::{
    self, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill, CUtensorMapInterleave,
    CUtensorMapL2promotion, CUtensorMapSwizzle,
};
use half::bf16;

use super::super::card::Card;
use super::super::error::{CudaError, Result, driver};
use super::super::gpu::{Gpu, Grid, Kernel, Module, launch};
use super::super::memory::{Element, Matrix};
use super::structure::GROUPS;

/// Epsilon of the VAE's norms.
const EPSILON: f32 = 1e-6;
/// Output channels that the kernel for few has room for.
const NARROW: usize = 8;
/// Runs of pixels whose sums are kept at most, and floats of each.
const NORM_RUNS: usize = 2048;
const NORM_SUMS: usize = 2 * GROUPS;

const fn vae(name: &'static str) -> Kernel {
    Kernel { module: Module::Vae, name, shared: 0 }
}

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

/// How a group norm is divided: pixels of a block for its sums and for the rest, and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NormRuns {
    sums: usize,
    apply: usize,
    threads: usize,
}

impl NormRuns {
    fn new(pixels: usize, channels: usize) -> Self {
        let octets = channels / 8;
        let lanes = (256 / octets).max(1);
        let sums = pixels.div_ceil(NORM_RUNS).max(8 * lanes);
        Self { sums, apply: 8 * lanes, threads: (octets * lanes).next_multiple_of(32).max(64) }
    }
}

/// Floats that [`Gpu::group_norm`] needs between its launches.
#[must_use]
pub fn norm_scratch(channels: usize) -> usize {
    NORM_RUNS * NORM_SUMS + 2 * channels
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

    /// Group norm over all pixels, with SiLU behind it or not: x and out `[pixels, channels]`, which may be one;
    /// weight and bias `[1, channels]`, scratch `[1, norm_scratch(channels)]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn group_norm(
        &self,
        x: Matrix<'_, bf16>,
        (weight, bias): (Matrix<'_, f32>, Matrix<'_, f32>),
        silu: bool,
        scratch: Matrix<'_, f32>,
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        let (pixels, channels) = (x.rows(), x.width());
        dense("a group norm's input", x, pixels, channels)?;
        dense("a group norm's output", out, pixels, channels)?;
        weight.expect("a group norm's weight", 1, channels)?;
        bias.expect("a group norm's bias", 1, channels)?;
        scratch.expect("a group norm's scratch", 1, norm_scratch(channels))?;
        if !channels.is_multiple_of(GROUPS) || pixels == 0 {
            return Err(CudaError::Shape(format!("a group norm of {channels} channels")));
        }
        let NormRuns { sums, apply, threads } = NormRuns::new(pixels, channels);
        let runs = pixels.div_ceil(sums);
        let partials = scratch.at();
        let affine = scratch.slice_columns(NORM_RUNS * NORM_SUMS, 2 * channels).at();
        let (pixel_count, channel_count) = (pixels as i32, channels as i32);
        let (sums, apply, run_count) = (sums as i32, apply as i32, runs as i32);
        let summing = Kernel { shared: threads as u32 * 64, ..vae("group_norm_sums") };
        let name = if silu { "group_norm_silu" } else { "group_norm_apply" };
        // SAFETY: as in `conv3x3`.
        unsafe {
            launch!(
                self,
                summing,
                Grid::line(runs, threads as u32),
                x.at(),
                partials,
                pixel_count,
                channel_count,
                sums
            )?;
            launch!(
                self,
                vae("group_norm_affine"),
                Grid::line(GROUPS, 128),
                partials,
                run_count,
                weight.at(),
                bias.at(),
                affine,
                pixel_count,
                channel_count,
                EPSILON,
            )?;
            launch!(
                self,
                vae(name),
                Grid::line(pixels.div_ceil(apply as usize), threads as u32),
                x.at(),
                affine,
                out.at(),
                pixel_count,
                channel_count,
                apply,
            )
        }
    }

    /// softmax(scale · scores) of each row, in place.
    ///
    /// # Errors
    /// When rows are not a multiple of four values apart or long.
    pub fn softmax_rows(&self, scores: Matrix<'_, bf16>, scale: f32) -> Result<()> {
        if !scores.width().is_multiple_of(4) || !scores.stride().is_multiple_of(4) || scores.width() == 0 {
            return Err(CudaError::Shape(format!("softmax of {scores:?}: rows are multiples of 4")));
        }
        let (stride, n) = (scores.stride() as i64, scores.width() as i32);
        let scale = scale * std::f32::consts::LOG2_E;
        let threads = scores.width().div_ceil(16).next_multiple_of(32).min(1024);
        let grid = Grid::line(scores.rows(), threads as u32);
        // SAFETY: as in `conv3x3`.
        unsafe {
            launch!(self, vae("softmax_rows_bf16"), grid, scores.at(), stride, scores.at(), stride, n, scale)
        }
    }

    /// x += y, both without gaps.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn add(&self, x: Matrix<'_, bf16>, y: Matrix<'_, bf16>) -> Result<()> {
        let count = x.rows() * x.width();
        dense("a sum", x, x.rows(), x.width())?;
        dense("a sum's other side", y, x.rows(), x.width())?;
        if !count.is_multiple_of(8) {
            return Err(CudaError::Shape(format!("a sum of {count} values: they are a multiple of 8")));
        }
        let grid = Grid::line((count / 8).div_ceil(256), 256);
        let count = count as i64;
        // SAFETY: as in `conv3x3`.
        unsafe { launch!(self, vae("add"), grid, x.at(), y.at(), count) }
    }

    /// `out = tokens · factor + shift`, as pixels: tokens `[grid rows · grid columns, 64]`, out
    /// `[height · width, 16]`, the region whose corner is latent pixel `(top, left)`.
    ///
    /// # Errors
    /// When the region is not within the picture.
    pub fn latent_to_vae(
        &self,
        tokens: Matrix<'_, f32>,
        grid: (usize, usize),
        ((top, left), (height, width)): ((usize, usize), (usize, usize)),
        (factor, shift): (f32, f32),
        out: Matrix<'_, bf16>,
    ) -> Result<()> {
        dense("the latent's tokens", tokens, grid.0 * grid.1, 64)?;
        dense("the latent's pixels", out, height * width, 16)?;
        if top + height > 2 * grid.0 || left + width > 2 * grid.1 {
            return Err(CudaError::Shape(format!(
                "a region of {height}×{width} from ({top}, {left}) of a latent of {}×{} pixels",
                2 * grid.0,
                2 * grid.1
            )));
        }
        let blocks = Grid::line((height * width).div_ceil(128), 128);
        let (columns, top, left) = (grid.1 as i32, top as i32, left as i32);
        let (height, width) = (height as i32, width as i32);
        // SAFETY: as in `conv3x3`.
        unsafe {
            launch!(
                self,
                vae("latent_to_vae_f32"),
                blocks,
                tokens.at(),
                columns,
                top,
                left,
                height,
                width,
                factor,
                shift,
                out.at(),
            )
        }
    }

    /// -1 … 1 to 0 … 255, and `not_finite` to 1 where anything is not; it is left alone otherwise.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn to_rgb8(
        &self,
        x: Matrix<'_, f32>,
        out: Matrix<'_, u8>,
        not_finite: Matrix<'_, u32>,
    ) -> Result<()> {
        let count = x.rows() * x.width();
        dense("the picture", x, x.rows(), x.width())?;
        dense("the picture's bytes", out, x.rows(), x.width())?;
        not_finite.expect("the flag", 1, 1)?;
        if !count.is_multiple_of(4) {
            return Err(CudaError::Shape(format!("a picture of {count} values: they are a multiple of 4")));
        }
        let grid = Grid::line((count / 4).div_ceil(256), 256);
        let count = count as i32;
        // SAFETY: as in `conv3x3`.
        unsafe { launch!(self, vae("to_rgb8"), grid, x.at(), out.at(), not_finite.at(), count) }
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

/// Fails unless the shape is this and there are no gaps.
fn dense<'a, T: Element>(
    what: &str,
    matrix: Matrix<'a, T>,
    rows: usize,
    width: usize,
) -> Result<Matrix<'a, T>> {
    let matrix = matrix.expect(what, rows, width)?;
    if matrix.is_dense() { Ok(matrix) } else { Err(CudaError::Shape(format!("{what} has gaps: {matrix:?}"))) }
}

/// The description by which Hopper's copy engine reads boxes of an array: sizes and boxes in values, innermost first.
fn tensor_map(matrix: Matrix<'_, bf16>, sizes: [usize; 3], boxes: [usize; 3]) -> Result<CUtensorMap> {
    let strides = [sizes[0], sizes[0] * sizes[1]].map(|values| (values * bf16::BYTES) as u64);
    let (sizes, boxes) = (sizes.map(|size| size as u64), boxes.map(|side| side as u32));
    let steps = [1u32; 3];
    let mut map = CUtensorMap { opaque: [0; 16] };
    // SAFETY: reads three sizes, two strides, three box sides and three steps, and writes the map.
    unsafe {
        sys::cuTensorMapEncodeTiled(
            &raw mut map,
            CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            3,
            matrix.at() as usize as *mut std::ffi::c_void,
            sizes.as_ptr(),
            strides.as_ptr(),
            boxes.as_ptr(),
            steps.as_ptr(),
            CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    }
    .result()
    .map_err(driver("describing a picture to the copy engine"))?;
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(capability: (i32, i32), multiprocessors: u32) -> Card {
        let name = "a card".to_owned();
        Card { ordinal: 0, name, capability, multiprocessors, memory: 0, shared: 0 }
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

    #[test]
    fn norms_are_divided_into_whole_pixels() {
        assert_eq!(NormRuns::new(1 << 20, 128), NormRuns { sums: 512, apply: 128, threads: 256 });
        assert_eq!(NormRuns::new(100, 96), NormRuns { sums: 168, apply: 168, threads: 256 });
        assert_eq!(NormRuns::new(100, 32), NormRuns { sums: 512, apply: 512, threads: 256 });
        let runs = NormRuns::new(1 << 22, 128);
        assert!((1usize << 22).div_ceil(runs.sums) <= NORM_RUNS);
    }
}
