//! Where matrices lie in an encoder's buffers, and from which tensors of a file its weights come.
//!
//! Matrices that read the same input are stacked into one, so that one product takes the place of two or three.

use std::marker::PhantomData;
use std::sync::Arc;

use half::bf16;

use crate::engine::cuda::error::Result;
use crate::engine::cuda::flux::origin::seed_of;
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Buffer, Element, Layout, Matrix};
use crate::engine::weights::Weights;

/// A matrix in a buffer that is yet to be taken.
pub(super) struct Place<T> {
    at: usize,
    rows: usize,
    width: usize,
    element: PhantomData<T>,
}

impl<T> std::fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{} at byte {}", self.rows, self.width, self.at)
    }
}

impl<T> Clone for Place<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<T> {}

impl<T: Element> Place<T> {
    pub fn new(layout: &mut Layout, rows: usize, width: usize) -> Self {
        Self { at: layout.place::<T>(rows, width), rows, width, element: PhantomData }
    }

    /// The matrix in the buffer of its layout.
    pub fn of(self, buffer: &Buffer) -> Matrix<'_, T> {
        buffer.matrix(self.at, self.rows, self.width)
    }

    /// `count` values from value `first` on, as one row.
    fn values(self, first: usize, count: usize) -> Self {
        Self { at: self.at + first * T::BYTES, rows: 1, width: count, ..self }
    }
}

/// A tensor of the weight file and where it goes.
#[derive(Debug)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    to: Place<bf16>,
}

/// An encoder's weights before there is memory for them.
#[derive(Debug, Default)]
pub(super) struct Plan {
    layout: Layout,
    tensors: Vec<Tensor>,
}

impl Plan {
    /// `rows`×`width`.
    pub fn matrix(&mut self, name: String, rows: usize, width: usize) -> Place<bf16> {
        self.stack([name], &[rows, width])
    }

    /// Matrices of one shape, one below the other.
    pub fn matrices<const N: usize>(&mut self, names: [String; N], rows: usize, width: usize) -> Place<bf16> {
        self.stack(names, &[rows, width])
    }

    /// `[1, width]`.
    pub fn vector(&mut self, name: String, width: usize) -> Place<bf16> {
        self.stack([name], &[width])
    }

    /// Vectors of one length, one after the other.
    pub fn vectors<const N: usize>(&mut self, names: [String; N], width: usize) -> Place<bf16> {
        self.stack(names, &[width])
    }

    fn stack<const N: usize>(&mut self, names: [String; N], shape: &[usize]) -> Place<bf16> {
        let whole = match *shape {
            [rows, width] => Place::new(&mut self.layout, N * rows, width),
            _ => Place::new(&mut self.layout, 1, N * shape[0]),
        };
        let values = shape.iter().product();
        for (index, name) in names.into_iter().enumerate() {
            let to = whole.values(index * values, values);
            self.tensors.push(Tensor { name, shape: shape.to_vec(), to });
        }
        whole
    }

    /// Takes memory and reads the file into it.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or there is no memory.
    pub fn load(&self, gpu: &Arc<Gpu>, weights: &Weights, purpose: &'static str) -> Result<Buffer> {
        let buffer = Buffer::new(gpu, self.layout.bytes(), purpose)?;
        for Tensor { name, shape, to } in &self.tensors {
            gpu.load(to.of(&buffer), weights, name, shape)?;
        }
        Ok(buffer)
    }

    /// Takes memory and fills it with random weights, each tensor's from `seed` and its name, under which the numbers
    /// stay of ordinary size: matrices of deviation 1/√(inputs).
    ///
    /// # Errors
    /// When there is no memory.
    pub fn random(&self, gpu: &Arc<Gpu>, seed: u64, purpose: &'static str) -> Result<Buffer> {
        let buffer = Buffer::new(gpu, self.layout.bytes(), purpose)?;
        for Tensor { name, shape, to } in &self.tensors {
            let (mean, deviation) = match **shape {
                [_, inner] => (0.0, (inner as f32).powf(-0.5)),
                _ if name.ends_with("weight") => (1.0, 0.1),
                _ => (0.0, 0.02),
            };
            gpu.random(to.of(&buffer), seed_of(seed, name), mean, deviation)?;
        }
        Ok(buffer)
    }

    /// That a file of the built-in model has these tensors, in these shapes, and no others but `more`.
    #[cfg(test)]
    pub fn assert_is_of(&self, file: &str, more: &[&str]) {
        let weights = Weights::open(&tests::nano(file)).expect("the built-in model is whole");
        for Tensor { name, shape, .. } in &self.tensors {
            assert_eq!(weights.shape(name).expect(name), shape, "{name}");
        }
        let mut there: Vec<_> = weights.names().collect();
        let mut names: Vec<_> =
            self.tensors.iter().map(|tensor| tensor.name.as_str()).chain(more.iter().copied()).collect();
        there.sort_unstable();
        names.sort_unstable();
        assert_eq!(there, names);
    }

    /// How many values all tensors have.
    #[cfg(test)]
    pub fn parameters(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum()
    }

    /// The bytes that tensors are copied to, by name.
    #[cfg(test)]
    pub fn range(&self, name: &str) -> Option<std::ops::Range<usize>> {
        let tensor = self.tensors.iter().find(|tensor| tensor.name == name)?;
        Some(tensor.to.at..tensor.to.at + tensor.to.width * bf16::BYTES)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::Source;

    /// A file of the built-in model.
    pub fn nano(file: &str) -> Source {
        Source::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/nano").join(file))
    }

    #[test]
    fn stacked_matrices_follow_one_another_without_a_gap() {
        let mut plan = Plan::default();
        let first = plan.vector("norm".to_owned(), 5);
        let stack = plan.matrices(["q", "k", "v"].map(str::to_owned), 3, 8);
        assert_eq!((first.at, first.rows, first.width), (0, 1, 5));
        assert_eq!((stack.at, stack.rows, stack.width), (256, 9, 8));
        let ranges = ["q", "k", "v"].map(|name| plan.range(name).expect("it was planned"));
        assert_eq!(ranges, [256..304, 304..352, 352..400]);
        assert_eq!((&plan.tensors[0].shape[..], &plan.tensors[3].shape[..]), (&[5][..], &[3, 8][..]));
    }
}
