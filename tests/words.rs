//! A person who reads Chinese, in a real terminal with the real program and its real worker: the language of the
//! environment, of a flag, and of a key, and that it is remembered.

mod home;
mod terminal;

use std::fs;

use home::Home;
use terminal::Terminal;

const CHINESE: &str = "zh_CN.UTF-8";
const CTRL_C: &str = "\x03";

fn open(home: &Home, locale: &str, arguments: &[&str]) -> Terminal {
    let mut command = home.studio();
    command.args(arguments);
    Terminal::start_in(locale, command)
}

fn leave(mut studio: Terminal) {
    studio.type_keys(CTRL_C);
    assert_eq!(studio.ended(), 0);
}

#[test]
fn a_first_picture_in_chinese() {
    let home = Home::new();
    let mut studio = open(&home, CHINESE, &[]);
    studio.see("无需设置：内置模型可以直接生成。");
    studio.see("就绪");
    studio.type_keys("a red apple, 3d");
    studio.see("T5 7/32");
    studio.type_keys("\r");
    studio.see("历史 1");

    // A long one: how far it is, and that it was cancelled.
    studio.type_keys("\t200\r");
    studio.see("步数 200");
    studio.until("how far it is", |screen| {
        let first = screen.rows(0, 80).next().unwrap_or_default();
        (first.contains("生成 ") && first.contains("/200")).then_some(())
    });
    studio.see("Esc 取消");
    studio.type_keys("\x1b");
    studio.see("就绪");
    studio.type_keys(":日志");
    studio.see("本次会话的日志");
    studio.type_keys("\r");
    studio.see("已取消，生成了 0 张");
    leave(studio);
}

#[test]
fn the_language_is_changed_by_a_key_and_remembered() {
    let home = Home::new();
    let mut studio = open(&home, CHINESE, &[]);
    studio.see("提示词");
    studio.see("就绪");
    // Out of the prompt, where letters are keys; after automatic comes English.
    studio.type_keys("\tL");
    studio.see("Prompt");
    studio.see("ready");
    let config = home.path().join(".config/flux-tui/config.toml");
    studio.until("the language in the file", |_| {
        let text = fs::read_to_string(&config).unwrap_or_default();
        (text == "language = \"en\"\n").then_some(())
    });
    leave(studio);
    let again = open(&home, CHINESE, &[]);
    again.see("Prompt");
    // The file is changed while it is open.
    fs::write(&config, "language = \"zh\"\n").expect("there is room");
    again.see("提示词");
    fs::write(&config, "language = \"zn\"\n").expect("there is room");
    again.see("config.toml, line 1: language");
    again.see("\"zn\" is not one of auto, en, zh");
    leave(again);
}

#[test]
fn the_command_line_goes_before_the_environment() {
    let home = Home::new();
    let studio = open(&home, "C.UTF-8", &["--language", "zh"]);
    studio.see("提示词");
    leave(studio);
    let studio = open(&home, CHINESE, &["--language", "en"]);
    studio.see("Prompt");
    leave(studio);
    let told = home.run(&["--language", "fr"]);
    assert!(told.stderr.contains("\"fr\" is not one of auto, en, zh"), "{told:?}");
}
