//! The pictures of LoRAs in the picker: which are there, which is asked for, and what of the chosen one is ready to be
//! drawn. The worker makes them small; what is held is bounded.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use ratatui::layout::Size;

use crate::ui::picture::{Drawable, Encoded, Means, Order, Slot, Source, Subject, Zoom};

/// Bytes of small copies that are kept: hundreds.
const KEPT_BYTES: usize = 8 << 20;

/// Which picture, and how small.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PictureKey {
    /// The LoRA's file.
    pub path: String,
    /// What tells the picture from another of the same LoRA: [`LoraInfo::preview`](crate::wire::loras::LoraInfo).
    pub preview: u64,
    /// The longer side, in pixels.
    pub side: u32,
}

/// The pictures of LoRAs.
#[derive(Debug, Default)]
pub struct LoraPictures {
    kept: HashMap<PictureKey, Bytes>,
    /// The same, the oldest first.
    order: VecDeque<PictureKey>,
    bytes: usize,
    /// One at a time: whoever walks through the list asks only for what is looked at when the last one has come.
    asked: Option<PictureKey>,
    /// Those that there is nothing to show of.
    none: HashSet<PictureKey>,
    ordered: Option<Ordered>,
    number: u64,
    shown: Option<(Ordered, Drawable)>,
    closed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ordered {
    key: PictureKey,
    room: Size,
    means: Means,
}

impl LoraPictures {
    /// Whether this picture is to be asked for now.
    pub fn wants(&mut self, key: &PictureKey) -> bool {
        let known = self.kept.contains_key(key) || self.none.contains(key);
        let wants = !known && self.asked.is_none();
        if wants {
            self.asked = Some(key.clone());
        }
        wants
    }

    /// Takes one, or that there is none.
    pub fn fetched(&mut self, key: PictureKey, jpeg: Option<Bytes>) {
        self.asked.take_if(|asked| *asked == key);
        let Some(jpeg) = jpeg else {
            self.none.insert(key);
            return;
        };
        self.bytes += jpeg.len();
        match self.kept.insert(key.clone(), jpeg) {
            Some(before) => self.bytes -= before.len(),
            None => self.order.push_back(key),
        }
        while self.bytes > KEPT_BYTES && self.order.len() > 1 {
            let oldest = self.order.pop_front().and_then(|oldest| self.kept.remove(&oldest));
            self.bytes -= oldest.map_or(0, |jpeg| jpeg.len());
        }
    }

    /// The order to give now, if any, so that this picture is seen in this room.
    pub fn order(&mut self, key: &PictureKey, room: Size, means: Means) -> Option<Order> {
        let jpeg = self.kept.get(key)?.clone();
        let ordered = Ordered { key: key.clone(), room, means };
        if self.ordered.as_ref() == Some(&ordered) || room.width == 0 || room.height == 0 {
            return None;
        }
        self.ordered = Some(ordered);
        self.number += 1;
        Some(Order {
            number: self.number,
            slot: Slot::LORA,
            subject: Subject::Lora(key.preview),
            source: Source::Jpeg(jpeg),
            room,
            means,
            zoom: Zoom::default(),
            budget: None,
        })
    }

    /// Takes a result, unless it was overtaken.
    pub fn encoded(&mut self, encoded: Encoded) {
        let Some(ordered) = self.ordered.clone().filter(|_| self.number == encoded.number) else { return };
        match encoded.result {
            Ok(drawable) => self.shown = Some((ordered, drawable)),
            Err(_) => drop(self.none.insert(ordered.key)),
        }
    }

    /// What is ready to be drawn of a picture, however small, and its order's number.
    #[must_use]
    pub fn shown(&self, key: &PictureKey) -> Option<(&Drawable, u64)> {
        let (Ordered { key: PictureKey { path, preview, .. }, .. }, drawable) = self.shown.as_ref()?;
        ((path, *preview) == (&key.path, key.preview)).then_some((drawable, self.number))
    }

    /// What was asked will not be answered; what could not be had may be there.
    pub fn unanswered(&mut self) {
        self.asked = None;
        self.none.clear();
    }

    /// The picker was closed.
    pub fn close(&mut self) {
        self.closed = self.shown.is_some();
        self.repaint();
    }

    /// Whether it was closed over a picture since this was asked last.
    pub fn was_closed(&mut self) -> bool {
        std::mem::take(&mut self.closed)
    }

    /// The screen was cleared, or its pictures lost.
    pub fn repaint(&mut self) {
        (self.ordered, self.shown) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::picture::Protocol;

    fn key(name: &str) -> PictureKey {
        PictureKey { path: name.to_owned(), preview: 1, side: 96 }
    }

    #[test]
    fn one_is_asked_for_at_a_time_and_what_there_is_none_of_no_more() {
        let mut pictures = LoraPictures::default();
        assert!(pictures.wants(&key("a")) && !pictures.wants(&key("b")) && !pictures.wants(&key("a")));
        pictures.fetched(key("a"), Some(Bytes::from_static(b"jpeg")));
        assert!(!pictures.wants(&key("a")) && pictures.wants(&key("b")));
        pictures.fetched(key("b"), None);
        assert!(!pictures.wants(&key("b")));
        pictures.unanswered();
        assert!(pictures.wants(&key("b")), "another worker may have it");
        assert!(!pictures.wants(&PictureKey { preview: 2, ..key("a") }), "one at a time");
        pictures.fetched(key("b"), None);
        assert!(pictures.wants(&PictureKey { preview: 2, ..key("a") }), "it is another picture now");
    }

    #[test]
    fn what_is_held_is_bounded_and_what_was_overtaken_is_not_shown() {
        let mut pictures = LoraPictures::default();
        for number in 0..20 {
            pictures.fetched(key(&number.to_string()), Some(Bytes::from(vec![0; 1 << 20])));
        }
        assert_eq!((pictures.bytes, pictures.kept.len(), pictures.order.len()), (KEPT_BYTES, 8, 8));
        let (room, means) = (Size::new(10, 5), Means { protocol: Protocol::HalfBlocks, cell: (10, 20) });
        let first = pictures.order(&key("18"), room, means).expect("it is there");
        assert!(pictures.order(&key("18"), room, means).is_none(), "it is ordered once");
        let second = pictures.order(&key("19"), room, means).expect("it is there");
        assert!(first.number % 2 != second.number % 2 && first.slot == Slot::LORA);
        let Order { number, slot, subject, room, means, .. } = first;
        let late = Encoded { number, slot, subject, room, means, result: Err("bad".to_owned()) };
        pictures.encoded(late);
        assert!(pictures.none.is_empty() && pictures.shown(&key("18")).is_none());
    }
}
