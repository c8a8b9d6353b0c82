//! What is written of a frame: only what changed, pictures beside text, and in pieces on a slow line.

use std::num::NonZeroU16;

use ratatui::buffer::CellDiffOption;

use super::*;

fn frame(text: &str, cursor: Option<Position>) -> Frame {
    let mut frame = Frame::empty(Size::new(20, 2));
    frame.buffer.set_string(0, 0, text, ratatui::style::Style::new());
    frame.cursor = cursor;
    frame
}

fn bytes(screen: &mut Screen, frame: Frame) -> String {
    String::from_utf8(screen.bytes(frame).expect("memory can be written")).expect("UTF-8")
}

#[test]
fn the_first_frame_clears_the_second_writes_only_what_changed_the_third_nothing() {
    let mut screen = Screen::default();
    let cursor = Some(Position::new(3, 0));
    let first = bytes(&mut screen, frame("a red apple", cursor));
    assert!(first.contains("\x1b[2J") && first.contains("apple"), "{first:?}");
    let second = bytes(&mut screen, frame("a red maple", cursor));
    assert!(second.contains("ma") && !second.contains("red") && !second.contains("\x1b[2J"), "{second:?}");
    assert!(second.starts_with("\x1b[?2026h") && second.ends_with("\x1b[?2026l"), "{second:?}");
    assert_eq!(bytes(&mut screen, frame("a red maple", cursor)), "");
    let moved = bytes(&mut screen, frame("a red maple", Some(Position::new(4, 0))));
    assert!(moved.contains("\x1b[1;5H"), "{moved:?}");
}

#[test]
fn pixels_that_move_or_go_clear_the_screen_and_those_that_change_do_not() {
    let mut screen = Screen::default();
    let with = |x, number| {
        let pixels = vec![Pixels { area: Rect::new(x, 0, 4, 1), number }];
        Frame { pixels, ..frame("text", None) }
    };
    bytes(&mut screen, with(2, 1));
    assert!(!bytes(&mut screen, with(2, 2)).contains("\x1b[2J"));
    assert!(bytes(&mut screen, with(3, 3)).contains("\x1b[2J"));
    assert!(bytes(&mut screen, frame("text", None)).contains("\x1b[2J"));
    assert_eq!(bytes(&mut screen, frame("text", None)), "");
}

#[test]
fn one_picture_of_several_that_goes_clears_the_screen() {
    let mut screen = Screen::default();
    let with = |places: &[u16]| {
        let pixels = |x: &u16| Pixels { area: Rect::new(*x, 0, 2, 1), number: 1 };
        Frame { pixels: places.iter().map(pixels).collect(), ..frame("text", None) }
    };
    bytes(&mut screen, with(&[2, 6]));
    assert!(!bytes(&mut screen, with(&[2, 6, 9])).contains("\x1b[2J"));
    assert!(bytes(&mut screen, with(&[2, 9])).contains("\x1b[2J"));
}

#[test]
fn many_pictures_come_with_several_frames_and_text_with_the_first() {
    let mut screen = Screen::default();
    let many = || {
        let mut frame = frame("text", None);
        for x in 5..9 {
            let cell = &mut frame.buffer[(x, 1)];
            cell.set_symbol(&format!("{x}{}", "p".repeat(FRAME_PICTURES / 2 - 9)));
            cell.set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
        }
        frame
    };
    let first = bytes(&mut screen, many());
    assert!(first.contains("text") && screen.is_behind());
    assert!(first.len() < FRAME_PICTURES + 500, "{}", first.len());
    let second = bytes(&mut screen, many());
    assert!(!second.contains("text") && !screen.is_behind());
    assert!(first.contains("5p") && first.contains("6p") && !first.contains("7p"));
    assert!(second.contains("7p") && second.contains("8p") && !second.contains("6p"));
    assert_eq!(bytes(&mut screen, many()), "");
    assert!(!screen.is_behind());
}

#[test]
fn a_picture_that_is_larger_than_a_frames_share_comes_whole() {
    let mut screen = Screen::default();
    let mut large = frame("text", None);
    large.buffer[(5, 1)].set_symbol(&"p".repeat(FRAME_PICTURES * 3));
    assert!(bytes(&mut screen, large).len() > FRAME_PICTURES * 3 && !screen.is_behind());
}

#[test]
fn what_is_typed_goes_before_a_picture() {
    let mut screen = Screen::default();
    let with = || {
        let mut frame = frame("text", None);
        frame.buffer[(5, 1)].set_symbol(&"p".repeat(PICTURE * 2));
        frame.buffer[(5, 1)].set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
        frame
    };
    screen.hold_pictures();
    let first = bytes(&mut screen, with());
    assert!(first.contains("text") && !first.contains("pp") && screen.is_behind());
    assert!(bytes(&mut screen, with()).contains("pp") && !screen.is_behind());
}

#[test]
fn lost_pictures_are_written_again_alone() {
    let mut screen = Screen::default();
    let with = || {
        let mut frame = frame("text", None);
        frame.buffer[(5, 1)].set_symbol("\x1bPqpicture\x1b\\");
        frame.buffer[(5, 1)].set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
        Frame { pixels: vec![Pixels { area: Rect::new(5, 1, 4, 1), number: 1 }], ..frame }
    };
    bytes(&mut screen, with());
    assert_eq!(bytes(&mut screen, with()), "");
    screen.forget_pictures();
    let again = bytes(&mut screen, with());
    assert!(again.contains("picture") && !again.contains("text") && !again.contains("\x1b[2J"), "{again:?}");
    assert_eq!(bytes(&mut screen, with()), "");
}

#[test]
fn a_screen_that_was_forgotten_is_written_whole() {
    let mut screen = Screen::default();
    bytes(&mut screen, frame("text", None));
    screen.forget();
    assert!(bytes(&mut screen, frame("text", None)).contains("text"));
}
