//! Where matrices lie in an encoder's buffers, and from which tensors of a file its weights come.
//!
//! Matrices that read the same input are stacked into one, so that one product takes the place of two or three. Where
//! an encoder does not stay on the card, its weights are brought part by part into one piece of memory for each prompt.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use half::bf16;

use crate::engine::cuda::beside::Beside;
use crate::engine::cuda::error::Result;
use crate::engine::cuda::flux::origin::seed_of;
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{ALIGNMENT, Buffer, Element, Layout, Matrix};
use crate::engine::lora::Changed;
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
        self.within(Memory { buffer, from: 0 })
    }

    /// The matrix in memory that holds a part of its layout.
    pub fn within(self, memory: Memory<'_>) -> Matrix<'_, T> {
        memory.buffer.matrix(self.at - memory.from, self.rows, self.width)
    }

    fn bytes(self) -> usize {
        self.rows * self.width * T::BYTES
    }

    /// `count` values from value `first` on, as one row.
    fn values(self, first: usize, count: usize) -> Self {
        Self { at: self.at + first * T::BYTES, rows: 1, width: count, ..self }
    }
}

/// Memory that holds a layout from byte `from` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory<'a> {
    buffer: &'a Buffer,
    from: usize,
}

impl<'a> Memory<'a> {
    /// Its last bytes: so many, or all of them.
    fn end(self, bytes: usize) -> Matrix<'a, u8> {
        let from = self.buffer.bytes().saturating_sub(bytes) / ALIGNMENT * ALIGNMENT;
        self.buffer.matrix(from, 1, self.buffer.bytes() - from)
    }
}

/// Bytes of memory that tensors are brought to as they are stored: two of T5-XXL's largest in fp8.
const BESIDE: usize = 84 << 20;

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
    /// Where each part but the first begins: its first tensor and its first byte.
    cuts: Vec<(usize, usize)>,
}

/// Where weights come from.
pub(super) enum Origin {
    File(Weights),
    /// Random ones from this seed, to measure with.
    Random(u64),
}

/// The same, for a while.
#[derive(Clone, Copy)]
enum From<'w> {
    File(&'w Weights),
    /// With what LoRAs change in them.
    Changed(&'w Weights, &'w Changed),
    Random(u64),
}

impl Origin {
    fn lent(&self) -> From<'_> {
        match self {
            Self::File(weights) => From::File(weights),
            Self::Random(seed) => From::Random(*seed),
        }
    }
}

/// An encoder's weights.
pub(super) struct Kept {
    plan: Plan,
    held: Held,
    /// While LoRAs change the encoder, each prompt brings it from here; what stays on the card waits.
    changed: Option<Box<(Weights, Changed)>>,
    purpose: &'static str,
}

enum Held {
    Resident(Buffer),
    Brought(Origin),
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} bytes on the card", self.purpose, self.bytes())
    }
}

impl Kept {
    /// Reads a file onto the card, where the weights stay; `each` is told of the share that is read, and may end it.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or there is no memory; what `each` gives.
    pub fn resident(
        gpu: &Arc<Gpu>,
        plan: Plan,
        weights: &Weights,
        purpose: &'static str,
        each: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<Self> {
        let held = Held::Resident(plan.load(gpu, From::File(weights), purpose, each)?);
        Ok(Self { plan, held, changed: None, purpose })
    }

    /// Random weights, which stay.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn random(gpu: &Arc<Gpu>, plan: Plan, seed: u64, purpose: &'static str) -> Result<Self> {
        let held = Held::Resident(plan.load(gpu, From::Random(seed), purpose, &mut |_| Ok(()))?);
        Ok(Self { plan, held, changed: None, purpose })
    }

