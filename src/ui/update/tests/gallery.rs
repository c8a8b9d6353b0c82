//! The gallery by keys: looked through, searched, marked, deleted and taken back, copied, compared.

use bytes::Bytes;

use super::*;
use crate::job::{MarkChange, Picture, PictureChange, PictureQuery, Prompt, Rating, Size, Tag};
use crate::model::ModelName;
use crate::ui::pane::gallery::{Mode, Side};
use crate::ui::picture::{Slot, Source};
use crate::wire::message::ThumbnailRequest;

/// A picture with a prompt and a seed of its own, as the library would have it.
fn picture(id: i64, prompt: &str) -> Picture {
    let (prompt, size) = (Prompt::new(prompt).expect("text"), Size::new(128, 128).expect("a size"));
    let job = Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Random, 1).expect("a job");
    let status = status(1, &job, JobState::Done);
    Picture { finished_at: id, ..fake::picture(id, &status, 0, 100 + id.unsigned_abs()) }
}

/// A studio with twelve pictures, the newest chosen.
pub(super) fn desk() -> Desk {
    let mut desk = Desk::new();
    let history: Vec<_> = (1..=12).rev().map(|id| picture(id, &format!("a fox, {id}"))).collect();
    let snapshot = Snapshot { history, history_total: 12, ..snapshot() };
    desk.event(Event::News(News::Connected(Box::new(snapshot))));
    desk.type_text("a fox");
    desk
}

fn opened() -> (Desk, Vec<Effect>) {
    let mut desk = desk();
    let effects = desk.press(KeyCode::Char('g'), KeyModifiers::ALT);
    (desk, effects)
}

fn letter(desk: &mut Desk, letter: char) -> Vec<Effect> {
    desk.key(KeyCode::Char(letter))
}

fn chosen(desk: &Desk) -> Option<i64> {
    desk.state.gallery.open().and_then(|open| open.target()).map(|picture| picture.id.0)
}

pub(super) fn said(desk: &Desk) -> String {
    desk.state.gallery.open().and_then(|open| open.said.clone()).unwrap_or_default()
}

fn copies(effects: &[Effect]) -> Vec<i64> {
    let asked = effects.iter().filter_map(|effect| match effect {
        Effect::Ask(Question::Thumbnail(asked)) => Some(asked.picture.0),
        _ => None,
    });
    asked.collect()
}

pub(super) fn marks(effects: &[Effect]) -> Vec<(i64, MarkChange)> {
    let asked = effects.iter().filter_map(|effect| match effect {
        Effect::Ask(Question::Mark(PictureChange { picture, mark })) => Some((picture.0, mark.clone())),
        _ => None,
    });
    asked.collect()
}

fn searches(effects: &[Effect]) -> Vec<PictureQuery> {
    let asked = effects.iter().filter_map(|effect| match effect {
        Effect::Ask(Question::Search(query)) => Some((**query).clone()),
        _ => None,
    });
    asked.collect()
}

/// The worker says how a picture is now.
fn tell(desk: &mut Desk, picture: Picture, was_trashed: bool) -> Vec<Effect> {
    desk.worker(message::Event::Picture { picture: Box::new(picture), was_trashed })
}

fn jpeg() -> Bytes {
    let mut bytes = std::io::Cursor::new(Vec::new());
    fake::pixels(16, 16, 9).write_to(&mut bytes, image::ImageFormat::Jpeg).expect("it writes to memory");
    bytes.into_inner().into()
}

#[test]
fn what_is_seen_is_asked_for_first_and_a_few_at_a_time() {
    let (mut desk, effects) = opened();
    assert_eq!(copies(&effects), [12, 11, 10, 9]);
    assert!(searches(&effects).is_empty(), "all of the library is known");
    let asked = ThumbnailRequest { picture: PictureId(11), side: 64 };
    let effects = desk.event(Event::Answer(Answer::Thumbnail { asked, result: Ok(jpeg()) }));
    assert_eq!(copies(&effects), [8]);
    let orders: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Encode(order) => {
                Some((order.slot, order.subject, matches!(order.source, Source::Jpeg(_))))
            }
            _ => None,
        })
        .collect();
    let second = Slot::small(1).expect("there are more");
    assert_eq!(orders, [(second, Subject::Picture(PictureId(11)), true)]);
}

#[test]
fn the_preview_rests_while_the_gallery_is_open() {
    let mut desk = desk();
    desk.key(KeyCode::BackTab);
    let (mut open, _) = opened();
    let effects = open.worker(message::Event::Preview(preview(1, 3)));
    assert_eq!(encodes(&effects), []);
    open.key(KeyCode::Esc);
    assert!(!open.state.gallery.is_open());
    let effects = open.later(300);
    assert!(encodes(&effects).is_empty() || open.state.preview.wanted().is_some());
}

