//! What is drawn next is taken from a picture: all of it, or a part.

use super::{focus, loras};
use crate::job::{Picture, Recipe, Tagged};
use crate::ui::pane::Pane;
use crate::ui::state::State;

/// A part of what a picture was drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Prompt, seed and settings.
    All,
    /// The words. The tags of LoRAs are settings.
    Prompt,
    /// The seed.
    Seed,
    /// Model, size, steps, guidance and LoRAs.
    Settings,
}

/// Takes a part of the chosen prompt's picture while the prompts are open, and else of the chosen picture.
pub(super) fn restore(state: &mut State, part: Part) {
    let chosen = match state.overlay.prompts() {
        Some(prompts) => prompts.chosen().map(|prompt| prompt.best.clone()),
        None => super::gallery::target(state).cloned(),
    };
    let Some(picture) = chosen else { return };
    state.overlay.close();
    take(state, &picture, part);
}

fn take(state: &mut State, picture: &Picture, part: Part) {
    let recipe = &picture.recipe;
    let words = state.prompt.editor.text().to_owned();
    match part {
        Part::All => {
            state.prompt.editor.set_text(recipe.written().as_str());
            state.parameters.restore(recipe);
            loras::restore(state, recipe);
        }
        Part::Prompt => {
            let text = with_tags(recipe.written().as_str(), &tags(&words));
            state.prompt.editor.set_text(&text);
        }
        Part::Seed => state.parameters.fix_seed(recipe.seed),
        Part::Settings => {
            if let Some(text) = with_its_tags(&words, recipe) {
                state.prompt.editor.set_text(&text);
            }
            state.parameters.restore_settings(recipe);
            loras::restore(state, recipe);
        }
    }
    state.prompt.parent = Some(picture.id);
    state.preview.look_at(picture.id);
    focus(state, Pane::Prompt);
}

/// The words with the tags of a recipe; `None` where they have no others.
fn with_its_tags(words: &str, recipe: &Recipe) -> Option<String> {
    let (has, wanted) = (tags(words), tags(recipe.written().as_str()));
    (has != wanted).then(|| with_tags(words, &wanted))
}

/// The tags of LoRAs in a prompt, as they are written; of one that cannot be understood none.
fn tags(prompt: &str) -> Vec<String> {
    Tagged::read(prompt).map(|tagged| tagged.tags).unwrap_or_default()
}

/// The words of a prompt with other tags behind them.
fn with_tags(prompt: &str, tags: &[String]) -> String {
    // A tag that cannot be understood is a person's to mend.
    let Ok(tagged) = Tagged::read(prompt) else { return prompt.to_owned() };
    if tagged.tags == tags {
        return prompt.to_owned();
    }
    let mut text = tagged.text.trim_end().to_owned();
    for tag in tags {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(tag);
    }
    text
}
