//! bitsandbytes' NF4: two values a byte, each one of 16 levels times the largest magnitude of its 64 values. That
//! magnitude (`absmax`) is fp32, or itself 8 bits times the scale of 256 of them.
//!
//! Beside `w.weight`, a file has `w.weight.absmax`, `w.weight.quant_map`, `w.weight.nested_absmax`,
//! `w.weight.nested_quant_map` and, as JSON in bytes, `w.weight.quant_state.bitsandbytes__nf4`. Reference: bitsandbytes
//! `functional.py`, `QuantState`.

use std::ops::Range;

use safetensors::Dtype as Plain;
use serde::Deserialize;

use super::dtype::Dtype;
use super::error::WeightsError;
use super::files::{Bytes, Located, Tensors};

/// Values that share a magnitude.
pub const BLOCK: usize = 64;
/// Magnitudes that share a scale.
const NESTED: usize = 256;
/// Longer states are not read: a real one has 170 bytes.
const STATE_BYTES: usize = 4096;
const STATE: &str = ".quant_state.bitsandbytes__";

/// The levels, as bitsandbytes has them.
pub const LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Bytes of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    file: usize,
    range: Range<usize>,
}

/// Where the magnitudes of a tensor are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    absmax: Span,
    nested: Option<Nested>,
}

/// Magnitudes of 8 bits: `map[code] · absmax + offset`.
#[derive(Debug, Clone, PartialEq)]
struct Nested {
    map: Span,
    absmax: Span,
    offset: f32,
}

/// The magnitudes of a tensor's blocks, from the one of its first value on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Magnitudes<'a> {
    absmax: &'a [u8],
    nested: Option<(&'a [u8], &'a [u8], f32)>,
    /// Values of the tensor before those that are asked for by number.
    before: usize,
}

/// `quant_state`, as bitsandbytes writes it.
#[derive(Deserialize)]
struct Written {
    blocksize: usize,
    shape: Vec<usize>,
    #[serde(default)]
    nested_blocksize: Option<usize>,
    #[serde(default)]
    nested_offset: f32,
}

impl State {
    /// Numbers the files anew, from `by` on.
    pub fn shifted(&self, by: usize) -> Self {
        let shift = |span: &Span| Span { file: span.file + by, range: span.range.clone() };
        let nested = |nested: &Nested| Nested {
            map: shift(&nested.map),
            absmax: shift(&nested.absmax),
            offset: nested.offset,
        };
        Self { absmax: shift(&self.absmax), nested: self.nested.as_ref().map(nested) }
    }

    /// Bytes of the magnitudes.
    pub fn bytes(&self) -> usize {
        self.absmax.range.len() + self.nested.as_ref().map_or(0, |nested| nested.absmax.range.len())
    }

    pub fn magnitudes<'b>(&self, files: &'b [Bytes], before: usize) -> Magnitudes<'b> {
        let bytes = |span: &Span| &files[span.file][span.range.clone()];
        let nested = self.nested.as_ref();
        Magnitudes {
            absmax: bytes(&self.absmax),
            nested: nested.map(|nested| (bytes(&nested.map), bytes(&nested.absmax), nested.offset)),
            before,
        }
    }
}

fn number(bytes: &[u8], at: usize) -> f32 {
    let value = &bytes[4 * at..][..4];
    f32::from_le_bytes([value[0], value[1], value[2], value[3]])
}

impl Magnitudes<'_> {
    /// That of the block that holds value `at`.
    #[must_use]
    pub fn of(&self, at: usize) -> f32 {
        let block = (self.before + at) / BLOCK;
        match self.nested {
            None => number(self.absmax, block),
            Some((map, absmax, offset)) => {
                number(map, usize::from(self.absmax[block])) * number(absmax, block / NESTED) + offset
            }
        }
    }

    /// Values from number `first` on, of `packed`, which begins with value 0.
    pub(super) fn widen(&self, packed: &[u8], first: usize, out: &mut [f32]) {
        let mut at = first;
        let mut rest = out;
        while !rest.is_empty() {
            let left = BLOCK - (self.before + at) % BLOCK;
            let (block, more) = rest.split_at_mut(left.min(rest.len()));
            let magnitude = self.of(at);
            for (i, out) in block.iter_mut().enumerate() {
                // The first of two is in the upper half.
                let pair = packed[(at + i) / 2];
                let code = if (at + i).is_multiple_of(2) { pair >> 4 } else { pair & 15 };
                *out = LEVELS[usize::from(code)] * magnitude;
            }
            at += block.len();
            rest = more;
        }
    }
}

