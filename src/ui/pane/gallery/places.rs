//! Where everything of the gallery is: a line above, the pictures, and lines below.

use ratatui::layout::Rect;
use ratatui::layout::Size;

use crate::ui::picture::Slot;

/// The least small copy, in cells: about square where a cell is twice as high as wide.
const LEAST: Size = Size::new(14, 7);
/// The largest one, where there are few pictures.
const MOST: Size = Size::new(28, 14);
/// Lines below the grid or a whole picture: what it is.
const FOOT: u16 = 2;
/// Lines below two pictures: at least these, for how they differ.
const FOOT_COMPARED: u16 = 5;

/// Where the parts of the gallery are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// The first line: what was looked for.
    pub head: Rect,
    /// The pictures.
    pub body: Rect,
    /// What there is to say of them.
    pub foot: Rect,
}

/// A grid of tiles, row by row: each a small copy with a frame of one cell around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Tiles across.
    pub columns: usize,
    /// Tiles down.
    pub rows: usize,
    /// The cells of a small copy.
    pub room: Size,
    area: Rect,
}

impl Places {
    /// In the whole room of the gallery; `compared` of two pictures.
    #[must_use]
    pub fn of(room: Rect, compared: bool) -> Self {
        let foot = if compared { (room.height / 7).max(FOOT_COMPARED) } else { FOOT };
        let foot = foot.min(room.height.saturating_sub(1) / 2);
        let head = Rect { height: room.height.min(1), ..room };
        let body = Rect {
            y: head.bottom(),
            height: room.height.saturating_sub(head.height).saturating_sub(foot),
            ..room
        };
        Self { head, body, foot: Rect { y: body.bottom(), height: foot, ..room } }
    }

    /// The two halves of the body, with a column between.
    #[must_use]
    pub fn halves(&self) -> [Rect; 2] {
        let width = self.body.width.saturating_sub(1) / 2;
        let left = Rect { width, ..self.body };
        [left, Rect { x: self.body.right() - width, ..left }]
    }
}

impl Grid {
    /// As many tiles as there are places for; larger ones where there would be more, or where so few pictures are known
    /// that all are seen.
    #[must_use]
    pub fn of(body: Rect, known: usize) -> Self {
        let mut grid = Self::with(body, LEAST);
        loop {
            let next = Self::with(body, Size::new(grid.room.width + 2, grid.room.height + 1));
            let all_are_seen = next.room.width <= MOST.width && next.is_inside() && next.count() >= known;
            if grid.count() <= Slot::SMALL && !all_are_seen {
                let room = Size::new(
                    grid.room.width.min(body.width.saturating_sub(2)),
                    grid.room.height.min(body.height.saturating_sub(2)),
                );
                return Self { room, ..grid };
            }
            grid = next;
        }
    }

    fn with(area: Rect, room: Size) -> Self {
        let columns = usize::from(area.width / (room.width + 2)).max(1);
        let rows = usize::from(area.height / (room.height + 2)).max(1);
        Self { columns, rows, room, area }
    }

    fn is_inside(&self) -> bool {
        self.room.width + 2 <= self.area.width && self.room.height + 2 <= self.area.height
    }

    /// Tiles of a page.
    #[must_use]
    pub fn count(&self) -> usize {
        self.columns * self.rows
    }

    /// The first picture of the page that has this one.
    #[must_use]
    pub fn first(&self, chosen: usize) -> usize {
        chosen / self.count() * self.count()
    }

    /// A tile, its frame included.
    #[must_use]
    pub fn tile(&self, place: usize) -> Rect {
        let (width, height) = (self.room.width + 2, self.room.height + 2);
        let column = u16::try_from(place % self.columns).unwrap_or(u16::MAX);
        let row = u16::try_from(place / self.columns).unwrap_or(u16::MAX);
        // What is left over is shared by both sides.
        let indent = self.area.width.saturating_sub(width.saturating_mul(self.columns as u16)) / 2;
        let (x, y) = (column.saturating_mul(width), row.saturating_mul(height));
        let tile = Rect::new(self.area.x + indent + x, self.area.y + y, width, height);
        tile.intersection(self.area)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_has_a_tile_and_none_more_than_there_are_slots() {
        for (columns, rows) in [(40, 12), (60, 9), (80, 20), (120, 36), (200, 56), (500, 200)] {
            for known in [0, 1, 7, 30, 1000] {
                let grid = Grid::of(Rect::new(0, 2, columns, rows), known);
                assert!((1..=Slot::SMALL).contains(&grid.count()), "{columns}x{rows}: {grid:?}");
                let last = grid.tile(grid.count() - 1);
                assert_eq!(
                    (last.width, last.height),
                    (grid.room.width + 2, grid.room.height + 2),
                    "{grid:?}"
                );
                assert!(last.right() <= columns && last.bottom() <= 2 + rows, "{last:?}");
            }
        }
    }

    #[test]
    fn pages_follow_each_other() {
        let few = Grid::of(Rect::new(0, 0, 80, 18), 3);
        assert_eq!((few.columns, few.room), (3, Size::new(24, 12)), "three are seen as large as they fit");
        let grid = Grid::of(Rect::new(0, 0, 80, 18), 26);
        assert_eq!((grid.columns, grid.rows), (5, 2));
        assert_eq!([0, 9, 10, 25].map(|at| grid.first(at)), [0, 0, 10, 20]);
        assert_eq!(grid.tile(6), Rect::new(16, 9, 16, 9));
    }

    #[test]
    fn the_parts_fill_the_room_without_a_gap() {
        for height in 0..60 {
            for compared in [false, true] {
                let places = Places::of(Rect::new(0, 1, 80, height), compared);
                assert_eq!(places.head.height + places.body.height + places.foot.height, height);
            }
        }
        let [left, right] = Places::of(Rect::new(0, 1, 81, 30), true).halves();
        assert_eq!((left.width, right.x, right.right()), (40, 41, 81));
    }
}
