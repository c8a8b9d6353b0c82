//! Small copies: which are there, which are asked for, and which are ready to be drawn. The bytes come from the worker,
//! also of one on another machine; what is seen is asked for first, a few at a time, and what is held is bounded.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use ratatui::layout::Size;

use crate::job::PictureId;
use crate::job::grid::GridId;
use crate::ui::picture::{Drawable, Encoded, Means, Order, Protocol, Slot, Source, Subject, Zoom};

/// Small copies that are on their way at a time.
const ASKED_MAX: usize = 4;
/// Bytes of them that are kept: about a thousand.
const KEPT_BYTES: usize = 8 << 20;
/// Sides that are asked for, so that a window of another size mostly needs no others.
const SIDES: [u32; 4] = [64, 96, 128, 256];
/// The largest side over a slow line: the terminal makes it larger.
const SIDE_FAR: u32 = 96;

/// What there is a small copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Small {
    /// A picture.
    Picture(PictureId),
    /// The contact sheet of a grid.
    Sheet(GridId),
}

/// A small copy that is asked for: of what, how large, and after how many changes of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Of what.
    pub of: Small,
    /// The longer side in pixels.
    pub side: u32,
    version: u32,
}

/// The small copies.
#[derive(Debug, Default)]
pub struct Thumbs {
    kept: HashMap<Wanted, Bytes>,
    /// The same, the oldest first.
    order: VecDeque<Wanted>,
    bytes: usize,
    asked: Vec<Wanted>,
    failed: HashMap<Small, String>,
    /// How often each grid has changed.
    versions: HashMap<GridId, u32>,
    tiles: Vec<Tile>,
    number: u64,
}

/// What is seen at one place of the grid.
#[derive(Debug, Default)]
struct Tile {
    ordered: Option<Ordered>,
    number: u64,
    shown: Option<(Ordered, Drawable)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ordered {
    asked: Wanted,
    room: Size,
    means: Means,
}

/// The side to ask for, in pixels: what the room has by these means, and less where the terminal is far away.
#[must_use]
pub fn side(room: Size, means: Means, far: bool) -> u32 {
    let (width, height) = (u32::from(room.width), u32::from(room.height));
    let seen = match means.protocol {
        Protocol::HalfBlocks => width.max(height * 2),
        _ => (width * u32::from(means.cell.0)).max(height * u32::from(means.cell.1)),
    };
    let most = if far { SIDE_FAR } else { SIDES[SIDES.len() - 1] };
    SIDES.into_iter().find(|side| *side >= seen).unwrap_or(most).min(most)
}

impl Thumbs {
    fn wanted(&self, of: Small, side: u32) -> Wanted {
        let version = match of {
            Small::Picture(_) => 0,
            Small::Sheet(grid) => self.versions.get(&grid).copied().unwrap_or(0),
        };
        Wanted { of, side, version }
    }

    /// What to ask the worker for, so that all of `visible` is there.
    pub fn wants(&mut self, visible: &[Small], side: u32) -> Vec<Wanted> {
        let requests = visible.iter().map(|of| self.wanted(*of, side));
        let missing = requests.filter(|asked| {
            // One of a grid that changed meanwhile is waited for: the next answer is the next version's.
            let on_its_way = self.asked.iter().any(|it| (it.of, it.side) == (asked.of, asked.side));
            !self.kept.contains_key(asked) && !on_its_way && !self.failed.contains_key(&asked.of)
        });
        let room = ASKED_MAX.saturating_sub(self.asked.len());
        let wanted: Vec<_> = missing.take(room).collect();
        self.asked.extend(&wanted);
        wanted
    }

    /// Takes one that was asked for.
    pub fn fetched(&mut self, of: Small, side: u32, result: Result<Bytes, String>) {
        let at = self.asked.iter().position(|asked| (asked.of, asked.side) == (of, side));
        let asked = match at {
            Some(at) => self.asked.remove(at),
            None => self.wanted(of, side),
        };
        match result {
            Ok(jpeg) => self.keep(asked, jpeg),
            Err(reason) => drop(self.failed.insert(of, reason)),
        }
    }

    /// The sheet of a grid looks otherwise: what is seen of it stays until the new one is here.
    pub fn changed(&mut self, grid: GridId) {
        *self.versions.entry(grid).or_default() += 1;
        self.failed.remove(&Small::Sheet(grid));
    }

    fn keep(&mut self, asked: Wanted, jpeg: Bytes) {
        self.bytes += jpeg.len();
        if let Some(before) = self.kept.insert(asked, jpeg) {
            self.bytes -= before.len();
        } else {
            self.order.push_back(asked);
        }
        while self.bytes > KEPT_BYTES && self.order.len() > Slot::SMALL {
            let oldest = self.order.pop_front().and_then(|oldest| self.kept.remove(&oldest));
            self.bytes -= oldest.map_or(0, |jpeg| jpeg.len());
        }
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes
    }

    /// Orders for all of `visible` that are not ordered yet and whose bytes are there.
    pub fn orders(&mut self, visible: &[Small], side: u32, room: Size, means: Means) -> Vec<Order> {
        self.tiles.resize_with(visible.len().max(self.tiles.len()), Tile::default);
        let mut orders = Vec::new();
        for (place, of) in visible.iter().enumerate() {
            let asked = self.wanted(*of, side);
            let ordered = Ordered { asked, room, means };
            let tile = &mut self.tiles[place];
            let (Some(slot), Some(jpeg)) = (Slot::small(place), self.kept.get(&asked)) else { continue };
            if tile.ordered == Some(ordered) || room.width == 0 || room.height == 0 {
                continue;
            }
            self.number += 2;
            // Even and odd in turn: what is on the screen is not replaced while it is seen.
            let number = self.number + (tile.number + 1) % 2;
            (tile.ordered, tile.number) = (Some(ordered), number);
            let subject = match *of {
                Small::Picture(picture) => Subject::Picture(picture),
                Small::Sheet(grid) => Subject::Sheet { grid, version: asked.version },
            };
            let source = Source::Jpeg(jpeg.clone());
            orders.push(Order {
                number,
                slot,
                subject,
                source,
                room,
                means,
                zoom: Zoom::default(),
                budget: None,
            });
        }
        orders
    }

    /// Takes a result, unless it was overtaken.
    pub fn encoded(&mut self, encoded: Encoded) {
        let Some(tile) = encoded.slot.place().and_then(|place| self.tiles.get_mut(place)) else { return };
        let Some(ordered) = tile.ordered.filter(|_| tile.number == encoded.number) else { return };
        match encoded.result {
            Ok(drawable) => tile.shown = Some((ordered, drawable)),
            Err(reason) => drop(self.failed.insert(ordered.asked.of, reason)),
        }
    }

    /// The small copy at a place, and its order's number.
    #[must_use]
    pub fn shown(&self, place: usize, of: Small) -> Option<(&Drawable, u64)> {
        let tile = self.tiles.get(place)?;
        let (ordered, drawable) = tile.shown.as_ref()?;
        (ordered.asked.of == of).then_some((drawable, tile.number))
    }

    /// Why there is none.
    #[must_use]
    pub fn failure(&self, of: Small) -> Option<&str> {
        self.failed.get(&of).map(String::as_str)
    }

    /// What was asked will not be answered; what failed may work.
    pub fn unanswered(&mut self) {
        self.asked.clear();
        self.failed.clear();
    }

    /// The screen was cleared, or its pictures lost.
    pub fn repaint(&mut self) {
        self.tiles.clear();
    }
}
