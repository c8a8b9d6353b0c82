//! Journeys through grids: the form, what it asks for, and the contact sheet while it fills up.

use super::*;
use crate::job::grid::{Cell, Grid, GridCell, GridId, GridOrder};
use crate::ui::pane::overlay::Overlay;
use crate::wire::grids::{GridRequest, GridResponse};

fn alt_a(desk: &mut Desk) -> Vec<Effect> {
    desk.press(KeyCode::Char('a'), KeyModifiers::ALT)
}

fn grids(effects: &[Effect]) -> Vec<GridRequest> {
    let asked = |effect: &Effect| match effect {
        Effect::Ask(Question::Grids(asked)) => Some(asked.clone()),
        _ => None,
    };
    effects.iter().filter_map(asked).collect()
}

fn ordered(effects: &[Effect]) -> GridOrder {
    match &grids(effects)[..] {
        [GridRequest::Draw(order)] => (**order).clone(),
        other => panic!("not one grid: {other:?}"),
    }
}

/// The grid of an order, of which nothing is drawn.
fn grid(id: i64, order: GridOrder) -> Grid {
    let cell =
        |at: usize| Cell { job: JobId(at as i64 + 1), state: JobState::Queued, picture: None, path: None };
    let cells = (0..order.cells()).map(cell).collect();
    Grid { id: GridId(id), order, seed: 7, asked_at: 0, cells, sheet: None }
}

fn answer(desk: &mut Desk, asked: GridRequest, result: Result<GridResponse, String>) -> Vec<Effect> {
    desk.event(Event::Answer(Answer::Grids { asked, result }))
}

/// A studio that has asked for a grid of three guidances, and the grid.
fn drawn() -> (Desk, Grid, Vec<Effect>) {
    let mut desk = Desk::connected();
    desk.type_text("a fox");
    alt_a(&mut desk);
    let effects = desk.key(KeyCode::Enter);
    let asked = grids(&effects).remove(0);
    let grid = grid(3, ordered(&effects));
    let effects = answer(&mut desk, asked, Ok(GridResponse::Grid(Box::new(grid.clone()))));
    (desk, grid, effects)
}

#[test]
fn a_form_with_usual_values_is_two_keys_from_a_grid() {
    let mut desk = Desk::connected();
    desk.type_text("a fox");
    assert!(grids(&alt_a(&mut desk)).is_empty());
    let order = ordered(&desk.key(KeyCode::Enter));
    assert_eq!(order.axes()[0].values(), ["2", "3.5", "5"]);
    assert_eq!((order.to_string(), order.cells()), ("guidance".to_owned(), 3));
    assert_eq!((order.job.prompt.as_str(), order.job.count()), ("a fox", 1));
}

#[test]
fn both_axes_are_chosen_and_typed_by_keys() {
    let mut desk = Desk::connected();
    desk.type_text("a {red|blue} fox");
    alt_a(&mut desk);
    // The choice of the prompt is first; down to the second axis, and there to guidance and on to steps.
    desk.key(KeyCode::Down);
    for _ in 0..3 {
        desk.key(KeyCode::Right);
    }
    desk.key(KeyCode::Down);
    for _ in 0.."4..20/4".len() {
        desk.key(KeyCode::Backspace);
    }
    desk.type_text("1..2");
    let order = ordered(&desk.key(KeyCode::Enter));
    assert_eq!(order.to_string(), "prompt:{red|blue} × steps");
    assert_eq!((order.columns(), order.rows()), (2, 2));
    assert_eq!(desk.state.prompt.editor.text(), "a {red|blue} fox", "no letter went into the prompt");
}

#[test]
fn what_is_wrong_is_not_asked_for_and_the_form_stays() {
    let mut desk = Desk::connected();
    desk.type_text("a fox");
    alt_a(&mut desk);
    desk.type_text(",900");
    assert!(grids(&desk.key(KeyCode::Enter)).is_empty());
    assert!(matches!(desk.state.overlay, Overlay::Grid(_)));
    for _ in 0..4 {
        desk.key(KeyCode::Backspace);
    }
    assert_eq!(ordered(&desk.key(KeyCode::Enter)).cells(), 3);
    desk.key(KeyCode::Esc);
    assert!(!desk.state.overlay.is_open());
}

