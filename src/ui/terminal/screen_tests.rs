//! What is written of a frame: only what changed, pictures beside text, and in pieces on a slow line.

use std::num::NonZeroU16;

use ratatui::buffer::CellDiffOption;

use super::part::HALVES;
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
    screen.hold(Holds::Pictures);
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

/// A picture of kitty's at (5, 0): two rows of placeholders of four cells.
fn with_picture(text: &str, id: u8, payload: &str) -> Frame {
    let mut frame = frame(text, Some(Position::new(1, 0)));
    for row in 0..2 {
        for x in 5..9 {
            frame.buffer[(x, row)].set_diff_option(CellDiffOption::Skip);
        }
        let sent = format!("\x1b_Ga=T,U=1,i={id},c=4,r=2,f=100,q=2,m=0;{payload}\x1b\\");
        let cell = &mut frame.buffer[(5, row)];
        cell.set_symbol(&format!(
            "{}[placeholders {id} row {row}]",
            if row == 0 { sent.as_str() } else { "" }
        ));
        cell.set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
    }
    frame
}

const ROOM: Option<usize> = Some(300);

fn begin(screen: &mut Screen, frame: Frame) -> String {
    String::from_utf8(screen.begin(frame, ROOM).expect("memory can be written")).expect("UTF-8")
}

fn more(screen: &mut Screen) -> String {
    String::from_utf8(screen.more(ROOM).expect("memory can be written")).expect("UTF-8")
}

/// A screen on which only `text` is.
fn known(text: &str) -> Screen {
    let mut screen = Screen::default();
    bytes(&mut screen, frame(text, Some(Position::new(1, 0))));
    screen
}

/// The rest of the frame, and what each part of it was.
fn rest(screen: &mut Screen) -> Vec<String> {
    let mut parts = Vec::new();
    while screen.is_behind() {
        parts.push(more(screen));
        assert!(parts.len() < 100, "it comes to an end");
    }
    parts
}

fn payload(parts: &[String]) -> String {
    let data = |piece: &str| piece.split_once(';').map(|(_, data)| data.to_owned());
    let pieces = |part: &String| -> String {
        let graphics = part.split("\x1b_G").skip(1).filter_map(|piece| piece.split("\x1b\\").next());
        graphics.filter_map(data).collect()
    };
    parts.iter().map(pieces).collect()
}

#[test]
fn a_key_stands_between_two_pieces_of_a_picture_that_is_shown_when_it_is_there() {
    let data = "abcd".repeat(300);
    let mut screen = known("text");
    let mut parts = vec![begin(&mut screen, with_picture("text", 7, &data))];
    parts.push(more(&mut screen));
    assert!(parts[0].contains("a=T,U=1,i=7,c=4,r=2,f=100,q=2,m=1;abcd"), "{:?}", parts[0]);
    assert!(parts[1].starts_with("\x1b_Gq=2,m=1;") && !parts[1].contains("2026"), "{:?}", parts[1]);
    screen.hold(Holds::Pictures);
    let key = begin(&mut screen, with_picture("tExt", 7, &data));
    assert!(key.contains('E') && !key.contains("\x1b_G") && screen.is_behind(), "{key:?}");
    parts.extend(rest(&mut screen));
    assert_eq!(payload(&parts), data);
    let (last, before) = parts.split_last().expect("there are some");
    assert!(before.iter().all(|part| !part.contains("placeholders") && !part.contains("m=0")));
    assert!(last.contains("m=0;") && last.contains("row 0") && last.contains("row 1"), "{last:?}");
    assert!(parts.iter().all(|part| part.len() < 500));
    assert_eq!(begin(&mut screen, with_picture("tExt", 7, &data)), "");
    assert_eq!(screen.is_sending(), None);
}

#[test]
fn a_newer_preview_waits_until_the_one_that_was_begun_is_shown() {
    let mut screen = known("text");
    let mut parts = vec![begin(&mut screen, with_picture("text", 7, &"abcd".repeat(300)))];
    parts.push(begin(&mut screen, with_picture("text", 8, &"efgh".repeat(300))));
    // One that has not begun is not sent at all.
    parts.push(begin(&mut screen, with_picture("text", 9, &"ijkl".repeat(300))));
    parts.extend(rest(&mut screen));
    assert_eq!(payload(&parts), "abcd".repeat(300) + &"ijkl".repeat(300));
    let all = parts.concat();
    let at = |text: &str| all.find(text).unwrap_or_else(|| panic!("no {text} in {all:?}"));
    assert!(at("placeholders 7 row 1") < at("i=9,") && at("i=9,") < at("placeholders 9 row 0"));
}

