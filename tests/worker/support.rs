//! A worker in a directory of its own, and clients that wait for what they name.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use flux_tui::client::{Client, ClientError, Events};
use flux_tui::device::Device;
use flux_tui::job::{Job, JobId, JobState, JobStatus, Prompt, Seed, Size};
use flux_tui::model::ModelName;
use flux_tui::paths::Paths;
use flux_tui::wire::frame::{self, Frames, REPLY_MAX, REQUEST_MAX};
use flux_tui::wire::message::*;
use flux_tui::wire::socket::Address;
use flux_tui::worker::{Settings, WorkerError, serve};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio_util::codec::FramedRead;

use crate::scripted::Scripted;

/// How long anything that is waited for may take: far longer than it does, for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits, and says what for when it does not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// A directory with a worker in it.
pub struct Place {
    pub paths: Paths,
    pub models: Scripted,
    pub settings: Settings,
    serving: Option<Serving>,
    _root: tempfile::TempDir,
}

struct Serving {
    thread: JoinHandle<Result<(), WorkerError>>,
    end: oneshot::Sender<()>,
}

impl Place {
    /// No worker runs yet.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        Self::in_directory(root, PathBuf::new())
    }

    /// The same, further down.
    pub fn in_directory(root: tempfile::TempDir, below: PathBuf) -> Self {
        let paths = Paths::under(&root.path().join(below));
        let settings = Settings { readings_every: Duration::from_millis(20), ..Settings::default() };
        Self { paths, models: Scripted::default(), settings, serving: None, _root: root }
    }

    /// A worker that serves.
    pub async fn started() -> Self {
        let mut place = Self::new();
        place.start().await;
        place
    }

    /// A worker that serves on a machine with these devices.
    pub async fn started_on(devices: &[Device]) -> Self {
        let mut place = Self::new();
        place.models = Scripted::on(devices);
        place.start().await;
        place
    }

    /// Starts the worker and waits until it serves.
    pub async fn start(&mut self) {
        let (ready, is_ready) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (paths, settings, models) = (self.paths.clone(), self.settings.clone(), self.models.clone());
        let thread = std::thread::spawn(move || {
            let ready = || ready.send(()).expect("the test waits for it");
            let end = async { drop(ended.await) };
            serve(&paths, Arc::new(models), settings, ready, end)
        });
        if within("a worker", is_ready).await.is_err() {
            panic!("the worker ended: {:?}", thread.join());
        }
        self.serving = Some(Serving { thread, end });
    }

    /// Ends the worker as SIGTERM does, and waits until it has ended.
    pub async fn stop(&mut self) {
        let Serving { thread, end } = self.serving.take().expect("a worker runs");
        // It may be ending already.
        let _ = end.send(());
        let joined = tokio::task::spawn_blocking(move || thread.join());
        let served = within("the worker's end", joined).await.expect("it was waited for");
        served.expect("the worker did not panic").expect("the worker served");
    }

    /// Waits until the worker has ended by itself.
    pub async fn ended(&mut self) {
        let Serving { thread, end } = self.serving.take().expect("a worker runs");
        let joined = tokio::task::spawn_blocking(move || thread.join());
        let served = within("the worker's end", joined).await.expect("it was waited for");
        drop(end);
        served.expect("the worker did not panic").expect("the worker served");
    }

    /// A client that has subscribed.
    pub async fn watch(&self) -> Watch {
        let (client, events) =
            within("a connection", Client::connect(&self.paths)).await.expect("a worker runs");
        let snapshot = match client.call(Request::Subscribe).await {
            Ok(Response::Snapshot(snapshot)) => *snapshot,
            other => panic!("a snapshot, not {other:?}"),
        };
        Watch { client, events, shown: snapshot, log: Vec::new() }
    }

    /// A connection whose frames are the test's to write.
    pub async fn raw(&self) -> Raw {
        let address = Address::of(&self.paths.socket()).expect("the directory is there");
        let stream =
            within("a connection", UnixStream::connect(address.path())).await.expect("a worker runs");
        let (reader, writer) = stream.into_split();
        Raw { reader: FramedRead::new(reader, Frames::new(REPLY_MAX)), writer, last: 0 }
    }

    /// The pictures on disk, whole or not.
    pub fn files(&self) -> Vec<PathBuf> {
        files_under(&self.paths.pictures())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The directory goes next; a worker in it would only be in the way of the next test.
        if let Some(Serving { thread, end }) = self.serving.take() {
            let _ = end.send(());
            let _ = thread.join();
        }
    }
}

/// All files below a directory, sorted.
pub fn files_under(directory: &std::path::Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.map(|entry| entry.expect("it can be read").path()) {
        if entry.is_dir() { files.extend(files_under(&entry)) } else { files.push(entry) }
    }
    files.sort();
    files
}

/// A client that has subscribed, and what it shows.
pub struct Watch {
    pub client: Client,
    pub events: Events,
    pub shown: Snapshot,
    pub log: Vec<Event>,
}

