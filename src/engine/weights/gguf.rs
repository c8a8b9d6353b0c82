//! The header of a GGUF file, checked whole before a tensor is read: every length, count, type, shape and offset against
//! the bytes that are there. Nothing behind the header is touched.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Versions 2 and 3, little-endian.

use std::collections::BTreeMap;
use std::ops::Range;

use safetensors::Dtype as Plain;

use super::dtype::Dtype;

/// The most tensors, keys and dimensions that are believed: a real file has a few thousand, a few dozen, four.
const TENSORS: u64 = 1 << 20;
const KEYS: u64 = 1 << 16;
const DIMENSIONS: u32 = 4;
/// Bytes that one of them takes at least: lengths, types and offsets without any name or value.
const TENSOR_BYTES: u64 = 8 + 4 + 4 + 8;
const KEY_BYTES: u64 = 8 + 4 + 1;
/// Longer texts are passed over; what is asked for is short.
const TEXT: usize = 4096;
const ALIGNMENT: u64 = 32;
/// What ComfyUI's converter keeps of a tensor that it stores in another shape.
const SHAPE_OF: &str = "comfy.gguf.orig_shape.";

/// What a file says of itself.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Header {
    /// `general.architecture`; stable-diffusion.cpp leaves it out.
    pub architecture: Option<String>,
    /// Every key whose value is a short text.
    pub metadata: BTreeMap<String, String>,
    /// Every tensor by its name.
    pub tensors: BTreeMap<String, Info>,
}

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    pub dtype: Dtype,
    /// Rows first, as everywhere here; the file has it the other way round.
    pub shape: Vec<usize>,
    /// Its bytes in the file.
    pub range: Range<usize>,
}

/// What is wrong with a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    /// Neither 2 nor 3.
    #[error("it is GGUF of version {0}; versions 2 and 3 are read")]
    Version(u32),
    /// The other order of bytes.
    #[error("it is a big-endian GGUF file; little-endian ones are read")]
    BigEndian,
    /// It ends before its header does.
    #[error("its header ends in {0}: the file was cut short; fetch it again")]
    Ends(String),
    /// More than there can be.
    #[error("its header says that there are {said} {what}, and {there} bytes follow")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        said: u64,
        /// Bytes that are left.
        there: usize,
    },
    /// A value that cannot be read past.
    #[error("its key {key:?} has a value of type {kind}, which is not known here")]
    Value {
        /// Which key.
        key: String,
        /// Its type's number.
        kind: String,
    },
    /// A key with a value that it cannot have.
    #[error("its key {key:?} is {value}; {wanted}")]
    Key {
        /// Which.
        key: String,
        /// Its value.
        value: String,
        /// What would work.
        wanted: &'static str,
    },
    /// Two keys or tensors of one name.
    #[error("{0:?} is in its header twice")]
    Duplicate(String),
    /// A name that is not UTF-8.
    #[error("a name in its header is no text: {0:?}")]
    Name(String),
    /// A type that is not read.
    #[error("the tensor {name:?} is {dtype}, which is not read; {known} are")]
    Type {
        /// Which tensor.
        name: String,
        /// Its type.
        dtype: String,
        /// What is read.
        known: String,
    },
    /// A shape that cannot be.
    #[error("the tensor {name:?} of {dtype} has the shape {shape:?}, {problem}")]
    Shape {
        /// Which tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<u64>,
        /// Why it cannot be.
        problem: &'static str,
    },
    /// A tensor that begins between two multiples of the alignment.
    #[error("the tensor {name:?} begins at byte {offset} of the data, which is no multiple of {alignment}")]
    Misaligned {
        /// Which tensor.
        name: String,
        /// Where it begins.
        offset: u64,
        /// What it should be a multiple of.
        alignment: u64,
    },
    /// A tensor ends behind the end of the file.
    #[error(
        "the tensor {name:?} of {bytes} bytes begins at byte {offset} of the data and the file has {there}: it was cut \
         short; fetch it again"
    )]
    OutOfRange {
        /// Which tensor.
        name: String,
        /// Where it begins.
        offset: u64,
        /// How long it is.
        bytes: usize,
        /// How many bytes of data there are.
        there: usize,
    },
    /// Two tensors share bytes.
    #[error("the tensors {0:?} and {1:?} overlap")]
    Overlap(String, String),
    /// One of several.
    #[error("it is one of {0} files of a model; join them with `gguf-split --merge`")]
    Split(u64),
}

