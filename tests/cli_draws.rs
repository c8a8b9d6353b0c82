//! `flux-tui generate` with the real worker and the real model.

mod home;

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use flux_tui::job::{JobId, Recipe};
use flux_tui::library::png;
use flux_tui::wire::frame::{self, REPLY_MAX};
use flux_tui::wire::message::*;
use home::{Home, Ran, finish, start};
use serde_json::Value;

/// A picture as small and quick as they come.
const QUICK: [&str; 6] = ["--width", "32", "--height", "32", "--steps", "2"];

fn quick<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["generate"][..], arguments, &QUICK].concat()
}

fn recipe(path: &Path) -> Recipe {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    png::read(&bytes).expect("a PNG").recipe.expect("it is ours").expect("it can be read")
}

fn pixels(path: &Path) -> Vec<u8> {
    image::open(path).expect("a picture").to_rgb8().into_raw()
}

fn path_in(object: &Value) -> PathBuf {
    object["path"].as_str().expect("a path").into()
}

#[test]
fn a_picture_is_drawn_kept_and_named_in_a_home_with_spaces_and_chinese() {
    let home = Home::new();
    let ran = home.run(&["generate", "a red apple", "--seed", "7"]);
    let path = PathBuf::from(ran.done().strip_suffix('\n').expect("one line"));
    assert!(path.starts_with(home.path().join(".local/share/flux-tui/pictures")), "{}", path.display());
    let recipe = recipe(&path);
    assert_eq!((recipe.prompt.as_str(), recipe.seed, recipe.steps), ("a red apple", 7, 20));
    assert_eq!(pixels(&path).len(), 128 * 128 * 3);
    assert_eq!(ran.stderr, "", "nothing is to be said when all is well");
}

#[test]
fn json_is_one_object_that_tells_what_the_file_holds() {
    let home = Home::new();
    let object = home.run(&quick(&["a cat", "--json", "--seed", "18446744073709551615"])).json();
    let recipe = recipe(&path_in(&object));
    assert_eq!(object["seed"], Value::from(u64::MAX));
    assert_eq!((&object["width"], &object["height"], &object["steps"]), (&32.into(), &32.into(), &2.into()));
    assert_eq!((&object["guidance"], &object["model"]), (&3.0.into(), &"nano".into()));
    assert_eq!(object["precision"], Value::from(recipe.precision));
    for part in ["load", "encode", "denoise", "decode"] {
        assert!(object["seconds"][part].as_f64().expect("a number") >= 0.0, "{object}");
    }
    assert!(object.get("pictures").is_none() && object.get("output").is_none(), "{object}");
}

#[test]
fn a_seed_gives_the_same_picture_again_and_a_random_one_is_told() {
    let home = Home::new();
    let first = home.run(&quick(&["a cat", "--json"])).json();
    let seed = first["seed"].as_u64().expect("a seed").to_string();
    let again = home.run(&quick(&["a cat", "--json", "--seed", &seed])).json();
    let other = home.run(&quick(&["a cat", "--json"])).json();
    assert_eq!(pixels(&path_in(&first)), pixels(&path_in(&again)));
    assert_ne!(first["seed"], other["seed"]);
}

#[test]
fn count_and_output_give_numbered_copies_of_successive_seeds() {
    let home = Home::new();
    let arguments = quick(&["a cat", "--json", "--seed", "5", "--count", "3", "--output", "图.png"]);
    let object = home.run(&arguments).json();
    let pictures = object["pictures"].as_array().expect("an array");
    assert_eq!(pictures.len(), 3);
    for (index, picture) in pictures.iter().enumerate() {
        assert_eq!(picture["seed"], Value::from(5 + index));
        let copy = home.path().join(format!("图-{}.png", index + 1));
        assert_eq!(
            std::fs::read(copy).expect("the copy"),
            std::fs::read(path_in(picture)).expect("the picture")
        );
    }
    assert_eq!(object["path"], pictures[0]["path"]);
}

