//! Two pictures side by side or one in the place of the other, and below in which parameters and words they differ: in
//! brackets, so that it is seen without colours too.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;

use super::{padded, whole};
use crate::job::Picture;
use crate::ui::pane::gallery::{Difference, Gallery, Kind, Pair, Parameter, Places, Side};
use crate::ui::state::State;
use crate::ui::terminal::screen::Frame;
use crate::ui::theme::Role;
use crate::ui::view::{history, text};

const NAMES: [&str; 2] = ["A", "B"];

/// What stands around words that are only in the first, and only in the second.
const GONE: (&str, &str) = ("[-", "-]");
const NEW: (&str, &str) = ("{+", "+}");

pub(super) fn draw(state: &State, open: &Gallery, pair: &Pair, places: &Places, drawn: &mut Frame) {
    let halves = places.halves();
    let sides = [(Side::A, &pair.a), (Side::B, &pair.b)];
    for (at, (side, picture)) in sides.into_iter().enumerate() {
        let half = Rect { y: places.head.y, height: places.head.height, ..halves[at] };
        label(state, (NAMES[at], picture), pair.alone.is_none_or(|alone| alone == side), half, drawn);
        match pair.alone {
            None => whole::draw(state, open, (at, picture.id), halves[at], drawn),
            Some(alone) if alone == side => {
                whole::draw(state, open, (at, picture.id), places.body, drawn);
            }
            Some(_) => {}
        }
    }
    let mut foot = padded(places.foot);
    let said = open.said.as_deref();
    let first = said.map_or_else(|| parameters(state, pair), str::to_owned);
    let role = if said.is_some() { Role::Accent } else { Role::Dim };
    for line in text::wrap(&first, foot.width, 2, state.look.glyphs.ellipsis) {
        text::put(&mut drawn.buffer, text::row(foot, 0), &[(&line, state.style(role))]);
        foot = Rect { y: foot.y + 1, height: foot.height.saturating_sub(1), ..foot };
    }
    words(state, pair, foot, &mut drawn.buffer);
}

/// Which picture it is; that one is seen shows in its name.
fn label(state: &State, (name, picture): (&str, &Picture), seen: bool, area: Rect, drawn: &mut Frame) {
    let inner = padded(area);
    let (style, sign) = if seen {
        (state.style(Role::TitleFocused), state.look.glyphs.active)
    } else {
        (state.style(Role::Dim), state.look.glyphs.idle)
    };
    let marks = history::marks(state, picture);
    let what = format!("{sign} {name}  {}  ", picture.id);
    text::put(&mut drawn.buffer, inner, &[(&what, style), (marks.trim_end(), state.style(Role::Accent))]);
}

fn parameters(state: &State, pair: &Pair) -> String {
    if pair.parameters.is_empty() {
        return state.language.gallery_same_parameters().to_owned();
    }
    let glyphs = &state.look.glyphs;
    let one = |it: &Difference| {
        let value = |value: &Option<String>| {
            value.clone().unwrap_or_else(|| state.language.gallery_none().to_owned())
        };
        format!("{} {} {} {}", named(state, it.of), value(&it.a), glyphs.arrow, value(&it.b))
    };
    pair.parameters.iter().map(one).collect::<Vec<_>>().join(&format!(" {} ", glyphs.dot))
}

fn named(state: &State, of: Parameter) -> &'static str {
    let language = state.language;
    match of {
        Parameter::Model => language.field_model(),
        Parameter::Size => language.gallery_size(),
        Parameter::Steps => language.field_steps(),
        Parameter::Guidance => language.field_guidance(),
        Parameter::Seed => language.field_seed(),
        Parameter::Loras => language.label_loras(),
        Parameter::Precision => language.gallery_precision(),
    }
}

/// The words of both prompts, as many as there is room for.
fn words(state: &State, pair: &Pair, area: Rect, buffer: &mut Buffer) {
    let mut pen = Pen { area, row: 0, x: area.x, full: false };
    if pair.words.iter().all(|piece| piece.kind == Kind::Same) {
        pen.write(state.language.gallery_same_prompt(), state.style(Role::Dim), buffer);
    }
    for piece in &pair.words {
        let (style, around) = match piece.kind {
            Kind::Same => (state.style(Role::Text), ("", "")),
            Kind::Gone => (state.style(Role::Error), GONE),
            Kind::New => (state.style(Role::Accent), NEW),
        };
        for text in [around.0, &piece.text, around.1] {
            pen.write(text, style, buffer);
        }
    }
    if pen.full && area.width > 0 && area.height > 0 {
        let last = Rect { x: area.right() - 1, y: area.bottom() - 1, width: 1, height: 1 };
        text::put(buffer, last, &[(state.look.glyphs.ellipsis, state.style(Role::Dim))]);
    }
}

/// Writes on, broken between words.
struct Pen {
    area: Rect,
    row: u16,
    x: u16,
    /// Something had no room.
    full: bool,
}

impl Pen {
    fn write(&mut self, words: &str, style: Style, buffer: &mut Buffer) {
        for word in words.split_word_bounds() {
            if self.full {
                return;
            }
            let blank = word.chars().all(|letter| letter.is_whitespace() || letter.is_control());
            let word = if blank { " " } else { word };
            if self.x + text::width(word) > self.area.right() && self.x > self.area.x {
                (self.row, self.x) = (self.row + 1, self.area.x);
                if blank {
                    continue;
                }
            }
            let row = text::row(self.area, self.row);
            if row.height == 0 {
                self.full = true;
                return;
            }
            let place = Rect { x: self.x, width: row.right().saturating_sub(self.x), ..row };
            self.x = text::put(buffer, place, &[(word, style)]);
        }
    }
}
