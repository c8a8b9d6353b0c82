//! The files behind a source, mapped: one file, or all that an index or a folder of diffusers' names.
#![allow(unsafe_code)] // mapping a file

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use memmap2::{Mmap, UncheckedAdvice};
use serde::Deserialize;

use super::ahead::{self, Reading};
use super::dtype::Dtype;
use super::error::{HeaderError, WeightsError};
use super::names::{self, Part};
use super::nf4::{self, State};
use super::{gguf, header};
use crate::model::Source;

/// Longer indices are not read: FLUX.1's is 120 KB.
const INDEX_BYTES: u64 = 16 << 20;
/// What diffusers and transformers call a component's only file.
const USUAL: [&str; 2] = ["diffusion_pytorch_model", "model"];

/// Where a file's bytes are. A clone is the same mapping.
#[derive(Clone)]
pub(super) enum Bytes {
    Embedded(&'static [u8]),
    Mapped(Arc<Mapped>),
}

/// A file's mapping.
pub(super) struct Mapped {
    map: Mmap,
    /// The file, until it was asked whether to read it ahead.
    file: Mutex<Option<File>>,
    /// Set when it has begun.
    reading: OnceLock<Reading>,
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Embedded(bytes) => bytes,
            Self::Mapped(mapped) => &mapped.map,
        }
    }
}

impl Bytes {
    fn map(path: &Path) -> Result<Self, WeightsError> {
        let file = File::open(path)?;
        // An empty file cannot be mapped, and a pipe has no length.
        if file.metadata()?.len() == 0 {
            return Err(HeaderError::Short(0).into());
        }
        // SAFETY: the map is only read. Whoever cuts a weight file short while a model is read from
        // it gets the process a SIGBUS, as with every program that maps files.
        let map = unsafe { Mmap::map(&file) }?;
        let file = Mutex::new(Some(file));
        Ok(Self::Mapped(Arc::new(Mapped { map, file, reading: OnceLock::new() })))
    }

    /// Lets the pages of a range go from this process's memory; the system keeps them as long as it likes.
    pub fn let_go(&self, range: Range<usize>) {
        let Self::Mapped(mapped) = self else { return };
        // SAFETY: the map is of a file and is only read: pages that are gone come back from it with the same bytes.
        let gone =
            unsafe { mapped.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        if let Err(error) = gone {
            tracing::debug!(%error, "pages of a file could not be let go");
        }
    }

    /// Begins to read the file before it is used, once, if it is one where that helps.
    pub fn read_ahead(&self) {
        let Self::Mapped(mapped) = self else { return };
        let file = mapped.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let length = mapped.map.len() as u64;
        if let Some(file) = file.filter(|file| ahead::wanted(file, length)) {
            mapped.reading.get_or_init(|| Reading::begin(file, length));
        }
    }
}

/// Files that stay mapped.
#[derive(Clone)]
pub struct Mapping {
    _files: Arc<[Bytes]>,
}

/// A tensor in one of the files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Located {
    pub file: usize,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub range: Range<usize>,
    /// Of NF4.
    pub state: Option<Arc<State>>,
}

/// Tensors by the names that they are stored under.
pub(super) type Tensors = BTreeMap<String, Located>;

/// Every tensor of a source, by the name that it is stored under.
#[derive(Clone)]
pub(super) struct Files {
    bytes: Arc<[Bytes]>,
    pub tensors: Tensors,
    pub metadata: BTreeMap<String, String>,
    /// What a GGUF file says it is.
    architecture: Option<String>,
}

/// The same while files are added.
#[derive(Default)]
struct Opening {
    bytes: Vec<Bytes>,
    tensors: Tensors,
    metadata: BTreeMap<String, String>,
    architecture: Option<String>,
}

impl Files {
    /// Maps what the source names and checks every header. In a folder with a folder for each part, as diffusers
    /// writes it, `part` says which.
    pub fn open(source: &Source, part: Option<Part>) -> Result<Self, WeightsError> {
        let mut files = Opening::default();
        match source {
            Source::Embedded { bytes, .. } => files.add(Bytes::Embedded(bytes), &[])?,
            Source::File(path) => {
                let listing = Listing::of(path, part)?;
                for path in &listing.files {
                    let added = Bytes::map(path).and_then(|bytes| files.add(bytes, &listing.files));
                    // The one who asked names the source; in a source of several files, more is needed.
                    added.map_err(|problem| match problem {
                        WeightsError::Twice { .. } => problem,
                        problem if path == listing.asked => problem,
                        problem => WeightsError::Shard { file: name(path), problem: Box::new(problem) },
                    })?;
                }
                files.check_against(&listing)?;
            }
        }
        let Opening { bytes, mut tensors, metadata, architecture } = files;
        nf4::resolve(&mut tensors, &bytes)?;
        Ok(Self { bytes: bytes.into(), tensors, metadata, architecture })
    }

