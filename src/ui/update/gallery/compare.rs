//! Two pictures: marked one after the other, or one with the one before it; flipped, side by side.

use super::{say, target};
use crate::job::{Picture, PictureQuery};
use crate::ui::pane::gallery::{Found, Mode};
use crate::ui::state::State;

/// Marks a picture. The second is compared with the first; the same again is not marked any more.
pub(super) fn mark(state: &mut State) {
    let Some(picture) = target(state).cloned() else { return };
    match state.gallery.marked.take() {
        Some(first) if first.id == picture.id => say(state, state.language.gallery_unmarked()),
        Some(first) => compare(state, first, picture),
        None => {
            state.gallery.marked = Some(picture);
            say(state, state.language.gallery_marked());
        }
    }
}

/// Compares a picture with the one that was drawn before it.
pub(super) fn with_the_one_before(state: &mut State) {
    let Some(picture) = target(state).cloned() else { return };
    let before = match state.gallery.open() {
        Some(open) => open.found.before(picture.id).or_else(|| state.history.before(picture.id)),
        None => state.history.before(picture.id),
    };
    match before.cloned() {
        Some(before) => compare(state, before, picture),
        None if state.gallery.is_open() => say(state, state.language.gallery_none_before()),
        None => state.notices.warn(state.language.gallery_none_before()),
    }
}

fn compare(state: &mut State, a: Picture, b: Picture) {
    state.parameters.commit();
    let State { gallery, history, .. } = state;
    let chosen = Some(b.id);
    gallery.compare(a, b, || {
        let known = history.pictures().to_vec();
        Found::new(PictureQuery::default(), known, history.is_complete()).choosing(chosen)
    });
}

/// The other one in the same place.
pub(super) fn flip(state: &mut State) {
    if let Some(Mode::Compare(pair)) = state.gallery.open_mut().map(|open| &mut open.mode) {
        pair.flip();
    }
}

/// Both side by side.
pub(super) fn both(state: &mut State) {
    if let Some(Mode::Compare(pair)) = state.gallery.open_mut().map(|open| &mut open.mode) {
        pair.alone = None;
    }
}
