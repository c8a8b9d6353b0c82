//! Themes: tried on, kept, left, and changed on disk while they are worn.

use super::*;
use crate::config::LanguageChoice;
use crate::ui::files::Keep;
use crate::ui::habits::Habits;
use crate::ui::keymap::Keymap;
use crate::ui::theme::{Named, parse};

fn worn(desk: &Desk) -> &str {
    &desk.state.look.theme.name
}

fn habits(theme: Option<&str>, own: &[(&str, &str)]) -> Event {
    let own = own.iter().map(|(name, text)| Named {
        name: (*name).to_owned(),
        theme: parse(name, text).map_err(|error| error.to_string()),
    });
    Event::Habits(Box::new(Habits {
        theme: theme.map(str::to_owned),
        language: LanguageChoice::Auto,
        themes: Theme::all_built_in().into_iter().chain(own).collect(),
        keys: Keymap::default(),
        problems: Vec::new(),
    }))
}

const MINE: &str = include_str!("../../../../themes/dark.toml");

#[test]
fn themes_are_tried_on_and_left_as_it_was() {
    let mut desk = Desk::connected();
    desk.key(KeyCode::F(9));
    assert_eq!(worn(&desk), "dark");
    desk.key(KeyCode::Down);
    assert_eq!(worn(&desk), "light", "it is seen before it is kept");
    desk.key(KeyCode::Char('j'));
    desk.key(KeyCode::End);
    assert_eq!(worn(&desk), "ansi16");
    assert_eq!(desk.key(KeyCode::Esc), []);
    assert_eq!((worn(&desk), desk.state.themes.is_open()), ("dark", false));
}

#[test]
fn enter_keeps_the_theme_in_the_configuration() {
    let mut desk = Desk::connected();
    desk.key(KeyCode::Tab);
    desk.key(KeyCode::Char('T'));
    desk.key(KeyCode::Down);
    desk.key(KeyCode::Down);
    assert_eq!(desk.key(KeyCode::Enter), [Effect::Keep(Keep::Theme("lagoon".into()))]);
    assert_eq!((worn(&desk), desk.state.look.automatic), ("lagoon", false));
    // The terminal's background does not undo it.
    desk.event(Event::Input(Input::Report(Report::Background([255, 255, 240]))));
    assert_eq!(worn(&desk), "lagoon");
}

#[test]
fn a_changed_file_is_worn_at_once_and_a_mistake_in_it_changes_nothing() {
    let mut desk = Desk::connected();
    desk.event(habits(Some("mine"), &[("mine", MINE)]));
    assert_eq!(worn(&desk), "mine");
    let red = MINE.replacen("#e8a35c", "#ff0000", 1);
    desk.event(habits(Some("mine"), &[("mine", &red)]));
    let accent = desk.state.look.theme.style(crate::ui::theme::Role::Accent).fg;
    assert_eq!(accent, Some(ratatui::style::Color::Rgb(255, 0, 0)));
    desk.event(habits(Some("mine"), &[("mine", "[roles]\nscreen = \"reddish\"\n")]));
    assert_eq!(desk.state.look.theme.style(crate::ui::theme::Role::Accent).fg, accent);
    let told = desk.state.notices.current().map(|(notice, _)| notice.text.clone());
    assert!(told.as_ref().is_some_and(|told| told.contains("line 2")), "{told:?}");
    desk.event(habits(None, &[]));
    assert_eq!((worn(&desk), desk.state.look.automatic), ("ansi16", false), "a plain terminal's own");
}

#[test]
fn the_command_line_goes_before_the_file_and_the_hand_before_both() {
    let mut desk = Desk::connected();
    (desk.state.themes.fixed, desk.state.themes.wanted) = (true, Some("paper".into()));
    desk.event(habits(Some("lagoon"), &[]));
    assert_eq!(worn(&desk), "paper");
    desk.key(KeyCode::F(9));
    desk.key(KeyCode::Home);
    desk.key(KeyCode::Enter);
    assert_eq!(worn(&desk), "dark");
    desk.event(habits(Some("dark"), &[]));
    assert_eq!(worn(&desk), "dark");
}

#[test]
fn without_colour_no_theme_brings_any() {
    let mut desk = Desk::connected();
    desk.state.terminal.environment.no_color = true;
    desk.key(KeyCode::F(9));
    desk.key(KeyCode::Down);
    assert_eq!((worn(&desk), desk.state.look.theme.has_colour()), ("light", false));
}

#[test]
fn a_theme_that_cannot_be_used_is_shown_as_such_and_not_kept() {
    let mut desk = Desk::connected();
    desk.event(habits(Some("dark"), &[("broken", "")]));
    desk.key(KeyCode::F(9));
    desk.key(KeyCode::End);
    assert_eq!(worn(&desk), "dark");
    assert_eq!(desk.key(KeyCode::Enter), []);
    assert!(desk.state.themes.is_open());
}
