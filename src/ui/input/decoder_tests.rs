//! The decoder: what each sequence is, and that neither splits nor noise can upset it.

use crossterm::event::{MouseButton, MouseEventKind};
use proptest::prelude::*;

use super::*;
use crate::ui::input::Report;

fn decode(bytes: &[u8]) -> Vec<Input> {
    let mut out = Vec::new();
    Decoder::default().feed(bytes, &mut out);
    out
}

fn decode_then_quiet(bytes: &[u8]) -> Vec<Input> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    decoder.feed(bytes, &mut out);
    decoder.quiet(&mut out);
    assert!(!decoder.is_waiting(), "silence settles everything");
    out
}

fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Vec<Input> {
    vec![key(code, modifiers)]
}

#[test]
fn letters_and_control_keys() {
    assert_eq!(decode(b"a"), pressed(KeyCode::Char('a'), KeyModifiers::NONE));
    assert_eq!(decode(b"A"), pressed(KeyCode::Char('A'), KeyModifiers::SHIFT));
    assert_eq!(decode(b"\r"), pressed(KeyCode::Enter, KeyModifiers::NONE));
    assert_eq!(decode(b"\n"), pressed(KeyCode::Char('j'), KeyModifiers::CONTROL));
    assert_eq!(decode(b"\x7f"), pressed(KeyCode::Backspace, KeyModifiers::NONE));
    assert_eq!(decode(b"\x1f"), pressed(KeyCode::Char('_'), KeyModifiers::CONTROL));
    assert_eq!(decode(b"\x00"), pressed(KeyCode::Char(' '), KeyModifiers::CONTROL));
}

#[test]
fn arrows_with_modifiers_in_every_dialect() {
    assert_eq!(decode(b"\x1b[A"), pressed(KeyCode::Up, KeyModifiers::NONE));
    assert_eq!(decode(b"\x1bOA"), pressed(KeyCode::Up, KeyModifiers::NONE));
    assert_eq!(decode(b"\x1b[1;5C"), pressed(KeyCode::Right, KeyModifiers::CONTROL));
    assert_eq!(decode(b"\x1b[1;3D"), pressed(KeyCode::Left, KeyModifiers::ALT));
    assert_eq!(decode(b"\x1b\r"), pressed(KeyCode::Enter, KeyModifiers::ALT));
    assert_eq!(decode(b"\x1b[13;2u"), pressed(KeyCode::Enter, KeyModifiers::SHIFT));
    assert_eq!(decode(b"\x1b[27;5;13~"), pressed(KeyCode::Enter, KeyModifiers::CONTROL));
    assert_eq!(decode(b"\x1b[[A"), pressed(KeyCode::F(1), KeyModifiers::NONE));
    assert_eq!(decode(b"\x1bOP"), pressed(KeyCode::F(1), KeyModifiers::NONE));
    assert_eq!(decode(b"\x1b[3~"), pressed(KeyCode::Delete, KeyModifiers::NONE));
    assert_eq!(decode(b"\x1b[Z"), pressed(KeyCode::BackTab, KeyModifiers::SHIFT));
}

#[test]
fn chinese_and_emoji_are_one_key_each() {
    assert_eq!(
        decode("红🍎".as_bytes()),
        [key(KeyCode::Char('红'), KeyModifiers::NONE), key(KeyCode::Char('🍎'), KeyModifiers::NONE)]
    );
}

#[test]
fn silence_makes_an_escape_the_key_and_an_opened_sequence_alt() {
    assert_eq!(decode_then_quiet(b"\x1b"), pressed(KeyCode::Esc, KeyModifiers::NONE));
    assert_eq!(decode_then_quiet(b"\x1b["), pressed(KeyCode::Char('['), KeyModifiers::ALT));
    assert_eq!(decode_then_quiet(b"\x1bO"), pressed(KeyCode::Char('O'), KeyModifiers::ALT));
    assert_eq!(decode_then_quiet(b"\x1b]"), pressed(KeyCode::Char(']'), KeyModifiers::ALT));
    assert_eq!(decode_then_quiet(b"\x1b[1;"), [], "half a sequence is never a key");
    assert_eq!(decode_then_quiet(b"\x1bP>|kit"), [], "half a report is never a key");
}

#[test]
fn reports_are_reports() {
    let report = |bytes: &[u8]| match &decode(bytes)[..] {
        [Input::Report(report)] => report.clone(),
        other => panic!("{other:?} is not one report"),
    };
    assert_eq!(report(b"\x1b[?62;4;22c"), Report::Attributes(vec![62, 4, 22]));
    assert_eq!(report(b"\x1bP>|kitty(0.35.2)\x1b\\"), Report::Version("kitty(0.35.2)".into()));
    assert_eq!(report(b"\x1b_Gi=31;OK\x1b\\"), Report::KittyGraphics(true));
    assert_eq!(report(b"\x1b_Gi=31;ENOTSUP:no\x1b\\"), Report::KittyGraphics(false));
    assert_eq!(report(b"\x1b[6;20;10t"), Report::CellPixels { width: 10, height: 20 });
    assert_eq!(report(b"\x1b[4;600;800t"), Report::AreaPixels { width: 800, height: 600 });
    assert_eq!(report(b"\x1b]11;rgb:1c1c/ffff/0000\x07"), Report::Background([0x1c, 0xff, 0]));
    assert_eq!(report(b"\x1b]11;rgb:f/0/8\x1b\\"), Report::Background([0xff, 0, 0x88]));
    assert_eq!(report(b"\x1b[?2026;2$y"), Report::Mode { mode: 2026, state: 2 });
}

