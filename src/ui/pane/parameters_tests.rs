//! The parameters: defaults, typing, changing, what is wrong and the nearest that is right.

use super::*;
use crate::model::{Defaults, TextLimits};

fn model(name: &str, side: u32, steps: u32) -> ModelInfo {
    ModelInfo {
        name: ModelName::new(name),
        about: String::new(),
        defaults: Defaults { size: Size::new(side, side).expect("a size"), steps, guidance: 3.5 },
        limits: TextLimits { t5: 64, clip: 77 },
        license: String::new(),
    }
}

fn pane() -> ParametersPane {
    let mut pane = ParametersPane::new(JobDefaults::default());
    pane.offer(vec![model("nano", 128, 20), model("dev", 1024, 28)]);
    pane
}

fn typed(pane: &mut ParametersPane, name: FieldName, text: &str) {
    pane.choose(name);
    for letter in text.chars() {
        pane.type_character(letter);
    }
    pane.commit();
}

#[test]
fn the_models_defaults_are_taken_until_a_field_is_touched() {
    let mut pane = pane();
    typed(&mut pane, FieldName::Steps, "12");
    pane.choose(FieldName::Model);
    pane.change(1);
    let settings = pane.settings().expect("all is right");
    assert_eq!((settings.model.as_str(), settings.size.width(), settings.steps), ("dev", 1024, 12));
}

#[test]
fn the_persons_defaults_come_before_the_models() {
    let mut pane = ParametersPane::new(JobDefaults { steps: Some(8), ..JobDefaults::default() });
    assert_eq!((pane.text(FieldName::Steps), pane.text(FieldName::Width)), ("8", ""));
    pane.offer(vec![model("nano", 128, 20)]);
    assert_eq!((pane.text(FieldName::Steps), pane.text(FieldName::Width)), ("8", "128"));
}

#[test]
fn a_wrong_value_stays_as_typed_with_the_nearest_that_works() {
    for (name, text, nearest) in [
        (FieldName::Width, "100", "96"),
        (FieldName::Height, "0", "16"),
        (FieldName::Width, "4000", "2048"),
        (FieldName::Steps, "0", "1"),
        (FieldName::Steps, "201", "200"),
        (FieldName::Steps, "99999999999", "200"),
        (FieldName::Guidance, "101", "100.0"),
        (FieldName::Guidance, "1.2.3", "3.5"),
        (FieldName::Seed, "18446744073709551616", "-1"),
        (FieldName::Count, "0", "1"),
    ] {
        let mut pane = pane();
        typed(&mut pane, name, text);
        assert_eq!(pane.text(name), text);
        let problem = pane.problem(name).unwrap_or_else(|| panic!("{name:?} {text} is wrong"));
        assert_eq!(problem.nearest.as_deref(), Some(nearest), "{name:?} {text}");
        assert_eq!(pane.settings().expect_err("it cannot be drawn").field, name);
        pane.change(1);
        assert_eq!(pane.text(name), nearest, "an arrow takes the nearest");
        assert!(pane.settings().is_ok());
    }
}

#[test]
fn while_a_number_is_typed_it_is_not_called_wrong() {
    let mut pane = pane();
    pane.choose(FieldName::Width);
    pane.type_character('2');
    assert_eq!(pane.problem(FieldName::Width), None);
    pane.type_character('5');
    pane.type_character('6');
    pane.choose_next(true);
    assert_eq!(pane.settings().expect("all is right").size.width(), 256);
}

#[test]
fn seeds_up_to_the_last_are_kept_exactly() {
    let mut pane = pane();
    typed(&mut pane, FieldName::Seed, "18446744073709551615");
    assert_eq!(pane.settings().expect("right").seed, Seed::Fixed(u64::MAX));
    typed(&mut pane, FieldName::Seed, "-1");
    assert_eq!(pane.settings().expect("right").seed, Seed::Random);
    typed(&mut pane, FieldName::Seed, "");
    pane.backspace();
    pane.backspace();
    pane.commit();
    assert_eq!(pane.settings().expect("right").seed, Seed::Random, "an emptied field is its default");
}

#[test]
fn budgets_go_down_a_card_and_up_to_all_that_is_free() {
    let mut pane = pane();
    let total = 12 << 30;
    let mut step = |more| {
        pane.change_budget(more, total);
        let load = pane.settings().expect("all is right").load;
        assert_eq!(load.vram_budget, pane.budget());
        pane.budget().map(|VramBudget(bytes)| bytes >> 30)
    };
    let down: Vec<_> = (0..10).map(|_| step(false)).collect();
    assert_eq!(
        down,
        [11, 10, 9, 8, 7, 6, 5, 4, 2, 2].map(Some),
        "not as much as the card has, and not nothing"
    );
    let up: Vec<_> = (0..10).map(|_| step(true)).collect();
    assert_eq!(up, [Some(4), Some(5), Some(6), Some(7), Some(8), Some(9), Some(10), Some(11), None, None]);
}

#[test]
fn arrows_keep_every_field_in_its_range() {
    let mut pane = pane();
    for name in FieldName::ALL {
        pane.choose(name);
        for by in [1000, -100_000, -1, 1] {
            pane.change(by);
            assert!(pane.settings().is_ok(), "{name:?} by {by}: {:?}", pane.text(name));
        }
    }
}
