//! `flux-tui library rate`, `tag`, `favourite`, `trash` and `restore`: what is said of one picture.

use std::str::FromStr;

use serde::Serialize;

use super::Access;
use super::list::stars;
use super::which::Which;
use crate::cli::failure::Failure;
use crate::cli::{block_on, stdout};
use crate::client::ClientError;
use crate::job::{JobError, MarkChange, Picture, PictureChange, Rating, Tag};
use crate::paths::Paths;
use crate::wire::library::{LibraryRequest, LibraryResponse};

/// A picture.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// Its number, as `library list` tells it, or the path of its file or of a copy.
    #[arg(value_name = "PICTURE")]
    picture: Which,
    /// One JSON object on standard output: changed, and the picture as the library has it.
    #[arg(long)]
    json: bool,
}

/// Say how good a picture is.
#[derive(Debug, clap::Args)]
pub(super) struct Rate {
    #[command(flatten)]
    one: One,
    /// 1 to 5; 0 takes a rating back.
    #[arg(value_name = "N", allow_negative_numbers = true)]
    rating: Rating,
}

/// Make a picture a favourite.
#[derive(Debug, clap::Args)]
pub(super) struct Favourite {
    #[command(flatten)]
    one: One,
    /// It is none any more.
    #[arg(long)]
    off: bool,
}

/// Give a picture tags, and take them away.
#[derive(Debug, clap::Args)]
pub(super) struct Tags {
    #[command(flatten)]
    one: One,
    /// +TAG to give one, -TAG to take one away; upper and lower case are the same. Behind -- all words are tags.
    #[arg(value_name = "+TAG|-TAG", required = true, allow_hyphen_values = true, value_parser = word)]
    tags: Vec<Behind>,
}

/// A word behind the picture. Flags may stand there too, and to clap they look like tags that are taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Behind {
    Tag(Word),
    Json,
}

fn word(text: &str) -> Result<Behind, String> {
    match text {
        "--json" => Ok(Behind::Json),
        flag if flag.starts_with("--") => {
            Err(format!("there is no flag {flag:?} here; -TAG takes a tag away"))
        }
        tag => tag.parse().map(Behind::Tag).map_err(|error: JobError| error.to_string()),
    }
}

/// A tag with its sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Word {
    Add(Tag),
    Remove(Tag),
}

/// What tags with their signs change.
pub(in crate::cli) fn changes(words: Vec<Word>) -> MarkChange {
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for word in words {
        match word {
            Word::Add(tag) => add.push(tag),
            Word::Remove(tag) => remove.push(tag),
        }
    }
    MarkChange::Tag { add, remove }
}

impl FromStr for Word {
    type Err = JobError;
    fn from_str(text: &str) -> Result<Self, JobError> {
        match text.strip_prefix('-') {
            Some(tag) => tag.parse().map(Self::Remove),
            None => text.strip_prefix('+').unwrap_or(text).parse().map(Self::Add),
        }
    }
}

pub(super) fn rate(Rate { one, rating }: &Rate) -> Result<(), Failure> {
    change(one, MarkChange::Rate(*rating))
}

pub(super) fn favourite(Favourite { one, off }: &Favourite) -> Result<(), Failure> {
    change(one, MarkChange::Favourite(!off))
}

pub(super) fn trash(one: &One, trashed: bool) -> Result<(), Failure> {
    change(one, MarkChange::Trash(trashed))
}

pub(super) fn tag(Tags { mut one, tags }: Tags) -> Result<(), Failure> {
    let mut words = Vec::new();
    for word in tags {
        match word {
            Behind::Tag(word) => words.push(word),
            Behind::Json => one.json = true,
        }
    }
    change(&one, changes(words))
}

#[derive(Serialize)]
struct Changed<'a> {
    changed: bool,
    picture: &'a Picture,
}

fn change(one: &One, mark: MarkChange) -> Result<(), Failure> {
    let mut access = Access::new(Paths::from_env()?);
    let picture = block_on(async {
        let picture = one.picture.find(&mut access).await?;
        match access.ask(LibraryRequest::Change(PictureChange { picture, mark })).await? {
            LibraryResponse::Changed(picture) => Ok(picture),
            _ => Err(ClientError::Unexpected.into()),
        }
    })?;
    if one.json {
        return stdout::json(&Changed { changed: true, picture: &picture });
    }
    stdout::line(&told(&picture))
}

/// What is said of it now.
fn told(picture: &Picture) -> String {
    let marks = &picture.marks;
    let mut line = format!("picture {}: {}", picture.id, stars(marks.rating).trim());
    if marks.rating == Rating::default() {
        line += "not rated";
    }
    if marks.favourite {
        line += ", a favourite";
    }
    if !marks.tags.is_empty() {
        line += &format!(", {}", marks.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", "));
    }
    if marks.trashed_at.is_some() {
        line += ", in the trash";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minus_takes_a_tag_away_and_a_plus_may_be_left_out() {
        let signed = |text: &str| text.parse::<Word>().expect("it is one");
        let tag = |text| Tag::new(text).expect("it is one");
        assert_eq!((signed("+Fox"), signed("fox")), (Word::Add(tag("fox")), Word::Add(tag("fox"))));
        assert_eq!(signed("-horse"), Word::Remove(tag("horse")));
        assert_eq!(word("--json"), Ok(Behind::Json));
        assert!(word("--jsn").expect_err("it is none").contains("--jsn"));
        assert!("-".parse::<Word>().is_err() && "+".parse::<Word>().is_err());
    }
}
