//! The real worker killed with SIGKILL at random moments while jobs wait and are drawn: each that was accepted ends done
//! or waits for the next worker, no picture is half a file, and none is in the library twice.
//!
//! `FLUX_TUI_KILLS=100 cargo test --test kills -- --nocapture` kills more often than the normal run does, and prints how
//! many kills and jobs there were.

mod home;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flux_tui::client::Client;
use flux_tui::library::png;
use flux_tui::paths::Paths;
use flux_tui::wire::message::{JobStatus, Request, Response};
use home::Home;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

/// Says how often the worker is killed.
const KILLS: &str = "FLUX_TUI_KILLS";
/// How long jobs that are left may take to be drawn.
const WITHIN: Duration = Duration::from_secs(600);
/// Jobs that are asked for in each life of a worker, the first before the moment counts.
const JOBS: u64 = 3;
/// Pictures of each.
const COUNT: u64 = 2;
/// The latest moment of a life at which it is killed, in milliseconds: a job takes about half a second.
const LATEST: u64 = 900;

/// Asks for a job of two pictures with these seeds and the next; whether it was accepted.
fn add(home: &Home, seed: u64) -> bool {
    let (seed, count) = (seed.to_string(), COUNT.to_string());
    let asked = ["queue", "add", "a red apple, 3d", "--seed", &seed, "--count", &count];
    home.run(&[&asked[..], &["--width", "64", "--height", "64", "--steps", "6"]].concat()).code == 0
}

/// What a command says once `wanted` holds. A worker that dies meanwhile says nothing, and the next is asked.
fn told(home: &Home, command: &[&str], what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + WITHIN;
    loop {
        let ran = home.run(command);
        if ran.code == 0 && wanted(&ran.json()) {
            return ran.json();
        }
        assert!(Instant::now() < until, "not within {WITHIN:?}: {what}; last: {ran:?}");
    }
}

/// Waits until nothing is queued or running, hearing of it from the worker, and gives the jobs that it still shows.
fn left(home: &Home) -> Vec<JobStatus> {
    let [config, data, state, cache] = [".config", ".local/share", ".local/state", ".cache"]
        .map(|name| home.path().join(name).join("flux-tui"));
    let paths = Paths { config, data, state, cache };
    let waiting = async {
        let (client, mut events) = Client::connect(&paths).await.expect("a worker runs");
        let Ok(Response::Snapshot(mut shown)) = client.call(Request::Subscribe).await else {
            panic!("a snapshot")
        };
        while shown.jobs.iter().any(|job| !job.state.is_over()) {
            shown.apply(events.recv().await.expect("the worker goes on"));
        }
        shown.jobs
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let left = runtime.block_on(async { tokio::time::timeout(WITHIN, waiting).await });
    left.unwrap_or_else(|_| panic!("jobs are left after {WITHIN:?}"))
}

const STATUS: [&str; 3] = ["worker", "status", "--json"];

/// Kills a process at a moment, while others go on. The moment is what is tested; there is nothing to wait for.
fn kill_at(pid: u64, moment: Instant) {
    while Instant::now() < moment {
        std::thread::yield_now();
    }
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("kill is there").success());
}

/// Every file below the pictures' folder.
fn files(home: &Home) -> Vec<PathBuf> {
    let folder = home.path().join(".local/share/flux-tui/pictures");
    let days = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let entries = days.flat_map(|day| std::fs::read_dir(day.path()).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).collect()
}

/// The seed of a picture that is whole.
fn seed(path: &Path) -> u64 {
    let bytes = std::fs::read(path).expect("it can be read");
    let metadata = png::read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let picture = image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!((picture.width(), picture.height()), (64, 64), "{}", path.display());
    metadata.recipe.expect("ours").expect("whole").seed
}

#[test]
fn nothing_accepted_is_lost_or_drawn_twice_however_often_the_worker_is_killed() {
    let kills: u64 = std::env::var(KILLS).map_or(4, |kills| kills.parse().expect("a number of kills"));
    let home = Home::new();
    let directory = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("config.toml"), "[worker]\ncheckpoint_every = \"0s\"\n").expect("a file");

    let (mut random, mut accepted, mut unanswered) = (TestRunner::default(), Vec::new(), Vec::new());
    for life in 0..kills {
        let moment = (0..LATEST).new_tree(&mut random).expect("there is one").current();
        let mut seeds = (0..JOBS).map(|job| 100 * life + COUNT * job);
        let first = seeds.next().expect("a job");
        assert!(add(&home, first), "nobody is killed meanwhile");
        accepted.push(first);
        let there = told(&home, &STATUS, "a worker", |status| status["worker"]["pid"].is_number());
        let pid = there["worker"]["pid"].as_u64().expect("it is a number");
        std::thread::scope(|scope| {
            scope.spawn(|| kill_at(pid, Instant::now() + Duration::from_millis(moment)));
            for seed in seeds {
                // A worker that is killed in between has it or not: nobody was told.
                if add(&home, seed) { accepted.push(seed) } else { unanswered.push(seed) }
            }
        });
        told(&home, &STATUS, "its end", |status| status["worker"]["pid"].as_u64() != Some(pid));
    }

    // One more, for which a worker is started that draws all that is left.
    let last = 100 * kills;
    assert!(add(&home, last), "nobody is killed any more");
    accepted.push(last);
    assert_eq!(left(&home), [], "none failed");
    let status = home.run(&STATUS).json();

    let pictures =
        |seeds: &[u64]| seeds.iter().flat_map(|seed| *seed..*seed + COUNT).collect::<BTreeSet<_>>();
    let (asked, maybe) = (pictures(&accepted), pictures(&unanswered));
    let drawn: Vec<u64> = files(&home).iter().map(|path| seed(path)).collect();
    let each: BTreeSet<u64> = drawn.iter().copied().collect();
    assert_eq!(each.len(), drawn.len(), "one is drawn twice: {drawn:?}");
    assert_eq!(status["pictures"].as_u64(), Some(drawn.len() as u64), "the library has each file once");
    assert!(asked.is_subset(&each), "lost: {:?}", asked.difference(&each));
    assert!(each.iter().all(|seed| asked.contains(seed) || maybe.contains(seed)), "{each:?}");
    eprintln!(
        "{kills} kills, {} jobs accepted, {} without an answer, {} pictures, each once",
        accepted.len(),
        unanswered.len(),
        drawn.len()
    );
}
