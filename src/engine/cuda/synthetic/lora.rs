//! LoRAs of random values for a transformer of full size, on every linear layer of its blocks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::{SEED, Synthetic};
use crate::engine::cuda::error::Result;
use crate::engine::cuda::flux::origin::{Origin, seed_of};
use crate::engine::dit::config::Config;
use crate::engine::lora::{Branch, Change, Changed, Kronecker, Layer, Lora, Matrix, Of};

/// Which change they make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// B A of this rank.
    LowRank(usize),
    /// LoKr, its first factor square and of this side.
    Kronecker(usize),
    /// LoHa, both products of this rank.
    Hadamard(usize),
}

/// A LoRA of this form, another for each `number`.
#[must_use]
pub fn random(config: &Config, form: Form, number: u64) -> Lora {
    let layer = |(name, [out, inner]): (String, [usize; 2])| {
        let values = |which: &str, rows: usize, columns: usize| {
            let seed = seed_of(SEED ^ number, &format!("{name}.{which}"));
            // Even over ±0.02: their time depends on their number alone.
            let value = |index: usize| (seed_of(seed, "") ^ mixed(index as u64 ^ seed)) as u16;
            let values = (0..rows * columns).map(|index| f32::from(value(index)) / 65_535.0 * 0.04 - 0.02);
            Matrix { rows, columns, values: values.collect() }
        };
        let change = match form {
            Form::LowRank(rank) => {
                Change::LowRank { down: values("down", rank, inner), up: values("up", out, rank) }
            }
            Form::Kronecker(side) => Change::Kronecker(Kronecker::new(
                values("left", side, side),
                values("right", out / side, inner / side),
            )),
            Form::Hadamard(rank) => Change::Hadamard(
                [["b1", "a1"], ["b2", "a2"]].map(|[b, a]| (values(b, out, rank), values(a, rank, inner))),
            ),
        };
        let branch = Branch { rows: 0..out, change: Arc::new(change), scale: 1.0, magnitude: None };
        (name, Layer { branches: vec![branch], biases: Vec::new() })
    };
    let transformer: BTreeMap<_, _> = shapes(config).into_par_iter().map(layer).collect();
    Lora { transformer, ..Lora::default() }
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
fn mixed(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// The linear layers of the blocks, `[out, inner]`.
fn shapes(config: &Config) -> BTreeMap<String, [usize; 2]> {
    let layers = config.tensors().into_iter().filter_map(|(name, shape)| {
        let name = name.strip_suffix(".weight").filter(|name| name.contains("_blocks."))?.to_owned();
        Some((name, <[usize; 2]>::try_from(&shape[..]).ok()?))
    });
    layers.collect()
}

impl Synthetic {
    /// Sets these beside the transformer, or merges them into it, at strength 1, and no others; how many seconds that took,
    /// and bytes of device memory.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn set_loras(&mut self, loras: &[Arc<Lora>], merge: bool) -> Result<(f64, u64)> {
        let loras: Vec<_> = loras.iter().map(|lora| (Arc::clone(lora), 1.0)).collect();
        let (shapes, changed) = (shapes(&self.flux.config), Changed::by(&loras, Of::Transformer));
        let (begun, gpu) = (Instant::now(), Arc::clone(&self.gpu));
        let flux = &mut self.flux;
        rayon::scope(move |_| {
            gpu.bind()?;
            let origin = Origin::Random(SEED);
            if merge {
                flux.merge_loras(&origin, &shapes, &changed)
            } else {
                flux.set_loras(&origin, &shapes, &changed)
            }
        })?;
        let bytes = self.flux.sides().map_or(0, |sides| sides.bytes() as u64);
        Ok((begun.elapsed().as_secs_f64(), bytes))
    }
}
