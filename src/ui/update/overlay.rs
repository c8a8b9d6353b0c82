//! The lists that lie over the panes: opened, moved in, filtered, closed.

use ratatui::layout::Position;

use crate::config::snippets::Snippet;
use crate::job::{DrawnPrompt, Prompt, PromptQuery, TriedSeed};
use crate::ui::action::ListMove;
use crate::ui::effect::{Effect, Question};
use crate::ui::pane::Pane;
use crate::ui::pane::overlay::Overlay;
use crate::ui::pane::prompts::{PAGE, PromptList};
use crate::ui::pane::seeds::SeedList;
use crate::ui::state::{Link, State};
use crate::ui::view;

/// Opens the prompts of the library.
pub(super) fn open_prompts(state: &mut State) {
    state.parameters.commit();
    state.models.close();
    state.loras.close();
    state.overlay = Overlay::Prompts(Box::new(PromptList::new(state.history.pictures())));
}

/// Moves in the open list.
pub(super) fn choose(state: &mut State, by: ListMove) {
    let page = view::overlay_page(state);
    state.overlay.choose(by, page);
}

/// A click: on a row it chooses, elsewhere it closes.
pub(super) fn click(state: &mut State, position: Position) {
    match view::overlay_at(state, position) {
        Some(row) => state.overlay.choose_row(row),
        None => drop(state.overlay.close()),
    }
}

/// What the open list has to be told by the worker.
pub(super) fn question(state: &mut State) -> Option<Question> {
    let now = state.now;
    let query = state.overlay.prompts_mut()?.wants(now)?;
    Some(Question::Prompts { query, limit: PAGE })
}

/// The worker has told a page of prompts.
pub(super) fn prompts_answered(
    state: &mut State,
    query: &PromptQuery,
    result: Result<Vec<DrawnPrompt>, String>,
) {
    let page = result.map_err(|reason| state.notices.warn(state.language.no_older_prompts(reason)));
    if let Some(list) = state.overlay.prompts_mut() {
        list.answered(query, page.ok());
    }
}

/// Opens the seeds of the prompt, and asks for them.
pub(super) fn open_seeds(state: &mut State) -> Vec<Effect> {
    state.parameters.commit();
    if state.worker.link != Link::Up {
        state.notices.warn(state.language.library_elsewhere());
        return Vec::new();
    }
    match Prompt::new(state.prompt.editor.text()) {
        Ok(prompt) => {
            state.overlay = Overlay::Seeds(Box::new(SeedList::new(prompt.clone())));
            vec![Effect::Ask(Question::Seeds(prompt))]
        }
        Err(error) => {
            state.notices.warn(state.language.job_error(&error));
            Vec::new()
        }
    }
}

/// The worker has told the seeds of a prompt.
pub(super) fn seeds_answered(state: &mut State, prompt: &Prompt, result: Result<Vec<TriedSeed>, String>) {
    let Overlay::Seeds(list) = &mut state.overlay else { return };
    match result {
        Ok(seeds) if list.prompt == *prompt => list.answered(seeds),
        Ok(_) => {}
        Err(reason) => {
            state.overlay.close();
            state.notices.warn(state.language.no_seeds(reason));
        }
    }
}

/// What is drawn next has the chosen seed, and comes from its picture.
pub(super) fn take_seed(state: &mut State) {
    let Overlay::Seeds(list) = &state.overlay else { return };
    let Some((seed, picture)) = list.chosen().map(|it| (it.seed, it.picture)) else { return };
    state.overlay.close();
    state.parameters.fix_seed(seed);
    state.prompt.parent = Some(picture);
    state.preview.look_at(picture);
}

/// Opens the snippets; a person's own are read anew.
pub(super) fn open_snippets(state: &mut State) -> Vec<Effect> {
    state.overlay = Overlay::Snippets(Box::default());
    vec![Effect::ReadSnippets]
}

/// Snippets were read.
pub(super) fn snippets_read(state: &mut State, snippets: Vec<Snippet>, problems: Vec<String>) {
    problems.into_iter().rev().for_each(|problem| state.notices.warn(problem));
    if let Overlay::Snippets(list) = &mut state.overlay {
        list.read(snippets);
    }
}

/// Puts the chosen snippet at the cursor, as a further part of what stands there.
pub(super) fn take_snippet(state: &mut State) {
    let Overlay::Snippets(list) = &state.overlay else { return };
    let Some(words) = list.chosen().map(|snippet| snippet.text.clone()) else { return };
    state.overlay.close();
    let editor = &state.prompt.editor;
    let before = editor.text()[..editor.cursor()].chars().next_back();
    let joint = match before {
        None => "",
        Some(',') => " ",
        Some(letter) if letter.is_whitespace() || "([{<|，、。".contains(letter) => "",
        Some(_) => ", ",
    };
    super::focus(state, Pane::Prompt);
    super::keys::insert(state, &format!("{joint}{words}"), 0);
}
