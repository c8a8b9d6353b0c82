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
    // Positions repeat: each axis has as many different turns as it is long, and not one for each token.
    let turns = |axis: usize, positions: usize| -> Vec<Vec<f32>> {
        let dim = config.axes()[axis];
        let frequencies: Vec<f64> =
            (0..dim / 2).map(|pair| THETA.powf(-2.0 * pair as f64 / dim as f64)).collect();
        let at = |position: usize| {
            let angles = frequencies.iter().map(|frequency| position as f64 * frequency);
            angles.flat_map(|angle| [angle.cos() as f32, angle.sin() as f32]).collect()
        };
        (0..positions).map(at).collect()
    };
    let [still, by_row, by_column] = [turns(0, 1), turns(1, rows.max(1)), turns(2, columns.max(1))];
    let image = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let positions = std::iter::repeat_n((0, 0), text).chain(image);
    let mut values = Vec::with_capacity((text + rows * columns) * config.head_dim());
    for (row, column) in positions {
        [&still[0], &by_row[row], &by_column[column]].into_iter().for_each(|turn| values.extend(turn));
    }
    values
}
