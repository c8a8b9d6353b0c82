//! The hub's part in fetching models: which are wanted, which one is being fetched, and what clients hear of it.

use super::{Hub, State};
use crate::fetch::Cancel;
use crate::model::ModelName;
use crate::wire::message::{Event, FetchProgress, FetchState, ModelFetch};
use crate::wire::models::note;
use crate::worker::fetcher::FetchReport;
use crate::worker::outbox::Kind;

/// The models that are wanted.
#[derive(Debug, Default)]
pub struct Fetches {
    /// As a snapshot has them.
    list: Vec<ModelFetch>,
    /// The one that is being fetched, until its thread has said that it ended.
    running: Option<(ModelName, Cancel)>,
    /// That one was stopped and, before its thread had ended, wanted again.
    again: bool,
}

impl Fetches {
    /// Those that an earlier worker left, in order.
    #[must_use]
    pub fn restore(wanted: Vec<ModelName>) -> Self {
        let list = wanted.into_iter().map(|model| ModelFetch { model, state: FetchState::Waiting }).collect();
        Self { list, running: None, again: false }
    }

    /// As a snapshot has them.
    #[must_use]
    pub fn list(&self) -> &[ModelFetch] {
        &self.list
    }

    /// Whether nothing is being fetched.
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.running.is_none()
    }

    /// How many models are being fetched or wait for it.
    #[must_use]
    pub fn open(&self) -> usize {
        self.list.iter().filter(|fetch| !fetch.state.is_over()).count()
    }

    /// Stops the one that is being fetched.
    pub fn stop(&self) {
        self.running.iter().for_each(|(_, cancel)| cancel.stop());
    }

    /// Whether this model's fetching has been stopped and has not ended yet.
    fn is_stopping(&self, model: &ModelName) -> bool {
        self.running.as_ref().is_some_and(|(running, cancel)| running == model && cancel.is_stopped())
    }

    pub(super) fn find(&self, model: &ModelName) -> Option<&ModelFetch> {
        self.list.iter().find(|fetch| fetch.model == *model && !fetch.state.is_over())
    }
}

impl Hub {
    /// How far the fetching of a model is, if it is being fetched or waits for it, and nobody has stopped it.
    #[must_use]
    pub fn fetch_of(&self, model: &ModelName) -> Option<ModelFetch> {
        let state = self.state.borrow();
        state.fetches.find(model).filter(|_| !state.fetches.is_stopping(model)).cloned()
    }

    /// The library has a model as wanted: it is fetched when those before it have been.
    pub fn fetch_accepted(&self, model: ModelName) -> ModelFetch {
        let mut state = self.state.borrow_mut();
        if state.fetches.is_stopping(&model) {
            state.fetches.again = true;
        } else if state.fetches.find(&model).is_none() {
            self.fetch_changed(&mut state, model.clone(), FetchState::Waiting);
        }
        self.settle(&mut state);
        let known = state.fetches.find(&model).cloned();
        known.unwrap_or(ModelFetch { model, state: FetchState::Waiting })
    }

    /// Somebody wants a model no more. Whether it was wanted at all. One that is being fetched is stopped, and its end
    /// is told when it has.
    pub fn cancel_fetch(&self, model: &ModelName) -> bool {
        let mut state = self.state.borrow_mut();
        if let Some((_, cancel)) = state.fetches.running.as_ref().filter(|(running, _)| running == model) {
            cancel.stop();
            state.fetches.again = false;
            return true;
        }
        let waits = state.fetches.find(model).is_some();
        if waits {
            self.fetch_changed(&mut state, model.clone(), FetchState::Cancelled);
            self.settle(&mut state);
        }
        waits
    }

    /// The fetching thread has something to tell. Returns the model that is not wanted any more: a worker that ends
    /// leaves its models to the next.
    pub fn fetch_report(&self, report: FetchReport) -> Option<ModelName> {
        let mut state = self.state.borrow_mut();
        match report {
            FetchReport::Reached(model, progress) => {
                // One that is being stopped still tells how far it is.
                if state.fetches.find(&model).is_some() {
                    self.fetch_changed(&mut state, model, FetchState::Running(progress));
                }
                None
            }
            FetchReport::Ended { model, state: end, ready } => {
                tracing::info!(%model, ?end, "no longer fetched");
                state.fetches.running = None;
                let again = std::mem::take(&mut state.fetches.again) && end == FetchState::Cancelled;
                let goes_on = again || (state.stopping && end == FetchState::Cancelled);
                if again {
                    self.fetch_changed(&mut state, model.clone(), FetchState::Waiting);
                }
                if !goes_on {
                    self.fetch_changed(&mut state, model.clone(), end);
                }
                ready.into_iter().for_each(|ready| self.tell(&state, Event::Models(ready)));
                self.settle(&mut state);
                (!goes_on).then_some(model)
            }
        }
    }

    /// Begins to fetch the first that waits, if none is being fetched.
    pub(super) fn begin_fetch(&self, state: &mut State) {
        while !state.stopping
            && state.fetches.is_still()
            && let Some(model) = state.fetches.list.first().filter(|fetch| !fetch.state.is_over())
        {
            let (model, cancel) = (model.model.clone(), Cancel::default());
            tracing::info!(%model, "to be fetched");
            let next = match self.lines.fetcher.start(model.clone(), cancel.clone()) {
                Ok(()) => {
                    state.fetches.running = Some((model.clone(), cancel));
                    FetchState::Running(FetchProgress::default())
                }
                Err(error) => FetchState::Failed { reason: format!("starting a thread: {error}") },
            };
            self.fetch_changed(state, model, next);
        }
    }

    fn fetch_changed(&self, state: &mut State, model: ModelName, now: FetchState) {
        let begun =
            state.fetches.find(&model).is_some_and(|known| matches!(known.state, FetchState::Running(_)));
        let kind = if begun && !now.is_over() { Kind::Fetch } else { Kind::Status };
        if kind == Kind::Status {
            // A slow client must not hear of it after its end.
            state.members.values().for_each(|member| member.outbox.forget_fetch());
        }
        let fetch = ModelFetch { model, state: now };
        note(&mut state.fetches.list, fetch.clone());
        self.tell_of(state, kind, Event::Fetch(fetch));
    }
}
