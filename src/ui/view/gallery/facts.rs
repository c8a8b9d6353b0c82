//! What there is to say of the picture that keys are about: its prompt, and a line of facts or what came of the last key.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::padded;
use crate::job::{Picture, Tag};
use crate::ui::pane::gallery::{Gallery, Mode, SeenGrid};
use crate::ui::state::State;
use crate::ui::theme::Role;
use crate::ui::view::{history, text};

pub(super) fn draw(state: &State, open: &Gallery, area: Rect, buffer: &mut Buffer) {
    let ellipsis = state.look.glyphs.ellipsis;
    let first = padded(text::row(area, 0));
    let second = padded(text::row(area, 1));
    let target = open.target();
    if let Some(picture) = target {
        let prompt = text::clip(picture.recipe.prompt.as_str(), first.width, ellipsis);
        text::put(buffer, first, &[(&prompt, state.style(Role::Text))]);
    }
    let (words, role) = match (&open.said, target) {
        (Some(said), _) => (said.clone(), Role::Accent),
        (None, Some(picture)) => match open.target_grid() {
            Some(grid) => (grid_facts(state, grid), Role::Dim),
            None => (facts(state, open, picture), Role::Dim),
        },
        (None, None) => return,
    };
    let place = if second.is_empty() { first } else { second };
    let words = text::clip(&words, place.width, ellipsis);
    text::put(buffer, place, &[(&words, state.style(role))]);
}

/// On one line: what is said of a grid as a whole, and where its sheet is.
fn grid_facts(state: &State, grid: SeenGrid<'_>) -> String {
    let marks = history::marks_of(state, grid.of.rating, grid.of.favourite, false);
    let mut facts = Vec::new();
    facts.extend((!marks.is_empty()).then(|| marks.trim_end().to_owned()));
    facts.push(state.language.gallery_grid(grid.of.grid, grid.count()));
    facts.push(grid.first.recipe.model.to_string());
    let tags = grid.tags();
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    facts.extend((!tags.is_empty()).then(|| tags.join(", ")));
    facts.push(state.marked(&grid.of.sheet.to_string_lossy()));
    facts.join(&format!(" {} ", state.look.glyphs.dot))
}

/// On one line: what it was drawn with, and where it is.
fn facts(state: &State, open: &Gallery, picture: &Picture) -> String {
    let glyphs = &state.look.glyphs;
    let recipe = &picture.recipe;
    let mut facts = Vec::new();
    if let (Mode::View(_), false) = (&open.mode, open.zoom.is_whole()) {
        facts.push(format!("{} %", open.zoom.percent()));
    }
    let marks = history::marks(state, picture);
    facts.extend((!marks.is_empty()).then(|| marks.trim_end().to_owned()));
    facts.extend(open.values(picture));
    facts.push(recipe.seed.to_string());
    facts.push(format!("{}{}{}", recipe.size.width(), glyphs.times, recipe.size.height()));
    facts.push(state.language.gallery_steps(recipe.steps));
    facts.push(recipe.model.to_string());
    let tags: Vec<&str> = picture.marks.tags.iter().map(Tag::as_str).collect();
    facts.extend((!tags.is_empty()).then(|| tags.join(", ")));
    facts.push(state.marked(&picture.path.to_string_lossy()));
    facts.join(&format!(" {} ", glyphs.dot))
}
