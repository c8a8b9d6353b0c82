//! `flux-tui grid`: one picture drawn with one or two things changed, and all of them on a contact sheet.

mod marks;

use std::path::PathBuf;

use bytes::Bytes;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use super::generate::follow::Line;
use super::generate::progress::Bar;
use super::generate::request::{self, Asked, Offered};
use super::generate::target::Target;
use super::{block_on, host, picture, stdout, text};
use crate::client::{Asking, ClientError, Endpoint};
use crate::job::grid::{Axis, Cell, Grid, GridError, GridId, GridOrder, Parameter};
use crate::job::{Job, JobState, MarkChange};
use crate::paths::Paths;
use crate::wire::grids::{GridRequest, GridResponse};
use crate::wire::message::{Event, Request, Response};

/// Draw a grid: the same picture with one or two things changed, and all of them on a contact sheet.
///
/// --axis guidance=2,3.5,5 puts three values across; a second --axis goes down. Steps, guidance, seed, size, width, height,
/// model and lora:FILE can be on an axis, with values between commas and ranges: steps=4..20/4. --axis "prompt:{red|blue}"
/// and --axis prompt:__animal__ take a choice of the prompt, as it stands there. All pictures have the same seed, unless it
/// is on an axis. At most 256 pictures. Ctrl-C cancels all of them; when the terminal goes away instead, the worker goes on.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// What is changed, and to which values; may be given twice.
    #[arg(long = "axis", value_name = "NAME=VALUES", required = true)]
    axes: Vec<String>,
    #[command(flatten)]
    host: host::Flag,
    #[command(flatten)]
    shown: Shown,
}

/// The grids of the library: listed, opened again, cancelled, rated, tagged and put into the trash.
#[derive(Debug, clap::Args)]
pub(super) struct Grids {
    #[command(flatten)]
    host: host::Flag,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The latest 100, newest first.
    List {
        /// Print one JSON array instead, each as `flux-tui grid --json` prints it.
        #[arg(long)]
        json: bool,
    },
    /// Show the contact sheet of one, as far as it is.
    Open {
        /// Its number.
        grid: i64,
        #[command(flatten)]
        shown: Shown,
    },
    /// Cancel what is not drawn yet of one.
    Cancel {
        /// Its number.
        grid: i64,
    },
    Rate(marks::Rate),
    Favourite(marks::Favourite),
    Tag(marks::Tags),
    /// Put one into the trash with all its pictures: lists do not show them. Their files stay where they are.
    Trash {
        /// Its number.
        grid: i64,
    },
    /// Take one out of the trash, with the pictures that went there with it.
    Restore {
        /// Its number.
        grid: i64,
    },
}

/// How a contact sheet is told.
#[derive(Debug, clap::Args)]
struct Shown {
    /// Also write the contact sheet here.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON object instead: grid, sheet, output, seed, columns, rows, axes, and cells (values, state, picture, path).
    #[arg(long)]
    json: bool,
    /// Do not print the contact sheet itself.
    #[arg(long)]
    no_display: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    let (at, axes, target) = (args.host.endpoint(&paths), args.axes, args.shown.target()?);
    let (grid, sheet) = match at.host() {
        None => {
            // All is checked before a worker is asked for.
            let order = order(request::job(args.asked, &paths, Offered::Here(&paths))?, &axes)?;
            block_on(draw(&at, |_| Ok(order)))?
        }
        Some(host) => block_on(draw(&at, |models| {
            order(request::job(args.asked, &paths, Offered::There(host, models))?, &axes)
        }))?,
    };
    args.shown.tell(&grid, &sheet, target)?;
    failed(&grid).map_or(Ok(()), Err)
}

pub(super) fn run_grids(args: Grids) -> Result<(), Failure> {
    let at = args.host.endpoint(&Paths::from_env()?);
    match args.command {
        Command::List { json } => block_on(list(&at, json)),
        Command::Cancel { grid } => block_on(cancel(&at, GridId(grid))),
        Command::Rate(args) => block_on(marks::mark(&at, args.mark())),
        Command::Favourite(args) => block_on(marks::mark(&at, args.mark())),
        Command::Tag(args) => block_on(marks::mark(&at, args.mark())),
        Command::Trash { grid } => block_on(marks::mark(&at, (GridId(grid), MarkChange::Trash(true)))),
        Command::Restore { grid } => block_on(marks::mark(&at, (GridId(grid), MarkChange::Trash(false)))),
        Command::Open { grid, shown } => {
            let target = shown.target()?;
            let (grid, sheet) = block_on(open(&at, GridId(grid)))?;
            shown.tell(&grid, &sheet, target)
        }
    }
}

