//! More like a picture: the same prompt, model, size, steps, guidance and LoRAs with new seeds, as many as the parameters
//! say, to the queue.

use super::{say, target};
use crate::job::UsedLora;
use crate::ui::draft::{Draft, SeedWish};
use crate::ui::effect::{Effect, Gather};
use crate::ui::state::{Link, State};
use crate::ui::update::keys;

/// Asks for them. The prompt and the parameters on the desk stay as they are.
pub(super) fn more(state: &mut State) -> Vec<Effect> {
    let Some(picture) = target(state).cloned() else { return Vec::new() };
    let recipe = &picture.recipe;
    let beside = recipe.loras.iter().filter(|lora| !lora.tagged);
    let loras = match beside.map(UsedLora::again).collect::<Result<Vec<_>, _>>() {
        Ok(loras) => loras,
        Err(why) => {
            say(state, state.language.gallery_no_more(why));
            return Vec::new();
        }
    };
    let mut parameters = state.parameters.clone();
    parameters.commit();
    parameters.restore_settings(recipe);
    let draft =
        Draft::new(recipe.written().as_str(), &parameters, SeedWish::New, Some(picture.id)).with_loras(loras);
    if draft.names_wildcards() {
        say(state, state.language.gallery_more(parameters.settings().map_or(1, |settings| settings.count)));
        let prompt = draft.prompt().to_owned();
        return vec![Effect::Gather(Gather { prompt, draft: Some(Box::new(draft)) })];
    }
    if state.worker.link == Link::Up {
        // Said here: the fields on the desk are not the ones that are wrong.
        match draft.job(state.language) {
            Ok(job) => say(state, state.language.gallery_more(job.count())),
            Err(wrong) => {
                say(state, state.language.gallery_no_more(wrong.message));
                return Vec::new();
            }
        }
    }
    keys::ask_for(state, draft)
}
