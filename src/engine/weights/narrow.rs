//! Weights in bf16, whatever they are stored as: what a card keeps and quantises.

use half::{bf16, f16};

use super::dtype::Dtype;
use super::stored::Piece;

/// Values that are in fp32 at a time.
const WIDE: usize = 4096;

/// Values of a piece from number `first` on, in bf16, as many as `to` has room for: fp32, fp16 and what quantised ones
/// stand for are rounded, fp8 without a scale is exact.
pub fn narrow(piece: &Piece<'_>, dtype: Dtype, first: usize, to: &mut [u8]) {
    let to = to.as_chunks_mut().0;
    match (&piece.scale, dtype) {
        (None, _) => unscaled(piece, dtype, first, to),
        (Some(scale), Dtype::F8E4M3 | Dtype::F8E5M2 | Dtype::BF16 | Dtype::F16) => {
            scale.each_run(first, to, |factor, before, to| {
                plain(piece.bytes, dtype, first + before, to, |value| bf16::from_f32(value * factor));
            });
        }
        (Some(_), _) => by_widening(piece, dtype, first, to),
    }
}

/// Nothing is multiplied: a NaN stays the NaN it was.
fn unscaled(piece: &Piece<'_>, dtype: Dtype, first: usize, to: &mut [[u8; 2]]) {
    match dtype {
        Dtype::F8E4M3 | Dtype::F8E5M2 | Dtype::BF16 | Dtype::F16 => {
            plain(piece.bytes, dtype, first, to, bf16::from_f32);
        }
        _ => by_widening(piece, dtype, first, to),
    }
}

/// Types of one byte and of two.
fn plain(bytes: &[u8], dtype: Dtype, first: usize, to: &mut [[u8; 2]], made: impl Fn(f32) -> bf16) {
    let pairs = || &bytes.as_chunks().0[first..];
    match dtype {
        Dtype::F8E4M3 => by_table(&bytes[first..], to, |bits| made(float8::F8E4M3::from_bits(bits).to_f32())),
        Dtype::F8E5M2 => by_table(&bytes[first..], to, |bits| made(f16::from_le_bytes([0, bits]).to_f32())),
        Dtype::BF16 => by_pairs(pairs(), to, |bytes| made(bf16::from_le_bytes(bytes).to_f32())),
        _ => by_pairs(pairs(), to, |bytes| made(f16::from_le_bytes(bytes).to_f32())),
    }
}

fn by_table(from: &[u8], to: &mut [[u8; 2]], value: impl Fn(u8) -> bf16) {
    let table: [[u8; 2]; 256] = std::array::from_fn(|bits| value(bits as u8).to_le_bytes());
    to.iter_mut().zip(from).for_each(|(to, &bits)| *to = table[usize::from(bits)]);
}

fn by_pairs(from: &[[u8; 2]], to: &mut [[u8; 2]], value: impl Fn([u8; 2]) -> bf16) {
    to.iter_mut().zip(from).for_each(|(to, &bytes)| *to = value(bytes).to_le_bytes());
}

