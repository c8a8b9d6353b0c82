//! The thread that encodes. It holds at most one order a slot that waits: a later one takes its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::{Encoded, Order, Slot as Place, encode};
use crate::ui::event::Event;

/// Encodes pictures until it is dropped.
#[derive(Debug)]
pub struct PictureThread {
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The preview's first, then whole pictures.
    orders: BTreeMap<Place, Order>,
    ended: bool,
}

impl PictureThread {
    /// Starts the thread; results go to `events`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(events: mpsc::Sender<Event>) -> std::io::Result<Self> {
        let slot = Arc::new(Slot::default());
        let of_thread = Arc::clone(&slot);
        std::thread::Builder::new().name("pictures".into()).spawn(move || {
            while let Some(order) = of_thread.next() {
                let result = encode::encode(&order);
                let Order { number, slot, subject, room, means, .. } = order;
                let encoded = Encoded { number, slot, subject, room, means, result };
                if events.blocking_send(Event::Encoded(encoded)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { slot })
    }

    /// Encode this next, instead of what waits for the same slot.
    pub fn order(&self, order: Order) {
        self.slot.change(|waiting| drop(waiting.orders.insert(order.slot, order)));
    }
}

impl Drop for PictureThread {
    fn drop(&mut self) {
        // Not joined: a picture may be half encoded, and leaving must not wait for it.
        self.slot.change(|waiting| waiting.ended = true);
    }
}

impl Slot {
    // A panic while the lock is held is impossible: only these two short functions hold it.
    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn next(&self) -> Option<Order> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if waiting.ended {
                return None;
            }
            if let Some((_, order)) = waiting.orders.pop_first() {
                return Some(order);
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
