//! Journeys without a connection: it is lost, waited for, and made again.

use super::*;
use crate::ui::state::Link;

fn lost(desk: &mut Desk) {
    let retry_at = desk.now + Duration::from_secs(30);
    desk.event(Event::News(News::Down { reason: "the line broke".into(), retry_at }));
}

#[test]
fn losing_the_worker_counts_down_and_coming_back_asks_anew() {
    let mut desk = Desk::connected();
    let retry_at = desk.now + Duration::from_millis(2500);
    desk.event(Event::News(News::Down { reason: "it ended".into(), retry_at }));
    assert!(desk.state.deadline().is_some_and(|due| due <= desk.now + Duration::from_millis(500)));
    desk.later(2500);
    assert_eq!(desk.state.deadline(), None, "nothing is left to count");
    let effects = desk.event(Event::News(News::Connected(Box::new(snapshot()))));
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Ask(Question::Count { .. }))),
        "{effects:?}"
    );
}

#[test]
fn while_it_is_waited_for_a_key_tries_at_once_and_in_the_prompt_r_stays_a_letter() {
    let mut desk = Desk::connected();
    assert_eq!(desk.key(KeyCode::F(5)), [], "there is a connection");
    lost(&mut desk);
    assert_eq!(desk.key(KeyCode::F(5)), [Effect::Hurry]);
    desk.key(KeyCode::Char('r'));
    assert_eq!(desk.state.prompt.editor.text(), "r");
    for _ in Pane::ALL {
        desk.key(KeyCode::Tab);
        let hurried = desk.key(KeyCode::Char('r')) == [Effect::Hurry];
        assert_eq!(hurried, desk.state.view.focus != Pane::Prompt, "{:?}", desk.state.view.focus);
    }
    desk.event(Event::News(News::Connecting));
    assert_eq!(desk.state.worker.link, Link::Connecting);
    assert_eq!(desk.key(KeyCode::F(5)), [], "it is being tried");
}

#[test]
fn a_worker_of_another_version_is_asked_to_make_room_on_a_key() {
    let mut desk = Desk::connected();
    let retry_at = desk.now + Duration::from_secs(30);
    desk.event(Event::News(News::Down { reason: "the worker is the older".into(), retry_at }));
    desk.key(KeyCode::Tab);
    assert_eq!(desk.key(KeyCode::Char('x')), [Effect::Replace]);
    desk.event(Event::Answer(Answer::Replaced(Ok(1))));
    let said = loras::notice(&desk);
    assert!(said.contains("finishes 1 job, then the next is of this version"), "{said}");
}
