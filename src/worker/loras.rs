//! The LoRAs of a job as files: which they are, that they are what was asked for, and their hashes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::Models;
use super::queue::Work;
use crate::engine::LoraFile;
use crate::engine::lora::{LoraError, glance};
use crate::job::{Job, LoraChoice, LoraHash, Unapplied, UsedLora};

/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 20;

/// Why a job's LoRA cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableLora {
    /// No file is meant.
    #[error("{0}")]
    Missing(String),
    /// Several files are meant.
    #[error("the LoRA {name:?} may be {first} or {second}: name it with its folder, or by its path")]
    Several {
        /// What was asked for.
        name: String,
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// The file cannot be read.
    #[error("the LoRA {path} could not be read: {source}")]
    Read {
        /// Which.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is none.
    #[error("the LoRA {path} cannot be used: {source}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        source: Box<LoraError>,
    },
    /// The file is another than the one that is meant.
    #[error(
        "the LoRA {name} is another file now: the picture was drawn with one of hash {wanted}, and {path} has {found}; \
         put that file back, or name this one with --lora"
    )]
    Changed {
        /// What was asked for.
        name: String,
        /// The hash that is wanted.
        wanted: String,
        /// The file that is there.
        path: String,
        /// Its hash.
        found: String,
    },
}

/// Hashes of files, as long as they do not change.
#[derive(Debug, Default)]
pub(super) struct Hashes(Mutex<HashMap<PathBuf, (Stamp, LoraHash)>>);

/// What changes when a file does: its size and when it was written.
type Stamp = (u64, Option<SystemTime>);

impl Hashes {
    fn of(&self, path: &Path) -> io::Result<LoraHash> {
        let metadata = fs::metadata(path)?;
        let stamp = (metadata.len(), metadata.modified().ok());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hash)) = lock().get(path).filter(|(known, _)| *known == stamp) {
            return Ok(hash.clone());
        }
        let hash = hash(path)?;
        lock().insert(path.to_owned(), (stamp, hash.clone()));
        Ok(hash)
    }
}

fn hash(path: &Path) -> io::Result<LoraHash> {
    let (mut file, mut hash, mut piece) = (File::open(path)?, Sha256::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(LoraHash::new(hash.finalize().into())),
            count => hash.update(&piece[..count]),
        }
    }
}

/// All LoRAs of a job, those of its flags first; whether a tag asked for each.
fn asked(job: &Job) -> Vec<(LoraChoice, bool)> {
    let flags = job.loras().iter().cloned().map(|lora| (lora, false));
    flags.chain(job.tagged().loras.into_iter().map(|lora| (lora, true))).collect()
}

fn files(models: &dyn Models, lora: &LoraChoice) -> Result<Vec<PathBuf>, UnusableLora> {
    models.lora(lora.file()).map_err(UnusableLora::Missing)
}

/// Whether a job's LoRAs are there and are LoRAs of FLUX.1, as far as their names and headers tell.
///
/// # Errors
/// [`UnusableLora`].
pub(super) fn check(models: &dyn Models, job: &Job) -> Result<(), UnusableLora> {
    for (lora, _) in asked(job) {
        let files = files(models, &lora)?;
        if lora.hash.is_none() {
            one(&lora, &files)?;
        }
        for path in &files {
            let path_told = path.display().to_string();
            glance(path)
                .map_err(|source| UnusableLora::File { path: path_told, source: Box::new(source) })?;
        }
    }
    Ok(())
}

/// The only file, where the content does not tell which is meant.
fn one<'f>(lora: &LoraChoice, files: &'f [PathBuf]) -> Result<&'f PathBuf, UnusableLora> {
    let told = |path: &PathBuf| path.display().to_string();
    match files {
        [one] => Ok(one),
        [first, second, ..] => {
            let name = lora.file().to_owned();
            Err(UnusableLora::Several { name, first: told(first), second: told(second) })
        }
        [] => Err(UnusableLora::Missing(format!("there is no LoRA {:?}", lora.file()))),
    }
}

/// The files of a job's LoRAs with their hashes, in order.
///
/// # Errors
/// [`UnusableLora`].
pub(super) fn ready(models: &dyn Models, hashes: &Hashes, job: &Job) -> Result<Vec<LoraFile>, UnusableLora> {
    asked(job).iter().map(|(lora, _)| file(models, hashes, lora)).collect()
}

fn file(models: &dyn Models, hashes: &Hashes, lora: &LoraChoice) -> Result<LoraFile, UnusableLora> {
    let files = files(models, lora)?;
    let hash = |path: &PathBuf| {
        let path_told = path.display().to_string();
        hashes.of(path).map_err(|source| UnusableLora::Read { path: path_told, source })
    };
    let found = |path: &PathBuf, hash| LoraFile {
        name: lora.name().to_owned(),
        path: path.clone(),
        hash,
        strength: lora.strength(),
        steps: lora.steps(),
    };
    let Some(wanted) = &lora.hash else {
        let path = one(lora, &files)?;
        return Ok(found(path, hash(path)?));
    };
    let mut other = None;
    for path in &files {
        let hash = hash(path)?;
        if hash == *wanted {
            return Ok(found(path, hash));
        }
        other = other.or(Some((path.display().to_string(), hash)));
    }
    let (path, hash) =
        other.ok_or_else(|| UnusableLora::Missing(format!("there is no LoRA {:?}", lora.file())))?;
    Err(UnusableLora::Changed {
        name: lora.name().to_owned(),
        wanted: wanted.short().to_owned(),
        path,
        found: hash.short().to_owned(),
    })
}

/// What a picture's record says of its LoRAs; what was not used of them is in the log as well.
pub(super) fn used(
    work: &Work,
    at_seed: &Job,
    files: &[LoraFile],
    unapplied: Vec<Unapplied>,
) -> Vec<UsedLora> {
    for (lora, Unapplied { count, of, examples }) in files.iter().zip(&unapplied) {
        if *count > 0 {
            let (job, lora) = (work.id.0, lora.path.display());
            tracing::warn!(job, %lora, count, of, ?examples, "tensors of a LoRA belong to no layer of the model");
        }
    }
    let unapplied = unapplied.into_iter().chain(std::iter::repeat(Unapplied::default()));
    let all = asked(at_seed).into_iter().zip(files).zip(unapplied);
    all.map(|(((lora, tagged), file), unapplied)| UsedLora {
        file: lora.file().to_owned(),
        hash: file.hash.clone(),
        strength: lora.strength(),
        steps: lora.steps(),
        tagged,
        unapplied,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_the_content_and_is_made_anew_when_it_changes() {
        let root = tempfile::tempdir().expect("a directory");
        let (path, hashes) = (root.path().join("a"), Hashes::default());
        fs::write(&path, "abc").expect("it can be written");
        let first = hashes.of(&path).expect("it can be read");
        assert!(first.as_str().starts_with("ba7816bf8f01cfea"), "{first:?}");
        fs::write(&path, "abcd").expect("it can be written");
        assert_ne!(hashes.of(&path).expect("it can be read"), first);
        fs::remove_file(&path).expect("it is ours");
        assert!(hashes.of(&path).is_err());
    }
}
