//! The pictures that were drawn, newest first: seed, what is said of them, and prompt.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{frame, text};
use crate::job::{Picture, Rating};
use crate::ui::layout::{inside, padded};
use crate::ui::pane::Pane;
use crate::ui::state::State;
use crate::ui::theme::Role;

pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let history = &state.history;
    frame::draw(state, area, Some(Pane::History), &state.language.history_title(history.total()), buffer);
    let rows = inside(area);
    let pictures = history.pictures();
    if pictures.is_empty() {
        let hint = text::clip(state.language.history_hint(), padded(area).width, state.look.glyphs.ellipsis);
        text::put(buffer, padded(area), &[(&hint, state.style(Role::Dim))]);
        return;
    }
    let first = text::first_row(history.chosen(), pictures.len(), rows.height);
    let visible = pictures.iter().skip(first).take(usize::from(rows.height));
    let seeds: Vec<String> = visible.clone().map(|picture| picture.recipe.seed.to_string()).collect();
    // Seeds of the usual 32 bits have their place; longer ones push the prompts aside.
    let column = seeds.iter().map(|seed| text::width(seed)).max().unwrap_or(0).max(10);
    for (index, (picture, seed)) in (0..).zip(visible.zip(&seeds)) {
        let row = text::row(rows, index);
        let chosen = state.has_keys(Pane::History) && first + usize::from(index) == history.chosen();
        let over = |role| {
            let style = state.style(role);
            if chosen { style.patch(state.style(Role::Selection)) } else { style }
        };
        if chosen {
            buffer.set_style(row, state.style(Role::Selection));
        }
        let sign = if chosen { state.look.glyphs.pointer } else { " " };
        let indent = " ".repeat(usize::from(column - text::width(seed)));
        let marks = marks(state, picture);
        let rest = row.width.saturating_sub(column + 5 + text::width(&marks));
        let prompt = text::clip(picture.recipe.prompt.as_str(), rest, state.look.glyphs.ellipsis);
        let texts = [
            (sign, over(Role::Accent)),
            (" ", over(Role::Text)),
            (&*indent, over(Role::Dim)),
            (&**seed, over(Role::Dim)),
            ("  ", over(Role::Text)),
            (&*marks, over(if picture.missing { Role::Error } else { Role::Accent })),
            (&*prompt, over(Role::Text)),
        ];
        text::put(buffer, row, &texts);
    }
}

/// What is said of a picture, and that its file is not there: nothing of most.
pub(super) fn marks(state: &State, picture: &Picture) -> String {
    let marked = state.gallery.marked.as_ref().is_some_and(|marked| marked.id == picture.id);
    let marks = marks_of(state, picture.marks.rating, picture.marks.favourite, picture.missing);
    if marked { format!("A {marks}") } else { marks }
}

pub(super) fn marks_of(state: &State, rating: Rating, favourite: bool, missing: bool) -> String {
    let glyphs = &state.look.glyphs;
    let mut marks = String::new();
    if rating.get() > 0 {
        marks += &format!("{}{} ", rating.get(), glyphs.star);
    }
    if favourite {
        marks += &format!("{} ", glyphs.favourite);
    }
    if missing {
        marks += &format!("{} ", state.language.history_missing());
    }
    marks
}
