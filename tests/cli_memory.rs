//! What a worker takes of the machine's memory while it has nothing to do.

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
fn a_worker_that_has_loaded_nothing_takes_little_memory() {
    let home = Home::new();
    home.run(&["queue", "resume"]).done();
    let status = home.status_when("readings", |status| status["worker"]["pid"].is_number());
    let pid = status["worker"]["pid"].as_u64().expect("a number");
    let most = kilobytes(pid, "VmHWM");
    eprintln!("{most} kB at most, {} of them its own", kilobytes(pid, "RssAnon"));
    assert!(most < IDLE_MAX, "{most} kB");
}
