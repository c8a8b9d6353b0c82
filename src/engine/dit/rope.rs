//! Rotary positions: each token's cos and sin for every pair of a head's channels.
//!
//! BFL's `EmbedND`. Image token (r, c) stands at (0, r, c), every text token at (0, 0, 0). Angles
//! are computed in fp64 and kept in fp32: bf16 positions lose accuracy at large sizes.

use candle_core::{Device, Result, Tensor};

use super::config::{Config, THETA};

/// [`angles`] as a tensor, `[text + rows · columns, head_dim]`.
///
/// # Errors
/// Only if the tensor cannot be made.
pub fn rotations(config: &Config, text: usize, grid: (usize, usize)) -> Result<Tensor> {
    let shape = (text + grid.0 * grid.1, config.head_dim());
    Tensor::from_vec(angles(config, text, grid), shape, &Device::Cpu)
}

/// For each token, text first: cos and sin in turn for each pair of a head's channels.
#[must_use]
pub fn angles(config: &Config, text: usize, (rows, columns): (usize, usize)) -> Vec<f32> {
    let frequencies: Vec<(usize, f64)> = config
        .axes()
        .iter()
        .enumerate()
        .flat_map(|(axis, &dim)| {
            (0..dim / 2).map(move |pair| (axis, THETA.powf(-2.0 * pair as f64 / dim as f64)))
        })
        .collect();
    let image = (0..rows).flat_map(|row| (0..columns).map(move |column| [0, row, column]));
    let positions = std::iter::repeat_n([0; 3], text).chain(image);
    let mut values = Vec::with_capacity((text + rows * columns) * config.head_dim());
    for position in positions {
        for &(axis, frequency) in &frequencies {
            let angle = position[axis] as f64 * frequency;
            values.extend([angle.cos() as f32, angle.sin() as f32]);
        }
    }
    values
}
