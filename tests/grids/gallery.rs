//! Grids in the gallery of the real program, by keys: one entry each, opened, rated, thrown away and taken back as one.

use serde_json::Value;

use super::{Home, grid, open};

const RIGHT: &str = "\x1b[C";

/// The library's pictures, the newest first; those in the trash, or those that are not.
fn pictures(home: &Home, trashed: bool) -> Vec<Value> {
    let all = ["library", "list", "--json", "--trash"];
    let told = home.run(if trashed { &all } else { &all[..3] }).json();
    told["pictures"].as_array().expect("a list").clone()
}

#[test]
fn a_grid_is_one_entry_that_is_opened_rated_and_thrown_away_as_one() {
    let home = Home::new();
    home.run(&["generate", "an owl", "--steps", "2", "--seed", "9"]).done();
    let told =
        grid(&home, "a {red|blue} fox", &["--axis", "prompt:{red|blue}", "--axis", "steps=1,2", "--json"]);
    assert_eq!(told.code, 0, "{told:?}");
    let mut studio = open(&home);
    studio.see("History 5");
    studio.type_keys("\x1bg");
    studio.see("grid of 4");
    studio.see("grid 1 of 4 pictures");
    // Its rating is its own.
    studio.type_keys("4f");
    studio.see("4★ ♥");
    studio.type_keys("\r");
    studio.see("Grid 1  4 pictures");
    studio.see("a red fox");
    studio.see("red, steps 1");
    studio.type_keys(RIGHT);
    studio.see("a blue fox");
    studio.type_keys("2");
    studio.see("2★");
    // One of them whole, and back to the gallery by two steps.
    studio.type_keys("\r");
    studio.see("nearer");
    studio.type_keys("\x1b");
    studio.see("Grid 1  4 pictures");
    studio.type_keys("\x1b");
    studio.see("Gallery  5 pictures");
    studio.see("grid of 4");

    studio.type_keys("d");
    studio.see("in the trash with 4 pictures");
    studio.see("Gallery  1 picture");
    assert_eq!((pictures(&home, false).len(), pictures(&home, true).len()), (1, 4));
    assert_eq!(home.run(&["grids", "list"]).stdout, "");
    studio.type_keys("u");
    studio.see("Gallery  5 pictures");
    studio.see("4★ ♥");
    let ratings: Vec<i64> = pictures(&home, false)
        .iter()
        .map(|picture| picture["marks"]["rating"].as_i64().expect("one"))
        .collect();
    assert_eq!(ratings.iter().sum::<i64>(), 2, "only one was rated by itself: {ratings:?}");
    assert!(pictures(&home, true).is_empty());
    studio.type_keys("S");
    studio.see("complete");
    studio.type_keys("\x03");
    assert_eq!(studio.ended(), 0);
    home.run(&["library", "check"]).done();
}
