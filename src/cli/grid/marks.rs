//! `flux-tui grids rate`, `favourite`, `tag`, `trash` and `restore`: what is said of a grid as a whole.

use super::{ask, connect, interrupts};
use crate::cli::failure::Failure;
use crate::cli::library::{Word, changes};
use crate::cli::{stdout, text};
use crate::client::{ClientError, Endpoint};
use crate::job::grid::GridId;
use crate::job::{MarkChange, Rating};
use crate::wire::grids::{GridRequest, GridResponse};

/// Say how good a grid is; its pictures keep their own ratings.
#[derive(Debug, clap::Args)]
pub(super) struct Rate {
    /// Its number.
    grid: i64,
    /// 1 to 5; 0 takes a rating back.
    #[arg(value_name = "N", allow_negative_numbers = true)]
    rating: Rating,
}

/// Make a grid a favourite.
#[derive(Debug, clap::Args)]
pub(super) struct Favourite {
    /// Its number.
    grid: i64,
    /// It is none any more.
    #[arg(long)]
    off: bool,
}

/// Give all pictures of a grid tags, and take them away.
#[derive(Debug, clap::Args)]
pub(super) struct Tags {
    /// Its number.
    grid: i64,
    /// +TAG to give one, -TAG to take one away; upper and lower case are the same.
    #[arg(value_name = "+TAG|-TAG", required = true, allow_hyphen_values = true)]
    tags: Vec<Word>,
}

impl Rate {
    pub fn mark(self) -> (GridId, MarkChange) {
        (GridId(self.grid), MarkChange::Rate(self.rating))
    }
}

impl Favourite {
    pub fn mark(self) -> (GridId, MarkChange) {
        (GridId(self.grid), MarkChange::Favourite(!self.off))
    }
}

impl Tags {
    pub fn mark(self) -> (GridId, MarkChange) {
        (GridId(self.grid), changes(self.tags))
    }
}

pub(super) async fn mark(at: &Endpoint, (grid, mark): (GridId, MarkChange)) -> Result<(), Failure> {
    let mut line = connect(at, &mut interrupts()?).await?;
    let told = said(&mark);
    match ask(&mut line, GridRequest::Mark { grid, mark }).await? {
        GridResponse::Marked(count) => {
            stdout::line(&format!("grid {grid} of {}: {told}", text::count(count, "picture")))
        }
        _ => Err(ClientError::Unexpected.into()),
    }
}

/// What has been said of it.
fn said(mark: &MarkChange) -> String {
    match mark {
        MarkChange::Rate(rating) if *rating == Rating::default() => "not rated".to_owned(),
        MarkChange::Rate(rating) => format!("rated {}", rating.get()),
        MarkChange::Favourite(true) => "a favourite".to_owned(),
        MarkChange::Favourite(false) => "no favourite".to_owned(),
        MarkChange::Tag { add, remove } => {
            let signed = |sign: char, tags: &[crate::job::Tag]| {
                tags.iter().map(|tag| format!("{sign}{}", tag.as_str())).collect::<Vec<_>>()
            };
            [signed('+', add), signed('-', remove)].concat().join(" ")
        }
        MarkChange::Trash(true) => "in the trash".to_owned(),
        MarkChange::Trash(false) => "out of the trash".to_owned(),
    }
}
