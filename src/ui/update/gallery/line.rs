//! Lines that are typed in the gallery: which pictures, and which tags a picture has.

use super::{again_with, grids, mark, say, target};
use crate::job::grid::GridId;
use crate::job::{MarkChange, PictureId, Tag};
use crate::ui::effect::Effect;
use crate::ui::pane::gallery::{Line, Purpose, SeenGrid, parse, write};
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
    let of_grid = grids::target(state).map(|grid| (Purpose::GridTags(grid.of.grid), grid.tags()));
    let of_picture = target(state).map(|picture| (Purpose::Tags(picture.id), picture.marks.tags.clone()));
    let Some((purpose, tags)) = of_grid.or(of_picture) else { return };
    let text = tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", ");
    if let Some(open) = state.gallery.open_mut() {
        open.line = Some(Line { purpose, text });
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
        Purpose::GridTags(id) => tag_grid(state, id, &text),
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
    let wanted = wanted(text)?;
    // It may have been changed while the line was typed.
    let known = target(state).filter(|picture| picture.id == id).map(|picture| picture.marks.tags.clone());
    let Some(known) = known else { return Err(state.language.gallery_not_chosen(id)) };
    Ok(change(state, &known, &wanted).map(|change| mark(id, change)).into_iter().collect())
}

/// The same of a grid: what all its pictures had and is taken out of the line, they all lose.
fn tag_grid(state: &mut State, id: GridId, text: &str) -> Result<Vec<Effect>, String> {
    let wanted = wanted(text)?;
    let known = grids::target(state).filter(|grid| grid.of.grid == id).map(SeenGrid::tags);
    let Some(known) = known else { return Err(state.language.gallery_grid_not_chosen(id)) };
    Ok(change(state, &known, &wanted).map(|change| grids::ask(id, change)).into_iter().collect())
}

fn wanted(text: &str) -> Result<Vec<Tag>, String> {
    let words = text.split(BETWEEN).map(str::trim).filter(|word| !word.is_empty());
    words.map(Tag::new).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// From some tags to others, if that is a change and there is a worker.
fn change(state: &mut State, known: &[Tag], wanted: &[Tag]) -> Option<MarkChange> {
    let others =
        |these: &[Tag], those: &[Tag]| these.iter().filter(|tag| !those.contains(tag)).cloned().collect();
    let (add, remove): (Vec<Tag>, Vec<Tag>) = (others(wanted, known), others(known, wanted));
    let changes = !add.is_empty() || !remove.is_empty();
    (changes && worker_is_there(state)).then_some(MarkChange::Tag { add, remove })
}
