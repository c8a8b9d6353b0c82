//! Rows of bf16 to fp8 e4m3 with one scale each: the arithmetic of `quantize_rows_fp8` in `cuda/kernels/elementwise.cu`,
//! every operation a fp32 one in its order, so that the bits are a card's.

use half::bf16;

/// The largest value of e4m3.
const LARGEST: f32 = 448.0;
/// Under this (2⁻⁶) the steps of e4m3 are 2⁻⁹.
const NORMAL: f32 = 0.015_625;
/// A sum of this and a smaller number is a whole number of those steps, nearest even: they are its last bits.
const STEPS: f32 = 16_384.0;

/// Rounds a row of little-endian bf16 into as many bytes. Gives its scale: what those are to be multiplied by.
///
/// # Errors
/// The largest magnitude, where it has no scale: NaN, infinite, or so small that its inverse is.
pub(in crate::engine) fn row(values: &[u8], out: &mut [u8]) -> Result<f32, f32> {
    let values: &[[u8; 2]] = values.as_chunks().0;
    // Magnitudes are in the order of their bits, NaN behind infinity.
    let top = values.iter().fold(0, |top, value| top.max(u16::from_le_bytes(*value) & 0x7fff));
    let top = bf16::from_bits(top).to_f32();
    let factor = if top > 0.0 { LARGEST / top } else { 0.0 };
    if !top.is_finite() || !factor.is_finite() {
        return Err(top);
    }
    out.iter_mut()
        .zip(values)
        .for_each(|(out, value)| *out = e4m3(bf16::from_le_bytes(*value).to_f32() * factor));
    Ok(top / LARGEST)
}

/// The nearest e4m3, of two the even one, beyond 448 that.
fn e4m3(x: f32) -> u8 {
    let magnitude = x.abs().min(LARGEST);
    let bits = magnitude.to_bits();
    // 20 bits of mantissa go; the exponents' biases are 127 and 7.
    let normal = ((bits + 0x7_ffff + (bits >> 20 & 1)) >> 20).wrapping_sub(120 << 3);
    let tiny = (magnitude + STEPS).to_bits() & 15;
    let sign = x.to_bits() >> 24 & 0x80;
    (sign | if magnitude < NORMAL { tiny } else { normal }) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every finite e4m3 that is not negative, by its bits, as the format says.
    fn table() -> Vec<f64> {
        let value = |bits: i32| match (bits >> 3, f64::from(bits & 7)) {
            (0, mantissa) => mantissa / 8.0 * 2f64.powi(-6),
            (exponent, mantissa) => (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7),
        };
        (0..127).map(value).collect()
    }

    /// By looking at all of them.
    fn nearest(x: f32, table: &[f64]) -> u8 {
        let magnitude = f64::from(x).abs().min(448.0);
        let distance = |bits: &usize| (table[*bits] - magnitude).abs();
        let least = (0..table.len()).map(|bits| distance(&bits)).fold(f64::INFINITY, f64::min);
        let mut near = (0..table.len()).filter(|bits| distance(bits) == least);
        let first = near.next().expect("one is the nearest");
        let bits = if first % 2 == 0 { first } else { near.next().unwrap_or(first) };
        bits as u8 | if x.is_sign_negative() { 0x80 } else { 0 }
    }

    #[test]
    fn every_bf16_rounds_to_the_nearest_e4m3() {
        let table = table();
        for bits in 0..=u16::MAX {
            let x = bf16::from_bits(bits).to_f32();
            if x.is_finite() {
                assert_eq!(e4m3(x), nearest(x, &table), "{x:e}");
            }
        }
    }

    #[test]
    fn ties_and_their_neighbours_round_as_the_format_says() {
        let table = table();
        for pair in table.windows(2) {
            let tie = ((pair[0] + pair[1]) / 2.0) as f32;
            for x in [f32::from_bits(tie.to_bits() - 1), tie, f32::from_bits(tie.to_bits() + 1)] {
                for x in [x, -x] {
                    assert_eq!(e4m3(x), nearest(x, &table), "{x:e}");
                }
            }
        }
        assert_eq!((e4m3(448.000_03), e4m3(-1e9), e4m3(-0.0)), (0x7e, 0xfe, 0x80));
    }

    /// The kernel's own steps, one after the other, with roundings by the table.
    #[test]
    fn a_row_is_rounded_as_the_kernel_rounds_it() {
        let table = table();
        let mut state = 7u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        for size in [1.0, 0.02, 3e-7, 2e30] {
            let values: Vec<bf16> = (0..512).map(|_| bf16::from_f32(size * random())).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let mut out = vec![0; values.len()];
            let scale = row(&bytes, &mut out).expect("it is finite");
            let top = values.iter().map(|value| value.to_f32().abs()).fold(0.0, f32::max);
            assert_eq!(scale.to_bits(), (top / 448.0).to_bits());
            let factor = 448.0 / top;
            for (value, out) in values.iter().zip(out) {
                assert_eq!(out, nearest(value.to_f32() * factor, &table), "{value} of {size}");
            }
        }
    }

    #[test]
    fn rows_of_zeros_stay_so_and_rows_without_a_scale_are_told() {
        let bytes = |values: &[f32]| -> Vec<u8> {
            values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
        };
        let mut out = [1; 2];
        assert_eq!(row(&bytes(&[0.0, -0.0]), &mut out), Ok(0.0));
        assert_eq!(out, [0, 0x80]);
        for (values, largest) in [([1.0, f32::INFINITY], f32::INFINITY), ([1e-39, 0.0], 1e-39)] {
            let told = row(&bytes(&values), &mut out).expect_err("no scale");
            assert_eq!(told, bf16::from_f32(largest).to_f32());
        }
        assert!(row(&bytes(&[f32::NAN, 1.0]), &mut out).expect_err("no number").is_nan());
    }
}
