//! Lines that are typed in the gallery: which pictures, and which tags a picture has.

use super::{again_with, mark, say, target};
use crate::job::{MarkChange, PictureId, Tag};
use crate::ui::effect::Effect;
use crate::ui::pane::gallery::{Line, Purpose, parse, write};
use crate::ui::state::State;
use crate::ui::update::worker_is_there;

/// What stands between tags.
const BETWEEN: [char; 3] = [',', '，', '、'];

/// Begins a search with the one that is shown.
pub(super) fn begin_search(state: &mut State) {
    if let Some(open) = state.gallery.open_mut() {
        let mut text = write(open.found.query());
        if !text.is_empty() {
            text.push(' ');
        }
        open.line = Some(Line { purpose: Purpose::Search, text });
    }
}

/// Begins with the tags that the picture has.
pub(super) fn begin_tags(state: &mut State) {
    let Some((id, tags)) = target(state).map(|picture| (picture.id, picture.marks.tags.clone())) else {
        return;
    };
    let text = tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", ");
    if let Some(open) = state.gallery.open_mut() {
        open.line = Some(Line { purpose: Purpose::Tags(id), text });
    }
}

/// Takes back a letter.
pub(super) fn erase(state: &mut State) {
    if let Some(line) = state.gallery.open_mut().and_then(|open| open.line.as_mut()) {
        line.text.pop();
    }
}

/// Takes back all of it.
pub(super) fn clear(state: &mut State) {
    if let Some(line) = state.gallery.open_mut().and_then(|open| open.line.as_mut()) {
        line.text.clear();
    }
}

/// Does what the line says. What cannot be done keeps the line, and says why.
pub(super) fn take(state: &mut State) -> Vec<Effect> {
    let Some(Line { purpose, text }) = state.gallery.open().and_then(|open| open.line.clone()) else {
        return Vec::new();
    };
    let done = match purpose {
        Purpose::Search => parse(&text).map(|query| {
            again_with(state, |known| *known = query);
            Vec::new()
        }),
        Purpose::Tags(id) => tag(state, id, &text),
    };
    match done {
        Ok(effects) => {
            if let Some(open) = state.gallery.open_mut() {
                open.line = None;
            }
            effects
        }
        Err(why) => {
            say(state, why);
            Vec::new()
        }
    }
}

/// The tags that it gets and loses.
fn tag(state: &mut State, id: PictureId, text: &str) -> Result<Vec<Effect>, String> {
    let words = text.split(BETWEEN).map(str::trim).filter(|word| !word.is_empty());
    let wanted = words.map(Tag::new).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    // It may have been changed while the line was typed.
    let known = target(state).filter(|picture| picture.id == id).map(|picture| picture.marks.tags.clone());
    let Some(known) = known else { return Err(state.language.gallery_not_chosen(id)) };
    let new = |tag: &Tag| !known.contains(tag);
    let add: Vec<_> = wanted.iter().filter(|tag| new(tag)).cloned().collect();
    let remove: Vec<_> = known.iter().filter(|tag| !wanted.contains(tag)).cloned().collect();
    if (add.is_empty() && remove.is_empty()) || !worker_is_there(state) {
        return Ok(Vec::new());
    }
    Ok(vec![mark(id, MarkChange::Tag { add, remove })])
}
