//! The wire: every message comes back as it was sent, and nothing else is taken for one.

#[path = "samples/messages.rs"]
mod messages;
#[path = "samples/models.rs"]
mod samples;

use bytes::{Bytes, BytesMut};
use flux_tui::job::*;
use flux_tui::model::ModelName;
use flux_tui::wire::frame::{self, FrameError, Frames, REPLY_MAX, REQUEST_MAX};
use flux_tui::wire::message::*;
use futures::StreamExt;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio_util::codec::{Decoder, FramedRead};

use messages::{events, job, refusals, requests, responses};

fn to_worker() -> Vec<ToWorker> {
    requests()
        .into_iter()
        .zip([0, u64::MAX].into_iter().cycle())
        .map(|(request, number)| ToWorker { number, request })
        .collect()
}

fn to_client() -> Vec<ToClient> {
    let results = responses().into_iter().map(Ok).chain(refusals().into_iter().map(Err));
    let replies = results.map(|result| ToClient::Reply { number: 1, result });
    replies.chain(events().into_iter().map(ToClient::Event)).collect()
}

/// The value of the frame of a message, checked to be led by its length.
fn value<T: Serialize>(message: &T) -> Vec<u8> {
    let frame = frame::encode(message, REPLY_MAX).expect("it is short");
    let (head, value) = frame.split_first_chunk().expect("it has a length");
    assert_eq!(u32::from_be_bytes(*head) as usize, value.len());
    value.to_vec()
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(messages: &[T]) {
    for message in messages {
        let back: T = frame::decode(&value(message)).unwrap_or_else(|error| panic!("{message:?}: {error}"));
        assert_eq!(&back, message);
    }
}

/// Fails to compile when a variant is added: then it belongs into the lists above too.
#[test]
fn the_lists_are_whole() {
    for request in requests() {
        match request {
            Request::Hello(_) | Request::Subscribe | Request::Submit(_) | Request::Cancel(_) => {}
            Request::CountTokens(_)
            | Request::History(_)
            | Request::Fetch(_)
            | Request::Thumbnail(_)
            | Request::Status
            | Request::Queue(_)
            | Request::Library(_)
            | Request::Free
            | Request::Replace
            | Request::Stop => {}
            Request::Models | Request::FetchModel(_) | Request::CancelFetch(_) => {}
            Request::ModelDetails(_) | Request::VerifyModel(_) | Request::CancelCheck(_) => {}
            Request::PlanRemoval(_) | Request::RemoveModel(_) | Request::Loras(_) => {}
            Request::Grids(_) | Request::Costs(_) => {}
        }
    }
    for response in responses() {
        match response {
            Response::Replacing { .. } => {}
            Response::Welcome(_) | Response::Snapshot(_) | Response::Accepted(_) | Response::Cancelled => {}
            Response::Tokens(_) | Response::History(_) | Response::Png(_) | Response::Thumbnail(_) => {}
            Response::Changed | Response::Status(_) | Response::Stopping { .. } => {}
            Response::Models(_) | Response::Fetching(_) | Response::Details(_) => {}
            Response::Library(_) | Response::Loras(_) => {}
            Response::Grids(_) | Response::Costs(_) => {}
            Response::Checking(_) | Response::Removal(_) | Response::Removed { .. } => {}
        }
    }
    for refusal in refusals() {
        match refusal {
            Refusal::Version { .. }
            | Refusal::NoHello
            | Refusal::UnknownModel { .. }
            | Refusal::LackingModel(_)
            | Refusal::Lora(_)
            | Refusal::Grid(_)
            | Refusal::NothingToFetch(_)
            | Refusal::NotFetching(_)
            | Refusal::NothingToCheck(_)
            | Refusal::NotChecking(_)
            | Refusal::NotRemoved { .. }
            | Refusal::NoDevice(_)
            | Refusal::UnknownJob(_)
            | Refusal::Begun(_)
            | Refusal::NotFailed(_)
            | Refusal::NoJob(_) => {}
            Refusal::UnknownPicture(_)
            | Refusal::Picture(_)
            | Refusal::Library(_)
            | Refusal::File { .. }
            | Refusal::Tokenizer(_) => {}
            Refusal::QueueFull { .. } | Refusal::Superseded | Refusal::Malformed(_) | Refusal::Stopping => {}
        }
    }
    for event in events() {
        match event {
            Event::Job(_) | Event::Progress(_) | Event::Preview(_) | Event::Finished(_) => {}
            Event::Picture { .. } | Event::History { .. } => {}
            Event::Stopped { .. } | Event::Moved { .. } | Event::Paused(_) => {}
            Event::Engine(_) | Event::Readings(_) | Event::Ending => {}
            Event::Grid(_) => {}
            Event::Fetch(_) | Event::Models(_) | Event::Check(_) | Event::Loras => {}
        }
    }
}

#[test]
fn every_message_comes_back_as_it_was_sent() {
    round_trip(&to_worker());
    round_trip(&to_client());
}

#[test]
fn the_longest_prompt_fits_a_request_and_a_longer_frame_is_refused_before_it_is_sent() {
    let mut job = job(Seed::Random);
    job.prompt = Prompt::new("x".repeat(PROMPT_BYTES)).expect("it is just short enough");
    let submit = ToWorker { number: u64::MAX, request: Request::Submit(job) };
    assert!(frame::encode(&submit, REQUEST_MAX).is_ok());
    let text = "x".repeat(REQUEST_MAX);
    let count = Request::CountTokens(CountTokens { model: ModelName::new("nano"), text });
    let refused = frame::encode(&ToWorker { number: 1, request: count }, REQUEST_MAX);
    assert!(matches!(refused, Err(FrameError::TooLarge { cap: REQUEST_MAX, .. })), "{refused:?}");
}

#[test]
fn a_field_that_is_new_to_the_reader_is_passed_over() {
    #[derive(Serialize)]
    struct Newer {
        number: u64,
        request: &'static str,
        deadline: Option<f64>,
    }
    let newer = Newer { number: 5, request: "Status", deadline: Some(1.0) };
    let read: ToWorker = frame::decode(&value(&newer)).expect("the known fields are there");
    assert_eq!(read, ToWorker { number: 5, request: Request::Status });
}

#[test]
fn values_that_cannot_be_drawn_are_no_job_on_the_wire_either() {
    #[derive(Serialize)]
    struct RawJob {
        prompt: &'static str,
        model: &'static str,
        size: (u32, u32),
        steps: u32,
        guidance: f32,
        seed: Seed,
        count: u32,
    }
    let good = || RawJob {
        prompt: "a",
        model: "nano",
        size: (128, 128),
        steps: 4,
        guidance: 3.5,
        seed: Seed::Random,
        count: 1,
    };
    let older = frame::decode::<Job>(&value(&good())).expect("this one can be drawn");
    assert_eq!((older.device, older.load), Default::default(), "what an older peer does not say");
    for bad in [
        RawJob { prompt: " \n", ..good() },
        RawJob { size: (128, 130), ..good() },
        RawJob { size: (0, 128), ..good() },
        RawJob { steps: 0, ..good() },
        RawJob { steps: 201, ..good() },
        RawJob { guidance: f32::NAN, ..good() },
        RawJob { count: 0, ..good() },
    ] {
        assert!(matches!(frame::decode::<Job>(&value(&bad)), Err(FrameError::Decode(_))));
    }
}

#[test]
fn a_preview_of_the_wrong_length_is_refused() {
    #[derive(Serialize)]
    struct Raw {
        job: i64,
        index: u32,
        step: u32,
        width: u32,
        height: u32,
        rgb: Bytes,
    }
    let raw =
        |width, height| Raw { job: 1, index: 0, step: 1, width, height, rgb: Bytes::from_static(&[0; 6]) };
    frame::decode::<Preview>(&value(&raw(2, 1))).expect("six bytes are two pixels");
    assert!(frame::decode::<Preview>(&value(&raw(2, 2))).is_err());
    assert!(frame::decode::<Preview>(&value(&raw(u32::MAX, u32::MAX))).is_err());
}

#[test]
fn more_after_a_message_is_refused() {
    let mut bytes = value(&to_worker()[1]);
    bytes.push(0xc0);
    assert!(matches!(frame::decode::<ToWorker>(&bytes), Err(FrameError::Trailing(1))));
}

#[test]
fn a_hostile_length_is_refused_before_room_is_made_for_it() {
    for length in [REQUEST_MAX as u32 + 1, 1 << 30, u32::MAX] {
        let mut bytes = BytesMut::from(&length.to_be_bytes()[..]);
        let capacity = bytes.capacity();
        let refused = Frames::new(REQUEST_MAX).decode(&mut bytes);
        let told = matches!(refused, Err(FrameError::TooLarge { bytes, cap: REQUEST_MAX }) if bytes == u64::from(length));
        assert!(told, "{refused:?}");
        assert!(bytes.capacity() <= capacity);
    }
}

#[test]
fn lengths_inside_a_message_make_no_room_that_the_frame_has_not() {
    // An array, a map, a string and a binary of 4 GiB each, in five bytes.
    for marker in [0xdd, 0xdf, 0xdb, 0xc6] {
        let bytes = [marker, 0xff, 0xff, 0xff, 0xff];
        assert!(frame::decode::<ToClient>(&bytes).is_err());
        assert!(frame::decode::<Vec<u64>>(&bytes).is_err());
        assert!(frame::decode::<Bytes>(&bytes).is_err());
    }
    // Arrays in arrays, as deep as the frame is long.
    assert!(frame::decode::<ToWorker>(&vec![0x91; 1 << 20]).is_err());
}

#[tokio::test]
async fn frames_are_cut_from_a_stream_wherever_it_is_broken() {
    let messages = to_worker();
    let stream: Vec<u8> = messages
        .iter()
        .flat_map(|message| frame::encode(message, REQUEST_MAX).expect("it is short"))
        .collect();
    for piece in [1, 3, 4, 5, 1000] {
        let (mut writer, reader) = tokio::io::duplex(64);
        let stream = stream.clone();
        let writing = tokio::spawn(async move {
            for bytes in stream.chunks(piece) {
                writer.write_all(bytes).await.expect("the reader is there");
            }
        });
        let frames = FramedRead::new(reader, Frames::new(REQUEST_MAX));
        let read: Vec<ToWorker> = frames
            .map(|frame| frame::decode(&frame.expect("it is whole")).expect("it is a message"))
            .collect()
            .await;
        writing.await.expect("it has written all");
        assert_eq!(read, messages);
    }
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_says_so() {
    let whole = frame::encode(&to_worker()[2], REQUEST_MAX).expect("it is short");
    for length in 1..whole.len() {
        let mut frames = FramedRead::new(&whole[..length], Frames::new(REQUEST_MAX));
        let cut = frames.next().await;
        assert!(matches!(cut, Some(Err(FrameError::Cut))), "after {length} bytes: {cut:?}");
    }
    let mut nothing = FramedRead::new(&whole[..0], Frames::new(REQUEST_MAX));
    assert!(nothing.next().await.is_none(), "between frames is a good place to end");
}

proptest! {
    #[test]
    fn garbage_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = frame::decode::<ToWorker>(&bytes);
        let _ = frame::decode::<ToClient>(&bytes);
        let mut stream = BytesMut::from(&bytes[..]);
        let mut frames = Frames::new(100);
        while let Ok(Some(frame)) = frames.decode(&mut stream) {
            prop_assert!(frame.len() <= 100);
        }
    }

    #[test]
    fn a_message_with_bytes_changed_never_panics(which in 0..100usize, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let messages = to_client();
        let mut bytes = value(&messages[which % messages.len()]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(message) = frame::decode::<ToClient>(&bytes) {
            // Whatever was read can be sent on.
            prop_assert!(frame::encode(&message, REPLY_MAX).is_ok());
        }
    }
}
