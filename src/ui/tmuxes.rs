//! Asks tmux who looks at the pane, beside the loop; the answer comes as an event.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::event::Event;
use super::terminal::tmux::Tmux;

/// A window that is dragged larger asks many times; the last one counts.
const SETTLED: Duration = Duration::from_millis(100);

/// Asks one question at a time.
#[derive(Debug)]
pub(super) struct Tmuxes {
    events: mpsc::Sender<Event>,
    asking: Option<JoinHandle<()>>,
}

impl Tmuxes {
    /// Answers go to `events`.
    pub fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, asking: None }
    }

    /// Asks, instead of what was asked before and is not answered. The first time at once.
    pub fn ask(&mut self) {
        let again = self.asking.take().inspect(JoinHandle::abort).is_some();
        let events = self.events.clone();
        self.asking = Some(tokio::spawn(async move {
            if again {
                tokio::time::sleep(SETTLED).await;
            }
            let _ = events.send(Event::Tmux(Tmux::ask().await.ok())).await;
        }));
    }
}

impl Drop for Tmuxes {
    fn drop(&mut self) {
        self.asking.iter().for_each(JoinHandle::abort);
    }
}
