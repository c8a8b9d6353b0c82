//! The picker of LoRAs, the draft's list, and what the worker says of its folders.

use crate::job::{PROMPT_BYTES, Recipe, UsedLora};
use crate::ui::editor::Motion;
use crate::ui::pane::drafted::Drafted;
use crate::ui::state::State;
use crate::wire::loras::LoraList;

/// Opens the picker, or closes it.
pub(super) fn toggle(state: &mut State) {
    if !state.loras.close() {
        state.models.close();
        state.overlay.close();
        state.parameters.commit();
        state.loras.open();
    }
}

/// Enter in the picker.
pub(super) fn take(state: &mut State) {
    if let Err(reason) = state.loras.take() {
        state.notices.warn(reason);
    }
}

/// Puts the next of the chosen one's words into the prompt, at its end.
pub(super) fn insert_words(state: &mut State) {
    let Some(chosen) = state.loras.chosen() else { return };
    let text = state.prompt.editor.text();
    let Some(words) = chosen.next_words(text) else {
        let what = match chosen.words().next() {
            Some(_) => "the prompt has all its words",
            None => "its file names no words for a prompt",
        };
        let what = format!("{}: {what}", chosen.name());
        return state.notices.warn(what);
    };
    let before = match text.chars().next_back() {
        None => "",
        Some(last) if last.is_whitespace() => "",
        Some(',') => " ",
        Some(_) => ", ",
    };
    let more = format!("{before}{words}");
    state.prompt.editor.move_to(Motion::TextEnd);
    if state.prompt.editor.insert(&more).bytes > 0 {
        state.notices.warn(format!("the prompt is full at {PROMPT_BYTES} bytes"));
    }
}

/// The draft has the LoRAs of a picture that no tag of its prompt asks for, of the same content.
pub(super) fn restore(state: &mut State, recipe: &Recipe) {
    let beside = recipe.loras.iter().filter(|lora| !lora.tagged);
    match beside.map(UsedLora::again).collect::<Result<Vec<_>, _>>() {
        Ok(loras) => drop(state.loras.draft(Drafted::of(loras))),
        Err(error) => state.notices.warn(format!("the picture's LoRAs stay where they are: {error}")),
    }
}

/// The worker has said what there is.
pub(super) fn listed(state: &mut State, result: Result<LoraList, String>) {
    let list =
        result.map_err(|reason| state.notices.warn(format!("the LoRAs could not be listed: {reason}")));
    state.loras.answered(list.ok());
}
