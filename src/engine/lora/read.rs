//! Reading a LoRA's file: its tensors are put together by layer, checked against the layers that the model has, and
//! widened. Every shape is compared before anything is read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::alphas::Alphas;
use super::names::{self, Of, Role, Target};
use super::{Bias, Branch, Change, Kronecker, Layer, Lora, LoraError, Magnitude, Matrix, Shapes};
use crate::engine::weights::{Weights, WeightsError};
use crate::model::Source;

/// Files with more tensors are refused. All layers of FLUX.1 in the form with the most tensors make half of it.
pub(super) const TENSORS_MAX: usize = 16_384;

/// Longer names are no layer's, and would be told in every message.
pub(super) const NAME_MAX: usize = 512;

/// Reads a file as a LoRA of a model with these layers.
///
/// # Errors
/// [`LoraError`] names the tensor, its value and what would fit.
pub fn read(path: &Path, model: &Shapes) -> Result<Lora, LoraError> {
    let weights = open(path)?;
    let tensors = weights.names().count();
    let (groups, unapplied) = grouped(&weights, model);
    if groups.is_empty() {
        return Err(nothing(&weights));
    }
    let mut lora = Lora { tensors, unapplied, ..Lora::default() };
    let alphas = Alphas::of(&weights);
    // Hundreds of megabytes may be widened: by all threads, layer by layer.
    let read = groups.into_iter().collect::<Vec<_>>().into_par_iter().map(|(stem, group)| {
        let Group { target, tensors } = group;
        let reader = Reader { weights: &weights, layer: &target.layer, tensors: &tensors };
        if let Some(width) = model.norms.get(&norm(&target)) {
            return reader.norm(*width).map(|values| Read::Norm(norm(&target), values));
        }
        // Groups are of layers that there are.
        let shape = shape_of(model, &target).unwrap_or_default();
        let layer = reader.layer(&target, shape, &|rank| alphas.scale(stem, rank))?;
        Ok(Read::Layer(target, layer))
    });
    for read in read.collect::<Vec<_>>() {
        let (target, layer) = match read.map_err(|error| explained(&weights, error))? {
            Read::Norm(name, values) => {
                lora.norms.insert(name, values);
                continue;
            }
            Read::Layer(target, layer) => (target, layer),
        };
        let layers = match target.of {
            Of::Transformer => &mut lora.transformer,
            Of::Clip => &mut lora.clip,
            Of::T5 => &mut lora.t5,
        };
        let to = layers.entry(target.layer).or_default();
        to.branches.extend(layer.branches);
        to.biases.extend(layer.biases);
    }
    lora.unapplied.sort();
    Ok(lora)
}

/// Whether a file is a LoRA of FLUX.1, by its header alone and whatever the model's size is.
///
/// # Errors
/// As [`read`].
pub fn glance(path: &Path) -> Result<(), LoraError> {
    let weights = open(path)?;
    let known = |name: &str| names::split(name).is_some_and(|(stem, _)| names::target(stem).is_some());
    if weights.names().any(known) { Ok(()) } else { Err(nothing(&weights)) }
}

pub(super) fn open(path: &Path) -> Result<Weights, LoraError> {
    if path.is_dir() || path.extension().is_some_and(|extension| extension == "json") {
        return Err(LoraError::NoFile);
    }
    let weights = Weights::open(&Source::File(path.to_owned()))?;
    if let Some(long) = weights.names().map(str::len).find(|bytes| *bytes > NAME_MAX) {
        return Err(LoraError::LongName { bytes: long, most: NAME_MAX });
    }
    match weights.names().count() {
        found if found > TENSORS_MAX => Err(LoraError::Many { found, most: TENSORS_MAX }),
        _ => Ok(weights),
    }
}

/// What was read of a group.
enum Read {
    Norm(String, Vec<f32>),
    Layer(Target, Layer),
}

/// What a file has for one name of a layer: the tensors' names, by what they are.
struct Group {
    target: Target,
    tensors: BTreeMap<Role, String>,
}

