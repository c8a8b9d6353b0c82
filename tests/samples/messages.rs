//! Messages of the wire, a sample of each kind.

use std::path::PathBuf;

use bytes::Bytes;
use flux_tui::device::{Device, DeviceChoice, NoDevice, Owner, PrecisionChoice, Share};
use flux_tui::gpu::{Gpu, Host, Readings};
use flux_tui::job::grid::{GridId, OfGrid};
use flux_tui::job::*;
use flux_tui::model::{Defaults, ModelInfo, ModelName, TextLimits};
use flux_tui::wire::message::*;
use flux_tui::wire::queue::{QueueChange, QueuePlace};

#[path = "grids.rs"]
pub mod grid_messages;
#[path = "library.rs"]
pub mod library;
#[path = "loras.rs"]
pub mod lora_messages;

use super::samples::{checks, details, fetches, models, removal};

/// A job with everything that a prompt may have in it.
pub fn job(seed: Seed) -> Job {
    let prompt = Prompt::new("一只红苹果 🍎\n\"on a table\"").expect("it is not empty");
    let size = Size::new(2048, 16).expect("it is on the grid");
    Job::new(prompt, ModelName::new("nano"), size, 200, 0.1, seed, 1000).expect("it is in range")
}

fn loras() -> Vec<LoraChoice> {
    let lora = |file, strength| LoraChoice::new(file, strength).expect("it is one");
    vec![used_lora().again().expect("it is one"), lora("styles/ink", 100.0)]
}

fn wildcards() -> Wildcards {
    let lines = vec!["狐狸".to_owned(), "2::a {red|blue} fox".to_owned()];
    Wildcards::try_from(std::collections::BTreeMap::from([("动物/animal".to_owned(), lines)]))
        .expect("they are few")
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
        template: Some(Prompt::new("a {red|blue} __fox__").expect("text")),
        prompt,
        model,
        size,
        steps: 4,
        guidance: 3.5,
        seed: 1 << 63,
        precision,
        cuts: vec![cut, whole],
        times,
        loras: vec![used_lora()],
    };
    let path = "/home/测试 目录/a.png".into();
    let tags = ["水墨", "a fox"].map(|tag| Tag::new(tag).expect("it is one"));
    let rating = Rating::try_from(RATING_MAX).expect("it is one");
    let marks = Marks { rating, favourite: true, tags: tags.into(), trashed_at: Some(-1) };
    let picture = Picture::drawn((PictureId(7), JobId(1), 2), recipe, path, 1_700_000_000_000);
    let grid = Some(OfGrid {
        grid: GridId(3),
        cell: 8,
        cells: 9,
        rating: marks.rating,
        favourite: true,
        trashed: true,
        sheet: PathBuf::from("/图 片/s.png"),
    });
    Picture { marks, parent: Some(PictureId(3)), grid, origin: Origin::ComfyUi, missing: true, ..picture }
}

fn used_lora() -> UsedLora {
    let unapplied = Unapplied { count: 2, of: 7, examples: vec!["a.alpha".into()] };
    let hash = LoraHash::new([7; 32]);
    let steps = "10-90%".parse().expect("a span");
    UsedLora {
        file: "/模型/水墨.safetensors".into(), hash, strength: -0.5, steps, tagged: false, unapplied
    }
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
    let owners = vec![Share { owner: Owner::Streamed, bytes: u64::MAX }];
    let gpu = Gpu {
        owners,
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
        shares: vec![Share { owner: Owner::Transformer, bytes: u64::MAX }],
        loras: u64::MAX,
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
        checks: checks(),
        rebuilt: Some(library::rebuilt()),
    }
}

/// Every request.
pub fn requests() -> Vec<Request> {
    let requests = vec![
        Request::Hello(Hello { protocol: 1, version: "0.1.0".into() }),
        Request::Subscribe,
        Request::Submit(job(Seed::Random)),
        Request::Submit(job(Seed::Fixed(u64::MAX))),
        Request::Submit(job(Seed::Random).placed(DeviceChoice::CudaAt(1), PrecisionChoice::Fp8Storage)),
        Request::Submit(job(Seed::Random).with_loras(loras()).expect("they are two")),
        Request::Submit(job(Seed::Random).iterated_from(Some(PictureId(i64::MAX)))),
        Request::Submit(job(Seed::Random).with_wildcards(wildcards())),
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
        Request::Thumbnail(ThumbnailRequest { picture: PictureId(i64::MAX), side: u32::MAX }),
        Request::Models,
        Request::FetchModel(ModelName::new("mine")),
        Request::CancelFetch(ModelName::new("mine")),
        Request::ModelDetails(ModelName::new("mine")),
        Request::VerifyModel(ModelName::new("mine")),
        Request::CancelCheck(ModelName::new("mine")),
        Request::PlanRemoval(ModelName::new("mine")),
        Request::RemoveModel(ModelName::new("mine")),
        Request::Status,
        Request::Free,
        Request::Replace,
        Request::Stop,
    ];
    let of_library = library::requests(&picture()).into_iter().map(Request::Library);
    let of_loras = lora_messages::requests().into_iter().map(Request::Loras);
    let of_grids = grid_messages::requests(job(Seed::Fixed(1))).into_iter().map(Request::Grids);
    let costs = [Request::Costs(grid_messages::costs_asked())];
    requests.into_iter().chain(of_library).chain(of_loras).chain(of_grids).chain(costs).collect()
}

