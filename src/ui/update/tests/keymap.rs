//! The keymap as it is used: everything within reach, and a person's own keys.

use std::path::Path;

use super::*;
use crate::ui::keymap::{Chord, Context, Keymap};

/// Keys that mean something here: each may lead to another place.
fn ways(here: &[Context]) -> Vec<Chord> {
    let keymap = Keymap::default();
    let open = here.iter().flat_map(|context| keymap.of(*context));
    open.filter_map(|line| line.keys.first().copied()).collect()
}

/// Desks from which a place is sought, with something in the prompt: with a worker, with none, and with pictures.
fn desks() -> [fn() -> Desk; 3] {
    fn with() -> Desk {
        let mut desk = Desk::connected();
        desk.type_text("a fox");
        desk
    }
    fn without() -> Desk {
        let mut desk = with();
        let retry_at = desk.now + Duration::from_secs(30);
        desk.event(Event::News(News::Down { reason: "the line broke".into(), retry_at }));
        desk.state.notices.connection(None);
        desk
    }
    [gallery::desk, with, without]
}

/// What may be pressed next, after so many keys at most from the prompt: contexts that were seen.
fn reached(depth: usize) -> Vec<Vec<Context>> {
    let mut seen = Vec::new();
    for desk in desks() {
        let mut before: Vec<Vec<Chord>> = vec![Vec::new()];
        for _ in 0..=depth {
            let mut next = Vec::new();
            for path in before {
                let mut desk = desk();
                path.iter().for_each(|chord: &Chord| drop(desk.press(chord.code, chord.modifiers)));
                let here = contexts(&desk.state);
                // A way to where one has been already leads nowhere new.
                if seen.contains(&here) && !path.is_empty() {
                    continue;
                }
                next.extend(ways(&here).into_iter().map(|way| [path.clone(), vec![way]].concat()));
                seen.push(here);
            }
            before = next;
        }
    }
    seen
}

#[test]
fn every_action_is_three_keys_away_at_most() {
    let keymap = Keymap::default();
    let places = reached(2);
    for line in keymap.lines() {
        let near = places.iter().any(|contexts| {
            let key = KeyEvent::new(line.keys[0].code, line.keys[0].modifiers);
            contexts.contains(&line.context) && keymap.lookup(contexts, &key) == Some(line.action)
        });
        assert!(near, "{} in {:?} takes more than three keys", line.action.name(), line.context);
    }
}

#[test]
fn a_persons_own_keys_act_are_hinted_at_and_stand_in_the_help() {
    let mut desk = Desk::connected();
    let text = "[everywhere]\nmodels = \"F12\"\n[prompt]\ndraw = \"Ctrl-g\"\n";
    let (keys, problems) = Keymap::parse(text, Path::new("keymap.toml"));
    assert_eq!(problems, []);
    desk.state.keys = keys;
    desk.type_text("a red apple");
    assert_eq!(desk.key(KeyCode::F(2)), []);
    desk.key(KeyCode::F(12));
    assert!(desk.state.models.is_open());
    desk.key(KeyCode::Esc);
    desk.key(KeyCode::Enter);
    assert_eq!(desk.state.queue.jobs().len(), 0, "Enter has no meaning left");
    assert_eq!(submitted(&desk.control('g')).prompt.as_str(), "a red apple");
    let shown = |desk: &Desk| {
        let frame = crate::ui::view::draw(&desk.state);
        frame.buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect::<String>()
    };
    assert!(shown(&desk).contains("^G draw"), "{}", shown(&desk));
    desk.key(KeyCode::F(1));
    assert!(shown(&desk).contains("F12") && !shown(&desk).contains("F2 "), "{}", shown(&desk));
}

#[test]
fn the_memory_of_models_is_given_back_on_a_key() {
    let mut desk = Desk::connected();
    desk.key(KeyCode::Tab);
    assert_eq!(desk.key(KeyCode::Char('u')), [Effect::Ask(Question::Free)]);
    desk.event(Event::Answer(Answer::Freed(Err("the line broke".into()))));
    let said = loras::notice(&desk);
    assert!(said.contains("could not be let go of: the line broke"), "{said}");
}