#[test]
fn esc_goes_back_step_by_step_and_cancels_nothing() {
    let (mut desk, _) = opened();
    let running = status(7, &desk_job(), JobState::Running);
    desk.worker(message::Event::Job(running));
    letter(&mut desk, '/');
    assert_eq!(desk.key(KeyCode::Esc), []);
    desk.key(KeyCode::Enter);
    assert!(desk.state.gallery.open().is_some_and(|open| matches!(open.mode, Mode::View(_))));
    desk.key(KeyCode::Esc);
    assert!(desk.state.gallery.open().is_some_and(|open| open.mode == Mode::Grid));
    desk.key(KeyCode::Esc);
    assert!(!desk.state.gallery.is_open());
}

fn desk_job() -> Job {
    let (prompt, size) = (Prompt::new("fox").expect("text"), Size::new(128, 128).expect("a size"));
    Job::new(prompt, ModelName::new("nano"), size, 4, 3.5, Seed::Random, 1).expect("a job")
}

#[test]
fn marks_are_those_of_the_picture_that_is_seen() {
    let (mut desk, _) = opened();
    desk.key(KeyCode::Right);
    assert_eq!(chosen(&desk), Some(11));
    let four = Rating::try_from(4).expect("it is one");
    assert_eq!(marks(&letter(&mut desk, '4')), [(11, MarkChange::Rate(four))]);
    let mut rated = picture(11, "a fox, 11");
    rated.marks.rating = four;
    tell(&mut desk, rated, false);
    assert_eq!(marks(&letter(&mut desk, '4')), [], "it is rated so already");
    desk.key(KeyCode::Enter);
    assert_eq!(marks(&letter(&mut desk, 'f')), [(11, MarkChange::Favourite(true))]);
    desk.key(KeyCode::Right);
    assert_eq!(marks(&letter(&mut desk, 'f')), [(10, MarkChange::Favourite(true))], "the next, whole");
}

#[test]
fn tags_are_typed_as_a_line_and_asked_for_as_a_difference() {
    let (mut desk, _) = opened();
    let tag = |word: &str| Tag::new(word).expect("it is one");
    let mut tagged = picture(12, "a fox, 12");
    tagged.marks.tags = vec![tag("ink"), tag("old")];
    tell(&mut desk, tagged, false);
    letter(&mut desk, 't');
    desk.control('u');
    desk.type_text("ink, red fox，水墨");
    let change = MarkChange::Tag { add: vec![tag("red fox"), tag("水墨")], remove: vec![tag("old")] };
    assert_eq!(marks(&desk.key(KeyCode::Enter)), [(12, change)]);
    letter(&mut desk, 't');
    assert_eq!(marks(&desk.key(KeyCode::Enter)), [], "nothing is changed");
}

#[test]
fn a_search_asks_the_library_and_a_wrong_one_says_what_would_do() {
    let (mut desk, _) = opened();
    letter(&mut desk, '/');
    desk.type_text("owl rating:9");
    assert_eq!(searches(&desk.key(KeyCode::Enter)), []);
    assert!(said(&desk).contains("0 to 5"), "{}", said(&desk));
    desk.key(KeyCode::Backspace);
    desk.type_text("2");
    let asked = searches(&desk.key(KeyCode::Enter));
    let [query] = &asked[..] else { panic!("not one: {asked:?}") };
    assert_eq!((query.text.as_str(), query.rating.get(), query.before), ("owl", 2, None));
    assert_eq!(chosen(&desk), None);
    let mut owl = picture(5, "an owl");
    owl.marks.rating = Rating::try_from(3).expect("it is one");
    // Those that are on their way from before make room.
    for id in [12, 11] {
        let asked = ThumbnailRequest { picture: PictureId(id), side: 64 };
        desk.event(Event::Answer(Answer::Thumbnail { asked, result: Ok(jpeg()) }));
    }
    let answer = Answer::Found { query: Box::new(query.clone()), result: Ok(vec![owl.clone()]) };
    let effects = desk.event(Event::Answer(answer));
    assert_eq!((copies(&effects), chosen(&desk)), (vec![5], Some(5)));
    // Rated down, it is none of those any more.
    owl.marks.rating = Rating::default();
    tell(&mut desk, owl, false);
    assert_eq!(chosen(&desk), None);
    letter(&mut desk, 'F');
    letter(&mut desk, 'R');
    let query = desk.state.gallery.open().expect("it is open").found.query().clone();
    assert_eq!((query.favourite, query.rating.get()), (true, 3));
}

