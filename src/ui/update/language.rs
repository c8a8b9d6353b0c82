//! The language: which one is spoken, and another one.

use crate::config::LanguageChoice;
use crate::ui::effect::Effect;
use crate::ui::files::Keep;
use crate::ui::glyphs;
use crate::ui::language::Language;
use crate::ui::state::State;

/// Speaks what is wanted.
pub(super) fn speak(state: &mut State) {
    let languages = &state.languages;
    let ascii = state.look.glyphs == glyphs::ASCII;
    state.language = Language::chosen(languages.wanted, languages.by_environment, ascii);
}

/// The next choice.
pub(super) fn next(state: &mut State) -> Vec<Effect> {
    let all = LanguageChoice::ALL;
    let at = all.iter().position(|(_, choice)| *choice == state.languages.wanted).unwrap_or(0);
    choose(state, all[(at + 1) % all.len()].1)
}

/// This language from now on, and in `config.toml`.
pub(super) fn choose(state: &mut State, choice: LanguageChoice) -> Vec<Effect> {
    // What a person chooses by hand goes before what the command line said.
    state.languages.fixed = false;
    state.languages.wanted = choice;
    speak(state);
    vec![Effect::Keep(Keep::Language(choice))]
}
