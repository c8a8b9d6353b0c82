//! Where everything is: a pure function of the window's size.
//!
//! The preview has the whole height on the right; everything else is stacked on the left in boxes
//! that share their borders. Upright windows have the preview on top.

use ratatui::layout::{Margin, Position, Rect, Size};

use super::arrangement::{Alone, Arrangement};
use super::pane::Pane;

/// The least window, lying and upright.
pub const LEAST: (Size, Size) = (Size::new(60, 15), Size::new(40, 31));

/// How the panes are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All panes.
    Full,
    /// The queue and the history share one box: the one with the keys is seen.
    Small,
    /// The preview on top.
    Upright,
}

/// Where everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// There is room.
    Panes(Areas),
    /// There is none: the window must say what it needs.
    TooSmall,
}

/// Where each pane is, its border included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    /// How they are arranged.
    pub kind: Kind,
    /// The first line.
    pub status: Rect,
    /// The prompt.
    pub prompt: Rect,
    /// The parameters.
    pub parameters: Rect,
    /// Memory.
    pub memory: Rect,
    /// The picture.
    pub preview: Rect,
    /// The queue.
    pub queue: Rect,
    /// The history; the same as the queue in [`Kind::Small`] and [`Kind::Upright`].
    pub history: Rect,
    /// A notice, if there is one.
    pub notice: Rect,
    /// The last line.
    pub hints: Rect,
}

impl Kind {
    /// Whether there is room for it.
    #[must_use]
    pub fn fits(self, size: Size) -> bool {
        let least = match self {
            Self::Full => Size::new(76, 22),
            Self::Small => LEAST.0,
            Self::Upright => LEAST.1,
        };
        size.width >= least.width && size.height >= least.height
    }
}

impl Layout {
    /// For a window of this size with so many rows of notices.
    #[must_use]
    pub fn of(size: Size, notice_rows: u16) -> Self {
        Self::arranged(size, notice_rows, Arrangement::Automatic, None)
    }

    /// The same, arranged as a person wants where there is room for it, perhaps with one box alone.
    #[must_use]
    pub fn arranged(size: Size, notice_rows: u16, wanted: Arrangement, alone: Option<Alone>) -> Self {
        let (columns, rows) = (size.width, size.height);
        let automatic = if columns < 70 && Kind::Upright.fits(size) {
            Kind::Upright
        } else if !Kind::Small.fits(size) {
            return Self::TooSmall;
        } else if Kind::Full.fits(size) {
            Kind::Full
        } else {
            Kind::Small
        };
        let kind = wanted.kind().filter(|kind| kind.fits(size)).unwrap_or(automatic);
        // A small window spares one row for a notice; more of it lies over the list at the bottom.
        let spared = if rows < 22 { notice_rows.min(1) } else { notice_rows };
        let covered = notice_rows - spared;
        let row = |y, height| Rect::new(0, y, columns, height);
        let body = row(1, rows - 2 - spared);
        let mut areas = Areas {
            kind,
            status: row(0, 1),
            notice: row(body.bottom() - covered, notice_rows),
            hints: row(rows - 1, 1),
            ..Areas::nowhere(kind)
        };
        if let Some(alone) = alone {
            areas.alone(alone, body);
        } else if kind == Kind::Upright {
            areas.upright(body);
        } else {
            areas.side_by_side(body);
        }
        if !areas.preview.is_empty() {
            areas.preview.height = areas.preview.height.min(areas.notice.y - areas.preview.y);
        }
        Self::Panes(areas)
    }

    /// Where the panes are, when there is room.
    #[must_use]
    pub fn areas(&self) -> Option<&Areas> {
        match self {
            Self::Panes(areas) => Some(areas),
            Self::TooSmall => None,
        }
    }
}

/// Which box of the stack a wave of rows goes to.
const PROMPT: usize = 0;
const PARAMETERS: usize = 1;
const MEMORY: usize = 2;
const QUEUE: usize = 3;
const HISTORY: usize = 4;

