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
    let mut state = fresh(false);
    busy(&mut state, window(80, 24));
    state.view.focus = Pane::Parameters;
    press(&mut state, KeyCode::Char('s'), KeyModifiers::NONE);
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
    take(&mut state, Event::Answer(Answer::Seeds { prompt, result: Ok(seeds) }));
    insta::assert_snapshot!("seeds_80x24", screen(&state));
}

#[test]
fn snippets_with_their_words() {
    let mut state = fresh(false);
    busy(&mut state, window(80, 24));
    press(&mut state, KeyCode::Char('s'), KeyModifiers::ALT);
    let mut snippets = vec![Snippet { name: "水墨".into(), text: "ink wash, 留白".into(), own: true }];
    snippets.extend(built_in());
    take(&mut state, Event::Snippets(snippets, Vec::new()));
    press(&mut state, KeyCode::Down, KeyModifiers::NONE);
    insta::assert_snapshot!("snippets_80x24", screen(&state));
}
