//! When an op is worth more than one thread.

use rayon::prelude::*;

/// Below this many elements a pass over memory is over before a second thread has woken.
const WORTH_SPLITTING: usize = 1 << 14;

/// Runs `work(index of first row, rows)` over `out` in pieces of whole rows of `width`, on every
/// thread of the pool when there is enough to do.
pub(super) fn over_rows(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let threads = rayon::current_num_threads();
    if width == 0 || out.is_empty() {
        return;
    }
    let rows = out.len() / width;
    if threads == 1 || out.len() < WORTH_SPLITTING || rows == 1 {
        return work(0, out);
    }
    let piece = rows.div_ceil(threads);
    out.par_chunks_mut(piece * width).enumerate().for_each(|(index, rows)| work(index * piece, rows));
}
