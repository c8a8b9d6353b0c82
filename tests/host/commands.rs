//! The command line over a line: what is drawn, told and brought here.

use std::path::Path;

use crate::far::{HOST, Line, pixels};
use crate::home::{finish, start};

const SMALL: [&str; 8] = ["--width", "64", "--height", "64", "--steps", "4", "--seed", "5"];

#[test]
fn a_picture_is_drawn_there_and_brought_here() {
    let line = Line::new();
    let copy = line.near.path().join("apple.png");
    let copied = copy.to_str().expect("it is text");
    let drawn = line.run(
        &[&["generate", "a red apple", "--host", HOST, "--output", copied, "--json"][..], &SMALL].concat(),
    );
    let told = drawn.json();
    assert_eq!((told["host"].as_str(), told["output"].as_str()), (Some(HOST), Some(copied)));
    let there = told["path"].as_str().expect("a path");
    assert!(Path::new(there).starts_with(line.far.path()), "{there}");
    assert_eq!(pixels(&copy), pixels(Path::new(there)));

    // For a pipe the path alone, as scp takes it.
    let drawn = line.run(&[&["generate", "a cat", "--host", HOST][..], &SMALL].concat());
    assert!(drawn.done().starts_with(&format!("{HOST}:{}", line.far.path().display())), "{drawn:?}");

    let status = line.run(&["worker", "status", "--host", HOST]);
    assert!(status.done().contains("host     ann@server\n"), "{status:?}");
    assert!(status.stdout.contains("library  2 pictures"), "{status:?}");
    line.nothing_here();
    let asked = line.asked();
    assert!(asked.iter().all(|asked| !asked.contains("BatchMode")), "it may ask for a password: {asked:?}");
}

#[test]
fn a_picture_there_is_shown_here() {
    let line = Line::new();
    let drawn =
        line.run(&[&["generate", "a red apple", "--host", HOST, "--json"][..], &SMALL].concat()).json();
    let path = drawn["path"].as_str().expect("a path");
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).expect("a name");
    for word in [path, name] {
        let shown = line.run(&["show", word, "--host", HOST, "--json"]).json();
        assert_eq!(shown["recipe"]["prompt"], "a red apple");
        assert_eq!((&shown["path"], &shown["host"]), (&path.into(), &HOST.into()));
    }
    line.run(&["show", "apples.png", "--host", HOST]).ended_with(1, &["apples.png", HOST]);
}

#[test]
fn the_queue_there_is_seen_and_changed_and_no_worker_is_told_from_one() {
    let line = Line::new();
    let none = line.run(&["worker", "status", "--host", HOST]);
    assert!(none.done().contains("no worker is running on ann@server"), "{none:?}");
    assert!(line.run(&["worker", "status", "--host", HOST, "--json"]).json()["worker"].is_null());
    assert!(line.run(&["queue", "list", "--host", HOST, "--json"]).json()["jobs"].is_null());
    assert!(!line.far.socket().exists(), "none was started");

    line.run(&["queue", "pause", "--host", HOST]).done();
    let added = line.run(&["queue", "--host", HOST, "add", "a tree", "--json"]).json();
    assert_eq!(added["job"]["job"]["model"], "nano");
    let id = added["job"]["id"].to_string();
    line.run(&["queue", "edit", &id, "--prompt", "a house", "--host", HOST]).done();
    assert!(line.run(&["queue", "list", "--host", HOST]).done().contains("a house"));
    line.run(&["generate", "x", "--model", "sdxl", "--host", HOST]).refused_with(&[
        "sdxl",
        "nano",
        "ann@server",
    ]);
    line.run(&["worker", "stop", "--host", HOST]).done();
    line.nothing_here();
}

/// The terminal's Ctrl-C goes to ssh as well, which must not end before the worker there has heard of it.
#[test]
fn control_c_cancels_the_job_there() {
    let line = Line::new();
    let steps = ["--width", "512", "--height", "512", "--steps", "200"];
    let mut terminal = line.studio(&[&["generate", "a red apple", "--host", HOST][..], &steps].concat());
    terminal.see("drawing");
    terminal.type_keys("\x03");
    terminal.see("was cancelled");
    assert_eq!(terminal.ended(), 130);
    let over =
        |status: &serde_json::Value| status["queued"] == 0 && status["running"] == serde_json::json!([]);
    let status = line.far.status_when("nothing is drawn", over);
    assert_eq!(status["pictures"], 0);
}

#[test]
fn a_line_that_breaks_is_told_with_what_becomes_of_the_job() {
    let line = Line::new();
    let steps = ["--width", "512", "--height", "512", "--steps", "200"];
    let drawing = start(&mut line.command(&[&["generate", "a cat", "--host", HOST][..], &steps].concat()));
    line.far.status_when("a picture on its way", |status| status["running"][0].is_object());
    line.break_off();
    finish(drawing).ended_with(1, &["the line to ann@server broke", "flux-tui --host ann@server"]);
    line.run(&["queue", "cancel", "1", "--host", HOST]).done();
}
