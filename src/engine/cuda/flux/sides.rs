//! All that LoRAs add beside a transformer on a card, in one piece of memory that is given back when others are set.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use half::bf16;
use rayon::prelude::*;

use super::Flux;
use super::merge::Targets;
use super::modulation::Modulator;
use super::origin::Origin;
use super::side::{Beside, Making, Piece, Side};
use crate::engine::cuda::error::Result;
use crate::engine::cuda::gpu::Gpu;
use crate::engine::cuda::memory::{Buffer, Layout, Matrix};
use crate::engine::lora::{Changed, Layer, Parts, Rows};

/// Which layer of a block: text's or image's half, then the layer; of single blocks the half is 0.
pub type At = (usize, usize);

/// The layers at both ends, in the order of [`Sides::end`].
const ENDS: [&str; 3] = ["img_in", "txt_in", "final_layer.linear"];

/// What is beside a transformer.
#[derive(Debug)]
pub struct Sides {
    memory: Buffer,
    double: Vec<[[Option<Side>; 4]; 2]>,
    single: Vec<[Option<Side>; 2]>,
    ends: [Option<Side>; 3],
    /// By the modulation layers' names, and the embedders'.
    modulation: HashMap<String, Side>,
    /// The norms of blocks in the order of use, where anything is added to them.
    norms: Vec<Option<usize>>,
    /// Tells these apart from all that were set before.
    number: u64,
}

impl Sides {
    /// Bytes of device memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Beside a double block's layer.
    #[must_use]
    pub fn double(&self, block: usize, (stream, layer): At) -> Option<Beside<'_>> {
        self.beside(self.double[block][stream][layer].as_ref())
    }

    /// Beside a single block's.
    #[must_use]
    pub fn single(&self, block: usize, layer: usize) -> Option<Beside<'_>> {
        self.beside(self.single[block][layer].as_ref())
    }

    /// Beside `img_in`, `txt_in` and the last layer.
    #[must_use]
    pub fn end(&self, layer: usize) -> Option<Beside<'_>> {
        self.beside(self.ends[layer].as_ref())
    }

    /// Beside a layer that the tables of modulations are made with.
    #[must_use]
    pub fn modulation(&self, name: &str) -> Option<Beside<'_>> {
        self.beside(self.modulation.get(name))
    }

    /// What tells tables apart that were made with other LoRAs; 0 where none changes them.
    #[must_use]
    pub fn of_tables(&self) -> u64 {
        if self.modulation.is_empty() { 0 } else { self.number }
    }

    /// A block's norms in place of its own, where anything is added to them.
    #[must_use]
    pub fn norms(&self, block: usize, width: usize) -> Option<Matrix<'_, bf16>> {
        self.norms[block].map(|at| self.memory.matrix(at, 1, width))
    }

    fn beside<'a>(&'a self, side: Option<&'a Side>) -> Option<Beside<'a>> {
        side.map(|side| Beside { side, memory: &self.memory })
    }
}

/// A layer's side on its way, and all of its bytes.
struct Made<'l> {
    name: &'l str,
    side: Side,
    bytes: usize,
    pieces: Vec<Piece>,
}

impl Flux {
    /// Sets what these LoRAs add beside the transformer from now on, and lets go of what was set before. `shapes` are those
    /// of its linear layers. Nothing of the weights is touched, but what was merged into them is taken out; after an error
    /// nothing is set.
    ///
    /// # Errors
    /// When there is no memory; when a layer that DoRA changes, or whose bias is changed, cannot be read.
    pub fn set_loras(
        &mut self,
        origin: &Origin<'_>,
        shapes: &BTreeMap<String, [usize; 2]>,
        changed: &Changed,
    ) -> Result<()> {
        self.set_or_nothing(origin, shapes, changed, false)
    }

