//! The worker's life: what is opened, what is started, the loop that everything comes together in,
//! and the order in which it ends.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, sleep_until, timeout};

use super::daemon::{Claim, Door};
use super::hub::{Hub, Lines, Restored};
use super::idle::{Due, Idle};
use super::painter::{Painter, Report};
use super::store::Store;
use super::tokens::Counters;
use super::{Models, Settings, Shared, WorkerError, readings, session};
use crate::gpu::Readings;
use crate::job::JobState;
use crate::library::{Folder, Library};
use crate::paths::Paths;
use crate::wire::message::{PROTOCOL, WorkerInfo};
use crate::wire::replay::{FAILED_MAX, HISTORY_MAX};

/// How long clients are given to take the last that they are sent.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long nobody is let in after the system had no descriptor left.
const CROWDED: Duration = Duration::from_millis(100);

/// Serves in this process until `end` is ready, a client says so, or there has been nothing to do
/// for long. `ready` is called once clients can connect. It touches nothing else of the process.
///
/// # Errors
/// Whatever keeps it from starting or from going on.
pub fn serve(
    paths: &Paths,
    models: Arc<dyn Models>,
    settings: Settings,
    ready: impl FnOnce(),
    end: impl Future<Output = ()>,
) -> Result<(), WorkerError> {
    serve_claimed(Claim::take(paths)?, paths, models, settings, ready, end)
}

/// [`serve`], with the state directory claimed already.
pub(super) fn serve_claimed(
    mut claim: Claim,
    paths: &Paths,
    models: Arc<dyn Models>,
    settings: Settings,
    ready: impl FnOnce(),
    end: impl Future<Output = ()>,
) -> Result<(), WorkerError> {
    if paths.data.to_str().is_none() {
        return Err(WorkerError::NotUtf8(paths.data.clone()));
    }
    let folder = Folder::new(paths.pictures()).with_create(settings.create);
    let mut library = Library::open_in(&paths.library(), folder.clone())?;
    let restored = restore(&mut library)?;
    let (store, library) = Store::start(library).map_err(system("starting the library's thread"))?;

    let watched = Arc::new(AtomicBool::new(false));
    let (report, reports) = unbounded_channel();
    let painter = Painter {
        models: Arc::clone(&models),
        store: store.clone(),
        folder,
        reports: report,
        watched: Arc::clone(&watched),
    };
    let (orders, engine) = painter.start().map_err(system("starting the engine's thread"))?;
    let (reading, readings) = unbounded_channel();
    let nudge = readings::start(settings.readings_every, Arc::clone(&watched), reading)
        .map_err(system("starting the thread that reads the sensors"))?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("starting the runtime"))?;
    let tasks = LocalSet::new();
    let served = tasks.block_on(&runtime, async {
        let (listener, door) = claim.listen()?;
        let idle = Idle::new(settings.free_after, settings.end_after, Instant::now());
        let lines = Lines { orders, watched, nudge };
        let hub = Hub::new(info(), models.infos(), models.device(), restored, idle, lines);
        let shared = Rc::new(Shared { hub, store, counters: Counters::new(models), settings });
        ready();
        let inputs = Inputs { listener, door, reports, readings };
        attend(shared, inputs, end).await
    });
    // Sessions hold the store and the orders: they end before the threads can.
    drop(tasks);
    runtime.shutdown_background();
    if let Ok(true) = served {
        let _ = engine.join();
        let _ = library.join();
    }
    drop(claim);
    served.map(|_| ())
}

/// Brings the library to order and reads what a worker begins with.
fn restore(library: &mut Library) -> Result<Restored, WorkerError> {
    let recovery = library.recover()?;
    let restored = Restored {
        jobs: library.unfinished()?,
        failed: library.failed(FAILED_MAX as u32)?,
        history: library.history(None, HISTORY_MAX as u32)?,
        history_total: library.pictures()?,
    };
    tracing::info!(
        ?recovery,
        unfinished = restored.jobs.len(),
        pictures = restored.history_total,
        "the library is open"
    );
    Ok(restored)
}

