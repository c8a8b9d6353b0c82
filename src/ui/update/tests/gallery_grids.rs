//! Grids in the gallery by keys: one entry each, opened, marked and thrown away as a whole.

use bytes::Bytes;

use super::gallery::{marks, said};
use super::*;
use crate::job::grid::{Axis, Grid, GridCell, GridId, GridOrder, OfGrid};
use crate::job::{MarkChange, Picture, PictureQuery, Prompt, Rating, Size, Tag, Wildcards};
use crate::model::ModelName;
use crate::ui::pane::gallery::{Mode, SeenGrid};
use crate::ui::pane::overlay::Overlay;
use crate::wire::grids::{GridRequest, GridResponse};
use crate::wire::message::ThumbnailRequest;

const GRID: GridId = GridId(3);

fn picture(id: i64, of: Option<OfGrid>) -> Picture {
    let (prompt, size) = (Prompt::new("a fox").expect("text"), Size::new(128, 128).expect("a size"));
    let job = Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Random, 1).expect("a job");
    let status = status(id, &job, JobState::Done);
    Picture { finished_at: id, grid: of, ..fake::picture(id, &status, 0, 100 + id.unsigned_abs()) }
}

fn of(cell: u32) -> OfGrid {
    let (rating, favourite, trashed) = (Rating::default(), false, false);
    OfGrid { grid: GRID, cell, cells: 4, rating, favourite, trashed, sheet: "/pictures/sheet.png".into() }
}

/// Pictures 9 to 1, of which 7, 6, 5 and 3 are the cells 3, 2, 1 and 0 of a grid.
fn pictures() -> Vec<Picture> {
    let cell = |id| [7, 6, 5, 3].iter().position(|it| *it == id).map(|at| of(3 - at as u32));
    (1..=9).rev().map(|id| picture(id, cell(id))).collect()
}

/// The gallery over them, the grid chosen.
fn desk() -> (Desk, Vec<Effect>) {
    let mut desk = Desk::new();
    let snapshot = Snapshot { history: pictures(), history_total: 9, ..snapshot() };
    desk.event(Event::News(News::Connected(Box::new(snapshot))));
    let effects = desk.press(KeyCode::Char('g'), KeyModifiers::ALT);
    desk.key(KeyCode::Right);
    desk.key(KeyCode::Right);
    (desk, effects)
}

fn chosen(desk: &Desk) -> Option<i64> {
    desk.state.gallery.open().and_then(|open| open.target()).map(|picture| picture.id.0)
}

/// Whether a grid is chosen, and how many of its pictures are known.
fn count(desk: &Desk) -> Option<String> {
    desk.state.gallery.open()?.target_grid().map(SeenGrid::count)
}

fn entries(desk: &Desk) -> usize {
    desk.state.gallery.open().map_or(0, |open| open.found.entries().len())
}

fn asked(effects: &[Effect]) -> Vec<GridRequest> {
    let asked = effects.iter().filter_map(|effect| match effect {
        Effect::Ask(Question::Grids(asked)) => Some(asked.clone()),
        _ => None,
    });
    asked.collect()
}

fn mark(mark: MarkChange) -> Vec<GridRequest> {
    vec![GridRequest::Mark { grid: GRID, mark }]
}

fn letter(desk: &mut Desk, letter: char) -> Vec<Effect> {
    desk.key(KeyCode::Char(letter))
}

/// The worker tells of each picture of the grid as it is now, the oldest first.
fn tell_all(desk: &mut Desk, was_trashed: bool, change: impl Fn(&mut Picture)) {
    for mut picture in pictures().into_iter().rev().filter(|picture| picture.grid.is_some()) {
        change(&mut picture);
        desk.worker(message::Event::Picture { picture: Box::new(picture), was_trashed });
    }
}

#[test]
fn a_grid_is_one_entry_with_its_sheet() {
    let (desk, effects) = desk();
    assert_eq!(entries(&desk), 6, "five pictures and a grid");
    assert_eq!(
        (count(&desk).as_deref(), chosen(&desk)),
        (Some("4"), Some(3)),
        "its first cell stands for it"
    );
    let sheets: Vec<_> = asked(&effects);
    assert_eq!(sheets, [GridRequest::Thumbnail { grid: GRID, side: 64 }]);
    let open = desk.state.gallery.open().expect("it is open");
    assert_eq!(open.found.pictures().len(), 9);
}

