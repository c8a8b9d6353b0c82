//! The gallery in windows of several sizes: the grid, a whole picture, two compared, and what is said where there is
//! nothing.

use bytes::Bytes;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::job::{Picture, Rating, Tag};
use crate::ui::effect::Question;
use crate::ui::input::Report;
use crate::ui::picture::{Order, PictureThread, Protocol};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn press(state: &mut State, code: KeyCode) -> Vec<Effect> {
    take(state, Event::Input(Input::Key(KeyEvent::new(code, KeyModifiers::NONE))))
}

fn letter(state: &mut State, letter: char) -> Vec<Effect> {
    press(state, KeyCode::Char(letter))
}

/// Pictures as a person has them: rated, tagged, missing, one in Chinese.
fn pictures() -> Vec<Picture> {
    let prompts =
        ["neon alley, rain, a courier on a bicycle", "neon alley, fog, a courier", "一只红色的狐狸"];
    let one = |id: i64| {
        let status = job(prompts[id as usize % 3], 1, JobState::Done);
        let mut picture = fake::picture(id, &status, 0, 1_839_202_000 + id as u64);
        picture.finished_at = id;
        picture.marks.rating = Rating::try_from(id as u8 % 6).expect("it is one");
        picture.marks.favourite = id % 4 == 0;
        picture.missing = id == 21;
        if id == 23 {
            picture.marks.tags = vec![Tag::new("ink").expect("one"), Tag::new("水墨").expect("one")];
        }
        picture
    };
    (1..=24).rev().map(one).collect()
}

fn opened(columns: u16, rows: u16) -> (State, Vec<Effect>) {
    opened_in(Language::English, columns, rows)
}

/// Both languages at every size, with what tells their snapshots apart.
fn everywhere() -> impl Iterator<Item = (Language, u16, u16, String)> {
    let languages = [(Language::English, ""), (Language::Chinese, "_zh")];
    languages.into_iter().flat_map(|(language, mark)| {
        SIZES
            .iter()
            .map(move |(columns, rows)| (language, *columns, *rows, format!("{mark}_{columns}x{rows}")))
    })
}

fn opened_in(language: Language, columns: u16, rows: u16) -> (State, Vec<Effect>) {
    let mut state = State { language, ..fresh(false) };
    take(&mut state, Event::Resized(window(columns, rows)));
    let snapshot = Snapshot { history: pictures(), history_total: 24, ..snapshot(Vec::new(), 0) };
    take(&mut state, Event::News(News::Connected(Box::new(snapshot))));
    let key = KeyEvent::new(KeyCode::Char('g'), KeyModifiers::ALT);
    let effects = take(&mut state, Event::Input(Input::Key(key)));
    (state, effects)
}

fn bytes(format: image::ImageFormat, side: u32) -> Bytes {
    let mut bytes = std::io::Cursor::new(Vec::new());
    fake::pixels(side, side, 120).write_to(&mut bytes, format).expect("it writes to memory");
    bytes.into_inner().into()
}

/// What the worker and the picture thread do, until nothing more is asked. Gives back the orders.
fn serve(state: &mut State, effects: Vec<Effect>) -> Vec<Order> {
    let (sender, mut done) = tokio::sync::mpsc::channel(1024);
    let thread = PictureThread::start(sender).expect("a thread");
    let (mut waiting, mut orders) = (effects, Vec::new());
    while let Some(effect) = waiting.pop() {
        let event = match effect {
            Effect::Ask(Question::Thumbnail(asked)) if asked.picture.0 == 21 => {
                Event::Answer(Answer::Thumbnail { asked, result: Err("no file".into()) })
            }
            Effect::Ask(Question::Thumbnail(asked)) => {
                let jpeg = bytes(image::ImageFormat::Jpeg, asked.side);
                Event::Answer(Answer::Thumbnail { asked, result: Ok(jpeg) })
            }
            Effect::Ask(Question::Fetch(picture)) => {
                let png = bytes(image::ImageFormat::Png, 128);
                Event::Answer(Answer::Fetched { picture, result: Ok(png) })
            }
            Effect::Encode(order) => {
                thread.order(order.clone());
                orders.push(order);
                done.blocking_recv().expect("it encodes")
            }
            _ => continue,
        };
        waiting.extend(take(state, event));
    }
    orders
}

