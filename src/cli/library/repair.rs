//! `flux-tui library repair`: pictures that were moved are found again, rows completed, and what belongs to nothing goes.

use std::path::PathBuf;

use serde::Serialize;

use super::Access;
use super::check::{Findings, Kept, disorder_lines};
use super::import::{Moved, Skipped};
use super::scan::Scan;
use super::take::{Fate, Taking};
use crate::cli::failure::Failure;
use crate::cli::{block_on, stdout, text};
use crate::client::ClientError;
use crate::job::{Adoption, Disorder, Purpose};
use crate::paths::Paths;
use crate::wire::library::{LibraryRequest, LibraryResponse};

/// Find pictures that were moved, take in those that the library does not know, and put its rows in order.
///
/// The pictures' folder is looked through, and the directories that are given. A picture is known by its content, or by the
/// recipe in it. What is missing stays in the library and is shown so: no picture is forgotten.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where else pictures may have been moved to.
    #[arg(value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object on standard output: dry_run, moved, taken, completed, missing, skipped (lists of files), disorder
    /// (jobless, orphans, index: what was put in order).
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Repaired {
    dry_run: bool,
    moved: Vec<Moved>,
    taken: Vec<PathBuf>,
    completed: Vec<PathBuf>,
    /// Those that are missing still.
    missing: Vec<Kept>,
    skipped: Vec<Skipped>,
    disorder: Disorder,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut elsewhere = Vec::new();
    let mut repaired = Repaired { dry_run: args.dry_run, ..Repaired::default() };
    for directory in &args.directories {
        let Scan { pictures, unread, .. } = Scan::of(directory)?;
        elsewhere.extend(pictures);
        repaired.skipped.extend(unread.into_iter().map(|(path, reason)| Skipped { path, reason }));
    }
    let paths = Paths::from_env()?;
    let mut access = Access::new(paths.clone());
    block_on(async { repaired.carry_out(&mut access, &paths, elsewhere).await })?;
    if args.json { stdout::json(&repaired) } else { stdout::write(&repaired.lines()) }
}

impl Repaired {
    async fn carry_out(
        &mut self,
        access: &mut Access,
        paths: &Paths,
        elsewhere: Vec<PathBuf>,
    ) -> Result<(), Failure> {
        let found = Findings::of(access, paths, false).await?;
        self.disorder = match access.ask(LibraryRequest::PutInOrder { dry: self.dry_run }).await? {
            LibraryResponse::InOrder(disorder) => disorder,
            _ => return Err(ClientError::Unexpected.into()),
        };
        self.missing = found.missing;
        self.skipped.extend(found.unread);
        // In the pictures' folder everything is ours to take in; elsewhere only what is missing here.
        let ours = found.changed.into_iter().chain(found.unhashed).map(|kept| kept.path).chain(found.unknown);
        let dry = self.dry_run;
        let ours = Taking { access, purpose: Purpose::Repair, dry }.take(ours.collect()).await?;
        ours.into_iter().for_each(|(path, fate)| self.add(path, fate));
        let elsewhere = Taking { access, purpose: Purpose::Find, dry }.take(elsewhere).await?;
        elsewhere.into_iter().for_each(|(path, fate)| self.add(path, fate));
        Ok(())
    }

    fn add(&mut self, path: PathBuf, fate: Fate) {
        match fate {
            Fate::Adopted(Adoption::Moved { picture, from }) => {
                self.missing.retain(|kept| kept.picture != picture);
                self.moved.push(Moved { path, from, picture });
            }
            Fate::Adopted(Adoption::Taken(_)) => self.taken.push(path),
            Fate::Adopted(Adoption::Completed(_)) => self.completed.push(path),
            Fate::Adopted(Adoption::Known(_) | Adoption::Copy(_) | Adoption::Foreign) => {}
            Fate::Adopted(Adoption::Refused(reason)) | Fate::Skipped(reason) => {
                self.skipped.push(Skipped { path, reason });
            }
        }
    }

    fn lines(&self) -> String {
        let mut lines = disorder_lines(&self.disorder);
        for Moved { path, picture, .. } in &self.moved {
            lines += &format!("picture {picture} found again  {}\n", text::plain(&path.to_string_lossy()));
        }
        for (word, files) in [("taken in", &self.taken), ("completed", &self.completed)] {
            for path in files {
                lines += &format!("{word}  {}\n", text::plain(&path.to_string_lossy()));
            }
        }
        for Kept { picture, path } in &self.missing {
            lines += &format!("still missing  picture {picture}  {}\n", text::plain(&path.to_string_lossy()));
        }
        for Skipped { path, reason } in &self.skipped {
            lines +=
                &format!("left alone  {}: {}\n", text::plain(&path.to_string_lossy()), text::plain(reason));
        }
        lines += if self.dry_run { "nothing was changed\n" } else { "done\n" };
        lines
    }
}
