//! The worker's life: what is opened, what is started, the loop that everything comes together in,
//! and the order in which it ends.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, sleep_until, timeout};

use super::checker::{CheckReport, Checker};
use super::daemon::{Claim, Door};
use super::engines::Engines;
use super::fetcher::{FetchReport, Fetcher};
use super::hub::{Hub, Lines, Restored};
use super::idle::{Due, Idle};
use super::lora_watch::{self, LoraWatch};
use super::painter::{Report, Supplies};
use super::queue::Unfinished;
use super::store::Store;
use super::tokens::Counters;
use super::{Models, Settings, Shared, WorkerError, grids, readings, session, wanted};
use crate::device::Device;
use crate::gpu::Readings;
use crate::job::{JobState, JobStatus, Rebuilt};
use crate::library::{Folder, Library, LibraryError};
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
    let (mut library, rebuilt) = Library::open_or_rebuild_in(&paths.library(), folder.clone())?;
    let devices = models.devices();
    let restored = restore(&mut library, rebuilt, &devices)?;
    let watched = Arc::new(AtomicBool::new(false));
    let (report, reports) = unbounded_channel();
    let lost = report.clone();
    // This process ends on purpose then, and another makes the library anew.
    let damaged = move |error: LibraryError| drop(lost.send(Report::Lost(error.into())));
    let (store, library) = Store::start(library, damaged).map_err(system("starting the library's thread"))?;

    let supplies = Supplies {
        models: Arc::clone(&models),
        store: store.clone(),
        folder,
        reports: report,
        watched: Arc::clone(&watched),
        checkpoint_every: settings.checkpoint_every,
        keep_converted: settings.keep_converted,
    };
    let (fetching, fetches) = unbounded_channel();
    let fetcher = Fetcher::new(Arc::clone(&models), fetching);
    let (checking, checks) = unbounded_channel();
    let checker = Checker::new(Arc::clone(&models), checking);
    let (reading, readings) = unbounded_channel();
    let holders = Arc::clone(&models);
    let held = move |device| holders.held(device);
    let nudge = readings::start(settings.readings_every, Arc::clone(&watched), held, reading)
        .map_err(system("starting the thread that reads the sensors"))?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("starting the runtime"))?;
    let tasks = LocalSet::new();
    let served = tasks.block_on(&runtime, async {
        let (listener, door) = claim.listen()?;
        let idle = Idle::new(settings.free_after, settings.end_after, Instant::now());
        let lines = Lines { engines: Engines::new(supplies), watched, nudge, fetcher, checker };
        let hub = Hub::new(info(), Arc::clone(&models), devices, restored, idle, lines);
        let (changing, copying) = (tokio::sync::Mutex::default(), Arc::default());
        let counters = Counters::new(Arc::clone(&models));
        let lora_watch = LoraWatch::start();
        let shared =
            Rc::new(Shared { hub, store, models, counters, changing, copying, lora_watch, settings });
        ready();
        let inputs = Inputs { listener, door, reports, readings, fetches, checks };
        attend(shared, inputs, end).await
    });
    // Sessions hold the store: they end before its thread can.
    drop(tasks);
    runtime.shutdown_background();
    if let Ok(Some(engines)) = served {
        // The engines hold it too. A panic is in the log already.
        engines.into_iter().for_each(|engine| drop(engine.join()));
        let _ = library.join();
        drop(claim);
        return Ok(());
    }
    drop(claim);
    served.map(|_| ())
}

/// Brings the library to order and reads what a worker on these devices begins with.
fn restore(
    library: &mut Library,
    rebuilt: Option<Rebuilt>,
    devices: &[Device],
) -> Result<Restored, WorkerError> {
    let recovery = library.recover()?;
    let jobs = unfinished(library, devices)?;
    let restored = Restored {
        jobs,
        paused: library.is_paused()?,
        failed: library.failed(FAILED_MAX as u32)?,
        history: library.history(None, HISTORY_MAX as u32)?,
        history_total: library.pictures()?,
        wanted: library.wanted_models()?,
        grids: library.unwritten_grids()?,
        rebuilt,
    };
    tracing::info!(
        ?recovery,
        unfinished = restored.jobs.len(),
        pictures = restored.history_total,
        "the library is open"
    );
    Ok(restored)
}