#[test]
fn a_report_between_typed_keys_takes_none_of_them() {
    let inputs = decode(b"re\x1bP>|XTerm(379)\x1b\\d\x1b[?64;4c!");
    let typed: String = inputs
        .iter()
        .filter_map(|input| match input {
            Input::Key(key) => key.code.as_char(),
            _ => None,
        })
        .collect();
    assert_eq!(typed, "red!");
    assert_eq!(inputs.len(), 6);
}

#[test]
fn mouse_in_both_forms() {
    let Input::Mouse(event) = &decode(b"\x1b[<0;11;6M")[0] else { panic!("no mouse event") };
    assert_eq!((event.kind, event.column, event.row), (MouseEventKind::Down(MouseButton::Left), 10, 5));
    let Input::Mouse(event) = &decode(b"\x1b[<65;1;1M")[0] else { panic!("no mouse event") };
    assert_eq!(event.kind, MouseEventKind::ScrollDown);
    let Input::Mouse(event) = &decode(b"\x1b[M !!")[0] else { panic!("no mouse event") };
    assert_eq!((event.kind, event.column, event.row), (MouseEventKind::Down(MouseButton::Left), 0, 0));
}

#[test]
fn a_paste_is_one_input_with_its_escapes_inside() {
    assert_eq!(
        decode(b"\x1b[200~two\rlines \x1b[20 \x1b\x1b[201~x"),
        [
            Input::Paste { text: "two\rlines \x1b[20 \x1b".into(), dropped: 0 },
            key(KeyCode::Char('x'), KeyModifiers::NONE)
        ]
    );
}

#[test]
fn a_paste_beyond_the_limit_is_cut_between_characters_and_says_so() {
    let mut bytes = b"\x1b[200~".to_vec();
    bytes.extend("字".repeat(PROMPT_BYTES / 3 + 10).as_bytes());
    bytes.extend(PASTE_END);
    let [Input::Paste { text, dropped }] = &decode(&bytes)[..] else { panic!("no paste") };
    assert!(text.len() <= PROMPT_BYTES && text.chars().all(|found| found == '字'), "{}", text.len());
    assert_eq!(*dropped, (PROMPT_BYTES / 3 + 10) * 3 - PROMPT_BYTES);
}

#[test]
fn endless_sequences_are_dropped_and_memory_stays_bounded() {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for opening in [&b"\x1b["[..], b"\x1b]", b"\x1bP", b"\x1b_"] {
        decoder.feed(opening, &mut out);
        decoder.feed(&b"0".repeat(100_000), &mut out);
        assert!(decoder.held.len() <= STRING_BYTES);
        decoder.feed(b"\x1b\\", &mut out);
        decoder.feed(b"k", &mut out);
    }
    let typed = out.iter().filter(|input| **input == key(KeyCode::Char('k'), KeyModifiers::NONE)).count();
    assert_eq!((typed, out.len()), (4, 4), "only the keys typed after each");
}

/// Bytes that are likelier than chance to be escapes, openings, ends and digits.
fn nasty_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => any::<u8>(),
        3 => prop::sample::select(b"\x1b[]OPM_\\;?<>$~u0126cRt\x07\x18".to_vec()),
    ];
    let piece = prop_oneof![
        8 => prop::collection::vec(byte, 0..12),
        1 => Just(b"\x1b[200~".to_vec()),
        1 => Just(PASTE_END.to_vec()),
        1 => Just("é红🍎".as_bytes().to_vec()),
        1 => Just(b"\x1bP>|kitty(0.35)\x1b\\".to_vec()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_inputs(bytes in nasty_bytes(), cuts in prop::collection::vec(0_usize..400, 0..8)) {
        let whole = decode(&bytes);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let (mut decoder, mut split) = (Decoder::default(), Vec::new());
        for pair in cuts.windows(2) {
            decoder.feed(&bytes[pair[0]..pair[1]], &mut split);
        }
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn after_any_noise_and_silence_a_key_is_a_key(bytes in nasty_bytes()) {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        decoder.feed(&bytes, &mut out);
        decoder.quiet(&mut out);
        out.clear();
        decoder.feed(b"k", &mut out);
        prop_assert_eq!(out, pressed(KeyCode::Char('k'), KeyModifiers::NONE));
    }
}
