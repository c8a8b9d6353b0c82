//! What lies over the panes: which keys apply there; and the first lines for someone who is new.

use crate::ui::action::{Action, ListMove};
use crate::ui::keymap::Context;
use crate::ui::state::State;

/// What Esc does there.
pub(super) fn escape(state: &State) -> Option<&'static str> {
    if state.palette.is_open() {
        Some("close")
    } else if state.view.help.is_some() {
        None
    } else if state.themes.is_open() {
        Some("as before")
    } else {
        state.log.scrolled().map(|_| "close")
    }
}

/// The hints there.
pub(super) fn hints(state: &State) -> Option<Vec<(Action, &'static str)>> {
    let moves = (Action::List(ListMove::Down), "next");
    if state.palette.is_open() {
        return Some(vec![(Action::TakeCommand, "do it"), moves, (Action::UnfilterPalette, "take back")]);
    }
    if state.view.help.is_some() {
        return None;
    }
    if state.themes.is_open() {
        return Some(vec![(Action::KeepTheme, "keep it"), moves]);
    }
    let scrolls = vec![
        (Action::List(ListMove::Up), "earlier"),
        (Action::List(ListMove::PageUp), "page"),
        (Action::List(ListMove::First), "beginning"),
    ];
    state.log.scrolled().map(|_| scrolls)
}

/// The first lines, by the keys as they are.
pub(super) fn tour(state: &State) -> Vec<String> {
    if !state.view.tour {
        return Vec::new();
    }
    let language = state.language;
    let key = |action| state.keys.key_name(&[Context::Everywhere], action).unwrap_or_default();
    let outside = |action| state.keys.key_name(&[Context::OutsidePrompt], action).unwrap_or_default();
    vec![
        String::new(),
        language.tour_panes(key(Action::NextPane), key(Action::Help)),
        language.tour_again(key(Action::DrawAgain)),
        language.tour_palette(key(Action::Palette), outside(Action::Palette)),
        language.tour_looks(key(Action::Themes), key(Action::Arrange), key(Action::ZoomPreview)),
        language.tour_quit(key(Action::Quit)),
    ]
}