    /// The same, merged into weights where that can be done ([`super::merge`]).
    ///
    /// # Errors
    /// As [`Flux::set_loras`]; when weights do not arrive.
    pub fn merge_loras(
        &mut self,
        origin: &Origin<'_>,
        shapes: &BTreeMap<String, [usize; 2]>,
        changed: &Changed,
    ) -> Result<()> {
        self.set_or_nothing(origin, shapes, changed, true)
    }

    fn set_or_nothing(
        &mut self,
        origin: &Origin<'_>,
        shapes: &BTreeMap<String, [usize; 2]>,
        changed: &Changed,
        merge: bool,
    ) -> Result<()> {
        self.sides = None;
        self.restore(origin)?;
        self.set(origin, shapes, changed, merge).inspect_err(|_| {
            self.sides = None;
            if let Err(error) = self.restore(origin) {
                // Whoever sets LoRAs next tries again.
                tracing::error!(%error, "weights with LoRAs in them could not be read again");
            }
        })
    }

    fn set(
        &mut self,
        origin: &Origin<'_>,
        shapes: &BTreeMap<String, [usize; 2]>,
        changed: &Changed,
        merge: bool,
    ) -> Result<()> {
        let (layers, norms) = (changed.layers(), changed.norms());
        if layers.is_empty() && norms.is_empty() {
            return Ok(());
        }
        let quantises = self.precision.quantises();
        let layers: Vec<_> = layers.into_iter().filter(|(name, _)| shapes.contains_key(*name)).collect();
        let targets = if merge { self.targets() } else { Targets::default() };
        let merged = |name: &str| targets.contains_key(name);
        let into: Vec<_> = layers.iter().filter(|(name, _)| merged(name)).cloned().collect();
        let made = layers.into_par_iter().map(|(name, layers)| {
            let mut making = making(origin, name, shapes[name], layers, merged(name))?;
            let mut layout = Layout::default();
            let side = Side::place(&mut layout, &mut making, quantises && is_in_a_block(name));
            let pieces = side.pieces(&making);
            Ok(Made { name, side, bytes: layout.bytes(), pieces })
        });
        let made = made.collect::<Result<Vec<_>>>()?;
        self.merge(origin, &targets, &into)?;
        let mut layout = Layout::default();
        let (mut sides, mut pieces) = (HashMap::new(), Vec::new());
        // Of what is merged nothing may be left.
        for Made { name, side, bytes, pieces: own } in made.into_iter().filter(|made| made.bytes > 0) {
            let at = layout.place::<u8>(1, bytes);
            pieces.extend(own.into_iter().map(|(from, bytes)| (at + from, bytes)));
            sides.insert(name.to_owned(), side.moved(at));
        }
        let norms = self.place_norms(&mut layout, &norms);
        if layout.bytes() == 0 {
            return Ok(());
        }
        let memory = Buffer::new(&self.gpu, layout.bytes(), "LoRAs")?;
        upload(&self.gpu, &memory, pieces)?;
        let norms = norms.into_iter().map(|norms| fill_norms(&self.gpu, &memory, origin, norms));
        let norms = norms.collect::<Result<_>>()?;
        self.sides = Some(self.sorted(sides, memory, norms));
        // What was uploaded out of ordinary memory is there.
        self.gpu.wait()
    }

    /// What is beside the transformer.
    #[must_use]
    pub fn sides(&self) -> Option<&Sides> {
        self.sides.as_ref()
    }

    fn sorted(&self, mut sides: HashMap<String, Side>, memory: Buffer, norms: Vec<Option<usize>>) -> Sides {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let double = self.double.iter().enumerate().map(|(index, block)| {
            let mut names = block.layers(index).map(|(name, _)| name);
            let mut take = |_| names.next().and_then(|name| sides.remove(&name));
            [[0; 4].map(&mut take), [0; 4].map(&mut take)]
        });
        let double = double.collect();
        let single = self.single.iter().enumerate().map(|(index, block)| {
            let mut names = block.layers(index).map(|(name, _)| name);
            [0; 2].map(|_| names.next().and_then(|name| sides.remove(&name)))
        });
        let single = single.collect();
        let ends = ENDS.map(|name| sides.remove(name));
        // What is left is read by the modulator alone.
        let modulation = sides;
        debug_assert!(modulation.keys().all(|name| Modulator::has(&self.config, name)));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Sides { memory, double, single, ends, modulation, norms, number }
    }

