//! The palette: found by name, done where it was opened, and commands.

use super::*;
use crate::ui::files::Keep;

fn opened(text: &str) -> Desk {
    let mut desk = Desk::connected();
    desk.press(KeyCode::Char('x'), KeyModifiers::ALT);
    assert!(desk.state.palette.is_open());
    desk.type_text(text);
    desk
}

fn field(desk: &Desk, name: FieldName) -> &str {
    desk.state.parameters.text(name)
}

#[test]
fn what_is_found_is_done_where_it_was_opened() {
    let mut desk = opened("");
    desk.key(KeyCode::Esc);
    desk.type_text("a red: apple");
    assert_eq!(desk.state.prompt.editor.text(), "a red: apple", "a colon is text in the prompt");
    desk.press(KeyCode::Char('x'), KeyModifiers::ALT);
    desk.type_text("draw again");
    assert_eq!(desk.state.prompt.editor.text(), "a red: apple");
    assert_eq!(submitted(&desk.key(KeyCode::Enter)).prompt.as_str(), "a red: apple");
    assert!(!desk.state.palette.is_open());
    // From the prompt, for its text.
    desk.press(KeyCode::Char('x'), KeyModifiers::ALT);
    desk.type_text("delete the word left");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.state.prompt.editor.text(), "a red: ");
}

#[test]
fn it_opens_over_what_lies_over_the_panes() {
    let mut desk = Desk::connected();
    desk.key(KeyCode::F(2));
    desk.event(Event::Answer(Answer::Models(Ok(fake::models()))));
    desk.press(KeyCode::Char('x'), KeyModifiers::ALT);
    desk.type_text("what it is, and the memory");
    let effects = desk.key(KeyCode::Enter);
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Ask(Question::ModelDetails(_)))),
        "{effects:?}"
    );
    assert!(desk.state.models.is_open());
    desk.press(KeyCode::Char('x'), KeyModifiers::ALT);
    desk.key(KeyCode::Esc);
    assert!(desk.state.models.page().is_some(), "Escape closes the palette alone");
}

#[test]
fn commands_set_what_keys_would_take_long_for() {
    let mut desk = Desk::connected();
    desk.key(KeyCode::Tab);
    desk.key(KeyCode::Char(':'));
    desk.type_text("size 256x192");
    desk.key(KeyCode::Enter);
    assert_eq!((field(&desk, FieldName::Width), field(&desk, FieldName::Height)), ("256", "192"));
    assert_eq!(desk.state.view.focus, Pane::Parameters);
    for (command, name, text) in [
        ("steps 31", FieldName::Steps, "31"),
        ("seed 7", FieldName::Seed, "7"),
        ("seed random", FieldName::Seed, "-1"),
        ("guidance 2.5", FieldName::Guidance, "2.5"),
        ("count 3", FieldName::Count, "3"),
        ("model nano", FieldName::Model, "nano"),
    ] {
        desk.key(KeyCode::Char(':'));
        desk.type_text(command);
        desk.key(KeyCode::Enter);
        assert_eq!((field(&desk, name), desk.state.palette.is_open()), (text, false), "{command}");
    }
    desk.key(KeyCode::Char(':'));
    desk.type_text("theme paper");
    assert_eq!(desk.key(KeyCode::Enter), [Effect::Keep(Keep::Theme("paper".into()))]);
}

#[test]
fn what_cannot_be_done_is_said_and_can_be_changed() {
    for (command, told) in [
        ("steps 0", "1 would do"),
        ("size 100x100", "multiple of 16"),
        ("model other", "there is nano"),
        ("seed x", "seed"),
        ("theme other", "there are dark, light"),
    ] {
        let mut desk = opened(command);
        let before = desk.state.parameters.text(FieldName::Steps).to_owned();
        assert_eq!(desk.key(KeyCode::Enter), [], "{command}");
        let wrong = desk.state.palette.wrong().unwrap_or_default().to_owned();
        assert!(wrong.contains(told), "{command}: {wrong}");
        assert_eq!(field(&desk, FieldName::Steps), before);
        desk.key(KeyCode::Backspace);
        assert_eq!(desk.state.palette.wrong(), None);
        assert_eq!(desk.state.palette.text().len() + 1, command.len());
    }
}

#[test]
fn a_commands_name_is_completed_by_enter() {
    let mut desk = opened("guida");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.state.palette.text(), "guidance ");
    desk.type_text("4");
    desk.key(KeyCode::Enter);
    assert_eq!(field(&desk, FieldName::Guidance), "4");
}

#[test]
fn a_paste_and_the_mouse_work_there() {
    let mut desk = opened("");
    desk.event(Event::Input(Input::Paste { text: "steps\n9".into(), dropped: 0 }));
    assert_eq!(desk.state.palette.text(), "steps9");
    desk.control('u');
    let click = |row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Event::Input(Input::Mouse(MouseEvent { kind, column: 20, row, modifiers: KeyModifiers::NONE }))
    };
    desk.event(click(4));
    assert_eq!(desk.state.palette.chosen(99), 1);
    desk.event(click(29));
    assert!(!desk.state.palette.is_open());
}
