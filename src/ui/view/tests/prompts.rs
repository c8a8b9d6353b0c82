//! The prompts of the library, over the panes.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::job::{DrawnPrompt, LastDrawn, PictureId, PromptQuery, Rating};

fn press(state: &mut State, code: KeyCode, modifiers: KeyModifiers) {
    take(state, Event::Input(Input::Key(KeyEvent::new(code, modifiers))));
}

fn prompt(id: i64, words: &str, pictures: u64) -> DrawnPrompt {
    let mut best = fake::picture(id, &job(words, id, JobState::Done), 0, 1_839_202_000 + id as u64);
    best.marks.favourite = id % 3 == 0;
    best.marks.rating = Rating::try_from(u8::try_from(id % 6).unwrap_or(0)).expect("it is one");
    DrawnPrompt { best, pictures, last: LastDrawn { at: -id, picture: PictureId(id) } }
}

/// Opens the prompts, with some in them.
pub(super) fn open(state: &mut State) {
    press(state, KeyCode::Char('r'), KeyModifiers::CONTROL);
    let long = "a harbour at dawn, ".repeat(40);
    let words = ["red fox, snow", "一只红苹果在木桌上，柔和的光", &long, "a\nb <lora:ink:0.8>"];
    let page = (20..).zip(words).map(|(id, words)| prompt(id, words, id as u64 % 4)).collect();
    take(state, Event::Answer(Answer::Prompts { query: PromptQuery::default(), result: Ok(page) }));
}

fn each_size(name: &str, prepare: impl Fn(&mut State)) {
    for (mut state, window, end) in studios(false, SMALL) {
        busy(&mut state, window);
        open(&mut state);
        prepare(&mut state);
        insta::assert_snapshot!(format!("{name}{end}"), screen(&state));
    }
}

#[test]
fn every_prompt_with_its_best_picture() {
    each_size("prompts", |state| press(state, KeyCode::Down, KeyModifiers::NONE));
}

#[test]
fn those_that_letters_find() {
    each_size("prompts_found", |state| {
        "hrbr".chars().for_each(|typed| press(state, KeyCode::Char(typed), KeyModifiers::NONE));
    });
}

#[test]
fn none_that_letters_find() {
    let mut state = fresh(true);
    busy(&mut state, window(80, 24));
    open(&mut state);
    "zzz".chars().for_each(|typed| press(&mut state, KeyCode::Char(typed), KeyModifiers::NONE));
    insta::assert_snapshot!("prompts_none_80x24", screen(&state));
}
