//! Faults on purpose in the real program: memory that runs out, a device that fails, an engine that breaks down, and the
//! worker killed at every single change of its library. Builds without debug assertions have no such switches.
#![cfg(debug_assertions)]

mod home;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flux_tui::faults::VARIABLE;
use flux_tui::library::png;
use home::{Home, Ran, finish, start};
use serde_json::Value;

/// As long as jobs that are left may take.
const WITHIN: Duration = Duration::from_secs(120);
const STATUS: [&str; 3] = ["worker", "status", "--json"];

/// A home whose worker keeps every step.
fn home() -> Home {
    let home = Home::new();
    let directory = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("config.toml"), "[worker]\ncheckpoint_every = \"0s\"\n").expect("a file");
    home
}

/// Runs a command; a worker that it starts has these faults.
fn run(home: &Home, faults: &str, command: &[&str]) -> Ran {
    finish(start(home.command(command).env(VARIABLE, faults)))
}

const PICTURE: [&str; 9] = ["a red apple", "--width", "64", "--height", "64", "--steps", "6", "--seed", "11"];

fn generate(home: &Home, faults: &str) -> Ran {
    run(home, faults, &[&["generate"][..], &PICTURE, &["--json"]].concat())
}

fn pixels(ran: &Ran) -> Vec<u8> {
    image::open(ran.json()["path"].as_str().expect("a path")).expect("a picture").to_rgb8().into_raw()
}

fn log(home: &Home) -> String {
    std::fs::read_to_string(home.path().join(".local/state/flux-tui/worker.log")).expect("a log")
}

/// The picture as it is when nothing goes wrong.
fn undisturbed() -> Vec<u8> {
    pixels(&generate(&home(), ""))
}

/// Asks until nothing waits and nothing is drawn; `None` when there is no worker.
fn settled(home: &Home) -> Option<Value> {
    let until = Instant::now() + WITHIN;
    loop {
        let listed = home.run(&["queue", "list", "--json"]);
        assert!(Instant::now() < until, "not within {WITHIN:?}: {listed:?}");
        if listed.code != 0 {
            // It is killed while it is asked.
            continue;
        }
        let listed = listed.json();
        let jobs = listed["jobs"].as_array()?;
        let is_open = |job: &Value| matches!(job["state"].as_str(), Some("Queued" | "Running"));
        if !jobs.iter().any(is_open) {
            let status = home.run(&STATUS).json();
            return (!status["worker"].is_null()).then_some(status);
        }
    }
}

/// Every picture's file.
fn files(home: &Home) -> Vec<PathBuf> {
    let folder = home.path().join(".local/share/flux-tui/pictures");
    let days = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let entries = days.flat_map(|day| std::fs::read_dir(day.path()).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).collect()
}

