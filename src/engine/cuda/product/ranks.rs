//! A layer in fp8 and what LoRAs add to it in one kernel, on Hopper: `kernels/product_sm90.cu`.

use std::sync::atomic::Ordering;

use half::bf16;

use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::{Gpu, Grid, Kernel, Module, launch};
use crate::engine::cuda::memory::{Element, F8, Matrix};
use crate::engine::cuda::tensor_map::Boxes;

/// Rows and columns of a tile of the kernel. Where another B begins, columns are a multiple of this.
const TILE: (usize, usize) = (128, 192);
/// Blocks of a cluster, which have rows of tiles below each other.
const BLOCKS: usize = 2;
/// Columns of x that a stage holds, and stages.
const STAGE: (usize, usize) = (128, 4);
/// Ranks that are multiplied at a time.
const RANKS: usize = 16;
/// Scales and bias of a tile's columns, scales of its rows: bytes.
const FACTORS: usize = TILE.1 * 6 + TILE.0 * 4;
/// Of a block: stages, results, ranks, the factors of two tiles, barriers, and what is lost to alignment.
const SHARED: usize = STAGE.1 * (TILE.0 + TILE.1) * STAGE.0
    + TILE.0 * TILE.1 * bf16::BYTES
    + (TILE.0 + TILE.1) * RANKS * bf16::BYTES
    + 2 * FACTORS
    + 13 * 8
    + 1024;

/// Of how many LoRAs' own rows a layer's B may be made.
pub const PARTS: usize = 4;

/// B (A x) of all LoRAs of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Ranks<'a> {
    /// A x, `[M, all ranks]`.
    pub small: Matrix<'a, bf16>,
    /// All B below each other, `[N, ranks of one]`.
    pub up: Matrix<'a, bf16>,
    /// Of each B: the row after its last, and where its ranks begin in `small`. [`PARTS`] at most.
    pub parts: &'a [(usize, usize)],
}

/// As the kernel has it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Side {
    ranks: i32,
    ends: [i32; PARTS],
    firsts: [i32; PARTS],
}

impl Gpu {
    /// Whether [`Gpu::product_with_ranks`] is faster than the library's product of so many rows, columns and inner columns
    /// that adds itself to B (A x).
    ///
    /// The kernel is as fast as the library's where its tiles fill the card (`benches/PERFORMANCE.md`), and slower by
    /// what they leave empty in their last round. The library reads and writes `out` once more: 4 M N bytes at 4 TB/s
    /// beside 2 M N K at 1.3 PFLOP/s.
    #[must_use]
    pub fn ranks_are_worth_it(&self, rows: usize, columns: usize, inner: usize) -> bool {
        let always = self.products().always_with_ranks.load(Ordering::Relaxed);
        let multiprocessors = self.card().multiprocessors as usize;
        self.card().is_hopper() && (always || worth_it(multiprocessors, rows, columns, inner))
    }

    /// `out = (x · x_scales) · (weight · weight_scales)ᵀ + B (A x) + bias` on fp8 tensor cores, on Hopper: x
    /// `[M, K]` with scales `[M, 1]`, weight `[N, K]` with scales `[N, 1]`, bias `[1, N]`. N and K are multiples of
    /// [`super::GRAIN`]; the scales of x lie on a multiple of 16 bytes, and are read 16 at a time: up to 12 behind the last.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn product_with_ranks(
        &self,
        out: Matrix<'_, bf16>,
        (x, x_scales): (Matrix<'_, F8>, Matrix<'_, f32>),
        (weight, weight_scales): (Matrix<'_, F8>, Matrix<'_, f32>),
        bias: Matrix<'_, bf16>,
        ranks: Ranks<'_>,
    ) -> Result<()> {
        let (rows, inner, columns) = (x.rows(), x.width(), weight.rows());
        out.expect("a layer's output", rows, columns)?;
        weight.expect("the weight", columns, inner)?;
        x_scales.expect("the scales of x", rows, 1)?;
        weight_scales.expect("the scales of the weight", columns, 1)?;
        bias.expect("the bias", 1, columns)?;
        ranks.up.expect("B", columns, ranks.up.width())?;
        ranks.small.expect("A x", rows, ranks.small.width())?;
        let side = ranks.side(columns)?;
        let factors = [x_scales.at(), weight_scales.at(), bias.at()];
        let fits = inner.is_multiple_of(super::GRAIN) && columns.is_multiple_of(super::GRAIN);
        if rows == 0 || !fits || factors.iter().any(|at| !at.is_multiple_of(16)) {
            return Err(CudaError::Shape(format!(
                "{rows} rows of {inner} against {columns}: multiples of {} on 16 bytes are wanted",
                super::GRAIN
            )));
        }
        let x = map(x, (STAGE.0, TILE.0))?;
        let weight = map(weight, (STAGE.0, TILE.1 / BLOCKS))?;
        let small = map(ranks.small, (RANKS, TILE.0))?;
        let up = map(ranks.up, (RANKS, TILE.1 / BLOCKS))?;
        let result = map(out, (STAGE.0 / bf16::BYTES, TILE.0 / 2))?;
        let multiprocessors = self.card().multiprocessors as usize / BLOCKS * BLOCKS;
        let blocks = (BLOCKS * pairs(rows, columns)).min(multiprocessors);
        let kernel = Kernel { module: Module::ProductHopper, name: "product_sm90", shared: SHARED as u32 };
        let [x_scales, weight_scales, bias] = factors;
        let (rows, columns, inner) = (rows as i32, columns as i32, inner as i32);
        let grid = Grid::line(blocks, 384);
        // SAFETY: the arguments are those of the kernel's declaration; extents were checked above.
        unsafe {
            launch!(
                self,
                kernel,
                grid,
                x,
                weight,
                small,
                up,
                result,
                x_scales,
                weight_scales,
                bias,
                rows,
                columns,
                inner,
                side
            )
        }
    }
}

