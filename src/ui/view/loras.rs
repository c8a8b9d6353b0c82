//! The picker of LoRAs, over the panes: a row a LoRA, and below what its file says of itself. And the draft's list in one
//! line, for the parameters.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect, Size};
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::listing::{self, DETAIL, Places};
use super::{frame, text};
use crate::ui::pane::loras::Row;
use crate::ui::state::State;
use crate::ui::terminal::screen::{Frame, Pixels};
use crate::ui::theme::Role;

/// The least rows that the picker has where there is room for them.
const LEAST: u16 = 12;
/// The same where there are pictures.
const LEAST_PICTURED: u16 = 18;
/// Narrower, a picture shows nothing.
const PICTURE: u16 = 16;
/// Nor may it leave less to the list.
const LIST: u16 = 40;
/// Cells for the name.
const NAME: u16 = 34;

/// Where the picker is, and where in it pictures are: nowhere where no LoRA has one, or where there is no room.
fn places(state: &State) -> (Places, Rect) {
    // So many rows whatever the filter lets through: the border stands still while it is typed.
    let rows = state.loras.known().map_or(0, |(known, _)| known) + state.loras.drafted().all().len();
    let pictures = state.loras.have_pictures();
    let least = if pictures { LEAST_PICTURED } else { LEAST };
    let needed = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(DETAIL + 3).max(least);
    let mut places = listing::places(state, needed);
    let Places { list, detail, .. } = &mut places;
    let height = detail.bottom().saturating_sub(list.y);
    // Cells are about twice as high as they are wide.
    let width = (list.width * 2 / 5).min(height * 2);
    if !pictures || width < PICTURE || list.width < width + 2 + LIST {
        return (places, Rect::ZERO);
    }
    let picture = Rect { x: list.right() - width, y: list.y, width, height };
    list.width -= width + 2;
    detail.width -= width + 2;
    (places, picture)
}

/// The cells there are for a picture.
#[must_use]
pub fn lora_picture_room(state: &State) -> Size {
    let (_, Rect { width, height, .. }) = places(state);
    Size::new(width, height)
}

/// Draws the picture of the chosen LoRA, unless something lies over the picker.
pub(super) fn draw_picture(state: &State, drawn: &mut Frame) {
    let (_, area) = places(state);
    let key = state.loras.picture_key(0);
    let shown = key.and_then(|key| state.loras.pictures.shown(&key));
    let (Some((drawable, number)), false) = (shown, state.is_picker_covered()) else { return };
    let Some(place) = drawable.place(area) else { return };
    drawable.draw(place, &mut drawn.buffer);
    if drawable.protocol().leaves_pixels() {
        drawn.pixels.push(Pixels { area: place, number });
    }
}

/// Rows of the list that are in view.
#[must_use]
pub fn loras_page(state: &State) -> usize {
    usize::from(places(state).0.list.height)
}

/// The row of the list at a cell.
#[must_use]
pub fn lora_at(state: &State, position: Position) -> Option<usize> {
    let list = places(state).0.list;
    let first = text::first_row(state.loras.chosen_row(), state.loras.len(), list.height);
    list.contains(position).then(|| first + usize::from(position.y - list.y))
}

/// `ink 0.8 · soft 0.5 off`: what the draft has.
pub(super) fn drafted(state: &State) -> Option<String> {
    let drafted = state.loras.drafted().all();
    let one =
        drafted.iter().map(|drafted| format!("{} {}", drafted.lora.name(), drafted.amount(state.language)));
    let all = one.collect::<Vec<_>>().join(&format!(" {} ", state.look.glyphs.dot));
    (!drafted.is_empty()).then_some(all)
}

pub(super) fn draw(state: &State, buffer: &mut Buffer) {
    let (Places { area, list, detail }, _) = places(state);
    Clear.render(area, buffer);
    buffer.set_style(area, state.style(Role::Screen));
    let title = match state.loras.filter() {
        "" => state.language.loras_title().to_owned(),
        filter => state.language.filtered(state.language.loras_title(), filter),
    };
    frame::draw(state, area, None, &title, buffer);
    frame::foot(state, area, &drafted(state).unwrap_or_default(), buffer);
    frame::highlight(state, area, buffer);
    let ellipsis = state.look.glyphs.ellipsis;
    let Some(chosen) = state.loras.chosen() else {
        for (row, line) in (0..).zip(text::wrap(none(state), list.width, 3, ellipsis)) {
            text::put(buffer, text::row(list, row), &[(&line, state.style(Role::Dim))]);
        }
        return;
    };
    let at = state.loras.chosen_row();
    let first = text::first_row(at, state.loras.len(), list.height);
    for (row, lora) in (0..list.height).zip(state.loras.rows(first)) {
        draw_row(state, text::row(list, row), &lora, first + usize::from(row) == at, buffer);
    }
    let mut row = 0;
    for (line, role) in details(state, &chosen) {
        let left = usize::from(detail.height.saturating_sub(row));
        for line in text::wrap(&line, detail.width, left, ellipsis) {
            text::put(buffer, text::row(detail, row), &[(&line, state.style(role))]);
            row += 1;
        }
    }
}