/// The seed of a picture that is whole.
fn seed(path: &Path) -> u64 {
    let bytes = std::fs::read(path).expect("it can be read");
    image::load_from_memory(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let metadata = png::read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.recipe.expect("ours").expect("whole").seed
}

#[test]
fn memory_that_runs_out_is_planned_again_once_and_the_picture_is_the_same() {
    let expected = undisturbed();
    let once = home();
    let drawn = generate(&once, "memory@3");
    drawn.done();
    assert!(pixels(&drawn) == expected, "it differs");
    let said = log(&once);
    assert!(said.contains("planning again") && said.contains("going on from a checkpoint"), "{said}");
    let twice = home();
    generate(&twice, "memory@3,memory@4").ended_with(1, &["a test has asked for it at step 4"]);
    // The worker goes on.
    let drawn = generate(&twice, "");
    drawn.done();
    assert!(pixels(&drawn) == expected, "it differs");
}

#[test]
fn a_device_that_fails_ends_the_worker_and_the_next_goes_on() {
    let expected = undisturbed();
    let home = home();
    run(&home, "device@2", &[&["queue", "add"][..], &PICTURE].concat()).done();
    // The worker starts the next before it ends; that one goes on behind the step at which the device failed.
    let drawn = one_file(&home);
    let picture = image::open(&drawn).expect("a picture").to_rgb8().into_raw();
    assert!(picture == expected, "{} differs", drawn.display());
    let said = log(&home);
    assert!(said.contains("the device failed") && said.contains("going on from a checkpoint"), "{said}");
}

/// Waits for the only picture.
fn one_file(home: &Home) -> PathBuf {
    let until = Instant::now() + WITHIN;
    loop {
        let whole = |path: &PathBuf| path.extension().is_some_and(|is| is == "png");
        if let Some(path) = files(home).into_iter().find(whole) {
            return path;
        }
        assert!(Instant::now() < until, "no picture within {WITHIN:?}: {}", log(home));
    }
}

#[test]
fn a_device_that_fails_again_and_again_fails_the_job_and_says_why() {
    // Nothing is kept on the way, so each worker comes to the step at which the device fails.
    let home = Home::new();
    run(&home, "device@2", &[&["queue", "add"][..], &PICTURE].concat()).done();
    let until = Instant::now() + WITHIN;
    let reason = loop {
        let listed = home.run(&["queue", "list", "--json"]);
        assert!(Instant::now() < until, "not within {WITHIN:?}: {listed:?}");
        // One that just ends may take the question with it.
        if listed.code == 0
            && let Some(reason) = listed.json()["jobs"][0]["state"]["Failed"]["reason"].as_str()
        {
            break reason.to_owned();
        }
    };
    assert!(reason.contains("the device failed 3 times in a row"), "{reason}");
    assert_eq!(files(&home), [] as [PathBuf; 0]);
}

#[test]
fn an_engine_that_breaks_down_while_it_decodes_fails_the_job_alone() {
    let home = home();
    generate(&home, "panic@decode").ended_with(1, &["the engine broke down", "while decoding"]);
    let pid = home.run(&STATUS).json()["worker"]["pid"].clone();
    assert!(pid.is_number(), "the worker goes on");
    generate(&home, "").done();
    assert_eq!(home.run(&STATUS).json()["worker"]["pid"], pid, "it is the same");
    assert_eq!(files(&home).len(), 1);
}

/// Adds a job of two pictures; whether it was accepted.
fn add(home: &Home, faults: &str, seed: u64) -> bool {
    let seed = seed.to_string();
    let command = ["queue", "add", "a red apple", "--seed", &seed, "--count", "2"];
    let small = ["--width", "32", "--height", "32", "--steps", "2"];
    run(home, faults, &[&command[..], &small].concat()).code == 0
}

#[test]
fn a_worker_killed_at_any_change_of_its_library_loses_nothing() {
    for (what, places) in [("write", 1..=12), ("written", 1..=12)] {
        let home = home();
        let (mut kills, mut accepted, mut unanswered) = (0, Vec::new(), Vec::new());
        for place in places.clone() {
            let first = 100 * place;
            let list = if add(&home, &format!("kill@{what}:{place}"), first) {
                &mut accepted
            } else {
                &mut unanswered
            };
            list.push(first);
            // A worker that drew all made fewer changes than that.
            match settled(&home) {
                None => kills += 1,
                Some(_) => drop(home.run(&["worker", "stop"])),
            }
        }
        assert!(kills >= 8, "{what}: {kills} kills");
        // Without faults: all that is left.
        assert!(add(&home, "", 10_000), "it is accepted");
        accepted.push(10_000);
        let status = settled(&home).expect("nobody kills it");
        let drawn: Vec<u64> = files(&home).iter().map(|path| seed(path)).collect();
        for first in &accepted {
            for seed in [*first, first + 1] {
                let times = drawn.iter().filter(|drawn| **drawn == seed).count();
                assert_eq!(times, 1, "{what}: {seed} is there {times} times: {drawn:?}");
            }
        }
        for first in &unanswered {
            let times = drawn.iter().filter(|drawn| **drawn / 2 == first / 2).count();
            assert!(times == 0 || times == 2, "{what}: of {first} there are {times}: {drawn:?}");
        }
        assert_eq!(
            status["pictures"].as_u64(),
            Some(drawn.len() as u64),
            "{what}: the library has each once"
        );
        home.run(&["library", "check"]).done();
        eprintln!("{what}: {kills} kills, {} accepted, {} unanswered", accepted.len(), unanswered.len());
    }
}
