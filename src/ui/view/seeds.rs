//! The seeds that were tried for the prompt, each with what is said of its picture.

use std::ops::Range;

use super::history;
use super::overlay::{Content, Row};
use crate::job::TriedSeed;
use crate::ui::pane::seeds::SeedList;
use crate::ui::state::State;
use crate::ui::theme::Role;

pub(super) fn content(state: &State, list: &SeedList, visible: Range<usize>) -> Content {
    let language = state.language;
    let title = match list.filter() {
        "" => language.seeds_title().to_owned(),
        filter => language.filtered(language.seeds_title(), filter),
    };
    let hint = match (list.is_known(), list.filter()) {
        (false, _) => language.seeds_looking(),
        (true, "") => language.seeds_none(),
        (true, _) => language.seeds_no_match(),
    };
    let rows = list.rows();
    let column =
        rows[visible.clone()].iter().map(|seed| seed.seed.to_string().len()).max().unwrap_or(0).max(10);
    let details = list
        .chosen()
        .map_or_else(Vec::new, |seed| vec![(state.marked(&seed.path.to_string_lossy()), Role::Dim)]);
    let rows = rows[visible].iter().map(|seed| row(state, seed, column)).collect();
    Content { title, hint, rows, details }
}

fn row(state: &State, seed: &TriedSeed, column: usize) -> Row {
    let mut marks = history::marks_of(state, seed.rating, seed.favourite, seed.missing);
    if seed.trashed {
        marks += &format!("{} ", state.language.seeds_trashed());
    }
    let role = if seed.missing { Role::Error } else { Role::Accent };
    let (width, height) = (seed.size.width(), seed.size.height());
    let left = vec![(format!("{:>column$}  ", seed.seed), Role::Text), (marks, role)];
    Row { left, right: format!("{width}{}{height}  {}", state.look.glyphs.times, seed.model) }
}
