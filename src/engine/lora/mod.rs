//! LoRAs: small changes of a model's layers, from files of any form, as plain data that every engine can add beside
//! weights that stay untouched.
//!
//! ```text
//! file ── names: which layer, which of its rows, what of a change ──> Lora ── strength ──> Side ──> y = W x + … beside W
//! ```
//!
//! A layer's change is a sum of [`Branch`]es: y += strength · scale · B (A x) for the usual ones. [`read()`] reads a file;
//! [`Side`] is what a layer has beside it for all LoRAs of a picture together, [`merge`](Branch::merge) puts a branch into
//! weights instead. Which names there are is data, `names.toml`.
//!
//! Formulas: LoRA, <https://arxiv.org/abs/2106.09685>; LoHa and LoKr, <https://arxiv.org/abs/2309.14859>; DoRA,
//! <https://arxiv.org/abs/2402.09353>. Where tools differ, ComfyUI's are followed: it has all of them.

mod alphas;
mod change;
mod changed;
mod describe;
mod during;
mod error;
mod footprint;
mod merging;
mod names;
mod parts;
mod read;
mod shelf;
mod side;

use std::collections::BTreeMap;

pub use change::{Bias, Branch, Change, Kronecker, Magnitude, Matrix};
pub use changed::Changed;
pub use describe::{describe, thumbnail};
pub use during::During;
pub use error::LoraError;
pub use footprint::footprint;
pub use merging::{merges, merging_note};
pub use names::Of;
pub use parts::{Low, Parts, Rows};
pub use read::{glance, read};
pub use shelf::{Shelf, text};
pub use side::{Dense, Side, Up};

use crate::engine::weights::Weights;

/// What a LoRA changes, by the layers' names here: the transformer's in BFL's, the encoders' in transformers'.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lora {
    /// Linear layers of the transformer.
    pub transformer: BTreeMap<String, Layer>,
    /// Linear layers of CLIP.
    pub clip: BTreeMap<String, Layer>,
    /// Linear layers of T5.
    pub t5: BTreeMap<String, Layer>,
    /// What is added to the weights of norms, by the tensor's name.
    pub norms: BTreeMap<String, Vec<f32>>,
    /// How many tensors the file has.
    pub tensors: usize,
    /// Those of them that belong to nothing here, in order.
    pub unapplied: Vec<String>,
}

/// What is changed in one layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layer {
    /// Changes of its weight.
    pub branches: Vec<Branch>,
    /// Changes of its bias.
    pub biases: Vec<Bias>,
}

/// The layers that a model has, by its files' headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shapes {
    /// Of the transformer's linear layers, `[out, in]`.
    pub transformer: BTreeMap<String, [usize; 2]>,
    /// Of CLIP's.
    pub clip: BTreeMap<String, [usize; 2]>,
    /// Of T5's.
    pub t5: BTreeMap<String, [usize; 2]>,
    /// Widths of the transformer's norms, by the tensors' names.
    pub norms: BTreeMap<String, usize>,
}

impl Shapes {
    /// Of these weights, under this program's names.
    #[must_use]
    pub fn of(transformer: &Weights, clip: &Weights, t5: &Weights) -> Self {
        let linear = |weights: &Weights| {
            let names = weights.names().filter_map(|name| name.strip_suffix(".weight"));
            let shape = |name: &str| match weights.shape(&format!("{name}.weight")) {
                Ok(&[out, inner]) => Some((name.to_owned(), [out, inner])),
                _ => None,
            };
            names.filter_map(shape).collect()
        };
        let norms = transformer.names().filter(|name| name.ends_with("_norm.scale"));
        let norms = norms.filter_map(|name| match transformer.shape(name) {
            Ok(&[width]) => Some((name.to_owned(), width)),
            _ => None,
        });
        let norms = norms.collect();
        Self { transformer: linear(transformer), clip: linear(clip), t5: linear(t5), norms }
    }
}
