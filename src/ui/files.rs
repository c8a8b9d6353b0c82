//! The task that reads and writes a person's files, so that the loop never waits for a disk: orders
//! in, events out.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::arrangement::Kept;
use super::event::Event;
use super::habits::{Habits, NotKept, Watch, keep};
use crate::config::LanguageChoice;
use crate::paths::Paths;

/// Something to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Keep {
    /// The theme, into `config.toml`.
    Theme(String),
    /// The language, into `config.toml`.
    Language(LanguageChoice),
    /// What the next studio begins with.
    Studio(Kept),
}

/// The task's end in the loop.
pub(super) struct Files {
    orders: mpsc::UnboundedSender<Keep>,
    task: JoinHandle<()>,
}

impl Files {
    /// Starts it on the current runtime. It tells when the files say something else than is known.
    pub fn start((paths, known): (Paths, Habits), events: mpsc::Sender<Event>) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        Self { orders, task: tokio::spawn(serve((paths, known), taken, events)) }
    }

    /// Has something written, after what was ordered before.
    pub fn keep(&self, what: Keep) {
        // Without the task nothing is kept; that is no reason to stop.
        let _ = self.orders.send(what);
    }

    /// Waits until all that was ordered is written.
    pub async fn finish(self) {
        drop(self.orders);
        let _ = self.task.await;
    }
}

/// What woke the task.
enum Woken {
    Order(Option<Keep>),
    Changed(bool),
}

async fn serve(
    (paths, mut known): (Paths, Habits),
    mut orders: mpsc::UnboundedReceiver<Keep>,
    events: mpsc::Sender<Event>,
) {
    let mut watch =
        Watch::start(&paths).inspect_err(|error| tracing::debug!(%error, "nothing is watched")).ok();
    // What changed before it was watched is seen too.
    let mut first = true;
    loop {
        let changed = async {
            if std::mem::take(&mut first) {
                return true;
            }
            match &watch {
                Some(watch) => watch.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let woken = tokio::select! {
            order = orders.recv() => Woken::Order(order),
            sound = changed => Woken::Changed(sound),
        };
        let event = match woken {
            Woken::Order(None) => return,
            Woken::Order(Some(what)) => written(&paths, what).await.map(Event::Complaint),
            Woken::Changed(false) => {
                watch = None;
                None
            }
            // What else is in those folders changes too.
            Woken::Changed(true) => read(&paths).await.filter(|habits| *habits != known).map(|habits| {
                known = habits.clone();
                Event::Habits(Box::new(habits))
            }),
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return;
        }
    }
}

async fn read(paths: &Paths) -> Option<Habits> {
    let paths = paths.clone();
    tokio::task::spawn_blocking(move || Habits::read(&paths)).await.ok()
}

/// Writes something; what a person should know of it.
async fn written(paths: &Paths, what: Keep) -> Option<NotKept> {
    let paths = paths.clone();
    let write = move || match what {
        Keep::Theme(name) => keep(&paths, "theme", &name).err(),
        Keep::Language(choice) => keep(&paths, "language", &choice.to_string()).err(),
        Keep::Studio(kept) => {
            if let Err(error) = kept.save(&paths) {
                tracing::debug!(%error, "the layout is not remembered");
            }
            None
        }
    };
    tokio::task::spawn_blocking(write).await.ok().flatten()
}
