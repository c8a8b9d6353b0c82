//! The prompt in the person's own editor.

use super::keys::insert_whole;
use crate::ui::effect::Effect;
use crate::ui::pane::Pane;
use crate::ui::state::State;
use crate::ui::terminal::editor::{Edited, EditorError};

pub(super) fn begin(state: &mut State) -> Vec<Effect> {
    // Giving the terminal away drops its pictures.
    super::repaint(state);
    vec![Effect::EditElsewhere(state.prompt.editor.text().to_owned())]
}

/// What the editor left is the prompt now; where it failed the prompt stays.
pub(super) fn ended(state: &mut State, result: Result<Edited, EditorError>) {
    match result {
        Ok(Edited { text, dropped }) => {
            super::focus(state, Pane::Prompt);
            insert_whole(state, &text, dropped);
        }
        Err(error) => {
            let reason = state.language.editor_error(&error);
            state.notices.error(state.language.editor_failed(reason));
        }
    }
}
