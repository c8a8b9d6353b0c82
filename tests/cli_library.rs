//! The library from the command line: found, marked, through a worker and without one.

mod home;

use home::Home;
use serde_json::Value;

/// A picture of 32×32 pixels in one step; its path.
fn draw(home: &Home, prompt: &str, more: &[&str]) -> String {
    let size = ["generate", prompt, "--width", "32", "--height", "32", "--steps", "1", "--json"];
    let drawn = home.run(&[&size[..], more].concat()).json();
    drawn["path"].as_str().expect("a path").to_owned()
}

fn stop(home: &Home) {
    home.run(&["worker", "stop"]).done();
}

fn ids(listed: &Value) -> Vec<i64> {
    let pictures = listed["pictures"].as_array().expect("a list");
    pictures.iter().map(|picture| picture["id"].as_i64().expect("a number")).collect()
}

#[test]
fn pictures_are_found_and_marked_through_a_worker_and_without_one() {
    let home = Home::new();
    let empty = home.run(&["library", "list"]);
    assert_eq!(empty.done(), "no picture\n");
    let fox = draw(&home, "a red  fox", &["--seed", "5"]);
    draw(&home, "一只红苹果", &["--seed", "6"]);
    let copy = home.path().join("copy.png");
    std::fs::copy(&fox, &copy).expect("it can be copied");
    let copy = copy.to_str().expect("UTF-8");
    draw(&home, "a red fox", &["--seed", "7", "--like", copy]);
    for worker in [true, false] {
        if !worker {
            stop(&home);
        }
        let list = |more: &[&str]| home.run(&[&["library", "list", "--json"][..], more].concat()).json();
        assert_eq!(ids(&list(&[])), [3, 2, 1]);
        let page = list(&["--limit", "2"]);
        assert_eq!((ids(&page), &page["next"]), (vec![3, 2], &Value::from(2)));
        let page = list(&["--limit", "2", "--before", "2"]);
        assert_eq!((ids(&page), &page["next"]), (vec![1], &Value::Null));
        assert_eq!(ids(&list(&["--parent", copy])), [3], "what was drawn like a copy of it");
        let search =
            |words: &[&str]| ids(&home.run(&[&["library", "search", "--json"][..], words].concat()).json());
        assert_eq!(
            (search(&["FOX", "red"]), search(&["苹果"]), search(&["pear"])),
            (vec![3, 1], vec![2], vec![])
        );
        let rating = if worker { "4" } else { "2" };
        let rated = home.run(&["library", "rate", &fox, rating, "--json"]).json();
        assert_eq!(rated["picture"]["marks"]["rating"].to_string(), rating);
        home.run(&["library", "tag", "1", "+Wild", "-tame", "night sky"]).done();
        let tagged = home.run(&["library", "tag", "1", "-night sky", "--json"]).json();
        assert_eq!(tagged["picture"]["marks"]["tags"], serde_json::json!(["wild"]));
        assert!(home.run(&["library", "favourite", "2"]).done().contains("a favourite"));
        assert_eq!(
            (ids(&list(&["--tag", "WILD", "--rating", "2"])), ids(&list(&["--favourite"]))),
            (vec![1], vec![2])
        );
        home.run(&["library", "favourite", "2", "--off"]).done();
        home.run(&["library", "trash", "3"]).done();
        assert_eq!((ids(&list(&[])), ids(&list(&["--trash"]))), (vec![2, 1], vec![3]));
        home.run(&["library", "restore", "3"]).done();
        let seeds = home.run(&["seeds", "a red fox", "--json"]).json();
        let seeds: Vec<_> =
            seeds["seeds"].as_array().expect("a list").iter().map(|tried| &tried["seed"]).collect();
        assert_eq!(seeds, [5, 7], "the rated one first");
        let shown = home.run(&["library", "show", "1"]);
        assert!(shown.done().contains(&fox) && shown.stdout.contains("wild"), "{shown:?}");
        let details = home.run(&["library", "show", copy, "--json"]).json();
        assert_eq!(details["content"]["bytes"], std::fs::metadata(&fox).expect("it is there").len());
    }
}

#[test]
fn a_picture_that_was_deleted_is_shown_as_missing() {
    let home = Home::new();
    let path = draw(&home, "a fox", &[]);
    std::fs::remove_file(&path).expect("it is there");
    for worker in [true, false] {
        if !worker {
            stop(&home);
        }
        let listed = home.run(&["library", "list"]);
        assert!(listed.done().contains(&format!("missing: {path}")), "{listed:?}");
        assert!(home.run(&["seeds", "a fox"]).done().contains("missing"));
        assert!(home.run(&["library", "show", "1"]).done().contains("(missing)"));
        home.run(&["library", "rate", &path, "3"]).done();
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let home = Home::new();
    draw(&home, "a fox", &[]);
    for worker in [true, false] {
        if !worker {
            stop(&home);
        }
        home.run(&["library", "rate", "1", "6"]).refused_with(&["\"6\"", "0 to 5"]);
        home.run(&["library", "rate", "99", "1"]).refused_with(&["no picture 99"]);
        home.run(&["library", "show", "nosuch.png"]).refused_with(&["nosuch.png", "library import"]);
        home.run(&["library", "tag", "1", "a,b"]).refused_with(&["a,b", "commas"]);
        home.run(&["library", "list", "--since", "soon"]).refused_with(&["soon", "2026-01-31"]);
        home.run(&["library", "search", &"word ".repeat(33)]).refused_with(&["33 words"]);
        home.run(&["seeds", " "]).refused_with(&["the prompt is empty"]);
    }
}
