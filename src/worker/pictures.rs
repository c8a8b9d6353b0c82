//! The answers about pictures of the library: asked of it, and what is changed told to all.
//!
//! What is answered is said in [`answer`], which the command line also asks where no worker runs.

use std::path::Path;
use std::rc::Rc;

use super::Shared;
use super::answer::{Answer, now};
use super::peer::Peer;
use crate::job::{Adoption, PictureChange, PictureId};
use crate::library::{Changed, Library, LibraryError, NotChanged};
use crate::wire::library::{LibraryRequest, LibraryResponse, PictureDetails};
use crate::wire::message::{Refusal, Response};
use crate::wire::replay::HISTORY_MAX;

/// What has to be told to others.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Nothing is changed.
    None,
    /// One picture is.
    Picture(Box<Changed>),
    /// Many may be.
    Many,
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
        LibraryRequest::Prompts { query, limit } => {
            unchanged(LibraryResponse::Prompts(library.prompts(&query, limit).map_err(failed)?))
        }
        LibraryRequest::Files { after, limit } => {
            unchanged(LibraryResponse::Files(library.files(after, limit).map_err(failed)?))
        }
        LibraryRequest::Adopt { found, purpose, dry } => {
            let adoptions = library.adopt(&found, purpose, dry).map_err(failed)?;
            let is_news = |it: &Adoption| matches!(it, Adoption::Taken(_) | Adoption::Moved { .. });
            let news = if !dry && adoptions.iter().any(is_news) { News::Many } else { News::None };
            Ok((LibraryResponse::Adopted(adoptions), news))
        }
        LibraryRequest::PutInOrder { dry } => {
            let disorder = library.put_in_order(dry).map_err(failed)?;
            let news = if dry || disorder.is_none() { News::None } else { News::Many };
            Ok((LibraryResponse::InOrder(disorder), news))
        }
    }
}

fn details(library: &Library, id: PictureId) -> Result<PictureDetails, Refusal> {
    let picture = library.picture(id).map_err(failed)?.ok_or(Refusal::UnknownPicture(id))?;
    let (content, usage) = (library.content(id).map_err(failed)?, library.usage_of(id).map_err(failed)?);
    Ok(PictureDetails { picture, content, usage })
}

pub(super) fn not_changed(error: NotChanged) -> Refusal {
    match error {
        error @ (NotChanged::NoGrid(_) | NotChanged::GridIsDrawn { .. }) => Refusal::Grid(error.to_string()),
        NotChanged::NoPicture(id) => Refusal::UnknownPicture(id),
        NotChanged::Tags(error) => Refusal::Picture(error.to_string()),
        NotChanged::Library(error) => failed(error),
    }
}

fn failed(error: LibraryError) -> Refusal {
    Refusal::Library(error.to_string())
}

/// Answers a client, and says in the log who changed what. Changes are told in the order in which they are on disk.
pub(super) async fn carry_out(shared: Rc<Shared>, by: Rc<Peer>, asked: LibraryRequest) -> Answer {
    let said = in_words(&asked);
    let _one = match said {
        Some(_) => Some(shared.changing.lock().await),
        None => None,
    };
    let now = now();
    let answered = shared.store.ask(move |library| {
        let answered = answer(library, asked, now);
        let newest = match &answered {
            Ok((_, News::Many)) => Some((library.history(None, HISTORY_MAX as u32)?, library.pictures()?)),
            _ => None,
        };
        Ok((answered, newest))
    });
    let (answered, newest) = answered.await.map_err(failed)?;
    if let Some(said) = said {
        let refusal = answered.as_ref().err();
        tracing::info!(%by, ?refusal, "{said}");
    }
    let (response, news) = answered?;
    match (news, newest) {
        (News::Picture(changed), _) => shared.hub.picture_changed(*changed),
        (_, Some((pictures, total))) => shared.hub.pictures_changed(pictures, total),
        _ => {}
    }
    Ok(Response::Library(response))
}

/// What a change is called in the log; `None` of a question.
fn in_words(asked: &LibraryRequest) -> Option<String> {
    match asked {
        LibraryRequest::Change(PictureChange { picture, mark }) => {
            Some(format!("picture {picture}: {mark:?}"))
        }
        LibraryRequest::Adopt { found, purpose, dry: false } => {
            Some(format!("{purpose:?} of {} pictures", found.len()))
        }
        LibraryRequest::PutInOrder { dry: false } => Some("the library is put in order".to_owned()),
        _ => None,
    }
}
