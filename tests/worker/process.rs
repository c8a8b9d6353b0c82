//! The worker as a process of its own: started by whoever needs it, out of its caller's session,
//! ended by signals and by nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use flux_tui::client::{Client, ClientError, Events, Launch};
use flux_tui::job::{JobId, JobState, Seed};
use flux_tui::paths::Paths;
use flux_tui::wire::message::*;
use flux_tui::wire::queue::QueueChange;
use flux_tui::worker::{Settings, run};
use rustix::process::{Pid, Signal, getsid, kill_process, test_kill_process};

use crate::scripted::Scripted;
use crate::support::{job, job_of, within};

/// Tells the child where it is.
const ROOT: &str = "FLUX_TUI_TEST_ROOT";

/// Not a test: the worker that the tests below start.
#[test]
#[ignore = "run by the tests below"]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let paths = Paths::under(Path::new(&root));
    // One that a failed test leaves behind ends soon.
    let successor = Some(Path::new(&root).join("flux-tui"));
    let end_after = Some(std::time::Duration::from_secs(5));
    let settings = Settings { end_after, successor, ..Settings::default() };
    let engines = Scripted::cracking_at(&Path::new(&root).join("cracked"));
    if let Err(error) = run(&paths, std::sync::Arc::new(engines), settings) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

/// A directory, and a program that is started with `worker run` and is a worker there.
struct Place {
    root: tempfile::TempDir,
    paths: Paths,
    launch: Launch,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let program = root.path().join("flux-tui");
        let this = std::env::current_exe().expect("this test is a program");
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = 'worker run' ] || exit 2\nexec '{}' process::child --exact --ignored --nocapture\n",
            this.display()
        );
        // Another process writes it: a file that this one has open for writing while another test forks is "busy".
        let text = root.path().join("script");
        fs::write(&text, script).expect("it can be written");
        let copied = Command::new("install").arg("-m700").args([&text, &program]).status();
        assert!(copied.expect("coreutils are there").success());
        let environment = vec![(ROOT.into(), root.path().into())];
        let paths = Paths::under(root.path());
        Self { root, paths, launch: Launch { program, environment } }
    }

    async fn client(&self) -> Result<(Client, Events), ClientError> {
        within("a worker", Client::connect_or_launch(&self.paths, &self.launch)).await
    }

    async fn connected(&self) -> (Client, Events) {
        self.client().await.expect("a worker starts")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A worker that a failed test has left.
        let pid = fs::read_to_string(self.paths.lock()).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw)
            && fs::read_link(format!("/proc/{pid}/exe")).ok() == std::env::current_exe().ok()
            && pid != rustix::process::getpid()
        {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.root.path();
    }
}

fn pid(client: &Client) -> Pid {
    i32::try_from(client.worker().pid).ok().and_then(Pid::from_raw).expect("it is a process")
}

/// Waits until a process is no more.
async fn gone(pid: Pid) {
    let waiting = async {
        // It is our child, so somebody has to ask: tokio does when it is told that one has ended.
        while test_kill_process(pid).is_ok() && !is_zombie(pid) {
            tokio::task::yield_now().await;
        }
    };
    within("the end of the process", waiting).await;
}

fn is_zombie(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && line.contains('Z'))
}

async fn submit(client: &Client, prompt: &str, count: u32) -> JobId {
    match client.call(Request::Submit(job_of("alpha", prompt, Seed::Fixed(1), count))).await {
        Ok(Response::Accepted(status)) => status.id,
        other => panic!("it should be accepted, not {other:?}"),
    }
}

/// Both are accepted before the first is begun: what it does to the worker must not take the second with it.
async fn submit_both(client: &Client, first: &str, second: &str) -> (JobId, JobId) {
    client.call(Request::Queue(QueueChange::Pause)).await.expect("it runs");
    let both = (submit(client, first, 1).await, submit(client, second, 1).await);
    // The worker may end before its answer is read.
    let _ = client.call(Request::Queue(QueueChange::Resume)).await;
    both
}

async fn snapshot(client: &Client) -> Snapshot {
    match client.call(Request::Subscribe).await {
        Ok(Response::Snapshot(snapshot)) => *snapshot,
        other => panic!("a snapshot, not {other:?}"),
    }
}

