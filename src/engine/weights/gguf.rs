//! The header of a GGUF file: its architecture and how many tensors of which types it has. Nothing is drawn with it yet.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::BTreeMap;

/// The most tensors, keys and dimensions that are believed: a real file has a few thousand, a few dozen, four.
const TENSORS: u64 = 1 << 20;
const KEYS: u64 = 1 << 16;
const DIMENSIONS: u32 = 8;

/// What a file says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// `general.architecture`; stable-diffusion.cpp leaves it out.
    pub architecture: Option<String>,
    /// How many tensors of each type, by ggml's names.
    pub types: BTreeMap<String, u64>,
    /// Whether the tensors are FLUX.1's by their names.
    pub flux: bool,
}

/// Bytes that are yet to be read.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: u64) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*taken))
    }

    fn u64(&mut self) -> Option<u64> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*taken))
    }

    fn text(&mut self) -> Option<&'b [u8]> {
        let length = self.u64()?;
        self.take(length)
    }

    /// Passes over a value of that type; gives it when it is a text.
    fn value(&mut self, kind: u32) -> Option<Option<&'b [u8]>> {
        match kind {
            8 => return Some(Some(self.text()?)),
            9 => {
                let (kind, count) = (self.u32()?, self.u64()?);
                match size(kind) {
                    Some(size) => drop(self.take(count.checked_mul(size)?)?),
                    None if kind == 8 => (0..count).try_for_each(|_| self.text().map(drop))?,
                    // Arrays of arrays: nobody writes them, and they could go on for ever.
                    None => return None,
                }
            }
            kind => drop(self.take(size(kind)?)?),
        }
        Some(None)
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

/// ggml's name of a type.
fn type_name(kind: u32) -> String {
    let known = match kind {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        6 => "Q5_0",
        7 => "Q5_1",
        8 => "Q8_0",
        10 => "Q2_K",
        11 => "Q3_K",
        12 => "Q4_K",
        13 => "Q5_K",
        14 => "Q6_K",
        30 => "BF16",
        _ => return format!("type {kind}"),
    };
    known.to_owned()
}

impl Header {
    /// `None` when the bytes are not a GGUF file, or end before its header does.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes.strip_prefix(b"GGUF")?);
        let _version = bytes.u32().filter(|version| (2..=3).contains(version))?;
        let tensors = bytes.u64().filter(|count| *count <= TENSORS)?;
        let keys = bytes.u64().filter(|count| *count <= KEYS)?;
        let mut header = Self::default();
        for _ in 0..keys {
            let (key, kind) = (bytes.text()?, bytes.u32()?);
            let value = bytes.value(kind)?;
            if key == b"general.architecture" {
                header.architecture = value.map(|text| String::from_utf8_lossy(text).into_owned());
            }
        }
        for _ in 0..tensors {
            let name = String::from_utf8_lossy(bytes.text()?);
            header.flux |= name.ends_with("double_blocks.0.img_attn.qkv.weight");
            let dimensions = bytes.u32().filter(|count| *count <= DIMENSIONS)?;
            bytes.take(8 * u64::from(dimensions))?;
            let kind = bytes.u32()?;
            bytes.u64()?;
            *header.types.entry(type_name(kind)).or_default() += 1;
        }
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn file() -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend([1u64, 3].map(u64::to_le_bytes).concat());
        bytes.extend([text("a.list"), [9u32, 8].map(u32::to_le_bytes).concat()].concat());
        bytes.extend([2u64.to_le_bytes().to_vec(), text("x"), text("y")].concat());
        bytes.extend([text("general.architecture"), 8u32.to_le_bytes().to_vec(), text("flux")].concat());
        bytes.extend([text("n"), 4u32.to_le_bytes().to_vec(), 7u32.to_le_bytes().to_vec()].concat());
        bytes.extend(text("double_blocks.0.img_attn.qkv.weight"));
        bytes.extend([2u32.to_le_bytes().to_vec(), [64u64, 64].map(u64::to_le_bytes).concat()].concat());
        bytes.extend([8u32.to_le_bytes().to_vec(), 0u64.to_le_bytes().to_vec()].concat());
        bytes
    }

    #[test]
    fn the_architecture_and_the_types_are_read() {
        let header = Header::read(&file()).expect("a whole header");
        assert_eq!(header.architecture.as_deref(), Some("flux"));
        assert!(header.flux && header.types == BTreeMap::from([("Q8_0".to_owned(), 1)]));
    }

    #[test]
    fn a_header_that_ends_or_lies_is_none() {
        let whole = file();
        for length in 0..whole.len() {
            assert_eq!(Header::read(&whole[..length]), None, "{length} bytes");
        }
        let mut endless = whole;
        endless[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Header::read(&endless), None);
    }
}