type Result<T> = std::result::Result<T, GgufError>;

/// Bytes that are yet to be read, and what they are part of.
struct Bytes<'b> {
    rest: &'b [u8],
    at: String,
}

/// A value, as far as anything is done with it.
enum Value<'b> {
    Text(&'b [u8]),
    Number(u64),
    Numbers(Vec<u64>),
    Other,
}

impl<'b> Bytes<'b> {
    fn ends(&self) -> GgufError {
        GgufError::Ends(self.at.clone())
    }

    fn take(&mut self, count: u64) -> Result<&'b [u8]> {
        let count = usize::try_from(count).map_err(|_| self.ends())?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.ends())?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.ends())?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'b [u8]> {
        let length = self.u64()?;
        self.take(length)
    }

    fn name(&mut self) -> Result<String> {
        let name = self.text()?;
        let lossy = || String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned();
        String::from_utf8(name.to_vec()).map_err(|_| GgufError::Name(lossy()))
    }

    /// A count of things that take so many bytes each at least.
    fn count(&mut self, what: &'static str, most: u64, each: u64) -> Result<u64> {
        let said = self.u64()?;
        let there = self.rest.len();
        let fits = said <= most && said.saturating_mul(each) <= there as u64;
        if fits { Ok(said) } else { Err(GgufError::Count { what, said, there }) }
    }

    /// A whole number of a type that has them.
    fn number(kind: u32, bytes: &[u8]) -> Option<u64> {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        // Negative ones become large: nothing that is asked for may be either.
        matches!(kind, 0..=5 | 10 | 11).then(|| u64::from_le_bytes(wide))
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value<'b>> {
        let unknown = |kind: String| GgufError::Value { key: key.to_owned(), kind };
        if kind == 8 {
            return Ok(Value::Text(self.text()?));
        }
        if kind == 9 {
            let (kind, count) = (self.u32()?, self.u64()?);
            if kind == 8 {
                (0..count).try_for_each(|_| self.text().map(drop))?;
                return Ok(Value::Other);
            }
            // Arrays of arrays: nobody writes them, and they could go on for ever.
            let size = size(kind).ok_or_else(|| unknown(format!("{kind} in an array")))?;
            let bytes = self.take(count.checked_mul(size).ok_or_else(|| self.ends())?)?;
            if count > u64::from(DIMENSIONS) + 1 {
                return Ok(Value::Other);
            }
            let numbers = bytes.chunks_exact(size as usize).map(|bytes| Self::number(kind, bytes));
            return Ok(numbers.collect::<Option<_>>().map_or(Value::Other, Value::Numbers));
        }
        let size = size(kind).ok_or_else(|| unknown(kind.to_string()))?;
        let bytes = self.take(size)?;
        Ok(Self::number(kind, bytes).map_or(Value::Other, Value::Number))
    }
}

/// Bytes of a value of a type that always has the same.
fn size(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

/// ggml's types by number.
fn dtype(kind: u32) -> std::result::Result<Dtype, String> {
    Ok(match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::Q4_0,
        3 => Dtype::Q4_1,
        6 => Dtype::Q5_0,
        7 => Dtype::Q5_1,
        8 => Dtype::Q8_0,
        10 => Dtype::Q2K,
        11 => Dtype::Q3K,
        12 => Dtype::Q4K,
        13 => Dtype::Q5K,
        14 => Dtype::Q6K,
        24 => Dtype::Other(Plain::I8),
        25 => Dtype::Other(Plain::I16),
        26 => Dtype::Other(Plain::I32),
        27 => Dtype::Other(Plain::I64),
        28 => Dtype::Other(Plain::F64),
        30 => Dtype::BF16,
        other => {
            let known = [(9, "Q8_1"), (15, "Q8_K"), (16, "IQ2_XXS"), (17, "IQ2_XS"), (18, "IQ3_XXS")];
            let more = [(19, "IQ1_S"), (20, "IQ4_NL"), (21, "IQ3_S"), (22, "IQ2_S"), (23, "IQ4_XS")];
            let last = [(29, "IQ1_M"), (34, "TQ1_0"), (35, "TQ2_0"), (39, "MXFP4")];
            let named = known
                .iter()
                .chain(&more)
                .chain(&last)
                .find_map(|(kind, name)| (*kind == other).then_some(name));
            return Err(named.map_or_else(|| format!("of type {other}"), |name| (*name).to_owned()));
        }
    })
}

