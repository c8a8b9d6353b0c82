//! What a layer has beside its weight for all LoRAs of a picture together: one pair of matrices for everything of low
//! rank, the other changes as they are.

use std::ops::Range;
use std::sync::Arc;

use super::change::{Branch, Change, Gains, Matrix};
use super::{Layer, Lora};

/// Columns of W, or rows of it from a number on, written into what is given.
pub type Rows<'r> = dyn Fn(usize, &mut [f32]) + 'r;

/// Beside a layer of `out` rows and `inner` columns: y += what this adds, for y = W x + b.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// Columns of W.
    pub inner: usize,
    /// Rows of W.
    pub out: usize,
    /// A of all branches of low rank, one below the other, and turned: `[inner, ranks]`.
    pub down: Matrix,
    /// B of each of them with its strength and scale. Those of the same rows are one.
    pub ups: Vec<Up>,
    /// All other changes.
    pub dense: Vec<Dense>,
    /// What is added to b, `[out]`; empty for nothing.
    pub bias: Vec<f32>,
    /// What W x is multiplied by to be added to it, row by row: of DoRA. Empty for nothing.
    pub again: Vec<f32>,
    /// The same by columns, for some rows: W (x ∘ factors) is added.
    pub columns: Vec<(Range<usize>, Vec<f32>)>,
}

/// B of low rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Up {
    /// The rows of the layer that it changes.
    pub rows: Range<usize>,
    /// The columns of `down` that belong to it.
    pub ranks: Range<usize>,
    /// `[ranks, rows]`: turned, as `down` is.
    pub values: Matrix,
}

/// A change that is not of low rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// The rows of the layer that it changes.
    pub rows: Range<usize>,
    /// ΔW.
    pub change: Arc<Change>,
    /// Strength and scale.
    pub factor: f32,
    /// Of each row, of DoRA; empty for 1.
    pub row_gains: Vec<f32>,
    /// Of each column; empty for 1.
    pub column_gains: Vec<f32>,
}

impl Dense {
    /// Rows of what is added to W, from number `first` of its own on, as many as `out` holds.
    pub fn rows_of(&self, first: usize, out: &mut [f32]) {
        self.change.rows(first, out);
        let columns = self.change.shape()[1];
        for (row, out) in out.chunks_exact_mut(columns).enumerate() {
            let factor = self.factor * self.row_gains.get(first + row).copied().unwrap_or(1.0);
            out.iter_mut().for_each(|value| *value *= factor);
            out.iter_mut().zip(&self.column_gains).for_each(|(value, gain)| *value *= gain);
        }
    }
}

/// A branch of low rank with everything that multiplies it in its matrices.
struct Low {
    rows: Range<usize>,
    /// `[rank, in]`
    down: Matrix,
    /// `[rows, rank]`
    up: Matrix,
}

impl Side {
    /// Of these changes, each at its strength; `None` when nothing is changed. `weight` writes rows of W, which only DoRA
    /// needs.
    #[must_use]
    pub fn new([out, inner]: [usize; 2], layers: &[(&Layer, f32)], weight: &Rows<'_>) -> Option<Self> {
        let mut side = Self {
            inner,
            out,
            down: Matrix { rows: inner, columns: 0, values: Vec::new() },
            ups: Vec::new(),
            dense: Vec::new(),
            bias: Vec::new(),
            again: Vec::new(),
            columns: Vec::new(),
        };
        let mut low = Vec::new();
        for (layer, strength) in layers.iter().filter(|(_, strength)| *strength != 0.0) {
            layer.branches.iter().for_each(|branch| low.extend(side.add(branch, *strength, weight)));
            for bias in &layer.biases {
                side.bias.resize(out, 0.0);
                let own = side.bias[bias.first..].iter_mut();
                own.zip(&bias.values).for_each(|(own, value)| *own += strength * value);
            }
        }
        side.join(low);
        let nothing = side.ups.is_empty() && side.dense.is_empty() && side.bias.is_empty();
        (!nothing).then_some(side)
    }

    /// Adds one branch; gives it back where it is of low rank.
    fn add(&mut self, branch: &Branch, strength: f32, weight: &Rows<'_>) -> Option<Low> {
        let Branch { rows, change, scale, .. } = branch;
        let factor = strength * scale;
        let (mut row_gains, mut column_gains) = (Vec::new(), Vec::new());
        match branch.gains(weight) {
            None => {}
            // strength · (g (W + Δ) - W) = strength · (g - 1) W + strength · g Δ
            Some(Gains::Rows(gains)) => {
                self.again.resize(self.out, 0.0);
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
        let Change::LowRank { down, up } = &**change else {
            let (rows, change) = (rows.clone(), Arc::clone(change));
            self.dense.push(Dense { rows, change, factor, row_gains, column_gains });
            return None;
        };
        let (mut down, mut up) = (down.clone(), up.clone());
        for (row, values) in up.values.chunks_exact_mut(up.columns).enumerate() {
            let factor = factor * row_gains.get(row).copied().unwrap_or(1.0);
            values.iter_mut().for_each(|value| *value *= factor);
        }
        if !column_gains.is_empty() {
            for values in down.values.chunks_exact_mut(down.columns) {
                values.iter_mut().zip(&column_gains).for_each(|(value, gain)| *value *= gain);
            }
        }
        Some(Low { rows: rows.clone(), down, up })
    }

    /// Makes one pair of matrices of all branches of low rank.
    fn join(&mut self, mut low: Vec<Low>) {
        low.sort_by_key(|low| (low.rows.start, low.rows.end));
        let ranks = low.iter().map(|low| low.down.rows).sum();
        self.down = Matrix { rows: self.inner, columns: ranks, values: vec![0.0; self.inner * ranks] };
        let mut first = 0;
        for same in low.chunk_by(|one, other| one.rows == other.rows) {
            let rows = same[0].rows.clone();
            let own: usize = same.iter().map(|low| low.down.rows).sum();
            let mut values = Vec::with_capacity(own * rows.len());
            let mut rank = first;
            for Low { down, up, .. } in same {
                for column in 0..down.rows {
                    values.extend((0..up.rows).map(|row| up.values[row * up.columns + column]));
                    let turned = self.down.values[rank..].iter_mut().step_by(ranks.max(1));
                    turned.zip(down.row(column)).for_each(|(to, from)| *to = *from);
                    rank += 1;
                }
            }
            let values = Matrix { rows: own, columns: rows.len(), values };
            self.ups.push(Up { rows, ranks: first..first + own, values });
            first += own;
        }
    }
}

impl Lora {
    /// How many numbers it has in memory.
    #[must_use]
    pub fn values(&self) -> usize {
        let layers = self.transformer.values().chain(self.clip.values()).chain(self.t5.values());
        layers.flat_map(|layer| &layer.branches).map(|branch| branch.change.values()).sum()
    }

    /// Whether it changes what the encoders make of a prompt.
    #[must_use]
    pub fn changes_text(&self) -> bool {
        !self.clip.is_empty() || !self.t5.is_empty()
    }
}
