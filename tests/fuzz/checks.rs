//! What must hold for any bytes, one function a reader: it answers or refuses, and what it answers keeps its promises.
//! The fuzz targets and `tests/fuzz.rs` share them. Only what the package offers to everyone is used.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use bytes::{BufMut as _, BytesMut};
use flux_tui::catalog::{self, Catalog, Role, Wanted};
use flux_tui::engine::dit::config::Config;
use flux_tui::engine::lora::{Shapes, Side, describe, glance, read};
use flux_tui::engine::weights::{Weights, identify};
use flux_tui::library::{foreign, png};
use flux_tui::model::Source;
use flux_tui::ui::input::{Decoder, Input};
use flux_tui::wire::frame::{self, FrameError, Frames, REPLY_MAX, REQUEST_MAX};
use flux_tui::wire::message::{ToClient, ToWorker};
use tokio_util::codec::Decoder as _;

/// The first bytes of a GGUF file.
const GGUF: &[u8] = b"GGUF";

/// A safetensors file: bytes that do not begin as GGUF.
pub fn safetensors(bytes: &[u8]) {
    if !bytes.starts_with(GGUF) {
        weights(bytes);
    }
}

/// A GGUF file, whose first four bytes need not be found by chance.
pub fn gguf(bytes: &[u8]) {
    weights(&[GGUF, bytes.strip_prefix(GGUF).unwrap_or(bytes)].concat());
}

/// What the file is can be told or not; each tensor that it has lies within it and can be widened.
fn weights(bytes: &[u8]) {
    let (_file, path) = in_memory(bytes);
    let identity = identify(&path);
    let Ok(weights) = Weights::open(&Source::File(path)) else {
        assert!(identity.is_err(), "{identity:?} of a file that cannot be opened");
        return;
    };
    assert!(weights.size() <= bytes.len() as u64, "more bytes of tensors than of file");
    for name in weights.names() {
        let shape = weights.shape(name).expect("it has the tensors that it names");
        let values = shape.iter().product::<usize>();
        if let Ok(wide) = weights.widened(name, shape) {
            assert_eq!(wide.len(), values, "{name:?} of {shape:?}");
        }
    }
}

/// The layers of the smallest transformer, and of an encoder of each kind.
pub fn layers() -> Shapes {
    let matrix = |(name, shape): (String, Vec<usize>)| {
        let shape = <[usize; 2]>::try_from(shape).ok()?;
        Some((name.strip_suffix(".weight")?.to_owned(), shape))
    };
    let norm = |(name, shape): (String, Vec<usize>)| name.ends_with("_norm.scale").then(|| (name, shape[0]));
    let one = |name: &str| [(name.to_owned(), [16, 16])].into();
    Shapes {
        transformer: tiny().tensors().into_iter().filter_map(matrix).collect(),
        norms: tiny().tensors().into_iter().filter_map(norm).collect(),
        clip: one("encoder.layers.0.self_attn.q_proj"),
        t5: one("encoder.block.0.layer.0.SelfAttention.q"),
    }
}

/// The smallest transformer.
pub fn tiny() -> Config {
    Config {
        in_channels: 64,
        out_channels: 64,
        context_dim: 16,
        vec_dim: 16,
        hidden: 16,
        heads: 1,
        mlp: 16,
        double_blocks: 1,
        single_blocks: 1,
        guidance: false,
    }
}

/// A LoRA: what is read of it belongs to layers of the model, in their shapes and in finite numbers, and can be set beside
/// them.
pub fn lora(bytes: &[u8]) {
    if bytes.starts_with(GGUF) {
        return;
    }
    let (_file, path) = in_memory(bytes);
    let (glanced, told) = (glance(&path), describe(&path));
    assert_eq!(glanced.is_ok(), told.is_ok(), "{glanced:?} and {told:?}");
    for text in told.iter().flat_map(|facts| facts.words().chain(facts.title.as_deref())) {
        assert!(text.chars().count() <= 200 && !text.chars().any(char::is_control), "{text:?}");
    }
    let shapes = layers();
    let Ok(lora) = read(&path, &shapes) else { return };
    assert!(lora.unapplied.len() <= lora.tensors);
    let of = [(&lora.transformer, &shapes.transformer), (&lora.clip, &shapes.clip), (&lora.t5, &shapes.t5)];
    for (layers, shapes) in of {
        for (name, layer) in layers {
            let [out, inner] = shapes[name];
            for branch in &layer.branches {
                assert_eq!(branch.change.shape(), [branch.rows.len(), inner], "{name:?}");
                assert!(branch.rows.end <= out, "{name:?} has {out} rows, not {:?}", branch.rows);
            }
            let own = |_: usize, rows: &mut [f32]| rows.fill(0.5);
            if let Some(side) = Side::new([out, inner], &[(layer, 0.7)], &own) {
                assert_eq!((side.out, side.inner, side.down.rows), (out, inner, inner));
                assert!(side.ups.iter().all(|up| up.values.columns == up.rows.len() && up.rows.end <= out));
                assert!(side.bias.is_empty() || side.bias.len() == out);
            }
        }
    }
    for (name, values) in &lora.norms {
        assert_eq!(values.len(), shapes.norms[name], "{name:?}");
    }
}

