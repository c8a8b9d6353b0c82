//! `flux-tui worker run`: the worker itself, in the foreground. Hidden: others start it.

use std::sync::Arc;

use super::failure::Failure;
use crate::paths::Paths;
use crate::worker::{self, Catalogued, Settings};

/// Serves until it is stopped.
///
/// # Errors
/// When the worker cannot start, or ends badly.
pub(super) fn run(paths: &Paths) -> Result<(), Failure> {
    Ok(worker::run(paths, Arc::new(Catalogued::new(paths)), Settings::default())?)
}
