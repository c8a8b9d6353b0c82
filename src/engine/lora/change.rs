//! The forms that a change of a weight has, and what they come to row by row.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::ops::product::{View, multiply};

/// A matrix, `[rows, columns]`, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// How many rows.
    pub rows: usize,
    /// How many columns.
    pub columns: usize,
    /// `rows · columns` of them.
    pub values: Vec<f32>,
}

impl Matrix {
    /// One row.
    ///
    /// # Panics
    /// When there is no such row: a bug of the caller.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// `self · right`.
    ///
    /// # Panics
    /// When the inner sizes differ: a bug of the caller.
    #[must_use]
    pub fn times(&self, right: &Self) -> Self {
        assert_eq!(self.columns, right.rows, "the inner sizes differ");
        let mut values = vec![0.0; self.rows * right.columns];
        let shape = (self.rows, self.columns, right.columns);
        multiply(shape, &mut values, right.columns, false, self.view(0), right.view(0), 1.0);
        Self { rows: self.rows, columns: right.columns, values }
    }

    /// From row `first` on.
    fn view(&self, first: usize) -> View<'_> {
        View { data: &self.values[first * self.columns..], row: self.columns, column: 1 }
    }

    /// The second half of the rows before the first; `None` when there are no halves.
    #[must_use]
    pub fn swapped(&self) -> Option<Self> {
        let half = self.values.len() / 2;
        let values = || [&self.values[half..], &self.values[..half]].concat();
        self.rows.is_multiple_of(2).then(|| Self { values: values(), ..*self })
    }
}

/// W₁ ⊗ W₂: the left one's every value times the whole of the right one.
#[derive(Debug, Clone, PartialEq)]
pub struct Kronecker {
    /// W₁.
    pub left: Matrix,
    /// W₂.
    pub right: Matrix,
    /// W₂ as B then A, where it is a product and these two have less values.
    pub pair: Option<(Matrix, Matrix)>,
}

impl Kronecker {
    /// Of two whole matrices.
    #[must_use]
    pub fn new(left: Matrix, right: Matrix) -> Self {
        Self { left, right, pair: None }
    }

    /// The same, the right one being B · A.
    #[must_use]
    pub fn with_pair(self, (up, down): (Matrix, Matrix)) -> Self {
        let smaller = up.values.len() + down.values.len() < self.right.values.len();
        Self { pair: smaller.then_some((up, down)), ..self }
    }

    fn shape(&self) -> [usize; 2] {
        [self.left.rows * self.right.rows, self.left.columns * self.right.columns]
    }

    fn rows(&self, first: usize, out: &mut [f32]) {
        let Self { left, right, .. } = self;
        for (row, out) in (first..).zip(out.chunks_exact_mut(left.columns * right.columns)) {
            let factors = left.row(row / right.rows);
            let right = right.row(row % right.rows);
            for (factor, out) in factors.iter().zip(out.chunks_exact_mut(right.len())) {
                out.iter_mut().zip(right).for_each(|(out, value)| *out = factor * value);
            }
        }
    }

    /// The second half of the rows before the first, unless the halves part within one of the left's rows.
    fn swapped(&self) -> Option<Self> {
        let Self { left, right, pair } = self;
        match (left.swapped(), left.rows) {
            (Some(left), _) => Some(Self { left, ..self.clone() }),
            (None, 1) => {
                let pair = pair.as_ref().and_then(|(up, down)| Some((up.swapped()?, down.clone())));
                Some(Self { left: left.clone(), right: right.swapped()?, pair })
            }
            (None, _) => None,
        }
    }
}

/// ΔW of some rows of a layer, before its scale.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// B · A.
    LowRank {
        /// A, `[rank, in]`.
        down: Matrix,
        /// B, `[rows, rank]`.
        up: Matrix,
    },
    /// LoHa: (B₁ · A₁) ∘ (B₂ · A₂), each as B then A.
    Hadamard([(Matrix, Matrix); 2]),
    /// LoKr.
    Kronecker(Kronecker),
    /// All of it, `[rows, in]`.
    Full(Matrix),
}

