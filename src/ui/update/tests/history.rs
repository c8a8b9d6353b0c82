//! Journeys through the history.

use super::*;

#[test]
fn history_restores_all_or_only_the_seed_and_undo_brings_the_idea_back() {
    let mut desk = with_history();
    desk.key(KeyCode::Down);
    desk.key(KeyCode::Char('s'));
    assert_eq!(desk.state.prompt.editor.text(), "another idea");
    assert_eq!(desk.state.parameters.settings().expect("right").seed, Seed::Fixed(22));
    desk.state.view.focus = Pane::History;
    desk.key(KeyCode::End);
    desk.key(KeyCode::Enter);
    assert_eq!((desk.state.prompt.editor.text(), desk.state.view.focus), ("pear", Pane::Prompt));
    assert_eq!(desk.state.parameters.settings().expect("right").seed, Seed::Fixed(11));
    desk.press(KeyCode::Char('_'), KeyModifiers::CONTROL);
    assert_eq!(desk.state.prompt.editor.text(), "another idea");
}

#[test]
fn looking_at_the_history_is_not_disturbed_by_what_is_drawn() {
    let mut desk = with_history();
    desk.key(KeyCode::Down);
    assert_eq!(desk.state.preview.wanted(), Some(Subject::Picture(PictureId(2))));
    desk.worker(message::Event::Preview(preview(9, 1)));
    assert_eq!(desk.state.preview.wanted(), Some(Subject::Picture(PictureId(2))));
    desk.control('r');
    assert!(
        matches!(desk.state.preview.wanted(), Some(Subject::Preview { .. })),
        "drawing follows what is drawn"
    );
}
