//! LoRAs merged into the weights of blocks that stay on the card, for many of them at the speed of none: W' = W + ΣΔW,
//! summed in fp32 and rounded once, in fp8 stochastically from a fixed seed (`kernels/merge.cu`).
//!
//! What is merged cannot be taken out again. A block whose weights are not those of its file is read from there anew
//! before anything else is set: then it has its old bits, and the same LoRAs give the same bits whatever was set before.
//!
//! Beside the weights stay what is changed in streamed blocks (their images are read at each step, from the file itself
//! mostly), in quantised weights (their blocks have no place for it), in the layers at both ends and of the modulation
//! (which are small or run once a picture), and all biases and norms, which cost nothing there.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use rayon::prelude::*;

use super::linear::{Filling, Linear, Scratch};
use super::origin::{Origin, seed_of};
use super::side::Making;
use super::{Flux, sides};
use crate::engine::cuda::error::{CudaError, Result};
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{ALIGNMENT, Buffer, Layout, Matrix, aligned};
use crate::engine::cuda::merge::Merging;
use crate::engine::lora::{self, Change, Dense, Layer, Low, Parts};

/// What random numbers are of, together with the layer's name.
const SEED: u64 = 0x6d65_7267_6564;
/// Layers whose changes are in host memory at a time.
const TOGETHER: usize = 16;

/// What is not as it is in its file.
#[derive(Debug, Default)]
pub(super) struct Merged {
    blocks: BTreeSet<usize>,
    layers: usize,
}

