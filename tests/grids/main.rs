//! Grids in the real program: drawn from the command line, left and taken up by the next worker, cancelled as one, and
//! found again.

mod gallery;
#[path = "../home/mod.rs"]
mod home;
mod marks;
mod studio;
#[path = "../terminal/mod.rs"]
mod terminal;
#[cfg(debug_assertions)]
mod trouble;

use std::path::{Path, PathBuf};

use flux_tui::library::png;
use home::Home;
use serde_json::Value;
use terminal::Terminal;

/// Small and quick.
const QUICK: [&str; 8] = ["--width", "64", "--height", "64", "--steps", "2", "--seed", "7"];

/// The studio in a terminal of its own.
fn open(home: &Home) -> Terminal {
    Terminal::start(home.studio())
}

fn grid(home: &Home, prompt: &str, more: &[&str]) -> home::Ran {
    let arguments: Vec<&str> =
        ["grid", prompt].into_iter().chain(QUICK).chain(more.iter().copied()).collect();
    home.run(&arguments)
}

fn cells(grid: &Value) -> Vec<Value> {
    grid["cells"].as_array().expect("it has cells").clone()
}

fn sheet(grid: &Value) -> PathBuf {
    PathBuf::from(grid["sheet"].as_str().expect("it has a sheet"))
}

fn read(path: &Path) -> png::Metadata {
    png::read(&std::fs::read(path).expect("there")).expect("a PNG of ours")
}

#[test]
fn a_grid_over_a_choice_and_a_number_becomes_a_contact_sheet() {
    let home = Home::new();
    let axes = ["--axis", "prompt:{红色|blue}", "--axis", "steps=1..2", "-o", "copy.png", "--json"];
    let told = grid(&home, "a {红色|blue} fox", &axes).json();
    assert_eq!((&told["columns"], &told["rows"], &told["seed"]), (&2.into(), &2.into(), &7.into()));
    let values: Vec<_> = cells(&told).iter().map(|cell| cell["values"].clone()).collect();
    assert_eq!(values, ["红色, steps 1", "blue, steps 1", "红色, steps 2", "blue, steps 2"]);
    for (cell, (prompt, steps)) in
        cells(&told).iter().zip([("a 红色 fox", 1), ("a blue fox", 1), ("a 红色 fox", 2), ("a blue fox", 2)])
    {
        let recipe =
            read(Path::new(cell["path"].as_str().expect("drawn"))).recipe.expect("ours").expect("whole");
        assert_eq!((recipe.prompt.as_str(), recipe.steps, recipe.seed), (prompt, steps, 7));
    }
    let (kept, copy) = (sheet(&told), home.path().join("copy.png"));
    assert_eq!(kept.parent(), Path::new(cells(&told)[0]["path"].as_str().expect("drawn")).parent());
    assert_eq!(std::fs::read(&kept).expect("there"), std::fs::read(copy).expect("there"));
    let said = read(&kept).grid.expect("a grid").expect("understood");
    assert_eq!((said.cells.len(), said.order.cells()), (4, 4));

    let shown = home.run(&["show", "copy.png"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for line in ["4 of 4 drawn", "across    prompt:{红色|blue}: 红色, blue", "down      steps: 1, 2"] {
        assert!(shown.stdout.contains(line), "{line} is not in {}", shown.stdout);
    }
    let list = home.run(&["grids", "list"]);
    assert!(list.stdout.contains("4 of 4") && list.stdout.contains("× steps"), "{list:?}");
    let again = home.run(&["grids", "open", "1", "--json"]).json();
    assert_eq!(again["cells"], told["cells"]);
    let missing = home.run(&["grids", "open", "99"]);
    assert!(missing.code == 2 && missing.stderr.contains("no grid 99"), "{missing:?}");
    // A sheet is no picture that the library lost.
    let checked = home.run(&["library", "check"]);
    assert!(checked.code == 0 && checked.stdout.contains("4 pictures, all in order"), "{checked:?}");
}

#[test]
fn what_cannot_be_drawn_is_refused_before_anything_is_queued() {
    let home = Home::new();
    for (more, says) in [
        (&["--axis", "steps=0,1"][..], "steps 0 is out of range"),
        (&["--axis", "prompt:{a|b}"], "the prompt has no {a|b}"),
        (&["--axis", "seed=1..20", "--axis", "guidance=1..20"], "a grid has at most 256"),
        (&["--axis", "steps=1,2", "--count", "3"], "leave the count of 3 away"),
        (&["--axis", "colour=1"], "is no axis"),
        (&[], "--axis"),
    ] {
        let ran = grid(&home, "a fox", more);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{more:?}: {ran:?}");
    }
    assert!(!home.socket().exists(), "no worker was needed to say so");
    for axis in ["model=nano,nowhere", "lora:nowhere=0.5"] {
        let ran = grid(&home, "a fox", &["--axis", axis]);
        assert!(ran.code != 0 && ran.stderr.contains("nowhere"), "{axis}: {ran:?}");
    }
    let queued = home.run(&["queue", "list", "--json"]).json();
    assert!(!queued.to_string().contains("a fox"), "{queued}");
}

/// Whoever asked for a grid of three pictures that a queue at rest keeps waiting.
fn three_that_wait(home: &Home, prompt: &str) -> std::process::Child {
    assert_eq!(home.run(&["queue", "pause"]).code, 0);
    let arguments = ["grid", prompt, "--axis", "steps=1..3", "--width", "64", "--height", "64"];
    let waiting = home::start_in_background(&mut home.command(&arguments));
    home.status_when("three wait", |status| status["queued"] == 3);
    waiting
}

#[test]
fn a_grid_that_waits_survives_a_restart_and_is_cancelled_as_one() {
    let home = Home::new();
    let mut waiting = three_that_wait(&home, "a fox");
    assert_eq!(home.run(&["worker", "stop"]).code, 0);
    let left = waiting.wait().expect("it ends");
    assert!(!left.success(), "what waits is not drawn");
    // The next worker has it, and draws what is left when it goes on.
    let there = home.run(&["grids", "open", "1", "--json"]).json();
    assert!(
        cells(&there).iter().all(|cell| cell["state"] == "queued") && there["sheet"].is_null(),
        "{there}"
    );
    assert_eq!(home.run(&["queue", "resume"]).code, 0);
    home.status_when("all are drawn", |status| {
        status["queued"] == 0 && status["running"] == serde_json::json!([])
    });
    let done = home.grid_when(1, "the sheet is written", |grid| !grid["sheet"].is_null());
    assert!(cells(&done).iter().all(|cell| cell["state"] == "done"), "{done}");
    assert_eq!(read(&sheet(&done)).grid.expect("a grid").expect("understood").cells, ["drawn"; 3]);

    let mut waiting = three_that_wait(&home, "an owl");
    let cancelled = home.run(&["grids", "cancel", "2"]);
    assert_eq!(cancelled.stdout, "3 pictures cancelled\n", "{cancelled:?}");
    waiting.wait().expect("it ends");
    let over = home.grid_when(2, "the sheet is written", |grid| !grid["sheet"].is_null());
    assert!(cells(&over).iter().all(|cell| cell["state"] == "cancelled"), "{over}");
    assert_eq!(home.run(&["queue", "resume"]).code, 0);
}
