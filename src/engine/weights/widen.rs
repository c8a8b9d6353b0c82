//! Weights as fp32, and matrices on their sides.

use half::{bf16, f16};
use rayon::prelude::*;

use super::dtype::Dtype;

/// Little-endian weights as fp32; `None` for a type that is not a weight's, or is quantised. All five are exact.
pub(super) fn widen(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    if dtype.is_quantised() || !dtype.is_weight() {
        return None;
    }
    let mut out = vec![0.0; bytes.len() / dtype.block().bytes];
    widen_to(bytes, dtype, &mut out);
    Some(out)
}

/// The same into `out`; other types are left alone.
pub(super) fn widen_to(bytes: &[u8], dtype: Dtype, out: &mut [f32]) {
    fn each<const N: usize>(bytes: &[u8], out: &mut [f32], widen: impl Fn([u8; N]) -> f32) {
        out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &bytes)| *out = widen(bytes));
    }
    match dtype {
        Dtype::F8E4M3 => {
            let table: [f32; 256] =
                std::array::from_fn(|bits| float8::F8E4M3::from_bits(bits as u8).to_f32());
            each(bytes, out, |[bits]| table[usize::from(bits)]);
        }
        Dtype::F8E5M2 => each(bytes, out, |[bits]| f16::from_le_bytes([0, bits]).to_f32()),
        Dtype::BF16 => each(bytes, out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        Dtype::F16 => each(bytes, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::F32 => each(bytes, out, f32::from_le_bytes),
        _ => {}
    }
}

/// `[rows, columns]` to `[columns, rows]`, in tiles that stay in the cache.
pub(super) fn transpose(from: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 32;
    let mut to = vec![0.0; from.len()];
    to.par_chunks_mut(TILE * rows).enumerate().for_each(|(tile, to)| {
        let first = tile * TILE;
        for start in (0..rows).step_by(TILE) {
            for (column, to) in to.chunks_exact_mut(rows).enumerate() {
                for row in start..(start + TILE).min(rows) {
                    to[row] = from[row * columns + first + column];
                }
            }
        }
    });
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_gives_the_same() {
        let (rows, columns) = (45, 70);
        let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let to = transpose(&from, rows, columns);
        assert_eq!(to[3 * rows + 7], from[7 * columns + 3]);
        assert_eq!(transpose(&to, columns, rows), from);
    }

    #[test]
    fn every_fp8_value_widens_to_what_the_format_says() {
        for bits in 0u8..=255 {
            let (sign, exponent, mantissa) = (bits >> 7, (bits >> 3) & 15, f32::from(bits & 7));
            let wide = widen(&[bits], Dtype::F8E4M3).expect("fp8 is a weight's type")[0];
            if bits & 0x7f == 0x7f {
                assert!(wide.is_nan());
                continue;
            }
            let size = if exponent == 0 {
                mantissa / 8.0 * 2f32.powi(-6)
            } else {
                (1.0 + mantissa / 8.0) * 2f32.powi(i32::from(exponent) - 7)
            };
            assert_eq!(wide, if sign == 1 { -size } else { size }, "bits {bits:#010b}");
        }
    }

    #[test]
    fn every_fp8_value_with_five_bits_of_exponent_widens_to_what_the_format_says() {
        for bits in 0u8..=255 {
            let (sign, exponent, mantissa) = (bits >> 7, (bits >> 2) & 31, f32::from(bits & 3));
            let wide = widen(&[bits], Dtype::F8E5M2).expect("fp8 is a weight's type")[0];
            let size = match exponent {
                0 => mantissa / 4.0 * 2f32.powi(-14),
                31 if mantissa == 0.0 => f32::INFINITY,
                31 => {
                    assert!(wide.is_nan());
                    continue;
                }
                _ => (1.0 + mantissa / 4.0) * 2f32.powi(i32::from(exponent) - 15),
            };
            assert_eq!(wide, if sign == 1 { -size } else { size }, "bits {bits:#010b}");
        }
    }
}
