//! Peers that mean no good or do not know better: the worker drops them and serves the others.

use std::time::Duration;

use flux_tui::client::{Client, ClientError};
use flux_tui::job::Seed;
use flux_tui::model::ModelName;
use flux_tui::wire::frame::{self, Frames, REPLY_MAX, REQUEST_MAX};
use flux_tui::wire::message::*;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio_util::codec::FramedRead;

use crate::support::{Place, Raw, job, job_of, within};

/// A frame around any bytes.
fn framed(value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("it is short");
    [&length.to_be_bytes()[..], value].concat()
}

async fn write(raw: &mut Raw, bytes: &[u8]) {
    // The worker may have hung up in the middle of it.
    let _ = within("room to write", raw.writer.write_all(bytes)).await;
}

#[tokio::test]
async fn hostile_frames_end_their_own_connection_and_no_other() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let held = watch.submit(job("hold")).await.id;
    watch.step(held, 1).await;
    let frames: [&[u8]; 6] = [
        &[0xff, 0xff, 0xff, 0xff],
        &[0x7f, 0xff, 0xff, 0xff, 1, 2, 3],
        &(REQUEST_MAX as u32 + 1).to_be_bytes(),
        &framed(&[]),
        &framed(&[0xc1; 100]),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    for greeted in [false, true] {
        for bytes in frames {
            let mut raw = place.raw().await;
            if greeted {
                raw.greet().await;
            }
            write(&mut raw, bytes).await;
            assert_eq!(raw.receive().await, None, "{bytes:?}");
        }
        // Half a frame, and gone.
        let mut raw = place.raw().await;
        if greeted {
            raw.greet().await;
        }
        write(&mut raw, &[0, 0, 1, 0, 9, 9]).await;
        drop(raw);
    }
    place.models.release();
    assert_eq!(watch.over(held).await.done, 1, "the other client never noticed");
}

#[tokio::test]
async fn a_request_that_cannot_be_read_but_has_a_number_is_refused_and_the_next_is_answered() {
    #[derive(serde::Serialize)]
    struct Strange<T> {
        number: u64,
        request: T,
    }
    let place = Place::started().await;
    let mut raw = place.raw().await;
    raw.greet().await;
    let strange =
        frame::encode(&Strange { number: 41, request: "Explode" }, REQUEST_MAX).expect("it is short");
    write(&mut raw, &strange).await;
    let answer = raw.receive().await;
    let refused = matches!(&answer, Some(ToClient::Reply { number: 41, result: Err(Refusal::Malformed(_)) }));
    assert!(refused, "{answer:?}");
    let status = raw.send(Request::Status).await;
    assert!(matches!(raw.answer(status).await.1, Ok(Response::Status(_))));
}

#[tokio::test]
async fn the_first_message_must_be_a_greeting_of_the_same_version() {
    let place = Place::started().await;
    let mut raw = place.raw().await;
    let asked = raw.send(Request::Status).await;
    assert_eq!(raw.answer(asked).await.1, Err(Refusal::NoHello));
    assert_eq!(raw.receive().await, None);

    let mut raw = place.raw().await;
    let hello = Hello { protocol: PROTOCOL + 1, version: "9.9.9".into() };
    let asked = raw.send(Request::Hello(hello)).await;
    let Err(refusal @ Refusal::Version { .. }) = raw.answer(asked).await.1 else { panic!("another version") };
    assert!(refusal.to_string().contains("9.9.9"), "{refusal}");
    assert_eq!(raw.receive().await, None);
}

#[tokio::test]
async fn a_worker_of_another_version_finishes_what_it_has_begun_and_leaves_the_rest() {
    let mut place = Place::started().await;
    let mut watch = place.watch().await;
    let begun = watch.submit(job_of("alpha", "slow", Seed::Random, 2)).await.id;
    watch
        .until("a step", |event| match event {
            Event::Progress(it) if it.job == begun && matches!(it.stage, Stage::Drawing { .. }) => Some(()),
            _ => None,
        })
        .await;
    let waits = watch.submit(job("b")).await.id;
    // Nobody of another version can greet.
    let mut raw = place.raw().await;
    let asked = raw.send(Request::Replace).await;
    assert_eq!(raw.answer(asked).await.1, Ok(Response::Replacing { begun: 1 }));
    assert_eq!(raw.receive().await, None);
    let after = watch.submit(job("c")).await.id;
    assert_eq!(watch.over(begun).await.state, JobState::Done, "with both of its pictures");
    place.ended().await;
    place.start().await;
    let mut watch = place.watch().await;
    for id in [waits, after] {
        assert_eq!(watch.over(id).await.state, JobState::Done, "the next draws it");
    }
    assert_eq!(place.files().len(), 4);

    // One that draws nothing ends at once.
    let mut raw = place.raw().await;
    let asked = raw.send(Request::Replace).await;
    assert_eq!(raw.answer(asked).await.1, Ok(Response::Replacing { begun: 0 }));
    place.ended().await;
}

#[tokio::test]
async fn a_connection_that_does_not_greet_is_closed() {
    let mut place = Place::new();
    place.settings.greet_within = Duration::from_millis(30);
    place.start().await;
    let mut silent = place.raw().await;
    assert_eq!(silent.receive().await, None);
}