#[test]
fn it_is_opened_and_its_cells_are_walked_in_their_order() {
    let (mut desk, _) = desk();
    let effects = desk.key(KeyCode::Enter);
    assert_eq!(asked(&effects), [GridRequest::Get(GRID)], "which values its cells have");
    assert_eq!((entries(&desk), chosen(&desk), count(&desk)), (4, Some(3), None));
    let mut seen = vec![chosen(&desk)];
    for _ in 0..3 {
        desk.key(KeyCode::Right);
        seen.push(chosen(&desk));
    }
    assert_eq!(seen, [3, 5, 6, 7].map(Some));
    // One of them whole, the next one, and back by steps to where it began.
    desk.key(KeyCode::Enter);
    desk.key(KeyCode::Left);
    assert!(matches!(&desk.state.gallery.open().expect("open").mode, Mode::View(seen) if seen.id.0 == 6));
    desk.key(KeyCode::Esc);
    assert_eq!((entries(&desk), chosen(&desk)), (4, Some(6)));
    desk.key(KeyCode::Esc);
    assert_eq!((entries(&desk), count(&desk).as_deref()), (6, Some("4")));
    desk.key(KeyCode::Esc);
    assert!(!desk.state.gallery.is_open());
}

#[test]
fn of_one_that_is_known_in_part_the_others_are_asked_for() {
    let mut desk = Desk::new();
    let history: Vec<_> = pictures().into_iter().filter(|picture| picture.id.0 > 5).collect();
    let snapshot = Snapshot { history, history_total: 9, ..snapshot() };
    desk.event(Event::News(News::Connected(Box::new(snapshot))));
    desk.press(KeyCode::Char('g'), KeyModifiers::ALT);
    desk.key(KeyCode::Right);
    desk.key(KeyCode::Right);
    assert_eq!(count(&desk).as_deref(), Some("2/4"));
    let effects = desk.key(KeyCode::Enter);
    let query = effects.iter().find_map(|effect| match effect {
        Effect::Ask(Question::Search(query)) => Some(query.clone()),
        _ => None,
    });
    let query = query.expect("they are asked for");
    assert_eq!(*query, PictureQuery { grid: Some(GRID), ..PictureQuery::default() });
    let found: Vec<_> = pictures().into_iter().filter(|picture| picture.grid.is_some()).collect();
    desk.event(Event::Answer(Answer::Found { query, result: Ok(found) }));
    assert_eq!((entries(&desk), chosen(&desk)), (4, Some(6)), "where the person stood");
}

#[test]
fn whole_pictures_are_walked_one_by_one_through_grids() {
    let (mut desk, _) = desk();
    desk.key(KeyCode::Left);
    desk.key(KeyCode::Enter);
    let mut seen = vec![chosen(&desk)];
    for _ in 0..3 {
        desk.key(KeyCode::Right);
        seen.push(chosen(&desk));
    }
    assert_eq!(seen, [8, 7, 6, 5].map(Some));
    desk.key(KeyCode::Esc);
    assert_eq!(count(&desk).as_deref(), Some("4"), "the grid that the last is of");
}

#[test]
fn it_is_rated_as_a_whole_and_its_pictures_keep_what_is_said_of_them() {
    let (mut desk, _) = desk();
    let rating = Rating::try_from(4).expect("it is one");
    assert_eq!(asked(&letter(&mut desk, '4')), mark(MarkChange::Rate(rating)));
    assert_eq!(asked(&letter(&mut desk, 'f')), mark(MarkChange::Favourite(true)));
    tell_all(&mut desk, false, |picture| {
        let of = picture.grid.as_mut().expect("a cell");
        (of.rating, of.favourite) = (rating, true);
    });
    assert_eq!(asked(&letter(&mut desk, '4')), [], "it is that already");
    assert_eq!(asked(&letter(&mut desk, 'f')), mark(MarkChange::Favourite(false)));
    // A search for good ones finds it; inside, a rating is that of a picture.
    letter(&mut desk, 'F');
    assert!(desk.state.gallery.open().expect("open").found.query().favourite);
    letter(&mut desk, 'F');
    desk.key(KeyCode::Right);
    desk.key(KeyCode::Right);
    desk.key(KeyCode::Enter);
    assert_eq!(marks(&letter(&mut desk, '2')), [(3, MarkChange::Rate(Rating::try_from(2).expect("one")))]);
}

