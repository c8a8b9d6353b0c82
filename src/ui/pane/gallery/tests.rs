//! The gallery's own state: lines read and written, what comes and goes, what is held, how prompts differ.

use bytes::Bytes;
use ratatui::layout::Size as Room;

use super::*;
use crate::job::{Job, JobId, JobState, JobStatus, PictureQuery, Prompt, Rating, Seed, Size, Tag};
use crate::model::ModelName;
use crate::ui::action::ListMove;
use crate::ui::fake;
use crate::ui::picture::{Drawable, Encoded, HalfBlocks, Means, Protocol, Source, Subject};

fn picture(id: i64, prompt: &str) -> Picture {
    let (prompt, size) = (Prompt::new(prompt).expect("text"), Size::new(128, 128).expect("a size"));
    let job = Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Random, 1).expect("a job");
    let status =
        JobStatus { id: JobId(1), job, first_seed: 7, state: JobState::Done, done: 1, accepted_at: 0 };
    Picture { finished_at: id, ..fake::picture(id, &status, 0, id.unsigned_abs()) }
}

fn ids(found: &Found) -> Vec<i64> {
    found.pictures().iter().map(|picture| picture.id.0).collect()
}

#[test]
fn a_line_is_read_and_written_back() {
    for line in [
        "",
        "red fox",
        "fox rating:4 tag:ink tag:\"red fox\" model:nano is:favourite is:trashed",
        "(fox:1.3) a:b",
        "狐狸 tag:水墨",
    ] {
        let query = parse(line).expect(line);
        assert_eq!(write(&query), line);
        assert_eq!(parse(&write(&query)), Ok(query));
    }
    assert!(parse("is:fav").expect("short").favourite);
    let query = parse("rating:3").expect("one");
    assert_eq!(query.rating.get(), 3);
}

#[test]
fn a_wrong_line_says_what_would_do() {
    for (line, told) in [
        ("rating:9", "0 to 5"),
        ("is:good", "is:favourite"),
        ("tag:", "tag"),
        ("model:", "model:nano"),
        ("tag:\"red fox", "quote is open"),
    ] {
        let wrong = parse(line).expect_err(line);
        assert!(wrong.contains(told), "{line}: {wrong}");
    }
    assert!(parse(&"fox ".repeat(40)).is_err(), "more words than are searched for");
}

#[test]
fn what_changes_comes_stays_or_goes_by_the_query() {
    let all = [5, 4, 3].map(|id| picture(id, "a fox"));
    let mut found = Found::new(PictureQuery::default(), all.to_vec(), false);
    found.choose_place(1);
    let mut gone = all[1].clone();
    gone.marks.trashed_at = Some(1);
    found.changed(&gone);
    assert_eq!((ids(&found), found.chosen_picture().map(|it| it.id.0)), (vec![5, 3], Some(3)));
    gone.marks.trashed_at = None;
    found.changed(&gone);
    assert_eq!(ids(&found), [5, 4, 3], "back where it was");
    found.changed(&picture(6, "new"));
    assert_eq!((ids(&found), found.chosen_picture().map(|it| it.id.0)), (vec![6, 5, 4, 3], Some(3)));
    found.changed(&picture(1, "older than what is known"));
    assert_eq!(ids(&found), [6, 5, 4, 3], "it comes with its page");

    let query = parse("FOX rating:2").expect("a query");
    let mut found = Found::new(query, Vec::new(), true);
    let mut fox = picture(7, "a Fox in snow");
    found.changed(&fox);
    assert_eq!(ids(&found), [0; 0], "it is not rated");
    fox.marks.rating = Rating::try_from(2).expect("it is one");
    found.changed(&fox);
    assert_eq!(ids(&found), [7]);
    fox.marks.rating = Rating::default();
    fox.marks.tags = vec![Tag::new("ink").expect("one")];
    found.changed(&fox);
    assert_eq!(ids(&found), [0; 0]);
}

