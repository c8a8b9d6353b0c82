//! Seeds and snippets, over the panes.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::config::snippets::{Snippet, built_in};
use crate::job::{PictureId, Rating, TriedSeed};

fn press(state: &mut State, code: KeyCode, modifiers: KeyModifiers) {
    take(state, Event::Input(Input::Key(KeyEvent::new(code, modifiers))));
}

#[test]
fn seeds_with_what_is_said_of_them() {
    for (mut state, window, end) in studios(false, &[]) {
        busy(&mut state, window);
        seeds(&mut state);
        insta::assert_snapshot!(format!("seeds{end}"), screen(&state));
    }
}

/// Opens the seeds, with some in them.
fn seeds(state: &mut State) {
    state.view.focus = Pane::Parameters;
    press(state, KeyCode::Char('s'), KeyModifiers::NONE);
    let seed = |seed: u64, rating: u8, favourite, trashed| TriedSeed {
        seed,
        rating: Rating::try_from(rating).expect("it is one"),
        favourite,
        picture: PictureId(1),
        path: "/home/某人/pictures/2026-01-02/000001-0-7.png".into(),
        missing: rating == 2,
        trashed,
        model: ModelName::new("nano"),
        size: Size::new(128, 192).expect("a size"),
        finished_at: 0,
    };
    let seeds =
        vec![seed(7, 5, true, false), seed(1_839_202_211, 2, false, false), seed(u64::MAX, 0, false, true)];
    let prompt = Prompt::new(state.prompt.editor.text()).expect("text");
    take(state, Event::Answer(Answer::Seeds { prompt, result: Ok(seeds) }));
}

#[test]
fn snippets_with_their_words() {
    for (mut state, window, end) in studios(false, &[]) {
        busy(&mut state, window);
        snippets(&mut state);
        insta::assert_snapshot!(format!("snippets{end}"), screen(&state));
    }
}

/// Opens the snippets, with one more than there are.
fn snippets(state: &mut State) {
    press(state, KeyCode::Char('s'), KeyModifiers::ALT);
    let mut snippets = vec![Snippet { name: "水墨".into(), text: "ink wash, 留白".into(), own: true }];
    snippets.extend(built_in());
    take(state, Event::Snippets(snippets, Vec::new()));
    press(state, KeyCode::Down, KeyModifiers::NONE);
}
