//! `flux-tui show`: our pictures, those of others, and files that are none.

mod home;

use std::path::PathBuf;

use flux_tui::job::{Prompt, Recipe, Size, Times};
use flux_tui::library::png;
use flux_tui::model::ModelName;
use home::{Home, finish, start};

const PROMPT: &str = "红苹果 🍎\u{1b}[2J, a red apple";

fn recipe() -> Recipe {
    Recipe {
        template: None,
        prompt: Prompt::new(PROMPT).expect("text"),
        model: ModelName::new("nano"),
        size: Size::new(48, 32).expect("on the grid"),
        steps: 20,
        guidance: 3.5,
        seed: u64::MAX,
        precision: "fp32 from fp8 e4m3 weights, CPU".to_owned(),
        cuts: Vec::new(),
        times: Times { load: 0.5, encode: 0.25, denoise: 1.0, decode: 0.125 },
        loras: Vec::new(),
    }
}

fn picture() -> Vec<u8> {
    png::encode(&[90; 48 * 32 * 3], &recipe()).expect("the pixels fit")
}

fn written(home: &Home, name: &str, bytes: &[u8]) -> PathBuf {
    let path = home.path().join(name);
    std::fs::write(&path, bytes).expect("there is room");
    path
}

#[test]
fn our_picture_is_shown_with_all_that_it_was_drawn_from() {
    let home = Home::new();
    written(&home, "图 1.png", &picture());
    let ran = home.run(&["show", "图 1.png"]);
    let text = ran.done();
    for line in [
        "model      nano",
        "size       48×32",
        "steps      20",
        "guidance   3.5",
        "seed       18446744073709551615",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} is not in\n{text}");
    }
    assert!(text.contains("红苹果 🍎") && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn json_holds_the_recipe_and_the_parameters_as_they_are() {
    let home = Home::new();
    written(&home, "a.png", &picture());
    let object = home.run(&["show", "--json", "a.png"]).json();
    assert_eq!((&object["width"], &object["height"]), (&48.into(), &32.into()));
    assert_eq!(serde_json::from_value::<Recipe>(object["recipe"].clone()).expect("a recipe"), recipe());
    assert!(
        object["parameters"]
            .as_str()
            .expect("text")
            .contains("Distilled CFG Scale: 3.5, Seed: 18446744073709551615")
    );
}

#[test]
fn a_picture_of_others_is_no_error() {
    let home = Home::new();
    let path = home.path().join("plain.png");
    image::RgbImage::from_pixel(20, 10, image::Rgb([1, 2, 3])).save(&path).expect("there is room");
    let text = home.run(&["show", "plain.png"]);
    assert!(text.done().contains("20×10") && text.done().contains("none in this file"), "{text:?}");
    let object = home.run(&["show", "--json", "plain.png"]).json();
    assert!(object["recipe"].is_null() && object["parameters"].is_null(), "{object}");
}

#[test]
fn truncated_and_foreign_files_are_named_with_what_they_are() {
    let home = Home::new();
    let png = picture();
    written(&home, "cut.png", &png[..png.len() - 20]);
    home.run(&["show", "cut.png"]).ended_with(1, &["cut.png", "cut short", "copy it again"]);
    written(&home, "head.png", &png[..20]);
    home.run(&["show", "head.png"]).ended_with(1, &["head.png", "cut short"]);
    written(&home, "photo.png", b"\xff\xd8\xff\xe0\0\x10JFIF");
    home.run(&["show", "photo.png"]).ended_with(1, &["a JPEG picture", "only PNG"]);
    written(&home, "empty.png", b"");
    home.run(&["show", "empty.png"]).ended_with(1, &["empty"]);
    written(&home, "text.png", "网页".as_bytes());
    home.run(&["show", "text.png"]).ended_with(1, &["text, not a PNG"]);
}

#[test]
fn damage_is_told_and_is_no_panic() {
    let home = Home::new();
    let mut png = picture();
    let at = png.len() - 30;
    png[at] ^= 0xff;
    written(&home, "damaged.png", &png);
    home.run(&["show", "damaged.png"]).ended_with(1, &["damaged.png", "damaged"]);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let home = Home::new();
    home.run(&["show", "missing.png"]).ended_with(1, &["missing.png", "No such file"]);
    home.run(&["show", "."]).ended_with(1, &["directory"]);
    home.run(&["show", "/dev/zero"]).ended_with(1, &["/dev/zero", "bytes"]);
    home.run(&["show"]).refused_with(&["FILE"]);
}

#[test]
fn a_reader_that_leaves_is_no_panic() {
    let home = Home::new();
    written(&home, "a.png", &picture());
    let mut child = start(&mut home.command(&["show", "a.png"]));
    drop(child.stdout.take());
    finish(child).ended_with(0, &[]);
}
