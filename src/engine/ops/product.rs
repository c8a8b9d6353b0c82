//! The matrix product on the CPU: safe, strided, single-threaded; callers split the work.
//!
//! The `gemm` crate on one thread reaches about nine tenths of a core's peak when the right side
//! is stored `[inner, columns]`; its own threading loses more than it gains at these sizes, so
//! work is divided by whoever calls.
#![allow(unsafe_code)] // gemm takes raw pointers; every extent is checked against its slice first

use gemm::Parallelism;
use rayon::prelude::*;

/// A strided view of a matrix: element (r, c) is `data[r · row + c · column]`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// From the first element to the last.
    pub data: &'a [f32],
    /// Elements from one row to the next.
    pub row: usize,
    /// Elements from one column to the next.
    pub column: usize,
}

/// `out = out · keep + alpha · left · right`, where `keep` is 1 or 0.
///
/// `out` is `[rows, columns]` with `out_row` elements from one row to the next; `left` is
/// `[rows, inner]`, `right` is `[inner, columns]`.
///
/// # Panics
/// When a view is shorter than its extent: a bug of the caller.
#[allow(clippy::too_many_arguments)]
pub fn multiply(
    (rows, inner, columns): (usize, usize, usize),
    out: &mut [f32],
    out_row: usize,
    keep: bool,
    left: View<'_>,
    right: View<'_>,
    alpha: f32,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(out_row >= columns && out.len() >= (rows - 1) * out_row + columns, "out is too short");
    if inner == 0 {
        if !keep {
            (0..rows).for_each(|row| out[row * out_row..][..columns].fill(0.0));
        }
        return;
    }
    // SAFETY: the assertion above and those in `raw` bound every element that is touched, and `out`
    // is borrowed exclusively.
    unsafe { raw((rows, inner, columns), out.as_mut_ptr(), out_row, keep, left, right, alpha) }
}

