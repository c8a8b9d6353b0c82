//! `flux-tui worker`: who the background worker is, what it is doing, and ending it.

use std::time::Duration;

use clap::Subcommand;

use super::failure::Failure;
use super::{block_on, bridge, host, stdout, text, unit, worker_run};
use crate::client::{Asking, ClientError, Endpoint};
use crate::gpu::{Gpu, Host};
use crate::paths::Paths;
use crate::wire::message::{
    CheckState, Drawing, EngineStatus, FetchProgress, FetchState, ModelCheck, ModelFetch, Progress, Refusal,
    Request, Response, Soundness, Stage, WorkerStatus,
};

/// The background worker: what it is doing, and ending it.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(super) struct Args {
    /// The same as `worker stdio`.
    #[arg(long, hide = true)]
    stdio: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Who the worker is and what it is doing. Starts none.
    Status {
        /// One JSON object on standard output; its `worker` is null when none is running.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        host: host::Flag,
    },
    /// Give the memory of loaded models back now, of those that nothing is drawn with. The next job loads its own again.
    Free {
        #[command(flatten)]
        host: host::Flag,
    },
    /// Have a worker of another version finish the jobs that it has begun and end, wait for that, and start one of this
    /// version for what is left.
    Replace,
    /// End the worker. Unfinished jobs stay queued for the next one.
    Stop {
        #[command(flatten)]
        host: host::Flag,
    },
    /// Carry a client's messages between standard input and output and the worker: what `--host` needs on the other
    /// machine. Starts a worker if none runs.
    Stdio {
        /// Start none.
        #[arg(long)]
        no_start: bool,
    },
    /// Print a unit for `systemd --user` that runs the worker.
    Unit,
    /// Be the worker.
    #[command(hide = true)]
    Run,
}

/// How long an ending worker may take to close the connection.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// How often a worker that lets go of the connection is asked, and the pause in between.
const STATUS_TRIES: u32 = 20;
const STATUS_PAUSE: Duration = Duration::from_millis(50);

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    match &args.command {
        Some(Command::Unit) => unit::run(),
        Some(Command::Status { json, host }) => {
            let endpoint = host.endpoint(&paths);
            report(&endpoint, block_on(status(&endpoint))?.as_ref(), *json)
        }
        Some(Command::Replace) => block_on(replace(&Endpoint::Here(paths))),
        Some(Command::Free { host }) => stdout::line(block_on(free(&host.endpoint(&paths)))?),
        Some(Command::Stop { host }) => stdout::line(&block_on(stop(&host.endpoint(&paths)))?),
        Some(Command::Stdio { no_start }) => bridge::run(&paths, !no_start),
        Some(Command::Run) => worker_run::run(&paths),
        // Without an argument the help is shown, so this is `--stdio`.
        None => bridge::run(&paths, args.stdio),
    }
}