#[test]
fn the_grid_in_windows_of_several_sizes() {
    for (language, columns, rows, end) in everywhere() {
        let (mut state, effects) = opened_in(language, columns, rows);
        serve(&mut state, effects);
        let effects = press(&mut state, KeyCode::Right);
        serve(&mut state, effects);
        insta::assert_snapshot!(format!("gallery{end}"), screen(&state));
    }
}

#[test]
fn a_whole_picture_and_a_part_of_it() {
    for (language, columns, rows, end) in everywhere() {
        let (mut state, _) = opened_in(language, columns, rows);
        let effects = press(&mut state, KeyCode::Enter);
        serve(&mut state, effects);
        let effects = letter(&mut state, '+');
        serve(&mut state, effects);
        insta::assert_snapshot!(format!("gallery_whole{end}"), screen(&state));
    }
}

#[test]
fn two_compared_side_by_side_and_one_in_place_of_the_other() {
    for (language, columns, rows, end) in everywhere() {
        let (mut state, _) = opened_in(language, columns, rows);
        press(&mut state, KeyCode::Right);
        letter(&mut state, 'c');
        press(&mut state, KeyCode::Left);
        let effects = letter(&mut state, 'c');
        serve(&mut state, effects);
        insta::assert_snapshot!(format!("compare{end}"), screen(&state));
        let effects = letter(&mut state, ' ');
        serve(&mut state, effects);
        insta::assert_snapshot!(format!("compare_flipped{end}"), screen(&state));
    }
}

#[test]
fn lines_and_empty_places() {
    let (mut state, _) = opened(80, 24);
    letter(&mut state, '/');
    "tag:水墨 rating:9".chars().for_each(|typed| drop(letter(&mut state, typed)));
    press(&mut state, KeyCode::Enter);
    insta::assert_snapshot!("gallery_search_80x24", screen(&state));
    press(&mut state, KeyCode::Backspace);
    letter(&mut state, '5');
    let effects = press(&mut state, KeyCode::Enter);
    assert!(screen(&state).contains("looking for pictures"));
    let asked = effects.into_iter().find_map(|effect| match effect {
        Effect::Ask(Question::Search(query)) => Some(query),
        _ => None,
    });
    let query = asked.expect("it is looked for");
    take(&mut state, Event::Answer(Answer::Found { query, result: Ok(Vec::new()) }));
    insta::assert_snapshot!("gallery_nothing_80x24", screen(&state));
}

#[test]
fn every_window_that_there_is_room_in_shows_every_mode() {
    for (columns, rows) in [(60, 15), (40, 31), (64, 40), (300, 100)] {
        let (mut state, _) = opened(columns, rows);
        for keys in ["", "\n", "q", "C", " ", "b", "q", "/", "?"] {
            for key in keys.chars() {
                let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
                let effects = press(&mut state, code);
                serve(&mut state, effects);
            }
            assert!(!screen(&state).trim().is_empty());
        }
    }
}

/// As a terminal that answers so.
fn graphics(state: &mut State, wanted: Graphics) {
    state.terminal.wanted = wanted;
    take(state, Event::Input(Input::Report(Report::CellPixels { width: 8, height: 16 })));
}

/// What is written of the cells that hold pictures.
fn written(frame: &super::super::Frame) -> Vec<String> {
    let cells = frame.buffer.content.iter().map(ratatui::buffer::Cell::symbol);
    cells.filter(|symbol| symbol.len() > 512).map(str::to_owned).collect()
}

