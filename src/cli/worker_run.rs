//! `flux-tui worker run`: the worker itself, in the foreground. Hidden: others start it.

use std::sync::Arc;

use super::failure::Failure;
use super::text;
use crate::config::Config;
use crate::paths::Paths;
use crate::worker::{self, Catalogued, Settings};

/// Serves until it is stopped.
///
/// # Errors
/// When the worker cannot start, or ends badly.
pub(super) fn run(paths: &Paths) -> Result<(), Failure> {
    let (config, problems) = Config::load(&paths.config);
    problems.iter().for_each(|problem| text::complain("warning", &problem.to_string()));
    let settings = Settings::default().configured(config.worker);
    Ok(worker::run(paths, Arc::new(Catalogued::new(paths)), settings)?)
}