#[test]
fn output_is_written_where_it_was_asked_for_and_named() {
    let home = Home::new();
    let ran = home.run(&quick(&["a cat", "-o", "a.png"]));
    assert_eq!(ran.done(), "a.png\n");
    assert_eq!(recipe(&home.path().join("a.png")).prompt.as_str(), "a cat");
    let left: Vec<_> = home.entries().into_iter().filter(|name| name.ends_with(".part")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_full_disk_below_output_is_told_with_where_the_picture_is() {
    let home = Home::new();
    let ran = home.run(&quick(&["a cat", "--json", "--output", "/dev/full"]));
    ran.ended_with(1, &["/dev/full", "No space left", "is kept at"]);
    assert!(path_in(&ran.json()).exists());
}

#[test]
fn a_job_says_where_it_is_drawn_and_nothing_is_drawn_elsewhere_instead() {
    let home = Home::new();
    let object = home.run(&quick(&["a cat", "--json", "--device", "cpu", "--precision", "auto"])).json();
    assert!(object["precision"].as_str().is_some_and(|said| said.contains("fp32") && said.contains("CPU")));
    home.run(&quick(&["a cat", "--device", "cuda:99"])).refused_with(&["no device cuda:99", "cpu", "auto"]);
    let ran = home.run(&quick(&["a cat", "--device", "cpu", "--precision", "fp8"]));
    ran.ended_with(1, &["precision fp8", "the CPU computes in fp32", "auto works"]);
    let status = home.run(&["worker", "status", "--json"]).json();
    assert_eq!(status["pictures"], Value::from(1));
    assert!(
        status["engines"].as_array().is_some_and(|engines| engines.iter().any(|it| it["device"] == "cpu"))
    );
}

fn cut_for<'o>(object: &'o Value, encoder: &str) -> &'o Value {
    let cuts = object["cut"].as_array().unwrap_or_else(|| panic!("nothing was cut: {object}"));
    cuts.iter()
        .find(|cut| cut["encoder"] == *encoder)
        .unwrap_or_else(|| panic!("{encoder} read all: {object}"))
}

#[test]
fn a_prompt_of_100_000_characters_is_drawn_cut_and_the_cut_is_told() {
    let home = Home::new();
    let prompt = "a red apple on a blue plate, ".repeat(3_500);
    let prompt = &prompt[..100_000];
    let ran = home.run_with_input(&quick(&["-", "--json"]), prompt.as_bytes());
    ran.ended_with(0, &["warning: T5 reads 32 tokens", "CLIP reads 77 tokens", "not read: \""]);
    let object = ran.json();
    let cut = cut_for(&object, "T5")["text"].as_str().expect("text");
    assert!(!cut.is_empty() && cut.len() < prompt.len() && prompt.ends_with(cut));
    assert_eq!(cut_for(&object, "CLIP")["limit"], Value::from(77));
    assert_eq!(recipe(&path_in(&object)).prompt.as_str(), prompt, "the file keeps the whole prompt");
}

#[test]
fn prompts_of_only_chinese_or_only_emoji_are_drawn_and_told_when_cut_or_unknown() {
    let home = Home::new();
    for prompt in ["红苹果放在蓝色盘子上".repeat(20), "🍎🐱🚲".repeat(40)] {
        let ran = home.run(&quick(&[&prompt, "--json"]));
        ran.ended_with(0, &["warning: CLIP reads 77 tokens", "not read: \"", "warning: T5 does not know"]);
        let object = ran.json();
        let cut = cut_for(&object, "CLIP")["text"].as_str().expect("text");
        assert!(!cut.is_empty() && prompt.ends_with(cut), "{cut}");
        assert_eq!(recipe(&path_in(&object)).prompt.as_str(), prompt);
    }
}

#[test]
fn a_short_prompt_is_read_whole() {
    let home = Home::new();
    let object = home.run(&quick(&["a cat", "--json"])).json();
    assert!(object.get("cut").is_none(), "{object}");
}

/// Whether the worker, if there is one, draws.
fn is_drawing(status: &Value) -> bool {
    status["running"].as_array().is_some_and(|running| !running.is_empty())
}

/// A job that takes long enough to be interrupted.
fn long(home: &Home) -> std::process::Child {
    let arguments = ["generate", "a cat", "--steps", "200", "--count", "20", "--json"];
    let child = start(&mut home.command(&arguments));
    home.status_when("it is drawing", is_drawing);
    child
}

fn interrupt(child: &std::process::Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is running");
}

#[test]
fn ctrl_c_cancels_the_job_and_says_so() {
    let home = Home::new();
    let child = long(&home);
    interrupt(&child);
    let ran: Ran = finish(child);
    ran.ended_with(130, &["cancelled"]);
    assert_eq!(ran.stdout, "");
    let status = home.status_when("it is idle", |status| status["running"] == Value::Array(Vec::new()));
    assert_eq!(status["queued"], Value::from(0));
}

#[test]
fn a_client_that_is_killed_leaves_its_job_to_the_worker() {
    let home = Home::new();
    let mut child = start(&mut home.command(&["generate", "a cat", "--steps", "50", "--count", "2"]));
    home.status_when("it is drawing", is_drawing);
    child.kill().expect("it is running");
    finish(child);
    home.status_when("both pictures are done", |status| status["pictures"] == 2);
}