/// Turns every tensor that has a state beside it into an NF4 weight, and checks what belongs to it.
///
/// # Errors
/// [`WeightsError::Bitsandbytes`] names the tensor and what is wrong with its state; FP4 is refused.
pub(super) fn resolve(tensors: &mut Tensors, files: &[Bytes]) -> Result<(), WeightsError> {
    let stated: Vec<(String, String)> = tensors
        .keys()
        .filter_map(|name| {
            let (weight, kind) = name.split_once(STATE)?;
            Some((weight.to_owned(), kind.to_owned()))
        })
        .collect();
    for (name, kind) in stated {
        let resolved = match &kind[..] {
            "nf4" => state(&name, tensors, files),
            "fp4" => Err("it is FP4, which is not read; NF4, fp8 and GGUF are".to_owned()),
            other => Err(format!("it is {other:?}, which is not known here; NF4 is read")),
        };
        let weight =
            resolved.map_err(|problem| WeightsError::Bitsandbytes { name: name.clone(), problem })?;
        tensors.insert(name, weight);
    }
    Ok(())
}

/// The weight as what it is.
fn state(name: &str, tensors: &Tensors, files: &[Bytes]) -> Result<Located, String> {
    let beside = |what: &str| {
        let name = format!("{name}.{what}");
        tensors.get(&name).ok_or_else(|| format!("{name:?} is missing"))
    };
    let weight = tensors.get(name).ok_or_else(|| "it has a state and no values".to_owned())?;
    let at = beside("quant_state.bitsandbytes__nf4")?;
    if at.range.len() > STATE_BYTES {
        return Err(format!("its state is {} bytes long", at.range.len()));
    }
    let written: Written = serde_json::from_slice(&files[at.file][at.range.clone()])
        .map_err(|error| format!("its state cannot be read: {error}"))?;
    if written.blocksize != BLOCK {
        return Err(format!("its blocks are of {} values; {BLOCK} are read", written.blocksize));
    }
    let values = written.shape.iter().try_fold(1usize, |all, side| all.checked_mul(*side));
    let Some(values) = values.filter(|values| values.div_ceil(2) == weight.range.len()) else {
        return Err(format!("{} bytes are not of the shape {:?}", weight.range.len(), written.shape));
    };
    let expect = |what: &str, dtype: Plain, count: usize| {
        let at = beside(what)?;
        let there: usize = at.shape.iter().product();
        if at.dtype != Dtype::from(dtype) || there != count {
            let (found, dtype) = (at.dtype, Dtype::from(dtype));
            return Err(format!("{what} is {there} of {found}, where {count} of {dtype} are needed"));
        }
        Ok(Span { file: at.file, range: at.range.clone() })
    };
    let map = expect("quant_map", Plain::F32, LEVELS.len())?;
    let map = &files[map.file][map.range];
    if (0..LEVELS.len()).any(|level| number(map, level) != LEVELS[level]) {
        return Err("its levels are not NF4's".to_owned());
    }
    let blocks = values.div_ceil(BLOCK);
    let state = match written.nested_blocksize {
        None => State { absmax: expect("absmax", Plain::F32, blocks)?, nested: None },
        Some(NESTED) if written.nested_offset.is_finite() => State {
            absmax: expect("absmax", Plain::U8, blocks)?,
            nested: Some(Nested {
                map: expect("nested_quant_map", Plain::F32, 256)?,
                absmax: expect("nested_absmax", Plain::F32, blocks.div_ceil(NESTED))?,
                offset: written.nested_offset,
            }),
        },
        Some(size) => {
            return Err(format!(
                "{size} of its scales share a scale about {}; {NESTED} are read",
                written.nested_offset
            ));
        }
    };
    Ok(Located { dtype: Dtype::NF4, shape: written.shape, state: Some(state.into()), ..weight.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_levels_times_the_magnitude_of_their_block_wherever_they_begin() {
        let absmax = [2.0f32, 0.5].map(f32::to_le_bytes).concat();
        let magnitudes = Magnitudes { absmax: &absmax, nested: None, before: 32 };
        let packed: Vec<u8> = (0..48).map(|i| (i % 16) << 4 | (15 - i % 16)).collect();
        let wanted = |at: usize| {
            let level = if at.is_multiple_of(2) { at / 2 % 16 } else { 15 - at / 2 % 16 };
            LEVELS[level] * if at < 32 { 2.0 } else { 0.5 }
        };
        for first in [0, 1, 31, 33] {
            let mut out = [0.0; 40];
            magnitudes.widen(&packed, first, &mut out);
            let wanted: Vec<f32> = (first..first + 40).map(wanted).collect();
            assert_eq!(out[..], wanted, "from {first}");
        }
    }

    #[test]
    fn magnitudes_of_8_bits_are_a_map_a_scale_and_an_offset() {
        let map = std::array::from_fn::<f32, 256, _>(|i| i as f32 / 256.0).map(f32::to_le_bytes).concat();
        let absmax = [4.0f32, 8.0].map(f32::to_le_bytes).concat();
        let codes = vec![128; 300];
        let magnitudes = Magnitudes { absmax: &codes, nested: Some((&map, &absmax, 1.0)), before: 0 };
        assert_eq!((magnitudes.of(0), magnitudes.of(256 * BLOCK)), (3.0, 5.0));
    }
}