#[tokio::test]
async fn more_connections_than_there_may_be_are_refused_and_those_inside_are_served() {
    let mut place = Place::new();
    place.settings.clients_max = 8;
    place.start().await;
    let mut watch = place.watch().await;
    let mut inside = Vec::new();
    for _ in 0..7 {
        let mut raw = place.raw().await;
        raw.greet().await;
        inside.push(raw);
    }
    for _ in 0..100 {
        let mut outside = place.raw().await;
        assert_eq!(outside.receive().await, None);
    }
    assert_eq!(watch.draw(job("a")).await.done, 1);
    drop(inside.pop());
    let again = async { while Client::connect(&place.paths).await.is_err() {} };
    within("room for another", again).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_slows_nobody_and_is_given_up() {
    let mut place = Place::new();
    place.settings.stall = Duration::from_millis(200);
    place.start().await;
    let mut deaf = place.raw().await;
    deaf.greet().await;
    deaf.send(Request::Subscribe).await;
    let mut watch = place.watch().await;
    // Each event about this job carries its prompt: far more than the socket holds.
    let long = "x ".repeat(100_000);
    for _ in 0..3 {
        watch.draw(job_of("alpha", &long, Seed::Random, 10)).await;
    }
    let alone = async {
        loop {
            let status = watch.client.call(Request::Status).await;
            if matches!(status, Ok(Response::Status(status)) if status.clients == 1) {
                return;
            }
        }
    };
    within("the end of the deaf client", alone).await;
}

#[tokio::test]
async fn a_client_that_asks_without_reading_is_answered_when_it_reads() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let id = {
        watch.draw(job("a")).await;
        watch.shown.history[0].id
    };
    let mut raw = place.raw().await;
    raw.greet().await;
    // More than the room there is for unanswered requests.
    let asked: Vec<u64> = {
        let mut asked = Vec::new();
        for _ in 0..100 {
            asked.push(raw.send(Request::Fetch(id)).await);
        }
        asked
    };
    let mut answered = Vec::new();
    while answered.len() < asked.len() {
        match raw.receive().await {
            Some(ToClient::Reply { number, result: Ok(Response::Png(_)) }) => answered.push(number),
            other => panic!("a PNG, not {other:?}"),
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, asked, "each once");
}

#[tokio::test]
async fn the_queue_refuses_more_than_a_snapshot_could_show() {
    let place = Place::started().await;
    let mut watch = place.watch().await;
    let held = watch.submit(job("hold")).await.id;
    watch.step(held, 1).await;
    let long = "x".repeat(1 << 20);
    let mut accepted = 1;
    let refusal = loop {
        match watch.client.call(Request::Submit(job(&long))).await {
            Ok(_) => accepted += 1,
            Err(ClientError::Refused(refusal)) => break refusal,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(refusal, Refusal::QueueFull { jobs: accepted });
    assert_eq!(place.watch().await.shown.jobs.len(), accepted, "all of it still fits a snapshot");
}

/// A worker that sends these bytes after its welcome.
async fn impostor(place: &Place, after: Vec<u8>) -> Client {
    std::fs::create_dir_all(&place.paths.state).expect("it can be made");
    let listener = UnixListener::bind(place.paths.socket()).expect("nobody is there");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client comes");
        let (reader, mut writer) = stream.into_split();
        let mut frames = FramedRead::new(reader, Frames::new(REQUEST_MAX));
        let hello: ToWorker =
            frame::decode(&frames.next().await.expect("a greeting").expect("a frame")).expect("a message");
        let info = WorkerInfo { protocol: PROTOCOL, version: "0".into(), pid: 1, started_at: 0 };
        let welcome = ToClient::Reply { number: hello.number, result: Ok(Response::Welcome(info)) };
        let welcome = frame::encode(&welcome, REPLY_MAX).expect("it is short");
        writer.write_all(&welcome).await.expect("the client is there");
        // Until it asks, so that it is waiting when the garbage comes.
        let _ = frames.next().await;
        let _ = writer.write_all(&after).await;
    });
    within("a connection", Client::connect(&place.paths)).await.expect("it was welcomed").0
}

#[tokio::test]
async fn a_worker_that_sends_garbage_or_too_much_is_left_and_the_error_says_why() {
    let stray = ToClient::Reply { number: 99, result: Ok(Response::Cancelled) };
    let stray = frame::encode(&stray, REPLY_MAX).expect("it is short").to_vec();
    let cases = [
        (vec![0xff; 4], "a frame of 4294967295 bytes; at most 67108864 are accepted"),
        (framed(&[0xc1]), "a message could not be read"),
        (stray, "a request 99 that was not made"),
    ];
    for (bytes, why) in cases {
        let client = impostor(&Place::new(), bytes).await;
        let called = within("an answer", client.call(Request::Status)).await;
        let Err(ClientError::Garbled(reason)) = called else { panic!("it is garbled, not {called:?}") };
        assert!(reason.contains(why), "{reason}");
        let again = within("an answer", client.call(Request::Status)).await;
        assert!(matches!(again, Err(ClientError::Garbled(_))), "and stays so");
    }
}

#[tokio::test]
async fn a_worker_that_hangs_up_is_lost_and_says_nothing_else() {
    let client = impostor(&Place::new(), vec![0, 0]).await;
    let called = within("an answer", client.call(Request::Status)).await;
    assert!(matches!(called, Err(ClientError::Lost)), "{called:?}");
}

#[tokio::test]
async fn what_is_too_long_for_a_request_is_not_sent() {
    let place = Place::started().await;
    let watch = place.watch().await;
    let count = CountTokens { model: ModelName::new("alpha"), text: "x".repeat(2 << 20) };
    let called = watch.client.call(Request::CountTokens(count)).await;
    assert!(matches!(called, Err(ClientError::Unsendable(_))), "{called:?}");
    assert!(watch.client.call(Request::Status).await.is_ok(), "the connection is still good");
}
