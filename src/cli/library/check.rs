//! `flux-tui library check`: what of the library and of the pictures' folder does not go together. Nothing is changed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Access;
use super::import::Skipped;
use super::scan::Scan;
use crate::cli::failure::Failure;
use crate::cli::{block_on, stdout, text};
use crate::client::ClientError;
use crate::job::{Content, Disorder, FileRecord, PictureId};
use crate::paths::Paths;
use crate::wire::library::{LibraryRequest, LibraryResponse};

/// Records asked for at a time.
const PAGE: u32 = 1000;
/// Bytes of a file that are read at a time.
const PIECE: usize = 1 << 20;

/// Look for files that are missing, changed or not in the library, and for rows that belong to nothing.
///
/// All files are read and compared with their hashes. Nothing is changed; `library repair` puts right what can be.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Compare only lengths.
    #[arg(long)]
    fast: bool,
    /// One JSON object on standard output: pictures (how many there are), missing, changed and unknown (lists of files),
    /// unhashed (files whose hash is not kept yet), unread (what could not be looked at), disorder (jobless, orphans,
    /// index).
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Findings {
    pub pictures: usize,
    pub missing: Vec<Kept>,
    pub changed: Vec<Kept>,
    pub unhashed: Vec<Kept>,
    /// Files below the pictures' folder that the library does not know.
    pub unknown: Vec<PathBuf>,
    pub unread: Vec<Skipped>,
    pub disorder: Disorder,
}

/// A picture of the library and its file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Kept {
    pub picture: PictureId,
    pub path: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    let mut access = Access::new(paths.clone());
    let found = block_on(async { Findings::of(&mut access, &paths, args.fast).await })?;
    if args.json {
        stdout::json(&found)?;
    } else {
        stdout::write(&found.lines())?;
    }
    match found.problems() {
        0 => Ok(()),
        problems => Err(Failure::LibraryDisorder(problems)),
    }
}

impl Findings {
    /// Compares the library with its files. With `fast` their lengths alone.
    ///
    /// # Errors
    /// When the library cannot be asked, or the folder not be read.
    pub async fn of(access: &mut Access, paths: &Paths, fast: bool) -> Result<Self, Failure> {
        let disorder = match access.ask(LibraryRequest::PutInOrder { dry: true }).await? {
            LibraryResponse::InOrder(disorder) => disorder,
            _ => return Err(ClientError::Unexpected.into()),
        };
        let mut found = Self { disorder, ..Self::default() };
        let mut known = HashSet::new();
        let mut after = None;
        loop {
            let records = match access.ask(LibraryRequest::Files { after, limit: PAGE }).await? {
                LibraryResponse::Files(records) => records,
                _ => return Err(ClientError::Unexpected.into()),
            };
            let Some(last) = records.last() else { break };
            after = Some(last.picture);
            for record in records {
                known.insert(record.path.clone());
                found.compare(record, fast);
            }
        }
        found.look_for_others(&paths.pictures(), &known)?;
        Ok(found)
    }

    fn compare(&mut self, FileRecord { picture, path, content }: FileRecord, fast: bool) {
        self.pictures += 1;
        let kept = Kept { picture, path };
        let length = match fs::metadata(&kept.path) {
            Ok(meta) if meta.is_file() => meta.len(),
            _ => return self.missing.push(kept),
        };
        let Some(content) = content else { return self.unhashed.push(kept) };
        let same = match (length == content.bytes, fast) {
            (false, _) => Ok(false),
            (true, true) => Ok(true),
            (true, false) => holds(&kept.path, &content),
        };
        match same {
            Ok(true) => {}
            Ok(false) => self.changed.push(kept),
            Err(error) => self.unread.push(Skipped { path: kept.path, reason: error.to_string() }),
        }
    }

    fn look_for_others(&mut self, folder: &Path, known: &HashSet<PathBuf>) -> Result<(), Failure> {
        if !folder.is_dir() {
            return Ok(());
        }
        let Scan { pictures, unread, .. } = Scan::of(folder)?;
        self.unknown.extend(pictures.into_iter().filter(|path| !known.contains(path)));
        self.unread.extend(unread.into_iter().map(|(path, reason)| Skipped { path, reason }));
        Ok(())
    }

    /// How many things are not as they should be. A hash that is not kept yet is none.
    pub fn problems(&self) -> usize {
        let Disorder { jobless, orphans, index } = self.disorder;
        let files = [self.missing.len(), self.changed.len(), self.unknown.len(), self.unread.len()];
        files.iter().sum::<usize>() + jobless + orphans + usize::from(index)
    }

    fn lines(&self) -> String {
        let mut lines = String::new();
        for (word, files) in [("missing", &self.missing), ("changed", &self.changed)] {
            for Kept { picture, path } in files {
                lines += &format!("{word}  picture {picture}  {}\n", text::plain(&path.to_string_lossy()));
            }
        }
        for path in &self.unknown {
            lines += &format!("not in the library  {}\n", text::plain(&path.to_string_lossy()));
        }
        for Skipped { path, reason } in &self.unread {
            let path = path.to_string_lossy();
            lines += &format!("not read  {}: {}\n", text::plain(&path), text::plain(reason));
        }
        lines += &disorder_lines(&self.disorder);
        if !self.unhashed.is_empty() {
            lines += &format!("of {} the hash is not kept yet\n", text::count(self.unhashed.len(), "file"));
        }
        match self.problems() {
            0 => lines + &format!("{}, all in order\n", text::count(self.pictures, "picture")),
            _ => lines,
        }
    }
}

/// What is out of order in the database.
pub(super) fn disorder_lines(disorder: &Disorder) -> String {
    let mut lines = String::new();
    let Disorder { jobless, orphans, index } = *disorder;
    if jobless > 0 {
        lines +=
            &format!("the job of {} is gone; their files say what it was\n", text::count(jobless, "picture"));
    }
    if orphans > 0 {
        lines += &format!("{} belong to nothing\n", text::count(orphans, "row"));
    }
    if index {
        lines += "the index of prompts is not what the prompts say\n";
    }
    lines
}

/// Whether a file has this content. It is read in pieces.
fn holds(path: &Path, content: &Content) -> io::Result<bool> {
    let mut file = File::open(path)?.take(content.bytes + 1);
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(<[u8; 32]>::from(hash.finalize()) == content.sha256);
        }
        hash.update(&piece[..read]);
    }
}