#[test]
fn a_picture_that_is_not_wanted_any_more_is_ended_before_anything_else() {
    let end = "\x1b_Gq=2,m=0;\x1b\\";
    let data = "abcd".repeat(300);
    let mut screen = known("text");
    begin(&mut screen, with_picture("text", 7, &data));
    assert_eq!(screen.is_sending(), Some(false));
    let without = begin(&mut screen, frame("text", Some(Position::new(1, 0))));
    assert_eq!((without.as_str(), screen.is_sending()), (end, None));
    // So are those whose place is gone, and those of a screen of which nothing is known.
    begin(&mut screen, with_picture("text", 7, &data));
    screen.forget();
    assert!(begin(&mut screen, with_picture("text", 7, &data)).starts_with(end));
    screen.forget_pictures();
    assert!(begin(&mut screen, with_picture("text", 7, &data)).starts_with(end));
    // A large one is not waited for.
    let mut screen = known("text");
    begin(&mut screen, with_picture("text", 7, &"abcd".repeat(20_000)));
    let other = begin(&mut screen, with_picture("text", 8, &data));
    assert!(other.starts_with(end) && other.contains("i=8,"), "{other:?}");
    // Through tmux each is wrapped, and so is the end.
    let wrapped = |id| {
        let mut frame = with_picture("text", id, &data);
        let symbol = frame.buffer[(5, 0)].symbol().to_owned();
        let (sent, behind) = symbol.split_once("\x1b\\").expect("a transmission");
        let sent = crate::ui::terminal::tmux::wrapped(&format!("{sent}\x1b\\"));
        frame.buffer[(5, 0)].set_symbol(&(sent + behind));
        frame
    };
    let mut screen = known("text");
    begin(&mut screen, wrapped(7));
    assert_eq!(screen.is_sending(), Some(true));
    assert_eq!(
        begin(&mut screen, frame("text", Some(Position::new(1, 0)))),
        crate::ui::terminal::tmux::wrapped(end)
    );
}

#[test]
fn on_a_line_that_is_fast_again_the_rest_comes_at_once() {
    let data = "abcd".repeat(300);
    let mut screen = known("text");
    let first = begin(&mut screen, with_picture("text", 7, &data));
    let all = bytes(&mut screen, with_picture("text", 7, &data));
    assert_eq!(payload(&[first, all.clone()]), data);
    assert!(all.contains("row 0") && all.contains("row 1") && !screen.is_behind(), "{all:?}");
}

#[test]
fn halves_of_cells_come_a_few_at_a_time_behind_what_is_typed_and_all_of_them_in_the_end() {
    let size = Size::new(40, 10);
    let picture = |letter: char| {
        let mut frame = Frame::empty(size);
        for (x, y) in (10..40).flat_map(|x| (0..10).map(move |y| (x, y))) {
            let shade = ratatui::style::Color::Rgb(x as u8, y as u8, 9);
            frame.buffer[(x, y)]
                .set_symbol(HALVES)
                .set_fg(shade)
                .set_bg(ratatui::style::Color::Rgb(9, x as u8, 1));
        }
        frame.buffer[(0, 5)].set_char(letter);
        frame.cursor = Some(Position::new(1, 5));
        frame
    };
    let mut screen = Screen::default();
    bytes(&mut screen, Frame { cursor: Some(Position::new(1, 5)), ..Frame::empty(size) });
    let first = begin(&mut screen, picture('a'));
    assert!(
        first.find('a').is_some_and(|at| first.find(HALVES).is_some_and(|halves| at < halves)),
        "{first:?}"
    );
    screen.hold(Holds::Pictures);
    let key = begin(&mut screen, picture('b'));
    assert!(key.contains('b') && !key.contains(HALVES), "{key:?}");
    let parts = rest(&mut screen);
    assert!(parts.iter().all(|part| part.len() < 500) && parts.len() > 10, "{}", parts.len());
    let written: usize = std::iter::once(&first).chain(&parts).map(|part| part.matches(HALVES).count()).sum();
    assert_eq!(written, 300, "each cell once");
    assert_eq!(bytes(&mut screen, picture('b')), "");
}

#[test]
fn wide_characters_are_never_half_known() {
    let texts = ["画画画画画画画画", "aaaaaaaaaaaaaaaa", " 画 画 画 画 画 ", "画a画a画a画a画a"];
    let mut screen = Screen::default();
    let mut terminal = vt100::Parser::new(2, 20, 0);
    for text in texts.iter().cycle().take(12) {
        let mut part = screen.begin(frame(text, None), Some(30)).expect("memory can be written");
        loop {
            terminal.process(&part);
            if !screen.is_behind() {
                break;
            }
            part = screen.more(Some(30)).expect("memory can be written");
        }
        let row = terminal.screen().rows(0, 20).next().expect("a row");
        assert_eq!(row.trim_end(), text.trim_end());
    }
}

#[test]
fn what_cannot_be_divided_waits_on_a_slow_line_until_nobody_types() {
    let with = |text: &str| {
        let mut frame = frame(text, Some(Position::new(1, 0)));
        frame.buffer[(5, 1)].set_symbol(&format!("\x1bP{}\x1b\\", "p".repeat(2000)));
        frame.buffer[(5, 1)].set_diff_option(CellDiffOption::ForcedWidth(NonZeroU16::MIN));
        frame
    };
    let mut screen = known("text");
    screen.hold(Holds::Whole);
    let first = begin(&mut screen, with("tExt"));
    assert!(first.contains('E') && !first.contains("pp"), "{first:?}");
    assert!(screen.waits_for_rest() && !screen.is_behind(), "nothing else is left");
    assert!(more(&mut screen).contains("ppp") && !screen.waits_for_rest());
    // What can be divided comes while somebody types.
    let mut screen = known("text");
    let mut parts = vec![begin(&mut screen, with_picture("text", 7, &"abcd".repeat(300)))];
    while screen.is_behind() {
        screen.hold(Holds::Whole);
        parts.push(more(&mut screen));
        assert!(parts.len() < 20, "it comes to an end");
    }
    assert_eq!(payload(&parts), "abcd".repeat(300));
    // Nobody waits for what a line carries at once.
    let mut screen = known("text");
    screen.hold(Holds::Whole);
    assert!(bytes(&mut screen, with("text")).contains("ppp"));
}