/// [`multiply`] where the caller vouches for `out`.
///
/// # Safety
/// Elements `r · out_row + c` of `out` for r < rows and c < columns are valid, and nobody else uses
/// them meanwhile. `rows`, `columns` and `inner` are not zero.
#[allow(clippy::too_many_arguments)]
unsafe fn raw(
    (rows, inner, columns): (usize, usize, usize),
    out: *mut f32,
    out_row: usize,
    keep: bool,
    left: View<'_>,
    right: View<'_>,
    alpha: f32,
) {
    let reach = |view: View<'_>, r: usize, c: usize| (r - 1) * view.row + (c - 1) * view.column;
    assert!(left.data.len() > reach(left, rows, inner), "left is too short");
    assert!(right.data.len() > reach(right, inner, columns), "right is too short");
    // SAFETY: `out` is the caller's word, the other two were just checked; strides fit `isize`
    // because they lie within slices.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out,
            1,
            out_row as isize,
            keep,
            left.data.as_ptr(),
            left.column as isize,
            left.row as isize,
            right.data.as_ptr(),
            right.column as isize,
            right.row as isize,
            if keep { 1.0 } else { 0.0 },
            alpha,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// The start of a buffer of which threads write disjoint columns.
struct Start(*mut f32);
// SAFETY: `multiply_wide` gives each thread columns that no other thread is given.
unsafe impl Sync for Start {}

impl Start {
    /// A method, so that closures borrow the whole of it and not the bare pointer.
    fn pointer(&self) -> *mut f32 {
        self.0
    }
}

/// `out = out · keep + left · right` into contiguous `out`, its columns divided over the pool's
/// threads; `right` is `[inner, columns]` with contiguous rows.
///
/// # Panics
/// As [`multiply`].
pub fn multiply_wide(
    (rows, inner, columns): (usize, usize, usize),
    out: &mut [f32],
    keep: bool,
    left: View<'_>,
    right: &[f32],
) {
    /// Multiply-adds under which waking another thread costs more than it saves.
    const WORTH_SPLITTING: usize = 1 << 20;
    /// Columns are divided in whole register tiles.
    const GRAIN: usize = 16;
    let whole = View { data: right, row: columns, column: 1 };
    let threads = rayon::current_num_threads();
    if threads == 1 || rows * inner * columns < WORTH_SPLITTING || columns < 2 * GRAIN {
        return multiply((rows, inner, columns), out, columns, keep, left, whole, 1.0);
    }
    assert!(out.len() >= rows * columns, "out is too short");
    assert!(right.len() >= inner * columns, "right is too short");
    let piece = columns.div_ceil(threads).next_multiple_of(GRAIN);
    let start = Start(out.as_mut_ptr());
    (0..columns.div_ceil(piece)).into_par_iter().for_each(|index| {
        let first = index * piece;
        let width = piece.min(columns - first);
        let right = View { data: &right[first..], row: columns, column: 1 };
        // SAFETY: columns [first, first + width) of every row lie within `out` (checked above), and
        // the ranges of different indices are disjoint. None of the three sizes is zero: their
        // product is at least WORTH_SPLITTING.
        unsafe { raw((rows, inner, width), start.pointer().add(first), columns, keep, left, right, 1.0) }
    });
}

/// `out += left · rightᵀ` into contiguous `out`, where `right`, `[columns, inner]`, is not in memory: `widen(first,
/// rows)` writes rows of it from number `first` on, a panel at a time, each on the thread that multiplies by it.
///
/// # Panics
/// As [`multiply`].
pub fn multiply_panels(
    (rows, inner, columns): (usize, usize, usize),
    out: &mut [f32],
    left: View<'_>,
    widen: impl Fn(usize, &mut [f32]) + Sync,
) {
    /// Values of a panel: half a megabyte, so that it is still in a core's cache when it is multiplied by.
    const PANEL: usize = 1 << 17;
    const GRAIN: usize = 16;
    if rows == 0 || inner == 0 || columns == 0 {
        return;
    }
    assert!(out.len() >= rows * columns, "out is too short");
    let fair = columns.div_ceil(rayon::current_num_threads());
    let width = (PANEL / inner).min(fair).max(1).next_multiple_of(GRAIN);
    let start = Start(out.as_mut_ptr());
    (0..columns.div_ceil(width)).into_par_iter().for_each_init(Vec::new, |panel, index| {
        let first = index * width;
        let count = width.min(columns - first);
        panel.resize(count * inner, 0.0);
        widen(first, panel);
        let right = View { data: panel, row: 1, column: inner };
        // SAFETY: columns [first, first + count) of every row lie within `out` (checked above), and the ranges of
        // different indices are disjoint. None of the three sizes is zero.
        unsafe { raw((rows, inner, count), start.pointer().add(first), columns, true, left, right, 1.0) }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    #[test]
    fn products_match_plain_sums_at_odd_sizes_and_on_every_path() {
        for (rows, inner, columns) in [(1, 1, 1), (7, 5, 3), (96, 64, 200), (33, 256, 513), (20, 256, 1536)] {
            let (left, right) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
            let mut out = numbers(rows * columns, 3);
            let before = out.clone();
            let view = View { data: &left, row: inner, column: 1 };
            multiply_wide((rows, inner, columns), &mut out, true, view, &right);
            for r in 0..rows {
                for c in 0..columns {
                    let sum: f64 = (0..inner)
                        .map(|k| f64::from(left[r * inner + k]) * f64::from(right[k * columns + c]))
                        .sum();
                    let error = (f64::from(out[r * columns + c] - before[r * columns + c]) - sum).abs();
                    assert!(error < 1e-4, "{rows}×{inner}×{columns} at ({r}, {c}) is off by {error}");
                }
            }
        }
    }

    #[test]
    fn products_by_panels_are_those_with_the_whole_matrix() {
        for (rows, inner, columns) in [(1, 1, 1), (7, 5, 3), (33, 256, 513), (2, 3072, 100), (3, 0, 4)] {
            let (left, right) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
            let mut out = numbers(rows * columns, 3);
            let mut expected = out.clone();
            let view = View { data: &left, row: inner, column: 1 };
            multiply_panels((rows, inner, columns), &mut out, view, |first, panel| {
                panel.copy_from_slice(&right[first * inner..][..panel.len()]);
            });
            let whole = View { data: &right, row: 1, column: inner };
            multiply((rows, inner, columns), &mut expected, columns, true, view, whole, 1.0);
            let worst = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{rows}×{inner}×{columns}: {worst}");
        }
    }

    #[test]
    #[should_panic(expected = "left is too short")]
    fn a_short_side_is_caught() {
        let left = View { data: &[1.0; 3], row: 2, column: 1 };
        multiply_wide((2, 2, 1), &mut [0.0; 2], false, left, &[1.0; 2]);
    }
}