    /// Of each block in the order of use: where its norms go, and the tensors that they are made of with what is added,
    /// where anything is.
    fn place_norms(&self, layout: &mut Layout, added: &BTreeMap<String, Vec<f32>>) -> Vec<Option<Norms>> {
        let dim = self.config.head_dim();
        let double = (0..self.double.len()).map(|index| {
            ["txt", "img"].map(|stream| format!("double_blocks.{index}.{stream}_attn.norm")).to_vec()
        });
        let single = (0..self.single.len()).map(|index| vec![format!("single_blocks.{index}.norm")]);
        let norms = double.chain(single).map(|prefixes| {
            let names = prefixes
                .iter()
                .flat_map(|prefix| ["query", "key"].map(|which| format!("{prefix}.{which}_norm.scale")));
            let all: Vec<_> = names.map(|name| (added.get(&name).cloned(), name)).collect();
            let any = all.iter().any(|(added, _)| added.is_some());
            any.then(|| Norms { at: layout.place::<bf16>(1, all.len() * dim), all, dim })
        });
        norms.collect()
    }
}

/// The norms of a block.
struct Norms {
    at: usize,
    /// What is added to each, and its name.
    all: Vec<(Option<Vec<f32>>, String)>,
    dim: usize,
}

fn fill_norms(
    gpu: &Arc<Gpu>,
    memory: &Buffer,
    origin: &Origin<'_>,
    norms: Option<Norms>,
) -> Result<Option<usize>> {
    let Some(Norms { at, all, dim }) = norms else { return Ok(None) };
    let to = memory.matrix::<bf16>(at, 1, all.len() * dim);
    for (index, (added, name)) in all.iter().enumerate() {
        let to = to.slice_columns(index * dim, dim);
        let Some(added) = added else {
            origin.bf16(gpu, to, name, &[dim])?;
            continue;
        };
        let own = values(origin, name, &[dim])?;
        let sum: Vec<_> = own.iter().zip(added).map(|(own, added)| bf16::from_f32(own + added)).collect();
        gpu.upload(to, &sum)?;
    }
    Ok(Some(at))
}

/// Brings pieces to their places in one copy by all threads; between them are zeros.
fn upload(gpu: &Gpu, memory: &Buffer, mut pieces: Vec<Piece>) -> Result<()> {
    pieces.sort_by_key(|(at, _)| *at);
    gpu.make(memory.matrix(0, 1, memory.bytes()), |first, to| {
        to.fill(0);
        let end = first + to.len();
        let begun = pieces.partition_point(|(at, bytes)| at + bytes.len() <= first);
        for (at, bytes) in pieces[begun..].iter().take_while(|(at, _)| *at < end) {
            let (from, until) = (first.max(*at), end.min(at + bytes.len()));
            to[from - first..until - first].copy_from_slice(&bytes[from - at..until - at]);
        }
    })
}

/// What a layer's side is made of, or only what is added to its bias; of the layer itself only what is needed is read.
pub(super) fn making<'l>(
    origin: &Origin<'l>,
    name: &str,
    shape: [usize; 2],
    layers: Vec<(&'l Layer, f32)>,
    biases: bool,
) -> Result<Making<'l>> {
    let weight: Box<Rows<'l>> = match origin {
        Origin::File(weights) => {
            let matrix = weights.matrix(&format!("{name}.weight"), (shape[0], shape[1]))?;
            Box::new(move |first: usize, out: &mut [f32]| matrix.widen(first, out))
        }
        // They are made on the card; only DoRA asks.
        Origin::Random(_) => Box::new(|_: usize, out: &mut [f32]| out.fill(0.0)),
    };
    let parts = if biases { Parts::biases_of(shape, &layers) } else { Parts::of(shape, &layers, &*weight) };
    let wanted = !parts.bias.is_empty() || !parts.again.is_empty();
    let bias = if wanted { values(origin, &format!("{name}.bias"), &[shape[0]])? } else { Vec::new() };
    Ok(Making { shape, layers, parts, weight, bias })
}

