//! What lies over the panes or takes their room: the log, the themes, one box alone, and the first
//! lines. The palette is [`super::palette`], colours are [`super::looks`].

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Position;

use super::{contexts_below, focus, looks};
use crate::ui::action::ListMove;
use crate::ui::arrangement::Zoom;
use crate::ui::effect::Effect;
use crate::ui::files::Keep;
use crate::ui::keymap::Context;
use crate::ui::pane::{Pane, palette};
use crate::ui::state::State;
use crate::ui::view;

/// Which of them has the keys.
pub(super) fn context(state: &State) -> Option<Context> {
    if state.themes.is_open() { Some(Context::Themes) } else { state.log.scrolled().map(|_| Context::Log) }
}

/// Takes a character if it is for one of them.
pub(super) fn type_character(state: &mut State, key: &KeyEvent) -> bool {
    if state.palette.is_open() {
        if let KeyCode::Char(letter) = key.code
            && !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
        {
            state.palette.type_character(letter);
        }
        return true;
    }
    context(state).is_some()
}

/// Takes what was pasted if it is for one of them.
pub(super) fn paste(state: &mut State, text: &str) -> bool {
    text.chars().for_each(|letter| state.palette.type_character(letter));
    state.palette.is_open() || context(state).is_some()
}

/// Moves in the one that has the keys.
pub(super) fn move_in_list(state: &mut State, by: ListMove) -> bool {
    if state.palette.is_open() {
        let rows =
            palette::rows(state.palette.text(), &state.keys, &contexts_below(state), state.language).len();
        state.palette.choose(by, rows, view::palette_page(state));
        return true;
    }
    if state.view.help.is_some() {
        return false;
    }
    match context(state) {
        Some(Context::Themes) => looks::choose(state, by),
        Some(_) => {
            let (rows, page) = (view::log_rows(state), view::log_page(state));
            state.log.scroll(by, rows, page);
        }
        None => return false,
    }
    true
}

/// Closes the topmost of them. Whether there was one.
pub(super) fn escape(state: &mut State) -> bool {
    if state.palette.close() {
        return true;
    }
    // The help lies over the others.
    state.view.help.is_none() && (looks::leave(state) || state.log.close())
}

/// A click on one of them, or beside it.
pub(super) fn click(state: &mut State, position: Position) -> bool {
    if state.palette.is_open() {
        match view::palette_at(state, position) {
            Some(row) => state.palette.choose_row(row),
            None => drop(state.palette.close()),
        }
        return true;
    }
    if state.view.help.is_some() {
        return false;
    }
    match context(state) {
        Some(Context::Themes) => match view::theme_at(state, position) {
            Some(row) => looks::choose_row(state, row),
            None => drop(looks::leave(state)),
        },
        Some(_) => drop(state.log.close()),
        None => return false,
    }
    true
}

/// One box alone, or all again.
pub(super) fn zoom(state: &mut State, to: impl Fn(Pane) -> Zoom) {
    let before = state.view.zoom;
    unzoom(state);
    let wanted = to(state.view.focus);
    if before != Some(wanted) {
        focus_for(state, wanted);
        state.view.zoom = Some(wanted);
    }
}

/// The picture and the memory take no keys: the history has them meanwhile.
fn focus_for(state: &mut State, zoom: Zoom) {
    if zoom.before().is_some() {
        focus(state, Pane::History);
    }
}

/// All panes again. Whether there was one alone.
pub(super) fn unzoom(state: &mut State) -> bool {
    let Some(zoom) = state.view.zoom.take() else { return false };
    zoom.before().into_iter().for_each(|before| focus(state, before));
    true
}

/// When the keys go elsewhere, what had no keys is no longer alone.
pub(super) fn settle(state: &mut State) {
    let elsewhere = state.view.focus != Pane::History;
    if elsewhere && state.view.zoom.is_some_and(|zoom| zoom.before().is_some()) {
        state.view.zoom = None;
    }
}

/// The next layout.
pub(super) fn arrange(state: &mut State) -> Vec<Effect> {
    let next = state.view.kept.layout.next();
    arrange_so(state, next)
}

/// This layout, which is remembered.
pub(super) fn arrange_so(state: &mut State, layout: crate::ui::arrangement::Arrangement) -> Vec<Effect> {
    state.view.zoom = None;
    state.view.kept.layout = layout;
    vec![Effect::Keep(Keep::Studio(state.view.kept))]
}

/// The first key ends the first lines, for good.
pub(super) fn toured(state: &mut State) -> Option<Effect> {
    let shown = std::mem::take(&mut state.view.tour);
    shown.then(|| {
        state.view.kept.toured = true;
        Effect::Keep(Keep::Studio(state.view.kept))
    })
}
