//! A worker in this process, for tests: it takes jobs, draws gradients step by step, and keeps
//! pictures in memory.

mod loras;

pub(crate) use loras::{loras, pictured_loras};

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::link::{Ask, Connect};
use crate::client::{ClientError, Events};
use crate::config::JobDefaults;
use crate::device::Device;
use crate::gpu::{Host, Readings};
use crate::job::{
    DrawnPrompt, Encoder, Job, JobId, LastDrawn, Picture, PictureId, Recipe, Seed, Size, Times, TokenCount,
};
use crate::model::{Defaults, ModelInfo, ModelName, TextLimits};
use crate::wire::library::{LibraryRequest, LibraryResponse};
use crate::wire::loras::{LoraRequest, LoraResponse};
use crate::wire::message::{
    CheckProgress, CheckState, EngineStatus, Event, FetchProgress, FetchState, FileCheck, FileFacts, Gate,
    GoingFile, JobState, JobStatus, Lacks, MemoryNeed, ModelCheck, ModelDetails, ModelFetch, ModelState,
    PartFacts, PartOrigin, PartPlace, PrecisionBytes, Preview, Progress, Refusal, RemovalPlan, Request,
    Response, Snapshot, Soundness, Stage, Standing, StayingFile, ToFetch, WorkerInfo,
};

/// A worker whose steps take so long.
#[derive(Debug, Clone)]
pub(crate) struct FakeWorker {
    pub step: Duration,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    listener: Option<mpsc::Sender<Event>>,
    jobs: Vec<JobStatus>,
    pictures: Vec<(Picture, Bytes)>,
    next: i64,
    working: bool,
}

impl FakeWorker {
    pub fn new(step: Duration) -> Self {
        Self { step, shared: Arc::default() }
    }

