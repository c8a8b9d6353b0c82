//! The thread that a model is fetched on: one for each, and one at a time. Like an engine's it reports through a channel,
//! and a panic in it is a failure of that model only.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc::UnboundedSender;

use super::Models;
use super::fetching::Unfetched;
use crate::fetch::Cancel;
use crate::model::{ModelInfo, ModelName};
use crate::wire::message::{FetchProgress, FetchState};

/// What the thread tells.
#[derive(Debug)]
pub enum FetchReport {
    /// How far it is.
    Reached(ModelName, FetchProgress),
    /// It is over.
    Ended {
        /// Which model.
        model: ModelName,
        /// How: one that [is over](FetchState::is_over).
        state: FetchState,
        /// The models that can be drawn with now, where that may have changed.
        ready: Option<Vec<ModelInfo>>,
    },
}

/// Starts fetches.
pub struct Fetcher {
    models: Arc<dyn Models>,
    reports: UnboundedSender<FetchReport>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Fetches these models and reports there.
    #[must_use]
    pub fn new(models: Arc<dyn Models>, reports: UnboundedSender<FetchReport>) -> Self {
        Self { models, reports }
    }

    /// Begins to fetch a model; the last report of it is its end.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(&self, model: ModelName, cancel: Cancel) -> io::Result<()> {
        let (models, reports) = (Arc::clone(&self.models), self.reports.clone());
        thread::Builder::new().name("fetch".into()).spawn(move || {
            let run = || fetch(&*models, &model, &reports, &cancel);
            let state = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| FetchState::Failed {
                reason: "the fetching broke down: the worker's log has its last words".to_owned(),
            });
            let ready = (state == FetchState::Done).then(|| models.infos());
            // The main loop may have ended without waiting.
            let _ = reports.send(FetchReport::Ended { model, state, ready });
        })?;
        Ok(())
    }
}

fn fetch(
    models: &dyn Models,
    model: &ModelName,
    reports: &UnboundedSender<FetchReport>,
    cancel: &Cancel,
) -> FetchState {
    let tell = |progress| drop(reports.send(FetchReport::Reached(model.clone(), progress)));
    // What has come may still not be the model: then it is better said now than at the first job.
    let fetched = models.fetch(model, &tell, cancel).and_then(|()| Ok(models.check(model)?));
    match fetched {
        Ok(()) => FetchState::Done,
        Err(Unfetched::Stopped) => FetchState::Cancelled,
        Err(other) => FetchState::Failed { reason: other.to_string() },
    }
}
