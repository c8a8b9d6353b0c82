//! Enter in the palette: what a key would do there, or what was typed.

use super::{contexts_below, keys, looks, over};
use crate::model::ModelName;
use crate::ui::command::Command;
use crate::ui::effect::Effect;
use crate::ui::pane::palette::{Choice, rows};
use crate::ui::pane::parameters::FieldName;
use crate::ui::state::State;

/// Does the chosen line. What cannot be done keeps the palette open and says why.
pub(super) fn take(state: &mut State) -> Vec<Effect> {
    let mut rows = rows(state.palette.text(), &state.keys, &contexts_below(state), state.language);
    let chosen = state.palette.chosen(rows.len());
    if rows.is_empty() {
        return Vec::new();
    }
    match rows.swap_remove(chosen).choice {
        Choice::Act(action) => {
            state.palette.close();
            keys::act(state, action)
        }
        Choice::Form(form) => {
            state.palette.set(&format!("{} ", form.name));
            Vec::new()
        }
        Choice::Wrong(why) => {
            state.palette.refuse(why);
            Vec::new()
        }
        Choice::Command(command) => match carry_out(state, command) {
            Ok(effects) => {
                state.palette.close();
                effects
            }
            Err(why) => {
                state.palette.refuse(why);
                Vec::new()
            }
        },
    }
}

fn carry_out(state: &mut State, command: Command) -> Result<Vec<Effect>, String> {
    match command {
        Command::Model(name) => choose_model(state, &name).map(|()| Vec::new()),
        Command::Set(fields) => set(state, fields).map(|()| Vec::new()),
        Command::Theme(name) => looks::keep_named(state, &name),
        Command::Layout(layout) => Ok(over::arrange_so(state, layout)),
        Command::Language(choice) => Ok(super::language::choose(state, choice)),
    }
}

fn choose_model(state: &mut State, name: &ModelName) -> Result<(), String> {
    let mut parameters = state.parameters.clone();
    parameters.commit();
    parameters.choose_model(name);
    if let Some(problem) = parameters.problem(FieldName::Model) {
        return Err(problem.message(state.language));
    }
    state.parameters = parameters;
    Ok(())
}

/// All of the fields, or none.
fn set(state: &mut State, fields: Vec<(FieldName, String)>) -> Result<(), String> {
    let mut parameters = state.parameters.clone();
    parameters.commit();
    let names: Vec<FieldName> = fields.iter().map(|(name, _)| *name).collect();
    fields.into_iter().for_each(|(name, text)| parameters.type_in(name, text));
    if let Some(problem) = names.into_iter().find_map(|name| parameters.problem(name)) {
        let message = problem.message(state.language);
        return Err(match problem.nearest {
            Some(nearest) => state.language.wrong_would_do(message, nearest),
            None => message,
        });
    }
    state.parameters = parameters;
    Ok(())
}