#[test]
fn what_is_deleted_goes_into_the_trash_and_comes_back() {
    let (mut desk, _) = opened();
    desk.key(KeyCode::Right);
    assert_eq!(marks(&letter(&mut desk, 'd')), [(11, MarkChange::Trash(true))]);
    let mut gone = picture(11, "a fox, 11");
    gone.marks.trashed_at = Some(5);
    tell(&mut desk, gone.clone(), false);
    assert_eq!(chosen(&desk), Some(10), "the next takes its place");
    assert_eq!(desk.state.history.total(), 11);
    // Another key, another look, and it is still there to be taken back.
    desk.key(KeyCode::Esc);
    letter(&mut desk, 'x');
    desk.press(KeyCode::Char('g'), KeyModifiers::ALT);
    assert_eq!(marks(&letter(&mut desk, 'u')), [(11, MarkChange::Trash(false))]);
    gone.marks.trashed_at = None;
    tell(&mut desk, gone, true);
    assert_eq!(chosen(&desk), Some(11), "it is chosen where it was");
    assert_eq!(marks(&letter(&mut desk, 'u')), []);
    assert!(said(&desk).contains("nothing was put into the trash"));
}

#[test]
fn a_whole_picture_that_is_deleted_gives_way_to_the_next() {
    let (mut desk, _) = opened();
    desk.key(KeyCode::Enter);
    letter(&mut desk, 'd');
    let mut gone = picture(12, "a fox, 12");
    gone.marks.trashed_at = Some(5);
    let effects = tell(&mut desk, gone, false);
    assert!(effects.contains(&Effect::Ask(Question::Fetch(PictureId(11)))), "{effects:?}");
    assert_eq!(chosen(&desk), Some(11));
}

#[test]
fn without_a_worker_nothing_is_lost_and_it_is_said() {
    let (mut desk, _) = opened();
    letter(&mut desk, 'd');
    let retry_at = desk.now + Duration::from_secs(30);
    desk.event(Event::News(News::Down { reason: "the line broke".into(), retry_at }));
    assert_eq!(letter(&mut desk, 'u'), []);
    assert_eq!(letter(&mut desk, '5'), []);
    assert!(desk.state.notices.current().is_some());
    assert_eq!(desk.state.gallery.trashed(), 1, "it can still be taken back");
}

#[test]
fn prompts_and_paths_are_copied_and_long_ones_are_refused() {
    let (mut desk, _) = opened();
    assert_eq!(letter(&mut desk, 'y'), [Effect::Copy("a fox, 12".into())]);
    assert_eq!(letter(&mut desk, 'Y'), [Effect::Copy("/pictures/12.png".into())]);
    desk.state.worker.host = Some("me@far".into());
    assert_eq!(letter(&mut desk, 'Y'), [Effect::Copy("me@far:/pictures/12.png".into())]);
    tell(&mut desk, picture(12, &"fox ".repeat(20_000)), false);
    assert_eq!(letter(&mut desk, 'y'), []);
    assert!(said(&desk).contains("80000 bytes are too many"), "{}", said(&desk));
}

#[test]
fn the_parent_is_shown_whether_or_not_it_is_in_sight() {
    let (mut desk, _) = opened();
    letter(&mut desk, 'P');
    assert!(said(&desk).contains("no other picture"));
    tell(&mut desk, Picture { parent: Some(PictureId(3)), ..picture(12, "a fox, 12") }, false);
    letter(&mut desk, 'P');
    assert_eq!(chosen(&desk), Some(3));
    desk.key(KeyCode::Esc);
    let far = Picture { parent: Some(PictureId(-4)), ..picture(3, "a fox, 3") };
    tell(&mut desk, far, false);
    assert!(letter(&mut desk, 'P').contains(&Effect::Ask(Question::Details(PictureId(-4)))));
    let result = Ok(Box::new(picture(-4, "the first")));
    desk.event(Event::Answer(Answer::Details { picture: PictureId(-4), result }));
    assert_eq!(chosen(&desk), Some(-4));
}

#[test]
fn more_like_it_is_the_same_with_new_seeds_and_the_desk_stays_as_it_is() {
    let (mut desk, _) = opened();
    let before = desk.state.prompt.editor.text().to_owned();
    let job = submitted(&letter(&mut desk, 'm'));
    assert_eq!((job.prompt.as_str(), job.seed, job.steps()), ("a fox, 12", Seed::Random, 4));
    assert_eq!((job.parent, job.model.as_str()), (Some(PictureId(12)), "nano"));
    assert_eq!(desk.state.prompt.editor.text(), before);
    let mut strange = picture(12, "a fox, 12");
    strange.recipe.model = ModelName::new("gone");
    tell(&mut desk, strange, false);
    assert!(letter(&mut desk, 'm').is_empty());
    assert!(said(&desk).contains("no more like it"), "{}", said(&desk));
}

