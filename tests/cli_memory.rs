//! What a worker takes of the machine's memory while it has nothing to do: before the first picture, and after the model was
//! freed.

mod home;

use home::Home;

/// The most that it may take, in kB, the pages of the program's file included.
const IDLE_MAX: u64 = 40_000;

/// A number of `/proc/PID/status`, in kB.
fn kilobytes(pid: u64, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_worker_that_holds_no_model_takes_little_memory() {
    let home = Home::new();
    let directory = home.path().join(".config/flux-tui");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("config.toml"), "[worker]\nfree_after = \"1s\"\n").expect("a file");
    home.run(&["queue", "resume"]).done();
    let status = home.status_when("a worker", |status| status["worker"]["pid"].is_number());
    let pid = status["worker"]["pid"].as_u64().expect("a number");
    let (fresh, own) = (kilobytes(pid, "VmHWM"), kilobytes(pid, "RssAnon"));

    home.run(&["generate", "a red apple", "--steps", "2"]).done();
    let drawn = kilobytes(pid, "VmHWM");
    let is_small = |status: &serde_json::Value| {
        status["engines"][0]["loaded"].is_null() && kilobytes(pid, "VmRSS") < IDLE_MAX
    };
    // The engine's thread gives memory back a moment after the hub has said that it will.
    home.status_when("little memory once the model is freed", is_small);
    let (freed, still) = (kilobytes(pid, "VmRSS"), kilobytes(pid, "RssAnon"));
    eprintln!("{fresh} kB ({own} its own), {drawn} while it draws, {freed} ({still}) when all is freed");
    assert!(fresh < IDLE_MAX, "{fresh} kB");
}
