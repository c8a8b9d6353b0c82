//! Both files are complete, and so are the phrases.

use std::collections::BTreeSet;

use super::text::places_of;
use super::*;
use crate::ui::command::FORMS;
use crate::ui::keymap::{Context, KEYMAP};

/// The sources whose texts are phrases: every text in them that begins with a letter and is no key's name.
const ARROWS: [&str; 5] = ["Enter", "Up", "Down", "Left", "Right"];
const HINTS: [&str; 3] = [
    include_str!("../view/hints.rs"),
    include_str!("../view/over.rs"),
    include_str!("../view/gallery/hints.rs"),
];

fn messages_of(file: &str) -> Messages {
    toml::from_str(file).unwrap_or_else(|error| panic!("a file of messages: {error}"))
}

#[test]
fn both_files_have_every_message_with_its_places_and_no_other() {
    let mut wrong = Vec::new();
    for (language, file) in Language::ALL {
        let mut messages = messages_of(file);
        for (name, places) in DECLARED {
            let Some(text) = messages.remove(*name) else {
                wrong.push(format!("{language:?} has no {name}"));
                continue;
            };
            let mut wanted = places.to_vec();
            wanted.sort_unstable();
            if places_of(&text) != wanted {
                wrong.push(format!("{language:?} {name}: the table has {wanted:?}, the text is {text:?}"));
            }
            if text.trim().is_empty() {
                wrong.push(format!("{language:?} {name} says nothing"));
            }
        }
        wrong.extend(messages.into_keys().map(|name| format!("{language:?} has {name}, the table has not")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Those texts of a source, without its comments.
fn texts_in(source: &str) -> BTreeSet<&str> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    let said = |text: &&str| text.starts_with(|first: char| first.is_ascii_alphabetic());
    quoted.filter(said).filter(|text| !ARROWS.contains(text)).collect()
}

#[test]
fn every_phrase_is_there_in_chinese_and_no_other() {
    let mut said: BTreeSet<&str> = KEYMAP.iter().map(|line| line.help).collect();
    said.extend(FORMS.iter().map(|form| form.help));
    said.extend(Context::ALL.map(Context::title));
    let hints = HINTS.iter().flat_map(|source| texts_in(source)).collect::<BTreeSet<_>>();
    assert!(hints.contains("letters filter") && hints.contains("do it"), "{hints:?}");
    said.extend(hints);
    let phrases = messages_of(CHINESE_PHRASES);
    let known: BTreeSet<&str> = phrases.keys().map(String::as_str).collect();
    let missing: Vec<_> = said.difference(&known).collect();
    assert!(missing.is_empty(), "messages/phrases-zh.toml lacks {missing:#?}");
    let unsaid: Vec<_> = known.difference(&said).collect();
    assert!(unsaid.is_empty(), "nothing says what messages/phrases-zh.toml has: {unsaid:#?}");
}

/// What is English by mistake in a file that was copied and not translated.
#[test]
fn chinese_is_chinese() {
    let is_chinese = |text: &str| text.chars().any(|letter| ('\u{4e00}'..='\u{9fff}').contains(&letter));
    // Names that Chinese has too, and texts of places only.
    let names = ["LoRA", "VAE", "Transformer", "LoRA {bytes}", "{done} / {total}", "{title}：{filter}"];
    let places = ["{field}：{message}", "{model}：{said}", "{file}：{found}"];
    let same = |text: &str| names.contains(&text) || places.contains(&text);
    for file in [CHINESE, CHINESE_PHRASES] {
        for (name, text) in messages_of(file) {
            assert!(is_chinese(&text) || same(&text), "{name} = {text:?}");
            // Their width differs from terminal to terminal.
            assert!(!text.contains(['“', '”', '‘', '’', '—']), "{name} = {text:?}");
        }
    }
    let english = messages_of(ENGLISH);
    assert!(english.values().all(|text| !is_chinese(text)));
}

#[test]
fn messages_are_said_in_both_languages() {
    let (english, chinese) = (Language::English, Language::Chinese);
    assert_eq!((english.queue_title(3), chinese.queue_title(3)), ("Queue 3".into(), "队列 3".into()));
    assert_eq!(english.log_done(7, 1), "job 7 is done: 1 picture");
    assert_eq!(english.log_done(7, 4), "job 7 is done: 4 pictures");
    assert_eq!(chinese.log_done(7, 1), "任务 7 完成：1 张");
    assert_eq!((english.phrase("draw"), chinese.phrase("draw")), ("draw", "生成"));
    assert_eq!(chinese.phrase("said nowhere"), "said nowhere");
}

#[test]
fn the_environment_counts_where_nothing_is_chosen() {
    let chosen = Language::chosen;
    use LanguageChoice::{Auto, Chinese, English};
    assert_eq!(chosen(Auto, Chinese, false), Language::Chinese);
    assert_eq!(chosen(Auto, Chinese, true), Language::English, "plain signs have no Chinese");
    assert_eq!(chosen(Chinese, English, true), Language::Chinese, "what a person says counts");
    assert_eq!(chosen(English, Chinese, false), Language::English);
    assert_eq!(chosen(Auto, English, false), Language::English);
}