/// Why there is no row.
fn none(state: &State) -> &'static str {
    match state.loras.known() {
        None => state.language.loras_looking(),
        Some((0, _)) => state.language.loras_none(),
        Some(_) => state.language.loras_no_match(),
    }
}

fn draw_row(state: &State, row: Rect, lora: &Row<'_>, chosen: bool, buffer: &mut Buffer) {
    let glyphs = &state.look.glyphs;
    let over = |role| {
        let style = state.style(role);
        if chosen { style.patch(state.style(Role::Selection)) } else { style }
    };
    if chosen {
        buffer.set_style(row, state.style(Role::Selection));
    }
    let sign = match lora.drafted {
        Some(drafted) if drafted.on => glyphs.active,
        Some(_) => glyphs.idle,
        None => " ",
    };
    let (words, role) = standing(state, lora);
    let taken = text::put_right(buffer, row, &words, over(role));
    let left = Rect { width: row.width.saturating_sub(taken + 2), ..row };
    let title = lora.info.and_then(|info| info.known()?.title.as_deref()).unwrap_or_default();
    let room = if title.is_empty() { left.width.saturating_sub(2) } else { NAME.min(left.width / 2) };
    let name = text::clip(lora.name(), room, glyphs.ellipsis);
    text::put(buffer, left, &[(sign, over(Role::Accent)), (" ", Style::new()), (&name, over(Role::Text))]);
    let beside = Rect { x: left.x + 2 + NAME, width: left.width.saturating_sub(2 + NAME), ..left };
    let title = text::clip(title, beside.width, glyphs.ellipsis);
    text::put(buffer, beside, &[(&title, over(Role::Dim))]);
}

/// How much of it the draft has, or else what it is, in a few words.
fn standing(state: &State, lora: &Row<'_>) -> (String, Role) {
    let language = state.language;
    match (lora.drafted, lora.info.map(|info| (&info.facts, info.bytes))) {
        (_, Some((Some(Err(_)), _))) => (language.loras_unusable().to_owned(), Role::Warning),
        (Some(drafted), None) if state.loras.known().is_some() => {
            (language.loras_lost(drafted.amount(language)), Role::Warning)
        }
        (Some(drafted), _) => (drafted.amount(language), if drafted.on { Role::Accent } else { Role::Dim }),
        (None, Some((_, bytes))) => (text::decimal(bytes), Role::Dim),
        (None, None) => (String::new(), Role::Dim),
    }
}

/// What there is to say of the chosen LoRA, each with its role.
fn details(state: &State, lora: &Row<'_>) -> Vec<(String, Role)> {
    let dot = state.look.glyphs.dot;
    let Some(info) = lora.info else {
        let file = lora.drafted.map(|drafted| drafted.lora.file()).unwrap_or_default();
        return vec![(file.to_owned(), Role::Dim)];
    };
    let path = (state.marked(&info.path), Role::Dim);
    let facts = match &info.facts {
        Some(Ok(facts)) => facts,
        Some(Err(reason)) => return vec![(reason.clone(), Role::Warning), path],
        None => return vec![(text::decimal(info.bytes), Role::Text), path],
    };
    let mut said = vec![(format!("{} {dot} {}", facts.what(), text::decimal(info.bytes)), Role::Text)];
    let words: Vec<_> = lora.words().collect();
    if !words.is_empty() {
        said.push((state.language.loras_words(words.join(", ")), Role::Accent));
    }
    let beside = info.picture.as_ref().and_then(|picture| picture.rsplit('/').next());
    let beside = beside
        .map_or_else(String::new, |picture| format!(" {dot} {}", state.language.loras_picture(picture)));
    said.push((path.0 + &beside, path.1));
    let more = state.loras.known().map_or(0, |(_, left_out)| left_out);
    if more > 0 {
        said.push((state.language.loras_left_out(more), Role::Warning));
    }
    said
}
