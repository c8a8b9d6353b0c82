//! `flux-tui worker run`: the worker itself, in the foreground. Hidden: others start it.

use super::failure::Failure;
use crate::paths::Paths;

/// Serves until it is stopped.
///
/// # Errors
/// When the worker cannot start, or ends badly.
pub(super) fn run(paths: &Paths) -> Result<(), Failure> {
    let at = paths.socket();
    Err(Failure::Unavailable(format!("this build has no worker to serve {}", at.display())))
}
