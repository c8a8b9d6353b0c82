//! A tensor under its name here: rows from one place of a file or several, and what belongs to them.

use std::ops::Range;
use std::sync::Arc;

use super::dtype::Dtype;
use super::error::WeightsError;
use super::files::{Bytes, Located};
use super::nf4::State;
use super::scale::Scale;
use super::stored::Piece;
use super::widen::widen;

/// A tensor: rows from one place or several.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub slices: Vec<Slice>,
}

/// Rows in a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slice {
    pub file: usize,
    pub range: Range<usize>,
    /// Where their scale is. It is not read before they are.
    pub scale: Option<ScaleAt>,
    /// Where the magnitudes of NF4 are, and the values of the stored tensor before these rows.
    pub state: Option<(Arc<State>, usize)>,
}

/// A tensor that is the scale of another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScaleTensor {
    pub name: String,
    pub at: Located,
}

/// The scale of some rows of a stored tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScaleAt {
    tensor: Arc<ScaleTensor>,
    /// Which rows they are.
    rows: Range<usize>,
    /// Of how many.
    of: usize,
    /// Values of each.
    columns: usize,
}

impl Slice {
    /// All rows of a stored tensor.
    pub fn whole(at: &Located, scale: Option<Arc<ScaleTensor>>) -> Self {
        let (of, rest) = at.shape.split_first().map_or((1, &[][..]), |(rows, rest)| (*rows, rest));
        let columns = rest.iter().fold(1, |all: usize, side| all.saturating_mul(*side));
        let scale = scale.map(|tensor| ScaleAt { tensor, rows: 0..of, of, columns });
        let state = at.state.clone().map(|state| (state, 0));
        Self { file: at.file, range: at.range.clone(), scale, state }
    }

    /// Its bytes and what belongs to them; `name` is the tensor's, for messages.
    pub fn piece<'b>(&self, name: &str, files: &'b [Bytes]) -> Result<Piece<'b>, WeightsError> {
        let scale = self.scale.as_ref().map(|scale| scale.read(name, files)).transpose()?;
        Ok(self.scaled(scale, files))
    }

    /// The same with a scale that is known.
    pub fn scaled<'b>(&self, scale: Option<Scale>, files: &'b [Bytes]) -> Piece<'b> {
        let magnitudes = self.state.as_ref().map(|(state, before)| state.magnitudes(files, *before));
        Piece { bytes: &files[self.file][self.range.clone()], scale, magnitudes }
    }

    fn bytes(&self) -> usize {
        self.range.len() + self.state.as_ref().map_or(0, |(state, _)| state.bytes())
    }

    /// Numbers the files anew, from `by` on.
    fn shift(&mut self, by: usize) {
        self.file += by;
        if let Some(scale) = &mut self.scale {
            let ScaleTensor { name, at } = &*scale.tensor;
            let at = Located { file: at.file + by, ..at.clone() };
            scale.tensor = Arc::new(ScaleTensor { name: name.clone(), at });
        }
        if let Some((state, _)) = &mut self.state {
            *state = Arc::new(state.shifted(by));
        }
    }
}

impl ScaleAt {
    /// What it holds for these rows of the tensor `name`.
    fn read(&self, name: &str, files: &[Bytes]) -> Result<Scale, WeightsError> {
        let ScaleTensor { name: own, at: Located { file, dtype, shape, range, .. } } = &*self.tensor;
        let unusable = |found| WeightsError::Scale { name: name.to_owned(), found };
        let other = || unusable(format!("{dtype} of shape {shape:?} in {own:?}"));
        let ones = |sides: &[usize]| sides.iter().all(|side| *side == 1);
        let by_row = shape.split_first().is_some_and(|(rows, rest)| *rows == self.of && ones(rest));
        if !ones(shape) && !by_row {
            return Err(other());
        }
        let factors = widen(&files[*file][range.clone()], *dtype).ok_or_else(other)?;
        if let Some(row) = factors.iter().position(|factor| !factor.is_finite()) {
            return Err(unusable(match ones(shape) {
                true => format!("{} in {own:?}", factors[row]),
                false => format!("{} for row {row} in {own:?}", factors[row]),
            }));
        }
        match factors[..] {
            [factor] => Ok(Scale::One(factor)),
            _ => Ok(Scale::Rows { factors: factors[self.rows.clone()].into(), columns: self.columns }),
        }
    }