/// The jobs that are not over. Those for a device that is not there any more, as after a card was
/// taken out, fail: they would wait for ever.
fn unfinished(library: &mut Library, devices: &[Device]) -> Result<Vec<Unfinished>, LibraryError> {
    let mut jobs = Vec::new();
    for status in library.unfinished()? {
        let JobStatus { id, job, .. } = &status;
        match job.device.best(devices) {
            Ok(_) => jobs.push(Unfinished { drawn: library.drawn(*id)?, status }),
            Err(error) => {
                tracing::error!(job = id.0, %error, "a job cannot be drawn any more");
                let reason = error.to_string();
                library.set_state(*id, &JobState::Failed { reason }, now())?;
            }
        }
    }
    Ok(jobs)
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn info() -> WorkerInfo {
    WorkerInfo {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: now(),
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
    fetches: UnboundedReceiver<FetchReport>,
    checks: UnboundedReceiver<CheckReport>,
}

/// The main loop. Returns the engines' threads if all have stopped by themselves, so that they can be
/// waited for.
async fn attend(
    shared: Rc<Shared>,
    inputs: Inputs,
    end: impl Future<Output = ()>,
) -> Result<Option<Vec<JoinHandle<()>>>, WorkerError> {
    let Inputs { listener, door, mut reports, mut readings, mut fetches, mut checks } = inputs;
    let doors = spawn_local(admit(Rc::clone(&shared), listener));
    let following = spawn_local(lora_watch::tell_of_changes(Rc::clone(&shared)));
    let hub = &shared.hub;
    let mut end = pin!(end);
    let mut look = tokio::time::interval(shared.settings.look_every);
    // Whatever was left in the library is begun before anybody connects.
    hub.begin();
    while !hub.is_stopping() {
        grids::finish_due(&shared);
        tokio::select! {
            () = &mut end => { hub.stop(); }
            Some(report) = reports.recv() => take(&shared, report)?,
            Some(readings) = readings.recv() => hub.readings(readings),
            Some(fetch) = fetches.recv() => wanted::take(&shared, fetch),
            Some(check) = checks.recv() => hub.check_report(check),
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
    following.abort();
    let stopped = async {
        while !hub.is_quiet() {
            tokio::select! {
                Some(report) = reports.recv() => take(&shared, report)?,
                Some(fetch) = fetches.recv() => wanted::take(&shared, fetch),
                Some(check) = checks.recv() => hub.check_report(check),
                () = hub.changed() => {}
            }
        }
        Ok::<(), WorkerError>(())
    };
    let engines = match timeout(shared.settings.stop_within, stopped).await {
        Ok(stopped) => stopped.map(|()| Some(hub.end_engines()))?,
        Err(_) => {
            tracing::warn!("an engine does not stop; its picture is drawn again by the next worker");
            None
        }
    };
    hub.farewell();
    let gone = async {
        while hub.clients() > 0 {
            hub.changed().await;
        }
    };
    let _ = timeout(FAREWELL, gone).await;
    Ok(engines)
}

fn take(shared: &Rc<Shared>, report: Report) -> Result<(), WorkerError> {
    if let Some(id) = shared.hub.report(report)? {
        let now = now();
        drop(shared.store.ask(move |library| library.set_state(id, &JobState::Queued, now)));
    }
    Ok(())
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
            // Whoever has it is drawing a sheet, and nobody is worse off for what is kept.
            if let Ok(mut copies) = shared.copying.try_lock() {
                copies.clear();
            }
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
