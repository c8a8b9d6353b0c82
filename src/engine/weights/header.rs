//! The header of one safetensors file, checked whole before a tensor is read: every length, type, shape and offset
//! against the bytes that are there. Nothing behind the header is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};

use super::error::HeaderError;

/// Longer headers are refused, as by safetensors itself; FLUX.1's is 100 KB.
pub(super) const HEADER_BYTES: u64 = 100_000_000;

/// What a file says of itself.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// Every tensor by its name.
    pub tensors: BTreeMap<String, Info>,
    /// `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Its bytes in the file.
    pub range: Range<usize>,
}

/// The header's length and what is behind it.
fn split(bytes: &[u8]) -> Result<(&[u8], usize), HeaderError> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Err(kind_of(bytes).unwrap_or(HeaderError::Short(bytes.len())));
    };
    let said = u64::from_le_bytes(*length);
    match usize::try_from(said).ok().filter(|_| said <= HEADER_BYTES).and_then(|length| rest.get(..length)) {
        // A pickle's first bytes can be read as a length; a JSON object's begin cannot be anything else.
        Some(header) if header.starts_with(b"{") => Ok((header, size_of::<u64>() + header.len())),
        _ => Err(kind_of(bytes).unwrap_or(HeaderError::Length { said, there: rest.len() })),
    }
}

/// What the bytes are that are no safetensors file, when that can be told.
fn kind_of(bytes: &[u8]) -> Option<HeaderError> {
    let text = bytes.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.starts_with(b"<") {
        Some(HeaderError::WebPage)
    } else if bytes.starts_with(b"version https://git-lfs") {
        Some(HeaderError::LargeFilePointer)
    } else if bytes.starts_with(b"PK\x03\x04") || matches!(bytes, [0x80, 2..=5, ..]) {
        Some(HeaderError::Pickle)
    } else {
        None
    }
}

impl Header {
    /// Reads and checks the header of a whole file.
    pub fn read(bytes: &[u8]) -> Result<Self, HeaderError> {
        let (header, data_start) = split(bytes)?;
        let raw: Raw =
            serde_json::from_slice(header).map_err(|error| HeaderError::Json(error.to_string()))?;
        if let Some(name) = raw.duplicate {
            return Err(HeaderError::Duplicate(name));
        }
        let data = bytes.len() - data_start;
        let mut tensors = BTreeMap::new();
        for (name, raw) in raw.tensors {
            let info = raw.check(&name, data_start, data)?;
            tensors.insert(name, info);
        }
        check_order(&tensors, data_start, data)?;
        Ok(Self { tensors, metadata: raw.metadata })
    }
}

/// The header as it is written.
#[derive(Default)]
struct Raw {
    tensors: Vec<(String, RawInfo)>,
    metadata: BTreeMap<String, String>,
    /// The first name that came twice: serde's own maps would keep the last.
    duplicate: Option<String>,
}

#[derive(Deserialize)]
struct RawInfo {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let (mut raw, mut seen) = (Raw::default(), BTreeSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        raw.metadata = map.next_value()?;
                        continue;
                    }
                    let info =
                        map.next_value().map_err(|e| A::Error::custom(format!("tensor {name:?}: {e}")))?;
                    if !seen.insert(name.clone()) {
                        raw.duplicate.get_or_insert(name.clone());
                    }
                    raw.tensors.push((name, info));
                }
                Ok(raw)
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}

impl RawInfo {
    fn check(self, name: &str, data_start: usize, data: usize) -> Result<Info, HeaderError> {
        let Self { dtype, shape, data_offsets: (start, end) } = self;
        let name = || name.to_owned();
        let known = Dtype::deserialize(StrDeserializer::<serde::de::value::Error>::new(&dtype));
        let Ok(dtype) = known else { return Err(HeaderError::UnknownType { name: name(), dtype }) };
        if end > data {
            return Err(HeaderError::OutOfRange { name: name(), end, there: data });
        }
        let bits = shape.iter().try_fold(dtype.bitsize(), |bits, side| bits.checked_mul(*side));
        let bytes = end.saturating_sub(start);
        if start > end || bits != bytes.checked_mul(8) {
            return Err(HeaderError::Size { name: name(), shape, dtype, bytes });
        }
        Ok(Info { dtype, shape, range: data_start + start..data_start + end })
    }
}