impl Change {
    /// Rows and columns of ΔW.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Self::LowRank { down, up } => [up.rows, down.columns],
            Self::Hadamard([(b, a), _]) => [b.rows, a.columns],
            Self::Kronecker(both) => both.shape(),
            Self::Full(all) => [all.rows, all.columns],
        }
    }

    /// How many numbers it has.
    #[must_use]
    pub fn values(&self) -> usize {
        let both = |one: &Matrix, other: &Matrix| one.values.len() + other.values.len();
        match self {
            Self::LowRank { down: one, up: other } => both(one, other),
            Self::Kronecker(Kronecker { left, right, pair }) => {
                both(left, right) + pair.as_ref().map_or(0, |(up, down)| both(up, down))
            }
            Self::Hadamard([(b1, a1), (b2, a2)]) => both(b1, a1) + both(b2, a2),
            Self::Full(all) => all.values.len(),
        }
    }

    /// Rows of ΔW from number `first` on, as many as `out` holds.
    ///
    /// # Panics
    /// When there are fewer: a bug of the caller.
    pub fn rows(&self, first: usize, out: &mut [f32]) {
        let [rows, columns] = self.shape();
        let count = out.len() / columns;
        assert!(first + count <= rows, "rows {first} and {count} more of {rows}");
        match self {
            Self::LowRank { down, up } => product(up, down, first, out),
            Self::Hadamard([one, other]) => {
                product(&one.0, &one.1, first, out);
                let mut second = vec![0.0; out.len()];
                product(&other.0, &other.1, first, &mut second);
                out.iter_mut().zip(second).for_each(|(value, factor)| *value *= factor);
            }
            Self::Kronecker(both) => both.rows(first, out),
            Self::Full(all) => out.copy_from_slice(&all.values[first * columns..][..out.len()]),
        }
    }

    /// The second half of the rows before the first; `None` when there are no halves.
    #[must_use]
    pub fn swapped(&self) -> Option<Self> {
        match self {
            Self::LowRank { down, up } => Some(Self::LowRank { down: down.clone(), up: up.swapped()? }),
            Self::Hadamard([(b1, a1), (b2, a2)]) => {
                Some(Self::Hadamard([(b1.swapped()?, a1.clone()), (b2.swapped()?, a2.clone())]))
            }
            Self::Kronecker(both) => both.swapped().map(Self::Kronecker).or_else(|| self.full().swapped()),
            Self::Full(all) => Some(Self::Full(all.swapped()?)),
        }
    }

    /// B · A of rank r₁ · r₂ that LoHa's two products are, as B then A, where it has less values than ΔW: in row i of B every
    /// value of row i of B₁ times every one of B₂, in A likewise for columns (the Khatri-Rao product,
    /// <https://doi.org/10.1137/07070111X>). As many values are so many multiplications a row of x, too.
    #[must_use]
    pub fn as_pair(&self) -> Option<(Matrix, Matrix)> {
        let Self::Hadamard([(b1, a1), (b2, a2)]) = self else { return None };
        let ranks = a1.rows * a2.rows;
        if ranks * (b1.rows + a1.columns) >= b1.rows * a1.columns {
            return None;
        }
        let mut up = Vec::with_capacity(b1.rows * ranks);
        for row in 0..b1.rows {
            up.extend(b1.row(row).iter().flat_map(|one| b2.row(row).iter().map(move |other| one * other)));
        }
        let mut down = Vec::with_capacity(ranks * a1.columns);
        for (one, other) in (0..a1.rows).flat_map(|one| (0..a2.rows).map(move |other| (one, other))) {
            down.extend(a1.row(one).iter().zip(a2.row(other)).map(|(one, other)| one * other));
        }
        let up = Matrix { rows: b1.rows, columns: ranks, values: up };
        Some((up, Matrix { rows: ranks, columns: a1.columns, values: down }))
    }

    fn full(&self) -> Self {
        let [rows, columns] = self.shape();
        let mut values = vec![0.0; rows * columns];
        self.rows(0, &mut values);
        Self::Full(Matrix { rows, columns, values })
    }
}

