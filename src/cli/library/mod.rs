//! `flux-tui library`: the pictures that were drawn, found, marked, checked and taken in.

mod access;
mod check;
mod import;
mod list;
mod mark;
mod repair;
mod scan;
mod show;
mod take;
mod which;

use clap::Subcommand;

pub(super) use access::Access;
pub(super) use list::{stars, time};
pub(super) use mark::{Word, changes};

use super::failure::Failure;

/// The library: find pictures, rate and tag them, check and repair it, take others in.
///
/// A PICTURE is its number, or the path of its file or of a copy. What is changed while a worker runs goes through it, so
/// that every studio shows it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::List),
    Search(list::Search),
    Show(show::Args),
    Rate(mark::Rate),
    Tag(mark::Tags),
    Favourite(mark::Favourite),
    /// Put a picture into the trash: lists do not show it. Its file stays where it is.
    Trash(mark::One),
    /// Take a picture out of the trash.
    Restore(mark::One),
    Check(check::Args),
    Repair(repair::Args),
    Import(import::Args),
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::List(args) => list::list(args),
        Command::Search(args) => list::search(args),
        Command::Show(args) => show::run(&args),
        Command::Rate(args) => mark::rate(&args),
        Command::Tag(args) => mark::tag(args),
        Command::Favourite(args) => mark::favourite(&args),
        Command::Trash(args) => mark::trash(&args, true),
        Command::Restore(args) => mark::trash(&args, false),
        Command::Check(args) => check::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Import(args) => import::run(&args),
    }
}
