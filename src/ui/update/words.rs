//! Wildcards have been read: they are counted, or what waits for them is asked for.

use crate::job::Wildcards;
use crate::ui::effect::{Effect, Gather};
use crate::ui::state::State;

pub(super) fn gathered(state: &mut State, gather: Gather, result: Result<Wildcards, String>) -> Vec<Effect> {
    let Gather { prompt, draft } = gather;
    let Some(draft) = draft else {
        state.prompt.gathered(&prompt, result);
        return Vec::new();
    };
    match result {
        Ok(wildcards) => super::keys::ask_for(state, draft.with_wildcards(wildcards)),
        Err(reason) => {
            state.notices.error(reason);
            Vec::new()
        }
    }
}
