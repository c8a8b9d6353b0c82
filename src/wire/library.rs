//! What is asked of the library, and what it answers.

use serde::{Deserialize, Serialize};

use crate::job::{Content, Picture, PictureChange, PictureId, PictureQuery, Prompt, TriedSeed};
use crate::usage::Compared;

/// A question about pictures, or a change of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LibraryRequest {
    /// Answered once it is on disk; every client hears of it as an event.
    Change(PictureChange),
    /// A page of pictures, newest first.
    Search {
        /// Which.
        query: Box<PictureQuery>,
        /// At most this many; the worker gives at most 500, fewer where prompts are very long, and none only when there
        /// are no more.
        limit: u32,
    },
    /// All that is known of one.
    Details(PictureId),
    /// Which picture a file is.
    Find {
        /// Where it is: a whole path.
        path: String,
        /// What it holds, if it may be a copy.
        content: Option<Content>,
    },
    /// The seeds that were tried for a prompt.
    Seeds(Prompt),
}

/// What came of a [`LibraryRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LibraryResponse {
    /// To `Change`: as it is now.
    Changed(Box<Picture>),
    /// To `Search`.
    Pictures(Vec<Picture>),
    /// To `Details`.
    Details(Box<PictureDetails>),
    /// To `Find`; `None` where it is none of the library's.
    Found(Option<PictureId>),
    /// To `Seeds`, favourites first, then the best rated, then the latest.
    Seeds(Vec<TriedSeed>),
}

/// All that is known of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureDetails {
    /// The picture.
    pub picture: Picture,
    /// What its file held when it was written or last looked at.
    pub content: Option<Content>,
    /// What it took of a card beside what was planned.
    pub usage: Option<Compared>,
}
