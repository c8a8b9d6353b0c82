//! The picker of LoRAs, the draft's list, and what the worker says of its folders.

use crate::job::{PROMPT_BYTES, Recipe, UsedLora};
use crate::ui::editor::Motion;
use crate::ui::effect::{Effect, Question};
use crate::ui::pane::drafted::Drafted;
use crate::ui::pane::gallery::thumbs::side;
use crate::ui::state::{Link, State};
use crate::ui::view::lora_picture_room;
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
    if let Err(reason) = state.loras.take(state.language) {
        state.notices.warn(reason);
    }
}

/// Puts the next of the chosen one's words into the prompt, at its end.
pub(super) fn insert_words(state: &mut State) {
    let Some(chosen) = state.loras.chosen() else { return };
    let text = state.prompt.editor.text();
    let Some(words) = chosen.next_words(text) else {
        let what = match chosen.words().next() {
            Some(_) => state.language.lora_all_words(chosen.name()),
            None => state.language.lora_no_words(chosen.name()),
        };
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
        state.notices.warn(state.language.prompt_full(PROMPT_BYTES));
    }
}

/// The draft has the LoRAs of a picture that no tag of its prompt asks for, of the same content.
pub(super) fn restore(state: &mut State, recipe: &Recipe) {
    let beside = recipe.loras.iter().filter(|lora| !lora.tagged);
    match beside.map(UsedLora::again).collect::<Result<Vec<_>, _>>() {
        Ok(loras) => drop(state.loras.draft(Drafted::of(loras))),
        Err(error) => {
            let error = state.language.job_error(&error);
            state.notices.warn(state.language.loras_stay(error));
        }
    }
}

/// The worker has said what there is.
pub(super) fn listed(state: &mut State, result: Result<Option<LoraList>, String>) {
    let list = result.map_err(|reason| state.notices.warn(state.language.loras_not_listed(reason)));
    state.loras.answered(list.ok(), state.now);
}

/// What follows from the picker as it now is: the picture of the chosen LoRA to ask for and to encode.
pub(super) fn settle(state: &mut State, effects: &mut Vec<Effect>) {
    let means = state.terminal.means(state.view.window);
    if state.loras.pictures.was_closed() && means.protocol.is_kittys() {
        effects.push(Effect::DropPictures);
        // The gallery's went with it.
        state.gallery.repaint();
    }
    let room = lora_picture_room(state);
    let side = side(room, means, state.terminal.environment.ssh);
    let Some(key) = state.loras.picture_key(side) else { return };
    if room.width == 0 || room.height == 0 {
        return;
    }
    if state.worker.link == Link::Up && state.loras.pictures.wants(&key) {
        effects.push(Effect::Ask(Question::LoraPicture(key.clone())));
    }
    effects.extend(state.loras.pictures.order(&key, room, means).map(Effect::Encode));
}