#[test]
fn pages_are_asked_for_once_and_others_answers_are_passed_over() {
    let mut found = Found::new(PictureQuery::default(), vec![picture(9, "a")], false);
    let first = found.wants().expect("there are more");
    assert_eq!((first.before.map(|id| id.0), found.wants()), (Some(9), None));
    found.answered(&PictureQuery::default(), Ok(vec![picture(2, "of another question")]));
    assert_eq!(ids(&found), [9]);
    found.answered(&first, Ok(vec![picture(9, "a"), picture(8, "b")]));
    assert_eq!(ids(&found), [9, 8]);
    let second = found.wants().expect("there may be more");
    found.answered(&second, Ok(Vec::new()));
    assert_eq!((found.wants(), found.is_complete()), (None, true));
}

#[test]
fn a_page_that_could_not_be_had_is_not_asked_for_again_until_there_is_another_connection() {
    let mut found = Found::new(PictureQuery::default(), Vec::new(), false);
    let first = found.wants().expect("there are more");
    found.answered(&first, Err("the line broke".into()));
    assert_eq!((found.wants(), found.failed()), (None, Some("the line broke")));
    found.unanswered();
    assert_eq!(found.wants(), Some(first));
}

#[test]
fn the_grid_is_walked_by_rows_and_pages() {
    let pictures = (1..=12).rev().map(|id| picture(id, "a")).collect();
    let mut found = Found::new(PictureQuery::default(), pictures, true);
    let mut at = |by| {
        found.choose(by, 5, 2);
        found.chosen()
    };
    assert_eq!([ListMove::Down, ListMove::Down, ListMove::Down, ListMove::Up].map(&mut at), [5, 10, 10, 5]);
    assert_eq!([ListMove::PageDown, ListMove::PageUp, ListMove::Last].map(&mut at), [11, 1, 11]);
    assert_eq!([ListMove::First, ListMove::Up].map(&mut at), [0, 0]);
    found.choose_place(4);
    found.choose(ListMove::Down, 5, 2);
    found.choose(ListMove::Down, 5, 2);
    assert_eq!(found.chosen(), 11, "the last row has nothing below");
    assert!(!found.step(true) && found.step(false));
}

fn small(id: i64) -> Small {
    Small::Picture(PictureId(id))
}

const MEANS: Means = Means { protocol: Protocol::Kitty, cell: (10, 20) };
const ROOM: Room = Room::new(14, 7);

fn encoded(order: &Order) -> Encoded {
    let drawable = Drawable::HalfBlocks(HalfBlocks::new(&fake::pixels(4, 4, 9)));
    let Order { number, slot, subject, room, means, .. } = order.clone();
    Encoded { number, slot, subject, room, means, result: Ok(drawable) }
}

use crate::ui::picture::Order;

#[test]
fn small_copies_are_asked_for_a_few_at_a_time_in_the_order_in_which_they_are_seen() {
    let visible: Vec<_> = (1..=9).map(small).collect();
    let mut thumbs = Thumbs::default();
    let first: Vec<_> = thumbs.wants(&visible, 128).iter().map(|asked| asked.of).collect();
    assert_eq!((first, thumbs.wants(&visible, 128)), ([1, 2, 3, 4].map(small).to_vec(), vec![]));
    thumbs.fetched(small(2), 128, Ok(Bytes::from_static(b"jpeg")));
    assert_eq!(thumbs.wants(&visible, 128)[0].of, small(5));
    thumbs.fetched(small(1), 128, Err("no file".into()));
    assert_eq!(thumbs.wants(&visible, 128)[0].of, small(6), "what failed is not asked for again");
    assert_eq!(thumbs.failure(small(1)), Some("no file"));
}

#[test]
fn orders_of_a_place_are_even_and_odd_in_turn_and_stale_results_are_dropped() {
    let mut thumbs = Thumbs::default();
    for id in [1, 2] {
        thumbs.fetched(small(id), 128, Ok(Bytes::from_static(b"jpeg")));
    }
    let one = thumbs.orders(&[small(1)], 128, ROOM, MEANS).remove(0);
    assert_eq!(one.source, Source::Jpeg(Bytes::from_static(b"jpeg")));
    assert_eq!(thumbs.orders(&[small(1)], 128, ROOM, MEANS), []);
    let two = thumbs.orders(&[small(2)], 128, ROOM, MEANS).remove(0);
    assert_eq!((one.slot, one.number % 2 != two.number % 2), (two.slot, true));
    assert_eq!(two.subject, Subject::Picture(PictureId(2)));
    thumbs.encoded(encoded(&one));
    assert!(thumbs.shown(0, small(1)).is_none(), "it was overtaken");
    thumbs.encoded(encoded(&two));
    assert!(thumbs.shown(0, small(2)).is_some_and(|(_, number)| number == two.number));
    assert!(thumbs.shown(0, small(1)).is_none());
    thumbs.repaint();
    assert_eq!(thumbs.orders(&[small(2)], 128, ROOM, MEANS).len(), 1);
}

