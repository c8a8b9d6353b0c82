//! What a layer has beside its weight for all LoRAs of a picture together: one pair of matrices for everything of low
//! rank, the other changes as they are.

use std::ops::Range;
use std::sync::Arc;

use super::change::{Change, Matrix};
use super::parts::{Low, Parts, Rows};
use super::{Layer, Lora};

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

impl Side {
    /// Of these changes, each at its strength; `None` when nothing is changed. `weight` writes rows of W, which only DoRA
    /// needs.
    #[must_use]
    pub fn new(shape: [usize; 2], layers: &[(&Layer, f32)], weight: &Rows<'_>) -> Option<Self> {
        Self::of(shape, Parts::of(shape, layers, weight))
    }

    /// Of what they change in the bias alone.
    #[must_use]
    pub fn of_biases(shape: [usize; 2], layers: &[(&Layer, f32)]) -> Option<Self> {
        Self::of(shape, Parts::biases_of(shape, layers))
    }

    fn of([out, inner]: [usize; 2], parts: Parts<'_>) -> Option<Self> {
        let Parts { low, dense, bias, again, columns } = parts;
        let down = Matrix { rows: inner, columns: 0, values: Vec::new() };
        let mut side = Self { inner, out, down, ups: Vec::new(), dense, bias, again, columns };
        side.join(low);
        let nothing = side.ups.is_empty() && side.dense.is_empty() && side.bias.is_empty();
        (!nothing).then_some(side)
    }

    /// Makes one pair of matrices of all branches of low rank.
    fn join(&mut self, mut low: Vec<Low<'_>>) {
        low.sort_by_key(|low| (low.rows.start, low.rows.end));
        let ranks = low.iter().map(Low::rank).sum();
        self.down = Matrix { rows: self.inner, columns: ranks, values: vec![0.0; self.inner * ranks] };
        let mut turned = vec![0.0; self.inner];
        let mut first = 0;
        for same in low.chunk_by(|one, other| one.rows == other.rows) {
            let rows = same[0].rows.clone();
            let own: usize = same.iter().map(Low::rank).sum();
            let mut values = vec![0.0; own * rows.len()];
            let mut rank = first;
            for low in same {
                for column in 0..low.rank() {
                    low.down_row(column, &mut turned);
                    let to = self.down.values[rank..].iter_mut().step_by(ranks.max(1));
                    to.zip(&turned).for_each(|(to, from)| *to = *from);
                    rank += 1;
                }
            }
            let mut row = vec![0.0; own];
            for at in 0..rows.len() {
                let mut filled = 0;
                for low in same {
                    low.up_row(at, &mut row[filled..][..low.rank()]);
                    filled += low.rank();
                }
                let to = values[at..].iter_mut().step_by(rows.len());
                to.zip(&row).for_each(|(to, from)| *to = *from);
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