impl Ranks<'_> {
    fn side(&self, columns: usize) -> Result<Side> {
        let wrong = || {
            CudaError::Shape(format!(
                "B of {columns} rows in parts {:?}: {PARTS} at most that end on multiples of {}",
                self.parts, TILE.1
            ))
        };
        let Some((&(end, first), others)) = self.parts.split_last() else { return Err(wrong()) };
        let inside = |(_, first): &(usize, usize)| first + self.up.width() <= self.small.width();
        let on_tiles = others.iter().all(|(end, _)| end.is_multiple_of(TILE.1));
        if others.len() >= PARTS || end != columns || !on_tiles || !self.parts.iter().all(inside) {
            return Err(wrong());
        }
        let mut side = Side {
            ranks: self.up.width() as i32,
            ends: [columns as i32; PARTS],
            firsts: [first as i32; PARTS],
        };
        for (index, (end, first)) in others.iter().enumerate() {
            (side.ends[index], side.firsts[index]) = (*end as i32, *first as i32);
        }
        Ok(side)
    }
}

/// Whether parts that end there can be told to the kernel.
pub fn are_parts(ends: &[usize]) -> bool {
    let inner = ends.len().saturating_sub(1);
    !ends.is_empty() && ends.len() <= PARTS && ends[..inner].iter().all(|end| end.is_multiple_of(TILE.1))
}

fn pairs(rows: usize, columns: usize) -> usize {
    rows.div_ceil(BLOCKS * TILE.0) * columns.div_ceil(TILE.1)
}

fn worth_it(multiprocessors: usize, rows: usize, columns: usize, inner: usize) -> bool {
    let at_a_time = multiprocessors / BLOCKS;
    // In pairs of tiles: what the card computes, whether it is asked for or not, and what is asked for.
    let computed = (pairs(rows, columns).div_ceil(at_a_time) * at_a_time) as f64;
    let wanted = (rows * columns) as f64 / (BLOCKS * TILE.0 * TILE.1) as f64;
    computed / wanted < 1.03 + 650.0 / inner as f64
}

fn map<E: Element>(
    matrix: Matrix<'_, E>,
    (width, rows): (usize, usize),
) -> Result<cudarc::driver::sys::CUtensorMap> {
    let boxes = Boxes {
        at: matrix.at(),
        bytes: E::BYTES,
        sizes: &[matrix.width(), matrix.rows()],
        strides: &[matrix.stride()],
        boxes: &[width, rows],
    };
    boxes.describe("describing a layer to the copy engine")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worth_it_where_tiles_fill_the_card_or_inner_is_short() {
        // FLUX.1's layers at 1024², on 132 multiprocessors.
        for (rows, columns, inner) in [
            (4608, 21504, 3072),
            (4096, 9216, 3072),
            (4096, 12288, 3072),
            (4096, 3072, 12288),
            (4096, 3072, 3072),
            (4608, 3072, 3072),
        ] {
            assert!(worth_it(132, rows, columns, inner), "{rows} {columns} {inner}");
        }
        // Their last round is more than half empty, and sums are long; or there is hardly a round.
        for (rows, columns, inner) in [(4608, 3072, 15360), (2304, 3072, 12288), (512, 3072, 3072)] {
            assert!(!worth_it(132, rows, columns, inner), "{rows} {columns} {inner}");
        }
    }

    #[test]
    fn shared_memory_is_what_the_kernel_asks_for_and_a_block_may_have() {
        assert_eq!(SHARED, 1024 + 4 * 40960 + 49152 + 10240 + 2 * 1664 + 104);
        const { assert!(SHARED <= 232_448) };
    }

    #[test]
    fn parts_end_on_tiles() {
        assert!(are_parts(&[1000]));
        assert!(are_parts(&[3072, 6144, 9216, 21504]));
        assert!(!are_parts(&[3000, 6144]));
        assert!(!are_parts(&[192, 384, 576, 768, 960]) && !are_parts(&[]));
    }
}
