//! What is asked of the library, and what it answers.

use serde::{Deserialize, Serialize};

use crate::job::{
    Adoption, Content, Disorder, DrawnPrompt, FileRecord, FoundPicture, Picture, PictureChange, PictureId,
    PictureQuery, Prompt, PromptQuery, Purpose, TriedSeed,
};
use crate::usage::Compared;

/// A page of history, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Only pictures older than this one.
    pub before: Option<PictureId>,
    /// At most this many; the worker gives at most 500, fewer where prompts are very long, and
    /// none only when there are no more.
    pub limit: u32,
}

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
    /// A page of different prompts, the last drawn first.
    Prompts {
        /// Which.
        query: PromptQuery,
        /// As of `Search`.
        limit: u32,
    },
    /// Where the files of pictures should be, in the order of their numbers.
    Files {
        /// Only pictures of greater numbers.
        after: Option<PictureId>,
        /// At most this many; the worker gives at most 1000, and none only when there are no more.
        limit: u32,
    },
    /// Take pictures in.
    Adopt {
        /// Files, and what they say of themselves.
        found: Vec<FoundPicture>,
        /// What for.
        purpose: Purpose,
        /// Change nothing, only say what would become of them.
        dry: bool,
    },
    /// Put rows and the index of prompts in order.
    PutInOrder {
        /// Change nothing, only say what is out of order.
        dry: bool,
    },
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
    /// To `Prompts`.
    Prompts(Vec<DrawnPrompt>),
    /// To `Files`.
    Files(Vec<FileRecord>),
    /// To `Adopt`: what became of each, in their order.
    Adopted(Vec<Adoption>),
    /// To `PutInOrder`: what was out of order.
    InOrder(Disorder),
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