    /// Every file's bytes, by number.
    pub fn bytes(&self) -> &[Bytes] {
        &self.bytes
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Arc<[Bytes]> {
        Arc::clone(&self.bytes)
    }

    /// The same, whatever is in them.
    pub fn mapping(&self) -> Mapping {
        Mapping { _files: self.shared() }
    }

    /// Takes the files of another source behind its own.
    pub fn join(&mut self, other: &Self) {
        self.bytes = self.bytes.iter().chain(&*other.bytes).cloned().collect();
    }

    /// What they are, where that is known to be no part of FLUX.1: by a GGUF file's own word, or by names.
    pub fn foreign(&self) -> Option<String> {
        let said = self.architecture.as_deref().filter(|said| !names::is_architecture(said));
        said.map(|said| format!("a GGUF file of {said}")).or_else(|| names::other(&self.tensors))
    }
}

impl Opening {
    fn add(&mut self, bytes: Bytes, paths: &[PathBuf]) -> Result<(), WeightsError> {
        let file = self.bytes.len();
        let located = |dtype, shape, range| Located { file, dtype, shape, range, state: None };
        let tensors: Tensors = if bytes.starts_with(b"GGUF") {
            let gguf::Header { architecture, metadata, tensors } = gguf::Header::read(&bytes)?;
            self.architecture = architecture;
            self.metadata.extend(metadata);
            let all = tensors.into_iter();
            all.map(|(name, info)| (name, located(info.dtype, info.shape, info.range))).collect()
        } else {
            let header::Header { tensors, metadata } = header::Header::read(&bytes)?;
            self.metadata.extend(metadata);
            let all = tensors.into_iter();
            all.map(|(name, info)| (name, located(info.dtype.into(), info.shape, info.range))).collect()
        };
        for (tensor, located) in tensors {
            if let Some(before) = self.tensors.get(&tensor) {
                let (first, second) = (name(&paths[before.file]), name(&paths[file]));
                return Err(WeightsError::Twice { name: tensor, first, second });
            }
            self.tensors.insert(tensor, located);
        }
        self.bytes.push(bytes);
        Ok(())
    }

    /// That every tensor is in the file that the index says.
    fn check_against(&self, listing: &Listing<'_>) -> Result<(), WeightsError> {
        for (tensor, file) in &listing.index {
            let there = self.tensors.get(tensor).is_some_and(|at| name(&listing.files[at.file]) == *file);
            if !there {
                let problem = Box::new(WeightsError::Missing(tensor.clone()));
                return Err(WeightsError::Shard { file: file.clone(), problem });
            }
        }
        Ok(())
    }
}

/// Which files make a source.
struct Listing<'s> {
    asked: &'s Path,
    files: Vec<PathBuf>,
    /// In which file each tensor is, where an index says so.
    index: BTreeMap<String, String>,
}

/// `*.safetensors.index.json`, as transformers and diffusers write it.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl<'s> Listing<'s> {
    fn of(asked: &'s Path, part: Option<Part>) -> Result<Self, WeightsError> {
        let path = if asked.is_dir() { in_folder(asked, part)? } else { asked.to_owned() };
        if path.extension().is_none_or(|extension| extension != "json") {
            return Ok(Self { asked, files: vec![path], index: BTreeMap::new() });
        }
        let index = read_index(&path).map_err(|problem| match path == asked {
            true => problem,
            false => WeightsError::Shard { file: name(&path), problem: Box::new(problem) },
        })?;
        let mut names: Vec<&String> = index.values().collect();
        names.sort_unstable();
        names.dedup();
        // Files beside the index and nowhere else.
        if let Some(far) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
            return Err(WeightsError::Folder(format!("the index names {far:?}, which is no file beside it")));
        }
        let files = names.into_iter().map(|name| path.with_file_name(name)).collect();
        Ok(Self { asked, files, index })
    }
}

fn read_index(path: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    let mut text = String::new();
    File::open(path)?.take(INDEX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > INDEX_BYTES {
        return Err(WeightsError::Folder(format!("the index is over {INDEX_BYTES} bytes long")));
    }
    let index: Index = serde_json::from_str(&text)
        .map_err(|error| WeightsError::Folder(format!("the index cannot be read: {error}")))?;
    Ok(index.weight_map)
}

/// The index, or the only weight file, of a component's folder or of that component in a pipeline's.
fn in_folder(folder: &Path, part: Option<Part>) -> Result<PathBuf, WeightsError> {
    let component = part.map(|part| folder.join(part.folder())).filter(|component| component.is_dir());
    let folder = component.as_deref().unwrap_or(folder);
    let mut names: Vec<String> =
        std::fs::read_dir(folder)?.map(|entry| Ok(name(&entry?.path()))).collect::<std::io::Result<_>>()?;
    names.sort_unstable();
    for ending in [".safetensors.index.json", ".safetensors", ".gguf"] {
        let all: Vec<&String> = names.iter().filter(|name| name.ends_with(ending)).collect();
        let usual = |name: &&&String| USUAL.iter().any(|usual| name.strip_suffix(ending) == Some(usual));
        match (all.iter().find(usual), &all[..]) {
            (Some(name), _) | (None, [name]) => return Ok(folder.join(name)),
            (None, []) => {}
            (None, all) => {
                return Err(WeightsError::Folder(format!(
                    "{} has {} of them, and none is called {}{ending}: name one of {all:?}",
                    folder.display(),
                    all.len(),
                    USUAL[0]
                )));
            }
        }
    }
    let pickled = names.iter().any(|name| name.ends_with(".bin") || name.ends_with(".ckpt"));
    let reason = if pickled { HeaderError::Pickle.to_string() } else { "there are none".to_owned() };
    Err(WeightsError::Folder(format!("{} has no safetensors or GGUF files: {reason}", folder.display())))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
