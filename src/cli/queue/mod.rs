//! `flux-tui queue`: what waits, and changing it.

mod add;
mod change;
mod edit;
mod list;

use clap::Subcommand;

use super::failure::Failure;

/// The queue: what waits; add, move, edit, pause, cancel and try again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
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
    match args.command {
        Command::List(args) => list::run(&args),
        Command::Add(args) => add::run(args),
        Command::Move(args) => change::shift(&args),
        Command::Edit(args) => edit::run(args),
        Command::Pause(told) => change::pause(&told, true),
        Command::Resume(told) => change::pause(&told, false),
        Command::Cancel(job) => change::cancel(&job),
        Command::Retry(job) => change::retry(&job),
        Command::Duplicate(job) => change::duplicate(&job),
    }
}
