//! The engines' threads: one a device, each started when the first picture goes there, so that a
//! machine has none that it never needs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread::JoinHandle;

use super::WorkerError;
use super::painter::{Order, Report, Supplies};
use crate::device::Device;

/// The threads that have been started.
#[derive(Debug)]
pub struct Engines {
    supplies: Supplies,
    started: RefCell<BTreeMap<Device, Engine>>,
}

#[derive(Debug)]
struct Engine {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

impl Engines {
    /// None has been started yet.
    #[must_use]
    pub fn new(supplies: Supplies) -> Self {
        Self { supplies, started: RefCell::default() }
    }

    /// Gives a device's thread an order. One that cannot be given is reported as everything else is.
    pub fn order(&self, device: Device, order: Order) {
        let mut started = self.started.borrow_mut();
        let sent = match started.get(&device) {
            Some(engine) => engine.orders.send(order).map_err(|_| WorkerError::EngineGone(device)),
            None => self.supplies.start(device).map_or_else(
                |source| Err(WorkerError::System { what: "starting an engine's thread", source }),
                |(orders, thread)| {
                    // Its thread waits for it, so it cannot fail.
                    let _ = orders.send(order);
                    started.insert(device, Engine { orders, thread });
                    Ok(())
                },
            ),
        };
        if let Err(error) = sent {
            // The main loop is there for as long as orders are given.
            let _ = self.supplies.reports.send(Report::Lost(error));
        }
    }

    /// Has every thread that was started free its model.
    pub fn free(&self) {
        for engine in self.started.borrow().values() {
            // One that is gone holds nothing.
            let _ = engine.orders.send(Order::Free);
        }
    }

    /// Has every thread end, and gives what is to be waited for.
    pub fn end(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.started.borrow_mut()).into_values().map(|engine| engine.thread).collect()
    }
}
