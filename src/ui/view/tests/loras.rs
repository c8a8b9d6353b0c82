//! The picker of LoRAs, and the draft's list in the parameters.

use crossterm::event::KeyCode::{self, Char, Down, Enter, F, Left};
use crossterm::event::{KeyEvent, KeyModifiers};

use super::*;
use crate::job::LoraChoice;
use crate::ui::pane::drafted::Drafted;
use crate::wire::loras::LoraList;

fn press(state: &mut State, keys: &[KeyCode]) {
    for key in keys {
        take(state, Event::Input(Input::Key((*key).into())));
    }
}

fn control(state: &mut State, letter: char) {
    take(state, Event::Input(Input::Key(KeyEvent::new(Char(letter), KeyModifiers::CONTROL))));
}

fn each_size(name: &str, list: &LoraList, prepare: impl Fn(&mut State)) {
    for (mut state, window, end) in studios(false, &[]) {
        empty(&mut state, window);
        press(&mut state, &[F(3)]);
        take(&mut state, Event::Answer(Answer::Loras(Ok(Some(list.clone())))));
        prepare(&mut state);
        insta::assert_snapshot!(format!("{name}{end}"), screen(&state));
    }
}

#[test]
fn every_lora_with_how_much_of_it_the_draft_has() {
    each_size("loras", &fake::loras(), |state| {
        press(state, &[Enter, Left, Left, Left, Left, Down, Down, Enter]);
        control(state, 't');
        press(state, &[KeyCode::Up, KeyCode::Up]);
    });
}

#[test]
fn a_filter_and_a_lora_of_another_model() {
    each_size("loras_filtered", &fake::loras(), |state| {
        press(state, &[Char('x'), Char('l')]);
    });
}

#[test]
fn what_is_in_no_folder_is_told() {
    each_size("loras_lost", &LoraList { left_out: 3, ..fake::loras() }, |state| {
        let gone = LoraChoice::new("/gone/mist.safetensors", 0.5).expect("a name");
        state.loras.draft(Drafted::of([gone]));
    });
}

#[test]
fn what_they_hold_of_a_card_is_told_beside_its_memory() {
    let mut state = fresh(false);
    busy(&mut state, window(120, 40));
    let gpu = Gpu { name: "NVIDIA H200".into(), total: 12 << 30, used: 9 << 30, ..Gpu::default() };
    let readings = Readings { gpus: vec![Gpu { ours: Some(8 << 30), ..gpu }], ..fake::readings(0) };
    take(&mut state, Event::News(News::Event(message::Event::Readings(readings))));
    let engine = |loras| message::EngineStatus { loras, ..fake::engine() };
    take(&mut state, Event::News(News::Event(message::Event::Engine(engine(18_900_000)))));
    for (columns, rows) in [(80, 24), (120, 40)] {
        take(&mut state, Event::Resized(window(columns, rows)));
        assert!(screen(&state).contains("  LoRAs 18.9 MB"), "{}", screen(&state));
    }
    take(&mut state, Event::Resized(window(160, 48)));
    let told = screen(&state);
    assert!(told.contains("worker 8.0  others 1.0  free 3.0 GB  LoRAs 18.9 MB"), "{told}");
    take(&mut state, Event::News(News::Event(message::Event::Engine(engine(0)))));
    assert!(!screen(&state).contains("LoRAs"));
}

#[test]
fn before_there_are_any() {
    let mut state = fresh(false);
    empty(&mut state, window(80, 24));
    press(&mut state, &[F(3)]);
    assert!(screen(&state).contains("looking for LoRAs"), "{}", screen(&state));
    take(&mut state, Event::Answer(Answer::Loras(Ok(Some(LoraList::default())))));
    assert!(screen(&state).contains("put safetensors files into"), "{}", screen(&state));
}

#[test]
fn the_parameters_have_them_in_one_row_or_in_their_title() {
    let lora = |name, strength| LoraChoice::new(name, strength).expect("a name");
    let plain = (fresh(true), window(64, 40), "_64x40".to_owned());
    for (mut state, window, end) in studios(false, SMALL).chain([plain]) {
        empty(&mut state, window);
        let mut drafted = Drafted::of([lora("styles/ink", 0.8), lora("soft", 0.5), lora("a-third", -1.0)]);
        drafted.switch(1);
        state.loras.draft(drafted);
        insta::assert_snapshot!(format!("parameters{end}"), screen(&state));
    }
}
