//! The picture of the LoRA under the cursor, in the picker.

use bytes::Bytes;
use crossterm::event::KeyCode::{Char, Down, F};

use super::*;
use crate::ui::effect::Question;

fn key(state: &mut State, code: crossterm::event::KeyCode) -> Vec<Effect> {
    take(state, Event::Input(Input::Key(code.into())))
}

/// The picker is open over LoRAs of which the first has a picture, which has come.
fn opened(state: &mut State, columns: u16, rows: u16) {
    take(state, Event::News(News::Connected(Box::new(snapshot(Vec::new(), 0)))));
    take(state, Event::Resized(window(columns, rows)));
    key(state, F(3));
    let effects = take(state, Event::Answer(Answer::Loras(Ok(Some(fake::pictured_loras())))));
    let asked = effects.iter().find_map(|effect| match effect {
        Effect::Ask(Question::LoraPicture(key)) => Some(key.clone()),
        _ => None,
    });
    if let Some(key) = asked {
        let result = Ok(Some(Bytes::from_static(b"a picture")));
        let effects = take(state, Event::Answer(Answer::LoraPicture { key, result }));
        encode(state, &effects);
    }
}

#[test]
fn beside_the_list_where_there_is_room() {
    for language in [Language::English, Language::Chinese] {
        for (columns, rows) in [(80, 24), (120, 40), (200, 60)] {
            let mut state = State { language, ..fresh(false) };
            opened(&mut state, columns, rows);
            let end = if language == Language::Chinese { "_zh" } else { "" };
            insta::assert_snapshot!(format!("lora_picture{end}_{columns}x{rows}"), screen(&state));
        }
    }
}

/// A picture is cells with a background up to the border; the chosen row ends with what the LoRA takes.
fn is_seen(state: &State) -> bool {
    screen(state).contains(":::::::::::::::: │")
}

#[test]
fn none_where_there_is_none_or_something_lies_over_it() {
    let mut state = fresh(false);
    opened(&mut state, 120, 40);
    assert!(is_seen(&state));
    key(&mut state, Down);
    assert!(!is_seen(&state), "the next one has none");
    key(&mut state, crossterm::event::KeyCode::Up);
    assert!(is_seen(&state), "it is still there");
    key(&mut state, F(1));
    assert!(!is_seen(&state), "the help lies over it");
    let mut small = fresh(false);
    opened(&mut small, 60, 20);
    assert!(!is_seen(&small), "there is no room");
    key(&mut small, Char('i'));
}
