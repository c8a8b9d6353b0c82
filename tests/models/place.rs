//! A home with a hub and a worker in this process, and clients that wait for what they name.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use flux_tui::client::{Client, ClientError, Events};
use flux_tui::model::ModelName;
use flux_tui::paths::Paths;
use flux_tui::wire::message::{Event, FetchState, ModelFetch, Request, Response, Snapshot};
use flux_tui::worker::{Settings, WorkerError, serve};
use tokio::sync::oneshot;

use crate::home::Home;
use crate::server::{Manner, Server};
use crate::tiny::{self, Tiny};

/// How long anything that is waited for may take: far longer than it does, for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits, and says what for when it does not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// A home in which the real program finds the worker of this process.
pub struct Place {
    serving: Option<Serving>,
    pub models: Tiny,
    pub server: Server,
    pub settings: Settings,
    pub paths: Paths,
    pub home: Home,
}

struct Serving {
    thread: JoinHandle<Result<(), WorkerError>>,
    end: oneshot::Sender<()>,
}

impl Place {
    /// The tiny models are on the hub; no worker runs yet.
    pub fn new(manner: &Manner) -> Self {
        let (home, server) = (Home::new(), Server::start());
        tiny::publish(&server, manner);
        let at = |path: &str| home.path().join(path).join("flux-tui");
        let paths = Paths {
            config: at(".config"),
            data: at(".local/share"),
            state: at(".local/state"),
            cache: at(".cache"),
        };
        let models = Tiny::new(home.path(), &server);
        Self { serving: None, models, server, settings: Settings::default(), paths, home }
    }

    /// Starts the worker and waits until it serves.
    pub fn start(&mut self) {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel();
        let (paths, settings, models) = (self.paths.clone(), self.settings.clone(), self.models.clone());
        let thread = std::thread::spawn(move || {
            let ready = || ready.send(()).expect("the test waits for it");
            serve(&paths, Arc::new(models), settings, ready, async { drop(ended.await) })
        });
        if is_ready.recv_timeout(DEADLINE).is_err() {
            panic!("the worker ended: {:?}", thread.join());
        }
        self.serving = Some(Serving { thread, end });
    }

    /// Ends the worker as SIGTERM does, and waits until it has ended.
    pub fn stop(&mut self) {
        let Serving { thread, end } = self.serving.take().expect("a worker runs");
        let _ = end.send(());
        thread.join().expect("the worker did not panic").expect("the worker served");
    }

    /// Waits until the worker has ended by itself.
    pub fn ended(&mut self) {
        let Serving { thread, end } = self.serving.take().expect("a worker runs");
        thread.join().expect("the worker did not panic").expect("the worker served");
        drop(end);
    }

    /// A client that has subscribed.
    pub async fn watch(&self) -> Watch {
        let (client, events) =
            within("a connection", Client::connect(&self.paths)).await.expect("a worker runs");
        let shown = snapshot(&client).await;
        Watch { client, events, shown }
    }

    /// All files below the home whose names end so.
    pub fn files(&self, suffix: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(self.home.path(), suffix, &mut found);
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The directory goes next; a worker in it would only be in the way.
        if let Some(Serving { thread, end }) = self.serving.take() {
            let _ = end.send(());
            let _ = thread.join();
        }
    }
}

fn walk(folder: &Path, suffix: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, suffix, found);
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
}

/// Everything as the worker says it is now.
pub async fn snapshot(client: &Client) -> Snapshot {
    match client.call(Request::Subscribe).await {
        Ok(Response::Snapshot(snapshot)) => *snapshot,
        other => panic!("a snapshot, not {other:?}"),
    }
}

/// A client that has subscribed, and what it shows.
pub struct Watch {
    pub client: Client,
    events: Events,
    pub shown: Snapshot,
}

impl Watch {
    /// Takes events until what is shown is as wanted.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Snapshot) -> bool) {
        let waiting = async {
            while !wanted(&self.shown) {
                match self.events.recv().await {
                    Some(event) => self.shown.apply(event),
                    None => return false,
                }
            }
            true
        };
        let came = tokio::time::timeout(DEADLINE, waiting).await;
        assert_eq!(came, Ok(true), "{what} did not come; there was {:#?}", self.shown);
    }

    /// Takes events until the fetching of a model is over, and says how.
    pub async fn over(&mut self, model: &str) -> FetchState {
        let waiting = async {
            while let Some(event) = self.events.recv().await {
                self.shown.apply(event.clone());
                match event {
                    Event::Fetch(fetch) if fetch.model.as_str() == model && fetch.state.is_over() => {
                        return Some(fetch.state);
                    }
                    _ => {}
                }
            }
            None
        };
        let ended = tokio::time::timeout(DEADLINE, waiting).await.ok().flatten();
        ended.unwrap_or_else(|| panic!("no end of {model}; there was {:#?}", self.shown))
    }

    /// Takes events until one is as wanted, and gives what was made of it.
    pub async fn next<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let waiting = async {
            while let Some(event) = self.events.recv().await {
                self.shown.apply(event.clone());
                if let Some(found) = wanted(&event) {
                    return Some(found);
                }
            }
            None
        };
        let came = tokio::time::timeout(DEADLINE, waiting).await.ok().flatten();
        came.unwrap_or_else(|| panic!("{what} did not come; there was {:#?}", self.shown))
    }

    /// Has a model fetched.
    pub async fn fetch(&self, model: &str) -> ModelFetch {
        match self.client.call(Request::FetchModel(ModelName::new(model))).await {
            Ok(Response::Fetching(fetch)) => fetch,
            other => panic!("{model} should be fetched, not {other:?}"),
        }
    }

    /// Has a model fetched no more.
    pub async fn cancel(&self, model: &str) -> Result<Response, ClientError> {
        self.client.call(Request::CancelFetch(ModelName::new(model))).await
    }
}

/// The model that is being fetched, if more than `bytes` of it are there.
pub fn runs(shown: &Snapshot, model: &str, bytes: u64) -> bool {
    shown.fetches.iter().any(|fetch| match &fetch.state {
        FetchState::Running(progress) => fetch.model.as_str() == model && progress.done > bytes,
        _ => false,
    })
}
