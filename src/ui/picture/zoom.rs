//! Which part of a picture is seen: how many times it is larger than it fits, and around which point.

use ratatui::layout::Size;

/// How many times larger than it fits, in hundredths, smallest first.
const LEVELS: [u32; 10] = [100, 150, 200, 300, 400, 600, 800, 1200, 1600, 3200];
/// A point of the picture is told in so many parts of its side.
const PARTS: u32 = 10_000;

/// A part of a picture. The same one of two pictures shows the same place of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zoom {
    level: usize,
    /// The middle of what is seen, in [`PARTS`] of each side.
    middle: (u32, u32),
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
}

impl Default for Zoom {
    fn default() -> Self {
        Self { level: 0, middle: (PARTS / 2, PARTS / 2) }
    }
}

impl Zoom {
    /// Hundredths of the size at which it fits.
    #[must_use]
    pub fn percent(self) -> u32 {
        LEVELS[self.level]
    }

    /// Whether all of it is seen.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.level == 0
    }

    /// The next level.
    #[must_use]
    pub fn nearer(self) -> Self {
        Self { level: (self.level + 1).min(LEVELS.len() - 1), ..self }
    }

    /// The level before; the whole picture has its own middle again.
    #[must_use]
    pub fn farther(self) -> Self {
        if self.level <= 1 { Self::default() } else { Self { level: self.level - 1, ..self } }
    }

    /// A quarter of what is seen further. `picture` is in pixels, `room` in cells of `cell` pixels.
    #[must_use]
    pub fn moved(self, by: Direction, picture: (u32, u32), room: Size, cell: (u16, u16)) -> Self {
        let seen = self.seen(picture, room, cell);
        let along = |middle: u32, part: f64, sign: i8| {
            let part = (part * f64::from(PARTS)) as u32;
            let (least, most) = (part / 2, PARTS - part / 2);
            let middle = middle.clamp(least, most);
            match sign {
                -1 => middle.saturating_sub(part / 4).max(least),
                1 => (middle + part / 4).min(most),
                _ => middle,
            }
        };
        let (across, down) = match by {
            Direction::Left => (-1, 0),
            Direction::Right => (1, 0),
            Direction::Up => (0, -1),
            Direction::Down => (0, 1),
        };
        Self { middle: (along(self.middle.0, seen.0, across), along(self.middle.1, seen.1, down)), ..self }
    }

    /// Which share of each side is seen in that room.
    fn seen(self, picture: (u32, u32), room: Size, cell: (u16, u16)) -> (f64, f64) {
        let room = (
            f64::from(room.width) * f64::from(cell.0.max(1)),
            f64::from(room.height) * f64::from(cell.1.max(1)),
        );
        let picture = (f64::from(picture.0.max(1)), f64::from(picture.1.max(1)));
        let scale = (room.0 / picture.0).min(room.1 / picture.1) * f64::from(self.percent()) / 100.0;
        let share = |room: f64, side: f64| if scale > 0.0 { (room / (side * scale)).min(1.0) } else { 1.0 };
        (share(room.0, picture.0), share(room.1, picture.1))
    }

    /// The pixels that are seen: left, top, width and height, never empty and never outside.
    #[must_use]
    pub fn part(self, picture: (u32, u32), room: Size, cell: (u16, u16)) -> (u32, u32, u32, u32) {
        let seen = self.seen(picture, room, cell);
        let along = |side: u32, share: f64, middle: u32| {
            let length = ((f64::from(side) * share).round() as u32).clamp(1, side.max(1));
            let middle = (u64::from(side) * u64::from(middle) / u64::from(PARTS)) as u32;
            (middle.saturating_sub(length / 2).min(side.max(1) - length), length)
        };
        let (left, width) = along(picture.0, seen.0, self.middle.0);
        let (top, height) = along(picture.1, seen.1, self.middle.1);
        (left, top, width, height)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Size = Size::new(40, 20);
    const CELL: (u16, u16) = (10, 20);

    fn times(level: usize) -> Zoom {
        (0..level).fold(Zoom::default(), |zoom, _| zoom.nearer())
    }

    #[test]
    fn the_whole_picture_then_its_middle_then_its_edges() {
        let square = (400, 400);
        assert_eq!(times(0).part(square, ROOM, CELL), (0, 0, 400, 400));
        assert_eq!(times(2).part(square, ROOM, CELL), (100, 100, 200, 200));
        let right = (0..9).fold(times(2), |zoom, _| zoom.moved(Direction::Right, square, ROOM, CELL));
        assert_eq!(right.part(square, ROOM, CELL), (200, 100, 200, 200));
        let back = right.moved(Direction::Left, square, ROOM, CELL);
        assert_eq!(back.part(square, ROOM, CELL), (150, 100, 200, 200), "the edge is left at once");
        assert_eq!(times(2).farther().farther(), Zoom::default());
        assert_eq!(times(99).percent(), 3200);
    }

    #[test]
    fn a_wide_picture_fills_the_room_before_it_is_cut() {
        // 400 by 100 in 400 by 400: at twice its size it has room above and below, not beside.
        assert_eq!(times(2).part((400, 100), ROOM, CELL), (100, 0, 200, 100));
    }

    proptest! {
        #[test]
        fn it_is_always_inside(
            picture in (1_u32..4000, 1_u32..4000), room in (1_u16..300, 1_u16..100), cell in (1_u16..40, 1_u16..60),
            level in 0_usize..12, moves in proptest::collection::vec(0..4, 0..30),
        ) {
            let room = Size::new(room.0, room.1);
            let zoom = moves.into_iter().fold(times(level), |zoom, by| {
                let by = [Direction::Up, Direction::Down, Direction::Left, Direction::Right][by as usize];
                zoom.moved(by, picture, room, cell)
            });
            let (left, top, width, height) = zoom.part(picture, room, cell);
            prop_assert!(width > 0 && height > 0 && left + width <= picture.0 && top + height <= picture.1);
        }
    }
}
