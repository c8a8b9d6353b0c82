//! Elementwise functions over slices, in the widest SIMD the machine has (chosen at run time).
//!
//! `exp` is the classic range reduction to [-ln 2 / 2, ln 2 / 2] and a polynomial of degree six
//! (coefficients of the Cephes library's `expf`), within 2 ulp of the exact value.

use pulp::Arch;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts, so that the reduction loses nothing.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding and subtracting 1.5·2²³ rounds to a whole number, which then stands in the low bits.
const ROUNDER: f32 = 12_582_912.0;
/// `exp` of anything beyond these is 0 or infinite in `f32`; clamping keeps the exponent in range.
const EXP_LOW: f32 = -87.336_54;
const EXP_HIGH: f32 = 88.376_26;

/// eˣ, branch-free so that a loop over it becomes SIMD.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(EXP_LOW, EXP_HIGH);
    let shifted = x * LOG2_E + ROUNDER;
    let whole = shifted - ROUNDER;
    let rest = x - whole * LN2_HIGH - whole * LN2_LOW;
    let mut poly = 1.987_569_1e-4;
    poly = poly * rest + 1.398_199_9e-3;
    poly = poly * rest + 8.333_452e-3;
    poly = poly * rest + 4.166_579_6e-2;
    poly = poly * rest + 1.666_666_5e-1;
    poly = poly * rest + 0.5;
    let fraction = poly * rest * rest + rest + 1.0;
    // The whole number n sits in the low mantissa bits of `shifted`; 2ⁿ has n + 127 as exponent.
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32).wrapping_add(127);
    fraction * f32::from_bits((exponent as u32) << 23)
}

/// x · σ(x), the activation of the VAE and of the modulation.
#[inline(always)]
#[must_use]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// GELU by the tanh approximation: x · σ(2·√(2/π)·(x + 0.044715·x³)).
#[inline(always)]
#[must_use]
pub fn gelu_tanh(x: f32) -> f32 {
    const TWICE_ROOT_2_OVER_PI: f32 = 1.595_769;
    x / (1.0 + exp(-TWICE_ROOT_2_OVER_PI * (x + 0.044_715 * x * x * x)))
}

/// `out[i] = gelu_tanh(x[i])`.
pub fn gelu_into(out: &mut [f32], x: &[f32]) {
    Arch::new().dispatch(|| {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = gelu_tanh(x);
        }
    });
}

/// `x[i] = silu(x[i])`.
pub fn silu_in_place(x: &mut [f32]) {
    Arch::new().dispatch(|| {
        for x in x.iter_mut() {
            *x = silu(*x);
        }
    });
}

/// Makes `row` the softmax of `scale · row`.
pub fn softmax_in_place(row: &mut [f32], scale: f32) {
    Arch::new().dispatch(|| {
        let largest = lanes(row, f32::NEG_INFINITY, f32::max);
        for x in row.iter_mut() {
            *x = exp(scale * (*x - largest));
        }
        let inverse = 1.0 / lanes(row, 0.0, |a, b| a + b);
        for x in row.iter_mut() {
            *x *= inverse;
        }
    });
}

/// Mean and variance (biased) of a row, in two passes.
#[must_use]
pub fn mean_and_variance(row: &[f32]) -> (f32, f32) {
    let count = row.len() as f32;
    Arch::new().dispatch(|| {
        let mean = lanes(row, 0.0, |a, b| a + b) / count;
        let mut sums = [0.0f32; LANES];
        let chunks = row.chunks_exact(LANES);
        let rest: f32 = chunks.remainder().iter().map(|x| (x - mean) * (x - mean)).sum();
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += (x - mean) * (x - mean);
            }
        }
        (mean, (sums.iter().sum::<f32>() + rest) / count)
    })
}

/// The mean of the squares of a row.
#[must_use]
pub fn mean_square(row: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|x| x * x).sum();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x * x;
        }
    }
    (sums.iter().sum::<f32>() + rest) / row.len() as f32
}

/// Independent partial results, so that a reduction is not one long chain of additions.
const LANES: usize = 16;

#[inline(always)]
fn lanes(row: &[f32], start: f32, combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut partial = [start; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter().fold(start, |a, &b| combine(a, b));
    for chunk in chunks {
        for (partial, &x) in partial.iter_mut().zip(chunk) {
            *partial = combine(*partial, x);
        }
    }
    partial.iter().fold(rest, |a, &b| combine(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulp_over_its_whole_range() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}) is off by {error:e}");
        }
    }

    #[test]
    fn activations_match_their_formulas() {
        for i in -2000..2000 {
            let x = i as f32 * 0.01;
            let wide = f64::from(x);
            let tanh = (0.797_884_560_802_865_4 * (wide + 0.044_715 * wide.powi(3))).tanh();
            assert!((f64::from(gelu_tanh(x)) - 0.5 * wide * (1.0 + tanh)).abs() < 2e-6);
            assert!((f64::from(silu(x)) - wide / (1.0 + (-wide).exp())).abs() < 2e-6);
        }
    }

    #[test]
    fn softmax_survives_large_scores_and_odd_lengths() {
        for length in [1, 3, 16, 37] {
            let mut row: Vec<f32> = (0..length).map(|i| 1e4 + i as f32).collect();
            softmax_in_place(&mut row, 1.0);
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(row.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