#[test]
fn tags_are_those_that_all_have() {
    let (mut desk, _) = desk();
    let tag = |text: &str| Tag::new(text).expect("it is one");
    tell_all(&mut desk, false, |picture| {
        picture.marks.tags = vec![tag("ink")];
        if picture.id.0 == 5 {
            picture.marks.tags.push(tag("snow"));
        }
    });
    letter(&mut desk, 't');
    let line = desk.state.gallery.open().and_then(|open| open.line.clone()).expect("a line");
    assert_eq!(line.text, "ink");
    (0..3).for_each(|_| drop(desk.key(KeyCode::Backspace)));
    desk.type_text("fog");
    let effects = desk.key(KeyCode::Enter);
    let change = MarkChange::Tag { add: vec![tag("fog")], remove: vec![tag("ink")] };
    assert_eq!(asked(&effects), mark(change));
}

#[test]
fn it_goes_into_the_trash_with_all_its_pictures_and_comes_back_with_them() {
    let (mut desk, _) = desk();
    assert_eq!(asked(&desk.key(KeyCode::Delete)), mark(MarkChange::Trash(true)));
    assert!(said(&desk).contains("4 pictures"), "{}", said(&desk));
    tell_all(&mut desk, false, |picture| picture.marks.trashed_at = Some(5));
    assert_eq!((entries(&desk), chosen(&desk)), (5, Some(4)), "the next takes its place");
    assert_eq!(desk.state.gallery.trashed(), 1);
    let effects = letter(&mut desk, 'u');
    assert_eq!(asked(&effects)[..], mark(MarkChange::Trash(false)));
    tell_all(&mut desk, true, |_| {});
    assert_eq!((entries(&desk), count(&desk).as_deref()), (6, Some("4")));
    assert_eq!(desk.state.gallery.trashed(), 0);
}

#[test]
fn one_that_is_still_drawn_stays_and_says_why() {
    let (mut desk, _) = desk();
    let asked = asked(&desk.key(KeyCode::Delete)).remove(0);
    let refused = Err("2 pictures of grid 3 are still to be drawn".to_owned());
    desk.event(Event::Answer(Answer::Grids { asked, result: refused }));
    assert!(said(&desk).contains("still to be drawn"), "{}", said(&desk));
    assert_eq!((desk.state.gallery.trashed(), entries(&desk)), (0, 6));
}

#[test]
fn in_the_trash_what_went_together_comes_back_together_and_the_others_one_by_one() {
    for together in [true, false] {
        let (mut desk, _) = desk();
        letter(&mut desk, 'X');
        let query = PictureQuery { trashed: true, ..PictureQuery::default() };
        let mut found = pictures();
        found.retain(|picture| picture.grid.is_some());
        for picture in &mut found {
            picture.marks.trashed_at = Some(5);
            picture.grid.as_mut().expect("a cell").trashed = together;
        }
        desk.event(Event::Answer(Answer::Found { query: Box::new(query), result: Ok(found) }));
        assert_eq!((entries(&desk), count(&desk).as_deref()), (1, Some("4")));
        let effects = desk.key(KeyCode::Delete);
        if together {
            assert_eq!(
                (asked(&effects)[..].to_vec(), marks(&effects)),
                (mark(MarkChange::Trash(false)), vec![])
            );
        } else {
            let each = [3, 5, 6, 7].map(|id| (id, MarkChange::Trash(false)));
            assert_eq!(marks(&effects), each);
        }
    }
}