    fn shared<T>(&self, with: impl FnOnce(&mut Shared) -> T) -> T {
        with(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn tell(&self, event: Event) {
        let listener = self.shared(|shared| shared.listener.clone());
        if let Some(listener) = listener {
            let _ = listener.send(event).await;
        }
    }

    /// Ends the connection, as a worker that dies does.
    pub fn hang_up(&self) {
        self.shared(|shared| shared.listener = None);
    }

    fn snapshot(&self) -> Snapshot {
        self.shared(|shared| Snapshot {
            worker: WorkerInfo { protocol: 1, version: "0".into(), pid: 1, started_at: 0 },
            models: vec![nano()],
            engines: vec![engine()],
            jobs: shared.jobs.clone(),
            running: Vec::new(),
            history: shared.pictures.iter().rev().map(|(picture, _)| picture.clone()).collect(),
            paused: false,
            history_total: shared.pictures.len() as u64,
            readings: Some(readings(0)),
            fetches: Vec::new(),
            checks: Vec::new(),
            rebuilt: None,
        })
    }

    /// The pictures, as if each had a prompt of its own.
    fn prompts(&self) -> Vec<DrawnPrompt> {
        let prompt = |(picture, _): &(Picture, Bytes)| {
            let last = LastDrawn { at: picture.finished_at, picture: picture.id };
            DrawnPrompt { best: picture.clone(), pictures: 1, last }
        };
        self.shared(|shared| shared.pictures.iter().rev().map(prompt).collect())
    }

    async fn submit(&self, job: Job) -> Response {
        let seed = match job.seed {
            Seed::Random => 1_839_202_211,
            Seed::Fixed(seed) => seed,
        };
        let (status, begin) = self.shared(|shared| {
            shared.next += 1;
            let id = JobId(shared.next);
            let status =
                JobStatus { id, job, first_seed: seed, state: JobState::Queued, done: 0, accepted_at: 0 };
            shared.jobs.push(status.clone());
            (status, !std::mem::replace(&mut shared.working, true))
        });
        self.tell(Event::Job(status.clone())).await;
        if begin {
            let worker = self.clone();
            tokio::spawn(async move { worker.work().await });
        }
        Response::Accepted(Box::new(status))
    }

    async fn work(&self) {
        while let Some(mut status) = self.shared(|shared| shared.jobs.first().cloned()) {
            status.state = JobState::Running;
            self.tell(Event::Job(status.clone())).await;
            for index in 0..status.job.count() {
                if !self.draw(&status, index).await {
                    break;
                }
                status.done += 1;
            }
            let was_there = self.shared(|shared| {
                let there = shared.jobs.iter().any(|job| job.id == status.id);
                shared.jobs.retain(|job| job.id != status.id);
                there
            });
            status.state = if was_there { JobState::Done } else { JobState::Cancelled };
            self.tell(Event::Job(status)).await;
        }
        self.shared(|shared| shared.working = false);
    }

    /// Draws one picture; `false` when the job was cancelled.
    async fn draw(&self, status: &JobStatus, index: u32) -> bool {
        let (id, steps, seed) = (status.id, status.job.steps(), status.first_seed + u64::from(index));
        for step in 0..=steps {
            if !self.shared(|shared| shared.jobs.iter().any(|job| job.id == id)) {
                self.tell(Event::Stopped { job: id, index }).await;
                return false;
            }
            let remaining = Some(self.step.as_secs_f64() * f64::from(steps - step));
            let sigma = 1.0 - step as f32 / steps as f32;
            let stage = Stage::Drawing { step, steps, sigma };
            let elapsed = self.step.as_secs_f64() * f64::from(step);
            let device = Device::Cpu;
            let progress = Progress { device, job: id, index, seed, stage, elapsed, remaining };
            self.tell(Event::Progress(progress)).await;
            let rgb = Bytes::from(pixels(16, 16, step * 12).into_raw());
            let preview = Preview::new(id, index, step, (16, 16), rgb).expect("the length fits");
            self.tell(Event::Preview(preview)).await;
            self.tell(Event::Readings(readings(step))).await;
            tokio::time::sleep(self.step).await;
        }
        let picture = self.finish(status, index, seed);
        self.tell(Event::Finished(Box::new(picture))).await;
        true
    }

    fn finish(&self, status: &JobStatus, index: u32, seed: u64) -> Picture {
        let size = status.job.size;
        let mut png = std::io::Cursor::new(Vec::new());
        let image = pixels(size.width(), size.height(), 200);
        image.write_to(&mut png, image::ImageFormat::Png).expect("a PNG can be written to memory");
        self.shared(|shared| {
            let picture = picture(shared.pictures.len() as i64 + 1, status, index, seed);
            shared.pictures.push((picture.clone(), Bytes::from(png.into_inner())));
            picture
        })
    }
}

impl Connect for FakeWorker {
    type Connection = Self;
    async fn connect(&self) -> Result<(Self, Events), ClientError> {
        let (sender, events) = mpsc::channel(64);
        self.shared(|shared| shared.listener = Some(sender));
        Ok((self.clone(), events))
    }
}

impl Ask for FakeWorker {
    async fn ask(&self, request: Request) -> Result<Response, ClientError> {
        Ok(match request {
            Request::Subscribe => Response::Snapshot(Box::new(self.snapshot())),
            Request::Submit(job) => self.submit(job).await,
            Request::Cancel(id) => {
                self.shared(|shared| shared.jobs.retain(|job| job.id != id));
                Response::Cancelled
            }
            Request::CountTokens(count) => Response::Tokens(tokens(&count.text)),
            Request::History(_) => Response::History(Vec::new()),
            Request::Library(LibraryRequest::Prompts { query, .. }) => {
                let page = if query.before.is_none() { self.prompts() } else { Vec::new() };
                Response::Library(LibraryResponse::Prompts(page))
            }
            Request::Models => Response::Models(models()),
            Request::Loras(asked) => Response::Loras(match asked {
                LoraRequest::List(_) => LoraResponse::List(loras()),
                LoraRequest::Picture(_) => LoraResponse::Picture(None),
            }),
            Request::Fetch(id) => {
                let found = self.shared(|shared| {
                    shared.pictures.iter().find(|(picture, _)| picture.id == id).map(|(_, png)| png.clone())
                });
                Response::Png(found.ok_or(ClientError::Refused(Refusal::UnknownPicture(id)))?)
            }
            _ => return Err(ClientError::Unexpected),
        })
    }
}

/// Words and two more, as if every word were a token; T5 reads 32, CLIP 20.
pub(crate) fn tokens(text: &str) -> Vec<TokenCount> {
    let count = |encoder, limit: usize| {
        let starts: Vec<usize> = text
            .char_indices()
            .filter(|(at, found)| {
                let first = text[..*at].chars().next_back().is_none_or(char::is_whitespace);
                !found.is_whitespace() && (first || !found.is_ascii())
            })
            .map(|(at, _)| at)
            .collect();
        let unknown = text.chars().filter(|found| !found.is_ascii()).count();
        TokenCount {
            encoder,
            tokens: starts.len() + 2,
            limit,
            cut_at: starts.get(limit - 2).copied(),
            unknown,
        }
    };
    vec![count(Encoder::T5, 32), TokenCount { unknown: 0, ..count(Encoder::Clip, 20) }]
}

pub(crate) fn nano() -> ModelInfo {
    ModelInfo {
        name: ModelName::new(ModelName::NANO),
        about: "the built-in model".into(),
        defaults: Defaults { size: Size::new(128, 128).expect("a size"), steps: 20, guidance: 3.5 },
        limits: TextLimits { t5: 32, clip: 20 },
        license: String::new(),
    }
}

/// Models as a person may find them: here, gated, begun, of unknown size, and one whose file is not there.
pub(crate) fn models() -> Vec<ModelState> {
    let model = |name: &str, about: &str, license: &str, bytes, standing| ModelState {
        info: ModelInfo {
            name: ModelName::new(name),
            about: about.into(),
            license: license.into(),
            ..nano()
        },
        bytes,
        standing,
    };
    let to_fetch = |bytes, have, of_unknown_size, page: Option<&str>| {
        let gate = page.map(|page| Gate { page: page.into(), missing_token: Some("HF_TOKEN".into()) });
        let fetch = ToFetch { files: 4, of_unknown_size, bytes, have, free: Some(61_000_000_000), gate };
        let parts = ["transformer", "t5", "clip", "vae"].map(str::to_owned).into();
        Standing::Lacks(Lacks { parts, fetch: Some(fetch), reason: "missing: all of it".into() })
    };
    let dev = "FLUX.1 [dev] Non-Commercial License";
    let page = Some("https://huggingface.co/black-forest-labs/FLUX.1-dev");
    let reason =
        "mine cannot be drawn with yet; missing: the VAE\n/nowhere/ae was passed over: there is no such file";
    let lost = Lacks { parts: vec!["vae".into()], fetch: None, reason: reason.into() };
    vec![
        model("nano", "the built-in model", "Apache-2.0", 21_487_342, Standing::Ready),
        model("flux1-dev", "FLUX.1 [dev], bf16", dev, 0, to_fetch(34_172_000_000, 0, 0, page)),
        model(
            "flux1-schnell",
            "FLUX.1 [schnell], bf16",
            "Apache-2.0",
            0,
            to_fetch(34_151_000_000, 12_000_000_000, 0, None),
        ),
        model("majicflus_v1", "麦橘超然, a fine-tune of dev", dev, 0, to_fetch(10_369_000_000, 0, 1, None)),
        model("mine", "yours, on top of nano", "Apache-2.0", 16_000_000, Standing::Lacks(lost)),
    ]
}

/// A model that is being fetched.
pub(crate) fn fetching(model: &str, done: u64, total: u64) -> ModelFetch {
    let progress = FetchProgress {
        done,
        total,
        speed: 110e6,
        remaining: Some((total - done) as f64 / 110e6),
        files_done: 1,
        files: 4,
        file: Some("flux1-dev.safetensors".into()),
        waits: None,
    };
    ModelFetch { model: ModelName::new(model), state: FetchState::Running(progress) }
}

/// A model whose files are being read.
pub(crate) fn checking(model: &str, done: u64, total: u64) -> ModelCheck {
    let file = Some("flux1-dev.safetensors".into());
    let progress = CheckProgress { done, total, speed: 1.1e9, files_done: 1, files: 4, file };
    ModelCheck { model: ModelName::new(model), state: CheckState::Running(progress) }
}

/// A model whose files were read: so many are right, of one no hash is known, so many are damaged.
pub(crate) fn checked(model: &str, right: usize, bad: usize) -> ModelCheck {
    let file = |name: &str, found| FileCheck { file: format!("/models/{name}"), bytes: 246_144_152, found };
    let what = "its hash is 0123456789ab… and should be ba9876543210…; remove the model and fetch it again";
    let mut files = vec![file("flux1-dev.safetensors", Soundness::Right); right];
    files.push(file("模 型.safetensors", Soundness::NoHash));
    files.extend(vec![file("clip_l.safetensors", Soundness::Bad { what: what.into() }); bad]);
    ModelCheck { model: ModelName::new(model), state: CheckState::Done(files) }
}

/// What a model is of which a part is missing.
pub(crate) fn details(model: &str) -> ModelDetails {
    let part = |part: &str, at: Option<&str>| PartPlace {
        part: part.into(),
        at: at.map(str::to_owned),
        from: None,
        passed_over: Vec::new(),
    };
    let from = PartOrigin {
        id: "flux1-vae".into(),
        places: vec!["Hugging Face black-forest-labs/FLUX.1-dev ae.safetensors".into()],
        bytes: Some(335_304_388),
        license: "FLUX.1 [dev] Non-Commercial License".into(),
        gate: Some("https://huggingface.co/black-forest-labs/FLUX.1-dev".into()),
    };
    let vae = PartPlace { from: Some(from), ..part("vae", None) };
    let at = "/home/someone/.cache/huggingface/hub/models--black-forest-labs--FLUX.1-dev/snapshots/\
              0123456789abcdef0123456789abcdef01234567/flux1-dev.safetensors";
    let memory = MemoryNeed { cpu: 23_782_000_000, card: 23_782_000_000 };
    let facts = FileFacts {
        file: at.into(),
        kind: "transformer".into(),
        what: "FLUX.1 dev, or a fine-tune of it".into(),
        variant: Some("dev".into()),
        parts: vec![PartFacts { part: "transformer".into(), names: "BFL".into(), bytes: 23_802_816_640 }],
        precision: vec![PrecisionBytes { r#type: "bf16".into(), bytes: 23_802_816_640 }],
        scaled: false,
        size: None,
        missing: vec!["t5".into(), "clip".into(), "vae".into()],
        draws: true,
        why_not: None,
        memory,
    };
    ModelDetails {
        model: ModelName::new(model),
        parts: vec![part("transformer", Some(at)), part("t5", Some("/t5")), part("clip", Some("/clip")), vae],
        files: vec![facts],
        memory,
        why_not: Some("the VAE is missing".into()),
    }
}

/// A removal: one file goes, two stay.
pub(crate) fn removal(model: &str) -> RemovalPlan {
    let stays = ["/models/t5xxl_fp16.safetensors", "/models/ae.safetensors"]
        .map(|file| StayingFile { file: file.into(), why: "another model needs it".into() });
    RemovalPlan {
        model: ModelName::new(model),
        goes: vec![GoingFile { file: "/models/flux1-dev.safetensors".into(), bytes: 23_802_932_552 }],
        bytes: 23_802_932_552,
        stays: stays.into(),
    }
}

pub(crate) fn engine() -> EngineStatus {
    EngineStatus {
        device: Device::Cpu,
        about: "CPU, 2 threads".into(),
        loaded: Some(ModelName::new(ModelName::NANO)),
        precision: Some("fp32 from fp8 e4m3 weights".into()),
        memory: None,
        shares: Vec::new(),
        loras: 0,
    }
}

pub(crate) fn readings(step: u32) -> Readings {
    let load = 40.0 + (step % 5) as f32 * 10.0;
    let host =
        Host { total: 24 << 30, used: 6 << 30, ours: 1 << 30, worker_load: load, load: load + 8.0, cores: 2 };
    Readings { host, gpus: Vec::new() }
}

pub(crate) fn picture(id: i64, status: &JobStatus, index: u32, seed: u64) -> Picture {
    let job = &status.job;
    let recipe = Recipe {
        template: None,
        prompt: job.prompt.clone(),
        model: job.model.clone(),
        size: job.size,
        steps: job.steps(),
        guidance: job.guidance(),
        seed,
        precision: "fp32 from fp8 e4m3 weights, CPU".into(),
        cuts: Vec::new(),
        times: Times { load: 0.0, encode: 0.02, denoise: 0.31, decode: 0.05 },
        loras: Vec::new(),
    };
    Picture::drawn((PictureId(id), status.id, index), recipe, PathBuf::from(format!("/pictures/{id}.png")), 0)
}

pub(crate) fn pixels(width: u32, height: u32, blue: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (f64::from(x) / f64::from(width) - 0.5, f64::from(y) / f64::from(height) - 0.5);
        let round = ((dx * dx + dy * dy).sqrt() * 400.0).min(255.0) as u8;
        image::Rgb([255 - round, (y * 255 / height) as u8, blue.min(255) as u8])
    })
}

/// The studio on this terminal, with a worker that only pretends:
/// `cargo test --lib studio_by_hand -- --ignored --nocapture`. The journeys run it in a PTY.
#[test]
#[ignore = "for trying by hand, in a terminal"]
fn studio_by_hand() {
    studio(FakeWorker::new(Duration::from_millis(50)));
}

/// The same, with a worker whose connection panics.
#[test]
#[ignore = "for a journey, in a terminal"]
fn studio_that_panics() {
    studio(Broken);
}

struct Broken;

impl Connect for Broken {
    type Connection = FakeWorker;
    async fn connect(&self) -> Result<(FakeWorker, Events), ClientError> {
        panic!("the connection is broken on purpose")
    }
}

fn studio(source: impl Connect) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let paths = crate::paths::Paths::under(root.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let theme = std::env::var("FLUX_TUI_THEME").ok();
    let graphics = std::env::var("FLUX_TUI_GRAPHICS").ok().and_then(|name| name.parse().ok());
    let ascii = std::env::var_os("FLUX_TUI_ASCII").is_some();
    let options = super::StudioOptions {
        paths,
        theme,
        graphics,
        ascii,
        language: None,
        defaults: JobDefaults::default(),
        host: None,
        complaints: Vec::new(),
    };
    runtime.block_on(super::run(source, options)).expect("it runs");
}
