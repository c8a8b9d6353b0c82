//! The parameters, on as many lines as there are: what is wrong is said below them.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};

use super::{frame, loras, text};
use crate::job::SIZE_MAX;
use crate::ui::layout::padded;
use crate::ui::pane::Pane;
use crate::ui::pane::parameters::FieldName::{self, Count, Guidance, Height, Model, Seed, Steps, Width};
use crate::ui::state::State;
use crate::ui::theme::Role;

/// From so many rows on the draft's LoRAs have one; with less room they are in the title.
const WITH_LORAS: u16 = 3;

/// Cells of the labels that begin lines.
const COLUMN: usize = 10;

/// A piece of a line.
enum Piece {
    /// Words between fields.
    Label(String),
    /// Words that are left out when they do not fit whole.
    Extra(String),
    /// Words that are no field.
    Words(String),
    /// A field's value.
    Value(FieldName, String),
}

/// Draws the pane; gives back where the cursor is, if a value is being typed.
pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let drafted = loras::drafted(state).filter(|_| padded(area).height < WITH_LORAS);
    let title = drafted.map_or_else(String::new, |drafted| format!(" {} {drafted}", state.look.glyphs.dot));
    frame::draw(
        state,
        area,
        Some(Pane::Parameters),
        &(state.language.parameters_title().to_owned() + &title),
        buffer,
    );
    let inside = padded(area);
    let mut cursor = None;
    for (index, line) in (0..).zip(lines(state, inside)) {
        let row = text::row(inside, index);
        let mut x = row.x;
        for piece in line {
            let rest = Rect { x, width: row.right().saturating_sub(x), ..row };
            x = match &piece {
                Piece::Extra(words) if text::width(words) > rest.width => x,
                Piece::Label(words) | Piece::Extra(words) => {
                    text::put(buffer, rest, &[(words, state.style(Role::Dim))])
                }
                Piece::Words(words) => text::put(buffer, rest, &[(words, state.style(Role::Text))]),
                Piece::Value(name, value) => text::put(buffer, rest, &[(value, value_style(state, *name))]),
            };
            if matches!(piece, Piece::Value(name, _) if name == state.parameters.chosen()) && row.height > 0 {
                cursor = Some(Position::new(x.min(row.right().saturating_sub(1)), row.y));
            }
        }
    }
    draw_problem(state, inside, buffer);
    cursor.filter(|_| state.has_keys(Pane::Parameters) && state.parameters.is_editing())
}

/// The field whose value is at a cell.
#[must_use]
pub fn field_at(state: &State, inside: Rect, position: Position) -> Option<FieldName> {
    let line = lines(state, inside).into_iter().nth(usize::from(position.y.checked_sub(inside.y)?))?;
    let mut x = inside.x;
    let mut last = None;
    for piece in line {
        let (width, name) = match &piece {
            Piece::Label(words) | Piece::Extra(words) | Piece::Words(words) => (text::width(words), None),
            Piece::Value(name, value) => (text::width(value), Some(*name)),
        };
        // A label belongs to the value behind it.
        last = name.or(last);
        if position.x < x + width && name.is_some() {
            return name;
        }
        x += width;
    }
    last
}

fn value_style(state: &State, name: FieldName) -> Style {
    let chosen = state.has_keys(Pane::Parameters) && state.parameters.chosen() == name;
    let role = if state.parameters.problem(name).is_some() { Role::Error } else { Role::Text };
    let style = state.style(role);
    if chosen { style.patch(state.style(Role::Selection)).add_modifier(Modifier::BOLD) } else { style }
}

/// The lines for so much room: the draft's LoRAs, if it has any, have the last.
fn lines(state: &State, room: Rect) -> Vec<Vec<Piece>> {
    let Some(drafted) = loras::drafted(state).filter(|_| room.height >= WITH_LORAS) else {
        return fields(state, room);
    };
    let mut lines = fields(state, Rect { height: room.height - 1, ..room });
    let column = if room.height > WITH_LORAS { COLUMN } else { 0 };
    let label = text::padded(&format!("{} ", state.language.label_loras()), column);
    let width = room.width.saturating_sub(text::width(&label));
    let drafted = text::clip(&drafted, width, state.look.glyphs.ellipsis);
    lines.push(vec![Piece::Label(label), Piece::Words(drafted)]);
    lines
}

