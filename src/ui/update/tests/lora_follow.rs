//! The picker of LoRAs follows the worker's folders, and shows the picture of the chosen one.

use bytes::Bytes;

use super::*;
use crate::ui::pane::lora_pictures::PictureKey;
use crate::ui::picture::{Drawable, Encoded, HalfBlocks, Order, Slot};
use crate::ui::terminal::facts::Environment;
use crate::wire::loras::{ListLoras, LoraInfo, LoraList};

/// How the list was asked for.
fn asked(effects: &[Effect]) -> Option<ListLoras> {
    effects.iter().find_map(|effect| match effect {
        Effect::Ask(Question::Loras(asked)) => Some(*asked),
        _ => None,
    })
}

fn pictured(effects: &[Effect]) -> Option<PictureKey> {
    effects.iter().find_map(|effect| match effect {
        Effect::Ask(Question::LoraPicture(key)) => Some(key.clone()),
        _ => None,
    })
}

fn answer(desk: &mut Desk, list: Option<LoraList>) -> Vec<Effect> {
    desk.event(Event::Answer(Answer::Loras(Ok(list))))
}

fn opened(list: LoraList) -> (Desk, Vec<Effect>) {
    opened_at(Desk::connected(), list)
}

fn opened_at(mut desk: Desk, list: LoraList) -> (Desk, Vec<Effect>) {
    let first = asked(&desk.key(KeyCode::F(3))).expect("it is asked for");
    assert_eq!((first.known, first.patience_ms.is_some()), (None, true), "names first");
    let effects = answer(&mut desk, Some(list));
    (desk, effects)
}

#[test]
fn the_list_follows_the_folders_while_it_is_seen() {
    let (mut desk, effects) = opened(fake::loras());
    assert_eq!(asked(&effects), None);
    assert_eq!(desk.state.deadline(), None, "watched folders cost nothing");
    let again = asked(&desk.worker(message::Event::Loras)).expect("it is asked for again");
    assert_eq!(again.known, Some(fake::loras().digest()));
    assert_eq!(asked(&desk.worker(message::Event::Loras)), None, "one question at a time");
    let mut fewer = fake::loras();
    fewer.loras.remove(0);
    assert!(asked(&answer(&mut desk, Some(fewer.clone()))).is_some(), "it changed once more meanwhile");
    answer(&mut desk, None);
    assert_eq!(desk.state.loras.len(), fewer.loras.len(), "the same list stays");
    desk.key(KeyCode::Esc);
    assert_eq!(asked(&desk.worker(message::Event::Loras)), None, "nobody looks");
    assert!(asked(&desk.key(KeyCode::F(3))).is_some());
}

#[test]
fn names_come_first_and_then_what_they_are() {
    let mut names = fake::loras();
    names.loras.iter_mut().for_each(|lora| (lora.facts, lora.preview) = (None, None));
    let (mut desk, effects) = opened(names);
    assert_eq!(desk.state.loras.len(), 5);
    let rest = asked(&effects).expect("the rest is asked for at once");
    assert_eq!(rest.patience_ms, None);
    assert_eq!(asked(&answer(&mut desk, Some(fake::loras()))), None);
    // One that is not read yet can be taken: the worker looks at it before it draws.
    let (mut desk, _) = opened(LoraList {
        loras: vec![LoraInfo { facts: None, ..fake::loras().loras[0].clone() }],
        ..LoraList::default()
    });
    desk.key(KeyCode::Enter);
    assert_eq!(desk.state.loras.drafted().all().len(), 1);
}

#[test]
fn folders_that_nobody_tells_of_are_looked_through_now_and_then() {
    let (mut desk, effects) = opened(LoraList { watched: false, ..fake::loras() });
    assert_eq!(asked(&effects), None);
    let due = desk.state.deadline().expect("it is looked again");
    assert_eq!(due - desk.now, Duration::from_secs(10));
    assert_eq!(asked(&desk.later(9_999)), None);
    let again = asked(&desk.later(1)).expect("it is due");
    assert!(again.known.is_some(), "of the same list nothing is sent");
    assert_eq!(desk.state.deadline(), None, "not before it is answered");
    // A folder that takes two seconds is not gone through all the time.
    desk.later(2_000);
    answer(&mut desk, None);
    assert_eq!(desk.state.deadline().map(|due| due - desk.now), Some(Duration::from_secs(40)));
    desk.key(KeyCode::Esc);
    assert_eq!(desk.state.deadline(), None, "nobody looks");
}

fn order(effects: &[Effect]) -> Option<Order> {
    effects.iter().find_map(|effect| match effect {
        Effect::Encode(order) if order.slot == Slot::LORA => Some(order.clone()),
        _ => None,
    })
}

#[test]
fn the_picture_of_the_chosen_one_is_asked_for_and_dropped_with_the_picker() {
    let mut desk = Desk::connected();
    desk.state.terminal = Facts::new(Environment::default(), crate::config::Graphics::Kitty);
    let (mut desk, effects) = opened_at(desk, fake::pictured_loras());
    let key = pictured(&effects).expect("the chosen one has one");
    assert!(key.path.ends_with("ink.safetensors") && key.side >= 64, "{key:?}");
    assert_eq!(pictured(&desk.key(KeyCode::Down)), None, "this one has none");
    let moved = desk.key(KeyCode::End);
    assert_eq!(pictured(&moved), None, "one at a time");
    let effects = desk.event(Event::Answer(Answer::LoraPicture {
        key: key.clone(),
        result: Ok(Some(Bytes::from_static(b"a"))),
    }));
    assert!(order(&effects).is_none(), "it is no more the chosen one");
    let other = pictured(&effects).expect("this one has another");
    assert!(other.path.ends_with("画.safetensors") && other.preview == 7);
    let none = desk.event(Event::Answer(Answer::LoraPicture { key: other, result: Err("cut".into()) }));
    assert!(pictured(&none).is_none() && order(&none).is_none(), "what cannot be had is not asked for again");
    let back = desk.key(KeyCode::Home);
    assert_eq!(pictured(&back), None, "it is here already");
    let Order { number, slot, subject, room, means, .. } = order(&back).expect("it is made ready");
    assert_eq!(subject, Subject::Lora(1));
    let drawable = Drawable::HalfBlocks(HalfBlocks::new(&fake::pixels(8, 8, 1)));
    desk.event(Event::Encoded(Encoded { number, slot, subject, room, means, result: Ok(drawable) }));
    assert!(desk.state.loras.pictures.shown(&key).is_some());
    assert!(desk.key(KeyCode::Esc).contains(&Effect::DropPictures));
    assert!(!desk.key(KeyCode::Down).contains(&Effect::DropPictures));
}
