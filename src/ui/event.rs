//! Everything that can happen to the studio, in one closed enum: one loop takes them one by one.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::effect::Gather;
use super::habits::{Habits, NotKept};
use super::input::Input;
use super::pane::lora_pictures::PictureKey;
use super::picture::Encoded;
use super::terminal::editor::{Edited, EditorError};
use super::terminal::line::Sent;
use super::terminal::tmux::Tmux;
use crate::config::snippets::Snippet;
use crate::job::costs::{Cost, CostsRequest};
use crate::job::{
    DrawnPrompt, JobId, Picture, PictureId, PictureQuery, Prompt, PromptQuery, TokenCount, TriedSeed,
    Wildcards,
};
use crate::model::ModelName;
use crate::wire::grids::{GridRequest, GridResponse};
use crate::wire::loras::LoraList;
use crate::wire::message::{
    self, JobStatus, ModelDetails, ModelFetch, ModelState, RemovalPlan, Snapshot, ThumbnailRequest,
};

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// The terminal sent something.
    Input(Input),
    /// The window has another size, or may have.
    Resized(Window),
    /// The system wants something.
    Signal(Signal),
    /// The terminal was closed.
    TerminalGone,
    /// About the connection to the worker, and over it.
    News(News),
    /// The worker answered a question.
    Answer(Answer),
    /// A picture is ready to be drawn.
    Encoded(Encoded),
    /// A person's files say something else than before.
    Habits(Box<Habits>),
    /// A setting could not be kept.
    Complaint(NotKept),
    /// Wildcards were read, or why they cannot be.
    Gathered(Gather, Result<Wildcards, String>),
    /// Snippets were read, and what is wrong with their file.
    Snippets(Vec<Snippet>, Vec<String>),
    /// The person's editor has ended, and this is what it left, or why there is nothing.
    Edited(Result<Edited, EditorError>),
    /// Bytes went out.
    Sent(Sent),
    /// The oldest question of what was sent was answered then, whenever that is taken.
    Arrived(Instant),
    /// So many bytes were written in that time.
    Written(usize, Duration),
    /// What tmux says of who looks at this pane; `None` when it could not be asked.
    Tmux(Option<Tmux>),
    /// A moment that [`super::state::State::deadline`] asked for has come.
    Tick,
}

/// The size of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Cells across.
    pub columns: u16,
    /// Cells down.
    pub rows: u16,
    /// Pixels across and down, where the system knows them.
    pub pixels: Option<(u16, u16)>,
}

/// What the system wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGHUP or SIGINT: end, restoring the terminal.
    End,
    /// SIGCONT: someone else may have used the terminal.
    Continued,
}

/// About the connection to the worker, and over it.
#[expect(clippy::large_enum_variant, reason = "news is made one at a time and moved once")]
#[derive(Debug)]
pub enum News {
    /// A worker is being looked for, or started.
    Connecting,
    /// There is a connection, and this is everything as it is now.
    Connected(Box<Snapshot>),
    /// There is none.
    Down {
        /// Why, and what would help.
        reason: String,
        /// When it is tried again.
        retry_at: Instant,
    },
    /// The worker said something.
    Event(message::Event),
}

/// What came of a question. Errors are for a person to read.
#[derive(Debug)]
pub enum Answer {
    /// A job was taken on.
    Submitted(Result<Box<JobStatus>, String>),
    /// A job was cancelled.
    Cancelled {
        /// Which.
        job: JobId,
        /// What came of it.
        result: Result<(), String>,
    },
    /// The queue was changed; what came of it is told as an event.
    QueueChanged(Result<(), String>),
    /// A worker of another version finishes so many jobs and ends, or why it does not.
    Replaced(Result<usize, String>),
    /// Models are let go of; which is told as an event.
    Freed(Result<(), String>),
    /// A prompt was counted.
    Counted {
        /// The version of the prompt that was counted.
        version: u64,
        /// How it fits.
        result: Result<Vec<TokenCount>, String>,
    },
    /// A picture's PNG.
    Fetched {
        /// Which.
        picture: PictureId,
        /// The file.
        result: Result<Bytes, String>,
    },
    /// A small copy of a picture.
    Thumbnail {
        /// Which.
        asked: ThumbnailRequest,
        /// A JPEG.
        result: Result<Bytes, String>,
    },
    /// A page of pictures that were looked for.
    Found {
        /// Which.
        query: Box<PictureQuery>,
        /// Those that there are.
        result: Result<Vec<Picture>, String>,
    },
    /// A picture by its number.
    Details {
        /// Which.
        picture: PictureId,
        /// What it is.
        result: Result<Box<Picture>, String>,
    },
    /// Something was said of a picture; what came of it is told as an event.
    Marked(Result<(), String>),
    /// Older pictures.
    Older(Result<Vec<Picture>, String>),
    /// A page of prompts.
    Prompts {
        /// Which were asked for.
        query: PromptQuery,
        /// Those that there are.
        result: Result<Vec<DrawnPrompt>, String>,
    },
    /// The seeds that were tried for a prompt.
    Seeds {
        /// Which.
        prompt: Prompt,
        /// The seeds, the best first.
        result: Result<Vec<TriedSeed>, String>,
    },
    /// What pictures of some sizes will take.
    Costs {
        /// What was asked.
        asked: CostsRequest,
        /// Of each size.
        result: Result<Vec<Cost>, String>,
    },
    /// Something about grids.
    Grids {
        /// What was asked.
        asked: GridRequest,
        /// What came of it.
        result: Result<GridResponse, String>,
    },
    /// Every model that is known, and what there is of it.
    Models(Result<Vec<ModelState>, String>),
    /// The LoRAs in the worker's folders.
    Loras(Result<Option<LoraList>, String>),
    /// To `LoraPicture`: a JPEG, if there is one.
    LoraPicture {
        /// Which.
        key: PictureKey,
        /// The picture.
        result: Result<Option<Bytes>, String>,
    },
    /// A model is being fetched, or waits for it.
    FetchingModel {
        /// Which.
        model: ModelName,
        /// What came of it.
        result: Result<ModelFetch, String>,
    },
    /// What a model's files are, and where.
    ModelDetails {
        /// Which.
        model: ModelName,
        /// What they are.
        result: Result<Box<ModelDetails>, String>,
    },
    /// A model's files are being checked, or are to be, or are no more; what comes of it is told as an event.
    CheckChanged {
        /// Which.
        model: ModelName,
        /// What came of it.
        result: Result<(), String>,
    },
    /// What removing a model would free.
    RemovalPlanned {
        /// Which.
        model: ModelName,
        /// What goes and what stays.
        result: Result<Box<RemovalPlan>, String>,
    },
    /// A model was removed.
    ModelRemoved {
        /// Which.
        model: ModelName,
        /// The bytes that became free.
        result: Result<u64, String>,
    },
    /// A model is no longer fetched.
    FetchCancelled {
        /// Which.
        model: ModelName,
        /// What came of it.
        result: Result<(), String>,
    },
}