#[test]
fn without_a_prompt_or_a_worker_there_is_no_form() {
    let mut desk = Desk::connected();
    alt_a(&mut desk);
    assert!(!desk.state.overlay.is_open() && desk.state.notices.current().is_some());
    let mut desk = Desk::new();
    desk.type_text("a fox");
    alt_a(&mut desk);
    assert!(!desk.state.overlay.is_open() && desk.state.notices.current().is_some());
}

#[test]
fn the_sheet_is_asked_for_at_once_and_again_with_each_cell_one_at_a_time() {
    let (mut desk, grid, effects) = drawn();
    let sheet = GridRequest::Sheet { grid: grid.id, side: Some(1024) };
    assert_eq!(grids(&effects), std::slice::from_ref(&sheet));
    assert!(!desk.state.overlay.is_open());
    let over = |id, cell| {
        let job = grid.order.job.clone().of_cell(Some(GridCell { grid: grid.id, cell }));
        message::Event::Job(status(id, &job, JobState::Done))
    };
    assert!(grids(&desk.worker(over(1, 0))).is_empty(), "one is on its way");
    assert!(grids(&desk.worker(over(2, 1))).is_empty());
    let effects =
        answer(&mut desk, sheet.clone(), Ok(GridResponse::Sheet(bytes::Bytes::from_static(b"png 1"))));
    assert_eq!(encodes(&effects), [Subject::Sheet { grid: grid.id, version: 1 }]);
    assert_eq!(grids(&effects), std::slice::from_ref(&sheet), "it has changed since it was asked for");
    let effects =
        answer(&mut desk, sheet.clone(), Ok(GridResponse::Sheet(bytes::Bytes::from_static(b"png 2"))));
    assert_eq!(encodes(&effects), [Subject::Sheet { grid: grid.id, version: 2 }]);
    assert!(grids(&effects).is_empty(), "nothing has changed");
    assert_eq!(grids(&desk.worker(message::Event::Grid(grid.id))), [sheet]);
    assert!(grids(&desk.worker(message::Event::Grid(GridId(99)))).is_empty(), "another's");
}

#[test]
fn what_is_drawn_next_takes_the_sheets_place() {
    let (mut desk, ..) = drawn();
    assert!(desk.state.preview.sheet().is_some());
    submitted(&desk.key(KeyCode::Enter));
    assert!(desk.state.preview.sheet().is_none());
}

#[test]
fn a_lost_connection_asks_for_the_sheet_again() {
    let (mut desk, grid, _) = drawn();
    desk.event(Event::News(News::Down { reason: "gone".into(), retry_at: desk.now }));
    let effects = desk.event(Event::News(News::Connected(Box::new(snapshot()))));
    assert_eq!(grids(&effects), [GridRequest::Sheet { grid: grid.id, side: Some(1024) }]);
}

#[test]
fn older_grids_are_opened_again_and_the_one_that_is_seen_is_cancelled_as_one() {
    let (mut desk, grid, _) = drawn();
    alt_a(&mut desk);
    let older = GridRequest::List { before: Some(grid.id), limit: 1 };
    assert_eq!(grids(&desk.control('o')), std::slice::from_ref(&older));
    let before = Grid { id: GridId(2), ..grid.clone() };
    let effects = answer(&mut desk, older.clone(), Ok(GridResponse::Grids(vec![before])));
    assert_eq!(grids(&effects), [GridRequest::Sheet { grid: GridId(2), side: Some(1024) }]);
    answer(&mut desk, older, Ok(GridResponse::Grids(Vec::new())));
    assert!(desk.state.notices.current().is_some_and(|(notice, _)| notice.text.contains("no older grid")));
    alt_a(&mut desk);
    let cancel = GridRequest::Cancel(GridId(2));
    assert_eq!(grids(&desk.control('x')), std::slice::from_ref(&cancel));
    answer(&mut desk, cancel, Ok(GridResponse::Cancelled(3)));
    assert!(!desk.state.overlay.is_open());
}
