//! The wire: every message comes back as it was sent, and nothing else is taken for one.

#[path = "samples/models.rs"]
mod samples;

use bytes::{Bytes, BytesMut};
use flux_tui::device::{Device, DeviceChoice, NoDevice, PrecisionChoice};
use flux_tui::gpu::{Gpu, Host, Readings};
use flux_tui::job::*;
use flux_tui::model::{Defaults, ModelInfo, ModelName, TextLimits};
use flux_tui::wire::frame::{self, FrameError, Frames, REPLY_MAX, REQUEST_MAX};
use flux_tui::wire::message::*;
use flux_tui::wire::queue::{QueueChange, QueuePlace};
use futures::StreamExt;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio_util::codec::{Decoder, FramedRead};

use samples::{fetches, models};

fn job(seed: Seed) -> Job {
    let prompt = Prompt::new("一只红苹果 🍎\n\"on a table\"").expect("it is not empty");
    let size = Size::new(2048, 16).expect("it is on the grid");
    Job::new(prompt, ModelName::new("nano"), size, 200, 0.1, seed, 1000).expect("it is in range")
}

fn status(state: JobState) -> JobStatus {
    JobStatus {
        id: JobId(i64::MAX),
        job: job(Seed::Random),
        first_seed: u64::MAX,
        state,
        done: 3,
        accepted_at: -1,
    }
}

fn picture() -> Picture {
    let Job { prompt, model, size, .. } = job(Seed::Random);
    let cut = TokenCount { encoder: Encoder::Clip, tokens: 100, limit: 77, cut_at: Some(12), unknown: 1 };
    let whole = TokenCount { encoder: Encoder::T5, tokens: 9, limit: 512, cut_at: None, unknown: 0 };
    let times = Times { load: 1.5, encode: 0.1, denoise: f64::MAX, decode: 0.0 };
    let precision = "fp32 from fp8 e4m3 weights, CPU".to_owned();
    let recipe = Recipe {
        prompt,
        model,
        size,
        steps: 4,
        guidance: 3.5,
        seed: 1 << 63,
        precision,
        cuts: vec![cut, whole],
        times,
    };
    let path = "/home/测试 目录/a.png".into();
    Picture { id: PictureId(7), job: JobId(1), index: 2, recipe, path, finished_at: 1_700_000_000_000 }
}

fn progress(stage: Stage) -> Progress {
    let (device, job) = (Device::Cuda(7), JobId(1));
    Progress { device, job, index: 0, seed: u64::MAX, stage, elapsed: 1.25, remaining: Some(0.0) }
}

fn preview() -> Preview {
    Preview::new(JobId(1), 0, 3, (2, 1), Bytes::from_static(&[0, 127, 128, 255, 1, 2]))
        .expect("it has six bytes")
}

fn readings() -> Readings {
    let host = Host { total: u64::MAX, used: 1, ours: 0, worker_load: 99.5, load: 100.0, cores: 2 };
    let silent = Gpu { index: 1, name: "GPU".into(), ..Gpu::default() };
    let gpu = Gpu {
        utilisation: Some(98),
        temperature: Some(71),
        power: Some(168.5),
        ours: Some(1),
        ..silent.clone()
    };
    Readings { host, gpus: vec![gpu, silent] }
}

fn engine() -> EngineStatus {
    EngineStatus {
        device: Device::Cpu,
        about: "CPU, 2 threads".into(),
        loaded: Some(ModelName::new("nano")),
        precision: Some("fp32".into()),
        memory: Some("41 of 57 blocks, 7.9 GB".into()),
    }
}

fn worker() -> WorkerInfo {
    WorkerInfo { protocol: PROTOCOL, version: "0.1.0".into(), pid: 1, started_at: 2 }
}

fn model() -> ModelInfo {
    let defaults =
        Defaults { size: Size::new(128, 128).expect("it is on the grid"), steps: 20, guidance: 3.5 };
    let limits = TextLimits { t5: 64, clip: 77 };
    ModelInfo {
        name: ModelName::new("nano"),
        about: "small".into(),
        defaults,
        limits,
        license: "Apache-2.0".into(),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        worker: worker(),
        models: vec![model()],
        engines: vec![engine(), EngineStatus::idle(Device::Cuda(0), "NVIDIA H200".into())],
        jobs: vec![status(JobState::Running), status(JobState::Failed { reason: "no memory".into() })],
        running: vec![
            Running { progress: progress(Stage::Saving), preview: Some(preview()) },
            Running { progress: progress(Stage::Encoding), preview: None },
        ],
        history: vec![picture()],
        paused: true,
        history_total: 1,
        readings: Some(readings()),
        fetches: fetches(),
    }
}

fn requests() -> Vec<Request> {
    vec![
        Request::Hello(Hello { protocol: 1, version: "0.1.0".into() }),
        Request::Subscribe,
        Request::Submit(job(Seed::Random)),
        Request::Submit(job(Seed::Fixed(u64::MAX))),
        Request::Submit(job(Seed::Random).placed(DeviceChoice::CudaAt(1), PrecisionChoice::Fp8Storage)),
        Request::Cancel(JobId(3)),
        Request::Queue(QueueChange::Move { job: JobId(3), to: QueuePlace::Before(JobId(1)) }),
        Request::Queue(QueueChange::Edit { job: JobId(3), to: Box::new(job(Seed::Random)) }),
        Request::Queue(QueueChange::Pause),
        Request::Queue(QueueChange::Resume),
        Request::Queue(QueueChange::Retry(JobId(3))),
        Request::Queue(QueueChange::Duplicate(JobId(3))),
        Request::CountTokens(CountTokens { model: ModelName::new("nano"), text: String::new() }),
        Request::History(HistoryPage { before: None, limit: u32::MAX }),
        Request::History(HistoryPage { before: Some(PictureId(1)), limit: 0 }),
        Request::Fetch(PictureId(-1)),
        Request::Models,
        Request::FetchModel(ModelName::new("mine")),
        Request::CancelFetch(ModelName::new("mine")),
        Request::Status,
        Request::Stop,
    ]
}

