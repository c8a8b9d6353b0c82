//! Checkpoints: how far the pictures are that are being drawn, so that a worker that is killed costs seconds of
//! drawing and not the picture.
//!
//! Each is a file in `checkpoints`, beside the database, and not a row in it: it is replaced every few seconds and gone
//! with its picture, so in the database it would only swell the log and leave holes (1 MB a time at 1024²). It comes
//! there by rename, so it is there whole or not at all after a kill. It is not synced: after a power cut it may be
//! anything, which its hash tells, and then the picture is begun anew.
//!
//! ```text
//! 16 bytes  "flux-tui latent\n"
//!  4 bytes  length of the header, little-endian
//!  …        the header: JSON, whose picture this is and how far
//!  …        tokens · channels values, fp32, little-endian
//! 32 bytes  SHA-256 of all before
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::folder::{failure, make_directory};
use super::{Library, LibraryError};
use crate::job::{Job, JobId, SIZE_MAX, SIZE_MULTIPLE, STEPS_MAX, Size};
use crate::model::ModelName;

const MAGIC: &[u8; 16] = b"flux-tui latent\n";
const HASH: usize = 32;
/// Longer headers are not ours: the longest part is a path.
const HEADER_MAX: usize = 64 << 10;
const TOKENS_MAX: usize = ((SIZE_MAX / SIZE_MULTIPLE) * (SIZE_MAX / SIZE_MULTIPLE)) as usize;
const CHANNELS_MAX: usize = 256;
/// Longer files are not read.
const FILE_MAX: usize = MAGIC.len() + 4 + HEADER_MAX + TOKENS_MAX * CHANNELS_MAX * 4 + HASH;

/// All that a picture depends on. A checkpoint is used only where every part of this is the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointKey {
    /// For which job.
    pub job: JobId,
    /// Which of its pictures, from 0.
    pub index: u32,
    seed: u64,
    /// SHA-256 of the prompt, in hexadecimal.
    prompt: String,
    model: ModelName,
    size: Size,
    steps: u32,
    guidance: f32,
    /// What computes from which weights by which schedule.
    numerics: String,
    /// The program's version: another may round otherwise.
    version: String,
}

impl CheckpointKey {
    /// Of a picture of a job, drawn with this seed by an engine that says this of its numbers.
    #[must_use]
    pub fn new(id: JobId, index: u32, seed: u64, job: &Job, numerics: String) -> Self {
        Self {
            job: id,
            index,
            seed,
            prompt: format!("{:x}", Sha256::digest(job.prompt.as_str())),
            model: job.model.clone(),
            size: job.size,
            steps: job.steps(),
            guidance: job.guidance(),
            numerics,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The first part in which another key differs.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let parts = [
            ("job", self.job == other.job),
            ("picture", self.index == other.index),
            ("seed", self.seed == other.seed),
            ("prompt", self.prompt == other.prompt),
            ("model", self.model == other.model),
            ("size", self.size == other.size),
            ("steps", self.steps == other.steps),
            ("guidance", self.guidance.to_bits() == other.guidance.to_bits()),
            ("weights, precision or schedule", self.numerics == other.numerics),
            ("version of the program", self.version == other.version),
        ];
        parts.into_iter().find(|(_, same)| !same).map(|(part, _)| part)
    }
}

/// A picture's latent after some steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Whose.
    pub key: CheckpointKey,
    /// Steps done, at least one.
    pub step: u32,
    /// Rows of the latent, one for each 16×16 pixels.
    pub tokens: usize,
    /// Columns of the latent.
    pub channels: usize,
    /// `[tokens, channels]`, row by row.
    pub values: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    key: CheckpointKey,
    step: u32,
    tokens: usize,
    channels: usize,
}

