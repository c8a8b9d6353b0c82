//! What goes wrong on the way: greetings, no program, no way, another version, a bridge that is used by hand.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use flux_tui::wire::frame::{self, REPLY_MAX};
use flux_tui::wire::message::{Refusal, ToClient};

use crate::far::{HOST, Line};

#[test]
fn what_a_shell_prints_first_is_passed_over() {
    let line = Line::new();
    line.write("greeting", &format!("Welcome to server!\n{}\nunfinished ", "motd ".repeat(8000)));
    line.run(&["queue", "pause", "--host", HOST]).done();
    assert!(line.run(&["queue", "list", "--host", HOST]).done().contains("paused"));

    line.write("greeting", &format!("Welcome to server!\n{}", "motd ".repeat(20_000)));
    let ran = line.run(&["queue", "list", "--host", HOST]);
    ran.ended_with(1, &["ann@server", "does not end", "Welcome to server!"]);
}

#[test]
fn a_program_that_is_not_there_is_told_with_what_to_do() {
    let line = Line::new();
    line.configure("[host]\nprogram = \"/opt/none/flux-tui\"\n");
    let told = ["/opt/none/flux-tui", "not found", "[host]", "ann@server"];
    line.run(&["generate", "a cat", "--host", HOST]).ended_with(1, &told);

    // The studio says it where a person still reads, and takes no terminal.
    let studio = line.studio(&["--host", HOST]);
    studio.see("/opt/none/flux-tui is not found there");
    assert_eq!(studio.ended(), 1);
    line.nothing_here();
}

#[test]
fn what_came_instead_of_a_worker_is_shown() {
    let line = Line::new();
    line.configure("[host]\nprogram = \"echo This account is not available;\"\n");
    let ran = line.run(&["worker", "status", "--host", HOST]);
    ran.ended_with(1, &["no worker on ann@server", "This account is not available"]);
}

#[test]
fn what_ssh_says_is_told_and_its_configured_options_go_first() {
    let line = Line::new();
    line.write("cut", "");
    let ran = line.run(&["worker", "status", "--host", HOST]);
    ran.ended_with(1, &["no worker on ann@server", "No route to host"]);

    line.remove("cut");
    line.configure("[host]\ncommand = [\"ssh\", \"-p\", \"2222\"]\n");
    line.run(&["worker", "status", "--host", HOST]).done();
    assert!(line.asked()[1].starts_with("-p 2222 -T "), "{:?}", line.asked());

    line.configure("[host]\ncommand = [\"no-such-ssh\"]\n");
    line.run(&["worker", "status", "--host", HOST]).ended_with(1, &["no-such-ssh could not be run"]);
    line.run(&["worker", "status", "--host", "-oProxyCommand=x"]).ended_with(2, &[]);
}

/// A worker of another version, as far as its first answer goes: it refuses whoever greets it.
fn stand_in(line: &Line) {
    let socket = line.far.socket();
    std::fs::create_dir_all(socket.parent().expect("a directory")).expect("there is room");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let refusal = Refusal::Version {
        client: env!("CARGO_PKG_VERSION").to_owned(),
        client_protocol: 7,
        worker: "0.0.9".to_owned(),
        worker_protocol: 6,
    };
    let reply =
        frame::encode(&ToClient::Reply { number: 1, result: Err(refusal) }, REPLY_MAX).expect("short");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a client");
            // A client that is only looked after may have left.
            let _ = client.read(&mut [0; 256]).and_then(|_| client.write_all(&reply));
        }
    });
}

#[test]
fn a_worker_of_another_version_is_named_with_the_older_side() {
    let line = Line::new();
    stand_in(&line);
    let both =
        ["no worker on ann@server", "0.1.0 (protocol 7)", "0.0.9 (protocol 6)", "the worker is the older"];
    line.run(&["worker", "status", "--host", HOST]).ended_with(1, &both);
    let studio = line.studio(&["--host", HOST]);
    studio.see("0.0.9 (protocol 6)");
    assert_eq!(studio.ended(), 1);
    std::fs::remove_file(line.far.socket()).expect("it is ours");
}

#[test]
fn a_bridge_ends_with_its_client_and_the_worker_stays() {
    let line = Line::new();
    for spelling in [&["worker", "stdio"][..], &["worker", "--stdio"]] {
        // Standard input is empty.
        let ran = line.far.run(spelling);
        assert_eq!(ran.done(), "FLUX-TUI BRIDGE 1 READY\n");
        assert_eq!(ran.stderr, "");
    }
    let status = line.far.run(&["worker", "status", "--json"]).json();
    assert!(status["worker"]["pid"].is_number(), "{status}");
    line.far.run(&["worker", "stop"]).done();
    assert_eq!(line.far.run(&["worker", "stdio", "--no-start"]).done(), "FLUX-TUI BRIDGE 1 NO WORKER\n");

    // One that cannot start a worker says why, and nothing on standard output.
    let state = line.far.path().join(".local/state/flux-tui");
    std::fs::remove_dir_all(&state).expect("it is ours");
    std::fs::write(&state, "").expect("there is room");
    let ran = line.far.run(&["worker", "stdio"]);
    ran.ended_with(1, &["flux-tui"]);
    assert_eq!(ran.stdout, "");
}