/// The tensors by the names that layers have in the file, and those that belong to no layer of the model.
fn grouped<'w>(weights: &'w Weights, model: &Shapes) -> (BTreeMap<&'w str, Group>, Vec<String>) {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    let mut unapplied = Vec::new();
    for name in weights.names() {
        let known = names::split(name).and_then(|(stem, role)| {
            let target = names::target(stem)?;
            let there = shape_of(model, &target).is_some() || model.norms.contains_key(&norm(&target));
            there.then_some((stem, role, target))
        });
        match known {
            Some((stem, role, target)) => {
                let group = groups.entry(stem).or_insert(Group { target, tensors: BTreeMap::new() });
                if let Some(twice) = group.tensors.insert(role, name.to_owned()) {
                    unapplied.push(twice);
                }
            }
            None => unapplied.push(name.to_owned()),
        }
    }
    // Of a change nothing may be left but its scale.
    groups.retain(|_, group| {
        let empty = group.tensors.keys().all(|role| matches!(role, Role::Alpha | Role::Magnitude));
        if empty {
            unapplied.extend(std::mem::take(&mut group.tensors).into_values());
        }
        !empty
    });
    (groups, unapplied)
}

fn shape_of(model: &Shapes, target: &Target) -> Option<[usize; 2]> {
    let layers = match target.of {
        Of::Transformer => &model.transformer,
        Of::Clip => &model.clip,
        Of::T5 => &model.t5,
    };
    layers.get(&target.layer).copied()
}

/// The tensor that a target is if it is a norm.
fn norm(target: &Target) -> String {
    format!("{}.scale", target.layer)
}

/// The columns that the layer of a tensor has in the file, where it is one that tells.
fn columns(weights: &Weights, name: &str) -> Option<usize> {
    weights.shape(name).ok().and_then(|shape| shape.get(1).copied())
}

fn foreign(weights: &Weights) -> Option<LoraError> {
    let found = weights.names().find_map(|name| names::foreign(name, columns(weights, name)));
    found.map(|name| LoraError::Foreign(name.to_owned()))
}

pub(super) fn nothing(weights: &Weights) -> LoraError {
    foreign(weights).unwrap_or_else(|| LoraError::NothingMatches {
        tensors: weights.names().count(),
        first: weights.names().next().unwrap_or_default().to_owned(),
    })
}

/// A layer of another shape may be another model's, and a wider one at the entrance a control LoRA's.
fn explained(weights: &Weights, error: LoraError) -> LoraError {
    match error {
        LoraError::Shape { found, layer, name, expected } => foreign(weights).unwrap_or_else(|| {
            let entrance = layer == "img_in";
            let wide = found.get(1).copied().unwrap_or_default();
            let own = expected.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default();
            if entrance && wide > own {
                return LoraError::Control { layer, found: wide, expected: own };
            }
            LoraError::Shape { name, found, layer, expected }
        }),
        error => error,
    }
}

/// Which rows of a layer a part of it has: query, key and value are as many as the layer has columns, the MLP is the rest.
fn rows([out, inner]: [usize; 2], parts: Option<(usize, usize)>) -> Range<usize> {
    match parts {
        None => 0..out,
        Some((first, count)) if first + count > 3 => (first * inner).min(out)..out,
        Some((first, count)) => (first * inner).min(out)..((first + count) * inner).min(out),
    }
}

/// A factor of LoKr, and what it is the product of if it is one: B, then A.
struct Factor {
    whole: Matrix,
    pair: Option<(Matrix, Matrix)>,
}

impl Factor {
    fn rank(&self) -> Option<usize> {
        self.pair.as_ref().map(|(_, down)| down.rows)
    }
}

/// Reads the tensors of one group.
struct Reader<'r> {
    weights: &'r Weights,
    layer: &'r str,
    tensors: &'r BTreeMap<Role, String>,
}

