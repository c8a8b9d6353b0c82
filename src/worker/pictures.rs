//! The answers about pictures of the library: asked of it, and what is changed told to all.
//!
//! What is answered is said in [`answer`], which the command line also asks where no worker runs.

use std::path::Path;
use std::rc::Rc;

use super::Shared;
use super::answer::{Answer, now};
use super::peer::Peer;
use crate::job::PictureId;
use crate::library::{Changed, Library, LibraryError, NotChanged};
use crate::wire::library::{LibraryRequest, LibraryResponse, PictureDetails};
use crate::wire::message::{Refusal, Response};

/// What has to be told to others.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Nothing is changed.
    None,
    /// One picture is.
    Picture(Box<Changed>),
}

/// Answers from the library. `now` is in milliseconds since 1970.
///
/// # Errors
/// Why it is not done; the library is as it was then.
pub fn answer(
    library: &mut Library,
    asked: LibraryRequest,
    now: i64,
) -> Result<(LibraryResponse, News), Refusal> {
    let unchanged = |response| Ok((response, News::None));
    match asked {
        LibraryRequest::Change(change) => {
            let changed = library.change(&change, now).map_err(not_changed)?;
            let response = LibraryResponse::Changed(Box::new(changed.picture.clone()));
            Ok((response, News::Picture(Box::new(changed))))
        }
        LibraryRequest::Search { query, limit } => {
            unchanged(LibraryResponse::Pictures(library.search(&query, limit).map_err(failed)?))
        }
        LibraryRequest::Details(id) => unchanged(LibraryResponse::Details(Box::new(details(library, id)?))),
        LibraryRequest::Find { path, content } => {
            let found = library.find(Path::new(&path), content.as_ref()).map_err(failed)?;
            unchanged(LibraryResponse::Found(found))
        }
        LibraryRequest::Seeds(prompt) => {
            unchanged(LibraryResponse::Seeds(library.seeds(prompt.as_str()).map_err(failed)?))
        }
    }
}

fn details(library: &Library, id: PictureId) -> Result<PictureDetails, Refusal> {
    let picture = library.picture(id).map_err(failed)?.ok_or(Refusal::UnknownPicture(id))?;
    let (content, usage) = (library.content(id).map_err(failed)?, library.usage_of(id).map_err(failed)?);
    Ok(PictureDetails { picture, content, usage })
}

fn not_changed(error: NotChanged) -> Refusal {
    match error {
        NotChanged::NoPicture(id) => Refusal::UnknownPicture(id),
        NotChanged::Tags(error) => Refusal::Picture(error.to_string()),
        NotChanged::Library(error) => failed(error),
    }
}

fn failed(error: LibraryError) -> Refusal {
    Refusal::Library(error.to_string())
}

/// Answers a client, and says in the log who changed what.
pub(super) async fn carry_out(shared: Rc<Shared>, by: Rc<Peer>, asked: LibraryRequest) -> Answer {
    let change = match &asked {
        LibraryRequest::Change(change) => Some(change.clone()),
        _ => None,
    };
    let now = now();
    let answered = shared.store.ask(move |library| Ok(answer(library, asked, now))).await.map_err(failed)?;
    if let Some(change) = change {
        let refusal = answered.as_ref().err();
        tracing::info!(picture = change.picture.0, mark = ?change.mark, %by, ?refusal, "a picture's marks");
    }
    let (response, news) = answered?;
    match news {
        News::None => {}
        News::Picture(changed) => shared.hub.picture_changed(*changed),
    }
    Ok(Response::Library(response))
}
