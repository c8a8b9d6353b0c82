//! A worker of another version makes room, and one of this version takes over.

mod home;

use std::sync::mpsc;

use flux_tui::wire::frame::{self, Frames, REPLY_MAX, REQUEST_MAX};
use flux_tui::wire::message::{Hello, Refusal, Request, Response, ToClient, ToWorker};
use futures::StreamExt as _;
use home::Home;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio_util::codec::FramedRead;

/// A worker of an older version with a job that it has begun: refuses greetings, and leaves when it is asked to make room
/// and has been greeted once more.
async fn older(listener: UnixListener) {
    let mut asked = false;
    loop {
        let (stream, _) = listener.accept().await.expect("a client");
        let (reader, mut writer) = stream.into_split();
        let mut frames = FramedRead::new(reader, Frames::new(REQUEST_MAX));
        let message = frames.next().await.expect("a message").expect("a whole one");
        let ToWorker { number, request } = frame::decode(&message).expect("it can be understood");
        let was_asked = asked;
        let result = match request {
            Request::Hello(Hello { protocol, version }) => Err(Refusal::Version {
                client: version,
                client_protocol: protocol,
                worker: "0.0.9".into(),
                worker_protocol: protocol - 1,
            }),
            Request::Replace => {
                asked = true;
                Ok(Response::Replacing { begun: 1 })
            }
            other => panic!("nobody should ask {other:?}"),
        };
        let reply = frame::encode(&ToClient::Reply { number, result }, REPLY_MAX).expect("it is short");
        writer.write_all(&reply).await.expect("the client waits");
        if was_asked {
            return;
        }
    }
}

#[test]
fn a_worker_of_another_version_makes_room_and_the_next_is_of_this_one() {
    let home = Home::new();
    assert_eq!(home.run(&["worker", "replace"]).done().trim(), "no worker is running");
    let socket = home.socket();
    std::fs::create_dir_all(socket.parent().expect("a directory")).expect("it can be made");
    let (ready, is_ready) = mpsc::channel();
    let path = socket.clone();
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = UnixListener::bind(&path).expect("a socket");
            ready.send(()).expect("the test waits");
            older(listener).await;
        });
        std::fs::remove_file(&path).expect("it was there");
    });
    is_ready.recv().expect("it listens");

    let refused = home.run(&["generate", "a cat", "--width", "32", "--height", "32", "--steps", "2"]);
    refused.ended_with(1, &["0.0.9", "the worker is the older", "flux-tui worker replace"]);
    let replaced = home.run(&["worker", "replace"]);
    assert!(replaced.done().contains("a worker of this version runs now"), "{replaced:?}");
    assert!(replaced.stderr.contains("it ends when 1 job that it has begun is done"), "{replaced:?}");
    worker.join().expect("it did as it should");
    home.run(&["generate", "a cat", "--width", "32", "--height", "32", "--steps", "2"]).done();
    assert_eq!(home.run(&["worker", "replace"]).done().trim(), "the worker is of this version already");
}
