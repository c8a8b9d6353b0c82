//! Grids in the gallery, in windows of several sizes: among pictures, chosen, open, and thrown away.

use bytes::Bytes;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::job::grid::{Axis, Grid, GridId, GridOrder, OfGrid};
use crate::job::{Picture, Rating, Tag, Wildcards};
use crate::ui::effect::Question;
use crate::ui::picture::PictureThread;
use crate::wire::grids::{GridRequest, GridResponse};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn press(state: &mut State, code: KeyCode) -> Vec<Effect> {
    take(state, Event::Input(Input::Key(KeyEvent::new(code, KeyModifiers::NONE))))
}

/// Of 14 pictures the cells of two grids: one whole and rated, and one of which three are still to come.
fn pictures() -> Vec<Picture> {
    let one = |id: i64| {
        let status = job("a fox in the snow", 1, JobState::Done);
        let mut picture = fake::picture(id, &status, 0, 1_839_202_000 + id as u64);
        picture.finished_at = id;
        picture.marks.rating = Rating::try_from(id as u8 % 6).expect("it is one");
        let of = |grid, cell, cells| OfGrid {
            grid: GridId(grid),
            cell,
            cells,
            rating: Rating::default(),
            favourite: false,
            trashed: false,
            sheet: format!("/pictures/2026-11-28/101500-grid-{grid:06}.png").into(),
        };
        picture.grid = match id {
            5..=10 => {
                picture.marks.tags = vec![Tag::new("雪").expect("one")];
                let rating = Rating::try_from(4).expect("it is one");
                Some(OfGrid { rating, favourite: true, ..of(1, id as u32 - 5, 6) })
            }
            12..=14 => Some(of(2, id as u32 - 12, 6)),
            _ => None,
        };
        picture
    };
    (1..=14).rev().map(one).collect()
}

/// What was asked for of the whole one: three steps across, two guidances down.
fn grid(id: GridId) -> Grid {
    let job = job("a fox in the snow", 1, JobState::Done).job.alone();
    let axis = |text: &str| Axis::parse(text, &Wildcards::default()).expect("an axis");
    let order = GridOrder::new(job, vec![axis("steps=4,8,20"), axis("guidance=2,3.5")]).expect("drawable");
    Grid { id, order, seed: 7, asked_at: 0, cells: Vec::new(), sheet: None }
}

fn bytes(side: u32) -> Bytes {
    let mut bytes = std::io::Cursor::new(Vec::new());
    fake::pixels(side, side, 120)
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .expect("it writes to memory");
    bytes.into_inner().into()
}

/// What the worker and the picture thread do, until nothing more is asked.
fn serve(state: &mut State, effects: Vec<Effect>) {
    let (sender, mut done) = tokio::sync::mpsc::channel(1024);
    let thread = PictureThread::start(sender).expect("a thread");
    let mut waiting = effects;
    while let Some(effect) = waiting.pop() {
        let event = match effect {
            Effect::Ask(Question::Thumbnail(asked)) => {
                Event::Answer(Answer::Thumbnail { asked, result: Ok(bytes(asked.side)) })
            }
            Effect::Ask(Question::Grids(asked @ GridRequest::Thumbnail { side, .. })) => {
                let result = Ok(GridResponse::Thumbnail(bytes(side)));
                Event::Answer(Answer::Grids { asked, result })
            }
            Effect::Ask(Question::Grids(asked @ GridRequest::Get(id))) => {
                let result = Ok(GridResponse::Grid(Box::new(grid(id))));
                Event::Answer(Answer::Grids { asked, result })
            }
            Effect::Encode(order) => {
                thread.order(order);
                done.blocking_recv().expect("it encodes")
            }
            _ => continue,
        };
        waiting.extend(take(state, event));
    }
}

/// The gallery in both languages and at every size, after these keys, under a name.
fn each(name: &str, keys: &[KeyCode]) {
    for (language, mark) in [(Language::English, ""), (Language::Chinese, "_zh")] {
        for (columns, rows) in SIZES {
            let mut state = State { language, ..fresh(false) };
            take(&mut state, Event::Resized(window(columns, rows)));
            let snapshot = Snapshot { history: pictures(), history_total: 14, ..snapshot(Vec::new(), 0) };
            take(&mut state, Event::News(News::Connected(Box::new(snapshot))));
            let open = KeyEvent::new(KeyCode::Char('g'), KeyModifiers::ALT);
            let effects = take(&mut state, Event::Input(Input::Key(open)));
            serve(&mut state, effects);
            for key in keys {
                let effects = press(&mut state, *key);
                serve(&mut state, effects);
            }
            insta::assert_snapshot!(format!("{name}{mark}_{columns}x{rows}"), screen(&state));
        }
    }
}

const TO_THE_WHOLE_ONE: [KeyCode; 2] = [KeyCode::Right, KeyCode::Right];

#[test]
fn grids_among_pictures() {
    each("gallery_grids", &TO_THE_WHOLE_ONE);
}

#[test]
fn an_open_grid() {
    each("gallery_grid_open", &[&TO_THE_WHOLE_ONE[..], &[KeyCode::Enter, KeyCode::Right]].concat());
}

#[test]
fn a_grid_that_goes_into_the_trash() {
    each("gallery_grid_trash", &[&TO_THE_WHOLE_ONE[..], &[KeyCode::Delete]].concat());
}