#[test]
fn every_protocol_draws_all_small_copies_and_none_while_something_lies_over_them() {
    for (wanted, begins, leaves) in [
        (Graphics::Kitty, "\x1b_Ga=T,U=1,", 0),
        (Graphics::Iterm2, "\x1b7\x1b]1337;File=", 10),
        (Graphics::Sixel, "\x1b", 10),
    ] {
        let (mut state, _) = opened(80, 24);
        state.gallery.close();
        graphics(&mut state, wanted);
        let key = KeyEvent::new(KeyCode::Char('g'), KeyModifiers::ALT);
        let effects = take(&mut state, Event::Input(Input::Key(key)));
        let orders = serve(&mut state, effects);
        let means = orders[0].means.protocol;
        assert!(means != Protocol::HalfBlocks && orders.iter().all(|order| order.means.protocol == means));
        let frame = draw(&state);
        let pictures = written(&frame);
        // Of the ten of a page one has no file.
        assert_eq!(pictures.len(), 9, "{wanted:?}");
        assert!(pictures.iter().all(|text| text.starts_with(begins)), "{wanted:?}: {:?}", &pictures[0][..40]);
        assert_eq!(frame.pixels.len(), if leaves > 0 { 9 } else { 0 }, "{wanted:?}");
        let most = pictures.iter().map(String::len).max().unwrap_or(0);
        assert!(most < 60_000, "{wanted:?}: a small copy has {most} bytes");
        letter(&mut state, '?');
        let covered = draw(&state);
        assert!(written(&covered).is_empty() && covered.pixels.is_empty(), "{wanted:?}");
    }
}

#[test]
fn kitty_without_placeholders_deletes_what_was_at_a_place_before() {
    let (mut state, _) = opened(80, 24);
    state.gallery.close();
    take(&mut state, Event::Input(Input::Report(Report::Version("kitty(0.26.5)".into()))));
    graphics(&mut state, Graphics::Kitty);
    let key = KeyEvent::new(KeyCode::Char('g'), KeyModifiers::ALT);
    let effects = take(&mut state, Event::Input(Input::Key(key)));
    serve(&mut state, effects);
    let id_of = |text: &str, before: &str| -> u32 {
        let (_, rest) = text.split_once(before).expect("an id");
        rest.split(',').next().unwrap_or_default().parse().expect("a number")
    };
    let frame = draw(&state);
    let first = written(&frame);
    assert_eq!((first.len(), frame.pixels.len()), (9, 9));
    let shown: Vec<u32> = first.iter().map(|text| id_of(text, "\x1b_Ga=T,C=1,i=")).collect();
    let effects = press(&mut state, KeyCode::PageDown);
    serve(&mut state, effects);
    let second = written(&draw(&state));
    assert_eq!(id_of(&second[0], "\x1b_Ga=d,d=I,i="), shown[0]);
    assert!(second.iter().all(|text| text.ends_with(",q=2\x1b\\")), "each ends with the deletion");
}

#[test]
fn kittys_small_copies_have_an_id_each_and_the_next_page_other_ones() {
    let (mut state, _) = opened(80, 24);
    state.gallery.close();
    graphics(&mut state, Graphics::Kitty);
    let key = KeyEvent::new(KeyCode::Char('g'), KeyModifiers::ALT);
    let effects = take(&mut state, Event::Input(Input::Key(key)));
    serve(&mut state, effects);
    let ids = |state: &State| -> Vec<String> {
        let id = |text: &String| {
            let (_, rest) = text.split_once("i=").expect("an id");
            rest.split(',').next().unwrap_or_default().to_owned()
        };
        written(&draw(state)).iter().map(id).collect()
    };
    let first = ids(&state);
    let effects = press(&mut state, KeyCode::PageDown);
    serve(&mut state, effects);
    let second = ids(&state);
    let mut all: Vec<_> = first.iter().chain(&second).collect();
    all.sort();
    all.dedup();
    assert_eq!((first.len(), second.len(), all.len()), (9, 10, 19));
}

#[test]
fn a_picture_that_is_marked_says_so_in_the_history() {
    let (mut state, _) = opened(120, 40);
    letter(&mut state, 'c');
    press(&mut state, KeyCode::Esc);
    assert!(screen(&state).contains("A "), "{}", screen(&state));
}
