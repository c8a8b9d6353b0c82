//! The list of sizes with what they take, in both languages.

use crossterm::event::KeyCode::{Char, Down, Right, Tab};

use super::*;
use crate::job::costs::Cost;
use crate::ui::effect::{Effect, Question};

#[test]
fn shapes_with_what_they_take() {
    for (mut state, window, end) in studios(false, SMALL) {
        busy(&mut state, window);
        let mut press =
            |code: crossterm::event::KeyCode| take(&mut state, Event::Input(Input::Key(code.into())));
        press(Tab);
        let effects = press(Char('a'));
        let asked = effects.iter().find_map(|effect| match effect {
            Effect::Ask(Question::Costs(asked)) => Some(asked.clone()),
            _ => None,
        });
        let asked = asked.expect("what they take is asked for");
        for key in [Right, Right, Down] {
            press(key);
        }
        let cost = |(at, size): (usize, &Size)| Cost {
            size: *size,
            seconds: (at % 4 > 0).then_some(at as f64),
            seen: at % 2 == 0,
            peak: (at % 3 == 0).then_some(9_000_000_000),
            too_large: at % 7 == 6,
        };
        let costs = asked.sizes.iter().enumerate().map(cost).collect();
        take(&mut state, Event::Answer(Answer::Costs { asked, result: Ok(costs) }));
        insta::assert_snapshot!(format!("sizes{end}"), screen(&state));
    }
}
