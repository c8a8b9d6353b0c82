//! The answer to what pictures of some sizes will take: by those that were drawn on the device, and by the planner of a
//! card's memory where there were none.

use std::rc::Rc;

use super::answer::Answer;
use super::held::aside;
use super::{Models, Shared};
use crate::device::Device;
use crate::engine::{Placement, Planned};
use crate::job::costs::{Cost, CostsRequest, SIZES_MAX};
use crate::job::{LORAS_MAX, Size};
use crate::library::Kind;
use crate::usage::Learned;
use crate::wire::message::{Refusal, Response};

pub(super) async fn answer(shared: Rc<Shared>, asked: CostsRequest) -> Answer {
    if asked.sizes.len() > SIZES_MAX {
        let why = format!("{} sizes were asked about; {SIZES_MAX} can be", asked.sizes.len());
        return Err(Refusal::Malformed(why));
    }
    let device = asked.device.best(shared.hub.devices()).map_err(Refusal::NoDevice)?;
    let card = shared.models.identity(device);
    let (of_library, of_card) = (asked.clone(), card.clone());
    let seen = shared.store.ask(move |library| library.costs(&of_library, of_card.as_deref())).await;
    let costs = seen.map_err(|error| Refusal::Library(error.to_string()))?;
    match card {
        Some(card) => Ok(Response::Costs(planned(&shared, asked, (device, card), costs).await?)),
        None => Ok(Response::Costs(costs)),
    }
}

/// With what the planner expects of the sizes that were not drawn.
async fn planned(
    shared: &Shared,
    asked: CostsRequest,
    (device, card): (Device, String),
    mut costs: Vec<Cost>,
) -> Result<Vec<Cost>, Refusal> {
    let unseen: Vec<Size> = costs.iter().filter(|cost| !cost.seen).map(|cost| cost.size).collect();
    let kind =
        |size: &Size| Kind { card: card.clone(), model: asked.model.clone(), load: asked.load, size: *size };
    let kinds: Vec<Kind> = unseen.iter().map(kind).collect();
    let learned = shared.store.ask(move |library| kinds.iter().map(|kind| library.learned(kind)).collect());
    let learned: Vec<Learned> = learned.await.map_err(|error| Refusal::Library(error.to_string()))?;
    // How fast a card is that nobody knows is tried: not while a picture is drawn, which would slow both.
    let tried = learned.first().is_some_and(|learned| learned.card.is_none());
    if unseen.is_empty() || tried && shared.hub.is_drawing() {
        return Ok(costs);
    }
    let sizes: Vec<_> = unseen.iter().copied().zip(learned).collect();
    let planned = aside(shared, move |models| {
        let loras = asked.loras.iter().take(LORAS_MAX).map(|lora| lora_bytes(models, lora)).sum();
        let placed = |(size, learned)| {
            let picture = Planned { size, steps: asked.steps, loras };
            Placement::new(device, asked.load).for_pictures(picture).knowing(learned)
        };
        let on: Vec<Placement> = sizes.into_iter().map(placed).collect();
        Ok(models.foresee(&asked.model, &on))
    });
    let planned = planned.await?;
    for (size, planned) in unseen.into_iter().zip(planned) {
        let of_size = costs.iter_mut().filter(|cost| cost.size == size);
        of_size.for_each(|cost| *cost = cost.or_planned(planned));
    }
    Ok(costs)
}

/// Bytes of the largest file that a LoRA's name means; none where there is none, of which a job is told.
fn lora_bytes(models: &dyn Models, lora: &str) -> u64 {
    let files = models.lora(lora).unwrap_or_default();
    files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).max().unwrap_or(0)
}
