//! What one client is still to be sent. Status is never dropped; of each device's previews, of the progress of
//! a fetch and of a check, and of readings only the latest is kept. Filling it never waits, so a slow client slows nobody: one that lets too
//! much pile up is given up instead.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::device::Device;

/// Bytes of status that may wait before one more is too much. One frame may be longer.
const BACKLOG_MAX: usize = 8 << 20;

/// What waits for one client. Shared by its session and by whoever has something to tell.
#[derive(Debug, Default)]
pub struct Outbox {
    inner: RefCell<Inner>,
    filled: Notify,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    status: VecDeque<Out>,
    bytes: usize,
    /// In the order in which they are sent: one that is replaced keeps its place, so that no device
    /// crowds another out.
    previews: Vec<(Device, Bytes)>,
    readings: Option<Bytes>,
    fetch: Option<Bytes>,
    check: Option<Bytes>,
    closed: bool,
}

/// A frame to be sent, and the room that its request takes until it has been.
#[derive(Debug)]
pub struct Out {
    /// The whole frame.
    pub frame: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Which frame replaces which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Each is sent, in order.
    Status,
    /// Only the latest of this device is sent.
    Preview(Device),
    /// Only the latest is sent.
    Readings,
    /// Only the latest is sent: one model is fetched at a time.
    Fetch,
    /// Only the latest is sent: one model is checked at a time.
    Check,
}

impl Outbox {
    /// Something happened.
    pub fn tell(&self, kind: Kind, frame: Bytes) {
        let mut inner = self.inner.borrow_mut();
        match kind {
            Kind::Status => return self.push(&mut inner, Out { frame, _permit: None }),
            Kind::Preview(device) => inner.preview(device, frame),
            Kind::Readings => inner.readings = Some(frame),
            Kind::Fetch => inner.fetch = Some(frame),
            Kind::Check => inner.check = Some(frame),
        }
        self.filled.notify_one();
    }

    /// The answer to a request; `permit` is given back once it has been sent.
    pub fn reply(&self, frame: Bytes, permit: OwnedSemaphorePermit) {
        self.push(&mut self.inner.borrow_mut(), Out { frame, _permit: Some(permit) });
    }

    fn push(&self, inner: &mut Inner, out: Out) {
        if inner.closed {
            return;
        }
        if inner.bytes > BACKLOG_MAX {
            tracing::warn!(bytes = inner.bytes, "a client does not read; it is given up");
            *inner = Inner { closed: true, ..Inner::default() };
            self.filled.notify_one();
            self.closed.notify_one();
            return;
        }
        inner.bytes += out.frame.len();
        inner.status.push_back(out);
        self.filled.notify_one();
    }

    /// The picture that a device's waiting preview belongs to is over: it is not sent any more.
    pub fn forget_preview(&self, device: Device) {
        self.inner.borrow_mut().previews.retain(|(of, _)| *of != device);
    }

    /// The fetch whose progress waits is over: it is not sent any more.
    pub fn forget_fetch(&self) {
        self.inner.borrow_mut().fetch = None;
    }

    /// The same of a check.
    pub fn forget_check(&self) {
        self.inner.borrow_mut().check = None;
    }

    /// Nothing more will come; what waits is still sent.
    pub fn close(&self) {
        self.inner.borrow_mut().closed = true;
        self.filled.notify_one();
        self.closed.notify_one();
    }

    /// Waits until nothing more will come.
    pub async fn closed(&self) {
        while !self.inner.borrow().closed {
            self.closed.notified().await;
        }
    }

    /// The next frame, status first; `None` once nothing more will come. For one caller at a time.
    pub async fn next(&self) -> Option<Out> {
        loop {
            {
                let mut inner = self.inner.borrow_mut();
                if let Some(out) = inner.take() {
                    return Some(out);
                }
                if inner.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }
}

impl Inner {
    fn preview(&mut self, device: Device, frame: Bytes) {
        match self.previews.iter_mut().find(|(of, _)| *of == device) {
            Some((_, waiting)) => *waiting = frame,
            None => self.previews.push((device, frame)),
        }
    }

    fn take(&mut self) -> Option<Out> {
        if let Some(out) = self.status.pop_front() {
            self.bytes -= out.frame.len();
            return Some(out);
        }
        let preview = (!self.previews.is_empty()).then(|| self.previews.remove(0).1);
        let frame = preview.or_else(|| self.fetch.take()).or_else(|| self.check.take());
        let frame = frame.or_else(|| self.readings.take())?;
        Some(Out { frame, _permit: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: Device = Device::Cuda(0);

    fn waiting(outbox: &Outbox) -> Vec<Bytes> {
        let mut inner = outbox.inner.borrow_mut();
        std::iter::from_fn(|| inner.take()).map(|out| out.frame).collect()
    }

    #[test]
    fn all_status_is_kept_and_only_the_latest_preview_of_each_device_and_readings() {
        let outbox = Outbox::default();
        for (kind, frame) in [
            (Kind::Preview(CARD), "preview 1"),
            (Kind::Preview(Device::Cpu), "another"),
            (Kind::Status, "status 1"),
            (Kind::Readings, "readings 1"),
            (Kind::Preview(CARD), "preview 2"),
            (Kind::Status, "status 2"),
            (Kind::Readings, "readings 2"),
        ] {
            outbox.tell(kind, Bytes::from_static(frame.as_bytes()));
        }
        assert_eq!(waiting(&outbox), ["status 1", "status 2", "preview 2", "another", "readings 2"]);
    }

    #[test]
    fn a_preview_of_a_finished_picture_is_not_sent() {
        let outbox = Outbox::default();
        outbox.tell(Kind::Preview(CARD), Bytes::from_static(b"preview"));
        outbox.tell(Kind::Preview(Device::Cpu), Bytes::from_static(b"another"));
        outbox.forget_preview(CARD);
        assert_eq!(waiting(&outbox), ["another"]);
    }

    #[test]
    fn of_a_fetch_only_the_latest_progress_is_sent_and_none_after_its_end() {
        let outbox = Outbox::default();
        outbox.tell(Kind::Fetch, Bytes::from_static(b"1 %"));
        outbox.tell(Kind::Fetch, Bytes::from_static(b"2 %"));
        assert_eq!(waiting(&outbox), ["2 %"]);
        outbox.tell(Kind::Fetch, Bytes::from_static(b"3 %"));
        outbox.forget_fetch();
        outbox.tell(Kind::Status, Bytes::from_static(b"done"));
        assert_eq!(waiting(&outbox), ["done"]);
    }

    #[test]
    fn a_client_that_lets_too_much_pile_up_is_given_up_and_its_memory_freed() {
        let outbox = Outbox::default();
        let frame = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..100 {
            outbox.tell(Kind::Status, frame.clone());
            assert!(outbox.inner.borrow().bytes <= BACKLOG_MAX + frame.len());
        }
        assert!(outbox.inner.borrow().closed);
        assert!(waiting(&outbox).is_empty());
    }

    #[tokio::test]
    async fn what_waits_is_sent_after_closing_and_then_there_is_an_end() {
        let outbox = Outbox::default();
        outbox.tell(Kind::Status, Bytes::from_static(b"ending"));
        outbox.close();
        outbox.tell(Kind::Status, Bytes::from_static(b"too late"));
        assert_eq!(outbox.next().await.expect("one waits").frame, "ending");
        assert!(outbox.next().await.is_none());
        outbox.closed().await;
    }
}
