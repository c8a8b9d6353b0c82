//! The hub's part in removing a model: that nobody needs it, that its engine lets it go, that no job comes meanwhile.

use std::path::{Path, PathBuf};

use super::{Hub, State};
use crate::job::{JobId, JobState};
use crate::model::{ModelInfo, ModelName};
use crate::wire::message::{Event, Refusal};
use crate::worker::painter::Order;

impl Hub {
    /// Whether a model whose `files` go can be removed now.
    ///
    /// # Errors
    /// Who needs it, and what to do.
    pub fn check_removable(&self, model: &ModelName, files: &[PathBuf], shared: bool) -> Result<(), Refusal> {
        let needed = self.needed(&self.state.borrow(), model, files, shared);
        needed.map_or(Ok(()), |reason| Err(Refusal::NotRemoved { model: model.clone(), reason }))
    }

    /// Begins to remove a model whose `files` go, of which another model may need those that are `shared` because they
    /// are damaged. From now on no job for it is taken; engines that hold it and draw nothing let it go.
    ///
    /// # Errors
    /// Who needs it, and what to do.
    pub fn begin_removal(&self, model: &ModelName, files: &[PathBuf], shared: bool) -> Result<(), Refusal> {
        let mut state = self.state.borrow_mut();
        if state.stopping {
            return Err(Refusal::Stopping);
        }
        if let Some(reason) = self.needed(&state, model, files, shared) {
            return Err(Refusal::NotRemoved { model: model.clone(), reason });
        }
        state.removing = Some(model.clone());
        let holds = |loaded: &ModelName| shared || uses(loaded, model, files);
        let idle = state.loaded.iter().filter(|(_, (loaded, _))| holds(loaded)).map(|(device, _)| *device);
        for device in idle.collect::<Vec<_>>() {
            tracing::info!(%model, %device, "let go, to be removed");
            self.lines.engines.order(device, Order::Free);
        }
        Ok(())
    }

    /// Lets go of every model that nothing is drawn with: somebody wants the memory. The engines' threads say when they
    /// have.
    pub fn free_what_rests(&self) {
        let state = self.state.borrow();
        for device in state.loaded.keys().filter(|device| !state.queue.is_busy(**device)) {
            self.lines.engines.order(*device, Order::Free);
        }
    }

    /// It is removed, or could not be; these can be drawn with now.
    pub fn end_removal(&self, model: &ModelName, ready: Vec<ModelInfo>) {
        let mut state = self.state.borrow_mut();
        state.removing = None;
        self.forget_check(&mut state, model);
        self.tell(&state, Event::Models(ready));
        self.settle(&mut state);
    }

    /// Whether a model is being removed: then no job for it is taken.
    pub(super) fn is_removing(&self, model: &ModelName) -> bool {
        self.state.borrow().removing.as_ref() == Some(model)
    }

    /// Who needs a model, and what to do.
    fn needed(&self, state: &State, model: &ModelName, files: &[PathBuf], shared: bool) -> Option<String> {
        if state.removing.is_some() {
            return Some("another model is being removed; try again when that is done".to_owned());
        }
        if state.fetches.find(model).is_some() {
            return Some("it is being fetched; cancel that first".to_owned());
        }
        if state.checks.find(model).is_some() {
            return Some("its files are being checked; cancel that first".to_owned());
        }
        let needs = |name: &ModelName| shared || uses(name, model, files);
        let mut jobs = state.queue.jobs().filter(|status| needs(&status.job.model));
        let first = jobs.next()?;
        let more = jobs.count();
        Some(said(first.id, first.state == JobState::Running, more))
    }
}

fn said(job: JobId, runs: bool, more: usize) -> String {
    let what = if runs { "is being drawn with it" } else { "waits to be drawn with it" };
    let more = match more {
        0 => String::new(),
        1 => ", and so does one more".to_owned(),
        more => format!(", and so do {more} more"),
    };
    format!("job {job} {what}{more}; cancel it or let it be drawn first")
}

/// Whether what is drawn with is the model, or one of its files by path.
fn uses(name: &ModelName, model: &ModelName, files: &[PathBuf]) -> bool {
    let is_file = |path: &Path| {
        let same = |file: &PathBuf| file == path || same_file(file, path);
        files.iter().any(same)
    };
    name == model || name.as_path().is_some_and(is_file)
}

/// Whether two paths lead to one file: contents in a cache have more names than one.
fn same_file(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| std::fs::canonicalize(path).ok();
    whole(one).is_some_and(|one| whole(other) == Some(one))
}
