//! Files of pictures as they are found on disk, and what the library makes of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Content, Origin, PictureId, Recipe};

/// A file that says how its picture was drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundPicture {
    /// Where it is: a whole path.
    pub path: PathBuf,
    /// What it holds; `None` where only its beginning was read.
    pub content: Option<Content>,
    /// When it was last written, in milliseconds since 1970 (UTC).
    pub written_at: i64,
    /// What it was drawn from, as it says itself.
    pub recipe: Recipe,
    /// Which program drew it.
    pub origin: Origin,
}

/// What becomes of a file that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Adoption {
    /// It is a picture of the library now.
    Taken(PictureId),
    /// It was one, as it is.
    Known(PictureId),
    /// It was one, and the library has its length and hash now: they were not known, or others.
    Completed(PictureId),
    /// It is one that was missing elsewhere.
    Moved {
        /// Which.
        picture: PictureId,
        /// Where it was.
        from: PathBuf,
    },
    /// One with the same content is elsewhere.
    Copy(PictureId),
    /// It is none, and was not to be one.
    Foreign,
    /// It cannot be one: why.
    Refused(String),
}

/// What files are brought to the library for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To be pictures of it, as far as they are none. One that is known and has changed stays known as it was.
    Import,
    /// The same, and what has changed is known as it is now.
    Repair,
    /// Only to find those that are missing.
    Find,
}

/// What the library knows of a picture's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Which picture.
    pub picture: PictureId,
    /// Where its file should be.
    pub path: PathBuf,
    /// What it held; `None` where nobody has looked.
    pub content: Option<Content>,
}

/// What was out of order in the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disorder {
    /// Pictures whose job is gone, and whose file says what it was.
    pub jobless: usize,
    /// Rows that belong to nothing that is there.
    pub orphans: usize,
    /// Whether the index of prompts was not what the prompts say.
    pub index: bool,
}

impl Disorder {
    /// Whether everything was in order.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A library that was damaged and is made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// What was wrong with it.
    pub reason: String,
    /// Where the damaged file is now.
    pub aside: PathBuf,
    /// Jobs that were read from it.
    pub jobs: usize,
    /// Of those, how many wait to be drawn.
    pub waiting: usize,
    /// Pictures that were read from it, with what was said of them.
    pub pictures: usize,
    /// Pictures that their files alone still tell of.
    pub from_files: usize,
    /// Rows that belonged to nothing that could be read.
    pub lost: usize,
}

impl std::fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reason, aside, jobs, waiting, pictures, from_files, lost } = self;
        let jobs = jobs - jobs.min(waiting);
        write!(
            f,
            "the library was damaged ({reason}) and is made anew: {pictures} pictures, {waiting} waiting jobs and \
             {jobs} others were read from it, {from_files} more pictures from their files; {lost} rows were lost. The \
             damaged one is kept as {}",
            aside.display()
        )
    }
}
