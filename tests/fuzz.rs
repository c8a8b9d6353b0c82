//! What the fuzz targets of `tests/fuzz/` check, without a fuzzer: their seeds, inputs that were once a fault, and a few
//! thousand changes of each. `cargo test --test fuzz write_seeds -- --ignored` writes the seeds for cargo-fuzz.

#[path = "fuzz/checks.rs"]
mod checks;
#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "fuzz/studio.rs"]
mod studio;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use seeds::Seeds;

/// A target: its name, its check, its seeds and how many changes of each are tried.
type Target = (&'static str, fn(&[u8]), fn() -> Seeds, u32);

const TARGETS: [Target; 9] = [
    ("safetensors", checks::safetensors, seeds::safetensors, 300),
    ("gguf", checks::gguf, seeds::gguf, 1000),
    ("lora", checks::lora, seeds::lora, 300),
    ("index", checks::index, seeds::index, 100),
    ("catalog", checks::catalog, seeds::catalog, 200),
    ("wire", checks::wire, seeds::wire, 2000),
    ("png", checks::png, seeds::png, 500),
    ("input", checks::input, seeds::input, 4000),
    ("studio", studio::studio, seeds::studio, 12),
];

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// Inputs of a target that were once a fault.
fn found(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = here().join("found").join(target);
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let read = |path: &Path| std::fs::read(path).expect("it can be read");
    paths.map(|path| (path.display().to_string(), read(&path))).collect()
}

/// Numbers by xorshift: the same in every run, so that a fault comes again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    /// The input with one to four changes: a bit, a byte, a piece gone, a piece twice, a number that is often wrong.
    fn change(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let numbers = [0, 1, u64::MAX, 1 << 31, 1 << 63, u64::MAX / 2];
                    let number = numbers[self.below(numbers.len())].to_le_bytes();
                    let count = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
                    bytes[at..at + count].copy_from_slice(&number[..count]);
                }
            }
        }
        bytes
    }
}

#[test]
fn seeds_and_what_was_found_and_changes_of_them_are_answered_or_refused() {
    for (name, check, seeds, changes) in TARGETS {
        let seeds = seeds().into_iter().map(|(seed, bytes)| (format!("{name} {seed}"), bytes));
        for (seed, bytes) in seeds.chain(found(name)) {
            check(&bytes);
            let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
            for number in 0..changes {
                let changed = chance.change(&bytes);
                let checked = std::panic::catch_unwind(|| check(&changed));
                assert!(checked.is_ok(), "change {number} of {seed}: {changed:?}");
            }
        }
    }
}

/// The studio for as long as `FLUX_TUI_FUZZ_SECONDS` says, where no fuzzer is to be had: seeds joined and changed, and
/// bytes by chance between orders. `cargo test --test fuzz the_studio -- --ignored --nocapture`.
#[test]
#[ignore = "for as long as it is told to"]
#[allow(clippy::print_stdout, reason = "its result")]
fn the_studio_under_random_bytes_and_resizes() {
    let seconds = std::env::var("FLUX_TUI_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(10));
    let seeds: Vec<Vec<u8>> =
        seeds::studio().into_iter().chain(seeds::input()).map(|(_, bytes)| bytes).collect();
    let mut chance = Chance(std::process::id().into());
    let (mut played, mut bytes) = (0_u64, 0_u64);
    while Instant::now() < until {
        let mut script = Vec::new();
        for _ in 0..=chance.below(12) {
            match chance.below(3) {
                0 => {
                    let length = chance.below(64);
                    script.extend((0..length).map(|_| chance.below(256) as u8));
                }
                1 => script.extend([studio::RESIZE, chance.below(256) as u8, chance.below(120) as u8]),
                _ => {
                    let seed = &seeds[chance.below(seeds.len())];
                    script.extend(chance.change(seed));
                }
            }
        }
        let checked = std::panic::catch_unwind(|| studio::studio(&script));
        assert!(checked.is_ok(), "{script:?}");
        (played, bytes) = (played + 1, bytes + script.len() as u64);
    }
    assert!(played > 0);
    println!("{played} scripts of {bytes} bytes in all, nothing wrong");
}

#[test]
fn seeds_are_what_their_readers_understand() {
    let of = |seeds: Seeds, name: &str| {
        seeds
            .into_iter()
            .find_map(|(seed, bytes)| (seed == name).then_some(bytes))
            .expect("there is such a seed")
    };
    let folder = tempfile::tempdir().expect("a directory");
    let identity = |bytes: Vec<u8>| {
        let path = folder.path().join("seed");
        std::fs::write(&path, bytes).expect("it can be written");
        flux_tui::engine::weights::identify(&path)
    };
    let whole = identity(of(seeds::safetensors(), "transformer")).expect("it is whole");
    assert!(whole.scaled && whole.parts.len() == 1, "{whole:?}");
    for (seeds, names) in
        [(seeds::safetensors(), &["nf4", "lora"][..]), (seeds::gguf(), &["plain", "old", "k"])]
    {
        for name in names {
            identity(of(seeds.clone(), name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    for (name, tensors) in [("both", Some(2)), ("one", Some(1)), ("above", None), ("swapped", None)] {
        let beside = folder.path().join(name);
        std::fs::create_dir(&beside).expect("a folder can be made");
        for shard in ["one", "two"] {
            std::fs::write(beside.join(format!("{shard}.safetensors")), checks::shard(shard)).expect("room");
        }
        let path = beside.join("model.safetensors.index.json");
        std::fs::write(&path, of(seeds::index(), name)).expect("room");
        let opened = flux_tui::engine::weights::Weights::open(&flux_tui::model::Source::File(path));
        let names = opened.map(|weights| weights.names().count());
        assert_eq!(names.as_ref().ok().copied(), tensors, "{name}: {:?}", names.err());
    }
    for (name, bytes) in seeds::lora() {
        let path = folder.path().join("lora");
        std::fs::write(&path, bytes).expect("it can be written");
        let read = flux_tui::engine::lora::read(&path, &checks::layers());
        let understood = read.as_ref().is_ok_and(|lora| lora.unapplied.is_empty());
        assert_eq!(understood, name != "foreign", "{name}: {read:?}");
    }
    let list = String::from_utf8(of(seeds::catalog(), "file")).expect("it is text");
    assert_eq!(flux_tui::catalog::parse(&list).map(|list| list.files.len()), Ok(2));
    for (name, png) in &seeds::png()[..2] {
        let metadata = flux_tui::library::png::read(png).expect("it is whole");
        assert!(matches!(metadata.recipe, Some(Ok(_))), "{name}");
    }
}

#[test]
#[ignore = "writes files: the corpora that cargo-fuzz begins with"]
fn write_seeds() {
    for (target, _, seeds, _) in TARGETS {
        let folder = here().join("corpus").join(target);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        for (seed, bytes) in seeds() {
            std::fs::write(folder.join(seed), bytes).expect("it can be written");
        }
    }
}
