//! What the changes of a layer come to at their strengths, sorted by how they are added: every engine lays them out as it
//! computes best.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::Layer;
use super::change::{Branch, Change, Gains, Matrix};
use super::side::Dense;

/// Rows of W from a number on, written into what is given.
pub type Rows<'r> = dyn Fn(usize, &mut [f32]) + 'r;

/// All changes of a layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parts<'l> {
    /// Those of low rank.
    pub low: Vec<Low<'l>>,
    /// All other changes of the weight.
    pub dense: Vec<Dense>,
    /// What is added to b, `[out]`; empty for nothing.
    pub bias: Vec<f32>,
    /// What W x is multiplied by to be added to it, row by row: of DoRA. Empty for nothing.
    pub again: Vec<f32>,
    /// The same by columns, for some rows: W (x ∘ factors) is added.
    pub columns: Vec<(Range<usize>, Vec<f32>)>,
}

/// B · A of one branch, and what multiplies it.
#[derive(Debug, Clone, PartialEq)]
pub struct Low<'l> {
    /// The rows of the layer that it changes.
    pub rows: Range<usize>,
    /// `[rank, in]`
    down: Cow<'l, Matrix>,
    /// `[rows, rank]`
    up: Cow<'l, Matrix>,
    factor: f32,
    row_gains: Vec<f32>,
    column_gains: Vec<f32>,
}

impl Low<'_> {
    /// Columns of B.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.down.rows
    }

    /// A row of A, `[in]`, with what multiplies its columns.
    pub fn down_row(&self, rank: usize, out: &mut [f32]) {
        out.copy_from_slice(self.down.row(rank));
        out.iter_mut().zip(&self.column_gains).for_each(|(value, gain)| *value *= gain);
    }

    /// A row of B, `[rank]`, with strength, scale and what multiplies its rows.
    pub fn up_row(&self, row: usize, out: &mut [f32]) {
        let factor = self.factor * self.row_gains.get(row).copied().unwrap_or(1.0);
        out.iter_mut().zip(self.up.row(row)).for_each(|(out, value)| *out = factor * value);
    }
}

impl<'l> Parts<'l> {
    /// Of these changes of a layer of `[out, inner]`, each at its strength. `weight` writes rows of W, which only DoRA
    /// needs.
    #[must_use]
    pub fn of([out, _]: [usize; 2], layers: &[(&'l Layer, f32)], weight: &Rows<'_>) -> Self {
        let mut parts = Self::default();
        for (layer, strength) in layers.iter().filter(|(_, strength)| *strength != 0.0) {
            layer.branches.iter().for_each(|branch| parts.add(out, branch, *strength, weight));
            parts.add_biases(out, layer, *strength);
        }
        parts
    }

    /// Of their biases alone.
    #[must_use]
    pub fn biases_of([out, _]: [usize; 2], layers: &[(&'l Layer, f32)]) -> Self {
        let mut parts = Self::default();
        for (layer, strength) in layers.iter().filter(|(_, strength)| *strength != 0.0) {
            parts.add_biases(out, layer, *strength);
        }
        parts
    }

    fn add_biases(&mut self, out: usize, layer: &Layer, strength: f32) {
        for bias in &layer.biases {
            self.bias.resize(out, 0.0);
            let own = self.bias[bias.first..].iter_mut();
            own.zip(&bias.values).for_each(|(own, value)| *own += strength * value);
        }
    }

    /// Takes changes that are products of low rank in another form as what they are, where that has less values
    /// ([`Change::as_pair`]).
    pub fn pair_up(&mut self) {
        for dense in std::mem::take(&mut self.dense) {
            let Some((up, down)) = dense.change.as_pair() else {
                self.dense.push(dense);
                continue;
            };
            let Dense { rows, factor, row_gains, column_gains, .. } = dense;
            let (down, up) = (Cow::Owned(down), Cow::Owned(up));
            self.low.push(Low { rows, down, up, factor, row_gains, column_gains });
        }
    }

    fn add(&mut self, out: usize, branch: &'l Branch, strength: f32, weight: &Rows<'_>) {
        let Branch { rows, change, scale, .. } = branch;
        let factor = strength * scale;
        let (mut row_gains, mut column_gains) = (Vec::new(), Vec::new());
        match branch.gains(weight) {
            None => {}
            // strength · (g (W + Δ) - W) = strength · (g - 1) W + strength · g Δ
            Some(Gains::Rows(gains)) => {
                self.again.resize(out, 0.0);
                let own = self.again[rows.clone()].iter_mut();
                own.zip(&gains).for_each(|(own, gain)| *own += strength * (gain - 1.0));
                row_gains = gains;
            }
            Some(Gains::Columns(gains)) => {
                let factors = gains.iter().map(|gain| strength * (gain - 1.0)).collect();
                self.columns.push((rows.clone(), factors));
                column_gains = gains;
            }
        }
        let rows = rows.clone();
        match &**change {
            Change::LowRank { down, up } => {
                let (down, up) = (Cow::Borrowed(down), Cow::Borrowed(up));
                self.low.push(Low { rows, down, up, factor, row_gains, column_gains });
            }
            _ => {
                let change = Arc::clone(change);
                self.dense.push(Dense { rows, change, factor, row_gains, column_gains });
            }
        }
    }
}