/// A tensor as the header has it.
struct Written {
    name: String,
    dtype: Dtype,
    /// The file's order: the row's length first.
    sides: Vec<u64>,
    offset: u64,
}

impl Written {
    fn read(bytes: &mut Bytes<'_>) -> Result<Self> {
        let name = bytes.name()?;
        bytes.at = format!("the tensor {name:?}");
        let count = bytes.u32()?;
        if count > DIMENSIONS {
            let (said, there) = (u64::from(count), bytes.rest.len());
            return Err(GgufError::Count { what: "dimensions of a tensor", said, there });
        }
        let sides = (0..count).map(|_| bytes.u64()).collect::<Result<_>>()?;
        let (kind, offset) = (bytes.u32()?, bytes.u64()?);
        let dtype = dtype(kind).map_err(|dtype| {
            let known: Vec<_> = (0..40).filter_map(|kind| self::dtype(kind).ok()).collect();
            let known: Vec<_> =
                known.iter().filter(|dtype| dtype.is_weight()).map(ToString::to_string).collect();
            GgufError::Type { name: name.clone(), dtype, known: known.join(", ") }
        })?;
        Ok(Self { name, dtype, sides, offset })
    }

    /// Where it is in a file of `length` bytes whose data begin at `start`, and in which shape: the file's, or the
    /// one that a key says it has.
    fn check(
        &self,
        (start, length): (usize, usize),
        alignment: u64,
        original: Option<&Vec<u64>>,
    ) -> Result<Info> {
        let (name, dtype) = (|| self.name.clone(), self.dtype);
        let wrong = |shape: &[u64], problem| {
            Err(GgufError::Shape { name: name(), dtype, shape: shape.to_vec(), problem })
        };
        // No part of their product may be too large either, even where another side is zero.
        let values = |sides: &[u64]| {
            let all = sides.iter().try_fold(1u64, |all, side| all.checked_mul((*side).max(1)))?;
            usize::try_from(all).ok().map(|all| if sides.contains(&0) { 0 } else { all })
        };
        let Some(count) = values(&self.sides) else { return wrong(&self.sides, "which no memory holds") };
        let row = self.sides.first().copied().unwrap_or(1);
        if !row.is_multiple_of(dtype.block().values as u64) && dtype.is_quantised() {
            return wrong(&self.sides, "whose rows are no whole blocks");
        }
        let Some(bytes) = dtype.bytes(count) else { return wrong(&self.sides, "which no memory holds") };
        if !self.offset.is_multiple_of(alignment) {
            return Err(GgufError::Misaligned { name: name(), offset: self.offset, alignment });
        }
        let there = length.saturating_sub(start);
        let end = usize::try_from(self.offset).ok().and_then(|offset| offset.checked_add(bytes));
        let Some(end) = end.filter(|end| *end <= there) else {
            return Err(GgufError::OutOfRange { name: name(), offset: self.offset, bytes, there });
        };
        let shape: Vec<u64> = match original {
            Some(shape) if values(shape) != Some(count) => {
                return wrong(shape, "which has another number of values than are stored");
            }
            Some(shape) => shape.clone(),
            None => self.sides.iter().rev().copied().collect(),
        };
        // Their product fits, and none is zero unless it is.
        let shape = shape.into_iter().map(|side| usize::try_from(side).unwrap_or(usize::MAX)).collect();
        Ok(Info { dtype, shape, range: start + end - bytes..start + end })
    }
}