impl Reader<'_> {
    fn layer(
        &self,
        target: &Target,
        shape: [usize; 2],
        default_scale: &dyn Fn(usize) -> f32,
    ) -> Result<Layer, LoraError> {
        let rows = rows(shape, target.parts);
        let wanted = [rows.len(), shape[1]];
        let mut layer = Layer::default();
        let mut scale = 1.0;
        if let Some((change, rank)) = self.change(wanted)? {
            scale = match (self.number(Role::Alpha)?, rank) {
                (Some(alpha), Some(rank)) => alpha / rank as f32,
                (None, Some(rank)) => default_scale(rank),
                (_, None) => 1.0,
            };
            let change = if target.swap { change.swapped().ok_or_else(|| self.odd(wanted))? } else { change };
            let magnitude = self.magnitude(wanted, target.swap)?;
            layer.branches.push(Branch { rows: rows.clone(), change: Arc::new(change), scale, magnitude });
        }
        for (role, scale) in [(Role::Bias, 1.0), (Role::UpBias, scale)] {
            if self.tensors.contains_key(&role) {
                let mut values = self.vector(role, rows.len())?;
                if target.swap {
                    values.rotate_left(rows.len() / 2);
                }
                values.iter_mut().for_each(|value| *value *= scale);
                layer.biases.push(Bias { first: rows.start, values });
            }
        }
        Ok(layer)
    }

    /// ΔW, and the rank that its alpha is divided by.
    fn change(&self, wanted: [usize; 2]) -> Result<Option<(Change, Option<usize>)>, LoraError> {
        let has = |role| self.tensors.contains_key(&role);
        let (change, rank) = if has(Role::Down) || has(Role::Up) {
            let (up, down) = self.pair(Role::Up, Role::Down, ["lora_up", "lora_down"])?;
            let rank = down.rows;
            (Change::LowRank { down, up }, Some(rank))
        } else if [Role::HadaW1A, Role::HadaW1B, Role::HadaW2A, Role::HadaW2B].into_iter().any(has) {
            let one = self.pair(Role::HadaW1A, Role::HadaW1B, ["hada_w1_a", "hada_w1_b"])?;
            let other = self.pair(Role::HadaW2A, Role::HadaW2B, ["hada_w2_a", "hada_w2_b"])?;
            let rank = one.1.rows;
            self.fits(Role::HadaW2A, wanted, [other.0.rows, other.1.columns])?;
            (Change::Hadamard([one, other]), Some(rank))
        } else if has(Role::LokrW1) || has(Role::LokrW1A) || has(Role::LokrW2) || has(Role::LokrW2A) {
            let left = (Role::LokrW1, Role::LokrW1A, Role::LokrW1B, ["lokr_w1", "lokr_w1_a", "lokr_w1_b"]);
            let right = (Role::LokrW2, Role::LokrW2A, Role::LokrW2B, ["lokr_w2", "lokr_w2_a", "lokr_w2_b"]);
            let (left, right) = (self.factor(left, wanted)?, self.factor(right, wanted)?);
            let rank = right.rank().or(left.rank());
            let both = Kronecker::new(left.whole, right.whole);
            let both = match right.pair {
                Some(pair) => both.with_pair(pair),
                None => both,
            };
            (Change::Kronecker(both), rank)
        } else if has(Role::Diff) {
            (Change::Full(self.matrix(Role::Diff, "diff")?), None)
        } else {
            return Ok(None);
        };
        let first = self.tensors.keys().copied().find(|role| !matches!(role, Role::Alpha | Role::UpBias));
        self.fits(first.unwrap_or(Role::Down), wanted, change.shape())?;
        Ok(Some((change, rank)))
    }

    /// Two matrices that are multiplied, the left one first.
    fn pair(
        &self,
        left: Role,
        right: Role,
        called: [&'static str; 2],
    ) -> Result<(Matrix, Matrix), LoraError> {
        let (left_shape, right_shape) = (self.shape(left, called[0])?, self.shape(right, called[1])?);
        if left_shape[1] != right_shape[0] {
            return Err(LoraError::Rank {
                first: self.tensors[&left].clone(),
                left: left_shape.to_vec(),
                second: self.tensors[&right].clone(),
                right: right_shape.to_vec(),
            });
        }
        Ok((self.matrix(left, called[0])?, self.matrix(right, called[1])?))
    }

    /// A factor of LoKr.
    fn factor(
        &self,
        (whole, left, right, called): (Role, Role, Role, [&'static str; 3]),
        wanted: [usize; 2],
    ) -> Result<Factor, LoraError> {
        if self.tensors.contains_key(&whole) || !self.tensors.contains_key(&left) {
            return Ok(Factor { whole: self.matrix(whole, called[0])?, pair: None });
        }
        // Of two thin ones the product may be larger than the file by any factor.
        let found = [self.shape(left, called[1])?[0], self.shape(right, called[2])?[1]];
        if found[0] > wanted[0] || found[1] > wanted[1] {
            self.fits(left, wanted, found)?;
        }
        let pair = self.pair(left, right, [called[1], called[2]])?;
        Ok(Factor { whole: pair.0.times(&pair.1), pair: Some(pair) })
    }

    fn magnitude(&self, [rows, inner]: [usize; 2], swap: bool) -> Result<Option<Magnitude>, LoraError> {
        let Some(name) = self.tensors.get(&Role::Magnitude) else { return Ok(None) };
        let shape = self.weights.shape(name)?.to_vec();
        // `[out, 1]`, `[out]` or `[1, in]`.
        let by_column = matches!(shape[..], [1, columns, ..] if columns == inner && (rows != 1));
        let mut values = self.finite(name, if by_column { inner } else { rows })?;
        if by_column {
            return Ok(Some(Magnitude::Columns(values)));
        }
        if swap {
            values.rotate_left(rows / 2);
        }
        Ok(Some(Magnitude::Rows(values)))
    }

    /// What is added to a norm's weights.
    fn norm(&self, width: usize) -> Result<Vec<f32>, LoraError> {
        match self.tensors.get(&Role::Diff) {
            Some(_) => self.vector(Role::Diff, width),
            None => {
                let name = self.tensors.values().next().cloned().unwrap_or_default();
                Err(LoraError::Half { name, lacks: "diff" })
            }
        }
    }

    /// The shape of a matrix; convolutions of 1×1 are matrices.
    fn shape(&self, role: Role, called: &'static str) -> Result<[usize; 2], LoraError> {
        let name = self.named(role, called)?;
        match *self.weights.shape(name)? {
            [rows, columns] | [rows, columns, 1, 1] if rows > 0 && columns > 0 => Ok([rows, columns]),
            ref found => Err(self.wrong(name, found, "a matrix".to_owned())),
        }
    }

    fn named(&self, role: Role, called: &'static str) -> Result<&String, LoraError> {
        self.tensors.get(&role).ok_or_else(|| LoraError::Half {
            name: self.tensors.values().next().cloned().unwrap_or_default(),
            lacks: called,
        })
    }

    fn matrix(&self, role: Role, called: &'static str) -> Result<Matrix, LoraError> {
        let [rows, columns] = self.shape(role, called)?;
        let values = self.finite(self.named(role, called)?, rows * columns)?;
        Ok(Matrix { rows, columns, values })
    }

    fn vector(&self, role: Role, length: usize) -> Result<Vec<f32>, LoraError> {
        let name = &self.tensors[&role];
        self.finite(name, length)
    }

    fn number(&self, role: Role) -> Result<Option<f32>, LoraError> {
        let Some(name) = self.tensors.get(&role) else { return Ok(None) };
        Ok(self.finite(name, 1)?.first().copied())
    }

    /// The values of a tensor that has so many, all of them finite.
    fn finite(&self, name: &str, count: usize) -> Result<Vec<f32>, LoraError> {
        let shape = self.weights.shape(name)?;
        if shape.iter().try_fold(1usize, |all, side| all.checked_mul(*side)) != Some(count) {
            return Err(self.wrong(name, shape, format!("of {count}")));
        }
        let values = self.weights.widened(name, shape)?;
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(LoraError::NotFinite { name: name.to_owned(), value: *value }),
            None => Ok(values),
        }
    }

    fn fits(&self, role: Role, wanted: [usize; 2], found: [usize; 2]) -> Result<(), LoraError> {
        if wanted == found {
            return Ok(());
        }
        let name = self.tensors.get(&role).cloned().unwrap_or_default();
        Err(self.wrong(&name, &found, format!("{} by {}", wanted[0], wanted[1])))
    }

    fn wrong(&self, name: &str, found: &[usize], expected: String) -> LoraError {
        LoraError::Shape {
            name: name.to_owned(),
            found: found.to_vec(),
            layer: self.layer.to_owned(),
            expected,
        }
    }

    fn odd(&self, wanted: [usize; 2]) -> LoraError {
        LoraError::Weights(WeightsError::Config(format!(
            "{} rows of {} have no halves",
            wanted[0], self.layer
        )))
    }
}
