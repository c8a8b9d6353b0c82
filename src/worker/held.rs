//! The answers about the files of models: what they are, whether they are right, and their removal.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::answer::Answer;
use super::peer::Peer;
use super::{Models, PlannedRemoval, Shared};
use crate::model::ModelName;
use crate::wire::message::{Refusal, Response};

/// What the files of a model are.
pub(super) fn details(shared: &Rc<Shared>, model: ModelName) -> impl Future<Output = Answer> + use<> {
    let looking = aside(shared, move |models| models.details(&model));
    async move { Ok(Response::Details(Box::new(looking.await?))) }
}

/// Has the files of a model checked.
pub(super) fn verify(shared: &Rc<Shared>, model: ModelName) -> impl Future<Output = Answer> + use<> {
    let (shared, wanted) = (Rc::clone(shared), model.clone());
    async move {
        aside(&shared, move |models| models.checkable(&wanted)).await?;
        if shared.hub.is_stopping() {
            return Err(Refusal::Stopping);
        }
        Ok(Response::Checking(shared.hub.check_accepted(model)))
    }
}

/// What removing a model means.
pub(super) async fn plan_removal(shared: Rc<Shared>, model: ModelName) -> Answer {
    let (removal, _) = plan(&shared, &model).await?;
    Ok(Response::Removal(Box::new(removal.plan)))
}

/// What removing a model means, and what of it is known to be damaged; refused where somebody needs it now.
async fn plan(shared: &Shared, model: &ModelName) -> Result<(PlannedRemoval, Vec<PathBuf>), Refusal> {
    // Who fetches it or draws with it is worth more than what the files say.
    shared.hub.check_removable(model, &[], false)?;
    let damaged = shared.hub.damaged(model);
    let (of_plan, bad) = (model.clone(), damaged.clone());
    let removal = aside(shared, move |models| models.removal(&of_plan, &bad)).await?;
    shared.hub.check_removable(model, &going(&removal), removal.others_need)?;
    Ok((removal, damaged))
}

fn going(removal: &PlannedRemoval) -> Vec<PathBuf> {
    removal.plan.goes.iter().map(|file| PathBuf::from(&file.file)).collect()
}

/// Removes a model, one at a time and while the queue is not changed.
pub(super) async fn remove(shared: Rc<Shared>, by: Rc<Peer>, model: ModelName) -> Answer {
    let _one = shared.changing.lock().await;
    let (removal, damaged) = plan(&shared, &model).await?;
    shared.hub.begin_removal(&model, &going(&removal), removal.others_need)?;
    let of_removal = model.clone();
    let removed = aside(&shared, move |models| {
        let removed = models.remove(&of_removal, &damaged);
        Ok((removed, models.infos()))
    });
    match removed.await {
        Ok((removed, ready)) => {
            shared.hub.end_removal(&model, ready);
            tracing::info!(%model, %by, ?removed, "removed");
            removed.map(|bytes| Response::Removed { bytes })
        }
        Err(broken) => {
            let infos = aside(&shared, |models| Ok(models.infos())).await;
            shared.hub.end_removal(&model, infos.unwrap_or_default());
            Err(broken)
        }
    }
}

/// Does something with the models off the main loop: folders may be large and far away.
pub(super) fn aside<T, A>(shared: &Shared, act: A) -> impl Future<Output = Result<T, Refusal>> + use<T, A>
where
    T: Send + 'static,
    A: FnOnce(&dyn Models) -> Result<T, Refusal> + Send + 'static,
{
    let models = Arc::clone(&shared.models);
    let acting = spawn_blocking(move || act(&*models));
    async move {
        let broken = |panic| Refusal::Library(format!("the search broke down: {panic}"));
        acting.await.map_err(broken).and_then(|done| done)
    }
}
