//! The views in Chinese: no size panics, nothing of the studio's own words is cut in a usual window, columns are even.

use crossterm::event::KeyCode::{Char, Down, F, Tab};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use unicode_width::UnicodeWidthStr;

use super::*;

/// What can be opened over the panes.
type Open = fn(&mut State);

const OPEN: [Open; 11] = [
    |_| {},
    |state| press(state, &[F(1), Down]),
    |state| picker::open(state, true),
    |state| press(state, &[F(3)]),
    prompts::open,
    |state| press(state, &[F(8)]),
    |state| press(state, &[F(9)]),
    |state| press(state, &[F(7)]),
    |state| press(state, &[Tab, Char('M')]),
    |state| press(state, &[Tab, Char('z')]),
    |state| {
        take(state, Event::Input(Input::Key(KeyEvent::new(Char('x'), KeyModifiers::ALT))));
        press(state, &[Char('尺'), Char('寸')]);
    },
];

fn press(state: &mut State, keys: &[KeyCode]) {
    for key in keys {
        take(state, Event::Input(Input::Key((*key).into())));
    }
}

fn chinese() -> State {
    State { language: Language::Chinese, ..fresh(false) }
}

#[test]
fn no_size_panics_in_chinese() {
    for open in OPEN {
        let mut state = chinese();
        busy(&mut state, window(100, 30));
        state
            .notices
            .error("没有足够的显存：2048×2048 需要 9.1 GB，现有 8 GB，1024×1024 可以，或降低模型的精度");
        open(&mut state);
        for columns in (0..220).step_by(7) {
            for rows in (0..70).step_by(3) {
                take(&mut state, Event::Resized(window(columns, rows)));
                let frame = draw(&state);
                let inside = frame.cursor.is_none_or(|cursor| frame.buffer.area.contains(cursor));
                assert!(inside, "{columns}x{rows}: {:?}", frame.cursor);
            }
        }
    }
}

/// Where a list's border lies over the second half of a character, no half of it is left.
#[test]
fn no_character_is_split_by_what_lies_over_it() {
    for open in OPEN {
        for columns in 60..140 {
            let mut state = chinese();
            busy(&mut state, window(columns, 30));
            paste(&mut state, "一只红色的苹果放在木桌上，窗外下着雨，电影感的低光，胶片颗粒，三十五毫米镜头");
            open(&mut state);
            let frame = draw(&state);
            for cells in frame.buffer.content.windows(2) {
                let wide = cells[0].symbol().width() > 1;
                assert!(!wide || cells[1].symbol() == " ", "{columns}: {:?}", [&cells[0], &cells[1]]);
            }
        }
    }
}

/// The panes by themselves, in the smallest usual window: only what comes from outside may be cut.
#[test]
fn nothing_of_the_panes_is_cut_at_80x24() {
    for focus in Pane::ALL {
        let mut state = chinese();
        empty(&mut state, window(80, 24));
        state.view.focus = focus;
        let screen = screen(&state);
        let cut = screen.lines().filter(|line| line.contains('…'));
        assert_eq!(cut.collect::<Vec<_>>(), [""; 0], "{screen}");
        for word in
            ["提示词", "参数", "内存", "队列 0", "历史", "预览", "就绪", "步数", "引导", "种子", "张数"]
        {
            assert!(screen.contains(word), "{word} is not in\n{screen}");
        }
    }
}

/// A Chinese label is as wide as a blank-padded English one, so the values stand below each other.
#[test]
fn values_of_the_parameters_stand_in_one_column() {
    let mut state = chinese();
    busy(&mut state, window(200, 60));
    let frame = draw(&state);
    let area = state.layout().areas().expect("there is room").parameters;
    let column = |text: &str| {
        let row = (area.y..area.bottom()).find(|row| frame.buffer[(area.x + 2, *row)].symbol() == text);
        let row = row.unwrap_or_else(|| panic!("no row begins with {text}"));
        (area.x + 6..area.right()).find(|column| frame.buffer[(*column, row)].symbol() != " ")
    };
    let size = column("尺");
    assert!(size.is_some() && [column("模"), column("种")] == [size; 2], "{}", screen(&state));
}