#[test]
fn two_are_marked_compared_and_flipped() {
    let (mut desk, _) = opened();
    letter(&mut desk, 'c');
    desk.key(KeyCode::Right);
    desk.key(KeyCode::Right);
    let effects = letter(&mut desk, 'c');
    for id in [12, 10] {
        assert!(effects.contains(&Effect::Ask(Question::Fetch(PictureId(id)))), "{effects:?}");
    }
    let pair = |desk: &Desk| match desk.state.gallery.open().map(|open| open.mode.clone()) {
        Some(Mode::Compare(pair)) => (pair.a.id.0, pair.b.id.0, pair.alone),
        other => panic!("nothing is compared: {other:?}"),
    };
    assert_eq!(pair(&desk), (12, 10, None));
    letter(&mut desk, ' ');
    letter(&mut desk, ' ');
    assert_eq!(pair(&desk), (12, 10, Some(Side::B)));
    letter(&mut desk, '+');
    letter(&mut desk, 'l');
    let zoom = desk.state.gallery.open().expect("it is open").zoom;
    letter(&mut desk, ' ');
    assert_eq!(desk.state.gallery.open().expect("it is open").zoom, zoom, "both at the same place");
    letter(&mut desk, 'b');
    assert_eq!(pair(&desk).2, None);
}

#[test]
fn one_key_compares_with_the_one_before_also_in_the_history() {
    let mut desk = desk();
    desk.key(KeyCode::BackTab);
    letter(&mut desk, 'C');
    let compared = desk.state.gallery.open().map(|open| open.mode.clone());
    let Some(Mode::Compare(pair)) = compared else { panic!("nothing is compared: {compared:?}") };
    assert_eq!((pair.a.id, pair.b.id), (PictureId(11), PictureId(12)));
    desk.key(KeyCode::Esc);
    assert!(!desk.state.gallery.is_open(), "there is no grid behind it");
}

#[test]
fn both_pictures_are_ordered_for_the_same_room_and_the_same_part() {
    let (mut desk, _) = opened();
    letter(&mut desk, 'C');
    let png = Bytes::from_static(b"png");
    let orders = |effects: Vec<Effect>| -> Vec<_> {
        let of = |effect| match effect {
            Effect::Encode(order) => Some((order.slot, order.room, order.zoom)),
            _ => None,
        };
        effects.into_iter().filter_map(of).collect()
    };
    let mut first = Vec::new();
    for id in [11, 12] {
        let answer = Answer::Fetched { picture: PictureId(id), result: Ok(png.clone()) };
        first.extend(orders(desk.event(Event::Answer(answer))));
    }
    assert_eq!(first.iter().map(|order| order.0).collect::<Vec<_>>(), Slot::WHOLE);
    assert_eq!((first[0].1, first[0].2), (first[1].1, first[1].2));
    let nearer = orders(letter(&mut desk, '+'));
    assert!(nearer.len() == 2 && nearer[0].2 == nearer[1].2 && nearer[0].2 != first[0].2, "{nearer:?}");
    let alone = orders(letter(&mut desk, ' '));
    assert!(alone.len() == 2 && alone[0].1.width > first[0].1.width, "both, so that flipping is at once");
    assert_eq!(orders(letter(&mut desk, ' ')), [], "it is there already");
}

#[test]
fn restoring_takes_the_picture_to_the_prompt_and_closes_the_gallery() {
    let (mut desk, _) = opened();
    desk.key(KeyCode::Right);
    letter(&mut desk, 'r');
    assert!(!desk.state.gallery.is_open());
    assert_eq!(desk.state.prompt.editor.text(), "a fox, 11");
}

#[test]
fn a_click_chooses_another_shows_it_whole_and_the_wheel_goes_near() {
    let (mut desk, _) = opened();
    let mouse = |desk: &mut Desk, kind, column, row| {
        let event = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
        desk.event(Event::Input(Input::Mouse(event)))
    };
    let click = MouseEventKind::Down(MouseButton::Left);
    mouse(&mut desk, click, 30, 6);
    assert_eq!(chosen(&desk), Some(11));
    mouse(&mut desk, click, 30, 6);
    assert!(desk.state.gallery.open().is_some_and(|open| matches!(open.mode, Mode::View(_))));
    mouse(&mut desk, MouseEventKind::ScrollUp, 30, 6);
    assert_eq!(desk.state.gallery.open().map(|open| open.zoom.percent()), Some(150));
}

#[test]
fn kitty_is_told_to_drop_what_it_holds_when_the_gallery_closes() {
    let mut desk = desk();
    desk.state.terminal.wanted = crate::config::Graphics::Kitty;
    desk.press(KeyCode::Char('g'), KeyModifiers::ALT);
    assert!(desk.key(KeyCode::Esc).contains(&Effect::DropPictures));
    assert!(!desk.later(10).contains(&Effect::DropPictures));
}
