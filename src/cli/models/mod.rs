//! `flux-tui models`: which models there are, where their parts are, what a file is; fetching, converting, checking and removing
//! them.

mod bar;
mod convert;
mod info;
mod list;
mod locate;
mod prune;
mod pull;
mod remove;
mod selection;
mod verify;

use clap::Subcommand;

use super::failure::Failure;

/// Models: which there are, where their parts are, what a file is; fetch, convert, check and remove them.
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
    Pull(pull::Args),
    Convert(convert::Args),
    Verify(verify::Args),
    Remove(remove::Args),
    Prune(prune::Args),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Where(args) => locate::run(args),
        Command::Info(args) => info::run(args),
        Command::Pull(args) => pull::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Remove(args) => remove::run(args),
        Command::Prune(args) => prune::run(args),
    }
}
