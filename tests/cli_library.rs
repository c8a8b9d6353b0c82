//! The library from the command line: found, marked, through a worker and without one.

mod home;

use std::path::{Path, PathBuf};

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

/// A PNG of 32×32 white pixels with a text.
fn foreign(path: &Path, keyword: &str, text: &str) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).expect("it can be made"), 32, 32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.add_itxt_chunk(keyword.to_owned(), text.to_owned()).expect("it is text");
    let mut writer = encoder.write_header().expect("there is room");
    writer.write_image_data(&[255; 32 * 32]).expect("there is room");
}

/// Pictures of other programs, a copy of ours, and what is none.
fn folder(home: &Home, ours: &str) -> PathBuf {
    let folder = home.path().join("elsewhere");
    std::fs::create_dir_all(folder.join("deeper")).expect("it can be made");
    let forge = "a blue hen\nNegative prompt: ugly\nSteps: 8, CFG scale: 1, Distilled CFG Scale: 3, Seed: 77, Model: dev";
    foreign(&folder.join("forge.png"), "parameters", forge);
    let comfy = r#"{"1": {"class_type": "KSampler", "inputs": {"seed": 78, "steps": 4, "cfg": 1.0,
        "positive": ["2", 0], "latent_image": ["3", 0]}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a green hen"}}}"#;
    foreign(&folder.join("deeper/comfy.PNG"), "prompt", comfy);
    foreign(&folder.join("workflow.png"), "workflow", "{}");
    foreign(&folder.join("silent.png"), "Comment", "nothing");
    std::fs::copy(ours, folder.join("ours.png")).expect("it can be copied");
    std::fs::write(folder.join("cut.png"), &std::fs::read(ours).expect("it is there")[..100])
        .expect("written");
    std::fs::write(folder.join("notes.txt"), "no picture").expect("written");
    std::os::unix::fs::symlink(&folder, folder.join("circle")).expect("it can be made");
    folder
}

fn lengths(report: &Value, lists: &[&str]) -> Vec<usize> {
    lists.iter().map(|list| report[list].as_array().map_or(usize::MAX, Vec::len)).collect()
}

#[test]
fn pictures_of_other_programs_are_taken_in_where_they_are() {
    let home = Home::new();
    let ours = draw(&home, "a red fox", &["--seed", "5"]);
    let folder = folder(&home, &ours);
    let import = |more: &[&str]| {
        let folder = folder.to_str().expect("UTF-8");
        home.run(&[&["library", "import", folder, "--json"][..], more].concat()).json()
    };
    let lists = ["taken", "moved", "known", "copies", "skipped"];
    for worker in [true, false] {
        if !worker {
            stop(&home);
        }
        let dry = import(&["--dry-run"]);
        let expected = if worker { [2, 0, 0, 1, 3] } else { [0, 0, 2, 1, 3] };
        assert_eq!((lengths(&dry, &lists), &dry["others"]), (expected.to_vec(), &Value::from(2)));
        let done = import(&[]);
        assert_eq!(lengths(&done, &lists), expected, "{done}");
        assert_eq!(
            home.run(&["library", "list", "--json"]).json()["pictures"].as_array().map(Vec::len),
            Some(3)
        );
    }
    let done = import(&[]);
    let reason = |file: &str| {
        let skipped = done["skipped"].as_array().expect("a list");
        let found = skipped.iter().find(|it| it["path"].as_str().is_some_and(|path| path.ends_with(file)));
        found.expect(file)["reason"].as_str().expect("text").to_owned()
    };
    assert!(reason("workflow.png").contains("workflow of ComfyUI without the prompt"));
    assert!(reason("silent.png").contains("no parameters") && reason("cut.png").contains("cut short"));
    let hen = home.run(&["library", "search", "green hen", "--json"]).json();
    let hen = &hen["pictures"][0];
    assert_eq!(
        (&hen["origin"], &hen["recipe"]["seed"], &hen["missing"]),
        (&"comfyui".into(), &78.into(), &false.into())
    );
    assert!(hen["path"].as_str().is_some_and(|path| path.ends_with("elsewhere/deeper/comfy.PNG")));
    let told = home.run(&["library", "import", folder.to_str().expect("UTF-8")]);
    assert!(
        told.done().ends_with("done: 0 taken in, 0 found again, 2 known already, 1 copies, 5 skipped\n"),
        "{told:?}"
    );
    home.run(&["library", "import", "nosuch"]).ended_with(1, &["nosuch could not be read"]);
}

