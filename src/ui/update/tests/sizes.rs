//! Journeys through the list of sizes.

use super::*;
use crate::job::costs::{Cost, CostsRequest};
use crate::ui::pane::overlay::Overlay;

fn opened() -> (Desk, CostsRequest) {
    let mut desk = Desk::connected();
    desk.key(KeyCode::Tab);
    let effects = desk.key(KeyCode::Char('a'));
    let asked = effects.iter().find_map(|effect| match effect {
        Effect::Ask(Question::Costs(asked)) => Some(asked.clone()),
        _ => None,
    });
    (desk, asked.expect("what they take is asked for"))
}

#[test]
fn a_shape_and_megapixels_become_width_and_height() {
    let (mut desk, asked) = opened();
    assert_eq!(asked.sizes.len(), 45, "all are asked about at once");
    // From 0.25 megapixels, the nearest to the model's size, to one; and from square to 3:2.
    for key in [KeyCode::Right, KeyCode::Right, KeyCode::Down, KeyCode::Down, KeyCode::Enter] {
        desk.key(key);
    }
    assert!(!desk.state.overlay.is_open());
    let text = |name| desk.state.parameters.text(name).to_owned();
    assert_eq!((text(FieldName::Width), text(FieldName::Height)), ("1248".to_owned(), "832".to_owned()));
}

#[test]
fn costs_stand_at_their_sizes_and_stale_ones_are_passed_over() {
    let (mut desk, asked) = opened();
    let cost = |size| Cost { size, seconds: Some(1.5), seen: true, peak: None, too_large: false };
    let costs: Vec<Cost> = asked.sizes.iter().map(|size| cost(*size)).collect();
    let stale = CostsRequest { steps: asked.steps + 1, ..asked.clone() };
    let known = |desk: &Desk| match &desk.state.overlay {
        Overlay::Sizes(list) => list.rows().iter().filter(|(.., cost)| cost.is_some()).count(),
        other => panic!("{other:?}"),
    };
    desk.event(Event::Answer(Answer::Costs { asked: stale, result: Ok(costs.clone()) }));
    assert_eq!(known(&desk), 0);
    desk.event(Event::Answer(Answer::Costs { asked, result: Ok(costs) }));
    assert_eq!(known(&desk), 9);
    desk.key(KeyCode::Esc);
    assert!(!desk.state.overlay.is_open());
}
