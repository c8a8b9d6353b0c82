//! Grids in which something goes wrong: a cell that fails and is tried again, and the worker killed at every change of its
//! library. Builds without debug assertions have no such switches.

use std::collections::BTreeSet;

use flux_tui::faults::VARIABLE;
use serde_json::Value;

use super::{Home, QUICK, cells, home, read, sheet};

const PROMPT: &str = "a {red|blue} fox";
const CHOICE: [&str; 2] = ["--axis", "prompt:{red|blue}"];
const BOTH: [&str; 4] = ["--axis", "prompt:{red|blue}", "--axis", "steps=1,2"];

/// Asks for a grid; a worker that is started for it has these faults.
fn ask(home: &Home, axes: &[&str], faults: &str) -> home::Ran {
    let command = [&["grid", PROMPT][..], &QUICK, axes, &["--json"]].concat();
    home::finish(home::start(home.command(&command).env(VARIABLE, faults)))
}

fn pixels(grid: &Value) -> (u32, u32, Vec<u8>) {
    let read = image::open(sheet(grid)).expect("a picture").to_rgb8();
    (read.width(), read.height(), read.into_raw())
}

/// The sheet as it is when nothing goes wrong.
fn undisturbed(axes: &[&str]) -> (u32, u32, Vec<u8>) {
    let home = Home::new();
    let drawn = ask(&home, axes, "");
    drawn.done();
    pixels(&drawn.json())
}

fn states(grid: &Value) -> Vec<String> {
    cells(grid).iter().map(|cell| cell["state"].as_str().expect("a word").to_owned()).collect()
}

#[test]
fn a_cell_that_fails_is_told_and_tried_again_until_the_sheet_is_whole() {
    let whole = undisturbed(&BOTH);
    let home = Home::new();
    let ran = ask(&home, &BOTH, "panic@decode");
    ran.ended_with(1, &["the engine broke down", "1 of 4 pictures of grid 1 failed", "flux-tui queue retry"]);
    // All others are drawn; it is told which failed, why, and how it is tried again.
    let told = ran.json();
    assert_eq!(states(&told), ["failed", "done", "done", "done"], "{told}");
    let reason = cells(&told)[0]["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("a test has asked for a panic"), "{reason}");
    let said = read(&sheet(&told)).grid.expect("a grid").expect("understood").cells;
    assert!(said[0].starts_with("failed: the engine broke down"), "{said:?}");
    assert_eq!(said[1..], ["drawn"; 3]);
    let marked = pixels(&told);
    assert_eq!((marked.0, marked.1), (whole.0, whole.1));
    assert!(marked.2 != whole.2, "it looks like one without a failure");
    let list = home.run(&["grids", "list"]);
    assert!(list.stdout.contains("3 of 4") && list.stdout.contains("1 failed"), "{list:?}");

    // One that was drawn is not tried again, and its sheet stays what it is.
    let job = |at: usize| cells(&told)[at]["job"].to_string();
    let refused = home.run(&["queue", "retry", &job(1)]);
    assert!(refused.code != 0 && refused.stderr.contains("has not failed"), "{refused:?}");
    assert_eq!(home.run(&["grids", "open", "1", "--json"]).json()["sheet"], told["sheet"]);

    home.run(&["queue", "retry", &job(0)]).done();
    let again = home.grid_when(1, "the sheet is written again", |grid| {
        !grid["sheet"].is_null() && states(grid) == ["done"; 4]
    });
    assert_eq!(again["sheet"], told["sheet"], "it is where it was");
    assert!(pixels(&again) == whole, "it differs from one without a failure");
    assert_eq!(read(&sheet(&again)).grid.expect("a grid").expect("understood").cells, ["drawn"; 4]);
    for at in 1..4 {
        assert_eq!(cells(&again)[at]["picture"], cells(&told)[at]["picture"], "it is drawn once");
    }
}

#[test]
fn a_worker_killed_at_any_change_of_its_library_goes_on_with_the_grid() {
    let whole = undisturbed(&CHOICE);
    let home = Home::new();
    let (mut kills, mut grids) = (0, 0);
    // Before a change is on disk and after, in turn: about all that a grid of two needs, its sheet being the last.
    for (what, at) in ["write", "written"].into_iter().cycle().zip(1..=12) {
        let ran = ask(&home, &CHOICE, &format!("kill@{what}:{at}"));
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        kills += usize::from(home.run(&["worker", "status", "--json"]).json()["worker"].is_null());
        // The next worker, that nobody kills, takes up what there is.
        let list = home.run(&["grids", "list", "--json"]).json();
        let listed = list.as_array().expect("a list").len();
        if listed == grids {
            assert!(ran.code != 0, "{what} {at}: {ran:?}");
        } else {
            assert_eq!(listed, grids + 1, "{what} {at}");
            let id = list[0]["grid"].as_i64().expect("a number");
            let done = home.grid_when(id, "the sheet is written", |grid| !grid["sheet"].is_null());
            assert_eq!(states(&done), ["done"; 2], "{what} {at}: {done}");
            assert!(pixels(&done) == whole, "{what} {at}: the sheet is another");
        }
        grids = listed;
        home.run(&["worker", "stop"]).done();
    }
    eprintln!("{kills} kills, {grids} grids");
    assert!(kills >= 8 && grids >= 11, "{kills} kills, {grids} grids");
    // Each cell once, in the library and as a file.
    home.run(&["library", "check"]).done();
    let list = home.run(&["grids", "list", "--json"]).json();
    let drawn = list.as_array().expect("a list").iter().flat_map(cells);
    let pictures: BTreeSet<String> = drawn.map(|cell| cell["picture"].to_string()).collect();
    assert_eq!(pictures.len(), grids * 2);
    let folder = home.path().join(".local/share/flux-tui/pictures");
    let days = std::fs::read_dir(folder).expect("there are some").map(|day| day.expect("a day").path());
    let files = days.flat_map(|day| std::fs::read_dir(day).expect("a folder"));
    assert_eq!(files.count(), grids * 3, "two pictures and a sheet of each grid");
}
