//! Which algorithm was chosen for which product: for the whole process, and in a file for those that come after it.
//!
//! By cublasLt's reference a `cublasLtMatmulAlgo_t` may be written down and read again by the same version of the library,
//! so a file is for one version and one kind of card. One that cannot be read costs the time of choosing again, and
//! nothing else.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use cudarc::cublaslt::sys::{self, cublasLtMatmulAlgo_t};
use serde::{Deserialize, Serialize};

use super::{Shape, WORKSPACE};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::gpu::Gpu;

/// Longer files are none of ours: a choice takes about 300 bytes, and a model has some dozens.
const LONGEST: u64 = 4 << 20;
/// The most choices that are written.
const MOST: usize = 8192;

/// What was chosen in this process or read from a file.
#[derive(Default)]
struct Chosen {
    /// By the card's UUID.
    algorithms: HashMap<(String, Shape), cublasLtMatmulAlgo_t>,
    /// Files that were read, and for which card.
    read: HashSet<(PathBuf, String)>,
    /// Cards for which something was chosen since it was last written.
    fresh: HashSet<String>,
}

static CHOSEN: LazyLock<Mutex<Chosen>> = LazyLock::new(Mutex::default);

fn all() -> MutexGuard<'static, Chosen> {
    // Nothing panics between two changes that belong together.
    CHOSEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was chosen for a shape on the card of this UUID.
pub(super) fn chosen(uuid: &str, shape: Shape) -> Option<cublasLtMatmulAlgo_t> {
    all().algorithms.get(&(uuid.to_owned(), shape)).copied()
}

/// Holds from now on.
pub(super) fn choose(uuid: &str, shape: Shape, algorithm: cublasLtMatmulAlgo_t) {
    let mut all = all();
    all.algorithms.insert((uuid.to_owned(), shape), algorithm);
    all.fresh.insert(uuid.to_owned());
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    /// What it is for; a file of another kind of card or version is not read.
    on: Kind,
    choices: Vec<Choice>,
}

/// What choices hold for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kind {
    card: String,
    capability: (i32, i32),
    multiprocessors: u32,
    library: usize,
    workspace: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Choice {
    shape: Shape,
    algorithm: [u64; 8],
}

impl Kind {
    fn of(card: &Card, library: usize) -> Self {
        let Card { name, capability, multiprocessors, .. } = card;
        let (card, capability, multiprocessors) = (name.clone(), *capability, *multiprocessors);
        Self { card, capability, multiprocessors, library, workspace: WORKSPACE }
    }

    /// `nvidia-h200-130200.json`
    fn file(&self) -> String {
        let plain =
            |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
        format!("{}-{}.json", self.card.chars().map(plain).collect::<String>(), self.library)
    }
}

impl Gpu {
    /// Reads what was chosen before on such a card, once a process for each folder. What this process has chosen itself
    /// stays.
    pub fn recall_products(&self, folder: &Path) {
        let kind = Kind::of(self.card(), library());
        let (path, uuid) = (folder.join(kind.file()), self.card().uuid.clone());
        let mut all = all();
        if !all.read.insert((path.clone(), uuid.clone())) {
            return;
        }
        for Choice { shape, algorithm } in read(&path, &kind) {
            let algorithm = cublasLtMatmulAlgo_t { data: algorithm };
            all.algorithms.entry((uuid.clone(), shape)).or_insert(algorithm);
        }
    }

    /// Writes what was chosen since the last time, beside what other processes wrote. That it cannot be written stops
    /// nothing.
    pub fn keep_products(&self, folder: &Path) {
        let uuid = &self.card().uuid;
        let mut all = all();
        if !all.fresh.remove(uuid) {
            return;
        }
        let own = all.algorithms.iter().filter(|((card, _), _)| card == uuid);
        let own: Vec<_> =
            own.map(|((_, shape), algorithm)| Choice { shape: *shape, algorithm: algorithm.data }).collect();
        drop(all);
        if let Err(error) = write(folder, Kind::of(self.card(), library()), own) {
            tracing::warn!(%error, folder = %folder.display(), "what products are fastest by could not be kept");
        }
    }
}

fn library() -> usize {
    // SAFETY: it reads a constant; a card is open, so the library is there.
    unsafe { sys::cublasLtGetVersion() }
}

/// The choices in a file, if it is for this kind.
fn read(path: &Path, kind: &Kind) -> Vec<Choice> {
    let whole = || -> io::Result<File> {
        let mut text = String::new();
        fs::File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    };
    match whole() {
        Ok(File { on, choices }) if on == *kind => choices,
        Ok(_) => Vec::new(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "it is chosen again what products are fastest by");
            Vec::new()
        }
    }
}

/// Writes these choices and those that are in the file for other shapes.
fn write(folder: &Path, on: Kind, mut choices: Vec<Choice>) -> io::Result<()> {
    let path = folder.join(on.file());
    let known: HashSet<_> = choices.iter().map(|choice| choice.shape).collect();
    choices.extend(read(&path, &on).into_iter().filter(|other| !known.contains(&other.shape)));
    choices.truncate(MOST);
    fs::create_dir_all(folder)?;
    // Under another name until it is whole; each process has its own.
    let part = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&part, serde_json::to_vec(&File { on, choices })?)?;
    fs::rename(&part, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(library: usize) -> Kind {
        let card = "A Card/1".to_owned();
        Kind { card, capability: (9, 0), multiprocessors: 132, library, workspace: WORKSPACE }
    }

    fn choice(rows: usize, first: u64) -> Choice {
        let shape = Shape {
            rows,
            columns: 64,
            inner: 32,
            x_stride: 32,
            weight_stride: 32,
            out_stride: 64,
            kind: super::super::Kind::Fp8,
            bias: true,
            alignment: 256,
        };
        Choice { shape, algorithm: [first, 0, u64::MAX, 0, 0, 0, 0, 7] }
    }

    #[test]
    fn what_is_written_is_read_beside_what_others_wrote() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = || read(&folder.path().join("a-card-1-130200.json"), &kind(130_200));
        assert_eq!(kept(), []);
        write(folder.path(), kind(130_200), vec![choice(16, 1), choice(32, 2)]).expect("it can be written");
        write(folder.path(), kind(130_200), vec![choice(32, 3), choice(48, 4)]).expect("and again");
        let rows: Vec<_> = kept().iter().map(|kept| (kept.shape.rows, kept.algorithm[0])).collect();
        assert_eq!(rows, [(32, 3), (48, 4), (16, 1)]);
        assert_eq!(kept()[0], choice(32, 3));
    }

    #[test]
    fn another_library_another_card_and_a_broken_file_are_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), kind(1), vec![choice(16, 1)]).expect("it can be written");
        let path = folder.path().join(kind(1).file());
        assert_eq!(read(&path, &kind(1)).len(), 1);
        assert_eq!(read(&path, &kind(2)), []);
        assert_eq!(read(&path, &Kind { multiprocessors: 8, ..kind(1) }), []);
        let whole = fs::read(&path).expect("it is there");
        fs::write(&path, &whole[..whole.len() - 9]).expect("it can be cut");
        assert_eq!(read(&path, &kind(1)), []);
    }
}
