//! What the command line refuses, and that it refuses it before anything is started.

mod home;

use std::os::unix::net::UnixListener;
use std::process::Stdio;

use home::{Home, finish, start};

/// Refused with all of `parts`, and nothing was made in the home directory: no worker, no library.
#[track_caller]
fn refused(arguments: &[&str], parts: &[&str]) {
    let home = Home::new();
    home.run(arguments).refused_with(parts);
    assert_eq!(home.entries(), Vec::<String>::new(), "something was started");
}

#[test]
fn the_version_and_the_help_are_printed() {
    let home = Home::new();
    assert_eq!(home.run(&["--version"]).done(), format!("flux-tui {}\n", env!("CARGO_PKG_VERSION")));
    let help = home.run(&["--help"]);
    for part in ["generate", "show", "bench", "worker", "Exit codes", ".local/share/flux-tui"] {
        assert!(help.done().contains(part), "{part} is not in the help");
    }
    let help = home.run(&["generate", "--help"]);
    for part in ["--width", "--no-display", "multiple of 16", "seconds", "pictures", "130"] {
        assert!(help.done().contains(part), "{part} is not in the help of generate");
    }
    assert_eq!(home.entries(), Vec::<String>::new());
}

#[test]
fn an_unknown_command_or_option_is_refused() {
    refused(&["draw"], &["draw"]);
    refused(&["generate", "x", "--size", "16"], &["--size"]);
    refused(&["generate"], &["PROMPT"]);
}

#[test]
fn an_empty_prompt_is_refused() {
    refused(&["generate", ""], &["the prompt is empty"]);
    refused(&["generate", " \n\t "], &["the prompt is empty"]);
}

#[test]
fn an_empty_or_unreadable_prompt_on_standard_input_is_refused() {
    let home = Home::new();
    home.run(&["generate", "-"]).refused_with(&["the prompt is empty"]);
    home.run_with_input(&["generate", "-"], b"\n").refused_with(&["the prompt is empty"]);
    home.run_with_input(&["generate", "-"], b"a \xff").refused_with(&["UTF-8", "byte 2"]);
    home.run_with_input(&["generate", "-"], &[b'x'; (1 << 20) + 10]).refused_with(&["at most 1048576"]);
    assert_eq!(home.entries(), Vec::<String>::new());
}

#[test]
fn sizes_that_cannot_be_drawn_are_refused_with_the_nearest() {
    refused(&["generate", "x", "--width", "100"], &["--width", "width 100", "nearest is 96"]);
    refused(&["generate", "x", "--width", "0"], &["width 0", "from 16"]);
    refused(&["generate", "x", "--height", "2064"], &["height 2064", "2048"]);
    refused(&["generate", "x", "--height", "4294967296"], &["height", "2048"]);
    refused(&["generate", "x", "--height", "-16"], &["--height", "whole number"]);
    refused(&["generate", "x", "--width", "wide"], &["--width", "wide"]);
}

#[test]
fn devices_and_precisions_that_there_are_not_are_refused_with_what_would_work() {
    for command in [&["generate", "x"][..], &["bench"], &[]] {
        for device in ["gpu", "cuda:", "cuda:-1", "cuda:x", "CPU", ""] {
            let words = [command, &["--device", device]].concat();
            refused(&words, &["--device", "auto, cpu, cuda for any card, or cuda:0"]);
        }
        for precision in ["fp16", "int8", ""] {
            let words = [command, &["--precision", precision]].concat();
            refused(&words, &["--precision", "auto, fp8, fp8-storage or bf16"]);
        }
    }
    // A bench is measured in this process, which knows at once.
    refused(&["bench", "--device", "cuda:99"], &["no device cuda:99", "cpu"]);
}

#[test]
fn numbers_out_of_range_are_refused_with_the_range() {
    refused(&["generate", "x", "--steps", "0"], &["steps 0", "1 to 200"]);
    refused(&["generate", "x", "--steps", "201"], &["steps 201", "1 to 200"]);
    refused(&["generate", "x", "--guidance", "NaN"], &["guidance NaN", "0 to 100"]);
    refused(&["generate", "x", "--guidance", "inf"], &["guidance inf", "0 to 100"]);
    refused(&["generate", "x", "--guidance", "-1"], &["guidance -1", "0 to 100"]);
    refused(
        &["generate", "x", "--seed", "18446744073709551616"],
        &["18446744073709551616", "18446744073709551615"],
    );
    refused(&["generate", "x", "--seed", "-2"], &["-2", "-1 for a random one"]);
    refused(&["generate", "x", "--count", "0"], &["count 0", "1 to 1000"]);
    refused(&["bench", "--repeat", "0"], &["--repeat"]);
}