/// Every refusal.
pub fn refusals() -> Vec<Refusal> {
    let (client, worker, text) = ("a".to_owned(), "b".to_owned(), "c".to_owned());
    vec![
        Refusal::Version { client, client_protocol: 1, worker, worker_protocol: 2 },
        Refusal::NoHello,
        Refusal::Grid("there is no grid 9".into()),
        Refusal::UnknownModel { name: text.clone(), known: text.clone() },
        Refusal::LackingModel(text.clone()),
        Refusal::Lora(text.clone()),
        Refusal::NothingToFetch(ModelName::new("mine")),
        Refusal::NotFetching(ModelName::new("mine")),
        Refusal::NothingToCheck(ModelName::new("mine")),
        Refusal::NotChecking(ModelName::new("mine")),
        Refusal::NotRemoved { model: ModelName::new("mine"), reason: text.clone() },
        Refusal::NoDevice(NoDevice {
            choice: DeviceChoice::CudaAt(3),
            known: vec![Device::Cuda(0), Device::Cpu],
        }),
        Refusal::UnknownJob(JobId(1)),
        Refusal::Begun(JobId(1)),
        Refusal::NotFailed(JobId(1)),
        Refusal::NoJob(JobId(1)),
        Refusal::UnknownPicture(PictureId(1)),
        Refusal::Picture(text.clone()),
        Refusal::Library(text.clone()),
        Refusal::File { path: text.clone(), reason: text.clone() },
        Refusal::QueueFull { jobs: 3 },
        Refusal::Superseded,
        Refusal::Tokenizer(text.clone()),
        Refusal::Malformed(text),
        Refusal::Stopping,
    ]
}

/// Every response.
pub fn responses() -> Vec<Response> {
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
        fetches: fetches(),
        checks: checks(),
        rebuilt: None,
    };
    let responses = vec![
        Response::Welcome(worker()),
        Response::Replacing { begun: 2 },
        Response::Snapshot(Box::new(snapshot())),
        Response::Accepted(Box::new(status(JobState::Queued))),
        Response::Cancelled,
        Response::Changed,
        Response::Tokens(picture().recipe.cuts),
        Response::History(vec![picture(), picture()]),
        Response::Png(Bytes::from(vec![0x89; 100_000])),
        Response::Thumbnail(Bytes::from(vec![0xff; 4000])),
        Response::Status(Box::new(status_of_worker)),
        Response::Models(models(&model())),
        Response::Fetching(fetches().remove(0)),
        Response::Details(Box::new(details())),
        Response::Checking(checks().remove(0)),
        Response::Removal(Box::new(removal())),
        Response::Removed { bytes: u64::MAX },
        Response::Stopping { queued: 3 },
    ];
    let of_library = library::responses(&picture()).into_iter().map(Response::Library);
    let of_loras = lora_messages::responses().into_iter().map(Response::Loras);
    let of_grids = grid_messages::responses(job(Seed::Fixed(1))).into_iter().map(Response::Grids);
    let costs = [Response::Costs(grid_messages::costs())];
    responses.into_iter().chain(of_library).chain(of_loras).chain(of_grids).chain(costs).collect()
}

/// Every event, with every stage and state.
pub fn events() -> Vec<Event> {
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
        Event::Picture { picture: Box::new(picture()), was_trashed: true },
        Event::History { pictures: vec![picture()], total: u64::MAX },
        Event::Engine(engine()),
        Event::Engine(EngineStatus::idle(Device::Cuda(1), String::new())),
        Event::Stopped { job: JobId(1), index: 2 },
        Event::Moved { job: JobId(1), before: Some(JobId(2)) },
        Event::Paused(true),
        Event::Readings(readings()),
        Event::Models(vec![model()]),
        Event::Grid(GridId(3)),
        Event::Loras,
        Event::Ending,
    ]);
    events.extend(fetches().into_iter().map(Event::Fetch));
    events.extend(checks().into_iter().map(Event::Check));
    events
}
