//! The thread that a model's files are checked on: one for each, and one at a time. Like the one that fetches it reports
//! through a channel, and a panic in it is a failure of that check only.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc::UnboundedSender;

use super::{Models, Unchecked};
use crate::fetch::Cancel;
use crate::model::ModelName;
use crate::wire::message::{CheckProgress, CheckState};

/// What the thread tells.
#[derive(Debug)]
pub enum CheckReport {
    /// How far it is.
    Reached(ModelName, CheckProgress),
    /// It is over: a state that [is](CheckState::is_over).
    Ended(ModelName, CheckState),
}

/// Starts checks.
pub struct Checker {
    models: Arc<dyn Models>,
    reports: UnboundedSender<CheckReport>,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").finish_non_exhaustive()
    }
}

impl Checker {
    /// Checks these models and reports there.
    #[must_use]
    pub fn new(models: Arc<dyn Models>, reports: UnboundedSender<CheckReport>) -> Self {
        Self { models, reports }
    }

    /// Begins to check a model; the last report of it is its end.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(&self, model: ModelName, cancel: Cancel) -> io::Result<()> {
        let (models, reports) = (Arc::clone(&self.models), self.reports.clone());
        thread::Builder::new().name("check".into()).spawn(move || {
            let tell = |progress| drop(reports.send(CheckReport::Reached(model.clone(), progress)));
            let run = || match models.verify(&model, &tell, &cancel) {
                Ok(files) => CheckState::Done(files),
                Err(Unchecked::Stopped) => CheckState::Cancelled,
                Err(other) => CheckState::Failed { reason: other.to_string() },
            };
            let state = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| CheckState::Failed {
                reason: "the check broke down: the worker's log has its last words".to_owned(),
            });
            // The main loop may have ended without waiting.
            let _ = reports.send(CheckReport::Ended(model.clone(), state));
        })?;
        Ok(())
    }
}