#[test]
fn what_is_held_of_small_copies_is_bounded() {
    let mut thumbs = Thumbs::default();
    for id in 0..400 {
        thumbs.fetched(small(id), 128, Ok(Bytes::from(vec![0; 40_000])));
    }
    assert!(thumbs.held() <= 8 << 20, "{}", thumbs.held());
    assert!(!thumbs.wants(&[small(0)], 128).is_empty(), "the oldest went");
    assert!(thumbs.wants(&[small(399)], 128).is_empty());
}

#[test]
fn far_away_and_in_coarse_means_less_is_asked_for() {
    let means = |protocol| Means { protocol, cell: (10, 20) };
    let side = |protocol, far| thumbs::side(ROOM, means(protocol), far);
    assert_eq!([false, true].map(|far| side(Protocol::HalfBlocks, far)), [64, 64]);
    assert_eq!([false, true].map(|far| side(Protocol::Sixel, far)), [256, 96]);
    assert_eq!(thumbs::side(ROOM, Means { protocol: Protocol::Kitty, cell: (8, 16) }, false), 128);
}

fn pieces(a: &str, b: &str) -> Vec<(Kind, String)> {
    words(a, b).into_iter().map(|piece| (piece.kind, piece.text)).collect()
}

#[test]
fn prompts_differ_word_by_word() {
    let told = pieces("a red fox, ink", "a blue fox, ink, snow");
    let expected = [
        (Kind::Same, "a "),
        (Kind::Gone, "red"),
        (Kind::New, "blue"),
        (Kind::Same, " fox, ink"),
        (Kind::New, ", snow"),
    ];
    assert_eq!(told, expected.map(|(kind, text)| (kind, text.to_owned())));
    assert_eq!(pieces("same", "same"), [(Kind::Same, "same".to_owned())]);
    let told = pieces("红色的狐狸", "蓝色的狐狸");
    let expected = [(Kind::Gone, "红"), (Kind::New, "蓝"), (Kind::Same, "色的狐狸")];
    assert_eq!(told, expected.map(|(kind, text)| (kind, text.to_owned())));
}

#[test]
fn every_word_of_both_is_there_however_long_they_are() {
    let a = "fox ".repeat(9000);
    let b = format!("{a}snow");
    let told = words(&a, &b);
    let of = |skipped: Kind| {
        let kept = told.iter().filter(|piece| piece.kind != skipped);
        kept.map(|piece| piece.text.as_str()).collect::<String>()
    };
    assert_eq!((of(Kind::New), of(Kind::Gone)), (a, b));
}

#[test]
fn only_parameters_that_differ_are_told() {
    let (a, mut b) = (picture(1, "a"), picture(2, "a"));
    b.recipe.steps = 30;
    b.recipe.size = Size::new(256, 128).expect("a size");
    let told = parameters(&a.recipe, &b.recipe);
    let told: Vec<_> = told.iter().map(|one| (one.of, one.a.as_deref(), one.b.as_deref())).collect();
    assert_eq!(
        told,
        [
            (Parameter::Size, Some("128x128"), Some("256x128")),
            (Parameter::Steps, Some("4"), Some("30")),
            (Parameter::Seed, Some("1"), Some("2")),
        ]
    );
}

#[test]
fn flipping_goes_from_one_to_the_other() {
    let mut pair = Pair::new(picture(1, "a"), picture(2, "b"));
    assert_eq!(pair.target().id.0, 2);
    pair.flip();
    assert_eq!((pair.alone, pair.target().id.0), (Some(Side::A), 1));
    pair.flip();
    assert_eq!((pair.alone, pair.target().id.0), (Some(Side::B), 2));
}
