//! The folder of converted transformers, for a person who makes room: of what each file was made, and whether that is
//! still there. Nothing is removed here.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::{MADE_FROM, NOTES, VERSION, digest};
use crate::engine::weights::{Dtype, Weights, WeightsError};
use crate::model::Source;

/// A transformer, and what it is completed from.
pub type Transformer = (Source, Option<Source>);

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// What it was made of, as its header says; older files do not.
    pub of: Option<PathBuf>,
    /// The type that most of its blocks had.
    pub from: Option<Dtype>,
    /// Whether it is of use.
    pub standing: Standing,
}

/// Whether a converted transformer is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// What it was made of is here, or a process is writing it.
    Needed,
    /// What it was made of is gone.
    Gone,
    /// What it was made of is another file now.
    Changed,
    /// It is of no transformer that is known, and does not say of which it was made.
    Unknown,
    /// Another version's, which this one makes anew.
    Old,
    /// A process that was killed left it half written.
    Half,
    /// It cannot be read.
    Broken,
}

impl Standing {
    /// Why it is of no use; `None` where it is.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Needed => None,
            Self::Gone => Some("what it was made from is gone"),
            Self::Changed => Some("what it was made from is another file now"),
            Self::Unknown => Some("no transformer that is known here is what it was made from"),
            Self::Old => Some("it is of another version's form"),
            Self::Half => Some("it was never finished"),
            Self::Broken => Some("it cannot be read"),
        }
    }
}

/// All that is in a folder of converted transformers, by name. `known` are the transformers that there are; those that
/// files say they were made of are looked for as well.
#[must_use]
pub fn entries(folder: &Path, known: &[Transformer]) -> Vec<Entry> {
    let ours = |path: &PathBuf| path.extension().is_some_and(|it| it == "safetensors" || it == "part");
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(ours).collect();
    if files.is_empty() {
        return Vec::new();
    }
    files.sort_unstable();
    let known: Vec<String> =
        known.iter().filter_map(|(source, from)| digest_of(source, from.as_ref())).collect();
    files.into_iter().filter_map(|file| entry(file, &known)).collect()
}

fn digest_of(transformer: &Source, complete_from: Option<&Source>) -> Option<String> {
    Some(digest(&Weights::open_transformer(transformer, complete_from).ok()?))
}

/// `None` of what is gone meanwhile, and of no file.
fn entry(file: PathBuf, known: &[String]) -> Option<Entry> {
    let bytes = fs::metadata(&file).ok().filter(fs::Metadata::is_file)?.len();
    let entry = Entry { bytes, of: None, from: None, standing: Standing::Needed, file };
    if entry.file.extension().is_some_and(|it| it == "part") {
        let standing = if is_being_written(&entry.file) { Standing::Needed } else { Standing::Half };
        return Some(Entry { standing, ..entry });
    }
    let Ok(weights) = Weights::open(&Source::File(entry.file.clone())) else {
        return Some(Entry { standing: Standing::Broken, ..entry });
    };
    let said = |key| weights.note(key).map(str::to_owned);
    let ([form, made_from, wide], [of, completed]) = (NOTES.map(said), MADE_FROM.map(said));
    let (of, completed) = (of.map(PathBuf::from), completed.map(PathBuf::from));
    let from = wide.and_then(|wide| Dtype::WEIGHTS.into_iter().find(|dtype| dtype.name() == wide));
    let standing = match made_from {
        _ if form.as_deref() != Some(VERSION) => Standing::Old,
        Some(digest) if known.contains(&digest) => Standing::Needed,
        made_from => by_its_word(made_from.as_deref(), of.as_deref(), completed),
    };
    Some(Entry { of, from, standing, ..entry })
}

/// Whether what a file says that it was made of is there.
fn by_its_word(made_from: Option<&str>, of: Option<&Path>, completed: Option<PathBuf>) -> Standing {
    let Some(of) = of else { return Standing::Unknown };
    if !of.exists() {
        return Standing::Gone;
    }
    let completed = completed.map(Source::File);
    match Weights::open_transformer(&Source::File(of.to_owned()), completed.as_ref()) {
        Ok(now) if Some(&*digest(&now)) == made_from => Standing::Needed,
        // It may be the one, and cannot be read just now.
        Err(WeightsError::Read(_)) => Standing::Needed,
        _ => Standing::Changed,
    }
}

/// Whether a process holds a part's lock.
fn is_being_written(part: &Path) -> bool {
    File::options()
        .write(true)
        .open(part)
        .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}