    /// Nothing on the card; each prompt brings it.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn brought(plan: Plan, origin: Origin, purpose: &'static str) -> Result<Self> {
        if let Origin::File(weights) = &origin {
            plan.tensors.iter().try_for_each(|tensor| weights.check(&tensor.name, &tensor.shape))?;
        }
        Ok(Self { plan, held: Held::Brought(origin), changed: None, purpose })
    }

    /// Bytes that stay on the card.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.held {
            Held::Resident(buffer) => buffer.bytes(),
            Held::Brought(_) => 0,
        }
    }

    /// Changes the encoder from now on, whose file this is; with `None` it is what it was.
    pub fn set_changed(&mut self, changed: Option<(Weights, Changed)>) {
        self.changed = changed.map(Box::new);
    }

    /// Memory for the parts of weights that do not stay.
    ///
    /// # Errors
    /// When there is none.
    pub fn slot(&self, gpu: &Arc<Gpu>) -> Result<Option<Buffer>> {
        match (&self.held, &self.changed) {
            (Held::Resident(_), None) => Ok(None),
            _ => Buffer::new(gpu, self.plan.largest(), self.purpose).map(Some),
        }
    }

    /// Asks for what `run` asks of the card with a part of the weights, brought into `slot` unless it stays. Whatever
    /// read the part before has been asked for in the same stream, so it is overwritten in order.
    ///
    /// # Errors
    /// What `run` gives; what the driver says of a copy.
    pub fn with(
        &self,
        gpu: &Gpu,
        slot: Option<&Buffer>,
        part: usize,
        run: impl FnOnce(Memory<'_>) -> Result<()>,
    ) -> Result<()> {
        let from = match (&self.held, &self.changed) {
            (_, Some(changed)) => From::Changed(&changed.0, &changed.1),
            (Held::Brought(origin), None) => origin.lent(),
            (Held::Resident(buffer), None) => return run(Memory { buffer, from: 0 }),
        };
        let Some(buffer) = slot else { unreachable!("whoever encodes asks for the slot first") };
        let (tensors, bytes) = self.plan.part(part);
        let memory = Memory { buffer, from: bytes.start };
        self.plan.fill(gpu, memory, tensors, from, &mut |_| Ok(()))?;
        run(memory)
    }
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

    /// What is planned from here on is another part.
    pub fn cut(&mut self) {
        self.cuts.push((self.tensors.len(), self.layout.bytes()));
    }

    /// Tensors and bytes of a part.
    fn part(&self, part: usize) -> (Range<usize>, Range<usize>) {
        let end = (self.tensors.len(), self.layout.bytes());
        let first = part.checked_sub(1).map_or((0, 0), |cut| self.cuts[cut]);
        let last = self.cuts.get(part).copied().unwrap_or(end);
        (first.0..last.0, first.1..last.1)
    }

    /// Bytes of everything.
    pub fn bytes(&self) -> usize {
        self.layout.bytes()
    }

    /// Bytes of the largest part.
    pub fn largest(&self) -> usize {
        (0..=self.cuts.len()).map(|part| self.part(part).1.len()).max().unwrap_or(0)
    }

    /// Takes memory for everything and fills it.
    fn load(
        &self,
        gpu: &Arc<Gpu>,
        from: From<'_>,
        purpose: &'static str,
        each: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<Buffer> {
        let buffer = Buffer::new(gpu, self.layout.bytes(), purpose)?;
        self.fill(gpu, Memory { buffer: &buffer, from: 0 }, 0..self.tensors.len(), from, each)?;
        Ok(buffer)
    }

    /// Brings tensors. Random ones are each from `seed` and the name; under them the numbers stay of ordinary size:
    /// matrices of deviation 1/√(inputs). `each` is told of the share that has been asked for.
    fn fill(
        &self,
        gpu: &Gpu,
        memory: Memory<'_>,
        tensors: Range<usize>,
        from: From<'_>,
        each: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<()> {
        // What goes to the end of the memory is not there yet: others come there as they are stored.
        let beside = match from {
            From::File(_) | From::Changed(..) => Some(Beside::new(gpu, memory.end(BESIDE))?),
            From::Random(_) => None,
        };
        let all: usize = self.tensors[tensors.clone()].iter().map(|tensor| tensor.to.bytes()).sum();
        let mut done = 0;
        for Tensor { name, shape, to } in &self.tensors[tensors] {
            each(done as f64 / all.max(1) as f64)?;
            done += to.bytes();
            let to = to.within(memory);
            match from {
                From::Changed(weights, changed) if changed.is(name) => {
                    let mut values = weights.widened(name, shape)?;
                    changed.change(weights, name, &mut values)?;
                    let narrow: Vec<_> = values.into_iter().map(bf16::from_f32).collect();
                    gpu.upload(to, &narrow)?;
                }
                From::File(weights) | From::Changed(weights, _) => {
                    gpu.load_beside(to, beside.as_ref(), weights, name, shape)?;
                }
                From::Random(seed) => {
                    let (mean, deviation) = match **shape {
                        [_, inner] => (0.0, (inner as f32).powf(-0.5)),
                        _ if name.ends_with("weight") => (1.0, 0.1),
                        _ => (0.0, 0.02),
                    };
                    gpu.random(to, seed_of(seed, name), mean, deviation)?;
                }
            }
        }
        Ok(())
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
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
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

    #[test]
    fn parts_have_their_own_tensors_and_bytes() {
        let mut plan = Plan::default();
        plan.vector("a".to_owned(), 200);
        plan.cut();
        plan.matrix("b".to_owned(), 20, 30);
        plan.vector("c".to_owned(), 5);
        plan.cut();
        plan.vector("d".to_owned(), 5);
        let parts = [0, 1, 2].map(|part| plan.part(part));
        assert_eq!(parts, [(0..1, 0..512), (1..3, 512..2048), (3..4, 2048..2304)]);
        assert_eq!((plan.largest(), plan.bytes()), (1536, 2304));
    }
}
