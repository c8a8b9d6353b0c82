//! The help: every line of the keymap, by where it applies.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::{frame, text};
use crate::ui::keymap::{Context, KeyLine};
use crate::ui::layout::padded;
use crate::ui::state::State;
use crate::ui::theme::Role;

/// Cells for the keys, before what they mean.
const KEYS: u16 = 28;
/// The widest that the help becomes.
const WIDTH: u16 = 76;

/// Lines of the help in all.
#[must_use]
pub fn help_rows(state: &State) -> usize {
    lines(state).count()
}

enum Line<'s> {
    Title(Context),
    Binding(&'s KeyLine),
    Blank,
}

fn lines(state: &State) -> impl Iterator<Item = Line<'_>> {
    Context::ALL.into_iter().flat_map(|context| {
        let bindings = state.keys.of(context).map(Line::Binding);
        std::iter::once(Line::Title(context)).chain(bindings).chain(std::iter::once(Line::Blank))
    })
}

pub(super) fn draw(state: &State, first: usize, buffer: &mut Buffer) {
    let whole = buffer.area;
    let width = whole.width.saturating_sub(4).min(WIDTH);
    let height = whole.height.saturating_sub(3).min(help_rows(state) as u16 + 1);
    let area = Rect { x: whole.x + (whole.width - width) / 2, y: whole.y + 1, width, height };
    Clear.render(area, buffer);
    buffer.set_style(area, state.style(Role::Screen));
    frame::draw(state, area, None, state.language.help_title(), buffer);
    let inside = padded(area);
    let first = first.min(help_rows(state).saturating_sub(usize::from(inside.height)));
    for (index, line) in (0..).zip(lines(state).skip(first).take(usize::from(inside.height))) {
        let row = text::row(inside, index);
        match line {
            Line::Blank => {}
            Line::Title(context) => {
                text::put(
                    buffer,
                    row,
                    &[(state.language.phrase(context.title()), state.style(Role::Accent))],
                );
            }
            Line::Binding(binding) => draw_binding(state, row, binding, buffer),
        }
    }
}

fn draw_binding(state: &State, row: Rect, binding: &KeyLine, buffer: &mut Buffer) {
    let mut names: Vec<String> = binding.keys.iter().map(|chord| chord.name()).collect();
    // Terminals send Shift-Tab in two ways; it is one key.
    names.dedup();
    let column = KEYS.min(row.width / 2);
    let keys = text::clip(&names.join("  "), column.saturating_sub(1), state.look.glyphs.ellipsis);
    text::put(buffer, row, &[("  ", Style::new()), (&keys, state.style(Role::Key))]);
    let rest = Rect { x: row.x + column + 2, width: row.width.saturating_sub(column + 2), ..row };
    let what = text::clip(state.language.phrase(binding.help), rest.width, state.look.glyphs.ellipsis);
    text::put(buffer, rest, &[(&what, state.style(Role::Text))]);
}
