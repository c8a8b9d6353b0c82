//! What lies over the panes or takes their room: palette, themes, log, one box alone, the first lines.

use crossterm::event::KeyCode::{Char, Down, F, Tab};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::device::{Owner, Share};
use crate::ui::arrangement::Arrangement;

fn press(state: &mut State, keys: &[KeyCode]) {
    for key in keys {
        take(state, Event::Input(Input::Key((*key).into())));
    }
}

fn type_text(state: &mut State, text: &str) {
    text.chars().for_each(|letter| press(state, &[Char(letter)]));
}

fn palette(state: &mut State, text: &str) {
    let open = KeyEvent::new(Char('x'), KeyModifiers::ALT);
    take(state, Event::Input(Input::Key(open)));
    type_text(state, text);
}

fn each_size(name: &str, prepare: impl Fn(&mut State)) {
    for (mut state, window, end) in studios(false, &[]) {
        busy(&mut state, window);
        prepare(&mut state);
        insta::assert_snapshot!(format!("{name}{end}"), screen(&state));
    }
}

#[test]
fn the_palette_with_what_was_typed() {
    each_size("palette", |state| palette(state, "seed"));
}

#[test]
fn a_command_that_is_wrong() {
    each_size("palette_wrong", |state| {
        palette(state, "steps 5000");
        press(state, &[KeyCode::Enter]);
    });
}

#[test]
fn the_themes_over_the_left_edge() {
    each_size("themes", |state| press(state, &[F(9), Down, Down]));
}

#[test]
fn the_log_with_times() {
    each_size("log", |state| {
        let time = "2026-03-01T15:04:05[UTC]".parse().expect("a time");
        state.log.set_clock(state.now, time);
        state.notices.warn("/config/keymap.toml, line 3: \"x\" is drop-job in [queue] already, by line 2");
        state.notices.tell("flux1-dev is here and can be drawn with");
        let reason = "no memory for 2048×2048 within 8 GiB; 1024×1024 would fit".into();
        let failed = job("too large", 44, JobState::Failed { reason });
        take(state, Event::News(News::Event(message::Event::Job(failed))));
        press(state, &[F(8)]);
    });
}

#[test]
fn the_picture_the_history_and_the_prompt_alone() {
    each_size("alone_picture", |state| {
        press(state, &[F(7)]);
        let rgb = fake::pixels(16, 16, 99).into_raw().into();
        let preview = Preview::new(JobId(41), 2, 15, (16, 16), rgb).expect("the length fits");
        state.now += Duration::from_secs(1);
        let effects = take(state, Event::News(News::Event(message::Event::Preview(preview))));
        encode(state, &effects);
    });
    each_size("alone_history", |state| press(state, &[KeyCode::BackTab, Char('z')]));
    each_size("alone_parameters", |state| press(state, &[Tab, Char('z')]));
}

#[test]
fn layouts_by_hand() {
    for layout in [Arrangement::Tall, Arrangement::Small] {
        // The smallest window has room for neither.
        for (mut state, window, end) in studios(false, &[]).filter(|(_, window, _)| window.columns > 80) {
            busy(&mut state, window);
            state.view.kept.layout = layout;
            take(&mut state, Event::Tick);
            insta::assert_snapshot!(format!("layout_{layout}{end}"), screen(&state));
        }
    }
}

#[test]
fn the_first_lines() {
    for (mut state, window, end) in studios(false, &[]) {
        state.view.tour = true;
        empty(&mut state, window);
        insta::assert_snapshot!(format!("tour{end}"), screen(&state));
    }
}

/// Whatever lies over the panes, in any window: no panic, and a cursor inside it.
#[test]
fn no_size_panics_with_anything_over_the_panes() {
    let opened: [fn(&mut State); 5] = [
        |state| palette(state, "steps 0"),
        |state| press(state, &[F(9)]),
        |state| press(state, &[F(8)]),
        |state| press(state, &[F(7)]),
        |state| press(state, &[Tab, Char('M')]),
    ];
    for open in opened {
        let mut state = fresh(false);
        busy(&mut state, window(100, 30));
        open(&mut state);
        for columns in (0..220).step_by(7) {
            for rows in 0..70 {
                take(&mut state, Event::Resized(window(columns, rows)));
                let frame = draw(&state);
                let inside = frame.cursor.is_none_or(|cursor| frame.buffer.area.contains(cursor));
                assert!(inside, "{columns}x{rows}: {:?}", frame.cursor);
            }
        }
    }
}

#[test]
fn memory_alone_of_two_cards_and_of_a_machine_without_any() {
    each_size("alone_memory", |state| press(state, &[Tab, Char('M')]));
    let mut state = fresh(false);
    busy(&mut state, window(100, 30));
    for step in 0..40_u64 {
        let gpu = |index: u32, used: u64| Gpu {
            index,
            name: "NVIDIA H200".into(),
            total: 12 << 30,
            used: used << 28,
            ours: Some(8 << 30),
            utilisation: Some((step * 2) as u32),
            temperature: Some(40 + step as u32),
            power: (index == 0).then_some(90.0 + step as f32),
            owners: Vec::new(),
        };
        let readings = Readings { gpus: vec![gpu(0, 33 + step / 4), gpu(1, 33)], ..fake::readings(0) };
        take(&mut state, Event::News(News::Event(message::Event::Readings(readings))));
    }
    let memory = Some("41 of 57 blocks, 7.9 GB".to_owned());
    let shares = [
        (Owner::Transformer, 6_500_000_000),
        (Owner::Streamed, 453_000_000),
        (Owner::Vae, 100_000_000),
        (Owner::Activations, 450_000_000),
        (Owner::Context, 620_000_000),
    ];
    let shares = shares.map(|(owner, bytes)| Share { owner, bytes }).into();
    let engine = message::EngineStatus { device: Device::Cuda(0), memory, shares, ..fake::engine() };
    state.worker.engines = vec![engine];
    press(&mut state, &[Tab, Char('v'), Char('v'), Char('v'), Char('M')]);
    insta::assert_snapshot!("alone_memory_cards_100x30", screen(&state));
    state.language = Language::Chinese;
    insta::assert_snapshot!("alone_memory_cards_zh_100x30", screen(&state));
}
