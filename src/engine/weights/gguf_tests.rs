//! Headers that lie, one by one, and random ones.

use proptest::prelude::*;

use super::*;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(name), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

fn tensor(name: &str, sides: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let sides =
        [(sides.len() as u32).to_le_bytes().to_vec(), sides.iter().flat_map(|s| s.to_le_bytes()).collect()];
    [text(name), sides.concat(), kind.to_le_bytes().to_vec(), offset.to_le_bytes().to_vec()].concat()
}

/// A file of these, with so many bytes of data.
fn file(keys: &[Vec<u8>], tensors: &[Vec<u8>], data: usize) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend([tensors.len() as u64, keys.len() as u64].map(u64::to_le_bytes).concat());
    bytes.extend([keys.concat(), tensors.concat()].concat());
    bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
    bytes
}

/// Two tensors, a few keys.
fn whole() -> Vec<u8> {
    let list = [8u32.to_le_bytes().to_vec(), 2u64.to_le_bytes().to_vec(), text("x"), text("y")].concat();
    let shape =
        [5u32.to_le_bytes().to_vec(), 2u64.to_le_bytes().to_vec(), [4u32, 16].map(u32::to_le_bytes).concat()];
    let keys = [
        key("a.list", 9, &list),
        key("general.architecture", 8, &text("flux")),
        key("comfy.gguf.orig_shape.b", 9, &shape.concat()),
        key("n", 4, &7u32.to_le_bytes()),
    ];
    file(&keys, &[tensor("a", &[32, 3], 8, 0), tensor("b", &[32, 2], 0, 128)], 128 + 256)
}

fn refused(bytes: &[u8]) -> String {
    Header::read(bytes).expect_err("it is not whole").to_string()
}

#[test]
fn a_whole_header_is_read_with_shapes_turned_and_original_ones_taken() {
    let bytes = whole();
    let header = Header::read(&bytes).expect("it is whole");
    let data = bytes.len() - 384;
    assert_eq!(header.architecture.as_deref(), Some("flux"));
    let info = |dtype, shape: &[usize], range| Info { dtype, shape: shape.to_vec(), range };
    assert_eq!(header.tensors["a"], info(Dtype::Q8_0, &[3, 32], data..data + 102));
    assert_eq!(header.tensors["b"], info(Dtype::F32, &[4, 16], data + 128..data + 384));
}

#[test]
fn a_file_that_ends_anywhere_is_refused() {
    let bytes = whole();
    for length in 0..bytes.len() {
        let error = refused(&bytes[..length]);
        let told = ["cut short", "bytes follow"].iter().any(|part| error.contains(part));
        assert!(told, "{length} bytes: {error}");
    }
}

/// Found by fuzzing: the values would have begun behind the end.
#[test]
fn an_empty_tensor_of_a_file_that_ends_with_its_header_lies_within_it() {
    let tensor = tensor("a", &[0], 0, 0);
    let mut bytes = file(&[], std::slice::from_ref(&tensor), 0);
    bytes.truncate(24 + tensor.len());
    assert!(!bytes.len().is_multiple_of(32));
    let range = Header::read(&bytes).expect("nothing is missing").tensors["a"].range.clone();
    assert!(range.is_empty() && range.end <= bytes.len(), "{range:?} of {} bytes", bytes.len());
}

#[test]
fn counts_and_lengths_that_lie_are_refused_before_anything_is_made_of_them() {
    let whole = whole();
    let changed = |at: usize, with: u64| {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&with.to_le_bytes());
        refused(&bytes)
    };
    assert!(changed(8, u64::MAX).contains("18446744073709551615 tensors"));
    assert!(changed(8, 1 << 19).contains("524288 tensors"));
    assert!(changed(16, 1 << 15).contains("32768 keys"));
    assert!(changed(24, u64::MAX).contains("key 1 of 4"));
    let nested = key("k", 9, &[9u32.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec()].concat());
    assert!(refused(&file(&[nested], &[], 0)).contains("\"k\" has a value of type 9 in an array"));
    let long = key("k", 9, &[12u32.to_le_bytes().to_vec(), u64::MAX.to_le_bytes().to_vec()].concat());
    assert!(refused(&file(&[long], &[], 0)).contains("the value of \"k\""));
    assert!(refused(&file(&[key("k", 77, &[])], &[], 0)).contains("type 77"));
    assert!(refused(&file(&[], &[tensor("t", &[1; 5], 0, 0)], 64)).contains("5 dimensions"));
}

