//! A few rows of a matrix, widened: for whoever cannot hold all of it in fp32.

use std::ops::Range;

use super::{Piece, Stored, Weights, WeightsError};

impl Weights {
    /// Rows of a matrix `[out, inner]`, as fp32 values.
    ///
    /// # Errors
    /// As [`Weights::get`].
    ///
    /// # Panics
    /// When there are no such rows: a bug of the caller.
    pub fn widened_rows(
        &self,
        name: &str,
        (out, inner): (usize, usize),
        rows: Range<usize>,
    ) -> Result<Vec<f32>, WeightsError> {
        assert!(rows.start <= rows.end && rows.end <= out, "rows {rows:?} of {out}");
        let Stored { dtype, pieces } = self.stored(name, &[out, inner])?;
        let row = inner * dtype.bitsize() / 8;
        let mut values = Vec::with_capacity(rows.len() * inner);
        let mut first = 0;
        for piece in pieces {
            let count = piece.bytes.len() / row;
            let [start, end] = [rows.start, rows.end].map(|at| at.clamp(first, first + count) - first);
            let part = Piece { bytes: &piece.bytes[start * row..end * row], ..piece };
            let widened =
                part.widened(dtype).ok_or_else(|| WeightsError::Dtype { name: name.to_owned(), dtype })?;
            values.extend(widened);
            first += count;
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Part;
    use super::*;
    use crate::model::Source;

    #[test]
    fn rows_are_those_of_the_whole_also_across_pieces() {
        let nano = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano");
        let source = Source::File(nano.join("flux1-nano-fp8.safetensors"));
        let mut weights = Weights::open_part(&source, Part::Transformer).expect("nano is whole");
        let name = "final_layer.adaLN_modulation.1.weight";
        // Two pieces, as of a file in diffusers' names.
        weights.tensors.get_mut(name).expect("it is there").swap_halves(name).expect("it has halves");
        let shape = weights.shape(name).expect("it is there").to_vec();
        let whole = weights.widened(name, &shape).expect("it can be widened");
        for rows in [0..1, 200..300, 0..shape[0], 255..257, 511..512, 7..7] {
            let some = weights.widened_rows(name, (shape[0], shape[1]), rows.clone()).expect("as the whole");
            assert_eq!(some, whole[rows.start * shape[1]..rows.end * shape[1]], "{rows:?}");
        }
    }
}
