//! The prompts of the library: of each the seed of its best picture, what is said of that, and the words.

use std::ops::Range;

use super::overlay::{Content, Row};
use super::{history, text};
use crate::job::DrawnPrompt;
use crate::ui::pane::prompts::PromptList;
use crate::ui::state::State;
use crate::ui::theme::Role;

pub(super) fn content(state: &State, list: &PromptList, visible: Range<usize>) -> Content {
    let language = state.language;
    let title = match list.filter() {
        "" => language.prompts_title().to_owned(),
        filter => language.filtered(language.prompts_title(), filter),
    };
    let hint = match (list.known(), list.is_complete()) {
        (0, true) => language.prompts_none(),
        (0, false) => language.prompts_looking(),
        _ => language.prompts_no_match(),
    };
    let rows = list.rows();
    let seeds = rows[visible.clone()].iter().map(|prompt| prompt.best.recipe.seed.to_string().len());
    // Seeds of the usual 32 bits have their place; longer ones push the prompts aside.
    let column = seeds.max().unwrap_or(0).max(10);
    let details = list.chosen().map_or_else(Vec::new, |prompt| details(state, prompt));
    let rows = rows[visible].iter().map(|prompt| row(state, prompt, column)).collect();
    Content { title, hint, rows, details }
}

fn row(state: &State, prompt: &DrawnPrompt, column: usize) -> Row {
    let DrawnPrompt { best, pictures, .. } = prompt;
    let marks = history::marks(state, best);
    // No more of a long one than a row can show.
    let words = text::clip(best.recipe.written().as_str(), u16::MAX / 64, "");
    let left = vec![
        (format!("{:>column$}  ", best.recipe.seed), Role::Dim),
        (marks, if best.missing { Role::Error } else { Role::Accent }),
        (words, Role::Text),
    ];
    let right = if *pictures > 1 { state.language.prompts_pictures(pictures) } else { String::new() };
    Row { left, right }
}

/// The whole prompt, and what it was drawn with.
fn details(state: &State, prompt: &DrawnPrompt) -> Vec<(String, Role)> {
    let (recipe, glyphs) = (&prompt.best.recipe, &state.look.glyphs);
    let words = text::clip(recipe.written().as_str(), u16::MAX / 64, glyphs.ellipsis);
    let (width, height) = (recipe.size.width(), recipe.size.height());
    let facts = [
        recipe.model.to_string(),
        format!("{width}{}{height}", glyphs.times),
        state.language.recipe_steps(recipe.steps),
        state.language.recipe_guidance(recipe.guidance),
        state.language.recipe_seed(recipe.seed),
    ];
    vec![(words, Role::Text), (facts.join(&format!(" {} ", glyphs.dot)), Role::Dim)]
}
