//! What stored values are to be multiplied by: one number a tensor, or one a row.

use std::borrow::Cow;
use std::sync::Arc;

/// The scale of rows that lie together.
#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// One number for all of them.
    One(f32),
    /// A number for each of them.
    Rows {
        /// By row.
        factors: Arc<[f32]>,
        /// Values of a row.
        columns: usize,
    },
}

impl Scale {
    /// Multiplies values, of which the first is number `first` of these rows.
    pub fn multiply(&self, first: usize, values: &mut [f32]) {
        self.each_run(first, values, |factor, _, run| run.iter_mut().for_each(|value| *value *= factor));
    }

    /// Calls `act` with the factor of each run of values that share one, how many values are before it, and its part of
    /// `of`, which has an element for each value from number `first` on.
    pub(super) fn each_run<T>(&self, first: usize, of: &mut [T], mut act: impl FnMut(f32, usize, &mut [T])) {
        let (factors, columns) = match self {
            Self::One(factor) => return act(*factor, 0, of),
            Self::Rows { factors, columns } => (factors, *columns),
        };
        let (mut rest, mut done) = (of, 0);
        while !rest.is_empty() {
            let (row, within) = ((first + done) / columns, (first + done) % columns);
            let (run, more) = rest.split_at_mut((columns - within).min(rest.len()));
            act(factors[row], done, run);
            done += run.len();
            rest = more;
        }
    }

    /// The number of each of so many rows, which are all that it is of.
    #[must_use]
    pub fn of_rows(&self, rows: usize) -> Cow<'_, [f32]> {
        match self {
            Self::One(factor) => Cow::Owned(vec![*factor; rows]),
            Self::Rows { factors, .. } => Cow::Borrowed(factors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_meets_the_number_of_its_row_wherever_they_begin() {
        let scale = Scale::Rows { factors: [1.0, 10.0, 100.0].into(), columns: 2 };
        let all = [1.0, 1.0, 10.0, 10.0, 100.0, 100.0];
        for first in 0..6 {
            for count in 0..=6 - first {
                let mut values = vec![1.0; count];
                scale.multiply(first, &mut values);
                assert_eq!(values, all[first..][..count], "{count} from {first}");
            }
        }
        let mut values = [1.0, 2.0];
        Scale::One(3.0).multiply(5, &mut values);
        assert_eq!(values, [3.0, 6.0]);
        assert_eq!(
            (&*scale.of_rows(3), &*Scale::One(2.0).of_rows(2)),
            (&[1.0, 10.0, 100.0][..], &[2.0; 2][..])
        );
    }
}
