//! The program: everything is in [`flux_tui::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    flux_tui::cli::run()
}