/// Rows of `left · right` from number `first` on.
fn product(left: &Matrix, right: &Matrix, first: usize, out: &mut [f32]) {
    let shape = (out.len() / right.columns, left.columns, right.columns);
    multiply(shape, out, right.columns, false, left.view(first), right.view(0), 1.0);
}

/// DoRA's m: what the norms of W + ΔW are brought to.
#[derive(Debug, Clone, PartialEq)]
pub enum Magnitude {
    /// Of each row, as many as the branch has.
    Rows(Vec<f32>),
    /// Of each column of these rows, `[in]`.
    Columns(Vec<f32>),
}

/// A change of some rows of a layer's weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Which of the layer's rows: all of them, or those of query, key, value or MLP where these are one layer.
    pub rows: Range<usize>,
    /// ΔW of these rows.
    pub change: Arc<Change>,
    /// What it is multiplied by: alpha / rank.
    pub scale: f32,
    /// Of DoRA.
    pub magnitude: Option<Magnitude>,
}

/// A change of some of a layer's biases.
#[derive(Debug, Clone, PartialEq)]
pub struct Bias {
    /// The first that it is added to.
    pub first: usize,
    /// What is added.
    pub values: Vec<f32>,
}

/// What DoRA multiplies W + ΔW by.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Gains {
    /// Each row, as many as the branch has.
    Rows(Vec<f32>),
    /// Each column.
    Columns(Vec<f32>),
}

impl Branch {
    /// m / ‖W + ΔW‖; `weight` writes rows of W, the layer's own, from a number on. `None` where this is no DoRA.
    pub(super) fn gains(&self, weight: &dyn Fn(usize, &mut [f32])) -> Option<Gains> {
        let magnitude = self.magnitude.as_ref()?;
        let [rows, columns] = self.change.shape();
        let mut by_row = Vec::with_capacity(rows);
        let mut by_column = vec![0.0f64; columns];
        let (mut changed, mut delta) = (vec![0.0; columns], vec![0.0; columns]);
        for row in 0..rows {
            weight(self.rows.start + row, &mut changed);
            self.change.rows(row, &mut delta);
            let mut sum = 0.0;
            for ((w, d), column) in changed.iter().zip(&delta).zip(&mut by_column) {
                let square = f64::from(w + self.scale * d).powi(2);
                sum += square;
                *column += square;
            }
            by_row.push(sum);
        }
        let over = |wanted: &[f32], squares: &[f64]| {
            let gain = |(m, square): (&f32, &f64)| {
                (f64::from(*m) / (square.sqrt() + f64::from(f32::EPSILON))) as f32
            };
            wanted.iter().zip(squares).map(gain).collect()
        };
        Some(match magnitude {
            Magnitude::Rows(wanted) => Gains::Rows(over(wanted, &by_row)),
            Magnitude::Columns(wanted) => Gains::Columns(over(wanted, &by_column)),
        })
    }

