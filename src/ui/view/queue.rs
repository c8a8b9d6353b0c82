//! What is drawn, what waits, what failed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{frame, text};
use crate::ui::layout::{inside, padded};
use crate::ui::pane::Pane;
use crate::ui::state::State;
use crate::ui::theme::Role;
use crate::wire::message::{JobState, JobStatus, Stage};

pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let jobs = state.queue.jobs();
    let open = jobs.iter().filter(|job| !job.state.is_over()).count();
    let paused = if state.queue.paused { state.language.queue_paused() } else { "" };
    frame::draw(state, area, Some(Pane::Queue), &(state.language.queue_title(open) + paused), buffer);
    let rows = inside(area);
    if jobs.is_empty() {
        let hint = text::clip(state.language.queue_nothing(), padded(area).width, state.look.glyphs.ellipsis);
        text::put(buffer, padded(area), &[(&hint, state.style(Role::Dim))]);
    }
    let first = text::first_row(state.queue.chosen(), jobs.len(), rows.height);
    for (index, job) in jobs.iter().enumerate().skip(first).take(usize::from(rows.height)) {
        let row = text::row(rows, (index - first) as u16);
        let chosen = state.has_keys(Pane::Queue) && index == state.queue.chosen();
        draw_job(state, row, job, chosen, buffer);
    }
}

fn draw_job(state: &State, row: Rect, job: &JobStatus, chosen: bool, buffer: &mut Buffer) {
    let glyphs = &state.look.glyphs;
    let (sign, role) = match job.state {
        JobState::Running => (glyphs.pointer, Role::Accent),
        JobState::Failed { .. } => (glyphs.warning, Role::Error),
        _ => (" ", Role::Text),
    };
    if chosen {
        buffer.set_style(row, state.style(Role::Selection));
    }
    let over =
        |style: ratatui::style::Style| if chosen { style.patch(state.style(Role::Selection)) } else { style };
    let line = Rect { x: row.x, width: row.width.saturating_sub(1), ..row };
    let fact = fact(state, job);
    let taken = text::put_right(
        buffer,
        line,
        &fact,
        over(state.style(if role == Role::Error { role } else { Role::Dim })),
    );
    let left = Rect { width: line.width.saturating_sub(taken + 1), ..line };
    let prompt = text::clip(job.job.prompt.as_str(), left.width.saturating_sub(2), glyphs.ellipsis);
    text::put(
        buffer,
        left,
        &[
            (sign, over(state.style(role))),
            (" ", over(state.style(Role::Text))),
            (&prompt, over(state.style(Role::Text))),
        ],
    );
}

/// What is to be known of a job besides its prompt.
fn fact(state: &State, job: &JobStatus) -> String {
    let count = job.job.count();
    match &job.state {
        JobState::Failed { .. } => state.language.queue_failed().to_owned(),
        JobState::Running => {
            let step = match state.queue.progress_of(job.id).map(|progress| &progress.stage) {
                Some(Stage::Drawing { step, steps, .. }) => format!("{step}/{steps}"),
                _ => String::new(),
            };
            let picture = (job.done + 1).min(count);
            if count > 1 { format!("{step}  {}", state.language.picture_of(picture, count)) } else { step }
        }
        _ if count > 1 => format!("{}{count}", state.look.glyphs.times),
        _ => String::new(),
    }
}
