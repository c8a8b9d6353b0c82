//! `flux-tui library import`: pictures that are elsewhere become pictures of the library. They stay where they are.

use std::path::PathBuf;

use serde::Serialize;

use super::Access;
use super::scan::Scan;
use super::take::{Fate, Taking};
use crate::cli::failure::Failure;
use crate::cli::{block_on, stdout, text};
use crate::job::{Adoption, PictureId, Purpose};
use crate::paths::Paths;

/// Take the pictures of a directory into the library; they stay where they are.
///
/// PNG files of this program, of A1111, Forge and their kin (`parameters`), and of ComfyUI (`prompt`) are read, also those
/// in the directories below. A picture that was missing is found again. Of the others the sampler and the negative prompt
/// are not kept: nothing here draws with them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A directory, or one file.
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Only say what would become of each file.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object on standard output: dry_run, taken, moved, completed, known, copies, skipped (each a list of files;
    /// of those that were skipped with the reason), others (how many files have another name).
    #[arg(long)]
    json: bool,
}

/// A file and the picture that it is.
#[derive(Debug, Serialize)]
struct File {
    path: PathBuf,
    /// What it would be is not known in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<PictureId>,
}

/// One that was missing.
#[derive(Debug, Serialize)]
pub(super) struct Moved {
    pub path: PathBuf,
    pub from: PathBuf,
    pub picture: PictureId,
}

/// A file that is no picture of the library.
#[derive(Debug, Serialize)]
pub(super) struct Skipped {
    pub path: PathBuf,
    pub reason: String,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    taken: Vec<File>,
    moved: Vec<Moved>,
    completed: Vec<File>,
    known: Vec<File>,
    copies: Vec<File>,
    skipped: Vec<Skipped>,
    others: usize,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Scan { pictures, others, unread } = Scan::of(&args.path)?;
    let mut access = Access::new(Paths::from_env()?);
    let fates = block_on(async {
        Taking { access: &mut access, purpose: Purpose::Import, dry: args.dry_run }.take(pictures).await
    })?;
    let mut report = Report { dry_run: args.dry_run, others, ..Report::default() };
    report.skipped.extend(unread.into_iter().map(|(path, reason)| Skipped { path, reason }));
    fates.into_iter().for_each(|(path, fate)| report.add(path, fate));
    if args.json { stdout::json(&report) } else { stdout::write(&report.lines()) }
}

impl Report {
    fn add(&mut self, path: PathBuf, fate: Fate) {
        let file = |path, picture| File { path, picture: Some(picture) };
        match fate {
            Fate::Adopted(Adoption::Taken(_)) if self.dry_run => {
                self.taken.push(File { path, picture: None });
            }
            Fate::Adopted(Adoption::Taken(id)) => self.taken.push(file(path, id)),
            Fate::Adopted(Adoption::Known(id)) => self.known.push(file(path, id)),
            Fate::Adopted(Adoption::Completed(id)) => self.completed.push(file(path, id)),
            Fate::Adopted(Adoption::Moved { picture, from }) => {
                self.moved.push(Moved { path, from, picture });
            }
            Fate::Adopted(Adoption::Copy(id)) => self.copies.push(file(path, id)),
            // Only what is looked for is left alone.
            Fate::Adopted(Adoption::Foreign) => self.others += 1,
            Fate::Adopted(Adoption::Refused(reason)) | Fate::Skipped(reason) => {
                self.skipped.push(Skipped { path, reason });
            }
        }
    }

    fn lines(&self) -> String {
        let mut lines = String::new();
        for Skipped { path, reason } in &self.skipped {
            lines += &format!("skipped  {}: {}\n", text::plain(&path.to_string_lossy()), text::plain(reason));
        }
        for File { path, picture } in &self.copies {
            let of = picture.map_or_else(String::new, |id| format!(" of picture {id}"));
            lines += &format!("a copy{of}  {}\n", text::plain(&path.to_string_lossy()));
        }
        for Moved { path, picture, .. } in &self.moved {
            lines += &format!("picture {picture} found again  {}\n", text::plain(&path.to_string_lossy()));
        }
        let skipped = self.skipped.len() + self.others;
        lines += &format!(
            "{}: {} taken in, {} found again, {} known already, {} copies, {skipped} skipped\n",
            if self.dry_run { "would be" } else { "done" },
            self.taken.len(),
            self.moved.len(),
            self.known.len() + self.completed.len(),
            self.copies.len(),
        );
        lines
    }
}