#[test]
fn a_worker_that_is_ended_keeps_the_job_for_the_next() {
    let home = Home::new();
    let child = start(&mut home.command(&["generate", "a cat", "--steps", "60", "--count", "2"]));
    home.status_when("it is drawing", is_drawing);
    let stopped = home.run(&["worker", "stop"]);
    assert!(stopped.done().contains("1 job stays queued"), "{stopped:?}");
    finish(child).ended_with(1, &["the worker ended", "stays queued"]);
    home.run(&quick(&["a dog"])).done();
    home.status_when("all three pictures are done", |status| status["pictures"] == 3);
}

/// A worker that accepts a job and ends when it is asked for something else: it reads a frame and answers it,
/// until `Submit` is behind it.
fn accept_and_end(listener: &UnixListener) {
    let (mut peer, _) = listener.accept().expect("a client comes");
    loop {
        let mut length = [0; 4];
        peer.read_exact(&mut length).expect("a frame's length");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        peer.read_exact(&mut frame).expect("a frame");
        let ToWorker { number, request } = frame::decode(&frame).expect("a message");
        let worker = WorkerInfo { protocol: PROTOCOL, version: "0".into(), pid: 1, started_at: 0 };
        let response = match request {
            Request::Hello(_) => Response::Welcome(worker),
            Request::Subscribe => Response::Snapshot(Box::new(Snapshot {
                worker,
                models: Vec::new(),
                engines: Vec::new(),
                jobs: Vec::new(),
                running: Vec::new(),
                history: Vec::new(),
                paused: false,
                history_total: 0,
                readings: None,
                fetches: Vec::new(),
                checks: Vec::new(),
                rebuilt: None,
            })),
            Request::Submit(job) => {
                let (id, state) = (JobId(9), JobState::Queued);
                let status = JobStatus { id, job, first_seed: 1, state, done: 0, accepted_at: 0 };
                Response::Accepted(Box::new(status))
            }
            _ => return send(&mut peer, &ToClient::Event(Event::Ending)),
        };
        send(&mut peer, &ToClient::Reply { number, result: Ok(response) });
    }
}

fn send(peer: &mut UnixStream, message: &ToClient) {
    peer.write_all(&frame::encode(message, REPLY_MAX).expect("it is short")).expect("the client is there");
}

#[test]
fn a_worker_that_ends_before_it_has_counted_the_prompt_is_told_with_its_job() {
    let home = Home::new();
    std::fs::create_dir_all(home.socket().parent().expect("it has one")).expect("the state directory");
    let listener = UnixListener::bind(home.socket()).expect("a socket");
    let worker = std::thread::spawn(move || accept_and_end(&listener));
    let ran = home.run(&["generate", "a cat", "--count", "2"]);
    std::fs::remove_file(home.socket()).expect("it was ours");
    ran.ended_with(1, &["the worker ended", "job 9", "stays queued"]);
    worker.join().expect("the worker does not panic");
}

#[test]
fn a_second_worker_leaves_the_first_alone() {
    let home = Home::new();
    home.run(&quick(&["a cat"])).done();
    let first = home.run(&["worker", "status", "--json"]).json();
    let second = home.run(&["worker", "run"]);
    assert!(!second.stderr.contains("panicked"), "{second:?}");
    let after = home.run(&["worker", "status", "--json"]).json();
    assert_eq!(first["worker"]["pid"], after["worker"]["pid"]);
    assert!(home.run(&["worker", "status"]).done().contains("nano"));
}

#[test]
fn a_stale_socket_is_replaced() {
    let home = Home::new();
    std::fs::create_dir_all(home.socket().parent().expect("it has one")).expect("the state directory");
    drop(UnixListener::bind(home.socket()).expect("a socket"));
    home.run(&quick(&["a cat"])).done();
}

#[test]
fn bench_measures_in_its_own_process() {
    let home = Home::new();
    let object = home.run(&["bench", "--repeat", "1", "--json"]).json();
    for part in ["load", "encode", "step", "denoise", "decode", "picture"] {
        assert!(object["seconds"][part]["median"].as_f64().expect("a number") > 0.0, "{part}: {object}");
    }
    assert!(object["cpu"].is_string() && object["device"].is_string() && object["precision"].is_string());
    assert_eq!(object["version"], env!("CARGO_PKG_VERSION"));
    assert!(!home.socket().exists());
}
