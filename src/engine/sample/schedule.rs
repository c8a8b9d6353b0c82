//! Which noise levels a picture passes through.
//!
//! BFL's `get_schedule`, as diffusers' `FlowMatchEulerDiscreteScheduler` runs it: N levels from 1 to
//! 1/N, shifted towards 1 by exp(µ), then 0. µ is linear in the number of image tokens; schnell is
//! not shifted.

/// Image tokens and µ at the two ends of BFL's line (256² and 1024² pixels).
const LOW: (f64, f64) = (256.0, 0.5);
const HIGH: (f64, f64) = (4096.0, 1.15);

/// How a model's schedule depends on the size of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// dev and its fine-tunes: by the number of image tokens.
    BySize,
    /// schnell: not at all.
    None,
}

/// µ for a picture of this many tokens; below 256 and above 4096 the line goes on.
#[must_use]
pub fn mu(image_tokens: usize) -> f64 {
    let slope = (HIGH.1 - LOW.1) / (HIGH.0 - LOW.0);
    LOW.1 + slope * (image_tokens as f64 - LOW.0)
}

/// `steps + 1` levels, from 1 down to 0.
#[must_use]
pub fn sigmas(steps: u32, image_tokens: usize, shift: Shift) -> Vec<f32> {
    let scale = match shift {
        Shift::BySize => mu(image_tokens).exp(),
        Shift::None => 1.0,
    };
    let levels = (0..steps).map(|step| {
        let level = f64::from(steps - step) / f64::from(steps);
        (scale / (scale + 1.0 / level - 1.0)) as f32
    });
    levels.chain([0.0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mu_is_bfls_at_the_sizes_people_draw() {
        for (tokens, expected) in [(1024, 0.63), (1536, 0.717), (2304, 0.847), (4096, 1.15)] {
            assert!((mu(tokens) - expected).abs() < 5e-4, "{tokens}: {}", mu(tokens));
        }
    }

    #[test]
    fn levels_fall_from_one_to_zero() {
        for shift in [Shift::BySize, Shift::None] {
            for steps in [1, 4, 20, 200] {
                let sigmas = sigmas(steps, 64, shift);
                assert_eq!((sigmas.len(), sigmas[0], sigmas[steps as usize]), (steps as usize + 1, 1.0, 0.0));
                assert!(sigmas.windows(2).all(|pair| pair[0] > pair[1]));
            }
        }
    }
}