    /// The same of some of its rows.
    fn rows(&self, rows: Range<usize>) -> Self {
        Self { rows: self.rows.start + rows.start..self.rows.start + rows.end, ..self.clone() }
    }
}

impl Entry {
    pub fn of(at: &Located, slice: Slice) -> Self {
        Self { dtype: at.dtype, shape: at.shape.clone(), slices: vec![slice] }
    }

    /// Adds the rows of another tensor.
    pub fn append(&mut self, name: &str, at: &Located, slice: Slice) -> Result<(), WeightsError> {
        if at.dtype != self.dtype {
            let (found, dtype) = (at.dtype, self.dtype);
            return Err(WeightsError::Config(format!(
                "the tensor {name:?} is {found} and those that it belongs with are {dtype}"
            )));
        }
        let (Some((rows, rest)), Some((more, inner))) = (self.shape.split_first(), at.shape.split_first())
        else {
            let (found, expected) = (at.shape.clone(), self.shape.clone());
            return Err(WeightsError::Shape { name: name.to_owned(), found, expected });
        };
        if rest != inner {
            let expected = std::iter::once(*more).chain(rest.iter().copied()).collect();
            return Err(WeightsError::Shape { name: name.to_owned(), found: at.shape.clone(), expected });
        }
        self.shape[0] = rows + more;
        self.slices.push(slice);
        Ok(())
    }

    /// Puts the second half of the rows before the first.
    pub fn swap_halves(&mut self, name: &str) -> Result<(), WeightsError> {
        let rows = self.shape.first().copied().unwrap_or_default();
        let half = self.values() / 2;
        let whole_blocks = self.dtype.bytes(half).is_some();
        match &self.slices[..] {
            [whole] if rows % 2 == 0 && whole_blocks => {
                let middle = whole.range.start + whole.range.len() / 2;
                let state = |before| whole.state.clone().map(|(state, first)| (state, first + before));
                let scale = |rows: Range<usize>| whole.scale.as_ref().map(|scale| scale.rows(rows));
                let part = |range, state, scale| Slice { file: whole.file, range, scale, state };
                let second = part(middle..whole.range.end, state(half), scale(rows / 2..rows));
                let first = part(whole.range.start..middle, state(0), scale(0..rows / 2));
                self.slices = vec![second, first];
                Ok(())
            }
            _ => Err(WeightsError::Config(format!("{rows} rows of {name:?} have no halves"))),
        }
    }

    /// How many values it has.
    pub fn values(&self) -> usize {
        self.shape.iter().fold(1, |all: usize, side| all.saturating_mul(*side))
    }

    /// Bytes of it in its files, with the magnitudes of NF4.
    pub fn bytes(&self) -> usize {
        // The halves of a tensor share its magnitudes.
        let halves = self.slices.iter().skip(1).filter(|slice| {
            slice.state.as_ref().map(|(state, _)| state)
                == self.slices[0].state.as_ref().map(|(state, _)| state)
        });
        let twice: usize =
            halves.filter_map(|slice| slice.state.as_ref()).map(|(state, _)| state.bytes()).sum();
        self.slices.iter().map(Slice::bytes).sum::<usize>() - twice
    }

    /// Numbers the files anew, from `by` on.
    pub fn shifted(mut self, by: usize) -> Self {
        self.slices.iter_mut().for_each(|slice| slice.shift(by));
        self
    }
}