/// That tensors follow one another without overlaps and gaps up to the end.
fn check_order(tensors: &BTreeMap<String, Info>, data_start: usize, data: usize) -> Result<(), HeaderError> {
    let mut order: Vec<(&str, &Range<usize>)> =
        tensors.iter().map(|(name, info)| (name.as_str(), &info.range)).collect();
    order.sort_by_key(|(_, range)| (range.start, range.end));
    let gap = |from: usize, to: usize| HeaderError::Gap { from: from - data_start, to: to - data_start };
    let (mut end, mut last) = (data_start, "");
    for (name, range) in order {
        if range.start < end {
            return Err(HeaderError::Overlap(last.to_owned(), name.to_owned()));
        }
        if range.start > end {
            return Err(gap(end, range.start));
        }
        (end, last) = (range.end, name);
    }
    if end == data_start + data { Ok(()) } else { Err(gap(end, data_start + data)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn refused(header: &str, data: usize) -> String {
        Header::read(&file(header, data)).expect_err("it is not whole").to_string()
    }

    const A: &str = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;

    #[test]
    fn a_whole_header_is_read_with_what_is_said_about_it() {
        let text = format!(r#"{{"__metadata__":{{"format":"pt"}},{A}}}   "#);
        let header = Header::read(&file(&text, 8)).expect("it is whole");
        let range = 8 + text.len()..16 + text.len();
        assert_eq!(header.tensors["a"], Info { dtype: Dtype::F32, shape: vec![2], range });
        assert_eq!(header.metadata["format"], "pt");
    }

    #[test]
    fn what_is_no_safetensors_file_is_named() {
        let html = b"\n <!DOCTYPE html><html>".as_slice();
        let cases = [
            (b"".as_slice(), HeaderError::Short(0)),
            (b"{}", HeaderError::Short(2)),
            (html, HeaderError::WebPage),
            (b"<html>", HeaderError::WebPage),
            (b"PK\x03\x04 a zip of torch's", HeaderError::Pickle),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", HeaderError::Pickle),
            (b"version https://git-lfs.github.com/spec/v1\n", HeaderError::LargeFilePointer),
            (&[255; 64], HeaderError::Length { said: u64::MAX, there: 56 }),
            (&[8, 0, 0, 0, 0, 0, 0, 0, b'{'], HeaderError::Length { said: 8, there: 1 }),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Header::read(bytes).expect_err("no safetensors"), expected);
        }
    }

    #[test]
    fn a_header_of_a_length_that_a_pickle_begins_with_is_still_read() {
        let padded = format!("{{{A}}}{}", " ".repeat(0x280 - A.len() - 2));
        assert_eq!(padded.len(), 0x280);
        assert!(Header::read(&file(&padded, 8)).is_ok());
    }

    #[test]
    fn offsets_that_lie_are_refused_with_the_tensors_name() {
        assert!(
            refused(&format!("{{{A}}}"), 7).contains("\"a\" ends at byte 8 of the data and the file has 7")
        );
        let b = |from, to| format!(r#""b":{{"dtype":"F32","shape":[2],"data_offsets":[{from},{to}]}}"#);
        assert!(refused(&format!("{{{A},{}}}", b(4, 12)), 12).contains("\"a\" and \"b\" overlap"));
        assert!(refused(&format!("{{{A},{}}}", b(12, 20)), 20).contains("bytes 8 to 12"));
        assert!(refused(&format!("{{{A}}}"), 9).contains("bytes 8 to 9"));
        assert!(refused(&format!("{{{A},{}}}", b(16, 8)), 16).contains("\"b\" of shape [2]"));
        assert!(refused(&format!("{{{A},{}}}", b(8, 12)), 12).contains("\"b\" of shape [2] has 4 bytes"));
        let huge = format!(r#"{{"a":{{"dtype":"F32","shape":[{0},{0}],"data_offsets":[0,8]}}}}"#, u64::MAX);
        assert!(refused(&huge, 8).contains("\"a\""));
    }

    #[test]
    fn names_that_come_twice_and_types_that_are_unknown_are_refused() {
        assert!(refused(&format!("{{{A},{A}}}"), 8).contains("\"a\" is in its header twice"));
        let typed = A.replace("F32", "F9");
        assert!(refused(&format!("{{{typed}}}"), 8).contains("\"a\" is \"F9\""));
        assert!(refused(&format!("{{{}}}", A.replace("[2]", "[-2]")), 8).contains("tensor \"a\""));
        assert!(refused("{\"a\":", 8).contains("its header cannot be read"));
    }
}
