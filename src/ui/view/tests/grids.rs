//! The form of a grid and its contact sheet, in both languages.

use crossterm::event::KeyCode::{Char, Down, Enter, Right};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::job::grid::{Cell, Grid, GridId};
use crate::ui::effect::{Effect, Question};
use crate::wire::grids::{GridRequest, GridResponse};

fn press(state: &mut State, code: KeyCode) -> Vec<Effect> {
    take(state, Event::Input(Input::Key(code.into())))
}

fn open(state: &mut State) {
    paste(state, ", a {red|blue} coat");
    take(state, Event::Input(Input::Key(KeyEvent::new(Char('a'), KeyModifiers::ALT))));
    for key in [Down, Right, Right] {
        press(state, key);
    }
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
fn both_axes_and_what_they_come_to() {
    each_size("grid_form", |_| {});
}

#[test]
fn what_is_wrong_with_an_axis() {
    each_size("grid_wrong", |state| ",900".chars().for_each(|typed| drop(press(state, Char(typed)))));
}

#[test]
fn the_sheet_that_fills_up() {
    each_size("grid_sheet", |state| {
        let effects = press(state, Enter);
        let asked = effects.iter().find_map(|effect| match effect {
            Effect::Ask(Question::Grids(asked @ GridRequest::Draw(order))) => {
                Some((asked.clone(), order.clone()))
            }
            _ => None,
        });
        let (asked, order) = asked.expect("it is asked for");
        let cell = Cell { job: JobId(50), state: JobState::Queued, picture: None, path: None };
        let cells = vec![cell; order.cells()];
        let grid = Grid { id: GridId(3), order: *order, seed: 7, asked_at: 0, cells, sheet: None };
        take(state, Event::Answer(Answer::Grids { asked, result: Ok(GridResponse::Grid(Box::new(grid))) }));
        let asked = GridRequest::Sheet { grid: GridId(3), side: None };
        let sheet = GridResponse::Sheet(bytes::Bytes::from_static(b"a png"));
        let effects = take(state, Event::Answer(Answer::Grids { asked, result: Ok(sheet) }));
        encode(state, &effects);
    });
}
