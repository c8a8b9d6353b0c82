//! Whole pictures: their PNGs, and the place in which one is seen, near or far.

use std::collections::VecDeque;

use bytes::Bytes;
use ratatui::layout::Size;

use crate::job::PictureId;
use crate::ui::picture::{Drawable, Encoded, Means, Order, Slot, Source, Subject, Zoom};

/// Bytes of PNGs that are kept, the two that are seen aside.
const KEPT_BYTES: usize = 48 << 20;

/// PNGs.
#[derive(Debug, Default)]
pub struct Files {
    kept: VecDeque<(PictureId, Bytes)>,
    asked: Vec<PictureId>,
    failed: VecDeque<(PictureId, String)>,
}

impl Files {
    /// Whether a picture's file is to be asked for now; it is noted as asked.
    pub fn wants(&mut self, picture: PictureId) -> bool {
        let known = self.get(picture).is_some() || self.failure(picture).is_some();
        let wanted = !known && !self.asked.contains(&picture);
        if wanted {
            self.asked.push(picture);
        }
        wanted
    }

    /// Takes a file, if it was asked for here.
    pub fn fetched(&mut self, picture: PictureId, result: &Result<Bytes, String>) {
        if !self.asked.contains(&picture) {
            return;
        }
        self.asked.retain(|known| *known != picture);
        match result {
            Ok(png) => self.keep(picture, png.clone()),
            Err(reason) => self.fail(picture, reason.clone()),
        }
    }

    fn keep(&mut self, picture: PictureId, png: Bytes) {
        self.kept.push_back((picture, png));
        let held = |kept: &VecDeque<(PictureId, Bytes)>| kept.iter().map(|(_, png)| png.len()).sum::<usize>();
        while self.kept.len() > 2 && held(&self.kept) > KEPT_BYTES {
            self.kept.pop_front();
        }
    }

    /// A picture cannot be shown.
    pub fn fail(&mut self, picture: PictureId, reason: String) {
        self.failed.push_back((picture, reason));
        if self.failed.len() > Slot::SMALL {
            self.failed.pop_front();
        }
    }

    /// A picture's file.
    #[must_use]
    pub fn get(&self, picture: PictureId) -> Option<&Bytes> {
        self.kept.iter().find(|(known, _)| *known == picture).map(|(_, png)| png)
    }

    /// Why it cannot be shown.
    #[must_use]
    pub fn failure(&self, picture: PictureId) -> Option<&str> {
        self.failed.iter().find(|(known, _)| *known == picture).map(|(_, why)| why.as_str())
    }

    /// What was asked will not be answered; what failed may work.
    pub fn unanswered(&mut self) {
        self.asked.clear();
        self.failed.clear();
    }
}

/// A place in which a whole picture is seen.
#[derive(Debug)]
pub struct Whole {
    slot: Slot,
    ordered: Option<Ordered>,
    number: u64,
    shown: Option<(Ordered, Drawable)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ordered {
    picture: PictureId,
    room: Size,
    means: Means,
    zoom: Zoom,
}

impl Whole {
    /// An empty one.
    #[must_use]
    pub fn new(slot: Slot) -> Self {
        Self { slot, ordered: None, number: 0, shown: None }
    }

    /// The order to give now, if any, so that this picture is seen so.
    pub fn order(
        &mut self,
        (picture, png): (PictureId, &Bytes),
        room: Size,
        means: Means,
        zoom: Zoom,
    ) -> Option<Order> {
        let ordered = Ordered { picture, room, means, zoom };
        if self.ordered == Some(ordered) || room.width == 0 || room.height == 0 {
            return None;
        }
        self.ordered = Some(ordered);
        self.number += 1;
        let (number, slot, subject) = (self.number, self.slot, Subject::Picture(picture));
        Some(Order {
            number,
            slot,
            subject,
            source: Source::Png(png.clone()),
            room,
            means,
            zoom,
            budget: None,
        })
    }

    /// Takes a result, unless it was overtaken; or gives back which picture cannot be shown, and why.
    pub fn encoded(&mut self, encoded: Encoded) -> Option<(PictureId, String)> {
        let ordered = self.ordered.filter(|_| self.number == encoded.number)?;
        match encoded.result {
            Ok(drawable) => {
                self.shown = Some((ordered, drawable));
                None
            }
            Err(reason) => Some((ordered.picture, reason)),
        }
    }

    /// What is ready to be drawn of a picture, and its order's number.
    #[must_use]
    pub fn shown(&self, picture: PictureId) -> Option<(&Drawable, u64)> {
        let (ordered, drawable) = self.shown.as_ref()?;
        (ordered.picture == picture).then_some((drawable, self.number))
    }

    /// The slot that it is.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The screen was cleared, or its pictures lost.
    pub fn repaint(&mut self) {
        (self.ordered, self.shown) = (None, None);
    }
}
