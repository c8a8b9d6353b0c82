//! `flux-tui models`: which models there are, where their parts are, and what a file is.

mod info;
mod list;
mod locate;

use clap::Subcommand;

use super::failure::Failure;

/// Models: which there are, where their parts are, what a file is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Where(locate::Args),
    Info(info::Args),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Where(args) => locate::run(args),
        Command::Info(args) => info::run(args),
    }
}
