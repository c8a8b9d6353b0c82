//! The form of a grid: both axes, and below what it comes to, or what is wrong with it.

use super::overlay::{Content, Row};
use crate::job::grid::Parameter;
use crate::ui::pane::grid::{GridForm, Row as Place, expected};
use crate::ui::state::State;
use crate::ui::theme::Role;

pub(super) fn content(state: &State, form: &GridForm) -> Content {
    let language = state.language;
    let row = |place: &Place| {
        let (name, value) = match *place {
            Place::Parameter(axis) => {
                let name = if axis == 0 { language.grid_across() } else { language.grid_down() };
                let value = form.parameter(axis);
                let value = value.map_or_else(|| language.grid_nothing().to_owned(), |it| named(state, it));
                (name, value)
            }
            Place::Values(axis) => (language.grid_values(), form.values(axis)),
        };
        let width = [language.grid_across(), language.grid_down(), language.grid_values()]
            .map(super::text::width)
            .into_iter()
            .max()
            .unwrap_or(0);
        let pad = usize::from(width - super::text::width(name)) + 2;
        let name = format!("{name}{}", " ".repeat(pad));
        Row { left: vec![(name, Role::Dim), (value, Role::Text)], right: String::new() }
    };
    let rows = GridForm::ROWS.iter().map(row).collect();
    let details = match form.order() {
        Err(error) => vec![(language.grid_error(&error), Role::Error)],
        Ok(order) => {
            let count = language.grid_count(order.cells(), order.columns(), order.rows());
            let time = match expected(&order, state.history.pictures().iter()) {
                Some(seconds) => language.grid_seconds(format_args!("{seconds:.0}")),
                None => language.grid_unknown_time().to_owned(),
            };
            vec![(count, Role::Text), (time, Role::Dim)]
        }
    };
    Content { title: language.grid_title().to_owned(), hint: "", rows, details }
}

fn named(state: &State, parameter: &Parameter) -> String {
    match parameter {
        Parameter::Prompt(choice) => choice.clone(),
        other => state.language.axis(other),
    }
}