#[test]
fn tensors_that_cannot_be_are_named() {
    let one =
        |sides: &[u64], kind, offset, data| refused(&file(&[], &[tensor("t", sides, kind, offset)], data));
    assert!(one(&[32], 8, 0, 33).contains("\"t\" of 34 bytes begins at byte 0"));
    assert!(one(&[32], 8, u64::MAX - 31, 64).contains("\"t\" of 34 bytes"));
    assert!(one(&[32], 8, 4, 64).contains("no multiple of 32"));
    assert!(one(&[33], 8, 0, 640).contains("no whole blocks"));
    assert!(one(&[16, 2], 8, 0, 640).contains("no whole blocks"));
    assert!(one(&[128, 2], 12, 0, 640).contains("no whole blocks"));
    assert!(one(&[u64::MAX, 2], 0, 0, 64).contains("which no memory holds"));
    assert!(one(&[1 << 62], 0, 0, 64).contains("which no memory holds"));
    let iq = one(&[32], 20, 0, 64);
    assert!(iq.contains("IQ4_NL, which is not read") && iq.contains("Q4_K"), "{iq}");
    assert!(one(&[32], 4, 0, 64).contains("of type 4"));
    let two = |second: Vec<u8>| refused(&file(&[], &[tensor("t", &[32], 0, 0), second], 256));
    assert!(two(tensor("u", &[32], 0, 96)).contains("\"t\" and \"u\" overlap"));
    assert!(two(tensor("t", &[32], 0, 128)).contains("\"t\" is in its header twice"));
}

#[test]
fn versions_keys_and_shapes_that_cannot_be_are_told() {
    let version = |version: u32| {
        let mut bytes = whole();
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        Header::read(&bytes)
    };
    assert!(version(2).is_ok());
    assert_eq!(version(1), Err(GgufError::Version(1)));
    assert_eq!(version(3 << 24), Err(GgufError::BigEndian));
    let keyed = |key: Vec<u8>| file(&[key], &[tensor("t", &[32], 0, 64)], 256);
    let aligned = |to: u32| keyed(key("general.alignment", 4, &to.to_le_bytes()));
    assert!(Header::read(&aligned(64)).is_ok());
    for wrong in [0, 3, 1 << 20] {
        assert!(refused(&aligned(wrong)).contains("a power of two"), "{wrong}");
    }
    assert!(refused(&aligned(128)).contains("no multiple of 128"));
    assert!(refused(&keyed(key("split.count", 2, &3u16.to_le_bytes()))).contains("one of 3 files"));
    let shape =
        [5u32.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec(), 31u32.to_le_bytes().to_vec()].concat();
    assert!(refused(&keyed(key("comfy.gguf.orig_shape.t", 9, &shape))).contains("another number of values"));
    let twice = [key("k", 4, &[0; 4]), key("k", 4, &[0; 4])];
    assert!(refused(&file(&twice, &[], 0)).contains("\"k\" is in its header twice"));
    let mut name = text("k");
    name[8] = 0xff;
    assert!(refused(&file(&[[name, vec![0; 20]].concat()], &[], 0)).contains("no text"));
}

/// What a header that was read promises.
fn assert_sound(bytes: &[u8]) {
    if let Ok(header) = Header::read(bytes) {
        for (name, info) in &header.tensors {
            assert!(info.range.end <= bytes.len(), "{name} lies outside");
            let values = info.shape.iter().product();
            assert_eq!(info.dtype.bytes(values), Some(info.range.len()), "{name}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        assert_sound(&[b"GGUF\x03\0\0\0".to_vec(), bytes].concat());
    }

    #[test]
    fn no_change_breaks_the_reader(changes in prop::collection::vec((0..600usize, any::<u8>()), 1..8)) {
        let mut bytes = whole();
        for (at, with) in changes {
            let at = at % bytes.len();
            bytes[at] = with;
        }
        assert_sound(&bytes);
    }
}