/// Why a checkpoint is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it could not be read: {0}")]
    Read(#[from] io::Error),
    #[error("it has {0} bytes, more than any of ours")]
    Long(u64),
    #[error("it is not whole")]
    Damaged,
    #[error("its header cannot be read: {0}")]
    Header(#[from] serde_json::Error),
    #[error("{what} {value} is out of range")]
    Range { what: &'static str, value: usize },
    #[error("it was made with another {0}")]
    Another(&'static str),
}

impl Checkpoint {
    fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Self { key, step, tokens, channels, values } = self;
        let (key, step, tokens, channels) = (key.clone(), *step, *tokens, *channels);
        let header = serde_json::to_vec(&Header { key, step, tokens, channels })?;
        let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + header.len() + values.len() * 4 + HASH);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let hash = Sha256::digest(&bytes);
        bytes.extend_from_slice(&hash);
        Ok(bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        let (bytes, hash) = bytes.split_last_chunk::<HASH>().ok_or(Unusable::Damaged)?;
        if Sha256::digest(bytes)[..] != hash[..] {
            return Err(Unusable::Damaged);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(Unusable::Damaged)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(Unusable::Damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > HEADER_MAX {
            return Err(Unusable::Range { what: "a header's length", value: length });
        }
        let (header, values) = rest.split_at_checked(length).ok_or(Unusable::Damaged)?;
        let Header { key, step, tokens, channels } = serde_json::from_slice(header)?;
        let ranges = [
            ("step", step as usize, STEPS_MAX as usize),
            ("tokens", tokens, TOKENS_MAX),
            ("channels", channels, CHANNELS_MAX),
        ];
        if let Some((what, value, _)) =
            ranges.into_iter().find(|(_, value, most)| !(1..=*most).contains(value))
        {
            return Err(Unusable::Range { what, value });
        }
        let (values, odd) = values.as_chunks::<4>();
        if values.len() != tokens * channels || !odd.is_empty() {
            return Err(Unusable::Damaged);
        }
        let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Self { key, step, tokens, channels, values })
    }
}

/// The directory of checkpoints. What goes wrong with one costs time and nothing else, so only writing tells of it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    root: PathBuf,
}

impl Checkpoints {
    pub fn beside(database: &Path) -> Self {
        Self { root: database.with_file_name("checkpoints") }
    }

    fn path(&self, job: JobId, index: u32) -> PathBuf {
        self.root.join(format!("{job}-{index}.latent"))
    }

    fn write(&self, checkpoint: &Checkpoint) -> Result<(), LibraryError> {
        let path = self.path(checkpoint.key.job, checkpoint.key.index);
        let bytes = checkpoint.to_bytes();
        let failed = |source| failure(&path, "written", checkpoint.values.len() as u64 * 4, source);
        let bytes = bytes.map_err(|error| failed(error.into()))?;
        make_directory(&self.root)?;
        let part = path.with_extension("part");
        let written = File::create(&part).and_then(|mut file| file.write_all(&bytes));
        written.and_then(|()| fs::rename(&part, &path)).map_err(|source| {
            let _ = fs::remove_file(&part);
            failed(source)
        })
    }

    fn read(&self, key: &CheckpointKey) -> Result<Option<Checkpoint>, Unusable> {
        let file = match File::open(self.path(key.job, key.index)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let length = file.metadata()?.len();
        if length > FILE_MAX as u64 {
            return Err(Unusable::Long(length));
        }
        let mut bytes = Vec::new();
        file.take(FILE_MAX as u64).read_to_end(&mut bytes)?;
        let checkpoint = Checkpoint::parse(&bytes)?;
        match checkpoint.key.difference(key) {
            Some(part) => Err(Unusable::Another(part)),
            None => Ok(Some(checkpoint)),
        }
    }

    /// Removes those of the pictures that `which` says, and whatever else is there that is none.
    pub fn clear(&self, which: impl Fn(JobId, u32) -> bool) {
        // There is no directory until the first is written.
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if picture(&path).is_none_or(|(job, index)| which(job, index))
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "a checkpoint could not be removed");
            }
        }
    }
}

/// The picture that a file is the checkpoint of.
fn picture(path: &Path) -> Option<(JobId, u32)> {
    let (job, index) = path.file_name()?.to_str()?.strip_suffix(".latent")?.split_once('-')?;
    Some((JobId(job.parse().ok()?), index.parse().ok()?))
}

impl Library {
    /// Keeps how far a picture is, in place of what was kept of it before. Whether its job is still to be drawn: for
    /// one that is over nothing is kept.
    ///
    /// # Errors
    /// What was kept before is still there then.
    pub fn keep_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<bool, LibraryError> {
        let open = self.state(checkpoint.key.job)?.is_some_and(|state| !state.is_over());
        if open {
            self.checkpoints.write(checkpoint)?;
        }
        Ok(open)
    }

    /// How far a picture is. One that is of something else or not whole is removed, and the log says why.
    #[must_use]
    pub fn checkpoint(&self, key: &CheckpointKey) -> Option<Checkpoint> {
        match self.checkpoints.read(key) {
            Ok(found) => found,
            Err(reason) => {
                let (job, index) = (key.job, key.index);
                tracing::warn!(job = job.0, index, %reason, "a checkpoint is not used: the picture is begun anew");
                self.checkpoints.clear(|of, picture| (of, picture) == (job, index));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