/// An index of shards, with the shards `one.safetensors` and `two.safetensors` beside it: what is read lies in files
/// beside the index, and each tensor in the one that the index says.
pub fn index(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let outside = folder.path().join("outside.safetensors");
    let beside = folder.path().join("model");
    std::fs::create_dir(&beside).expect("a folder can be made");
    // Never to be read: it has a tensor that no shard has.
    std::fs::write(&outside, shard("secret")).expect("it can be written");
    for name in ["one", "two"] {
        std::fs::write(beside.join(format!("{name}.safetensors")), shard(name)).expect("it can be written");
    }
    let path = beside.join("model.safetensors.index.json");
    std::fs::write(&path, bytes).expect("it can be written");
    let identity = identify(&path);
    let Ok(weights) = Weights::open(&Source::File(path)) else {
        assert!(identity.is_err(), "{identity:?} of an index that cannot be opened");
        return;
    };
    for name in weights.names() {
        assert!(["one", "two"].contains(&name), "{name:?} is in no file beside the index");
        let wide = weights.widened(name, weights.shape(name).expect("it is there")).expect("it is whole");
        assert_eq!(wide.len(), 4);
    }
}

/// A safetensors file with one tensor of that name: four values in fp32.
pub fn shard(name: &str) -> Vec<u8> {
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}}}"#);
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &[0; 16]].concat()
}

