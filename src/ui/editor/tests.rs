//! The editor: graphemes, wide characters, wrap, undo, limits.

use proptest::prelude::*;

use super::*;

fn editor(text: &str, width: usize) -> Editor {
    let mut editor = Editor::default();
    editor.set_room(width, 4);
    editor.insert(text);
    editor
}

fn rows(editor: &Editor) -> Vec<&str> {
    editor.rows.all().iter().map(|row| &editor.text[row.start..row.end]).collect()
}

#[test]
fn words_wrap_at_spaces_and_long_words_inside() {
    assert_eq!(rows(&editor("a red apple on a table", 10)), ["a red ", "apple on a ", "table"]);
    assert_eq!(rows(&editor("abcdefghij", 4)), ["abcd", "efgh", "ij"]);
    assert_eq!(rows(&editor("one\n\ntwo\n", 10)), ["one", "", "two", ""]);
}

#[test]
fn chinese_wraps_anywhere_and_never_beyond_the_width() {
    let editor = editor("一只红色的苹果放在木桌上", 9);
    assert_eq!(rows(&editor), ["一只红色", "的苹果放", "在木桌上"]);
}

#[test]
fn the_cursor_moves_by_whole_graphemes() {
    let mut editor = editor("e\u{301}👩‍👩‍👧字", 20);
    let mut stops = vec![editor.cursor()];
    while editor.cursor() > 0 {
        editor.move_to(Motion::Left);
        stops.push(editor.cursor());
    }
    assert_eq!(stops.len(), 4, "three graphemes have four places around them: {stops:?}");
    editor.delete(Motion::Right);
    assert_eq!(editor.text(), "👩‍👩‍👧字");
}

#[test]
fn word_motions_cross_punctuation_and_lines() {
    let mut editor = editor("neon alley, rain\nlow light", 40);
    editor.move_to(Motion::TextStart);
    let mut stops = Vec::new();
    for _ in 0..6 {
        editor.move_to(Motion::WordRight);
        stops.push(editor.cursor());
    }
    assert_eq!(stops, [4, 10, 16, 17, 20, 26]);
    editor.delete(Motion::WordLeft);
    assert_eq!(editor.text(), "neon alley, rain\nlow ");
}

#[test]
fn up_and_down_keep_the_column_across_a_short_row() {
    let mut editor = editor("a long line\nx\nanother line", 40);
    editor.move_to(Motion::TextStart);
    for _ in 0..6 {
        editor.move_to(Motion::Right);
    }
    editor.move_to(Motion::Down);
    editor.move_to(Motion::Down);
    assert_eq!(editor.cursor_cell().0, 6);
}

#[test]
fn the_cursor_is_always_in_view() {
    let mut editor = editor(&"many words in this line ".repeat(40), 17);
    let motions =
        [Motion::TextStart, Motion::PageDown, Motion::Down, Motion::TextEnd, Motion::PageUp, Motion::Up];
    for motion in motions {
        editor.move_to(motion);
        let (column, row) = editor.cursor_cell();
        assert!(column <= 17 && row < 4, "{motion:?} left it at {column}, {row}");
    }
}

#[test]
fn undo_goes_back_word_by_word_and_redo_returns() {
    let mut editor = Editor::default();
    editor.set_room(40, 3);
    for letter in "red apple".chars() {
        editor.insert(&letter.to_string());
    }
    assert!(editor.undo());
    assert_eq!(editor.text(), "red ");
    assert!(editor.undo());
    assert_eq!(editor.text(), "");
    assert!(!editor.undo());
    assert!(editor.redo() && editor.redo());
    assert_eq!(editor.text(), "red apple");
    assert!(!editor.redo());
}

#[test]
fn undo_brings_back_what_a_restore_replaced() {
    let mut editor = editor("half a thought", 40);
    editor.set_text("an old prompt");
    assert!(editor.undo());
    assert_eq!(editor.text(), "half a thought");
}

#[test]
fn backspaces_are_undone_together() {
    let mut editor = editor("apple", 40);
    for _ in 0..5 {
        editor.delete(Motion::Left);
    }
    editor.undo();
    assert_eq!(editor.text(), "apple");
}

#[test]
fn control_characters_and_line_ends_are_tamed() {
    let editor = editor("a\r\nb\rc\td\u{1b}[31me\u{0}", 40);
    assert_eq!(editor.text(), "a\nb\nc d[31me");
}

#[test]
fn the_limit_is_kept_and_what_is_left_out_is_counted() {
    let mut editor = Editor::default();
    editor.set_room(60, 4);
    assert_eq!(editor.insert(&"字".repeat(PROMPT_BYTES / 3)), LeftOut { bytes: 0 });
    let left_out = editor.insert("苹果");
    assert_eq!(editor.text().len() + left_out.bytes, PROMPT_BYTES / 3 * 3 + 6);
    assert!(editor.text().len() <= PROMPT_BYTES);
}

#[test]
fn a_click_puts_the_cursor_on_the_cell() {
    let mut editor = editor("字字字 abc", 20);
    editor.move_to_cell(3, 0);
    assert_eq!(editor.cursor(), 3, "the second half of a wide character is that character");
    editor.move_to_cell(19, 0);
    assert_eq!(editor.cursor(), editor.text().len());
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab ]{0,9}",
        "[字果\n ]{0,5}",
        Just("e\u{301}".to_owned()),
        Just("🍎".to_owned()),
        "[a-z]{10,30}"
    ]
}

proptest! {
    #[test]
    fn edits_wrap_as_if_wrapped_anew_and_undo_to_the_beginning(
        width in 1_usize..24,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..6, piece()), 1..25),
    ) {
        let mut editor = Editor::default();
        editor.set_room(width, 3);
        for (place, deleted, inserted) in &edits {
            let row = place.index(editor.rows.all().len());
            editor.scroll = row;
            editor.move_to_cell(place.index(width + 1), 0);
            for _ in 0..*deleted {
                editor.delete(Motion::Right);
            }
            editor.insert(inserted);
            prop_assert_eq!(&editor.rows, &Rows::wrap(&editor.text, width), "{:?}", editor.text);
            let (column, row) = editor.cursor_cell();
            prop_assert!(column <= width && row < 3);
        }
        while editor.undo() {}
        prop_assert_eq!(editor.text(), "");
        while editor.redo() {}
        prop_assert_eq!(&editor.rows, &Rows::wrap(&editor.text, width));
    }
}
