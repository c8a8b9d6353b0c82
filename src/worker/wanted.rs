//! The answers about models that are to be fetched. What they change is in the library before they are given.

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::Shared;
use super::fetcher::FetchReport;
use crate::library::LibraryError;
use crate::model::ModelName;
use crate::wire::message::{Lacks, ModelState, Refusal, Response, Standing};

type Answer = Result<Response, Refusal>;

/// Every model that is known, and what there is of it.
pub(super) fn models(shared: &Rc<Shared>) -> impl Future<Output = Answer> + use<> {
    let states = states(shared);
    async move { Ok(Response::Models(states.await?)) }
}

/// Has a model fetched. One that is being fetched already is shared by all who want it.
pub(super) fn fetch(shared: &Rc<Shared>, model: ModelName) -> impl Future<Output = Answer> + use<> {
    let shared = Rc::clone(shared);
    async move {
        if let Some(known) = shared.hub.fetch_of(&model) {
            return Ok(Response::Fetching(known));
        }
        fetchable(states(&shared).await?, &model)?;
        if shared.hub.is_stopping() {
            return Err(Refusal::Stopping);
        }
        let wanted = model.clone();
        let kept = shared.store.ask(move |library| library.want_model(&wanted)).await;
        kept.map_err(refused)?;
        tracing::info!(%model, "wanted");
        Ok(Response::Fetching(shared.hub.fetch_accepted(model)))
    }
}

/// Has a model fetched no more.
pub(super) fn cancel(shared: &Rc<Shared>, model: ModelName) -> impl Future<Output = Answer> + use<> {
    let shared = Rc::clone(shared);
    async move {
        if !shared.hub.cancel_fetch(&model) {
            return Err(Refusal::NotFetching(model));
        }
        shared.store.ask(move |library| library.forget_model(&model)).await.map_err(refused)?;
        Ok(Response::Cancelled)
    }
}

/// Takes what the fetching thread tells.
pub(super) fn take(shared: &Shared, report: FetchReport) {
    if let Some(model) = shared.hub.fetch_report(report) {
        drop(shared.store.ask(move |library| library.forget_model(&model)));
    }
}

/// Looks for what there is of every model, off the main loop: folders may be large and far away.
fn states(shared: &Shared) -> impl Future<Output = Result<Vec<ModelState>, Refusal>> + use<> {
    let models = Arc::clone(&shared.models);
    let looking = spawn_blocking(move || models.states());
    async move { looking.await.map_err(|panic| Refusal::Library(format!("the search broke down: {panic}"))) }
}

/// Whether a model can be fetched.
fn fetchable(states: Vec<ModelState>, model: &ModelName) -> Result<(), Refusal> {
    let known = |states: &[ModelState]| {
        let names: Vec<_> = states.iter().map(|state| state.info.name.as_str()).collect();
        names.join(", ")
    };
    let Some(state) = states.iter().find(|state| state.info.name == *model) else {
        return Err(Refusal::UnknownModel { name: model.to_string(), known: known(&states) });
    };
    match &state.standing {
        Standing::Ready => Err(Refusal::NothingToFetch(model.clone())),
        Standing::Lacks(Lacks { fetch: None, reason, .. }) => Err(Refusal::LackingModel(reason.clone())),
        Standing::Lacks(_) => Ok(()),
    }
}

fn refused(error: LibraryError) -> Refusal {
    Refusal::Library(error.to_string())
}