impl Areas {
    fn nowhere(kind: Kind) -> Self {
        let none = Rect::ZERO;
        Self {
            kind,
            status: none,
            prompt: none,
            parameters: none,
            memory: none,
            preview: none,
            queue: none,
            history: none,
            notice: none,
            hints: none,
        }
    }

    fn side_by_side(&mut self, body: Rect) {
        let left = match body.width {
            0..=75 => body.width / 2,
            76..=99 => 37,
            width => (width * 2 / 5).clamp(44, 64),
        };
        let stack = Rect { width: left, ..body };
        self.preview = Rect { x: left, width: body.width - left, ..body };
        if self.kind == Kind::Small {
            let waves =
                [(PARAMETERS, 3), (PROMPT, 4), (QUEUE, 3), (PROMPT, 5), (MEMORY, 2), (QUEUE, u16::MAX)];
            let [prompt, parameters, memory, list] = stacked(stack, [3, 2, 1, 1], &waves);
            self.place(prompt, parameters, memory, list, list);
        } else {
            let waves = [
                (PROMPT, 5),
                (QUEUE, 2),
                (HISTORY, 4),
                (PARAMETERS, 4),
                (HISTORY, 5),
                (MEMORY, 3),
                (PROMPT, 7),
                (HISTORY, 9),
                (PARAMETERS, 6),
                (QUEUE, 4),
                (PROMPT, 12),
                (MEMORY, 4),
                (HISTORY, u16::MAX),
            ];
            let [prompt, parameters, memory, queue, history] = stacked(stack, [4, 3, 2, 1, 1], &waves);
            self.place(prompt, parameters, memory, queue, history);
        }
    }

    fn upright(&mut self, body: Rect) {
        // The room that a square picture takes, as long as the rest stays usable.
        let picture = (body.width / 2 + 1).min(body.height.saturating_sub(15));
        self.preview = Rect { height: picture, ..body };
        let stack = Rect { y: body.y + picture, height: body.height - picture, ..body };
        let waves = [(PROMPT, 5), (QUEUE, 5), (PARAMETERS, 2), (PROMPT, 8), (QUEUE, u16::MAX)];
        let [prompt, parameters, memory, list] = stacked(stack, [3, 1, 1, 2], &waves);
        self.place(prompt, parameters, memory, list, list);
    }

    /// One box has the whole body, and the others are nowhere.
    fn alone(&mut self, alone: Alone, body: Rect) {
        let place = match alone {
            Alone::Preview => &mut self.preview,
            Alone::Memory => &mut self.memory,
            Alone::Pane(Pane::Prompt) => &mut self.prompt,
            Alone::Pane(Pane::Parameters) => &mut self.parameters,
            Alone::Pane(Pane::Queue) => &mut self.queue,
            Alone::Pane(Pane::History) => &mut self.history,
        };
        *place = body;
    }

    fn place(&mut self, prompt: Rect, parameters: Rect, memory: Rect, queue: Rect, history: Rect) {
        (self.prompt, self.parameters, self.memory) = (prompt, parameters, memory);
        (self.queue, self.history) = (queue, history);
    }

    /// A pane's area.
    #[must_use]
    pub fn of(&self, pane: Pane) -> Rect {
        match pane {
            Pane::Prompt => self.prompt,
            Pane::Parameters => self.parameters,
            Pane::Queue => self.queue,
            Pane::History => self.history,
        }
    }

    /// The pane at a cell, given the one that has the keys.
    #[must_use]
    pub fn pane_at(&self, position: Position, focus: Pane) -> Option<Pane> {
        let visible =
            |pane: &Pane| *pane != self.hidden(focus).unwrap_or(Pane::Prompt) || *pane == Pane::Prompt;
        // Boxes share borders: a shared row is the lower box's title.
        Pane::ALL.into_iter().filter(visible).rev().find(|pane| self.of(*pane).contains(position))
    }