    /// Adds what it changes at `strength` to `into`, which is W or becomes a sum of several changes of it; `weight` writes
    /// rows of W itself. All are `[out, in]`.
    pub fn merge(&self, strength: f32, weight: &dyn Fn(usize, &mut [f32]), into: &mut [f32]) {
        if strength == 0.0 {
            return;
        }
        let [rows, columns] = self.change.shape();
        let gains = self.gains(weight);
        let (mut own, mut delta) = (vec![0.0; columns], vec![0.0; columns]);
        for row in 0..rows {
            self.change.rows(row, &mut delta);
            let at = self.rows.start + row;
            weight(at, &mut own);
            for (column, out) in into[at * columns..][..columns].iter_mut().enumerate() {
                let changed = self.scale * delta[column];
                let gain = match &gains {
                    None => None,
                    Some(Gains::Rows(gains)) => Some(gains[row]),
                    Some(Gains::Columns(gains)) => Some(gains[column]),
                };
                *out += strength * gain.map_or(changed, |gain| gain * (own[column] + changed) - own[column]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sample::noise::randn;

    fn matrix(seed: u64, rows: usize, columns: usize) -> Matrix {
        Matrix { rows, columns, values: randn(seed, rows * columns) }
    }

    fn all(change: &Change) -> Vec<f32> {
        let Change::Full(all) = change.full() else { panic!("it is whole") };
        all.values
    }

    fn changes() -> Vec<Change> {
        let pair = |seed| (matrix(seed, 12, 2), matrix(seed + 1, 2, 10));
        vec![
            Change::LowRank { down: matrix(1, 3, 10), up: matrix(2, 12, 3) },
            Change::Hadamard([pair(3), pair(5)]),
            Change::Kronecker(Kronecker::new(matrix(7, 4, 2), matrix(8, 3, 5))),
            Change::Kronecker(Kronecker::new(matrix(9, 3, 5), matrix(10, 4, 2))),
            Change::Kronecker(Kronecker::new(matrix(11, 1, 2), matrix(12, 12, 5))),
            Change::Full(matrix(13, 12, 10)),
        ]
    }

    #[test]
    fn some_rows_are_those_of_the_whole() {
        for change in changes() {
            assert_eq!(change.shape(), [12, 10], "{change:?}");
            let whole = all(&change);
            let mut some = vec![0.0; 5 * 10];
            change.rows(4, &mut some);
            let worst = some.iter().zip(&whole[40..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-6, "{worst}: {change:?}");
        }
    }

    #[test]
    fn halves_change_places_in_every_form() {
        for change in changes() {
            let (whole, swapped) = (all(&change), all(&change.swapped().expect("twelve rows have halves")));
            let expected = [&whole[60..], &whole[..60]].concat();
            let worst = swapped.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-6, "{worst}: {change:?}");
        }
        let odd = Change::Full(matrix(1, 3, 2));
        assert_eq!(odd.swapped(), None);
    }

    #[test]
    fn a_kronecker_product_is_every_value_of_the_left_times_the_right() {
        let (left, right) = (matrix(1, 2, 3), matrix(2, 4, 5));
        let whole = all(&Change::Kronecker(Kronecker::new(left.clone(), right.clone())));
        for (row, column) in [(0, 0), (5, 7), (7, 14), (3, 10)] {
            let expected = left.row(row / 4)[column / 5] * right.row(row % 4)[column % 5];
            assert!((whole[row * 15 + column] - expected).abs() < 1e-7, "{row}, {column}");
        }
    }

    #[test]
    fn a_right_side_of_low_rank_stays_a_pair_where_that_is_smaller_and_is_swapped_with_it() {
        let (up, down) = (matrix(1, 12, 2), matrix(2, 2, 6));
        let change = Kronecker::new(matrix(3, 1, 4), up.times(&down)).with_pair((up.clone(), down.clone()));
        assert_eq!(change.pair, Some((up.clone(), down.clone())));
        let Some(Change::Kronecker(swapped)) = Change::Kronecker(change).swapped() else { panic!("halves") };
        let (turned, same) = swapped.pair.expect("it stays one");
        assert_eq!((turned.times(&same), same), (swapped.right, down));
        let (up, down) = (matrix(4, 4, 3), matrix(5, 3, 4));
        assert_eq!(Kronecker::new(matrix(3, 2, 2), up.times(&down)).with_pair((up, down)).pair, None);
    }

    #[test]
    fn two_products_value_by_value_are_one_of_the_product_of_their_ranks() {
        let pair = |seed, ranks| (matrix(seed, 40, ranks), matrix(seed + 1, ranks, 30));
        let change = Change::Hadamard([pair(1, 2), pair(3, 3)]);
        let (up, down) = change.as_pair().expect("6 · 70 values are less than 1200");
        assert_eq!((up.columns, down.rows), (6, 6));
        let product = up.times(&down).values;
        let worst = product.iter().zip(all(&change)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst}");
        assert_eq!(Change::Hadamard([pair(1, 4), pair(5, 5)]).as_pair(), None, "20 · 70 are more");
    }
}
