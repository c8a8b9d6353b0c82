//! Prompts with choices: the same words for the same seed, kept with the picture, in the studio and on the command line.

use serde_json::Value;

use super::{Home, open};

const PROMPT: &str = "a {red|green|blue} __动物/animal__, ink";

fn write(home: &Home, name: &str, text: &str) {
    let path = home.path().join(".config/flux-tui/wildcards").join(name);
    std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
    std::fs::write(path, text).expect("there is room");
}

fn draw(home: &Home, more: &[&str]) -> Value {
    home.run(&[&["generate", "--steps", "1", "--width", "32", "--height", "32", "--json"], more].concat())
        .json()
}

fn words(picture: &Value) -> &str {
    picture["recipe"]["prompt"].as_str().expect("a prompt")
}

#[test]
fn the_command_line_draws_a_seed_with_its_words_and_like_has_them_again() {
    let home = Home::new();
    let missing = home.run(&["generate", PROMPT]);
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.stderr.contains("there is no wildcard __动物/animal__"), "{}", missing.stderr);
    assert!(missing.stderr.contains("there are none yet"), "{}", missing.stderr);
    write(&home, "动物/animal.txt", "# animals\nfox\ncat\nowl\n");
    let told = home.run(&["generate", "a __animal__"]).stderr;
    assert!(told.contains("there is 动物/animal"), "{told}");
    home.run(&[
        "queue", "add", PROMPT, "--steps", "1", "--width", "32", "--height", "32", "--seed", "5", "--count",
        "6",
    ])
    .done();
    home.status_when("six pictures", |status| status["pictures"] == 6);
    let listed = home.run(&["library", "list", "--json"]).json();
    let pictures = listed["pictures"].as_array().expect("a list");
    let drawn: Vec<_> = pictures.iter().rev().map(words).collect();
    assert!(pictures.iter().all(|picture| picture["recipe"]["template"] == PROMPT), "{listed}");
    assert!(drawn.iter().all(|words| !words.contains(['{', '_'])), "{drawn:?}");
    assert!(drawn.iter().any(|words| *words != drawn[0]), "{drawn:?}");
    // The third seed of the six, alone; then like its file; then found by a word that only the wildcard has.
    let again = draw(&home, &[PROMPT, "--seed", "7"]);
    let path = again["path"].as_str().expect("a path");
    let shown = home.run(&["show", path, "--json"]).stdout + &home.run(&["library", "show", path]).stdout;
    assert!(shown.contains(PROMPT) && shown.contains(drawn[2]), "{shown}");
    draw(&home, &["--like", path]);
    let listed = home.run(&["library", "list", "--json", "--limit", "2"]).json();
    for picture in listed["pictures"].as_array().expect("a list") {
        assert_eq!((words(picture), &picture["recipe"]["template"]), (drawn[2], &Value::from(PROMPT)));
    }
    let animal = drawn[2].split([' ', ',']).nth(2).expect("an animal");
    let found = home.run(&["library", "search", animal, "--json"]).json();
    let found = found["pictures"].as_array().expect("a list");
    assert!(!found.is_empty() && found.iter().all(|picture| words(picture).contains(animal)), "{found:?}");
}

#[test]
fn the_studio_draws_choices_and_keeps_the_prompt_as_it_was_written() {
    let home = Home::new();
    write(&home, "animal.txt", "fox\n");
    let mut studio = open(&home);
    studio.see("Nothing to set up");
    studio.type_keys("a __fog__");
    studio.see("there is no wildcard __fog__");
    studio.type_keys("\x15{small|small} __animal__");
    studio.see("at most");
    studio.type_keys("\t2\r");
    // What was drawn stands in the history, what was written in the prompt.
    studio.see("small fox");
    studio.see("History 1");
    studio.type_keys("\t\t\r");
    studio.until("the choices in the prompt", |screen| {
        let row = screen.rows(0, 36).nth(2)?;
        row.contains("{small|small} __animal__").then_some(())
    });
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
}
