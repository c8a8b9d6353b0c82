//! The hub's part in checking models' files: which are to be checked, which one is, and what was found.

use std::path::PathBuf;

use super::{Hub, State};
use crate::fetch::Cancel;
use crate::model::ModelName;
use crate::wire::held::note;
use crate::wire::message::{CheckProgress, CheckState, Event, ModelCheck, Soundness};
use crate::worker::checker::CheckReport;
use crate::worker::outbox::Kind;

/// The checks. None is kept over the worker's end: a person begins it again.
#[derive(Debug, Default)]
pub struct Checks {
    /// As a snapshot has them.
    list: Vec<ModelCheck>,
    /// The one that runs, until its thread has said that it ended.
    running: Option<(ModelName, Cancel)>,
}

impl Checks {
    /// As a snapshot has them.
    #[must_use]
    pub fn list(&self) -> &[ModelCheck] {
        &self.list
    }

    /// Whether nothing is being checked.
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.running.is_none()
    }

    /// How many models are being checked or wait for it.
    #[must_use]
    pub fn open(&self) -> usize {
        self.list.iter().filter(|check| !check.state.is_over()).count()
    }

    /// Stops the one that runs.
    pub fn stop(&self) {
        self.running.iter().for_each(|(_, cancel)| cancel.stop());
    }

    /// The check of a model that is not over.
    pub(super) fn find(&self, model: &ModelName) -> Option<&ModelCheck> {
        self.list.iter().find(|check| check.model == *model && !check.state.is_over())
    }

    /// The files of a model that the last check found damaged.
    #[must_use]
    pub fn damaged(&self, model: &ModelName) -> Vec<PathBuf> {
        let known = self.list.iter().find(|check| check.model == *model);
        let files = known.iter().flat_map(|check| match &check.state {
            CheckState::Done(files) => &files[..],
            _ => &[],
        });
        let bad = files.filter(|file| matches!(file.found, Soundness::Bad { .. }));
        bad.map(|file| PathBuf::from(&file.file)).collect()
    }
}

impl Hub {
    /// Somebody wants the files of a model checked. One that is being checked already is shared.
    pub fn check_accepted(&self, model: ModelName) -> ModelCheck {
        let mut state = self.state.borrow_mut();
        let stopping = state.checks.running.as_ref().is_some_and(|(_, cancel)| cancel.is_stopped());
        if state.checks.find(&model).is_none() || stopping {
            self.check_changed(&mut state, model.clone(), CheckState::Waiting);
        }
        self.settle(&mut state);
        let known = state.checks.find(&model).cloned();
        known.unwrap_or(ModelCheck { model, state: CheckState::Waiting })
    }

    /// Somebody wants no more of a check. Whether there was one.
    pub fn cancel_check(&self, model: &ModelName) -> bool {
        let mut state = self.state.borrow_mut();
        let runs = state.checks.running.as_ref().filter(|(running, _)| running == model);
        runs.into_iter().for_each(|(_, cancel)| cancel.stop());
        let known = state.checks.find(model).is_some();
        if known {
            self.check_changed(&mut state, model.clone(), CheckState::Cancelled);
            self.settle(&mut state);
        }
        known
    }

    /// The checking thread has something to tell.
    pub fn check_report(&self, report: CheckReport) {
        let mut state = self.state.borrow_mut();
        match report {
            CheckReport::Reached(model, progress) => {
                if state.checks.is_running(&model) {
                    self.check_changed(&mut state, model, CheckState::Running(progress));
                }
            }
            CheckReport::Ended(model, end) => {
                tracing::info!(%model, ?end, "no longer checked");
                // One that was cancelled has been told so already; it may wait again by now.
                if state.checks.is_running(&model) {
                    self.check_changed(&mut state, model, end);
                }
                state.checks.running = None;
                self.settle(&mut state);
            }
        }
    }

    /// The files that the last check of a model found damaged.
    #[must_use]
    pub fn damaged(&self, model: &ModelName) -> Vec<PathBuf> {
        self.state.borrow().checks.damaged(model)
    }

    /// Begins to check the first that waits, if none is being checked.
    pub(super) fn begin_check(&self, state: &mut State) {
        while !state.stopping
            && state.checks.is_still()
            && let Some(check) = state.checks.list.first().filter(|check| !check.state.is_over())
        {
            let (model, cancel) = (check.model.clone(), Cancel::default());
            tracing::info!(%model, "to be checked");
            let next = match self.lines.checker.start(model.clone(), cancel.clone()) {
                Ok(()) => {
                    state.checks.running = Some((model.clone(), cancel));
                    CheckState::Running(CheckProgress::default())
                }
                Err(error) => CheckState::Failed { reason: format!("starting a thread: {error}") },
            };
            self.check_changed(state, model, next);
        }
    }

    /// What was found of a model's files is no longer so.
    pub(super) fn forget_check(&self, state: &mut State, model: &ModelName) {
        if state.checks.list.iter().any(|check| check.model == *model) {
            self.check_changed(state, model.clone(), CheckState::Cancelled);
        }
    }

    fn check_changed(&self, state: &mut State, model: ModelName, now: CheckState) {
        let begun = state.checks.is_shown_running(&model);
        let kind = if begun && !now.is_over() { Kind::Check } else { Kind::Status };
        if kind == Kind::Status {
            // A slow client must not hear of it after its end.
            state.members.values().for_each(|member| member.outbox.forget_check());
        }
        let check = ModelCheck { model, state: now };
        note(&mut state.checks.list, check.clone());
        self.tell_of(state, kind, Event::Check(check));
    }
}

impl Checks {
    /// Whether this model's check runs and nobody has stopped it.
    fn is_running(&self, model: &ModelName) -> bool {
        self.running.as_ref().is_some_and(|(running, cancel)| running == model && !cancel.is_stopped())
    }

    fn is_shown_running(&self, model: &ModelName) -> bool {
        self.find(model).is_some_and(|check| matches!(check.state, CheckState::Running(_)))
    }
}
