//! The mouse: a click gives the keys to a pane and chooses in it, the wheel moves in what it is over.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{focus, gallery, keys, over, overlay};
use crate::ui::action::ListMove;
use crate::ui::effect::Effect;
use crate::ui::layout::{inside, padded, prompt_text};
use crate::ui::pane::Pane;
use crate::ui::state::State;
use crate::ui::view;

pub(super) fn take_mouse(state: &mut State, event: &MouseEvent) -> Vec<Effect> {
    match event.kind {
        MouseEventKind::ScrollUp => wheel(state, event, ListMove::Up),
        MouseEventKind::ScrollDown => wheel(state, event, ListMove::Down),
        MouseEventKind::Down(MouseButton::Left) => click(state, Position::new(event.column, event.row)),
        _ => {}
    }
    Vec::new()
}

fn pane_at(state: &State, position: Position) -> Option<Pane> {
    state.layout().areas()?.pane_at(position, state.view.focus)
}

fn wheel(state: &mut State, event: &MouseEvent, by: ListMove) {
    if state.is_covered() {
        return keys::move_in_list(state, by);
    }
    if gallery::wheel(state, by) {
        return;
    }
    match pane_at(state, Position::new(event.column, event.row)) {
        Some(Pane::Prompt) => state.prompt.editor.scroll_by(if by == ListMove::Up { -1 } else { 1 }),
        Some(Pane::Queue) => state.queue.choose(by, 1),
        Some(Pane::History) => {
            state.history.choose(by, 1);
            keys::look_at_chosen(state);
        }
        Some(Pane::Parameters) | None => {}
    }
}

fn click(state: &mut State, position: Position) {
    if over::click(state, position) {
        return;
    }
    if state.view.help.take().is_some() {
        return;
    }
    if state.models.is_open() {
        match view::model_at(state, position) {
            Some(row) => state.models.choose_row(row),
            None => drop(state.models.close()),
        }
        return;
    }
    if state.loras.is_open() {
        match view::lora_at(state, position) {
            Some(row) => state.loras.choose_row(row),
            None => drop(state.loras.close()),
        }
        return;
    }
    if state.overlay.is_open() {
        return overlay::click(state, position);
    }
    if gallery::click(state, position) {
        return;
    }
    let Some(pane) = pane_at(state, position) else { return };
    let Some(areas) = state.layout().areas().copied() else { return };
    focus(state, pane);
    let area = inside(areas.of(pane));
    if !area.contains(position) {
        return;
    }
    let row = usize::from(position.y - area.y);
    match pane {
        Pane::Prompt => {
            let text = prompt_text(areas.prompt, state.prompt.foot_rows(padded(areas.prompt).height));
            let column = usize::from(position.x.saturating_sub(text.x));
            if position.y < text.bottom() {
                state.prompt.editor.move_to_cell(column, row);
            }
        }
        Pane::Parameters => {
            if let Some(field) = view::field_at(state, padded(areas.parameters), position) {
                state.parameters.choose(field);
            }
        }
        Pane::Queue => {
            let first = view::first_row(state.queue.chosen(), state.queue.jobs().len(), area.height);
            state.queue.choose_row(first + row);
        }
        Pane::History => {
            let first = view::first_row(state.history.chosen(), state.history.pictures().len(), area.height);
            state.history.choose_row(first + row);
            keys::look_at_chosen(state);
        }
    }
}
