//! The picker of models, and a fetch as it is seen without it.

use crossterm::event::KeyCode::{self, Char, Down, Enter, F};
use crossterm::event::{KeyEvent, KeyModifiers};

use super::*;
use crate::wire::message::{FetchState, ModelFetch};

fn press(state: &mut State, keys: &[KeyCode]) {
    for key in keys {
        take(state, Event::Input(Input::Key((*key).into())));
    }
}

/// Opens or closes the picker, with models in it.
pub(super) fn open(state: &mut State, open: bool) {
    if state.models.is_open() != open {
        press(state, &[F(2)]);
        take(state, Event::Answer(Answer::Models(Ok(fake::models()))));
    }
}

fn fetched(state: &mut State, model: &str, now: FetchState) {
    let fetch = ModelFetch { model: ModelName::new(model), state: now };
    take(state, Event::News(News::Event(message::Event::Fetch(fetch))));
}

fn each_size(name: &str, prepare: impl Fn(&mut State)) {
    for (mut state, window, end) in studios(false, &[]) {
        empty(&mut state, window);
        open(&mut state, true);
        prepare(&mut state);
        insta::assert_snapshot!(format!("{name}{end}"), screen(&state));
    }
}

#[test]
fn every_model_with_what_there_is_of_it() {
    each_size("models", |state| press(state, &[Down]));
}

#[test]
fn the_question_before_a_fetch() {
    each_size("models_question", |state| press(state, &[Down, Enter]));
}

#[test]
fn a_fetch_that_runs_one_that_waits_and_one_that_failed() {
    each_size("models_fetching", |state| {
        let running = fake::fetching("flux1-dev", 4_100_000_000, 34_172_000_000);
        take(state, Event::News(News::Event(message::Event::Fetch(running))));
        fetched(state, "flux1-schnell", FetchState::Waiting);
        let reason =
            "ms:MAILAND/majicflus_v1/it.safetensors: there is no such file at https://www.modelscope.cn";
        fetched(state, "majicflus_v1", FetchState::Failed { reason: reason.into() });
        press(state, &[Down]);
    });
}

#[test]
fn a_filter_and_what_is_wrong_with_a_persons_own() {
    each_size("models_filtered", |state| press(state, &[Char('Y'), Char('o'), Char('u'), Char('r')]));
}

fn control(state: &mut State, letter: char) {
    let key = KeyEvent::new(Char(letter), KeyModifiers::CONTROL);
    take(state, Event::Input(Input::Key(key)));
}

#[test]
fn a_check_that_runs_and_one_that_found_something() {
    each_size("models_checking", |state| {
        let running = fake::checking("flux1-schnell", 4_100_000_000, 34_172_000_000);
        take(state, Event::News(News::Event(message::Event::Check(running))));
        take(state, Event::News(News::Event(message::Event::Check(fake::checked("flux1-dev", 2, 1)))));
        press(state, &[Down]);
    });
    each_size("models_checked", |state| {
        take(state, Event::News(News::Event(message::Event::Check(fake::checked("nano", 3, 0)))));
    });
}

#[test]
fn the_question_before_a_removal() {
    each_size("models_removal", |state| {
        press(state, &[Down]);
        let (model, result) = (ModelName::new("flux1-dev"), Ok(Box::new(fake::removal("flux1-dev"))));
        take(state, Event::Answer(Answer::RemovalPlanned { model, result }));
    });
}

#[test]
fn what_a_model_is_and_where() {
    for (name, key) in [("models_what", 'o'), ("models_where", 'w')] {
        each_size(name, |state| {
            press(state, &[Down]);
            take(state, Event::News(News::Event(message::Event::Check(fake::checked("flux1-dev", 1, 1)))));
            control(state, key);
            let (model, result) = (ModelName::new("flux1-dev"), Ok(Box::new(fake::details("flux1-dev"))));
            take(state, Event::Answer(Answer::ModelDetails { model, result }));
        });
    }
}

#[test]
fn a_fetch_is_in_the_first_line_alone_and_beside_a_picture() {
    let mut state = fresh(false);
    empty(&mut state, window(100, 30));
    let running = fake::fetching("flux1-dev", 4_100_000_000, 34_172_000_000);
    take(&mut state, Event::News(News::Event(message::Event::Fetch(running.clone()))));
    let first = |state: &State| screen(state).lines().next().unwrap_or_default().to_owned();
    assert!(first(&state).contains("● fetching flux1-dev 11 % · 5 min left"), "{}", first(&state));
    busy(&mut state, window(160, 40));
    take(&mut state, Event::News(News::Event(message::Event::Fetch(running))));
    assert!(first(&state).contains("drawing 14/20"), "{}", first(&state));
    assert!(first(&state).contains("· fetching flux1-dev 11 % · 5 min left"), "{}", first(&state));
}

#[test]
fn a_model_that_has_come_is_news_and_no_error() {
    let mut state = fresh(false);
    empty(&mut state, window(80, 24));
    fetched(&mut state, "flux1-dev", FetchState::Done);
    let screen = screen(&state);
    assert!(screen.contains("● flux1-dev is here and can be drawn with"), "{screen}");
}
