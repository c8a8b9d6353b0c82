//! `flux-tui library show`: all that the library knows of a picture.

use super::Access;
use super::list::{stars, time};
use super::which::Which;
use crate::cli::failure::Failure;
use crate::cli::{block_on, show, stdout, text};
use crate::client::ClientError;
use crate::job::Tag;
use crate::paths::Paths;
use crate::wire::library::{LibraryRequest, LibraryResponse, PictureDetails};

/// All that is known of a picture: what it was drawn from, what is said of it, what it took.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its number, as `library list` tells it, or the path of its file or of a copy.
    #[arg(value_name = "PICTURE")]
    picture: Which,
    /// One JSON object on standard output: picture, content (bytes, sha256; null where the file was never looked at), and
    /// usage (what it took of a card beside what was planned; null where it was not drawn on one).
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut access = Access::new(Paths::from_env()?);
    let details = block_on(async {
        let picture = args.picture.find(&mut access).await?;
        match access.ask(LibraryRequest::Details(picture)).await? {
            LibraryResponse::Details(details) => Ok(details),
            _ => Err(ClientError::Unexpected.into()),
        }
    })?;
    if args.json { stdout::json(&details) } else { stdout::write(&text::table(&rows(&details))) }
}

fn rows(PictureDetails { picture, content, usage }: &PictureDetails) -> Vec<(&'static str, String)> {
    let marks = &picture.marks;
    let missing = if picture.missing { "  (missing)" } else { "" };
    let mut rows = vec![
        ("picture", picture.id.to_string()),
        ("file", format!("{}{missing}", picture.path.display())),
        ("finished", time(picture.finished_at)),
        ("drawn by", picture.origin.name().to_owned()),
        ("job", format!("{}, picture {}", picture.job, picture.index + 1)),
    ];
    if marks.rating.get() > 0 {
        rows.push(("rating", stars(marks.rating)));
    }
    if marks.favourite {
        rows.push(("favourite", "yes".to_owned()));
    }
    if !marks.tags.is_empty() {
        rows.push(("tags", marks.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", ")));
    }
    rows.extend(marks.trashed_at.map(|at| ("in the trash", format!("since {}", time(at)))));
    rows.extend(picture.parent.map(|parent| ("iterated from", format!("picture {parent}"))));
    rows.extend(show::recipe_rows(&picture.recipe));
    if let Some(content) = content {
        rows.push(("bytes", content.bytes.to_string()));
    }
    if let Some(peak) = usage.and_then(|usage| usage.peak) {
        rows.push(("peak memory", format!("{:.2} GB", peak as f64 / 1e9)));
    }
    if let Some(step) = usage.and_then(|usage| usage.step) {
        rows.push(("a step", format!("{step:.4} s")));
    }
    rows
}