#[test]
fn what_is_about_one_picture_says_so() {
    let (mut desk, _) = desk();
    for key in ['P', 'm', 'c', 'C'] {
        letter(&mut desk, key);
        assert!(said(&desk).contains("open the grid first"), "{key}: {}", said(&desk));
    }
    assert!(desk.state.gallery.marked.is_none());
    let copied = letter(&mut desk, 'Y').into_iter().find_map(|effect| match effect {
        Effect::Copy(text) => Some(text),
        _ => None,
    });
    assert_eq!(copied.as_deref(), Some("/pictures/sheet.png"));
}

#[test]
fn its_sheet_is_seen_in_the_preview() {
    let (mut desk, _) = desk();
    desk.key(KeyCode::Left);
    letter(&mut desk, 'S');
    assert!(said(&desk).contains("of none"), "{}", said(&desk));
    desk.key(KeyCode::Right);
    let get = GridRequest::Get(GRID);
    assert_eq!(asked(&letter(&mut desk, 'S')), std::slice::from_ref(&get));
    let refused = Err("there is no grid 3".to_owned());
    desk.event(Event::Answer(Answer::Grids { asked: get.clone(), result: refused }));
    assert!(said(&desk).contains("no grid 3") && desk.state.gallery.is_open(), "{}", said(&desk));
    // Of one of its cells too.
    desk.key(KeyCode::Enter);
    letter(&mut desk, 'S');
    let job = Job::new(
        Prompt::new("a fox").expect("text"),
        ModelName::new("nano"),
        Size::new(128, 128).expect("a size"),
        4,
        3.5,
        Seed::Random,
        1,
    );
    let axis = Axis::parse("steps=1..4", &Wildcards::default()).expect("an axis");
    let order = GridOrder::new(job.expect("a job"), vec![axis]).expect("drawable");
    let grid = Box::new(Grid { id: GRID, order, seed: 7, asked_at: 0, cells: Vec::new(), sheet: None });
    let effects =
        desk.event(Event::Answer(Answer::Grids { asked: get, result: Ok(GridResponse::Grid(grid)) }));
    assert!(!desk.state.gallery.is_open());
    assert!(matches!(asked(&effects)[..], [GridRequest::Sheet { grid: GRID, .. }]), "{effects:?}");
}

#[test]
fn while_it_fills_up_its_sheet_is_asked_for_again() {
    let (mut desk, _) = desk();
    let thumbnail = GridRequest::Thumbnail { grid: GRID, side: 64 };
    let job = picture(4, None);
    let cell = Some(GridCell { grid: GRID, cell: 3 });
    let status = |desk: &mut Desk| {
        let prompt = job.recipe.prompt.clone();
        let asked = Job::new(prompt, ModelName::new("nano"), job.recipe.size, 4, 3.5, Seed::Random, 1);
        let status = status(4, &asked.expect("a job").of_cell(cell), JobState::Done);
        asked_of(&desk.worker(message::Event::Job(status)))
    };
    // The first is still on its way.
    assert_eq!(status(&mut desk), []);
    let result = Ok(GridResponse::Thumbnail(Bytes::from_static(b"jpeg")));
    let effects = desk.event(Event::Answer(Answer::Grids { asked: thumbnail.clone(), result }));
    assert_eq!(asked_of(&effects), std::slice::from_ref(&thumbnail), "it is of before");
    let result = Ok(GridResponse::Thumbnail(Bytes::from_static(b"jpeg")));
    let effects = desk.event(Event::Answer(Answer::Grids { asked: thumbnail.clone(), result }));
    assert_eq!(asked_of(&effects), []);
    for id in [9, 8] {
        let asked = ThumbnailRequest { picture: PictureId(id), side: 64 };
        desk.event(Event::Answer(Answer::Thumbnail { asked, result: Err("no file".into()) }));
    }
    assert_eq!(asked_of(&desk.worker(message::Event::Grid(GRID))), [thumbnail]);
    assert!(matches!(desk.state.overlay, Overlay::None));
}

/// Small copies of sheets that are asked for.
fn asked_of(effects: &[Effect]) -> Vec<GridRequest> {
    asked(effects).into_iter().filter(|asked| matches!(asked, GridRequest::Thumbnail { .. })).collect()
}
