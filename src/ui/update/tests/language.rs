//! Which language is spoken, and how a person changes it.

use super::*;
use crate::config::LanguageChoice;
use crate::ui::files::Keep;
use crate::ui::habits::Habits;
use crate::ui::keymap::Keymap;
use crate::ui::language::{Language, Languages};

fn kept(effects: &[Effect]) -> Option<LanguageChoice> {
    effects.iter().find_map(|effect| match effect {
        Effect::Keep(Keep::Language(choice)) => Some(*choice),
        _ => None,
    })
}

/// `config.toml` says this.
fn configured(desk: &mut Desk, language: LanguageChoice) {
    desk.event(Event::Habits(Box::new(Habits {
        theme: None,
        language,
        themes: Theme::all_built_in(),
        keys: Keymap::default(),
        problems: Vec::new(),
    })));
}

#[test]
fn a_key_goes_from_one_to_the_next_and_it_is_kept() {
    let mut desk = Desk::connected();
    desk.state.languages.by_environment = LanguageChoice::Chinese;
    desk.key(KeyCode::Tab);
    let press = |desk: &mut Desk| {
        let effects = desk.key(KeyCode::Char('L'));
        (kept(&effects), desk.state.language)
    };
    assert_eq!(press(&mut desk), (Some(LanguageChoice::English), Language::English));
    assert_eq!(press(&mut desk), (Some(LanguageChoice::Chinese), Language::Chinese));
    assert_eq!(press(&mut desk), (Some(LanguageChoice::Auto), Language::Chinese), "by the environment");
}

#[test]
fn a_command_of_the_palette_chooses_one() {
    let mut desk = Desk::connected();
    desk.press(KeyCode::Char('x'), KeyModifiers::ALT);
    desk.type_text("language zh");
    assert_eq!(kept(&desk.key(KeyCode::Enter)), Some(LanguageChoice::Chinese));
    assert_eq!(desk.state.language, Language::Chinese);
    desk.press(KeyCode::Char('x'), KeyModifiers::ALT);
    desk.type_text("language klingon");
    assert_eq!(kept(&desk.key(KeyCode::Enter)), None);
    let palette = &desk.state.palette;
    assert_eq!(palette.wrong(), Some("语言 \"klingon\" 不存在；现有 auto, en, zh"));
}

#[test]
fn the_configuration_counts_where_the_command_line_says_nothing() {
    let mut desk = Desk::connected();
    configured(&mut desk, LanguageChoice::Chinese);
    assert_eq!(desk.state.language, Language::Chinese);
    configured(&mut desk, LanguageChoice::Auto);
    assert_eq!(desk.state.language, Language::English, "of the environment nothing is known");
    desk.state.languages = Languages::begin(Some(LanguageChoice::Chinese), LanguageChoice::English);
    configured(&mut desk, LanguageChoice::English);
    assert_eq!(desk.state.language, Language::Chinese, "the command line said it");
    // By hand it is changed all the same.
    desk.key(KeyCode::Tab);
    desk.key(KeyCode::Char('L'));
    assert_eq!(desk.state.languages.wanted, LanguageChoice::Auto);
    assert_eq!(desk.state.language, Language::English);
}

#[test]
fn plain_signs_speak_english_unless_chinese_was_asked_for() {
    let mut desk = Desk::connected();
    desk.state.look.glyphs = crate::ui::glyphs::ASCII;
    desk.state.languages.by_environment = LanguageChoice::Chinese;
    configured(&mut desk, LanguageChoice::Auto);
    assert_eq!(desk.state.language, Language::English);
    configured(&mut desk, LanguageChoice::Chinese);
    assert_eq!(desk.state.language, Language::Chinese);
}

#[test]
fn what_is_told_is_told_in_the_language() {
    let mut desk = Desk::connected();
    configured(&mut desk, LanguageChoice::Chinese);
    desk.key(KeyCode::Enter);
    let told = desk.state.notices.current().map(|(notice, _)| notice.text.as_str());
    assert_eq!(told, Some("提示词为空：请输入想画的内容"));
    desk.event(Event::Answer(Answer::Submitted(Err("no memory".into()))));
    let told = desk.state.notices.current().map(|(notice, _)| notice.text.as_str());
    assert_eq!(told, Some("任务未被接受：no memory"), "a reason is as the worker says it");
    desk.state.parameters.choose(FieldName::Width);
    desk.state.parameters.paste("100");
    desk.state.parameters.commit();
    let problem = desk.state.parameters.first_problem().expect("it is off the grid");
    assert_eq!(problem.message(Language::Chinese), "100 须为 16 的倍数，最大 2048");
    assert!(problem.message(Language::English).starts_with("100 is not a multiple of 16"));
}