fn values(origin: &Origin<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    match origin {
        Origin::File(weights) => Ok(weights.widened(name, shape)?),
        Origin::Random(_) => Ok(vec![0.0; shape.iter().product()]),
    }
}

/// Whether a layer reads what its block's norms or activations give, in fp8 where there is fp8: those of the modulation
/// read vectors in bf16.
fn is_in_a_block(name: &str) -> bool {
    let modulates = name.contains("_mod.lin") || name.contains(".modulation.");
    (name.starts_with("double_blocks.") || name.starts_with("single_blocks.")) && !modulates
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::engine::lora::{Of, Shapes, footprint, read};
    use crate::engine::weights::Weights;
    use crate::model::Source;

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    #[test]
    fn what_lies_beside_a_model_is_the_change_and_no_more_than_the_files_header_foretells() {
        let open = |name: &str| Weights::open(&Source::File(file(name))).expect("nano is whole");
        let transformer = open("models/nano/flux1-nano-fp8.safetensors");
        let (clip, t5) = (open("models/nano/clip.safetensors"), open("models/nano/t5.safetensors"));
        let shapes = Shapes::of(&transformer, &clip, &t5);
        let forms =
            ["comfy", "dora", "full", "kohya", "loha", "lokr", "lycoris", "peft", "peft-dora", "xlabs"];
        for name in forms {
            let path = file(&format!("tests/lora/fixtures/{name}.safetensors"));
            let lora = Arc::new(read(&path, &shapes).unwrap_or_else(|error| panic!("{name}: {error}")));
            let changed = Changed::by(&[(lora, 0.7)], Of::Transformer);
            let (mut bytes, mut places) = (0, 0);
            for (layer, layers) in changed.layers() {
                let shape = shapes.transformer[layer];
                let mut making = making(&Origin::File(&transformer), layer, shape, layers.clone(), false)
                    .expect("it is there");
                let mut layout = Layout::default();
                let side = Side::place(&mut layout, &mut making, false);
                let mut pieces = side.pieces(&making);
                pieces.sort();
                let apart = pieces.windows(2).all(|two| two[0].0 + two[0].1.len() <= two[1].0);
                let last = pieces.last().expect("something is changed");
                assert!(apart && last.0 + last.1.len() <= layout.bytes(), "{name}");
                (bytes, places) = (bytes + layout.bytes(), places + pieces.len() + 2);
                let factors = ["lokr", "loha", "lycoris", "kohya", "comfy"].contains(&name);
                assert!(!(factors && side.is_whole()), "{name}, {layer}: a whole matrix");
                if side.is_dora() {
                    continue;
                }
                let mut memory = vec![0; layout.bytes()];
                pieces.iter().for_each(|(at, bytes)| memory[*at..][..bytes.len()].copy_from_slice(bytes));
                let mut expected = vec![0.0; shape[0] * shape[1]];
                for (layer, strength) in &layers {
                    layer
                        .branches
                        .iter()
                        .for_each(|branch| branch.merge(*strength, &*making.weight, &mut expected));
                }
                let ours = side.delta(&memory);
                let norm = |values: &mut dyn Iterator<Item = f32>| {
                    values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
                };
                let off = norm(&mut ours.iter().zip(&expected).map(|(ours, theirs)| ours - theirs));
                let all = norm(&mut expected.iter().copied());
                // Each of two factors is off by 2^-9 at most.
                assert!(off <= 4e-3 * all, "{name}, {layer}: off by {:.1e}", off / all);
            }
            // Small matrices are not small beside the gaps between them.
            let most = footprint(&path) as usize + 256 * places;
            assert!(bytes <= most, "{name}: {bytes} of at most {most}");
        }
    }
}