    /// Where two lists share one box, the one that is not seen.
    #[must_use]
    pub fn hidden(&self, focus: Pane) -> Option<Pane> {
        let shared = self.queue == self.history;
        shared.then_some(if focus == Pane::Queue { Pane::History } else { Pane::Queue })
    }
}

/// What is inside a border.
#[must_use]
pub fn inside(area: Rect) -> Rect {
    area.inner(Margin::new(1, 1))
}

/// Where the prompt's text is: inside the border, beside a blank column, above so many lines.
#[must_use]
pub fn prompt_text(prompt: Rect, foot: u16) -> Rect {
    let inside = padded(prompt);
    Rect { height: inside.height.saturating_sub(foot).max(inside.height.min(1)), ..inside }
}

/// What is inside a border and a blank column on either side.
#[must_use]
pub fn padded(area: Rect) -> Rect {
    area.inner(Margin::new(2, 1))
}

/// Boxes one upon the other, sharing borders. Each has its least rows inside; what is left goes to
/// the first wave that is not yet satisfied.
fn stacked<const N: usize>(area: Rect, least: [u16; N], waves: &[(usize, u16)]) -> [Rect; N] {
    let mut rows = least;
    let borders = N as u16 + 1;
    let mut left = area.height.saturating_sub(borders + least.iter().sum::<u16>());
    for (index, target) in waves {
        let more = target.saturating_sub(rows[*index]).min(left);
        rows[*index] += more;
        left -= more;
    }
    let mut y = area.y;
    rows.map(|inside| {
        let stacked = Rect { y, height: inside + 2, ..area }.intersection(area);
        y += inside + 1;
        stacked
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_a_layout_inside_the_window_or_says_that_it_is_too_small() {
        for columns in 0..=220 {
            for rows in 0..=80 {
                for notice in 0..=3 {
                    let Layout::Panes(areas) = Layout::of(Size::new(columns, rows), notice) else {
                        assert!(columns < 60 || rows < 15, "{columns}x{rows} should have room");
                        continue;
                    };
                    let window = Rect::new(0, 0, columns, rows);
                    let panes = [
                        areas.prompt,
                        areas.parameters,
                        areas.memory,
                        areas.preview,
                        areas.queue,
                        areas.history,
                    ];
                    for pane in panes {
                        assert_eq!(pane.intersection(window), pane, "{columns}x{rows}");
                        assert!(
                            inside(pane).height > 0 && inside(pane).width > 4,
                            "{columns}x{rows}: {areas:?}"
                        );
                        assert!(pane.y > 0 && pane.bottom() <= areas.hints.y, "{columns}x{rows}");
                    }
                    for pane in [areas.prompt, areas.parameters, areas.preview] {
                        assert!(
                            pane.bottom() <= areas.notice.y,
                            "{columns}x{rows}: covered by {notice} rows"
                        );
                    }
                    assert_eq!(areas.preview.intersection(areas.prompt).area(), 0);
                    assert!(areas.history.bottom() >= areas.notice.y, "{columns}x{rows}: no row is lost");
                    assert_eq!(areas.notice.bottom(), areas.hints.y);
                }
            }
        }
    }

    #[test]
    fn the_sizes_that_were_promised() {
        let kind = |columns, rows| Layout::of(Size::new(columns, rows), 0).areas().map(|areas| areas.kind);
        assert_eq!(kind(120, 40), Some(Kind::Full));
        assert_eq!(kind(80, 24), Some(Kind::Full));
        assert_eq!(kind(60, 15), Some(Kind::Small));
        assert_eq!(kind(60, 40), Some(Kind::Upright));
        assert_eq!(kind(59, 15), None);
        assert_eq!(kind(60, 14), None);
    }

    #[test]
    fn the_picture_has_more_room_than_anything_else() {
        for (columns, rows) in [(80, 24), (120, 40), (200, 60), (60, 15)] {
            let layout = Layout::of(Size::new(columns, rows), 0);
            let areas = layout.areas().expect("there is room");
            assert!(areas.preview.area() * 2 >= u32::from(columns) * u32::from(rows - 2), "{columns}x{rows}");
        }
    }
}
