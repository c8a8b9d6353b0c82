//! A quick look at what one safetensors file has, for whoever looks at hundreds: its header is read and checked as
//! [`Header::read`](super::header::Header::read) does it, without a copy of every name and a map of them. Of what is not
//! right nothing is said here: [`Weights::open`](super::Weights::open) says what.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{MapAccess, Visitor};

use super::header::HEADER_BYTES;
use super::names;

/// What a file has.
#[derive(Debug)]
pub struct Glimpse<'h> {
    tensors: Vec<Tensor<'h>>,
    metadata: BTreeMap<Text<'h>, Text<'h>>,
}

/// A text that is copied only where it has escapes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Text<'h>(#[serde(borrow)] Cow<'h, str>);

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[derive(Debug)]
struct Tensor<'h> {
    name: Text<'h>,
    shape: Vec<usize>,
    /// In the data.
    range: (usize, usize),
}

#[derive(Deserialize)]
struct Info<'h> {
    #[serde(borrow)]
    dtype: Text<'h>,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// Looks at a file; `None` where it is not whole, or not of plain tensors.
pub fn glimpse<T>(path: &Path, look: impl FnOnce(&Glimpse<'_>) -> T) -> Option<T> {
    let mut file = File::open(path).ok()?;
    let there = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    let mut length = [0; size_of::<u64>()];
    file.read_exact(&mut length).ok()?;
    let (length, behind) = (u64::from_le_bytes(length), there.checked_sub(length.len() as u64)?);
    let data = behind.checked_sub(length)?;
    let mut header = vec![0; usize::try_from(length).ok().filter(|_| length <= HEADER_BYTES)?];
    file.read_exact(&mut header).ok()?;
    if !header.starts_with(b"{") {
        return None;
    }
    let glimpse: Glimpse<'_> = serde_json::from_slice(&header).ok()?;
    glimpse.is_whole(usize::try_from(data).ok()?).then(|| look(&glimpse))
}

impl Glimpse<'_> {
    /// The tensors in the order of their names, each with its shape.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|tensor| (&*tensor.name.0, &*tensor.shape))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// What the file says of itself under a key.
    #[must_use]
    pub fn note(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(|said| &*said.0)
    }

    /// Whether no name comes twice or stands beside another's tensor, and the tensors fill the data without gaps.
    fn is_whole(&self, data: usize) -> bool {
        let names = self.tensors.windows(2).all(|pair| pair[0].name != pair[1].name);
        let mut ranges: Vec<_> = self.tensors.iter().map(|tensor| tensor.range).collect();
        ranges.sort_unstable();
        let end = ranges.iter().try_fold(0, |at, (start, end)| (*start == at).then_some(*end));
        names && end == Some(data) && !self.tensors.iter().any(|tensor| names::is_beside(&tensor.name.0))
    }
}

impl<'h> Info<'h> {
    /// `None` of a type that is unknown, and where shape and bytes differ.
    fn checked(self, name: Text<'h>) -> Option<Tensor<'h>> {
        let Self { dtype, shape, data_offsets: (start, end) } = self;
        let known = Dtype::deserialize(StrDeserializer::<serde::de::value::Error>::new(&dtype.0)).ok()?;
        let bits = shape.iter().try_fold(known.bitsize(), |bits, side| bits.checked_mul(*side))?;
        let bytes = end.checked_sub(start)?;
        (Some(bits) == bytes.checked_mul(8)).then_some(Tensor { name, shape, range: (start, end) })
    }
}

impl<'de: 'h, 'h> Deserialize<'de> for Glimpse<'h> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = Glimpse<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Glimpse<'de>, A::Error> {
                let (mut tensors, mut metadata) = (Vec::new(), BTreeMap::new());
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    if name.0 == "__metadata__" {
                        metadata = map.next_value()?;
                        continue;
                    }
                    let tensor = map.next_value::<Info<'de>>()?.checked(name);
                    tensors.push(tensor.ok_or_else(|| serde::de::Error::custom("a tensor is not whole"))?);
                }
                tensors.sort_unstable_by(|one: &Tensor<'_>, other| one.name.cmp(&other.name));
                Ok(Glimpse { tensors, metadata })
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;

    /// The names in a file of this header and so many bytes of data, if it is whole.
    fn names(header: &str, data: usize) -> Option<String> {
        let root = tempfile::tempdir().expect("a directory");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + data, 0);
        let path = root.path().join("file");
        std::fs::write(&path, bytes).expect("it can be written");
        glimpse(&path, |seen| seen.tensors().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_is_whole_is_seen_and_nothing_else() {
        let b = |name: &str, from, to| {
            format!(r#""{name}":{{"dtype":"F32","shape":[2],"data_offsets":[{from},{to}]}}"#)
        };
        let whole = format!(r#"{{{},{A},"__metadata__":{{"x":"\u0031"}}}} "#, b("b\\u0031", 8, 16));
        assert_eq!(names(&whole, 16).as_deref(), Some("a b1"));
        for (header, data) in [
            (format!("{{{A}}}"), 7),
            (format!("{{{A}}}"), 9),
            (format!("{{{A},{}}}", b("b", 4, 12)), 12),
            (format!("{{{A},{}}}", b("b", 12, 20)), 20),
            (format!("{{{A},{}}}", b("a", 8, 16)), 16),
            (format!("{{{A},{}}}", b("b", 16, 8)), 16),
            (format!("{{{A},{}}}", b("b", 8, 12)), 12),
            (format!("{{{A},{}}}", b("b.scale_weight", 8, 16)), 16),
            (format!("{{{}}}", A.replace("F32", "F9")), 8),
            (format!("{{{}}}", A.replace("[2]", &format!("[{0},{0}]", u64::MAX))), 8),
            (format!(" {{{A}}}"), 8),
            ("{\"a\":".to_owned(), 8),
        ] {
            assert_eq!(names(&header, data), None, "{header}");
        }
    }
}
