//! Where weights come from: a file, or the random generator of the benchmarks.

use half::bf16;

use crate::engine::cuda::error::Result;
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{F8, Matrix};
use crate::engine::weights::{Stored, Weights};

/// Where weights come from.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'w> {
    /// A file in BFL's names.
    File(&'w Weights),
    /// Normal values of deviation [`DEVIATION`] from this seed and the tensor's name, so that another program can make
    /// the same. Norms' scales are around one.
    Random(u64),
}

/// The deviation of random weights: about that of FLUX.1's own.
pub const DEVIATION: f32 = 0.02;
/// … of random norms' scales about one.
const NORM_DEVIATION: f32 = 0.1;

impl Origin<'_> {
    /// A tensor in bf16, without gaps in `to`.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub fn bf16(&self, gpu: &Gpu, to: Matrix<'_, bf16>, name: &str, shape: &[usize]) -> Result<()> {
        match self {
            Self::File(weights) => gpu.load(to, weights, name, shape),
            Self::Random(seed) if name.ends_with(".scale") => {
                gpu.random(to, seed_of(*seed, name), 1.0, NORM_DEVIATION)
            }
            Self::Random(seed) => gpu.random(to, seed_of(*seed, name), 0.0, DEVIATION),
        }
    }

    /// The scales of the rows of a matrix in fp8, of so many columns.
    ///
    /// # Errors
    /// When it is missing or has another shape.
    pub(super) fn scales(&self, gpu: &Gpu, to: Matrix<'_, f32>, name: &str, columns: usize) -> Result<()> {
        match self {
            Self::File(weights) => {
                let Stored { pieces, .. } = weights.stored(name, &[to.rows(), columns])?;
                gpu.load_scales(to, &pieces, columns)
            }
            Self::Random(_) => gpu.fill(to, 1.0),
        }
    }

    /// A matrix in fp8 and the scales of its rows.
    ///
    /// # Errors
    /// When it is missing, has another shape or another type.
    pub(super) fn fp8(
        &self,
        gpu: &Gpu,
        to: Matrix<'_, F8>,
        scales: Matrix<'_, f32>,
        name: &str,
    ) -> Result<()> {
        match self {
            Self::File(weights) => gpu.load_fp8(to, scales, weights, name),
            Self::Random(seed) => {
                self.scales(gpu, scales, name, to.width())?;
                gpu.random_fp8(to, seed_of(*seed, name), DEVIATION)
            }
        }
    }
}

/// FNV-1a of the name, from the seed on (Fowler, Noll and Vo).
#[must_use]
pub fn seed_of(seed: u64, name: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed;
    name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_fnv1a_and_differ_by_name_and_seed() {
        assert_eq!(seed_of(0, "a"), 0xaf63_dc4c_8601_ec8c);
        assert_ne!(seed_of(0, "img_in.weight"), seed_of(0, "txt_in.weight"));
        assert_ne!(seed_of(0, "a"), seed_of(1, "a"));
    }
}