impl Shown {
    /// Where the copy goes, which is found out before anything is drawn.
    fn target(&self) -> Result<Option<Target>, Failure> {
        let targets = self.output.as_ref().map(|path| Target::all(path, 1)).transpose()?;
        Ok(targets.and_then(|mut targets| targets.pop()))
    }

    fn tell(&self, grid: &Grid, sheet: &[u8], target: Option<Target>) -> Result<(), Failure> {
        let output = match &target {
            Some(target) => {
                target.write(sheet).map_err(|source| Failure::Copy {
                    to: target.path().display().to_string(),
                    kept: kept(grid),
                    source,
                })?;
                Some(target.path().display().to_string())
            }
            None => None,
        };
        if self.json {
            return stdout::json(&Told::new(grid, output));
        }
        if stdout::is_terminal()
            && !self.no_display
            && let Err(reason) = picture::print(sheet)
        {
            text::complain("warning", &format!("the contact sheet cannot be shown here: {reason}"));
        }
        stdout::line(&format!("grid {}: {}, seed {}  {}", grid.id, counted(grid), grid.seed, kept(grid)))
    }
}

fn kept(grid: &Grid) -> String {
    grid.sheet.as_ref().map_or_else(|| "not all cells are over".to_owned(), |path| path.display().to_string())
}

/// What failed of a grid, and how it is tried again.
fn failed(grid: &Grid) -> Option<Failure> {
    let (job, reason) = grid.cells.iter().find_map(|cell| match &cell.state {
        JobState::Failed { reason } => Some((cell.job, reason.clone())),
        _ => None,
    })?;
    let (failed, count) = (grid.failed(), grid.cells.len());
    Some(Failure::GridFailed { grid: grid.id.0, failed, count, job, reason })
}

/// `3 of 4 drawn, 1 failed`.
fn counted(grid: &Grid) -> String {
    let drawn = format!("{} of {} drawn", grid.drawn(), grid.cells.len());
    match grid.failed() {
        0 => drawn,
        failed => format!("{drawn}, {failed} failed"),
    }
}

/// The grid that was asked for; files and paths are made whole, since the worker is elsewhere.
fn order(job: Job, axes: &[String]) -> Result<GridOrder, Failure> {
    let axis = |text: &String| -> Result<Axis, Failure> {
        let axis = Axis::parse(text, job.wildcards())?;
        let whole = match axis.parameter() {
            Parameter::Lora(file) => {
                let file = request::lora(file)?.file().to_owned();
                Axis::new(Parameter::Lora(file), axis.values().to_vec())?
            }
            Parameter::Model => {
                let names = axis.values().iter().map(|name| request::model_name(name).as_str().to_owned());
                Axis::new(Parameter::Model, names.collect())?
            }
            _ => axis,
        };
        Ok(whole)
    };
    let axes = axes.iter().map(axis).collect::<Result<_, _>>()?;
    Ok(GridOrder::new(job, axes)?)
}

async fn connect(at: &Endpoint, interrupt: &mut Signal) -> Result<Line, Failure> {
    let (client, events) = tokio::select! {
        connection = at.connect_or_start(Asking::HereUninterrupted) => connection?,
        Some(()) = interrupt.recv() => return Err(Failure::Interrupted),
    };
    Ok(Line::new(client, events))
}

async fn ask(line: &mut Line, asked: GridRequest) -> Result<GridResponse, Failure> {
    match line.call(Request::Grids(asked)).await? {
        Response::Grids(response) => Ok(response),
        _ => Err(ClientError::Unexpected.into()),
    }
}

async fn get(line: &mut Line, asked: GridRequest) -> Result<Grid, Failure> {
    match ask(line, asked).await? {
        GridResponse::Grid(grid) => Ok(*grid),
        _ => Err(ClientError::Unexpected.into()),
    }
}

async fn sheet(line: &mut Line, grid: GridId) -> Result<Bytes, Failure> {
    match ask(line, GridRequest::Sheet { grid, side: None }).await? {
        GridResponse::Sheet(png) => Ok(png),
        _ => Err(ClientError::Unexpected.into()),
    }
}

fn interrupts() -> Result<Signal, Failure> {
    signal(SignalKind::interrupt()).map_err(Failure::Runtime)
}

async fn open(at: &Endpoint, id: GridId) -> Result<(Grid, Bytes), Failure> {
    let mut line = connect(at, &mut interrupts()?).await?;
    let grid = get(&mut line, GridRequest::Get(id)).await?;
    let png = sheet(&mut line, id).await?;
    Ok((grid, png))
}

