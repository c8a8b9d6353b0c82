//! The command line: one file a command, each with its `Args` and its `run`.
//!
//! What is asked is checked here by the types of [`crate::job`], before a worker is contacted.
//! Drawing is the worker's, except for `bench`, which measures the engine in this process.

mod bench;
mod bridge;
mod doctor;
mod failure;
mod generate;
mod grid;
mod host;
mod keys;
mod library;
mod load;
mod models;
mod picture;
mod plan;
mod queue;
mod seeds;
mod show;
mod stdout;
mod studio;
mod text;
mod unit;
mod worker;
mod worker_run;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Draw pictures with FLUX.1 in the terminal.
///
/// Without a command, the studio opens. Models, queue and pictures belong to a worker in the
/// background, which is started when it is needed and goes on when the terminal closes.
#[derive(Debug, Parser)]
#[command(name = "flux-tui", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    studio: studio::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Generate(generate::Args),
    Grid(grid::Args),
    Grids(grid::Grids),
    Show(show::Args),
    Bench(bench::Args),
    Plan(plan::Args),
    Doctor(doctor::Args),
    Keys(keys::Args),
    Models(models::Args),
    Queue(queue::Args),
    Library(library::Args),
    Seeds(seeds::Args),
    Worker(worker::Args),
}

const AFTER_HELP: &str = "\
Exit codes: 0 done; 2 the command line cannot be carried out as written, nothing was drawn; \
130 ended by Ctrl-C; 1 anything else.

Files: pictures and library in $XDG_DATA_HOME/flux-tui (~/.local/share/flux-tui), \
the worker's socket and log in $XDG_STATE_HOME/flux-tui (~/.local/state/flux-tui).";

/// Reads the command line, does what it says, and gives the process's exit code.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to complain about help that nobody reads.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match carry_out(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn carry_out(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        None => studio::run(cli.studio),
        Some(Command::Generate(args)) => generate::run(args),
        Some(Command::Grid(args)) => grid::run(args),
        Some(Command::Grids(args)) => grid::run_grids(args),
        Some(Command::Show(args)) => show::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Plan(args)) => plan::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Keys(args)) => keys::run(&args),
        Some(Command::Models(args)) => models::run(&args),
        Some(Command::Queue(args)) => queue::run(args),
        Some(Command::Library(args)) => library::run(args),
        Some(Command::Seeds(args)) => seeds::run(&args),
        Some(Command::Worker(args)) => worker::run(&args),
    }
}

/// Runs a conversation with the worker on this thread.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?
        .block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_worker_itself_is_not_in_the_help() {
        let mut worker = Cli::command().find_subcommand("worker").expect("it is defined").clone();
        let help = worker.render_long_help().to_string();
        assert!(help.contains("status") && help.contains("stop"), "{help}");
        assert!(!help.contains("  run"), "{help}");
    }
}