/// Keys that something is done with.
#[derive(Default)]
struct Keys {
    architecture: Option<String>,
    metadata: BTreeMap<String, String>,
    alignment: Option<u64>,
    shapes: BTreeMap<String, Vec<u64>>,
}

impl Keys {
    fn read(bytes: &mut Bytes<'_>, count: u64) -> Result<Self> {
        let (mut keys, mut seen) = (Self::default(), std::collections::BTreeSet::new());
        for number in 0..count {
            bytes.at = format!("key {} of {count}", number + 1);
            let key = bytes.name()?;
            let kind = bytes.u32()?;
            bytes.at = format!("the value of {key:?}");
            let value = bytes.value(&key, kind)?;
            keys.take(&key, value)?;
            if !seen.insert(key.clone()) {
                return Err(GgufError::Duplicate(key));
            }
        }
        Ok(keys)
    }

    fn take(&mut self, key: &str, value: Value<'_>) -> Result<()> {
        match value {
            Value::Text(text) if text.len() <= TEXT => {
                let text = String::from_utf8_lossy(text).into_owned();
                if key == "general.architecture" {
                    self.architecture = Some(text.clone());
                }
                self.metadata.insert(key.to_owned(), text);
            }
            Value::Number(value) if key == "general.alignment" => {
                // ggml wants a power of two; what is larger than a page is a mistake.
                if !value.is_power_of_two() || value > 1 << 16 {
                    let (key, value) = (key.to_owned(), value.to_string());
                    let wanted = "it must be a power of two up to 65536";
                    return Err(GgufError::Key { key, value, wanted });
                }
                self.alignment = Some(value);
            }
            Value::Number(count) if key == "split.count" && count > 1 => return Err(GgufError::Split(count)),
            Value::Numbers(shape) => {
                if let Some(tensor) = key.strip_prefix(SHAPE_OF) {
                    self.shapes.insert(tensor.to_owned(), shape);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Header {
    /// Reads and checks the header of a whole file, which begins with `GGUF`.
    pub fn read(whole: &[u8]) -> Result<Self> {
        let mut bytes = Bytes { rest: whole, at: "its first bytes".to_owned() };
        bytes.take(4)?;
        match bytes.u32()? {
            2 | 3 => {}
            version if version.swap_bytes() <= 3 => return Err(GgufError::BigEndian),
            version => return Err(GgufError::Version(version)),
        }
        let tensors = bytes.count("tensors", TENSORS, TENSOR_BYTES)?;
        let keys = bytes.count("keys", KEYS, KEY_BYTES)?;
        let Keys { architecture, metadata, alignment, shapes } = Keys::read(&mut bytes, keys)?;
        let mut written = BTreeMap::new();
        for number in 0..tensors {
            bytes.at = format!("tensor {} of {tensors}", number + 1);
            let tensor = Written::read(&mut bytes)?;
            if let Some(before) = written.insert(tensor.name.clone(), tensor) {
                return Err(GgufError::Duplicate(before.name));
            }
        }
        let alignment = alignment.unwrap_or(ALIGNMENT);
        // A file without values may end before they would begin.
        let start = (whole.len() - bytes.rest.len()).next_multiple_of(alignment as usize).min(whole.len());
        let tensors = written
            .into_iter()
            .map(|(name, tensor)| {
                let info = tensor.check((start, whole.len()), alignment, shapes.get(&name))?;
                Ok((name, info))
            })
            .collect::<Result<_>>()?;
        check_order(&tensors)?;
        Ok(Self { architecture, metadata, tensors })
    }
}

/// That no two tensors share bytes. Between them there may be some that belong to none.
fn check_order(tensors: &BTreeMap<String, Info>) -> Result<()> {
    let mut order: Vec<(&String, &Range<usize>)> = tensors
        .iter()
        .map(|(name, info)| (name, &info.range))
        .filter(|(_, range)| !range.is_empty())
        .collect();
    order.sort_by_key(|(_, range)| range.start);
    match order.windows(2).find(|pair| pair[1].1.start < pair[0].1.end) {
        Some(pair) => Err(GgufError::Overlap(pair[0].0.clone(), pair[1].0.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "gguf_tests.rs"]
mod tests;
