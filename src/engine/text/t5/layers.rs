//! What T5's blocks are made of, on rows of fp32: one row a token.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use crate::engine::ops::product::{View, multiply};
use crate::engine::ops::vector::{self, gelu_tanh, mean_square};
use crate::engine::weights::{Weights, WeightsError, transpose};

/// `[count, width]`, contiguous.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    pub values: Vec<f32>,
    pub width: usize,
}

impl Rows {
    fn count(&self) -> usize {
        self.values.len() / self.width
    }

    fn view(&self, first_column: usize) -> View<'_> {
        View { data: &self.values[first_column..], row: self.width, column: 1 }
    }

    fn transposed(&self, first_column: usize) -> View<'_> {
        View { data: &self.values[first_column..], row: 1, column: self.width }
    }
}

/// y = x · Wᵀ, with W stored `[out, inner]`.
#[derive(Debug)]
pub(super) struct Linear {
    name: String,
    out: usize,
    inner: usize,
    /// W in fp32; without it, rows are widened as they are used.
    wide: Option<Vec<f32>>,
}

/// Rows of W that are widened and multiplied at a time: T5-XXL's fit a core's second cache.
const PANEL: usize = 64;
/// Multiply-adds under which waking other threads costs more than it saves.
const WORTH_SPLITTING: usize = 1 << 20;

impl Linear {
    /// # Errors
    /// When the tensor is missing or has another shape.
    pub fn load(
        weights: &Weights,
        name: String,
        (out, inner): (usize, usize),
        widen: bool,
    ) -> Result<Self, WeightsError> {
        weights.check(&name, &[out, inner])?;
        let wide = widen.then(|| weights.widened(&name, &[out, inner])).transpose()?;
        Ok(Self { name, out, inner, wide })
    }

    fn panel(&self, weights: &Weights, rows: Range<usize>) -> Result<Cow<'_, [f32]>, WeightsError> {
        Ok(match &self.wide {
            Some(wide) => Cow::Borrowed(&wide[rows.start * self.inner..rows.end * self.inner]),
            None => Cow::Owned(weights.widened_rows(&self.name, (self.out, self.inner), rows)?),
        })
    }

    /// `[tokens, inner]` to `[tokens, out]`.
    pub fn forward(&self, weights: &Weights, x: &Rows) -> Result<Rows, WeightsError> {
        let tokens = x.count();
        // W's rows are the result's columns: each panel writes rows of the result on its side, one after the other.
        let mut across = vec![0.0; self.out * tokens];
        let fill = |(index, across): (usize, &mut [f32])| -> Result<(), WeightsError> {
            let rows = index * PANEL..(index * PANEL + PANEL).min(self.out);
            let count = rows.len();
            let panel = self.panel(weights, rows)?;
            let panel = View { data: &panel, row: self.inner, column: 1 };
            multiply((count, self.inner, tokens), across, tokens, false, panel, x.transposed(0), 1.0);
            Ok(())
        };
        let panel = PANEL * tokens;
        if tokens * self.inner * self.out < WORTH_SPLITTING {
            across.chunks_mut(panel).enumerate().try_for_each(fill)?;
        } else {
            across.par_chunks_mut(panel).enumerate().try_for_each(fill)?;
        }
        Ok(Rows { values: transpose(&across, self.out, tokens), width: self.out })
    }

    /// The rows of W with these numbers.
    pub fn rows(&self, weights: &Weights, ids: &[u32]) -> Result<Rows, WeightsError> {
        let mut values = Vec::with_capacity(ids.len() * self.inner);
        for &id in ids {
            let id = id as usize;
            if id >= self.out {
                return Err(WeightsError::Config(format!(
                    "token {id} is beyond the {} rows of {:?}: the tokenizer is another model's",
                    self.out, self.name
                )));
            }
            values.extend_from_slice(&self.panel(weights, id..id + 1)?);
        }
        Ok(Rows { values, width: self.inner })
    }
}

/// x / √(mean x² + ε) · weight: no mean is taken away and nothing is added.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    /// # Errors
    /// When the tensor is missing or has another shape.
    pub fn load(weights: &Weights, name: &str, width: usize, epsilon: f32) -> Result<Self, WeightsError> {
        Ok(Self { weight: weights.widened(name, &[width])?, epsilon })
    }

    pub fn forward(&self, x: &Rows) -> Rows {
        let mut values = x.values.clone();
        values.par_chunks_exact_mut(x.width).for_each(|row| {
            let scale = 1.0 / (mean_square(row) + self.epsilon).sqrt();
            row.iter_mut().zip(&self.weight).for_each(|(value, weight)| *value *= scale * weight);
        });
        Rows { values, width: x.width }
    }
}

/// softmax(Q·Kᵀ + bias) · V for every head; `biases` are `[heads, 2 · tokens - 1]`, by key minus query.
pub(super) fn attend([q, k, v]: [&Rows; 3], heads: usize, biases: &[f32]) -> Rows {
    let (tokens, dim) = (q.count(), q.width / heads);
    let distances = 2 * tokens - 1;
    let head = |head: usize| {
        let (first, biases) = (head * dim, &biases[head * distances..][..distances]);
        let mut scores = vec![0.0; tokens * tokens];
        let (query, key) = (q.view(first), k.transposed(first));
        multiply((tokens, dim, tokens), &mut scores, tokens, false, query, key, 1.0);
        for (query, row) in scores.chunks_exact_mut(tokens).enumerate() {
            let biases = &biases[tokens - 1 - query..];
            row.iter_mut().zip(biases).for_each(|(score, bias)| *score += bias);
            vector::softmax_in_place(row, 1.0);
        }
        let mut out = vec![0.0; tokens * dim];
        let scores = View { data: &scores, row: tokens, column: 1 };
        multiply((tokens, tokens, dim), &mut out, dim, false, scores, v.view(first), 1.0);
        out
    };
    let attended: Vec<Vec<f32>> = (0..heads).into_par_iter().map(head).collect();
    let mut values = Vec::with_capacity(q.values.len());
    for token in 0..tokens {
        attended.iter().for_each(|head| values.extend_from_slice(&head[token * dim..][..dim]));
    }
    Rows { values, width: q.width }
}

/// `x = gelu(x) · linear`, GELU by its tanh approximation.
pub(super) fn gate(x: &mut Rows, linear: &Rows) {
    let width = x.width;
    x.values.par_chunks_exact_mut(width).zip(linear.values.par_chunks_exact(width)).for_each(
        |(x, linear)| {
            x.iter_mut().zip(linear).for_each(|(x, linear)| *x = gelu_tanh(*x) * linear);
        },
    );
}

/// `x += branch`
pub(super) fn add(x: &mut Rows, branch: &Rows) {
    x.values.iter_mut().zip(&branch.values).for_each(|(x, branch)| *x += branch);
}
