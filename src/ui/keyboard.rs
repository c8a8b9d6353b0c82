//! The keys of the terminal: read by a task, which another program can be given the place of.

use std::io;
use std::os::fd::OwnedFd;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::event::Event;
use super::input::{EscapeWait, read_terminal};

/// The terminal that keys come from.
#[derive(Debug)]
pub(super) struct Keyboard {
    terminal: OwnedFd,
    wait: EscapeWait,
    events: mpsc::Sender<Event>,
    task: Option<JoinHandle<()>>,
}

impl Keyboard {
    /// Reads it from now on.
    pub fn start(terminal: OwnedFd, wait: EscapeWait, events: mpsc::Sender<Event>) -> io::Result<Self> {
        let mut keyboard = Self { terminal, wait, events, task: None };
        keyboard.retake()?;
        Ok(keyboard)
    }

    /// Reads it no more: the terminal is another program's.
    pub async fn release(&mut self) -> io::Result<OwnedFd> {
        if let Some(task) = self.task.take() {
            task.abort();
            // Only when it is gone has the other program the keys to itself.
            let _ = task.await;
        }
        self.terminal.try_clone()
    }

    /// Reads it again.
    pub fn retake(&mut self) -> io::Result<()> {
        let (terminal, wait, events) = (self.terminal.try_clone()?, self.wait, self.events.clone());
        self.task = Some(tokio::spawn(async move {
            if read_terminal(terminal, wait, events.clone()).await.is_err() {
                // Without keys there is no way to leave; ending is the only honest thing.
                let _ = events.send(Event::TerminalGone).await;
            }
        }));
        Ok(())
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}
