//! ggml's blocks of quantised values as fp32. Every operation is a fp32 one in ggml's order, so that the values are its
//! reference's bit for bit; `kernels/dequantize.cu` is the same on a card.
//!
//! In each function, `d` and `m` are the block's scale and least value, `q` the small integers.

use half::f16;

use super::dtype::Dtype;

/// Widens whole blocks of one of ggml's types; others are left alone.
pub(super) fn widen_blocks(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::Q8_0 => each(bytes, out, q8_0),
        Dtype::Q4_0 => each(bytes, out, q4_0),
        Dtype::Q4_1 => each(bytes, out, q4_1),
        Dtype::Q5_0 => each(bytes, out, q5_0),
        Dtype::Q5_1 => each(bytes, out, q5_1),
        Dtype::Q2K => each(bytes, out, q2_k),
        Dtype::Q3K => each(bytes, out, q3_k),
        Dtype::Q4K => each(bytes, out, q4_k),
        Dtype::Q5K => each(bytes, out, q5_k),
        Dtype::Q6K => each(bytes, out, q6_k),
        _ => {}
    }
}

fn each<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    widen: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) {
    let (blocks, outs) = (bytes.as_chunks().0, out.as_chunks_mut().0);
    blocks.iter().zip(outs).for_each(|(block, out)| widen(block, out));
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The lower halves of 16 bytes are the first 16 values, the upper halves the other 16.
fn nibble(packed: &[u8], i: usize) -> u8 {
    packed[i % 16] >> (4 * (i / 16)) & 15
}

/// 16 bytes of lower four bits, and the fifth bit of each value.
fn five_bits(packed: &[u8], high: &[u8], i: usize) -> u8 {
    nibble(packed, i) | (high[i / 8] >> (i % 8) & 1) << 4
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for (out, q) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(*q as i8) * d;
    }
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let (d, packed) = (half(block, 0), &block[2..]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(nibble(packed, i) as i8 - 8);
    }
}

fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m, packed) = (half(block, 0), half(block, 2), &block[4..]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(nibble(packed, i)) + m;
    }
}

fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (d, high, packed) = (half(block, 0), &block[2..6], &block[6..]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(five_bits(packed, high, i) as i8 - 16);
    }
}

fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m, high, packed) = (half(block, 0), half(block, 2), &block[4..8], &block[8..]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(five_bits(packed, high, i)) + m;
    }
}

/// 16 bytes of scale and least value for 16 values each, 64 bytes of which each holds 2 bits of four values 32 apart.
fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scales, packed, d, m) = (&block[..16], &block[16..80], half(block, 80), half(block, 82));
    for (group, (out, scale)) in out.as_chunks_mut::<16>().0.iter_mut().zip(scales).enumerate() {
        let (d, m) = (d * f32::from(scale & 15), m * f32::from(scale >> 4));
        let (from, shift) = (group / 8 * 32 + group % 2 * 16, group % 8 / 2 * 2);
        for (out, q) in out.iter_mut().zip(&packed[from..]) {
            *out = d * f32::from(q >> shift & 3) - m;
        }
    }
}

/// 32 bytes with the third bit of 256 values, 64 bytes with the lower two as in [`q2_k`], 12 bytes of 16 scales.
fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let (high, packed, scales, d) = (&block[..32], &block[32..96], &block[96..108], half(block, 108));
    for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low = scales[group % 8] >> (group / 8 * 4) & 15;
        let scale = low | (scales[8 + group % 4] >> (group / 4 * 2) & 3) << 4;
        let d = d * f32::from(scale as i8 - 32);
        let (from, shift) = (group / 8 * 32 + group % 2 * 16, group % 8 / 2 * 2);
        let high = high[group % 2 * 16..].iter().map(|high| high >> (group / 2) & 1);
        for ((out, q), high) in out.iter_mut().zip(&packed[from..]).zip(high) {
            *out = d * f32::from((q >> shift & 3) as i8 - 4 * (1 - high as i8));
        }
    }
}

/// Scale and least value of 32 values, 6 bits each, out of 12 bytes for eight of them: the first four have theirs in
/// the lower bits of the first eight bytes, the others in the last four bytes and the bits that are left.
fn scale_and_least(scales: &[u8], group: usize) -> (f32, f32) {
    let (scale, least) = if group < 4 {
        (scales[group] & 63, scales[group + 4] & 63)
    } else {
        let both = scales[group + 4];
        (both & 15 | (scales[group - 4] >> 6) << 4, both >> 4 | (scales[group] >> 6) << 4)
    };
    (f32::from(scale), f32::from(least))
}

/// Two fp16 numbers, 12 bytes of scales, 128 bytes of which each holds 4 bits of two values 32 apart.
fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, m, scales, packed) = (half(block, 0), half(block, 2), &block[4..16], &block[16..]);
    for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, least) = scale_and_least(scales, group);
        let (d, m) = (d * scale, m * least);
        for (out, q) in out.iter_mut().zip(&packed[group / 2 * 32..]) {
            *out = d * f32::from(q >> (group % 2 * 4) & 15) - m;
        }
    }
}

/// As [`q4_k`], with 32 bytes before the 128: bit `group` of each is the fifth of a value.
fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, m, scales) = (half(block, 0), half(block, 2), &block[4..16]);
    let (high, packed) = (&block[16..48], &block[48..]);
    for (group, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, least) = scale_and_least(scales, group);
        let (d, m) = (d * scale, m * least);
        for ((out, q), high) in out.iter_mut().zip(&packed[group / 2 * 32..]).zip(high) {
            let q = q >> (group % 2 * 4) & 15 | (high >> group & 1) << 4;
            *out = d * f32::from(q) - m;
        }
    }
}

/// 128 bytes with 4 bits of two values 64 apart, 64 bytes with 2 bits of four values 32 apart, 16 scales.
fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (packed, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], half(block, 208));
    for (group, (out, scale)) in out.as_chunks_mut::<16>().0.iter_mut().zip(scales).enumerate() {
        let d = d * f32::from(*scale as i8);
        // 128 values have 64 bytes of lower bits and 32 of upper ones.
        let (part, within) = (group / 8, group % 8);
        let packed = &packed[part * 64 + within % 4 * 16..];
        let high = &high[part * 32 + within % 2 * 16..];
        for ((out, q), high) in out.iter_mut().zip(packed).zip(high) {
            let q = q >> (within / 4 * 4) & 15 | (high >> (within / 2 * 2) & 3) << 4;
            *out = d * f32::from(q as i8 - 32);
        }
    }
}