impl Watch {
    /// Takes one event.
    pub async fn next(&mut self) -> Option<&Event> {
        let event = self.events.recv().await?;
        self.shown.apply(event.clone());
        self.log.push(event);
        self.log.last()
    }

    /// Takes events until one is the one; says what there was when it does not come.
    pub async fn until<T>(&mut self, what: &str, is_it: impl Fn(&Event) -> Option<T>) -> T {
        let waiting = async {
            while let Some(event) = self.next().await {
                if let Some(found) = is_it(event) {
                    return Some(found);
                }
            }
            None
        };
        let found = tokio::time::timeout(DEADLINE, waiting).await.ok().flatten();
        found.unwrap_or_else(|| panic!("{what} did not come; there was {:#?}", self.log))
    }

    /// Takes events until the job is over.
    pub async fn over(&mut self, id: JobId) -> JobStatus {
        self.until("the end of the job", |event| match event {
            Event::Job(status) if status.id == id && status.state.is_over() => Some(status.clone()),
            _ => None,
        })
        .await
    }

    /// Takes events until the job has reached a step.
    pub async fn step(&mut self, id: JobId, reached: u32) {
        self.until("a step", |event| match event {
            Event::Progress(Progress { job, stage: Stage::Drawing { step, .. }, .. }) => {
                (*job == id && *step == reached).then_some(())
            }
            _ => None,
        })
        .await;
    }

    /// Takes events until so many pictures are being drawn at the same time and have begun to step.
    pub async fn running(&mut self, count: usize) {
        let drawing = |it: &&Running| matches!(it.progress.stage, Stage::Drawing { step: 1.., .. });
        let waiting = async {
            while self.shown.running.iter().filter(drawing).count() != count {
                if self.next().await.is_none() {
                    return false;
                }
            }
            true
        };
        let reached = tokio::time::timeout(DEADLINE, waiting).await;
        assert_eq!(reached, Ok(true), "{count} pictures at the same time; there was {:#?}", self.log);
    }

    /// Submits, and gives what was accepted.
    pub async fn submit(&self, job: Job) -> JobStatus {
        match self.client.call(Request::Submit(job)).await {
            Ok(Response::Accepted(status)) => *status,
            other => panic!("it should be accepted, not {other:?}"),
        }
    }

    /// Asks for something that is refused.
    pub async fn refused(&self, request: Request) -> Refusal {
        match self.client.call(request).await {
            Err(ClientError::Refused(refusal)) => refusal,
            other => panic!("it should be refused, not {other:?}"),
        }
    }

    /// Draws to the end.
    pub async fn draw(&mut self, job: Job) -> JobStatus {
        let id = self.submit(job).await.id;
        let status = self.over(id).await;
        assert_eq!(status.state, JobState::Done);
        status
    }
}

/// A connection whose frames are the test's to write.
pub struct Raw {
    pub reader: FramedRead<OwnedReadHalf, Frames>,
    pub writer: OwnedWriteHalf,
    pub last: u64,
}

impl Raw {
    pub async fn send(&mut self, request: Request) -> u64 {
        self.last += 1;
        let message = ToWorker { number: self.last, request };
        let frame = frame::encode(&message, REQUEST_MAX).expect("it is short");
        within("room to write", self.writer.write_all(&frame)).await.expect("the worker is there");
        self.last
    }

    pub async fn greet(&mut self) {
        let hello = Hello { protocol: PROTOCOL, version: "test".into() };
        self.send(Request::Hello(hello)).await;
        let welcome = self.receive().await;
        let welcomed =
            matches!(&welcome, Some(ToClient::Reply { number: 1, result: Ok(Response::Welcome(_)) }));
        assert!(welcomed, "{welcome:?}");
    }

    /// The next message, or `None` when the worker has closed the connection.
    pub async fn receive(&mut self) -> Option<ToClient> {
        let frame = within("a message", self.reader.next()).await?.ok()?;
        Some(frame::decode(&frame).expect("the worker sends messages"))
    }

    /// The answer to a request, with what came before it.
    pub async fn answer(&mut self, to: u64) -> (Vec<Event>, Result<Response, Refusal>) {
        let mut before = Vec::new();
        loop {
            match self.receive().await.expect("the connection is open") {
                ToClient::Event(event) => before.push(event),
                ToClient::Reply { number, result } if number == to => return (before, result),
                ToClient::Reply { .. } => {}
            }
        }
    }
}

/// A small job.
pub fn job(prompt: &str) -> Job {
    job_of("alpha", prompt, Seed::Random, 1)
}

/// A small job with all that matters here.
pub fn job_of(model: &str, prompt: &str, seed: Seed, count: u32) -> Job {
    let prompt = Prompt::new(prompt).expect("it is not empty");
    let size = Size::new(64, 48).expect("it is on the grid");
    Job::new(prompt, ModelName::new(model), size, 4, 3.5, seed, count).expect("it is in range")
}
