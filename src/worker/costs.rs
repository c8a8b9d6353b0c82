//! The answer to what pictures of some sizes will take: by those that were drawn on the device, and by the planner of a
//! card's memory where there were none.

use std::rc::Rc;

use super::Shared;
use super::answer::Answer;
use super::held::aside;
use crate::device::Device;
use crate::engine::{Placement, Planned};
use crate::job::Size;
use crate::job::costs::{Cost, CostsRequest, SIZES_MAX};
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
    let (load, steps) = (asked.load, asked.steps);
    let placed = move |(size, learned)| {
        let picture = Planned { size, steps, loras: 0 };
        Placement::new(device, load).for_pictures(picture).knowing(learned)
    };
    let on: Vec<Placement> = unseen.iter().copied().zip(learned).map(placed).collect();
    let planned = aside(shared, move |models| Ok(models.foresee(&asked.model, &on))).await?;
    for (size, planned) in unseen.into_iter().zip(planned) {
        let of_size = costs.iter_mut().filter(|cost| cost.size == size);
        of_size.for_each(|cost| *cost = cost.or_planned(planned));
    }
    Ok(costs)
}
