//! Colours: which theme is worn, trying others on, and what a person's files say of it.

use crate::ui::action::ListMove;
use crate::ui::effect::Effect;
use crate::ui::files::Keep;
use crate::ui::habits::Habits;
use crate::ui::state::State;
use crate::ui::theme::Theme;

/// Takes what the files say. What is wrong with them, or with the theme that they ask for.
pub(in crate::ui) fn take_habits(state: &mut State, habits: Habits) -> Vec<String> {
    let mut complaints = habits.problems;
    state.keys = habits.keys;
    if !state.languages.fixed {
        state.languages.wanted = habits.language;
    }
    super::language::speak(state);
    state.themes.replace(habits.themes);
    if !state.themes.fixed {
        state.themes.wanted = habits.theme;
    }
    complaints.extend(worn_by_wish(state).err());
    complaints
}

/// The files have changed while the studio is open.
pub(super) fn changed(state: &mut State, habits: Habits) {
    let worn = state.look.theme.clone();
    let complaints = take_habits(state, habits);
    let wanted = state.themes.wanted.as_ref().and_then(|name| state.themes.find(name));
    if wanted.is_some_and(|named| named.theme.is_err()) {
        // A mistake in a file does not undo what is worn.
        state.look.theme = worn;
    }
    if state.themes.is_open() {
        try_on(state);
    }
    complaints.into_iter().rev().for_each(|complaint| state.notices.warn(complaint));
}

/// The theme that is wanted, or one that suits the terminal.
fn worn_by_wish(state: &mut State) -> Result<(), String> {
    let plain = state.terminal.environment.is_plain();
    state.look.automatic = state.themes.wanted.is_none() && !plain;
    dress(state)
}

/// Puts on what is to be worn; what is wrong with what was asked for, when something else is worn instead.
pub(super) fn dress(state: &mut State) -> Result<(), String> {
    let suits = if state.look.automatic {
        if state.terminal.is_light() == Some(true) { "light" } else { "dark" }
    } else {
        "ansi16"
    };
    let name = state.themes.wanted.as_deref().unwrap_or(suits);
    let found = state.themes.find(name).map(|named| named.theme.clone());
    let (theme, result) = match found {
        Some(Ok(theme)) => (theme, Ok(())),
        Some(Err(why)) => (Theme::default(), Err(why)),
        None => {
            let known: Vec<&str> = state.themes.known().iter().map(|named| named.name.as_str()).collect();
            (Theme::default(), Err(state.language.wrong_theme(format_args!("{name:?}"), known.join(", "))))
        }
    };
    wear(state, &theme);
    result
}

fn wear(state: &mut State, theme: &Theme) {
    let no_color = state.terminal.environment.no_color;
    state.look.theme = if no_color { theme.without_colour() } else { theme.clone() };
}

/// Opens the themes on the one that is worn, or closes them.
pub(super) fn toggle(state: &mut State) {
    if !leave(state) {
        state.themes.open(&state.look.theme);
    }
}

/// Closes the themes; what was worn before is worn again.
pub(super) fn leave(state: &mut State) -> bool {
    let before = state.themes.close();
    let was_open = before.is_some();
    before.into_iter().for_each(|theme| state.look.theme = theme);
    was_open
}

pub(super) fn choose(state: &mut State, by: ListMove) {
    state.themes.choose(by);
    try_on(state);
}

pub(super) fn choose_row(state: &mut State, row: usize) {
    state.themes.choose_row(row);
    try_on(state);
}

/// Shows the chosen theme; one that cannot be used changes nothing.
fn try_on(state: &mut State) {
    if let Some(Ok(theme)) = state.themes.chosen().map(|named| named.theme.clone()) {
        wear(state, &theme);
    }
}

/// The chosen theme from now on, and in `config.toml`.
pub(super) fn keep(state: &mut State) -> Vec<Effect> {
    match state.themes.chosen().map(|named| (named.name.clone(), named.theme.is_ok())) {
        Some((name, true)) => {
            state.themes.close();
            keep_named(state, &name).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// This theme from now on; `auto` is one that suits the terminal.
pub(super) fn keep_named(state: &mut State, name: &str) -> Result<Vec<Effect>, String> {
    let before = (state.themes.wanted.clone(), state.look.theme.clone());
    state.themes.wanted = (name != "auto").then(|| name.to_owned());
    if let Err(why) = worn_by_wish(state) {
        (state.themes.wanted, state.look.theme) = before;
        return Err(why);
    }
    // What a person chooses by hand goes before what the command line said.
    state.themes.fixed = false;
    Ok(vec![Effect::Keep(Keep::Theme(name.to_owned()))])
}
