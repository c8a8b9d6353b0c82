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
    ["a red apple", "--seed", "11", "--width", "384", "--height", "384", "--steps", "24", "--json"];

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
    let picture = newest(&home, 384);
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

/// The ids and prompts of the jobs that are listed, and whether the queue is paused.
fn listed(home: &Home) -> (Vec<(i64, String, String)>, bool) {
    let listed = home.run(&["queue", "list", "--json"]).json();
    let jobs = listed["jobs"].as_array().expect("a worker runs").iter();
    let state = |job: &serde_json::Value| match &job["state"] {
        serde_json::Value::String(state) => state.clone(),
        other => other.as_object().and_then(|state| state.keys().next().cloned()).expect("a state"),
    };
    let fact = |job: &serde_json::Value| {
        let prompt = job["job"]["prompt"].as_str().expect("a prompt").to_owned();
        (job["id"].as_i64().expect("a number"), prompt, state(job))
    };
    (jobs.map(fact).collect(), listed["paused"].as_bool().expect("paused or not"))
}

fn add(home: &Home, prompt: &str) -> String {
    let arguments = ["queue", "add", prompt, "--width", "32", "--height", "32", "--steps", "2", "--json"];
    home.run(&arguments).json()["job"]["id"].to_string()
}

#[test]
fn the_queue_is_ordered_edited_and_paused_by_commands_and_stays_so_over_a_kill() {
    let home = home();
    home.run(&["queue", "pause"]).done();
    let [a, b, c] = ["a", "b", "c"].map(|prompt| add(&home, prompt));
    home.run(&["queue", "move", &c, "first"]).done();
    home.run(&["queue", "move", &a, "last"]).done();
    home.run(&["queue", "edit", &b, "--prompt", "a blue bird", "--seed", "9"]).done();
    let copy = home.run(&["queue", "duplicate", &b, "--json"]).json();
    assert_eq!(
        (&copy["job"]["job"]["prompt"], &copy["job"]["first_seed"]),
        (&"a blue bird".into(), &9.into())
    );
    home.run(&["queue", "cancel", &c]).done();
    let (before, paused) = listed(&home);
    let prompts: Vec<_> = before.iter().map(|(_, prompt, state)| (prompt.as_str(), state.as_str())).collect();
    assert_eq!(prompts, [("a blue bird", "Queued"), ("a", "Queued"), ("a blue bird", "Queued")]);
    assert!(paused);

    for (arguments, reason) in [
        (&["queue", "retry", &a][..], "has not failed"),
        (&["queue", "move", "99", "up"], "neither queued nor running"),
        (&["queue", "edit", "99", "--steps", "3"], "neither queued nor running"),
        (&["queue", "duplicate", "99"], "no job 99"),
    ] {
        home.run(arguments).ended_with(1, &[reason]);
    }
    home.run(&["queue", "move", &a, "sideways"]).ended_with(2, &["first, last, up, down"]);

    let pid = home.run(&["worker", "status", "--json"]).json()["worker"]["pid"].as_u64().expect("a process");
    kill(pid);
    home.status_when("no worker", |status| status["worker"].is_null());
    home.run(&["queue", "pause"]).done();
    assert_eq!(listed(&home), (before, true), "as it was before the kill");
    let said = home.run(&["worker", "status"]);
    assert!(said.done().contains("3 jobs, paused"), "{said:?}");

    home.run(&["queue", "resume"]).done();
    let done = |status: &serde_json::Value| status["queued"] == 0 && status["pictures"] == 3;
    home.status_when("three pictures", done);
    assert_eq!(listed(&home), (Vec::new(), false));
    let log = log(&home);
    for change in ["paused", "moved in the queue", "edited", "duplicated", "to be cancelled", "resumed"] {
        let line = log.lines().find(|line| line.contains(change) && line.contains("by="));
        assert!(line.is_some_and(|line| line.contains("process ")), "nobody is named for {change:?}:\n{log}");
    }
}
