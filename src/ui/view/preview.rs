//! The picture, or what to do to get one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{frame, text};
use crate::ui::action::Action;
use crate::ui::keymap::Context;
use crate::ui::layout::inside;
use crate::ui::picture::Subject;
use crate::ui::state::{Link, State};
use crate::ui::terminal::screen::Pixels;
use crate::ui::theme::Role;
use crate::wire::message::{JobStatus, Progress, Stage};

/// Draws the pane; gives back where pixels lie that outlive the cells over them.
pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) -> Option<Pixels> {
    frame::draw(state, area, None, state.language.preview_title(), buffer);
    let room = inside(area);
    if let Some(why) = state.preview.failure() {
        message(state, room, &[(why, Role::Error)], buffer);
        return None;
    }
    let Some(shown) = state.preview.shown() else {
        nothing_yet(state, room, buffer);
        return None;
    };
    let drawable = &shown.drawable;
    let place = drawable.place(room)?;
    frame::foot(state, area, &caption(state, shown.subject), buffer);
    let outlives = drawable.protocol().leaves_pixels();
    // What lies over the panes lies over the picture; graphics would shine through or be torn by it.
    let covered = state.is_covered();
    let blocks = drawable.protocol() == crate::ui::picture::Protocol::HalfBlocks;
    if covered && !blocks {
        return None;
    }
    drawable.draw(place, buffer);
    outlives.then_some(Pixels { area: place, number: shown.number() })
}

/// What the picture is, below it.
fn caption(state: &State, subject: Subject) -> String {
    let glyphs = &state.look.glyphs;
    let dot = glyphs.dot;
    match subject {
        Subject::Picture(id) => {
            let Some(picture) = state.history.find(id) else { return String::new() };
            let recipe = &picture.recipe;
            let times = &recipe.times;
            let seconds = times.encode + times.denoise + times.decode;
            format!(
                "{} {dot} {}{}{} {dot} {} {dot} {} {dot} {}",
                recipe.seed,
                recipe.size.width(),
                glyphs.times,
                recipe.size.height(),
                state.language.recipe_steps(recipe.steps),
                state.language.preview_seconds(format_args!("{seconds:.1}")),
                state.marked(&picture.path.to_string_lossy())
            )
        }
        Subject::Sheet { grid, .. } => {
            let of_it = |job: &&JobStatus| job.job.cell.is_some_and(|cell| cell.grid == grid);
            let left = state.queue.jobs().iter().filter(of_it).filter(|job| !job.state.is_over()).count();
            let axes = state.preview.sheet().map(|sheet| sheet.grid.order.to_string()).unwrap_or_default();
            let left = if left == 0 {
                state.language.grid_complete().to_owned()
            } else {
                state.language.grid_left(left)
            };
            format!("{} {dot} {left} {dot} {axes}", state.language.grid_caption(grid))
        }
        // The picker's, which has no caption.
        Subject::Lora(_) => String::new(),
        Subject::Preview { job, index, step } => {
            let is_it = |now: &&Progress| (now.job, now.index) == (job, index);
            let progress = state.queue.progress().iter().find(is_it);
            let mut caption = progress.map_or_else(String::new, |now| format!("{} {dot} ", now.seed));
            caption.push_str(&state.language.preview_step(step));
            if let Some(Stage::Drawing { sigma, .. }) = progress.map(|now| &now.stage) {
                caption.push_str(&format!(" {dot} {} {sigma:.3}", glyphs.sigma));
            }
            caption
        }
    }
}

/// Empty states say what to do.
fn nothing_yet(state: &State, room: Rect, buffer: &mut Buffer) {
    let busy = !state.queue.progress().is_empty() || !state.worker.unsent.is_empty();
    let language = state.language;
    let draw = (language.preview_type(), Role::Dim);
    if let Link::Down { .. } = state.worker.link {
        message(state, room, &[(language.preview_no_worker(), Role::Text)], buffer);
    } else if state.preview.wanted().is_some() {
        // It is being fetched; a word here would only flash.
    } else if busy {
        message(state, room, &[(language.preview_appears(), Role::Dim)], buffer);
    } else if state.worker.link == Link::Up && state.history.total() == 0 {
        let ready = (language.preview_no_setup(), Role::Text);
        let key = state.keys.key_name(&[Context::Everywhere], Action::Models).unwrap_or_default();
        let others = language.preview_models(key);
        let tour = super::over::tour(state);
        let tour = tour.iter().map(|line| (line.as_str(), Role::Dim));
        let others = [ready, draw, (&*others, Role::Dim)].into_iter();
        message(state, room, &others.chain(tour).collect::<Vec<_>>(), buffer);
    } else {
        message(state, room, &[draw], buffer);
    }
}

/// A few centred lines.
fn message(state: &State, room: Rect, texts: &[(&str, Role)], buffer: &mut Buffer) {
    let width = room.width.saturating_sub(4);
    let wrapped = texts.iter().flat_map(|(words, role)| {
        let lines = text::wrap(words, width, 6, state.look.glyphs.ellipsis);
        lines.into_iter().map(|line| (line, *role))
    });
    let lines: Vec<_> = wrapped.collect();
    let top = room.height.saturating_sub(lines.len() as u16) / 2;
    for (index, (line, role)) in (top..).zip(&lines) {
        let row = text::row(room, index);
        let indent = room.width.saturating_sub(text::width(line)) / 2;
        let place = Rect { x: row.x + indent, width: row.width - indent, ..row };
        text::put(buffer, place, &[(line, state.style(*role))]);
    }
}
