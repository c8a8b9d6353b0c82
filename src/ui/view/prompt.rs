//! The prompt, how it fits the encoders, and the cursor.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::{frame, text};
use crate::ui::layout::{padded, prompt_text};
use crate::ui::pane::Pane;
use crate::ui::pane::prompt::Remark;
use crate::ui::state::State;
use crate::ui::theme::Role;

/// Draws the pane; gives back where the cursor is, if the prompt has the keys.
pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    frame::draw(state, area, Some(Pane::Prompt), &title(state), buffer);
    let inside = padded(area);
    let foot = state.prompt.foot_rows(inside.height);
    let text = prompt_text(area, foot);
    draw_text(state, text, buffer);
    draw_foot(state, Rect { y: text.bottom(), height: inside.bottom() - text.bottom(), ..inside }, buffer);
    let (column, row) = state.prompt.editor.cursor_cell();
    let place = |at: usize, from: u16, last: u16| from + u16::try_from(at).unwrap_or(0).min(last);
    let cursor = Position {
        x: place(column, text.x, text.width.saturating_sub(1)),
        y: place(row, text.y, text.height.saturating_sub(1)),
    };
    state.has_keys(Pane::Prompt).then_some(cursor)
}

/// `Prompt`, of which job if it is one's, and which rows are in view when not all are.
fn title(state: &State) -> String {
    let what = match &state.editing {
        Some(editing) => state.language.prompt_of_job(editing.id),
        None => state.language.prompt_title().to_owned(),
    };
    let (rows, first) = state.prompt.editor.scroll();
    let visible = state.prompt.editor.visible_rows().count();
    if rows > visible { state.language.prompt_rows(what, first + 1, first + visible, rows) } else { what }
}

fn draw_text(state: &State, area: Rect, buffer: &mut Buffer) {
    let editor = &state.prompt.editor;
    if editor.text().is_empty() {
        let hint = text::clip(state.language.prompt_hint(), area.width, state.look.glyphs.ellipsis);
        // The cursor stands on its first letter.
        text::put(buffer, area, &[(&hint, state.style(Role::Dim))]);
        return;
    }
    let unread_from = state.prompt.counts.cut_at(editor.version()).unwrap_or(usize::MAX);
    for (index, row) in (0..).zip(editor.visible_rows()) {
        let whole = &editor.text()[row.start..row.end];
        let split = unread_from.clamp(row.start, row.end) - row.start;
        let (read, unread) = whole.split_at_checked(split).unwrap_or((whole, ""));
        let texts = [(read, state.style(Role::Text)), (unread, state.style(Role::Unread))];
        text::put(buffer, text::row(area, index), &texts);
    }
}

/// The counts on the last line, what is to be said above it.
fn draw_foot(state: &State, area: Rect, buffer: &mut Buffer) {
    let remarks = state.prompt.remarks();
    // The counts keep their line as long as there are two; a single one goes to a remark.
    let counts_row = area.height > 1 || remarks.is_empty();
    let rows = area.height - u16::from(counts_row).min(area.height);
    for (index, remark) in (0..rows).zip(&remarks) {
        let row = text::row(area, index);
        let line = text::clip(&remark_text(state, *remark), row.width, state.look.glyphs.ellipsis);
        text::put(buffer, row, &[(&line, state.style(Role::Warning))]);
    }
    if counts_row && area.height > 0 {
        draw_counts(state, text::row(area, area.height - 1), buffer);
    }
}

fn draw_counts(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some((counts, fresh)) = state.prompt.counts.of(state.prompt.editor.version()) else { return };
    let mut x = area.x;
    let separator = format!(" {} ", state.look.glyphs.dot);
    for (index, count) in counts.iter().enumerate() {
        let role = match (fresh, count.tokens > count.limit) {
            (true, true) => Role::Warning,
            (true, false) => Role::Text,
            (false, _) => Role::Dim,
        };
        let numbers = format!("{}/{}", count.tokens, count.limit);
        let name = format!("{}{} ", if index > 0 { &*separator } else { "" }, count.encoder);
        let rest = Rect { x, width: area.right().saturating_sub(x), ..area };
        x = text::put(buffer, rest, &[(&name, state.style(Role::Dim)), (&numbers, state.style(role))]);
    }
    if state.prompt.words.has_choices() {
        let rest = Rect { x, width: area.right().saturating_sub(x), ..area };
        let told = format!("{separator}{}", state.language.prompt_at_most());
        if text::width(&told) <= rest.width {
            text::put(buffer, rest, &[(&told, state.style(Role::Dim))]);
        }
    }
}

fn remark_text(state: &State, remark: Remark<'_>) -> String {
    let (glyphs, language) = (&state.look.glyphs, state.language);
    let told = match remark {
        Remark::Cut { encoder, limit, text: unread, .. } => {
            let unread = text::clip(unread.trim_start(), 200, glyphs.ellipsis);
            language.remark_cut(encoder, limit, unread)
        }
        Remark::Wildcard(why) => why.to_owned(),
        Remark::Script { word, tokens } => {
            let word = text::clip(word, 12, glyphs.ellipsis);
            language.remark_script(word, tokens)
        }
        Remark::Long { tokens } => language.remark_long(tokens),
        Remark::Unknown { encoder, tokens } => language.remark_unknown(encoder, tokens),
    };
    format!("{} {told}", glyphs.warning)
}