#[test]
fn a_studio_sees_what_is_taken_in_and_files_that_moved_are_found_again() {
    let home = Home::new();
    let fox = PathBuf::from(draw(&home, "a red fox", &["--seed", "5"]));
    let hen = PathBuf::from(draw(&home, "a hen", &["--seed", "6"]));
    home.run(&["library", "rate", "1", "5"]).done();
    assert_eq!(home.run(&["library", "check"]).done(), "2 pictures, all in order\n");
    let away = home.path().join("away");
    std::fs::create_dir(&away).expect("it can be made");
    std::fs::rename(&fox, away.join("renamed.png")).expect("it is there");
    std::fs::write(&hen, b"painted over").expect("it can be written");
    std::fs::copy(away.join("renamed.png"), hen.with_file_name("stray.png")).expect("it can be copied");
    for worker in [true, false] {
        if !worker {
            stop(&home);
        }
        let checked = home.run(&["library", "check", "--json"]);
        checked.ended_with(1, &["3 things of the library not in order", "library repair"]);
        assert_eq!(lengths(&checked.json(), &["missing", "changed", "unknown", "unhashed"]), [1, 1, 1, 0]);
        let dry = home.run(&["library", "repair", "--dry-run", "--json"]).json();
        assert_eq!(lengths(&dry, &["moved", "taken", "completed", "missing", "skipped"]), [1, 0, 0, 0, 1]);
    }
    std::fs::remove_file(hen.with_file_name("stray.png")).expect("it is there");
    let elsewhere = home.run(&["library", "repair", "away", "--json"]).json();
    assert_eq!(lengths(&elsewhere, &["moved", "taken", "missing", "skipped"]), [1, 0, 0, 1], "{elsewhere}");
    let shown = home.run(&["library", "show", "1", "--json"]).json();
    assert_eq!(shown["picture"]["marks"]["rating"], 5);
    assert!(
        shown["picture"]["path"].as_str().is_some_and(|path| path.ends_with("away/renamed.png")),
        "{shown}"
    );
    let checked = home.run(&["library", "check"]);
    checked.ended_with(1, &["1 thing of"]);
    assert!(checked.stdout.starts_with("changed  picture 2"), "{checked:?}");
}

#[test]
fn a_damaged_library_is_made_anew_and_the_person_is_told() {
    let home = Home::new();
    draw(&home, "a red fox", &["--seed", "5"]);
    home.run(&["library", "rate", "1", "4"]).done();
    stop(&home);
    let library = home.path().join(".local/share/flux-tui/library.sqlite3");
    // Its log goes when it is closed, a moment after the worker has said that it ends.
    let log = library.with_extension("sqlite3-wal");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while log.exists() {
        assert!(std::time::Instant::now() < until, "the library is not closed");
        std::thread::yield_now();
    }
    let whole = std::fs::read(&library).expect("it is there");
    // The last page alone: what is on the others is read.
    let mut bad = whole.clone();
    let end = bad.len();
    bad[end - 4096..].fill(0xa5);
    for (file, rating) in [(bad, 4), (b"garbage ".repeat(1000), 0)] {
        std::fs::write(&library, file).expect("it can be written");
        let listed = home.run(&["library", "list", "--json"]);
        listed.ended_with(0, &["the library was damaged", "library.sqlite3.broken-"]);
        let pictures = listed.json();
        assert_eq!(ids(&pictures), [1]);
        assert!(rating == 0 || pictures["pictures"][0]["marks"]["rating"] == rating, "{listed:?}");
        assert_eq!(home.run(&["library", "list"]).stderr, "", "once is enough");
    }
    std::fs::write(&library, "garbage").expect("it can be written");
    let size = ["generate", "a hen", "--width", "32", "--height", "32", "--steps", "1"];
    home.run(&size).ended_with(0, &["warning: the library was damaged"]);
    assert!(home.run(&["worker", "status"]).done().contains("damage"));
}