/// A layer and what is changed in it.
pub(super) type Wanted<'l> = (&'l str, Vec<(&'l Layer, f32)>);

/// Where weights can be merged into: the block's number, and the layer in it, by its name.
pub(super) type Targets = HashMap<String, (usize, Linear)>;

/// What is changed in a weight, in fp32.
#[derive(Default)]
struct Changes {
    /// Of DoRA: what W is multiplied by to be added to itself, by rows and by columns.
    again: Vec<f32>,
    columns: Vec<(Range<usize>, Vec<f32>)>,
    lows: Vec<Pair>,
    krons: Vec<Kron>,
    dense: Vec<Dense>,
}

/// B turned, `[ranks, rows]`, and A, `[ranks, inner]`.
struct Pair {
    rows: Range<usize>,
    up: lora::Matrix,
    down: lora::Matrix,
}

/// Strength and scale are in the left one.
struct Kron {
    rows: Range<usize>,
    left: lora::Matrix,
    right: lora::Matrix,
}

impl Pair {
    /// Of those that change the same rows.
    fn of(lows: &[Low<'_>], inner: usize) -> Self {
        let rows = lows[0].rows.clone();
        let ranks: usize = lows.iter().map(Low::rank).sum();
        let mut down = vec![0.0; ranks * inner];
        let each = lows.iter().flat_map(|low| (0..low.rank()).map(move |rank| (low, rank)));
        down.chunks_exact_mut(inner).zip(each).for_each(|(row, (low, rank))| low.down_row(rank, row));
        let mut up = vec![0.0; ranks * rows.len()];
        let mut row = vec![0.0; ranks];
        for at in 0..rows.len() {
            let mut filled = 0;
            for low in lows {
                low.up_row(at, &mut row[filled..][..low.rank()]);
                filled += low.rank();
            }
            up[at..].iter_mut().step_by(rows.len()).zip(&row).for_each(|(to, from)| *to = *from);
        }
        let up = lora::Matrix { rows: ranks, columns: rows.len(), values: up };
        Self { rows, up, down: lora::Matrix { rows: ranks, columns: inner, values: down } }
    }
}

impl Kron {
    fn of(dense: &Dense) -> Option<Self> {
        let Change::Kronecker(both) = &*dense.change else { return None };
        let plain = dense.row_gains.is_empty() && dense.column_gains.is_empty();
        let mut left = both.left.clone();
        left.values.iter_mut().for_each(|value| *value *= dense.factor);
        plain.then(|| Self { rows: dense.rows.clone(), left, right: both.right.clone() })
    }
}

impl Changes {
    fn of(mut parts: Parts<'_>, inner: usize) -> Self {
        parts.pair_up();
        parts.low.sort_by_key(|low| (low.rows.start, low.rows.end));
        let same = parts.low.chunk_by(|one, other| one.rows == other.rows);
        let lows = same.map(|lows| Pair::of(lows, inner)).collect();
        let mut all = Self { again: parts.again, columns: parts.columns, lows, ..Self::default() };
        for dense in parts.dense {
            match Kron::of(&dense) {
                Some(kron) => all.krons.push(kron),
                None => all.dense.push(dense),
            }
        }
        all
    }

    /// All that goes to the card at once, in order.
    fn matrices(&self) -> impl Iterator<Item = ([usize; 2], &[f32])> {
        let of = |matrix: &'_ lora::Matrix| [matrix.rows, matrix.columns];
        let again = std::iter::once(([self.again.len(), 1], &self.again[..]));
        let columns = self.columns.iter().map(|(_, factors)| ([1, factors.len()], &factors[..]));
        let lows = self.lows.iter().flat_map(|pair| [&pair.up, &pair.down]);
        let krons = self.krons.iter().flat_map(|kron| [&kron.left, &kron.right]);
        again.chain(columns).chain(lows.chain(krons).map(move |matrix| (of(matrix), &matrix.values[..])))
    }

    /// Where they go, and bytes of all.
    fn places(&self) -> (Vec<(usize, [usize; 2])>, usize) {
        let mut layout = Layout::default();
        let place =
            |(shape @ [rows, columns], _): ([usize; 2], _)| (layout.place::<f32>(rows, columns), shape);
        (self.matrices().map(place).collect(), layout.bytes())
    }

    /// Merges them into a weight; `memory` is for what [`Changes::places`] says.
    fn merge(
        &self,
        gpu: &Gpu,
        (weight, key): (Merging<'_>, u64),
        memory: &Buffer,
        scratch: &Scratch<'_>,
    ) -> Result<()> {
        let (places, _) = self.places();
        for ((at, [rows, columns]), (_, values)) in places.iter().zip(self.matrices()) {
            gpu.upload(memory.matrix::<f32>(*at, *rows, *columns), values)?;
        }
        let there: Vec<_> =
            places.iter().map(|(at, [rows, columns])| memory.matrix::<f32>(*at, *rows, *columns)).collect();
        let half = scratch.0.bytes() / 2 / ALIGNMENT * ALIGNMENT;
        let fit = half / (weight.width() * size_of::<f32>());
        if fit == 0 {
            let width = weight.width();
            return Err(CudaError::Shape(format!("a row of {width} in fp32 for a scratch of {half} bytes")));
        }
        (0..weight.rows()).step_by(fit).try_for_each(|first| {
            let rows = first..weight.rows().min(first + fit);
            self.merge_rows(gpu, (weight, key), rows, &there, (scratch, aligned(half)))
        })
    }

    fn merge_rows(
        &self,
        gpu: &Gpu,
        (weight, key): (Merging<'_>, u64),
        rows: Range<usize>,
        there: &[Matrix<'_, f32>],
        (scratch, half): (&Scratch<'_>, usize),
    ) -> Result<()> {
        let (first, count, width) = (rows.start, rows.len(), weight.width());
        let part = weight.slice_rows(first, count);
        let w = scratch.0.matrix::<f32>(0, count, width);
        // The rows of a change that are here: where in w, where in the change, how many.
        let here = |of: &Range<usize>| {
            let (begin, end) = (of.start.max(first), of.end.min(rows.end));
            (begin < end).then(|| (begin - first, begin - of.start, end - begin))
        };
        let (again, there) = there.split_at(1);
        let again = (!self.again.is_empty()).then(|| again[0].slice_rows(first, count));
        gpu.merge_begin(part, again, w)?;
        let (columns, there) = there.split_at(self.columns.len());
        for ((of, _), factors) in self.columns.iter().zip(columns) {
            if let Some((at, _, count)) = here(of) {
                gpu.merge_columns(part.slice_rows(at, count), *factors, w.slice_rows(at, count))?;
            }
        }
        let (lows, krons) = there.split_at(2 * self.lows.len());
        for (pair, both) in self.lows.iter().zip(lows.chunks_exact(2)) {
            if let Some((at, from, count)) = here(&pair.rows) {
                gpu.merge_low(w.slice_rows(at, count), both[0].slice_columns(from, count), both[1])?;
            }
        }
        for (kron, both) in self.krons.iter().zip(krons.chunks_exact(2)) {
            if let Some((at, from, count)) = here(&kron.rows) {
                gpu.merge_kron(w.slice_rows(at, count), both[0], both[1], from)?;
            }
        }
        for dense in &self.dense {
            if let Some((at, from, count)) = here(&dense.rows) {
                let mut values = vec![0.0; count * width];
                values
                    .par_chunks_mut(width)
                    .enumerate()
                    .for_each(|(row, values)| dense.rows_of(from + row, values));
                let more = scratch.0.matrix::<f32>(half, count, width);
                gpu.upload(more, &values)?;
                gpu.merge_add(w.slice_rows(at, count), more)?;
            }
        }
        gpu.merge_end(w, part, key, first)
    }
}

impl Flux {
    /// How many layers LoRAs are merged into.
    #[must_use]
    pub fn merged_layers(&self) -> usize {
        self.merged.layers
    }

    /// How many they could be merged into.
    #[must_use]
    pub fn mergeable(&self) -> usize {
        self.targets().len()
    }

    /// The layers that can be merged into.
    pub(super) fn targets(&self) -> Targets {
        let places = self.store.places();
        let double =
            self.double.iter().enumerate().flat_map(|(index, block)| {
                block.layers(index).map(move |(name, layer)| (name, (index, *layer)))
            });
        let single = self.single.iter().enumerate().flat_map(|(index, block)| {
            let number = self.double.len() + index;
            block.layers(index).map(move |(name, layer)| (name, (number, *layer)))
        });
        let can = |(number, layer): &(usize, Linear)| {
            places.resident(*number).is_some_and(|memory| layer.merging(memory).is_some())
        };
        double.chain(single).filter(|(_, at)| can(at)).collect()
    }

    /// Merges what is changed in these layers, which are among `targets`.
    pub(super) fn merge(
        &mut self,
        origin: &Origin<'_>,
        targets: &Targets,
        wanted: &[Wanted<'_>],
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.arrive_whole(&mut ())?;
        let mut memory: Option<Buffer> = None;
        for some in wanted.chunks(TOGETHER) {
            let changes = some.par_iter().map(|(name, layers)| {
                let (_, linear) = &targets[*name];
                let shape = [linear.out(), linear.inner()];
                let Making { parts, .. } = sides::making(origin, name, shape, layers.clone(), false)?;
                Ok(Changes::of(parts, linear.inner()))
            });
            for ((name, _), changes) in some.iter().zip(changes.collect::<Result<Vec<_>>>()?) {
                let (_, bytes) = changes.places();
                if memory.as_ref().is_none_or(|memory| memory.bytes() < bytes) {
                    // Not two of them at a time.
                    drop(memory.take());
                    memory = Some(Buffer::new(&self.gpu, bytes, "LoRAs on their way into weights")?);
                }
                let Some(memory) = &memory else { unreachable!("taken just before") };
                self.merge_layer(name, &targets[*name], &changes, memory)?;
            }
        }
        self.gpu.wait()
    }

    fn merge_layer(
        &mut self,
        name: &str,
        (block, linear): &(usize, Linear),
        changes: &Changes,
        memory: &Buffer,
    ) -> Result<()> {
        let missing = || CudaError::Shape(format!("{name} is no layer that LoRAs can be merged into"));
        let weights = self.store.places().resident(*block).ok_or_else(missing)?;
        let weight = linear.merging(weights).ok_or_else(missing)?;
        // From here on its file has to be read to have it back.
        self.merged.blocks.insert(*block);
        changes.merge(&self.gpu, (weight, seed_of(SEED, name)), memory, &Scratch(&self.scratch))?;
        self.merged.layers += 1;
        Ok(())
    }

    /// Reads blocks that something was merged into from their file again.
    pub(super) fn restore(&mut self, origin: &Origin<'_>) -> Result<()> {
        if self.merged.blocks.is_empty() {
            return Ok(());
        }
        // Steps that were asked for read them still, and copies have streams of their own.
        self.gpu.wait()?;
        let scratch = Scratch(&self.scratch);
        let filling = Filling { gpu: &self.gpu, origin, scratch: &scratch, in_place: None };
        for block in &self.merged.blocks {
            let Some(memory) = self.store.places().resident(*block) else { continue };
            match self.double.get(*block) {
                Some(double) => double.fill(memory, *block, &filling)?,
                None => {
                    let index = block - self.double.len();
                    self.single[index].fill(memory, index, &filling)?;
                }
            }
        }
        self.gpu.wait()?;
        self.merged = Merged::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::engine::lora::{Changed, Of, Shapes, read};
    use crate::engine::weights::Weights;
    use crate::model::Source;

    /// What the kernels make of a weight, one after the other.
    fn merged(changes: &Changes, own: &[f32], inner: usize) -> Vec<f32> {
        let mut w = own.to_vec();
        for (row, factor) in changes.again.iter().enumerate() {
            w[row * inner..][..inner].iter_mut().for_each(|value| *value *= 1.0 + factor);
        }
        for (rows, factors) in &changes.columns {
            for at in rows.start * inner..rows.end * inner {
                w[at] += own[at] * factors[at % inner];
            }
        }
        for Pair { rows, up, down } in &changes.lows {
            for (row, at) in rows.clone().enumerate() {
                for rank in 0..down.rows {
                    let to = w[at * inner..][..inner].iter_mut();
                    to.zip(down.row(rank)).for_each(|(to, value)| *to += up.row(rank)[row] * value);
                }
            }
        }
        for Kron { rows, left, right } in &changes.krons {
            for (row, at) in rows.clone().enumerate() {
                for column in 0..inner {
                    let factor = left.row(row / right.rows)[column / right.columns];
                    w[at * inner + column] += factor * right.row(row % right.rows)[column % right.columns];
                }
            }
        }
        let mut delta = vec![0.0; inner];
        for dense in &changes.dense {
            for (row, at) in dense.rows.clone().enumerate() {
                dense.rows_of(row, &mut delta);
                w[at * inner..][..inner].iter_mut().zip(&delta).for_each(|(to, value)| *to += value);
            }
        }
        w
    }

    #[test]
    fn what_goes_to_the_card_comes_to_the_merge_of_every_form() {
        let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let open = |name: &str| Weights::open(&Source::File(file(name))).expect("nano is whole");
        let transformer = open("models/nano/flux1-nano-fp8.safetensors");
        let (clip, t5) = (open("models/nano/clip.safetensors"), open("models/nano/t5.safetensors"));
        let shapes = Shapes::of(&transformer, &clip, &t5);
        let lora = |name: &str| {
            let path = file(&format!("tests/lora/fixtures/{name}.safetensors"));
            Arc::new(read(&path, &shapes).unwrap_or_else(|error| panic!("{name}: {error}")))
        };
        let mut kinds = [0; 4];
        for names in [
            &["kohya", "peft", "xlabs"][..],
            &["lokr", "loha"],
            &["dora", "kohya"],
            &["peft-dora", "full"],
            &["lycoris", "comfy"],
        ] {
            let loras: Vec<_> = names.iter().map(|name| (lora(name), 0.6)).collect();
            let changed = Changed::by(&loras, Of::Transformer);
            for (name, layers) in changed.layers() {
                let shape @ [out, inner] = shapes.transformer[name];
                let origin = Origin::File(&transformer);
                let Making { parts, weight, .. } =
                    sides::making(&origin, name, shape, layers.clone(), false).expect("it is there");
                let mut own = vec![0.0; out * inner];
                weight(0, &mut own);
                let mut expected = own.clone();
                for (layer, strength) in &layers {
                    layer.branches.iter().for_each(|branch| branch.merge(*strength, &*weight, &mut expected));
                }
                let changes = Changes::of(parts, inner);
                let (places, bytes) = changes.places();
                assert!(places.iter().all(|(at, [rows, columns])| at + 4 * rows * columns <= bytes));
                let counts =
                    [changes.lows.len(), changes.krons.len(), changes.columns.len(), changes.dense.len()];
                kinds.iter_mut().zip(counts).for_each(|(kind, count)| *kind += count);
                let ours = merged(&changes, &own, inner);
                let off = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                assert!(off <= 1e-5 * largest.max(1.0), "{names:?}, {name}: {off:e} of {largest}");
            }
        }
        assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
    }
}