/// Takes events until a picture has reached its first step.
async fn drawing(events: &mut Events) {
    let waiting = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Progress(Progress { stage: Stage::Drawing { step: 1, .. }, .. })) {
                return;
            }
        }
        panic!("the worker ended");
    };
    within("a step", waiting).await;
}

#[tokio::test]
async fn a_client_starts_a_worker_that_has_left_its_session_and_closed_its_files() {
    let place = Place::new();
    assert!(matches!(Client::connect(&place.paths).await, Err(ClientError::NoWorker)));
    let (client, _events) = place.connected().await;
    let worker = pid(&client);
    assert_eq!(getsid(Some(worker)).expect("it runs"), worker, "it leads a session of its own");
    assert_eq!(fs::read_link(format!("/proc/{worker}/cwd")).expect("it runs"), Path::new("/"));
    let files = || (0..3).map(|file| fs::read_link(format!("/proc/{worker}/fd/{file}")).expect("it is open"));
    let detached = async {
        // It serves a moment before it lets go.
        while !files().all(|file| file == Path::new("/dev/null")) {
            tokio::task::yield_now().await;
        }
    };
    within("its letting go of our files", detached).await;
    for file in [place.paths.library(), place.paths.log(), place.paths.lock()] {
        let mode = fs::metadata(&file).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is closed to others", file.display());
    }
    let log = fs::read_to_string(place.paths.log()).expect("there is a log");
    assert!(log.contains("the worker starts") && log.contains("the library is open"), "{log}");
    client.call(Request::Stop).await.expect("it runs");
    gone(worker).await;
    assert!(!place.paths.socket().exists());
}

#[tokio::test]
async fn clients_that_start_one_at_the_same_time_find_the_same_worker() {
    let place = Place::new();
    let all = futures::future::join_all((0..4).map(|_| place.client())).await;
    let pids: Vec<_> = all.iter().map(|client| pid(&client.as_ref().expect("each finds one").0)).collect();
    assert!(pids.windows(2).all(|pair| pair[0] == pair[1]), "{pids:?}");
    all[0].as_ref().expect("it was found").0.call(Request::Stop).await.expect("it runs");
    gone(pids[0]).await;
}

#[tokio::test]
async fn hang_ups_do_not_end_it_and_a_termination_puts_its_work_back() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let (client, mut events) = place.connected().await;
        let worker = pid(&client);
        snapshot(&client).await;
        let id = submit(&client, "hold", 2).await;
        drawing(&mut events).await;
        for harmless in [Signal::HUP, Signal::PIPE, Signal::XFSZ] {
            kill_process(worker, harmless).expect("it runs");
        }
        assert!(client.call(Request::Status).await.is_ok(), "it goes on");
        kill_process(worker, signal).expect("it runs");
        let last = async {
            let mut last = None;
            while let Some(event) = events.recv().await {
                last = Some(event);
            }
            last
        };
        assert_eq!(within("the end", last).await, Some(Event::Ending));
        gone(worker).await;
        let (client, _events) = place.connected().await;
        let jobs = snapshot(&client).await.jobs;
        let [job] = &jobs[..] else { panic!("one job, not {jobs:?}") };
        assert_eq!((job.id, job.done, job.first_seed), (id, 0, 1));
        client.call(Request::Cancel(id)).await.expect("it is there");
        client.call(Request::Stop).await.expect("it runs");
        gone(pid(&client)).await;
    }
}

#[tokio::test]
async fn a_client_that_comes_while_the_worker_ends_gets_the_next_one() {
    let place = Place::new();
    let (client, _events) = place.connected().await;
    let first = pid(&client);
    submit(&client, "hold", 1).await;
    client.call(Request::Stop).await.expect("it runs");
    let (client, mut events) = place.connected().await;
    assert_ne!(pid(&client), first);
    let mut shown = snapshot(&client).await;
    while shown.running.is_empty() {
        shown.apply(within("progress", events.recv()).await.expect("it goes on"));
    }
    assert_eq!(shown.jobs[0].state, JobState::Running, "it has taken the job up");
    client.call(Request::Stop).await.expect("it runs");
    gone(pid(&client)).await;
}