/// A file in memory, and the path that it can be opened by while it lives.
fn in_memory(bytes: &[u8]) -> (File, PathBuf) {
    let file = rustix::fs::memfd_create("fuzzed", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = File::from(file.expect("a file in memory can be made"));
    file.write_all(bytes).expect("memory holds it");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    (file, path)
}

/// Lists of models: the program's own and a person's.
pub fn catalog(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(list) = catalog::parse(text) {
        let known = |id: &String| list.files.iter().any(|file| file.id == *id);
        for file in &list.files {
            assert!(!file.places.is_empty() && file.with.iter().all(known), "{file:?}");
            let paths = file.places.iter().flat_map(|place| [&place.repo, &place.path, &place.revision]);
            paths.for_each(|path| stays_below(path));
        }
        for entry in &list.entries {
            for role in Role::ALL {
                if let Wanted::Published(ids) = entry.recipe.wanted(role) {
                    assert!(!ids.is_empty() && ids.iter().all(known), "{ids:?}");
                }
            }
        }
    }
    let (catalog, problems) = Catalog::parse(text, Path::new("models.toml"));
    let lines = text.split('\n').count();
    assert!(problems.iter().all(|problem| problem.line.is_some_and(|line| (1..=lines).contains(&line))));
    let mut names: Vec<&str> = catalog.entries().iter().map(|entry| entry.info.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two models of one name: {names:?}");
    assert!(catalog.folders().iter().all(|folder| folder.is_absolute()));
    let extra = catalog::comfy::folders(text, &catalog::comfy::KEYS, Path::new("/comfy"), |_| {
        Some(PathBuf::from("/home"))
    });
    assert!(extra.len() <= 256 && extra.iter().all(|folder| folder.is_absolute()), "{extra:?}");
}

/// A path from a list is joined to caches' folders.
fn stays_below(path: &str) {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    assert!(path.split('/').all(plain), "{path:?} leaves the folder that it is joined to");
}

/// A stream of frames, as a worker and as a client read it.
pub fn wire(bytes: &[u8]) {
    let to_worker = |value: &[u8]| {
        if let Ok(message) = frame::decode::<ToWorker>(value) {
            comes_back(&message, REQUEST_MAX);
        }
    };
    let to_client = |value: &[u8]| {
        if let Ok(message) = frame::decode::<ToClient>(value) {
            comes_back(&message, REPLY_MAX);
        }
    };
    read_frames(bytes, REQUEST_MAX, to_worker);
    read_frames(bytes, REPLY_MAX, to_client);
    // The same bytes as one value: a length that fits is rarely found by chance.
    to_worker(bytes);
    to_client(bytes);
}

/// Cuts a stream that comes in two pieces, the first of a length that its first byte says.
fn read_frames(bytes: &[u8], cap: usize, mut read: impl FnMut(&[u8])) {
    let (first, second) = bytes.split_at(bytes.first().map_or(0, |at| usize::from(*at).min(bytes.len())));
    let (mut frames, mut source) = (Frames::new(cap), BytesMut::new());
    for piece in [first, second] {
        source.put_slice(piece);
        loop {
            match frames.decode(&mut source) {
                Ok(Some(value)) => {
                    assert!(value.len() <= cap, "a frame of {} bytes", value.len());
                    read(&value);
                }
                Ok(None) => break,
                Err(FrameError::TooLarge { bytes, .. }) => {
                    assert!(bytes > cap as u64, "{bytes} are not too many");
                    return;
                }
                Err(other) => panic!("bytes in memory cannot fail otherwise: {other}"),
            }
        }
    }
    let rest = frames.decode_eof(&mut source);
    assert!(matches!(rest, Ok(None) | Err(FrameError::Cut)), "{rest:?} of what no frame was left of");
}

/// What was understood is written so that it is understood the same. Not compared as values: a NaN is not itself.
fn comes_back<T: serde::Serialize + serde::de::DeserializeOwned>(message: &T, cap: usize) {
    // A value of compact numbers may have had names where ours has none, and be longer when written with them.
    let Ok(written) = frame::encode(message, cap) else { return };
    let again: T = frame::decode(&written[4..]).expect("what was written can be read");
    assert_eq!(frame::encode(&again, cap).expect("it fitted before"), written);
}

/// A PNG's size, our recipe and others' text; what others say of themselves makes a recipe or is refused.
pub fn png(bytes: &[u8]) {
    if let Ok((recipe, _)) = foreign::examine(bytes) {
        assert!(!recipe.prompt.as_str().trim().is_empty() && (1..=200).contains(&recipe.steps));
    }
    let Ok(metadata) = png::read(bytes) else { return };
    assert!(metadata.width <= png::SIDE_MAX && metadata.height <= png::SIDE_MAX, "{metadata:?}");
    if let Some(Ok(recipe)) = &metadata.recipe {
        assert!(png::parameters(recipe).contains("Steps: "));
        let pixels = 3 * recipe.size.width() as usize * recipe.size.height() as usize;
        // Pixels are not what is fuzzed: small ones do.
        if pixels <= 3 * 64 * 64 {
            let written = png::encode(&vec![0; pixels], recipe).expect("the pixels fit");
            let again = png::read(&written).expect("our own can be read").recipe;
            assert_eq!(again.map(|found| found.is_ok()), Some(true), "{recipe:?} does not come back");
        }
    }
}

/// Keys, pastes and reports are the same wherever the bytes are split, and silence settles what is held.
pub fn input(bytes: &[u8]) {
    let mut whole = Vec::new();
    let mut decoder = Decoder::default();
    decoder.feed(bytes, &mut whole);
    let at = bytes.first().map_or(0, |at| usize::from(*at).min(bytes.len()));
    let (mut split, mut again) = (Vec::new(), Decoder::default());
    again.feed(&bytes[..at], &mut split);
    again.feed(&bytes[at..], &mut split);
    assert_eq!(whole, split, "split at {at}");
    decoder.quiet(&mut whole);
    assert!(!decoder.is_waiting(), "silence settles everything");
    let pasted: usize = whole
        .iter()
        .map(|input| match input {
            Input::Paste { text, .. } => text.chars().count(),
            _ => 0,
        })
        .sum();
    assert!(pasted <= bytes.len(), "{pasted} characters were pasted in {} bytes", bytes.len());
}