fn info() -> WorkerInfo {
    WorkerInfo {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: jiff::Timestamp::now().as_millisecond(),
    }
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> WorkerError {
    move |source| WorkerError::System { what, source }
}

/// What comes to the main loop.
struct Inputs {
    listener: UnixListener,
    door: Door,
    reports: UnboundedReceiver<Report>,
    readings: UnboundedReceiver<Readings>,
}

/// The main loop. Returns whether the engine has stopped by itself, so that its thread can be
/// waited for.
async fn attend(
    shared: Rc<Shared>,
    inputs: Inputs,
    end: impl Future<Output = ()>,
) -> Result<bool, WorkerError> {
    let Inputs { listener, door, mut reports, mut readings } = inputs;
    let doors = spawn_local(admit(Rc::clone(&shared), listener));
    let hub = &shared.hub;
    let mut end = pin!(end);
    let mut look = tokio::time::interval(shared.settings.look_every);
    // Whatever was left in the library is begun before anybody connects.
    hub.begin();
    while !hub.is_stopping() {
        tokio::select! {
            () = &mut end => { hub.stop(); }
            report = reports.recv() => take(&shared, report.ok_or(WorkerError::EngineGone)?),
            Some(readings) = readings.recv() => hub.readings(readings),
            () = until(hub.idle()) => rest(&shared),
            _ = look.tick() => {
                if hub.is_alone() && !door.is_open() {
                    tracing::info!("the socket is gone: nobody can come any more");
                    hub.stop();
                }
            }
            () = hub.changed() => {}
        }
    }
    tracing::info!("the worker ends");
    doors.abort();
    let stopped = async {
        while !hub.is_quiet() {
            tokio::select! {
                report = reports.recv() => take(&shared, report.ok_or(WorkerError::EngineGone)?),
                () = hub.changed() => {}
            }
        }
        Ok::<(), WorkerError>(())
    };
    let quiet = match timeout(shared.settings.stop_within, stopped).await {
        Ok(stopped) => stopped.map(|()| true)?,
        Err(_) => {
            tracing::warn!("the engine does not stop; the picture is drawn again by the next worker");
            false
        }
    };
    hub.farewell();
    let gone = async {
        while hub.clients() > 0 {
            hub.changed().await;
        }
    };
    let _ = timeout(FAREWELL, gone).await;
    Ok(quiet)
}

fn take(shared: &Rc<Shared>, report: Report) {
    if let Some(id) = shared.hub.report(report) {
        let now = jiff::Timestamp::now().as_millisecond();
        drop(shared.store.ask(move |library| library.set_state(id, &JobState::Queued, now)));
    }
}

async fn until(due: Option<(Due, Instant)>) {
    match due {
        Some((_, at)) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// There has been nothing to do for long.
fn rest(shared: &Shared) {
    match shared.hub.idle() {
        Some((Due::Free, at)) if at <= Instant::now() => {
            shared.counters.free();
            shared.hub.free();
        }
        Some((Due::End, at)) if at <= Instant::now() => {
            tracing::info!("neither work nor clients for long");
            shared.hub.stop();
        }
        _ => {}
    }
}

/// Lets clients in, up to as many as there may be.
async fn admit(shared: Rc<Shared>, listener: UnixListener) {
    let inside = Rc::new(Cell::new(0));
    loop {
        match listener.accept().await {
            Ok((stream, _)) if inside.get() < shared.settings.clients_max && is_ours(&stream) => {
                inside.set(inside.get() + 1);
                let (inside, shared) = (Rc::clone(&inside), Rc::clone(&shared));
                spawn_local(async move {
                    session::serve(shared, stream).await;
                    inside.set(inside.get() - 1);
                });
            }
            Ok(_) => tracing::warn!(clients = inside.get(), "a connection was refused"),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(CROWDED).await;
            }
        }
    }
}

/// Whether the peer is the same person, or root.
fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == geteuid().as_raw() || peer.uid() == 0)
}
