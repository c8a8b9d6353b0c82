//! One worker a directory, found by its lock; sockets and directories that are not what they seem.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use flux_tui::client::{Client, ClientError, Launch};
use flux_tui::job::JobState;
use flux_tui::paths::Paths;
use flux_tui::wire::message::*;
use flux_tui::worker::{WorkerError, serve};

use crate::scripted::Scripted;
use crate::support::{Place, job, within};

/// Makes a file that is no library.
type Make<'a> = &'a dyn Fn(&std::path::Path);

/// Starts a worker that is expected not to serve.
fn refused(paths: &Paths) -> WorkerError {
    let settings = Place::new().settings.clone();
    let served =
        serve(paths, Arc::new(Scripted::default()), settings, || panic!("it serves"), std::future::ready(()));
    served.expect_err("it does not serve")
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_second_worker_ends_at_once_and_the_first_goes_on() {
    let place = Place::started().await;
    let error = refused(&place.paths);
    assert!(
        matches!(error, WorkerError::AlreadyRuns { pid: Some(pid) } if pid == std::process::id()),
        "{error:?}"
    );
    assert!(error.to_string().contains("flux-tui worker stop"), "{error}");
    place.watch().await.draw(job("a")).await;
}

#[tokio::test]
async fn two_workers_do_not_share_a_library() {
    let place = Place::started().await;
    let other = Paths { state: place.paths.state.with_file_name("other"), ..place.paths.clone() };
    let error = refused(&other);
    assert!(error.to_string().contains("library.sqlite3 is in use by another worker"), "{error}");
}

#[tokio::test]
async fn the_socket_of_a_worker_that_is_gone_is_removed() {
    let mut place = Place::new();
    fs::create_dir_all(&place.paths.state).expect("it can be made");
    // Bound and abandoned, as after a kill.
    drop(UnixListener::bind(place.paths.socket()).expect("nobody is there"));
    assert!(matches!(Client::connect(&place.paths).await, Err(ClientError::NoWorker)));
    place.start().await;
    place.watch().await.draw(job("a")).await;
    place.stop().await;
    assert!(!place.paths.socket().exists(), "and our own goes with us");
}

#[test]
fn what_is_no_socket_is_left_where_it_is() {
    let place = Place::new();
    fs::create_dir_all(&place.paths.state).expect("it can be made");
    fs::write(place.paths.socket(), "precious").expect("it can be written");
    let error = refused(&place.paths);
    assert!(matches!(error, WorkerError::InTheWay(_)), "{error:?}");
    assert_eq!(fs::read(place.paths.socket()).expect("it is still there"), b"precious");
}

#[tokio::test]
async fn the_state_directory_and_the_socket_are_closed_to_others() {
    let mut place = Place::new();
    place.start().await;
    assert_eq!(mode(&place.paths.state), 0o700);
    assert_eq!(mode(&place.paths.socket()), 0o700);
    place.stop().await;
    // One that others could look into, but not change, was made by the studio.
    fs::set_permissions(&place.paths.state, Permissions::from_mode(0o755)).expect("it is ours");
    place.start().await;
    assert_eq!(mode(&place.paths.state), 0o700);
}

#[test]
fn a_state_directory_that_others_can_change_is_refused() {
    let place = Place::new();
    fs::create_dir_all(&place.paths.state).expect("it can be made");
    for open in [0o777, 0o770, 0o702] {
        fs::set_permissions(&place.paths.state, Permissions::from_mode(open)).expect("it is ours");
        let error = refused(&place.paths);
        assert!(matches!(error, WorkerError::Unsafe { .. }), "{error:?}");
        assert_eq!(mode(&place.paths.state), open, "and left as it is");
    }
}

#[test]
fn a_file_where_the_state_directory_goes_is_named() {
    let place = Place::new();
    let parent = place.paths.state.parent().expect("it has one");
    fs::create_dir_all(parent).expect("it can be made");
    fs::write(&place.paths.state, "").expect("it can be written");
    let error = refused(&place.paths);
    assert!(error.to_string().contains(&place.paths.state.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_long_path_with_spaces_and_chinese_works_from_end_to_end() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let below = std::iter::repeat_n("测试 目录 with spaces", 8).collect();
    let mut place = Place::in_directory(root, below);
    assert!(place.paths.socket().as_os_str().len() > 200);
    place.start().await;
    let mut watch = place.watch().await;
    watch.draw(job("a")).await;
    assert!(watch.shown.history[0].path.exists());
    drop(watch);
    place.stop().await;
    assert!(!place.paths.socket().exists());
    place.start().await;
    assert_eq!(place.watch().await.shown.history_total, 1);
}

#[tokio::test]
async fn a_newer_and_a_foreign_database_are_named_and_left_alone() {
    let newer = |path: &std::path::Path| {
        let db = rusqlite::Connection::open(path).expect("it can be made");
        db.execute_batch("PRAGMA application_id = 0x666c7578; PRAGMA user_version = 99; CREATE TABLE a (b)")
            .expect("it can be written");
    };
    let foreign = |path: &std::path::Path| {
        let db = rusqlite::Connection::open(path).expect("it can be made");
        db.execute_batch("CREATE TABLE recipes (soup)").expect("it can be written");
    };
    let cases: [(Make<'_>, &str); 2] = [
        (&newer, "was written by a newer flux-tui (its version is 99"),
        (&foreign, "is not a library of flux-tui"),
    ];
    for (make, says) in cases {
        let place = Place::new();
        fs::create_dir_all(&place.paths.data).expect("it can be made");
        make(&place.paths.library());
        let before = fs::read(place.paths.library()).expect("it is there");
        let error = refused(&place.paths).to_string();
        assert!(error.contains(says) && error.contains("library.sqlite3"), "{error}");
        assert_eq!(fs::read(place.paths.library()).expect("it is there"), before);
    }
}

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let mut place = Place::started().await;
    let mut watch = place.watch().await;
    for prompt in ["a", "fail", "b"] {
        let id = watch.submit(job(prompt)).await.id;
        watch.over(id).await;
    }
    place.stop().await;
    place.start().await;
    let again = place.watch().await.shown;
    assert_eq!((again.history, again.history_total, again.jobs), (watch.shown.history, 2, watch.shown.jobs));
    assert_eq!((again.running, &again.engines[0].loaded), (Vec::new(), &None));
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_connection() {
    let place = Place::started().await;
    let watch = place.watch().await;
    let (client, mut events) = Client::connect(&place.paths).await.expect("a worker runs");
    let same = client.clone();
    drop(client);
    assert!(same.call(Request::Status).await.is_ok());
    drop(same);
    assert_eq!(within("the end of the events", events.recv()).await, None);
    let alone = async {
        while !matches!(watch.client.call(Request::Status).await, Ok(Response::Status(status)) if status.clients == 1)
        {
        }
    };
    within("the end of the other", alone).await;
}

#[tokio::test]
async fn events_that_nobody_takes_do_not_keep_answers_from_coming() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let lazy = place.watch().await;
    for _ in 0..10 {
        let status = watch.draw(crate::support::job_of("alpha", "a", flux_tui::job::Seed::Random, 5)).await;
        assert_eq!(status.state, JobState::Done);
    }
    let status = within("an answer", lazy.client.call(Request::Status)).await;
    assert!(matches!(status, Ok(Response::Status(status)) if status.pictures == 50));
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_an_error_with_its_last_words() {
    let place = Place::new();
    let launch = |program: &str| Launch { program: program.into(), environment: Vec::new() };
    let missing = Client::connect_or_launch(&place.paths, &launch("/nonexistent/flux-tui")).await;
    let Err(ClientError::NotStarted { reason, log }) = missing else { panic!("it is not there") };
    assert!(reason.contains("/nonexistent/flux-tui could not be run"), "{reason}");
    assert_eq!(log, place.paths.log().display().to_string());
    // `ls worker run` says on stderr that there are no such files.
    let other = within("an error", Client::connect_or_launch(&place.paths, &launch("ls"))).await;
    let Err(ClientError::NotStarted { reason, .. }) = other else { panic!("it is no worker") };
    assert!(reason.contains("worker"), "{reason}");
}

#[tokio::test]
async fn a_worker_whose_socket_is_gone_ends_when_it_has_neither_work_nor_clients() {
    let mut place = Place::new();
    place.settings.look_every = std::time::Duration::from_millis(10);
    place.start().await;
    let mut watch = place.watch().await;
    let id = watch.submit(job("hold")).await.id;
    watch.step(id, 1).await;
    fs::remove_file(place.paths.socket()).expect("it is there");
    // Not ours: it must outlive us.
    let other = UnixListener::bind(place.paths.socket()).expect("nobody is there");
    place.models.release();
    assert_eq!(watch.over(id).await.state, JobState::Done, "its client is served to the end");
    drop(watch);
    place.ended().await;
    assert!(place.paths.socket().exists());
    drop(other);
}