#[test]
fn an_unknown_model_is_refused_with_those_there_are() {
    refused(&["generate", "x", "--model", "sdxl"], &["sdxl", "nano"]);
    refused(&["bench", "--model", "sdxl"], &["sdxl", "nano"]);
}

#[test]
fn output_paths_that_cannot_be_written_are_refused_before_drawing() {
    let home = Home::new();
    let output = |path: &str| home.run(&["generate", "x", "--output", path]);
    output("no/such/picture.png").refused_with(&["no/such/picture.png", "no directory no/such"]);
    output("/proc/picture.png").refused_with(&["/proc/picture.png", "cannot be written"]);
    output(".").refused_with(&["directory", "picture.png"]);
    output("new/").refused_with(&["names no file"]);
    output("").refused_with(&["--output"]);
    home.run(&["generate", "x", "--count", "2", "-o", "no/p.png"]).refused_with(&["no/p-1.png"]);
    assert_eq!(home.entries(), Vec::<String>::new(), "something was started");
}

#[test]
fn without_a_home_the_message_says_what_to_set() {
    let home = Home::new();
    let ran = finish(start(home.command(&["worker", "status"]).env_remove("HOME")));
    ran.ended_with(1, &["HOME", "absolute path"]);
    let ran = finish(start(home.command(&["worker", "status"]).env("HOME", "relative")));
    ran.ended_with(1, &["HOME", "absolute path"]);
}

#[test]
fn no_worker_is_an_answer_and_none_is_started() {
    let home = Home::new();
    assert!(home.run(&["worker", "status"]).done().starts_with("no worker is running"));
    assert_eq!(home.run(&["worker", "status", "--json"]).done(), "{\"worker\":null}\n");
    assert_eq!(home.run(&["worker", "stop"]).done(), "no worker is running\n");
    assert!(!home.socket().exists());
}

#[test]
fn a_plan_is_for_a_card_and_is_asked_for_with_values_that_can_be_drawn() {
    let home = Home::new();
    home.run(&["plan", "--device", "cpu"]).ended_with(1, &["no card to plan for"]);
    home.run(&["plan", "--device", "cuda:99"]).ended_with(2, &["no device cuda:99"]);
    home.run(&["plan", "--width", "100"]).refused_with(&["nearest is 96"]);
    home.run(&["plan", "--vram-budget", "8"]).refused_with(&["like 8GiB"]);
    home.run(&["plan", "--t5", "gpu"]).refused_with(&["auto, card or cpu"]);
    home.run(&["generate", "a", "--merge-loras", "always"]).refused_with(&["never, or resident"]);
    home.run(&["plan", "--model", "none"]).ended_with(2, &["none", "nano"]);
}

#[test]
fn a_stale_socket_is_no_worker() {
    let home = Home::new();
    std::fs::create_dir_all(home.socket().parent().expect("it has one")).expect("the state directory");
    drop(UnixListener::bind(home.socket()).expect("a socket"));
    assert!(home.run(&["worker", "status"]).done().starts_with("no worker is running"));
}

#[test]
fn whoever_answers_with_a_hostile_length_is_told_apart_from_a_worker() {
    let home = Home::new();
    std::fs::create_dir_all(home.socket().parent().expect("it has one")).expect("the state directory");
    let listener = UnixListener::bind(home.socket()).expect("a socket");
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("a client comes");
        std::io::Write::write_all(&mut peer, &[0xff; 64]).expect("it listens");
        // Until the client hangs up.
        let _ = std::io::copy(&mut peer, &mut std::io::sink());
    });
    let ran = home.run(&["worker", "status"]);
    std::fs::remove_file(home.socket()).expect("it was ours");
    ran.ended_with(1, &["error: "]);
    server.join().expect("the server does not panic");
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let home = Home::new();
    for arguments in [&["worker", "status"][..], &["--help"], &["generate", "--help"]] {
        let mut child = start(home.command(arguments).stdin(Stdio::null()));
        drop(child.stdout.take());
        finish(child).ended_with(0, &[]);
    }
}

#[test]
fn a_full_disk_below_standard_output_is_told() {
    let home = Home::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    let child = home.command(&["worker", "status"]).stdout(full).stderr(Stdio::piped()).spawn();
    finish(child.expect("the program starts")).ended_with(1, &["standard output", "No space left"]);
}
