//! The answer to what pictures of some sizes will take.

use std::rc::Rc;

use super::Shared;
use super::answer::Answer;
use crate::job::costs::{CostsRequest, SIZES_MAX};
use crate::wire::message::{Refusal, Response};

pub(super) async fn answer(shared: Rc<Shared>, asked: CostsRequest) -> Answer {
    if asked.sizes.len() > SIZES_MAX {
        let why = format!("{} sizes were asked about; {SIZES_MAX} can be", asked.sizes.len());
        return Err(Refusal::Malformed(why));
    }
    let costs = shared.store.ask(move |library| library.costs(&asked)).await;
    costs.map(Response::Costs).map_err(|error| Refusal::Library(error.to_string()))
}