/// `None` when no worker is running. One that is just ending may still take a connection and let it go.
async fn status(endpoint: &Endpoint) -> Result<Option<WorkerStatus>, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        match ask_status(endpoint).await {
            Ok(status) => return Ok(Some(status)),
            Err(ClientError::NoWorker) => return Ok(None),
            Err(ClientError::Lost | ClientError::Ended) if tries < STATUS_TRIES => {
                tokio::time::sleep(STATUS_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn ask_status(endpoint: &Endpoint) -> Result<WorkerStatus, ClientError> {
    let (client, _) = endpoint.connect(Asking::Here).await?;
    match client.call(Request::Status).await? {
        Response::Status(status) => Ok(*status),
        _ => Err(ClientError::Unexpected),
    }
}

/// Between two looks whether a worker has ended.
const ENDED_EVERY: Duration = Duration::from_millis(200);

/// Replaces a worker of another version; says what it waits for.
async fn replace(endpoint: &Endpoint) -> Result<(), Failure> {
    match endpoint.connect(Asking::Here).await {
        Ok(_) => return stdout::line("the worker is of this version already"),
        Err(ClientError::NoWorker) => return stdout::line("no worker is running"),
        Err(ClientError::Refused(Refusal::Version { .. })) => {}
        Err(error) => return Err(error.into()),
    }
    let begun = endpoint.replace().await?;
    if begun > 0 {
        let (jobs, are) = (text::count(begun, "job"), if begun == 1 { "is" } else { "are" });
        text::complain(
            "note",
            &format!("it ends when {jobs} that it has begun {are} done; what waits is the next one's"),
        );
    }
    loop {
        match endpoint.connect(Asking::Here).await {
            // Still the other one.
            Err(ClientError::Refused(Refusal::Version { .. }) | ClientError::Lost | ClientError::Ended) => {
                tokio::time::sleep(ENDED_EVERY).await;
            }
            Ok(_) | Err(ClientError::NoWorker) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let (client, _) = endpoint.connect_or_start(Asking::Here).await?;
    stdout::line(&format!("a worker of this version runs now (process {})", client.worker().pid))
}

/// Has the worker let go of what is loaded, and says what happened.
async fn free(endpoint: &Endpoint) -> Result<&'static str, Failure> {
    let (client, _) = match endpoint.connect(Asking::Here).await {
        Ok(connection) => connection,
        Err(ClientError::NoWorker) => return Ok("no worker is running"),
        Err(error) => return Err(error.into()),
    };
    match client.call(Request::Free).await? {
        Response::Changed => Ok("what nothing is drawn with is let go; the next job loads its model again"),
        _ => Err(ClientError::Unexpected.into()),
    }
}

/// Ends the worker, waits until it has left, and says what happened.
async fn stop(endpoint: &Endpoint) -> Result<String, Failure> {
    let (client, mut events) = match endpoint.connect(Asking::Here).await {
        Ok(connection) => connection,
        Err(ClientError::NoWorker) => return Ok("no worker is running".to_owned()),
        Err(error) => return Err(error.into()),
    };
    let pid = client.worker().pid;
    let Response::Stopping { queued } = client.call(Request::Stop).await? else {
        return Err(ClientError::Unexpected.into());
    };
    let left = async { while events.recv().await.is_some() {} };
    let kept = if queued == 0 {
        String::new()
    } else {
        let stay = if queued == 1 { "stays" } else { "stay" };
        format!("; {} {stay} queued for the next one", text::count(queued, "job"))
    };
    Ok(match tokio::time::timeout(STOP_WITHIN, left).await {
        Ok(()) => format!("the worker (process {pid}) has ended{kept}"),
        Err(_) => format!("the worker (process {pid}) has agreed to end but is still busy{kept}"),
    })
}

fn report(endpoint: &Endpoint, status: Option<&WorkerStatus>, json: bool) -> Result<(), Failure> {
    let there = endpoint.host().map(|host| ("host", host.to_string()));
    match status {
        Some(status) if json => stdout::json(status),
        Some(status) => {
            let rows: Vec<_> = there.into_iter().chain(rows(status)).collect();
            stdout::write(&text::table(&rows))
        }
        None if json => stdout::json(&serde_json::json!({ "worker": null })),
        None => {
            let place = there.map(|(_, host)| format!(" on {host}")).unwrap_or_default();
            stdout::line(&format!(
                "no worker is running{place}; the studio and `flux-tui generate` start one"
            ))
        }
    }
}

fn rows(status: &WorkerStatus) -> Vec<(&'static str, String)> {
    let worker = &status.worker;
    let mut rows = vec![(
        "worker",
        format!("flux-tui {}, process {}, since {}", worker.version, worker.pid, since(worker.started_at)),
    )];
    rows.extend(engines(status));
    rows.extend(drawings(status).into_iter().map(|drawing| ("drawing", drawing)));
    rows.extend(status.fetches.iter().map(|fetch| ("fetching", fetching(fetch))));
    rows.extend(status.checks.iter().map(|check| ("checking", checking(check))));
    rows.extend([
        ("queued", text::count(status.queued, "job") + if status.paused { ", paused" } else { "" }),
        ("library", text::count(usize::try_from(status.pictures).unwrap_or(usize::MAX), "picture")),
        ("clients", status.clients.to_string()),
    ]);
    rows.extend(status.rebuilt.iter().map(|rebuilt| ("damage", rebuilt.to_string())));
    if let Some(readings) = &status.readings {
        rows.extend(readings.gpus.iter().map(|gpu| ("gpu", gpu_line(gpu))));
        rows.push(("memory", host_line(&readings.host)));
    }
    rows
}

/// Local date and time of milliseconds since 1970.
fn since(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(
        |_| "an unknown time".to_owned(),
        |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %T").to_string(),
    )
}

/// One engine is a device and a model, several are a line each.
fn engines(status: &WorkerStatus) -> Vec<(&'static str, String)> {
    match &status.engines[..] {
        [engine] => vec![("device", engine.about.clone()), ("model", model(engine))],
        engines => {
            let line =
                |engine: &EngineStatus| format!("{}, {}: {}", engine.device, engine.about, model(engine));
            engines.iter().map(|engine| ("engine", line(engine))).collect()
        }
    }
}

fn model(engine: &EngineStatus) -> String {
    match (&engine.loaded, &engine.precision) {
        (Some(model), Some(precision)) => format!("{model}, {precision}"),
        (Some(model), None) => model.to_string(),
        (None, _) => "none loaded".to_owned(),
    }
}

/// What is drawn, and where if there is more than one place for it.
fn drawings(status: &WorkerStatus) -> Vec<String> {
    let line = |Drawing { progress, prompt }: &Drawing| {
        let place =
            if status.engines.len() > 1 { format!(", on {}", progress.device) } else { String::new() };
        format!("{}: {}{place}", text::one_line(prompt.as_str(), 50), stage(progress))
    };
    if status.running.is_empty() {
        return vec!["nothing".to_owned()];
    }
    status.running.iter().map(line).collect()
}

fn stage(progress: &Progress) -> String {
    let stage = match progress.stage {
        Stage::Loading { done, total } => {
            format!("reading the model, {:.2} of {:.2} GB", gb(done), gb(total))
        }
        Stage::Encoding => "reading the prompt".to_owned(),
        Stage::Drawing { step, steps, .. } => format!("step {step} of {steps}"),
        Stage::Decoding => "decoding".to_owned(),
        Stage::Saving => "saving".to_owned(),
    };
    match progress.remaining {
        Some(seconds) => format!("{stage}, {seconds:.1} s left"),
        None => stage,
    }
}

/// `flux1-dev, 4.10 of 34.17 GB, 0.11 GB/s, 274 s left`.
fn fetching(fetch: &ModelFetch) -> String {
    let model = &fetch.model;
    match &fetch.state {
        FetchState::Waiting => format!("{model}, waits"),
        FetchState::Running(progress) => {
            let FetchProgress { done, total, speed, remaining, .. } = progress;
            let left = remaining.filter(|left| left.is_finite());
            let left = left.map_or_else(String::new, |left| format!(", {left:.0} s left"));
            let waits = progress.waits.as_ref().map_or_else(String::new, |waits| format!("; {waits}"));
            format!("{model}, {:.2} of {:.2} GB, {:.3} GB/s{left}{waits}", gb(*done), gb(*total), speed / 1e9)
        }
        FetchState::Done => format!("{model}, done"),
        FetchState::Failed { reason } => {
            format!("{model}, failed: {}", text::one_line(reason, 200))
        }
        FetchState::Cancelled => format!("{model}, cancelled"),
    }
}

fn checking(check: &ModelCheck) -> String {
    let model = &check.model;
    match &check.state {
        CheckState::Waiting => format!("{model}, waits"),
        CheckState::Running(progress) => {
            format!("{model}, {:.2} of {:.2} GB", gb(progress.done), gb(progress.total))
        }
        CheckState::Done(files) => {
            let bad = files.iter().filter(|file| matches!(file.found, Soundness::Bad { .. })).count();
            let files = text::count(files.len(), "file");
            if bad == 0 {
                format!("{model}, done: {files}, none damaged")
            } else {
                format!("{model}, done: {bad} of {files} damaged")
            }
        }
        CheckState::Failed { reason } => format!("{model}, failed: {}", text::one_line(reason, 200)),
        CheckState::Cancelled => format!("{model}, cancelled"),
    }
}

fn gpu_line(gpu: &Gpu) -> String {
    let mut line =
        format!("{} {}, {:.1} of {:.1} GB in use", gpu.index, gpu.name, gb(gpu.used), gb(gpu.total));
    if let Some(ours) = gpu.ours {
        line += &format!(", {:.1} GB by the worker", gb(ours));
    }
    if let Some(utilisation) = gpu.utilisation {
        line += &format!(", {utilisation} %");
    }
    if let Some(temperature) = gpu.temperature {
        line += &format!(", {temperature} °C");
    }
    line
}

fn host_line(host: &Host) -> String {
    let (used, total, ours) = (gb(host.used), gb(host.total), gb(host.ours));
    format!("{used:.1} of {total:.1} GB in use, {ours:.1} GB by the worker")
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals at most")]
fn gb(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::gpu::Readings;
    use crate::job::{JobId, Prompt};
    use crate::model::ModelName;
    use crate::wire::message::WorkerInfo;

    fn status() -> WorkerStatus {
        WorkerStatus {
            worker: WorkerInfo { protocol: 1, version: "0.1.0".to_owned(), pid: 42, started_at: 0 },
            engines: vec![EngineStatus::idle(Device::Cpu, "CPU, 2 threads".to_owned())],
            queued: 1,
            paused: false,
            running: Vec::new(),
            pictures: 212,
            clients: 1,
            readings: None,
            fetches: Vec::new(),
            checks: Vec::new(),
            rebuilt: None,
        }
    }

    fn drawing(device: Device, prompt: &str) -> Drawing {
        let stage = Stage::Drawing { step: 14, steps: 20, sigma: 0.4 };
        let (job, remaining) = (JobId(1), Some(6.14));
        let progress = Progress { device, job, index: 0, seed: 7, stage, elapsed: 1.0, remaining };
        Drawing { progress, prompt: Prompt::new(prompt).expect("text") }
    }

    #[test]
    fn each_of_several_engines_has_a_line_and_each_picture_says_where() {
        let mut status = status();
        let card = |number| EngineStatus::idle(Device::Cuda(number), "NVIDIA H200".to_owned());
        status.engines = vec![card(1), card(0)];
        status.engines[1].loaded = Some(ModelName::new("nano"));
        status.running = vec![drawing(Device::Cuda(0), "an apple"), drawing(Device::Cuda(1), "a pear")];
        let text = text::table(&rows(&status));
        for line in [
            "engine   cuda:1, NVIDIA H200: none loaded",
            "engine   cuda:0, NVIDIA H200: nano",
            "drawing  an apple: step 14 of 20, 6.1 s left, on cuda:0",
            "drawing  a pear: step 14 of 20, 6.1 s left, on cuda:1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_fetched_and_checked_has_a_line_each() {
        let mut status = status();
        let fetch = |model: &str, state| ModelFetch { model: ModelName::new(model), state };
        let progress = FetchProgress {
            done: 4_100_000_000,
            total: 34_172_000_000,
            speed: 110e6,
            remaining: Some(273.4),
            ..FetchProgress::default()
        };
        status.fetches = vec![
            fetch("flux1-dev", FetchState::Running(progress)),
            fetch("mine", FetchState::Waiting),
            fetch("majic", FetchState::Failed { reason: "it is gated".to_owned() }),
        ];
        let checks = CheckState::Done(Vec::new());
        status.checks = vec![ModelCheck { model: ModelName::new("tiny"), state: checks }];
        let text = text::table(&rows(&status));
        for line in [
            "fetching  flux1-dev, 4.10 of 34.17 GB, 0.110 GB/s, 273 s left",
            "fetching  mine, waits",
            "fetching  majic, failed: it is gated",
            "checking  tiny, done: 0 files, none damaged",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn an_idle_worker_is_described() {
        let text = text::table(&rows(&status()));
        for line in [
            "device   CPU, 2 threads",
            "model    none loaded",
            "drawing  nothing",
            "queued   1 job",
            "library  212 pictures",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_drawing_worker_says_what_and_how_far() {
        let mut status = status();
        status.engines[0].loaded = Some(ModelName::new("nano"));
        status.engines[0].precision = Some("fp32".to_owned());
        status.running = vec![drawing(Device::Cpu, "a red\napple")];
        status.readings =
            Some(Readings { host: Host { total: 24_000_000_000, ..Host::default() }, gpus: vec![] });
        let text = text::table(&rows(&status));
        assert!(text.contains("a red apple: step 14 of 20, 6.1 s left"), "{text}");
        assert!(text.contains("nano, fp32"), "{text}");
        assert!(text.contains("0.0 of 24.0 GB in use"), "{text}");
    }
}
