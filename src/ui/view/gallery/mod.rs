//! The gallery: a line above, pictures, lines below. The grid is [`grid`], whole pictures are [`whole`], two compared are
//! [`compare`], its hints are [`hints`].

mod compare;
mod facts;
mod grid;
pub(super) mod hints;
mod whole;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::text;
use crate::ui::pane::gallery::{Gallery, Line, Mode, Purpose, write};
use crate::ui::picture::{Drawable, Protocol};
use crate::ui::state::State;
use crate::ui::terminal::screen::{Frame, Pixels};
use crate::ui::theme::Role;
use crate::ui::update::gallery_places;

/// Draws it into all of its room; its cursor and its pixels go into the frame.
pub(super) fn draw(state: &State, open: &Gallery, drawn: &mut Frame) {
    let places = gallery_places(state, open);
    match &open.mode {
        Mode::Grid => {
            head(state, open, places.head, &mut drawn.buffer);
            grid::draw(state, open, places.body, drawn);
            facts::draw(state, open, places.foot, &mut drawn.buffer);
        }
        Mode::View(picture) => {
            head(state, open, places.head, &mut drawn.buffer);
            whole::draw(state, open, (0, picture.id), places.body, drawn);
            facts::draw(state, open, places.foot, &mut drawn.buffer);
        }
        Mode::Compare(pair) => compare::draw(state, open, pair, &places, drawn),
    }
    if let Some(line) = &open.line {
        drawn.cursor = draw_line(state, line, places.head, &mut drawn.buffer);
    }
}

/// What was looked for, how many there are, and what can be taken back.
fn head(state: &State, open: &Gallery, area: Rect, buffer: &mut Buffer) {
    let (inner, language) = (padded(area), state.language);
    let undo = match state.gallery.trashed() {
        0 => String::new(),
        count => language.gallery_undo(hints::key(state, crate::ui::action::GalleryAction::Undo), count),
    };
    let taken = text::put_right(buffer, inner, &undo, state.style(Role::Dim));
    let found = &open.found;
    let inside = found.query().grid.map(|grid| language.gallery_inside(grid));
    let known = match found.query() == &crate::job::PictureQuery::default() {
        true => language.gallery_count(state.history.total()),
        false if found.is_complete() => language.gallery_count(found.pictures().len()),
        false => language.gallery_at_least(found.pictures().len()),
    };
    let query = write(found.query());
    let left = Rect { width: inner.width.saturating_sub(taken + u16::from(taken > 0)), ..inner };
    let texts = [
        (inside.as_deref().unwrap_or(language.gallery_title()), state.style(Role::TitleFocused)),
        ("  ", state.style(Role::Text)),
        (&known, state.style(Role::Dim)),
        ("  ", state.style(Role::Text)),
        (&query, state.style(Role::Accent)),
    ];
    text::put(buffer, left, &texts);
}

/// The line that is typed, its end in sight; gives back where the cursor is.
fn draw_line(state: &State, line: &Line, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let inner = padded(area);
    let label = match line.purpose {
        Purpose::Search => state.language.gallery_search(),
        Purpose::Tags(_) | Purpose::GridTags(_) => state.language.gallery_tags(),
    };
    let room = inner.width.saturating_sub(text::width(label) + 1);
    let mut shown = line.text.as_str();
    while text::width(shown) > room {
        let first = shown.chars().next()?;
        shown = &shown[first.len_utf8()..];
    }
    let blank = " ".repeat(usize::from(inner.width));
    text::put(buffer, inner, &[(&blank, state.style(Role::Text))]);
    let x = text::put(buffer, inner, &[(label, state.style(Role::Key)), (shown, state.style(Role::Text))]);
    Some(Position::new(x, inner.y))
}

fn padded(area: Rect) -> Rect {
    Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area }
}

/// Draws a picture in the middle of an area, if nothing that it would tear lies over it. Whether it is drawn.
fn picture(state: &State, (drawable, number): (&Drawable, u64), area: Rect, drawn: &mut Frame) -> bool {
    let Some(place) = drawable.place(area) else { return false };
    if state.is_covered() && drawable.protocol() != Protocol::HalfBlocks {
        return true;
    }
    drawable.draw(place, &mut drawn.buffer);
    if drawable.protocol().leaves_pixels() {
        drawn.pixels.push(Pixels { area: place, number });
    }
    true
}

/// A few words in the middle of an area.
fn say(state: &State, words: &str, role: Role, area: Rect, buffer: &mut Buffer) {
    let lines = text::wrap(words, area.width.saturating_sub(2), 4, state.look.glyphs.ellipsis);
    let top = area.height.saturating_sub(lines.len() as u16) / 2;
    for (row, line) in (top..).zip(&lines) {
        let row = text::row(area, row);
        let indent = row.width.saturating_sub(text::width(line)) / 2;
        let place = Rect { x: row.x + indent, width: row.width - indent, ..row };
        text::put(buffer, place, &[(line, state.style(role))]);
    }
}
