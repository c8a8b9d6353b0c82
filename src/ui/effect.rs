//! Everything that [`super::update`] can want done. Plain data: tests compare it.

use super::draft::Draft;
use super::files::Keep;
use super::pane::lora_pictures::PictureKey;
use super::picture::Order;
use crate::job::costs::CostsRequest;
use crate::job::{Job, JobId, PictureChange, PictureId, PictureQuery, Prompt, PromptQuery};
use crate::model::ModelName;
use crate::wire::grids::GridRequest;
use crate::wire::library::LibraryRequest;
use crate::wire::loras::{ListLoras, LoraPicture, LoraRequest};
use crate::wire::message::{CountTokens, HistoryPage, Request, ThumbnailRequest};
use crate::wire::queue::QueueChange;

/// Pictures of one page of a search.
pub const SEARCH_PAGE: u32 = 200;

/// Something to be done outside of the state.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the worker; the answer comes as an event.
    Ask(Question),
    /// Try now to connect to the worker.
    Hurry,
    /// Ask a worker of another version to make room.
    Replace,
    /// Read the person's snippets; they come as an event.
    ReadSnippets,
    /// Read the files of the wildcards that a prompt names; their lines come as an event.
    Gather(Gather),
    /// Make a picture ready to be drawn, on the picture thread. A later order replaces one that waits.
    Encode(Order),
    /// Put a text on the terminal's clipboard.
    Copy(String),
    /// Have the terminal drop the pictures that are not the preview's.
    DropPictures,
    /// Write something into a person's files.
    Keep(Keep),
    /// Have the terminal call the person, with this.
    Call(String),
    /// Clear the screen and draw it whole.
    Repaint,
    /// Write pictures again that the terminal may have lost, and nothing else.
    RepaintPictures,
    /// Ask the terminal what it is.
    Probe,
    /// Ask the terminal whether it has read all that was written.
    AskArrived,
    /// Ask tmux which terminals there are, and what it passes on to them.
    AskTmux,
    /// Take the terminal again: modes, screen, everything.
    Reenter,
    /// Give the terminal to the person's editor, over this text; what it leaves comes as an event.
    EditElsewhere(String),
    /// Give the terminal back and stop, as Ctrl-Z does.
    Suspend,
    /// Give the terminal back and end. The worker goes on.
    Quit,
}

/// Wildcards that are needed.
#[derive(Debug, Clone, PartialEq)]
pub struct Gather {
    /// The prompt that names them.
    pub prompt: String,
    /// What is drawn with them; `None` when they are only counted.
    pub draft: Option<Box<Draft>>,
}

/// A question to the worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Draw this.
    Submit(Job),
    /// Stop drawing this.
    Cancel(JobId),
    /// Change the queue.
    Queue(QueueChange),
    /// Let go of the models that nothing is drawn with.
    Free,
    /// How a prompt fits.
    Count {
        /// The prompt's version; the answer carries it.
        version: u64,
        /// Whose encoders.
        model: ModelName,
        /// The prompt.
        text: String,
    },
    /// A picture's PNG.
    Fetch(PictureId),
    /// A small copy of a picture.
    Thumbnail(ThumbnailRequest),
    /// A page of pictures that are looked for.
    Search(Box<PictureQuery>),
    /// All that is known of a picture.
    Details(PictureId),
    /// Older pictures.
    Older(HistoryPage),
    /// Say something of a picture.
    Mark(PictureChange),
    /// A page of prompts.
    Prompts {
        /// Which.
        query: PromptQuery,
        /// At most so many.
        limit: u32,
    },
    /// The seeds that were tried for a prompt.
    Seeds(Prompt),
    /// What pictures of some sizes will take.
    Costs(CostsRequest),
    /// Something about grids.
    Grids(GridRequest),
    /// Every model that is known, and what there is of it.
    Models,
    /// Which LoRAs there are.
    Loras(ListLoras),
    /// A small copy of a LoRA's picture.
    LoraPicture(PictureKey),
    /// Fetch what is missing of a model.
    FetchModel(ModelName),
    /// Fetch no more of it.
    CancelFetch(ModelName),
    /// What its files are, and where.
    ModelDetails(ModelName),
    /// Compare its files with what was published.
    VerifyModel(ModelName),
    /// Check no more of it.
    CancelCheck(ModelName),
    /// What removing it would free.
    PlanRemoval(ModelName),
    /// Remove it.
    RemoveModel(ModelName),
}

impl Question {
    /// The message that asks it.
    #[must_use]
    pub fn request(&self) -> Request {
        match self.clone() {
            Self::Submit(job) => Request::Submit(job),
            Self::Cancel(job) => Request::Cancel(job),
            Self::Queue(change) => Request::Queue(change),
            Self::Free => Request::Free,
            Self::Count { model, text, .. } => Request::CountTokens(CountTokens { model, text }),
            Self::Fetch(picture) => Request::Fetch(picture),
            Self::Thumbnail(asked) => Request::Thumbnail(asked),
            Self::Search(query) => Request::Library(LibraryRequest::Search { query, limit: SEARCH_PAGE }),
            Self::Details(picture) => Request::Library(LibraryRequest::Details(picture)),
            Self::Older(page) => Request::History(page),
            Self::Mark(change) => Request::Library(LibraryRequest::Change(change)),
            Self::Prompts { query, limit } => Request::Library(LibraryRequest::Prompts { query, limit }),
            Self::Seeds(prompt) => Request::Library(LibraryRequest::Seeds(prompt)),
            Self::Costs(asked) => Request::Costs(asked),
            Self::Grids(asked) => Request::Grids(asked),
            Self::Models => Request::Models,
            Self::Loras(asked) => Request::Loras(LoraRequest::List(asked)),
            Self::LoraPicture(PictureKey { path, side, .. }) => {
                Request::Loras(LoraRequest::Picture(LoraPicture { path, side }))
            }
            Self::FetchModel(model) => Request::FetchModel(model),
            Self::CancelFetch(model) => Request::CancelFetch(model),
            Self::ModelDetails(model) => Request::ModelDetails(model),
            Self::VerifyModel(model) => Request::VerifyModel(model),
            Self::CancelCheck(model) => Request::CancelCheck(model),
            Self::PlanRemoval(model) => Request::PlanRemoval(model),
            Self::RemoveModel(model) => Request::RemoveModel(model),
        }
    }
}