/// The fields in so much room.
fn fields(state: &State, room: Rect) -> Vec<Vec<Piece>> {
    let language = state.language;
    let guidance = if room.width < 32 { language.shortest_guidance() } else { language.short_guidance() };
    let label = |text: &str| Piece::Label(format!("{text} "));
    let column = |text: &str| Piece::Label(text::padded(text, COLUMN));
    let after_gap = |text: &str| Piece::Label(format!("  {text} "));
    let after_wide_gap = |text: &str| Piece::Label(format!("   {text} "));
    let gap = || Piece::Label("  ".to_owned());
    let value = |name| Piece::Value(name, shown(state, name));
    let times = || Piece::Label(format!(" {} ", state.look.glyphs.times));
    let size = || vec![value(Width), times(), value(Height), Piece::Extra(shape(state))];
    let after = |mut one: Vec<Piece>, two: Vec<Piece>| {
        one.extend(two);
        one
    };
    match room.height {
        0 | 1 => vec![after(
            vec![
                value(Width),
                times(),
                value(Height),
                after_gap(language.short_steps()),
                value(Steps),
                after_gap(language.shortest_guidance()),
                value(Guidance),
            ],
            vec![
                after_gap(language.short_seed()),
                value(Seed),
                after_gap(language.short_count()),
                value(Count),
                gap(),
                value(Model),
            ],
        )],
        2 => vec![
            after(
                vec![value(Width), times(), value(Height)],
                vec![
                    after_gap(language.short_steps()),
                    value(Steps),
                    after_gap(language.shortest_guidance()),
                    value(Guidance),
                ],
            ),
            vec![
                label(language.short_seed()),
                value(Seed),
                after_gap(language.short_count()),
                value(Count),
                gap(),
                value(Model),
            ],
        ],
        3 => vec![
            after(vec![value(Model), gap()], size()),
            vec![
                label(language.short_steps()),
                value(Steps),
                after_gap(guidance),
                value(Guidance),
                after_gap(language.short_count()),
                value(Count),
            ],
            vec![label(language.short_seed()), value(Seed), Piece::Extra(last(state))],
        ],
        5 => vec![
            vec![column(language.label_model()), value(Model)],
            after(vec![column(language.label_size())], size()),
            vec![
                column(language.label_steps()),
                value(Steps),
                after_wide_gap(language.label_guidance()),
                value(Guidance),
            ],
            vec![column(language.label_seed()), value(Seed), Piece::Extra(last(state))],
            vec![column(language.label_count()), value(Count)],
        ],
        4 => vec![
            vec![column(language.label_model()), value(Model)],
            after(vec![column(language.label_size())], size()),
            vec![
                column(language.label_steps()),
                value(Steps),
                after_wide_gap(language.label_guidance()),
                value(Guidance),
                after_wide_gap(language.label_count()),
                value(Count),
            ],
            vec![column(language.label_seed()), value(Seed), Piece::Extra(last(state))],
        ],
        _ => vec![
            vec![column(language.label_model()), value(Model)],
            after(vec![column(language.label_size())], size()),
            vec![column(language.label_steps()), value(Steps)],
            vec![column(language.label_guidance()), value(Guidance)],
            vec![column(language.label_seed()), value(Seed), Piece::Extra(last(state))],
            vec![column(language.label_count()), value(Count)],
        ],
    }
}

/// A value as it is shown. What is not known yet is an ellipsis.
fn shown(state: &State, name: FieldName) -> String {
    let chosen = state.parameters.chosen() == name && state.parameters.is_editing();
    match (name, state.parameters.text(name)) {
        (Seed, "-1") if !chosen => state.language.field_random().to_owned(),
        // The one that comes next, and that others follow.
        (Seed, seed) if !chosen && state.parameters.counts_up() => format!("{seed}+"),
        (_, "") if !chosen => state.look.glyphs.ellipsis.to_owned(),
        (_, text) => text.to_owned(),
    }
}

/// The seed that was drawn last.
fn last(state: &State) -> String {
    state
        .parameters
        .last_seed
        .map_or_else(String::new, |seed| format!("   {}", state.language.field_last(seed)))
}

/// `   3:2  0.39 MP`.
fn shape(state: &State) -> String {
    let side =
        |name| state.parameters.text(name).parse::<u32>().ok().filter(|side| (1..=SIZE_MAX).contains(side));
    let (Some(width), Some(height)) = (side(Width), side(Height)) else { return String::new() };
    let megapixels = f64::from(width) * f64::from(height) / 1e6;
    format!("   {}  {megapixels:.2} MP", ratio(width, height))
}

/// An aspect ratio in small numbers, or as a decimal when they are not small.
fn ratio(width: u32, height: u32) -> String {
    let (mut divisor, mut rest) = (width, height);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let (across, down) = (width / divisor, height / divisor);
    if across.max(down) <= 21 {
        format!("{across}:{down}")
    } else if width > height {
        format!("{:.2}:1", f64::from(width) / f64::from(height))
    } else {
        format!("1:{:.2}", f64::from(height) / f64::from(width))
    }
}

/// What is wrong, on the last row.
fn draw_problem(state: &State, inside: Rect, buffer: &mut Buffer) {
    let Some(problem) = state.parameters.first_problem() else { return };
    let glyphs = &state.look.glyphs;
    let language = state.language;
    let nearest =
        problem.nearest.as_ref().map_or_else(String::new, |nearest| format!(" {} {nearest}", glyphs.arrow));
    let room = inside.width.saturating_sub(text::width(&nearest));
    let message = language.field_wrong(language.field(problem.field), problem.message(language));
    let message = text::clip(&message, room, glyphs.ellipsis);
    let row = text::row(inside, inside.height.saturating_sub(1));
    if inside.height > 1 {
        buffer.set_style(row, state.style(Role::Screen));
        let blank = " ".repeat(usize::from(row.width));
        text::put(buffer, row, &[(&blank, state.style(Role::Text))]);
        text::put(
            buffer,
            row,
            &[(&message, state.style(Role::Error)), (&nearest, state.style(Role::Accent))],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aspect_ratios_are_small_or_decimal() {
        assert_eq!(ratio(768, 512), "3:2");
        assert_eq!(ratio(1024, 1024), "1:1");
        assert_eq!(ratio(1344, 768), "7:4");
        assert_eq!(ratio(2048, 16), "128.00:1");
        assert_eq!(ratio(1008, 1040), "1:1.03");
    }
}
