//! Who holds what of a card, measured beside planned: with the screen to itself and in the small pane.

use crossterm::event::KeyCode::{Char, Tab};

use super::*;
use crate::device::{Owner, Share};

fn shares(all: &[(Owner, u64)]) -> Vec<Share> {
    all.iter().map(|(owner, bytes)| Share { owner: *owner, bytes: *bytes }).collect()
}

/// A card of 12 GiB on which a model is drawn with; `planned` is what its engine says.
fn on_a_card(state: &mut State, columns: u16, rows: u16, planned: &[(Owner, u64)]) {
    busy(state, window(columns, rows));
    let owners = shares(&[
        (Owner::Transformer, 6_390_000_000),
        (Owner::Streamed, 453_000_000),
        (Owner::Vae, 99_000_000),
        (Owner::Activations, 410_000_000),
        (Owner::Loras, 21_000_000),
    ]);
    let gpu = Gpu {
        name: "RTX 3060".into(),
        total: 12 << 30,
        used: 9 << 30,
        ours: Some(8_000_000_000),
        owners,
        ..Gpu::default()
    };
    let readings = Readings { gpus: vec![gpu], ..fake::readings(0) };
    take(state, Event::News(News::Event(message::Event::Readings(readings))));
    let memory = Some("41 of 57 blocks, 7.9 GB".to_owned());
    let engine = message::EngineStatus { device: Device::Cuda(0), memory, ..fake::engine() };
    state.worker.engines = vec![message::EngineStatus { shares: shares(planned), ..engine }];
}

const PLANNED: [(Owner, u64); 6] = [
    (Owner::Transformer, 6_400_000_000),
    (Owner::Streamed, 453_000_000),
    (Owner::Encoders, 250_000_000),
    (Owner::Vae, 100_000_000),
    (Owner::Activations, 450_000_000),
    (Owner::Context, 620_000_000),
];

#[test]
fn measured_and_planned_by_owner() {
    for (language, end) in [(Language::English, ""), (Language::Chinese, "_zh")] {
        let mut state = State { language, ..fresh(false) };
        on_a_card(&mut state, 100, 30, &PLANNED);
        insta::assert_snapshot!(format!("owners_small{end}_100x30"), screen(&state));
        for code in [Tab, Char('M')] {
            take(&mut state, Event::Input(Input::Key(code.into())));
        }
        insta::assert_snapshot!(format!("owners_alone{end}_100x30"), screen(&state));
    }
}

#[test]
fn what_is_measured_is_told_without_a_plan_and_a_plan_without_what_is_measured() {
    let mut state = fresh(true);
    on_a_card(&mut state, 100, 30, &[]);
    for code in [Tab, Char('M')] {
        take(&mut state, Event::Input(Input::Key(code.into())));
    }
    let told = screen(&state);
    assert!(
        told.contains("# transformer 6.4 GB  = streamed 453.0 MB") && !told.contains("measured/"),
        "{told}"
    );
    let gpu = Gpu { total: 12 << 30, used: 9 << 30, ours: Some(8 << 30), ..Gpu::default() };
    let readings = Readings { gpus: vec![gpu], ..fake::readings(0) };
    take(&mut state, Event::News(News::Event(message::Event::Readings(readings))));
    state.worker.engines[0].shares = shares(&PLANNED);
    let told = screen(&state);
    assert!(told.contains("# transformer 6.4 GB  = streamed 453.0 MB  % encoders 250.0 MB"), "{told}");
}