async fn cancel(at: &Endpoint, id: GridId) -> Result<(), Failure> {
    let mut line = connect(at, &mut interrupts()?).await?;
    match ask(&mut line, GridRequest::Cancel(id)).await? {
        GridResponse::Cancelled(count) => {
            stdout::line(&format!("{} cancelled", text::count(count, "picture")))
        }
        _ => Err(ClientError::Unexpected.into()),
    }
}

async fn list(at: &Endpoint, json: bool) -> Result<(), Failure> {
    let mut line = connect(at, &mut interrupts()?).await?;
    let GridResponse::Grids(grids) = ask(&mut line, GridRequest::List { before: None, limit: 100 }).await?
    else {
        return Err(ClientError::Unexpected.into());
    };
    if json {
        return stdout::json(&grids.iter().map(|grid| Told::new(grid, None)).collect::<Vec<_>>());
    }
    let told = |grid: &Grid| {
        let prompt = text::one_line(grid.order.job.prompt.as_str(), 60);
        let axes = text::one_line(&grid.order.to_string(), 40);
        format!("{:>5}  {}  {axes}  {prompt}\n", grid.id, counted(grid))
    };
    stdout::write(&grids.iter().map(told).collect::<String>())
}

/// Has the worker draw what `asked` makes of its models, and waits until the contact sheet is written.
async fn draw(
    at: &Endpoint,
    asked: impl FnOnce(&[crate::model::ModelInfo]) -> Result<GridOrder, Failure>,
) -> Result<(Grid, Bytes), Failure> {
    // Held from here on, so that Ctrl-C is never lost.
    let mut interrupt = interrupts()?;
    let bar = Bar::new();
    let mut line = connect(at, &mut interrupt).await?;
    let Response::Snapshot(snapshot) = line.call(Request::Subscribe).await? else {
        return Err(ClientError::Unexpected.into());
    };
    let order = asked(&snapshot.models)?;
    let mut grid = get(&mut line, GridRequest::Draw(Box::new(order))).await?;
    let (id, count) = (grid.id, grid.cells.len());
    let (mut over, mut drawn) = (0, 0);
    bar.say(&format!("grid {id}: {} accepted", text::count(count, "picture")));
    while grid.sheet.is_none() {
        tokio::select! {
            event = line.next() => match event {
                Some(Event::Job(status)) if status.job.cell.is_some_and(|cell| cell.grid == id) && status.state.is_over() => {
                    over += 1;
                    drawn += usize::from(status.state == JobState::Done);
                    bar.say(&format!("grid {id}: {over} of {count}"));
                }
                Some(Event::Grid(written)) if written == id => grid = get(&mut line, GridRequest::Get(id)).await?,
                Some(Event::Ending) | None => return Err(Failure::GridLeft { grid: id.0, drawn, count }),
                Some(_) => {}
            },
            Some(()) = interrupt.recv() => {
                bar.say("cancelling");
                ask(&mut line, GridRequest::Cancel(id)).await?;
                return Err(Failure::GridCancelled { grid: id.0, drawn, count });
            }
        }
    }
    let png = sheet(&mut line, id).await?;
    Ok((grid, png))
}

/// A grid as `--json` tells it.
#[derive(Serialize)]
struct Told<'g> {
    grid: GridId,
    sheet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    seed: u64,
    columns: usize,
    rows: usize,
    axes: &'g [Axis],
    cells: Vec<ToldCell>,
}

#[derive(Serialize)]
struct ToldCell {
    values: String,
    state: &'static str,
    job: i64,
    picture: Option<i64>,
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl<'g> Told<'g> {
    fn new(grid: &'g Grid, output: Option<String>) -> Self {
        let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let cell = |(at, cell): (usize, &Cell)| {
            let (state, reason) = match &cell.state {
                JobState::Queued => ("queued", None),
                JobState::Running => ("running", None),
                JobState::Done => ("done", None),
                JobState::Cancelled => ("cancelled", None),
                JobState::Failed { reason } => ("failed", Some(reason.clone())),
            };
            let (values, picture) = (grid.order.place(at), cell.picture.map(|id| id.0));
            ToldCell { values, state, job: cell.job.0, picture, path: shown(&cell.path), reason }
        };
        Self {
            grid: grid.id,
            sheet: shown(&grid.sheet),
            output,
            seed: grid.seed,
            columns: grid.order.columns(),
            rows: grid.order.rows(),
            axes: grid.order.axes(),
            cells: grid.cells.iter().enumerate().map(cell).collect(),
        }
    }
}

impl From<GridError> for Failure {
    fn from(error: GridError) -> Self {
        Self::Grid(Box::new(error))
    }
}
