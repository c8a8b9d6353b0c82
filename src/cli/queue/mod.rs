//! `flux-tui queue`: what waits, and changing it.

mod add;
mod change;
mod edit;
mod list;

use clap::Subcommand;

use super::failure::Failure;
use super::host;
use crate::client::{Endpoint, HostName};
use crate::paths::Paths;

/// The queue: what waits; add, move, edit, pause, cancel and try again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// That of another machine's worker, over ssh: server, user@server.
    #[arg(long, value_name = "HOST", global = true)]
    host: Option<HostName>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Add(add::Args),
    Move(change::Move),
    Edit(edit::Args),
    /// Begin nothing more; what is being drawn is finished. It stays so after a restart.
    Pause(change::Told),
    /// Go on.
    Resume(change::Told),
    /// Cancel a job that waits or is being drawn.
    Cancel(change::Job),
    /// Draw what is missing of a job that failed.
    Retry(change::Job),
    /// Add a job like this one, whatever has become of it.
    Duplicate(change::Job),
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = Paths::from_env()?;
    let at: Endpoint = host::Flag { host: args.host }.endpoint(&paths);
    match args.command {
        Command::List(args) => list::run(&at, &args),
        Command::Add(args) => add::run(&at, &paths, args),
        Command::Move(args) => change::shift(&at, &args),
        Command::Edit(args) => edit::run(&at, &paths, args),
        Command::Pause(told) => change::pause(&at, &told, true),
        Command::Resume(told) => change::pause(&at, &told, false),
        Command::Cancel(job) => change::cancel(&at, &job),
        Command::Retry(job) => change::retry(&at, &job),
        Command::Duplicate(job) => change::duplicate(&at, &job),
    }
}