fn refusals() -> Vec<Refusal> {
    let (client, worker, text) = ("a".to_owned(), "b".to_owned(), "c".to_owned());
    vec![
        Refusal::Version { client, client_protocol: 1, worker, worker_protocol: 2 },
        Refusal::NoHello,
        Refusal::UnknownModel { name: text.clone(), known: text.clone() },
        Refusal::LackingModel(text.clone()),
        Refusal::NothingToFetch(ModelName::new("mine")),
        Refusal::NotFetching(ModelName::new("mine")),
        Refusal::NoDevice(NoDevice {
            choice: DeviceChoice::CudaAt(3),
            known: vec![Device::Cuda(0), Device::Cpu],
        }),
        Refusal::UnknownJob(JobId(1)),
        Refusal::Begun(JobId(1)),
        Refusal::NotFailed(JobId(1)),
        Refusal::NoJob(JobId(1)),
        Refusal::UnknownPicture(PictureId(1)),
        Refusal::Library(text.clone()),
        Refusal::File { path: text.clone(), reason: text.clone() },
        Refusal::QueueFull { jobs: 3 },
        Refusal::Superseded,
        Refusal::Tokenizer(text.clone()),
        Refusal::Malformed(text),
        Refusal::Stopping,
    ]
}

fn responses() -> Vec<Response> {
    let status_of_worker = WorkerStatus {
        worker: worker(),
        engines: vec![engine()],
        queued: 2,
        paused: true,
        running: vec![Drawing {
            progress: progress(Stage::Loading { done: 1, total: u64::MAX }),
            prompt: job(Seed::Random).prompt,
        }],
        pictures: 9,
        clients: 1,
        readings: None,
    };
    vec![
        Response::Welcome(worker()),
        Response::Snapshot(Box::new(snapshot())),
        Response::Accepted(Box::new(status(JobState::Queued))),
        Response::Cancelled,
        Response::Changed,
        Response::Tokens(picture().recipe.cuts),
        Response::History(vec![picture(), picture()]),
        Response::Png(Bytes::from(vec![0x89; 100_000])),
        Response::Status(Box::new(status_of_worker)),
        Response::Models(models(&model())),
        Response::Fetching(fetches().remove(0)),
        Response::Stopping { queued: 3 },
    ]
}

fn events() -> Vec<Event> {
    let stages = [
        Stage::Loading { done: 0, total: 1 },
        Stage::Encoding,
        Stage::Drawing { step: 1, steps: 20, sigma: 0.95 },
        Stage::Decoding,
        Stage::Saving,
    ];
    let states = [JobState::Queued, JobState::Running, JobState::Done, JobState::Cancelled];
    let mut events: Vec<Event> = stages.into_iter().map(|stage| Event::Progress(progress(stage))).collect();
    events.extend(states.into_iter().map(|state| Event::Job(status(state))));
    events.extend([
        Event::Job(status(JobState::Failed { reason: "no memory".into() })),
        Event::Preview(preview()),
        Event::Finished(Box::new(picture())),
        Event::Engine(engine()),
        Event::Engine(EngineStatus::idle(Device::Cuda(1), String::new())),
        Event::Stopped { job: JobId(1), index: 2 },
        Event::Moved { job: JobId(1), before: Some(JobId(2)) },
        Event::Paused(true),
        Event::Readings(readings()),
        Event::Models(vec![model()]),
        Event::Ending,
    ]);
    events.extend(fetches().into_iter().map(Event::Fetch));
    events
}

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
            | Request::Status
            | Request::Queue(_)
            | Request::Stop => {}
            Request::Models | Request::FetchModel(_) | Request::CancelFetch(_) => {}
        }
    }
    for response in responses() {
        match response {
            Response::Welcome(_) | Response::Snapshot(_) | Response::Accepted(_) | Response::Cancelled => {}
            Response::Tokens(_) | Response::History(_) | Response::Png(_) => {}
            Response::Changed | Response::Status(_) | Response::Stopping { .. } => {}
            Response::Models(_) | Response::Fetching(_) => {}
        }
    }
    for refusal in refusals() {
        match refusal {
            Refusal::Version { .. }
            | Refusal::NoHello
            | Refusal::UnknownModel { .. }
            | Refusal::LackingModel(_)
            | Refusal::NothingToFetch(_)
            | Refusal::NotFetching(_)
            | Refusal::NoDevice(_)
            | Refusal::UnknownJob(_)
            | Refusal::Begun(_)
            | Refusal::NotFailed(_)
            | Refusal::NoJob(_) => {}
            Refusal::UnknownPicture(_)
            | Refusal::Library(_)
            | Refusal::File { .. }
            | Refusal::Tokenizer(_) => {}
            Refusal::QueueFull { .. } | Refusal::Superseded | Refusal::Malformed(_) | Refusal::Stopping => {}
        }
    }
    for event in events() {
        match event {
            Event::Job(_) | Event::Progress(_) | Event::Preview(_) | Event::Finished(_) => {}
            Event::Stopped { .. } | Event::Moved { .. } | Event::Paused(_) => {}
            Event::Engine(_) | Event::Readings(_) | Event::Ending => {}
            Event::Fetch(_) | Event::Models(_) => {}
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
