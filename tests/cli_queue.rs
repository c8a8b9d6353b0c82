//! The real worker killed in the middle of a picture, and the queue as commands change it.

mod home;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use home::{Home, finish, start};

/// As long as any one command may take.
const WITHIN: Duration = Duration::from_secs(120);

/// A home whose worker keeps every step.
fn home() -> Home {
    let home = Home::new();
    let directory = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("config.toml"), "[worker]\ncheckpoint_every = \"0s\"\n").expect("a file");
    home
}

fn pixels(path: &Path) -> Vec<u8> {
    image::open(path).expect("a picture").to_rgb8().into_raw()
}

fn checkpoints(home: &Home) -> Vec<PathBuf> {
    let directory = home.path().join(".local/share/flux-tui/checkpoints");
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

fn log(home: &Home) -> String {
    std::fs::read_to_string(home.path().join(".local/state/flux-tui/worker.log")).expect("a log")
}

fn kill(pid: u64) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("kill is there").success());
}

/// The step that a picture of the running worker has reached.
fn step(status: &serde_json::Value) -> Option<u64> {
    status["running"][0]["progress"]["stage"]["Drawing"]["step"].as_u64()
}

/// What is drawn: large enough for the built-in model to take a while.
const LARGE: [&str; 10] =
    ["a red apple", "--seed", "11", "--width", "512", "--height", "512", "--steps", "24", "--json"];

#[test]
fn a_worker_killed_in_the_middle_of_a_picture_is_followed_by_one_that_draws_the_same() {
    let (quiet, home) = (Home::new(), home());
    let undisturbed = quiet.run(&[&["generate"][..], &LARGE].concat()).json();
    let expected = pixels(Path::new(undisturbed["path"].as_str().expect("a path")));

    let client = start(&mut home.command(&[&["generate"][..], &LARGE].concat()));
    let status =
        home.status_when("a picture on its way", |status| step(status).is_some_and(|step| step >= 5));
    kill(status["worker"]["pid"].as_u64().expect("a process"));
    let lost = finish(client);
    lost.ended_with(1, &["stays queued"]);
    assert!(checkpoints(&home).iter().any(|path| path.extension().is_some_and(|is| is == "latent")));

    // Whoever comes next starts the next worker, which takes up what was left.
    let begun = home.run(&["generate", "a cat", "--width", "32", "--height", "32", "--steps", "2", "--json"]);
    begun.done();
    let log = log(&home);
    let line = log.lines().find(|line| line.contains("going on from a checkpoint"));
    let line = line.unwrap_or_else(|| panic!("it began anew:\n{log}"));
    let from = line.rsplit_once("step=").and_then(|(_, step)| step.trim().parse::<u32>().ok());
    assert!(from.is_some_and(|step| (4..=24).contains(&step)), "{line}");
    let picture = newest(&home, 512);
    assert!(pixels(&picture) == expected, "{} differs", picture.display());
    assert_eq!(checkpoints(&home), [] as [PathBuf; 0], "it is done");
}

/// The picture of that width.
fn newest(home: &Home, width: u32) -> PathBuf {
    let until = Instant::now() + WITHIN;
    let folder = home.path().join(".local/share/flux-tui/pictures");
    loop {
        let days = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let files = days.flat_map(|day| std::fs::read_dir(day.path()).into_iter().flatten().flatten());
        let wide = |path: &PathBuf| image::image_dimensions(path).is_ok_and(|(found, _)| found == width);
        if let Some(path) = files.map(|entry| entry.path()).find(wide) {
            return path;
        }
        assert!(Instant::now() < until, "no picture {width} wide in {}", folder.display());
    }
}
