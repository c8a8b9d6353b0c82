//! The gallery of the real program, in a real terminal, by keys alone: looked through and rated, searched, deleted and
//! taken back, compared, copied from, and more drawn of what is liked.

#[path = "../home/mod.rs"]
mod home;
#[path = "../terminal/mod.rs"]
mod terminal;

use std::path::Path;

use home::Home;
use serde_json::Value;
use terminal::Terminal;

const OPEN: &str = "\x1bg";
const RIGHT: &str = "\x1b[C";

/// A home with three pictures, the newest of an owl.
fn home() -> Home {
    let home = Home::new();
    for (prompt, seed) in [("a red fox, ink", "7"), ("a blue fox, ink", "8"), ("an owl at night", "9")] {
        home.run(&["generate", prompt, "--steps", "2", "--seed", seed]).done();
    }
    home
}

/// The studio in a terminal of its own, its gallery open.
fn open(home: &Home) -> Terminal {
    let mut studio = Terminal::start(home.studio());
    studio.see("History 3");
    studio.type_keys(OPEN);
    studio.see("Gallery  3 pictures");
    studio
}

fn leave(mut studio: Terminal) {
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
}

/// The library's pictures, the newest first.
fn pictures(home: &Home) -> Vec<Value> {
    let told = home.run(&["library", "list", "--json"]).json();
    told["pictures"].as_array().expect("a list").clone()
}

/// Different colours in a row of the screen: a picture has many, an empty place one.
fn colours(screen: &vt100::Screen, row: u16, columns: std::ops::Range<u16>) -> usize {
    let mut found: Vec<String> = columns
        .filter_map(|column| screen.cell(row, column))
        .map(|cell| format!("{:?}", cell.bgcolor()))
        .collect();
    found.sort();
    found.dedup();
    found.len()
}

#[test]
fn looked_through_and_rated() {
    let home = home();
    let mut studio = open(&home);
    for (what, columns) in [("first", 3..25), ("second", 29..51), ("third", 55..77)] {
        studio.until(&format!("{what} small copy"), |screen| {
            (colours(screen, 6, columns.clone()) > 4).then_some(())
        });
    }
    studio.type_keys(RIGHT);
    studio.see("a blue fox, ink");
    studio.type_keys("4f");
    studio.see("4★ ♥");
    studio.type_keys("\r");
    studio.until("whole picture", |screen| (colours(screen, 12, 25..55) > 8).then_some(()));
    studio.type_keys("++l");
    studio.see("200 %");
    // The next one, as near.
    studio.type_keys("n");
    studio.see("a red fox, ink");
    studio.type_keys("qq");
    studio.see("History 3");
    leave(studio);
    let rated: Vec<_> = pictures(&home)
        .iter()
        .map(|picture| (picture["marks"]["rating"].clone(), picture["marks"]["favourite"].clone()))
        .collect();
    assert_eq!(rated[1], (4.into(), true.into()), "{rated:?}");
    assert_eq!(rated[0], (0.into(), false.into()), "{rated:?}");
}

#[test]
fn filtered_and_searched() {
    let home = home();
    let mut studio = open(&home);
    studio.type_keys("/fox\r");
    studio.see("Gallery  2 pictures  fox");
    studio.see("a blue fox, ink");
    studio.type_keys("t水墨, good\r");
    studio.see("good, 水墨");
    studio.type_keys("/\x15tag:good rating:8\r");
    studio.see("0 to 5");
    studio.type_keys("\x7f1\r");
    studio.see("nothing of the library is so");
    // Any rating, by a key: 1 is the least that there is, five more and it is none again.
    studio.type_keys("RRRRR");
    studio.see("Gallery  1 picture  tag:good");
    studio.type_keys("5F");
    studio.see("nothing of the library is so");
    studio.type_keys("F");
    studio.see("5★");
    leave(studio);
    let told = home.run(&["library", "list", "--tag", "good", "--json"]).json();
    assert_eq!(told["pictures"][0]["marks"]["tags"], serde_json::json!(["good", "水墨"]), "{told}");
}

#[test]
fn deleted_and_taken_back() {
    let home = home();
    let mut studio = open(&home);
    studio.see("an owl at night");
    studio.type_keys("d");
    studio.see("Gallery  2 pictures");
    studio.see("u takes back 1");
    studio.see("a blue fox, ink");
    let left = pictures(&home);
    assert_eq!(left.len(), 2);
    studio.type_keys("X");
    studio.see("is:trashed");
    studio.see("an owl at night");
    studio.type_keys("X");
    studio.see("a blue fox, ink");
    studio.type_keys("u");
    studio.see("Gallery  3 pictures");
    studio.see("an owl at night");
    leave(studio);
    let back = pictures(&home);
    assert_eq!(back.len(), 3);
    assert!(Path::new(back[0]["path"].as_str().expect("a path")).is_file(), "{back:?}");
}

#[test]
fn two_compared_and_flipped() {
    let home = home();
    let mut studio = open(&home);
    studio.type_keys(RIGHT);
    studio.see("a blue fox, ink");
    studio.type_keys("C");
    studio.see("a [-red-]{+blue+} fox, ink");
    studio.see("seed 7 → 8");
    for (what, columns) in [("first", 5..35), ("second", 45..75)] {
        studio.until(&format!("{what} picture"), |screen| {
            (colours(screen, 10, columns.clone()) > 8).then_some(())
        });
    }
    let middle = |screen: &vt100::Screen| -> Vec<vt100::Color> {
        (25..55).filter_map(|column| screen.cell(10, column)).map(vt100::Cell::bgcolor).collect()
    };
    studio.type_keys(" ");
    studio.see("○ B");
    let a = studio.until("first alone", |screen| {
        (screen.contents().contains("○ B") && colours(screen, 10, 25..55) > 8).then(|| middle(screen))
    });
    studio.type_keys(" ");
    studio.until("second in its place", |screen| {
        let other = middle(screen);
        (screen.contents().contains("○ A") && colours(screen, 10, 25..55) > 8 && other != a).then_some(())
    });
    studio.type_keys("b");
    studio.see("● A");
    // Marked one after the other.
    studio.type_keys("qc");
    studio.see("marked");
    studio.type_keys("hc");
    studio.see("{+");
    leave(studio);
}

#[test]
fn a_prompt_and_a_path_are_copied() {
    let home = home();
    let mut studio = open(&home);
    studio.see("an owl at night");
    studio.type_keys("y");
    // "an owl at night"
    studio.sent("\x1b]52;c;YW4gb3dsIGF0IG5pZ2h0\x07");
    studio.see("15 characters");
    studio.type_keys("Y");
    studio.see("the path goes to");
    leave(studio);
}

#[test]
fn more_of_what_is_liked() {
    let home = home();
    let mut studio = open(&home);
    studio.see("an owl at night");
    studio.type_keys("m");
    studio.see("1 more like it goes to the queue");
    studio.see("Gallery  4 pictures");
    // The parent, from the child.
    studio.type_keys("hP");
    studio.until("the parent whole", |screen| {
        let text = screen.contents();
        (text.contains(" 9 · ") && text.contains("older")).then_some(())
    });
    leave(studio);
    let all = pictures(&home);
    let recipe = |at: usize| all[at]["recipe"].clone();
    assert_eq!((all.len(), &recipe(0)["prompt"], &recipe(0)["steps"]), (4, &recipe(1)["prompt"], &2.into()));
    assert_ne!(recipe(0)["seed"], recipe(1)["seed"]);
    assert_eq!(all[0]["parent"], all[1]["id"], "{all:?}");
}
