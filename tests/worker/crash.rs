//! A worker in a process of its own that is killed with SIGKILL while it draws, again and again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flux_tui::client::Client;
use flux_tui::device::Device;
use flux_tui::job::{JobId, Seed};
use flux_tui::paths::Paths;
use flux_tui::wire::message::*;
use flux_tui::worker::{Settings, serve};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::scripted::Scripted;
use crate::support::{DEADLINE, files_under, job_of, within};

/// Tells the child where it is.
const ROOT: &str = "FLUX_TUI_TEST_ROOT";
/// … and which devices it pretends to have.
const DEVICES: &str = "FLUX_TUI_TEST_DEVICES";
/// How often the worker is killed.
const KILLS: usize = 20;

/// Not a test: the worker that the test below starts and kills.
#[test]
#[ignore = "run by the test below"]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let paths = Paths::under(Path::new(&root));
    let devices = std::env::var(DEVICES).expect("whoever tells the place tells the devices");
    let devices: Vec<Device> = devices.split(' ').map(|name| name.parse().expect("a device")).collect();
    let models = std::sync::Arc::new(Scripted::on(&devices));
    serve(&paths, models, Settings::default(), || (), std::future::pending())
        .expect("it serves until it is killed");
}

fn spawn(root: &Path, devices: &str) -> Child {
    Command::new(std::env::current_exe().expect("this test is a program"))
        .args(["crash::child", "--exact", "--ignored", "--nocapture"])
        .env(ROOT, root)
        .env(DEVICES, devices)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be run")
}

/// A connection to a worker that is just starting.
async fn connect(paths: &Paths) -> (Client, flux_tui::client::Events) {
    let connected = async {
        loop {
            // The socket of the one that was killed is there too, and nobody behind it.
            if let Ok(connected) = Client::connect(paths).await {
                return connected;
            }
            tokio::task::yield_now().await;
        }
    };
    within("a worker", connected).await
}

async fn snapshot(client: &Client) -> Snapshot {
    match client.call(Request::Subscribe).await {
        Ok(Response::Snapshot(snapshot)) => *snapshot,
        other => panic!("a snapshot, not {other:?}"),
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_again_and_again_loses_nothing_and_draws_nothing_twice() {
    killed_again_and_again("cpu").await;
}

#[tokio::test]
async fn nor_does_one_that_draws_on_two_cards() {
    killed_again_and_again("cuda:1 cuda:0 cpu").await;
}

async fn killed_again_and_again(devices: &str) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let paths = Paths::under(root.path());
    let mut random = TestRunner::default();
    let mut pick = |from: std::ops::Range<u64>| from.new_tree(&mut random).expect("there is one").current();
    let mut accepted: Vec<JobId> = Vec::new();
    for kill in 0..KILLS {
        let mut worker = spawn(root.path(), devices);
        let (client, mut events) = connect(&paths).await;
        let shown = snapshot(&client).await;
        let open: Vec<_> = shown.jobs.iter().map(|job| job.id).collect();
        assert!(open.is_sorted() && open.iter().all(|id| accepted.contains(id)), "{open:?}");
        // One device draws one job after the other.
        let latest = accepted.iter().rev().take(open.len());
        assert!(devices != "cpu" || latest.rev().eq(&open), "in order: {open:?}");
        for _ in 0..2 {
            let job = job_of("alpha", "slow", Seed::Fixed(7), 2);
            let Ok(Response::Accepted(status)) = client.call(Request::Submit(job)).await else {
                panic!("accepted")
            };
            accepted.push(status.id);
        }
        let moment = Duration::from_millis(pick(0..60));
        let drawing = async { while events.recv().await.is_some() {} };
        let _ = tokio::time::timeout(moment, drawing).await;
        worker.kill().expect("it runs");
        worker.wait().expect("it was killed");
        assert!(client.call(Request::Status).await.is_err(), "kill {kill}");
    }

    let mut worker = spawn(root.path(), devices);
    let (client, mut events) = connect(&paths).await;
    let mut shown = snapshot(&client).await;
    let rest = async {
        while shown.jobs.iter().any(|job| !job.state.is_over()) {
            shown.apply(events.recv().await.expect("the worker goes on"));
        }
    };
    tokio::time::timeout(DEADLINE * 4, rest).await.expect("all jobs end");
    assert_eq!(shown.jobs, [], "and none failed");
    let Ok(Response::History(history)) =
        client.call(Request::History(HistoryPage { before: None, limit: 500 })).await
    else {
        panic!("a page")
    };
    let mut drawn: Vec<_> =
        history.iter().map(|picture| (picture.job, picture.index, picture.recipe.seed)).collect();
    drawn.sort_unstable();
    let asked: Vec<_> = accepted.iter().flat_map(|&id| [(id, 0, 7), (id, 1, 8)]).collect();
    assert_eq!(drawn, asked);
    let mut recorded: Vec<PathBuf> = history.into_iter().map(|picture| picture.path).collect();
    recorded.sort();
    assert_eq!(
        files_under(&paths.pictures()),
        recorded,
        "every file is recorded, and none is a temporary one"
    );
    for path in &recorded {
        let picture = image::open(path).expect("it is whole").into_rgb8();
        assert_eq!(picture.dimensions(), (64, 48));
    }
    eprintln!("{KILLS} kills, {} jobs, {} pictures", accepted.len(), recorded.len());
    client.call(Request::Stop).await.expect("it runs");
    within("the end", tokio::task::spawn_blocking(move || worker.wait()))
        .await
        .expect("it ends")
        .expect("well");
}
