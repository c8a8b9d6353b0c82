//! The list of sizes: opened with what they take, and taken from.

use crate::job::costs::{Cost, CostsRequest};
use crate::ui::action::SizesAction;
use crate::ui::effect::{Effect, Question};
use crate::ui::pane::Pane;
use crate::ui::pane::overlay::Overlay;
use crate::ui::pane::sizes::SizeList;
use crate::ui::state::{Link, State};

pub(super) fn act(state: &mut State, action: SizesAction) -> Vec<Effect> {
    match (action, &mut state.overlay) {
        (SizesAction::Open, _) => return open(state),
        (SizesAction::More, Overlay::Sizes(list)) => list.turn(true),
        (SizesAction::Fewer, Overlay::Sizes(list)) => list.turn(false),
        (SizesAction::Take, Overlay::Sizes(list)) => {
            let size = list.chosen();
            state.overlay.close();
            size.into_iter().for_each(|size| state.parameters.take_size(size));
        }
        _ => {}
    }
    Vec::new()
}

/// Sizes can be chosen without a worker too: only what they take is not known then.
fn open(state: &mut State) -> Vec<Effect> {
    state.parameters.commit();
    match state.parameters.settings() {
        Ok(settings) => {
            let (model, load, steps) = (settings.model, settings.load, settings.steps);
            let device = settings.device;
            let loras = state.loras.drafted().on();
            let loras = loras.iter().map(|lora| lora.file().to_owned()).collect();
            let asked = CostsRequest { model, device, load, steps, loras, sizes: Vec::new() };
            let list = SizeList::new(asked, settings.size);
            let question = Question::Costs(list.asked.clone());
            state.overlay = Overlay::Sizes(Box::new(list));
            if state.worker.link == Link::Up { vec![Effect::Ask(question)] } else { Vec::new() }
        }
        Err(problem) => {
            super::focus(state, Pane::Parameters);
            state.parameters.choose(problem.field);
            state.notices.error(problem.message(state.language));
            Vec::new()
        }
    }
}

/// The worker has told what they take.
pub(super) fn answered(state: &mut State, asked: &CostsRequest, result: Result<Vec<Cost>, String>) {
    let costs = result.map_err(|reason| state.notices.warn(state.language.sizes_no_costs(reason)));
    if let (Overlay::Sizes(list), Ok(costs)) = (&mut state.overlay, costs)
        && list.asked == *asked
    {
        list.answered(costs);
    }
}