fn by_widening(piece: &Piece<'_>, dtype: Dtype, first: usize, to: &mut [[u8; 2]]) {
    let mut wide = [0.0; WIDE];
    for (part, to) in to.chunks_mut(WIDE).enumerate() {
        let wide = &mut wide[..to.len()];
        piece.widen(dtype, first + part * WIDE, wide);
        to.iter_mut().zip(wide).for_each(|(to, value)| *to = bf16::from_f32(*value).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::weights::Scale;

    fn of(bytes: &[u8], scale: Option<Scale>, dtype: Dtype, first: usize) -> Vec<u8> {
        let piece = Piece { bytes, scale, magnitudes: None };
        let mut to = vec![0; (piece.values(dtype) - first) * size_of::<bf16>()];
        narrow(&piece, dtype, first, &mut to);
        to
    }

    fn bf16s(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
    }

    #[test]
    fn scales_are_multiplied_in() {
        let fp8 = [0x38, 0xc0]; // 1 and -2
        assert_eq!(of(&fp8, Some(Scale::One(0.25)), Dtype::F8E4M3, 0), bf16s(&[0.25, -0.5]));
        assert_eq!(of(&fp8, None, Dtype::F8E4M3, 0), bf16s(&[1.0, -2.0]));
        assert_eq!(of(&bf16s(&[3.0, 5.0]), Some(Scale::One(0.5)), Dtype::BF16, 0), bf16s(&[1.5, 2.5]));
    }

    #[test]
    fn every_row_has_its_own_scale_in_every_type() {
        let (columns, factors) = (3, [2.0, 0.5, 4.0]);
        let scale = Some(Scale::Rows { factors: factors.into(), columns });
        let values = [1.0, -2.0, 0.5, 3.0, 1.5, -1.0, 2.0, 0.25, 6.0];
        let scaled: Vec<f32> =
            values.iter().enumerate().map(|(at, value)| value * factors[at / columns]).collect();
        let fp8: Vec<u8> = values.iter().map(|value| float8::F8E4M3::from_f32(*value).to_bits()).collect();
        let fp16: Vec<u8> = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        let fp32: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        for first in [0, 2, 3, 7] {
            for (bytes, dtype) in [
                (&fp8, Dtype::F8E4M3),
                (&bf16s(&values), Dtype::BF16),
                (&fp16, Dtype::F16),
                (&fp32, Dtype::F32),
            ] {
                assert_eq!(
                    of(bytes, scale.clone(), dtype, first),
                    bf16s(&scaled[first..]),
                    "{dtype}, {first}"
                );
            }
        }
    }

    #[test]
    fn quantised_values_are_rounded_from_what_they_stand_for() {
        // A scale of a third, then 3, -1, 0, …
        let mut bytes = f16::from_f32(1.0 / 3.0).to_le_bytes().to_vec();
        bytes.extend([3, 255].into_iter().chain([0; 30]));
        let narrow = of(&bytes, None, Dtype::Q8_0, 0);
        let scale = f16::from_f32(1.0 / 3.0).to_f32();
        assert_eq!(narrow[..4], bf16s(&[3.0 * scale, -scale]));
        assert_eq!(narrow[4..], [0; 60]);
        assert_eq!(of(&[0x3d, 0xc0], None, Dtype::F8E5M2, 0), bf16s(&[1.25, -2.0]));
    }

    #[test]
    fn values_begin_wherever_they_are_asked_for() {
        let values: Vec<f32> = (0..3 * WIDE + 5).map(|value| (value % 251) as f32).collect();
        let doubled: Vec<f32> = values.iter().map(|value| 2.0 * value).collect();
        let fp8: Vec<u8> = (0..2 * WIDE + 1).map(|value| (value % 127) as u8).collect();
        let of_fp8: Vec<f32> = fp8.iter().map(|bits| float8::F8E4M3::from_bits(*bits).to_f32()).collect();
        let fp16: Vec<u8> = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        let fp32: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        for first in [0, 1, WIDE, WIDE + 7] {
            let twice = of(&bf16s(&values), Some(Scale::One(2.0)), Dtype::BF16, first);
            assert!(twice == bf16s(&doubled[first..]), "{first}");
            assert!(of(&fp8, None, Dtype::F8E4M3, first) == bf16s(&of_fp8[first..]), "{first}");
            assert!(of(&fp16, None, Dtype::F16, first) == bf16s(&values[first..]), "{first}");
            assert!(of(&fp32, None, Dtype::F32, first) == bf16s(&values[first..]), "{first}");
        }
    }

    /// `cargo test --release --lib narrowing_takes -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn narrowing_takes() {
        use rayon::prelude::*;
        const PART: usize = 256 << 10;
        let bytes = vec![0x38; 1 << 30];
        let piece = Piece { bytes: &bytes, scale: None, magnitudes: None };
        let mut to = vec![0; 16 << 20];
        for _ in 0..3 {
            let begun = std::time::Instant::now();
            for first in (0..bytes.len()).step_by(to.len() / 2) {
                let parts = to.par_chunks_mut(PART).enumerate();
                parts.for_each(|(part, to)| narrow(&piece, Dtype::F8E4M3, first + part * PART / 2, to));
            }
            eprintln!("{:.2} GB/s of fp8", bytes.len() as f64 / 1e9 / begun.elapsed().as_secs_f64());
        }
    }
}