#[tokio::test]
async fn a_worker_that_cannot_start_says_why() {
    let place = Place::new();
    fs::create_dir_all(&place.paths.data).expect("it can be made");
    let other = rusqlite::Connection::open(place.paths.library()).expect("it can be made");
    other.execute_batch("CREATE TABLE recipes (soup)").expect("it can be written");
    let error = place.client().await.expect_err("it is somebody else's");
    let ClientError::NotStarted { reason, log } = error else { panic!("it did not start, not {error:?}") };
    assert!(reason.contains("library.sqlite3 is not a library of flux-tui"), "{reason}");
    assert_eq!(log, place.paths.log().display().to_string());
    let said = fs::read_to_string(log).expect("there is a log");
    assert!(said.contains("library.sqlite3 is not a library of flux-tui"), "{said}");
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_its_socket_too() {
    let place = Place::new();
    let (client, mut events) = place.connected().await;
    let first = pid(&client);
    snapshot(&client).await;
    client.call(Request::Submit(job("hold"))).await.expect("it is accepted");
    drawing(&mut events).await;
    kill_process(first, Signal::KILL).expect("it runs");
    assert!(matches!(within("the end", client.call(Request::Status)).await, Err(ClientError::Lost)));
    gone(first).await;
    assert!(place.paths.socket().exists(), "nobody has removed it");
    let (client, _events) = place.connected().await;
    assert_ne!(pid(&client), first);
    assert_eq!(snapshot(&client).await.jobs.len(), 1);
    client.call(Request::Stop).await.expect("it runs");
    gone(pid(&client)).await;
}

/// Waits until a job is over, by whatever worker there is; how it ended, and how many workers there were.
async fn over(place: &Place, id: JobId) -> (JobState, usize) {
    let mut workers = std::collections::BTreeSet::new();
    let waiting = async {
        loop {
            let Ok((client, mut events)) = place.client().await else { continue };
            workers.insert(client.worker().pid);
            let Ok(Response::Snapshot(snapshot)) = client.call(Request::Subscribe).await else { continue };
            let mut shown = *snapshot;
            loop {
                let standing = shown.jobs.iter().find(|job| job.id == id);
                match standing.map(|job| job.state.clone()) {
                    None => return JobState::Done,
                    Some(state) if state.is_over() => return state,
                    Some(_) => {}
                }
                match events.recv().await {
                    Some(event) => shown.apply(event),
                    None => break,
                }
            }
        }
    };
    let state = within("the end of the job", waiting).await;
    (state, workers.len())
}

#[tokio::test]
async fn a_device_that_failed_ends_the_process_and_the_next_goes_on() {
    let place = Place::new();
    let (client, _events) = place.connected().await;
    let (cracked, after) = submit_both(&client, "crack", "b").await;
    let (state, workers) = over(&place, cracked).await;
    assert_eq!(state, JobState::Done);
    assert!(workers >= 1);
    assert_eq!(over(&place, after).await.0, JobState::Done);
    let (client, _events) = place.connected().await;
    assert_eq!(snapshot(&client).await.history_total, 2, "nothing was drawn twice");
    let log = fs::read_to_string(place.paths.log()).expect("there is a log");
    assert!(log.contains("the device failed") && log.contains("another worker goes on"), "{log}");
    client.call(Request::Stop).await.expect("it runs");
    gone(pid(&client)).await;
}

#[tokio::test]
async fn a_job_that_breaks_the_device_three_times_fails_and_the_queue_goes_on() {
    let place = Place::new();
    let (client, _events) = place.connected().await;
    let (bad, after) = submit_both(&client, "shatter", "b").await;
    let (state, _) = over(&place, bad).await;
    let JobState::Failed { reason } = &state else { panic!("it should fail, not be {state:?}") };
    assert!(reason.contains("failed 3 times in a row") && reason.contains("illegal address"), "{reason}");
    assert_eq!(over(&place, after).await.0, JobState::Done);
    let log = fs::read_to_string(place.paths.log()).expect("there is a log");
    assert_eq!(log.matches("another worker goes on").count(), 3, "{log}");
    let (client, _events) = place.connected().await;
    client.call(Request::Stop).await.expect("it runs");
    gone(pid(&client)).await;
}
